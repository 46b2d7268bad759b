//! Operators: what a node computes, one file per family.

pub mod activation;
pub mod constant;
pub mod conv2d;
pub mod embedding;
pub mod linear;
pub mod norm;
pub mod pool;
pub mod rearrange;
pub mod scaling;

pub use constant::Constants;
pub use conv2d::Conv2d;
pub use embedding::Embedding;
pub use linear::Linear;
pub use norm::{BatchNorm, LayerNorm};
pub use pool::{AveragePool, MaxPool};
pub use rearrange::Rearrange;
pub use scaling::Scaling;

use crate::graph::{LayerKind, ParameterSpec};
use activation::Activation;

/// What a node computes from its sources.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The network's input; it has no source.
    Input,
    /// An affine map of the features, `[.., m]` to `[.., p]`.
    Linear(Linear),
    /// A convolution of `[batch, channels, height, width]`.
    Conv2d(Conv2d),
    /// Batch normalisation at inference: an affine map per channel.
    BatchNorm(BatchNorm),
    /// Layer normalisation over the features.
    LayerNorm(LayerNorm),
    /// Rows of a table: of the tokens' words or of their positions.
    Embedding(Embedding),
    /// `(x - mean) / range`, or its inverse.
    Scaling(Scaling),
    /// An elementwise function.
    Activation(Activation),
    /// Normalised exponentials over the last axis.
    Softmax,
    /// The logarithm of `Softmax`.
    LogSoftmax,
    /// `(x - mean(x)) / √(var(x) + ε)` over the last axis, without weights.
    Standardise {
        /// ε
        epsilon: f64,
    },
    /// The mean over the last axis, which keeps the extent 1.
    Mean,
    /// The largest number of each window.
    MaxPool(MaxPool),
    /// The mean of each window.
    AveragePool(AveragePool),
    /// The mean over height and width: `[batch, channels, h, w]` to `[batch, channels]`.
    GlobalAveragePool,
    /// The sources one after the other along the first axis of an example: channels of images, features
    /// of vectors.
    Concat,
    /// The elementwise sum; extents of one are repeated.
    Add,
    /// The elementwise product; extents of one are repeated.
    Multiply,
    /// Every number plus a constant of its own.
    AddConstants(Constants),
    /// Every number times a constant of its own.
    MultiplyConstants(Constants),
    /// Numbers copied to other places.
    Rearrange(Rearrange),
    /// Some of the features: `start .. start + len` of the last axis.
    Slice {
        /// First feature.
        start: usize,
        /// Number of features.
        len: usize,
    },
    /// Every number times a constant.
    Scale(f64),
    /// Products of the matrices in the last two axes; the second one `transposed` or not.
    MatMul {
        /// Whether `a · bᵀ` is meant.
        transposed: bool,
    },
    /// Features split among attention heads: `[batch, tokens, features]` to
    /// `[batch, heads, tokens, features / heads]`.
    SplitHeads {
        /// Number of heads.
        heads: usize,
    },
    /// The inverse of `SplitHeads`.
    MergeHeads {
        /// Number of heads.
        heads: usize,
        /// Token sequences per example where an example has several (`[batch, sequences, tokens,
        /// features]`).
        sequences: Option<usize>,
    },
    /// What attention scores lose at padding: 0 at tokens, a large negative number at padding.
    TokenMask,
    /// The features of one token: `[batch, tokens, features]` to `[batch, features]`.
    SelectToken(usize),
    /// An image as token sequences, one per position in a patch:
    /// `[batch, channels, h, w]` to `[batch, patch², patches, channels]`.
    Unfold {
        /// Height and width of a patch.
        patch: usize,
    },
    /// The inverse of `Unfold`; the second source is the image whose extents come back.
    Fold {
        /// Height and width of a patch.
        patch: usize,
    },
}

