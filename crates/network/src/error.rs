//! What can go wrong with a network or its device.

use model::ModelError;

/// Errors of this crate, grouped by cause.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The model does not say what to compute, or its file is at fault.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A name that the network lacks.
    #[error("no {kind} named `{name}`; known: {}", known.join(", "))]
    Unknown {
        /// What was looked up: `tensor`, `layer`, `activation`, `device`.
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// An operand does not have the shape that an operation needs.
    #[error("{at}: expected shape {expected}, got {got:?}")]
    Shape {
        /// Node, layer or function.
        at: String,
        /// The shape needed, `*` for any extent.
        expected: String,
        /// The shape given.
        got: Vec<usize>,
    },
    /// A token input holds a number that is no word.
    #[error("{at}: expected words from 0 to {}, got {word}", rows - 1)]
    Word {
        /// The node.
        at: String,
        /// The number given.
        word: f64,
        /// Number of words.
        rows: usize,
    },
    /// A node has no linear piece at the given input.
    #[error(
        "node `{node}` ({op}) has no linear piece at example {example}: repair it sequentially"
    )]
    NoLinearPiece {
        /// The node.
        node: String,
        /// Its operator.
        op: String,
        /// Index in the batch.
        example: usize,
    },
    /// The device is not in this build, or the machine has none.
    #[error("device `{device}` is not available: {reason}")]
    Device {
        /// The device asked for.
        device: &'static str,
        /// What is missing.
        reason: String,
    },
    /// The backend failed to run or to return data.
    #[error("the backend failed at {at}: {reason}")]
    Backend {
        /// The operation.
        at: &'static str,
        /// The backend's message.
        reason: String,
    },
}

impl NetworkError {
    pub(crate) fn shape(at: impl Into<String>, expected: impl Into<String>, got: &[usize]) -> Self {
        Self::Shape {
            at: at.into(),
            expected: expected.into(),
            got: got.to_vec(),
        }
    }
}
