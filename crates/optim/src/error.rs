//! What can be wrong with a problem or with the machinery that solves it.
//!
//! Infeasibility, an unbounded objective or a spent time limit are *outcomes*, not errors.

/// An error of the caller's own kind, as [`Constraints`](crate::Constraints) may return.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A malformed problem, or a failure outside the mathematics.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptimError {
    /// A vector or matrix has the wrong number of entries.
    #[error("{what}: expected {expected} entries, got {got}")]
    Shape {
        /// Which object, and of which row, input or column.
        what: String,
        /// Entries that the problem's shape asks for.
        expected: usize,
        /// Entries that were given.
        got: usize,
    },
    /// A row names an input that does not exist.
    #[error("row {row}: expected an input below {inputs}, got {input}")]
    UnknownInput {
        /// Identifier of the row.
        row: usize,
        /// The input it names.
        input: usize,
        /// Number of inputs.
        inputs: usize,
    },
    /// A coefficient is NaN or infinite.
    #[error("{what}: expected finite numbers, got {got}")]
    NotFinite {
        /// Which object, and of which row, input or column.
        what: String,
        /// The offending number.
        got: f64,
    },
    /// A softness is negative, or given where every row must be hard.
    #[error("row {row}: expected {expected}, got softness {got}")]
    Softness {
        /// Identifier of the row.
        row: usize,
        /// What the caller's problem admits.
        expected: &'static str,
        /// The softness given.
        got: f64,
    },
    /// A linear program is malformed.
    #[error("{at}: expected {expected}, got {got}")]
    Program {
        /// The row, variable or coefficient.
        at: String,
        /// What a well-formed program has there.
        expected: &'static str,
        /// What it has.
        got: String,
    },
    /// No solver has this name.
    #[error("solver name: expected one of {expected}, got {got:?}")]
    UnknownSolver {
        /// The name asked for.
        got: String,
        /// The names there are.
        expected: String,
    },
    /// No norm has this name.
    #[error("norm: expected one of {expected}, got {got:?}")]
    UnknownNorm {
        /// The name asked for.
        got: String,
        /// The names there are.
        expected: String,
    },
    /// Two rows of a list have the same identifier.
    #[error("row {row}: expected unique identifiers, got it twice")]
    DuplicateRow {
        /// The identifier.
        row: usize,
    },
    /// Evaluating the constraints failed.
    #[error("the constraints could not be evaluated")]
    Constraints(#[source] BoxError),
    /// A solver refused the problem for a reason that is not the problem's.
    #[error("solver {solver}: {reason}")]
    Solver {
        /// Name of the solver.
        solver: &'static str,
        /// Its own words.
        reason: String,
    },
}

/// Errors unless every number is finite.
pub(crate) fn check_finite(
    values: &[f64],
    what: impl FnOnce() -> String,
) -> Result<(), OptimError> {
    match values.iter().find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(&got) => Err(OptimError::NotFinite { what: what(), got }),
    }
}

/// Errors unless `got` equals `expected`.
pub(crate) fn check_len(
    expected: usize,
    got: usize,
    what: impl FnOnce() -> String,
) -> Result<(), OptimError> {
    if expected == got {
        Ok(())
    } else {
        Err(OptimError::Shape {
            what: what(),
            expected,
            got,
        })
    }
}