impl Op {
    /// The operator's usual name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Linear(_) => "linear",
            Self::Conv2d(_) => "conv2d",
            Self::BatchNorm(_) => "batch_norm",
            Self::LayerNorm(_) => "layer_norm",
            Self::Embedding(_) => "embedding",
            Self::Scaling(_) => "scaling",
            Self::Activation(activation) => activation.name(),
            Self::Softmax => "softmax",
            Self::LogSoftmax => "log_softmax",
            Self::Standardise { .. } => "standardise",
            Self::Mean => "mean",
            Self::MaxPool(_) => "max_pool",
            Self::AveragePool(_) => "average_pool",
            Self::GlobalAveragePool => "global_average_pool",
            Self::Concat => "concat",
            Self::Add => "add",
            Self::Multiply => "multiply",
            Self::AddConstants(_) => "add_constants",
            Self::MultiplyConstants(_) => "multiply_constants",
            Self::Rearrange(_) => "rearrange",
            Self::Slice { .. } => "slice",
            Self::Scale(_) => "scale",
            Self::MatMul { .. } => "matmul",
            Self::SplitHeads { .. } => "split_heads",
            Self::MergeHeads { .. } => "merge_heads",
            Self::TokenMask => "token_mask",
            Self::SelectToken(_) => "select_token",
            Self::Unfold { .. } => "unfold",
            Self::Fold { .. } => "fold",
        }
    }

    /// Whether the outputs are an affine function of the sources.
    pub fn is_affine(&self) -> bool {
        match self {
            Self::LayerNorm(_)
            | Self::Embedding(_)
            | Self::Activation(_)
            | Self::Softmax
            | Self::LogSoftmax
            | Self::Standardise { .. }
            | Self::MaxPool(_)
            | Self::Multiply
            | Self::MatMul { .. }
            | Self::TokenMask => false,
            Self::Input
            | Self::Linear(_)
            | Self::Conv2d(_)
            | Self::BatchNorm(_)
            | Self::Scaling(_)
            | Self::Mean
            | Self::AveragePool(_)
            | Self::GlobalAveragePool
            | Self::Concat
            | Self::Add
            | Self::AddConstants(_)
            | Self::MultiplyConstants(_)
            | Self::Rearrange(_)
            | Self::Slice { .. }
            | Self::Scale(_)
            | Self::SplitHeads { .. }
            | Self::MergeHeads { .. }
            | Self::SelectToken(_)
            | Self::Unfold { .. }
            | Self::Fold { .. } => true,
        }
    }

    /// Whether the outputs are, around any sources, made of affine pieces.
    pub fn is_piecewise_linear(&self) -> bool {
        match self {
            Self::Activation(Activation::Hardswish) => false,
            Self::Activation(activation) => activation.has_linear_pieces(),
            Self::MaxPool(_) => true,
            op => op.is_affine(),
        }
    }

    /// Whether each channel of an image, or each feature, depends on that of the source alone.
    pub fn is_channelwise(&self) -> bool {
        matches!(
            self,
            Self::BatchNorm(_)
                | Self::Scaling(_)
                | Self::Activation(_)
                | Self::MaxPool(_)
                | Self::AveragePool(_)
                | Self::GlobalAveragePool
                | Self::AddConstants(_)
                | Self::MultiplyConstants(_)
                | Self::Scale(_)
        )
    }

    /// The tensors that the operator reads.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        match self {
            Self::Linear(op) => op.parameters(),
            Self::Conv2d(op) => op.parameters(),
            Self::BatchNorm(op) => op.parameters(),
            Self::LayerNorm(op) => op.parameters(),
            Self::Embedding(op) => op.parameters(),
            Self::Scaling(op) => op.parameters(),
            _ => Vec::new(),
        }
    }

    /// The weight-bearing layer that the operator is: kind, weight, bias, features in and out.
    pub(crate) fn layer(&self) -> Option<(LayerKind, String, Option<String>, usize, usize)> {
        match self.clone() {
            Self::Linear(op) => {
                Some((LayerKind::Linear, op.weight, op.bias, op.inputs, op.outputs))
            }
            Self::Conv2d(op) => {
                let reads = op.reads();
                Some((LayerKind::Conv2d, op.weight, op.bias, reads, op.outputs))
            }
            Self::BatchNorm(op) => Some((
                LayerKind::BatchNorm,
                op.weight,
                Some(op.bias),
                1,
                op.channels,
            )),
            Self::LayerNorm(op) => Some((
                LayerKind::LayerNorm,
                op.weight,
                Some(op.bias),
                1,
                op.features,
            )),
            Self::Embedding(op) => {
                Some((LayerKind::Embedding, op.weight, None, op.rows, op.features))
            }
            _ => None,
        }
    }
}

/// The spec of a tensor.
pub(crate) fn spec(name: &str, shape: &[usize]) -> ParameterSpec {
    ParameterSpec {
        name: name.to_owned(),
        shape: shape.to_vec(),
        trained: true,
    }
}
