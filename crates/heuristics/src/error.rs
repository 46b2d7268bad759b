//! Errors of this crate.

use data::DataError;
use network::NetworkError;
use optim::OptimError;
use repair::RepairError;

/// Why layers cannot be scored, or a set of points not be described or sampled.
#[derive(Debug, thiserror::Error)]
pub enum HeuristicError {
    /// A name that the registry lacks.
    #[error("no heuristic named `{name}`; known: {}", known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The registered names.
        known: Vec<&'static str>,
    },
    /// Labels are needed and the repair set has none.
    #[error("layer scores need labels, the repair set has only inequalities")]
    NoLabels,
    /// Two parts of a subject do not match.
    #[error("{what}: expected {expected}, got {got}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// How many there must be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A guard label that the network has no output for.
    #[error("guard example {example}: expected a label below {classes}, got {label}")]
    GuardLabel {
        /// Index of the example.
        example: usize,
        /// Its label.
        label: usize,
        /// Outputs of the network.
        classes: usize,
    },
    /// A linear-algebra routine failed.
    #[error("eigenvalues of the {matrix} of layer `{layer}` did not converge")]
    Eigenvalues {
        /// The matrix.
        matrix: &'static str,
        /// The layer.
        layer: String,
    },
    /// A label that the network has no output for.
    #[error("point {point}: expected a label below {classes}, got {label}")]
    Label {
        /// Index of the point.
        point: usize,
        /// Its label.
        label: usize,
        /// Outputs of the network.
        classes: usize,
    },
    /// A coordinate that is no number.
    #[error("point {point}: expected finite numbers, got {value} at position {position}")]
    NotFinite {
        /// Index of the point.
        point: usize,
        /// Position within the point.
        position: usize,
        /// The number.
        value: f64,
    },
    /// The eigenvalues of the inner products of a set of points did not converge.
    #[error("eigenvalues of the {points} x {points} inner products did not converge")]
    Spectrum {
        /// How many points.
        points: usize,
    },
    /// A name that the registry of samplers lacks.
    #[error("no sampler named `{name}`; known: {}", known.join(", "))]
    UnknownSampler {
        /// The name asked for.
        name: String,
        /// The registered names.
        known: Vec<&'static str>,
    },
    /// A pool holds fewer points of the kind that is drawn.
    #[error("sampler {sampler}: expected a pool of at least {expected} {kind}, got {got}")]
    PoolTooSmall {
        /// The sampler.
        sampler: &'static str,
        /// The kind of points.
        kind: &'static str,
        /// How many were asked for.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A sample.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A linear program.
    #[error(transparent)]
    Optim(#[from] OptimError),
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The repair set, the guard set or the first-order repair.
    #[error(transparent)]
    Repair(#[from] RepairError),
}

/// Refuses a count that is not the expected one.
pub(crate) fn check_count(
    what: &'static str,
    expected: usize,
    got: usize,
) -> Result<(), HeuristicError> {
    if expected == got {
        return Ok(());
    }
    Err(HeuristicError::Count {
        what,
        expected,
        got,
    })
}
