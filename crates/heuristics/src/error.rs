//! Errors of this crate.

use network::NetworkError;
use repair::RepairError;

/// Why layers cannot be scored.
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
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The repair set, the guard set or the first-order repair.
    #[error(transparent)]
    Repair(#[from] RepairError),
}
