//! What can go wrong with a model's file.

use std::path::PathBuf;

/// Errors of this crate, grouped by cause.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file could not be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was attempted: `read`, `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A path names no plain file, one that is too large, or one that a folder may not name.
    #[error(transparent)]
    File(disk::DiskError),
    /// The bytes are no file of their format.
    #[error("`{origin}` is not a valid {format} file: {reason}")]
    Malformed {
        /// File name or description of the bytes.
        origin: String,
        /// `safetensors`, `PyTorch`, `ONNX`, `.nnet` or `JSON`.
        format: &'static str,
        /// What the parser found.
        reason: String,
    },
    /// The files of a folder do not say which weights to read.
    #[error("cannot tell the weights of the folder `{}`: {reason}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What was looked for, and what is there.
        reason: String,
    },
    /// The tensors are not those of the architecture.
    #[error("`{origin}` does not fit the architecture: {}", complaints.join("; "))]
    Mismatch {
        /// File name or description of the bytes.
        origin: String,
        /// One sentence per missing, unused or misshapen tensor.
        complaints: Vec<String>,
    },
    /// A tensor is stored in a type that a network cannot hold.
    #[error("`{origin}`: tensor `{tensor}` has dtype {got}, expected {expected}")]
    Dtype {
        /// File name or description of the bytes.
        origin: String,
        /// The tensor.
        tensor: String,
        /// The dtypes that can be read here.
        expected: &'static str,
        /// Its dtype.
        got: String,
    },
    /// A tensor holds NaN or an infinity.
    #[error(
        "`{origin}`: tensor `{tensor}` holds {value} at position {position}, expected finite numbers"
    )]
    NotFinite {
        /// File name or description of the bytes.
        origin: String,
        /// The tensor.
        tensor: String,
        /// Position in row-major order.
        position: usize,
        /// The offending number.
        value: f64,
    },
    /// A name that the file or its graph lacks.
    #[error("no {kind} named `{name}`; known: {}", known.join(", "))]
    Unknown {
        /// What was looked up: `tensor`, `activation`, `source node`.
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
    /// A node of a graph in a file cannot be represented.
    #[error("`{origin}`: node `{node}` ({operator}) {reason}")]
    Operator {
        /// File name or description of the bytes.
        origin: String,
        /// The node's name, or its operator and position.
        node: String,
        /// Its operator and the names of its operands, `Add of x, b`.
        operator: String,
        /// Why.
        reason: String,
    },
    /// The outputs have no rule that makes an answer of them.
    #[error("`{origin}`: {reason}")]
    Answer {
        /// File name or description of the bytes.
        origin: String,
        /// Why.
        reason: String,
    },
    /// Nothing says the activation between the layers, or two things say different ones.
    #[error("`{origin}`: {reason}")]
    Activation {
        /// File name or description of the bytes.
        origin: String,
        /// Why, and how to say it.
        reason: String,
    },
    /// The architecture cannot be told from the checkpoint.
    #[error("cannot tell the architecture of `{origin}`: {reason}")]
    Architecture {
        /// File name or description of the bytes.
        origin: String,
        /// Why.
        reason: String,
    },
}

impl From<disk::DiskError> for ModelError {
    fn from(error: disk::DiskError) -> Self {
        match error {
            disk::DiskError::Io { path, source } => Self::Io {
                action: "read",
                path,
                source,
            },
            other => Self::File(other),
        }
    }
}

impl ModelError {
    /// Whether the file is sound and leaves open what the user can say.
    pub fn is_a_question(&self) -> bool {
        matches!(self, Self::Answer { .. } | Self::Activation { .. })
    }

    pub(crate) fn shape(at: impl Into<String>, expected: impl Into<String>, got: &[usize]) -> Self {
        Self::Shape {
            at: at.into(),
            expected: expected.into(),
            got: got.to_vec(),
        }
    }
}
