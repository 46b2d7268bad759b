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
    /// The device computes something else than the reference device.
    #[error(
        "device `{device}` is wrong at {operator}, {part}: expected {expected:e} as on flex, got {got:e}, \
         which is {share:.1e} of the scale apart and may be {:.0e}; compute with --device flex",
        crate::device_check::TOLERANCE
    )]
    DeviceWrong {
        /// The device.
        device: &'static str,
        /// The operator with its parameters and the shapes of its operands.
        operator: String,
        /// Outputs, or the gradient with respect to what.
        part: String,
        /// What the reference computes where both differ most.
        expected: f64,
        /// What the device computes there.
        got: f64,
        /// The difference as a share of the reference's largest number.
        share: f64,
    },
    /// The device cannot compute an operator.
    #[error("device `{device}` fails at {operator}: {reason}; compute with --device flex")]
    DeviceFailed {
        /// The device.
        device: &'static str,
        /// The operator with its parameters and the shapes of its operands.
        operator: String,
        /// What it said.
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
