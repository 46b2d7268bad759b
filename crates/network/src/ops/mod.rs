//! Operators: one file per family.

pub mod activation;
pub mod linear;
pub mod softmax;

pub use linear::Linear;

use crate::ops::activation::Activation;

/// What a node computes from its sources.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The network's input; it has no source.
    Input,
    /// An affine map of the features.
    Linear(Linear),
    /// An elementwise function.
    Activation(Activation),
    /// Normalised exponentials over the last axis.
    Softmax,
}

impl Op {
    /// The operator's usual name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Linear(_) => "linear",
            Self::Activation(activation) => activation.name(),
            Self::Softmax => "softmax",
        }
    }
}
