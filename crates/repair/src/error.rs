//! Errors of this crate: what is wrong with a repair problem before any work.

use network::{ModelError, NetworkError};
use optim::OptimError;

use crate::OnnxError;

/// Why a repair cannot be set up or run.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// There is nothing to repair.
    #[error("the repair set is empty: expected at least one point")]
    EmptySet,
    /// One input must have two different labels.
    #[error(
        "points {first} and {second} have the same input but labels {labels:?}: drop one of them"
    )]
    Contradiction {
        /// Index of the earlier point.
        first: usize,
        /// Index of the later point.
        second: usize,
        /// Their labels.
        labels: (usize, usize),
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
    /// An input holds NaN or an infinity.
    #[error("point {point}: expected finite numbers, got {value} at position {position}")]
    NotFinite {
        /// Index of the point.
        point: usize,
        /// Position within the input.
        position: usize,
        /// The number.
        value: f32,
    },
    /// A specification that no output can satisfy or that names no output.
    #[error("point {point}, inequality {inequality}: {reason}")]
    Specification {
        /// Index of the point.
        point: usize,
        /// Index of the inequality.
        inequality: usize,
        /// What is wrong.
        reason: String,
    },
    /// A layer that nothing may edit.
    #[error("layer `{layer}` cannot be edited: {reason}")]
    Fixed {
        /// The layer.
        layer: String,
        /// Why.
        reason: String,
    },
    /// The network and the second reading of its file disagree.
    #[error(
        "`{origin}`: two readings of the file give outputs that differ by {difference:.1e}; nothing can be proved of it"
    )]
    Readings {
        /// The file.
        origin: String,
        /// The largest difference of two outputs.
        difference: f64,
    },
    /// The model's file is at fault.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The inputs do not fit the network or each other.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// The object.
        what: &'static str,
        /// The number needed.
        expected: usize,
        /// The number given.
        got: usize,
    },
    /// The network overflows at a point.
    #[error("point {point}: output {output} is not finite before the repair")]
    Overflow {
        /// Index of the point.
        point: usize,
        /// Index of the output.
        output: usize,
    },
    /// An option is out of range or does not fit another.
    #[error("option `{option}`: expected {expected}, got {got}")]
    Option {
        /// The option.
        option: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// The guarded objective has no guard inputs to be computed from.
    #[error("objective `guarded` needs guard inputs, got none")]
    NoGuard,
    /// A part of the network that an encoding does not know.
    #[error("node `{node}` ({op}) is not supported by the {encoding} encoding")]
    Unsupported {
        /// The node.
        node: String,
        /// Its operator.
        op: String,
        /// The encoding.
        encoding: &'static str,
    },
    /// A matrix that must be positive definite is not.
    #[error("the {what} of layer `{layer}` is not positive definite after damping")]
    Metric {
        /// Which factor.
        what: &'static str,
        /// The layer.
        layer: String,
    },
    /// An ONNX file that cannot be read or evaluated.
    #[error("`{file}`: {fault}")]
    Onnx {
        /// Name of the file.
        file: String,
        /// What is wrong with it or its inputs.
        fault: OnnxError,
    },
    /// The network or its file.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The solvers.
    #[error(transparent)]
    Optim(#[from] OptimError),
}
