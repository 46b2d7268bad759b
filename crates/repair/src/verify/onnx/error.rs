//! Why a network in an ONNX file cannot be evaluated.

/// What is wrong with an ONNX file or with the inputs of its network.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The bytes are no model.
    #[error("not an ONNX model: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A part of the graph, an operand or an input is not what the specification asks for.
    #[error("{at}: expected {expected}, got {got}")]
    Misfit {
        /// The node, stored tensor or input.
        at: String,
        /// What is needed.
        expected: String,
        /// What is there.
        got: String,
    },
    /// An operator that is not evaluated.
    #[error(
        "{at}: operator `{operator}` of domain `{domain}` in operator set {version} is not evaluated"
    )]
    Unsupported {
        /// The node.
        at: String,
        /// Its operator.
        operator: String,
        /// The operator's domain.
        domain: String,
        /// The version of the standard operators that the file asks for.
        version: i64,
    },
    /// A file beside the model that holds stored tensors cannot be read.
    #[error("{at}: cannot read the file `{file}` of its numbers: {source}")]
    External {
        /// The stored tensor.
        at: String,
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
}

impl OnnxError {
    /// Something that is not as it must be.
    pub(super) fn misfit(at: &str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Misfit {
            at: at.to_owned(),
            expected: expected.into(),
            got: got.into(),
        }
    }
}
