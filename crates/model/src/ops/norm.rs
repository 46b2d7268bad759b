//! Normalisation: of channels by stored moments, of features by their own.

use crate::graph::ParameterSpec;
use crate::ops::spec;

/// Batch normalisation at inference, `y = (x - mean) / √(var + ε) · weight + bias` per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// Name of the `[channels]` gains.
    pub weight: String,
    /// Name of the `[channels]` offsets.
    pub bias: String,
    /// Name of the `[channels]` means.
    pub mean: String,
    /// Name of the `[channels]` variances.
    pub variance: String,
    /// Number of channels.
    pub channels: usize,
    /// ε
    pub epsilon: f64,
}

/// Layer normalisation, `y = (x - mean(x)) / √(var(x) + ε) · weight + bias` over the last axis.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm {
    /// Name of the `[features]` gains.
    pub weight: String,
    /// Name of the `[features]` offsets.
    pub bias: String,
    /// Number of features.
    pub features: usize,
    /// ε
    pub epsilon: f64,
}

impl BatchNorm {
    pub(crate) fn parameters(&self) -> Vec<ParameterSpec> {
        let trained = [&self.weight, &self.bias].map(|name| spec(name, &[self.channels]));
        let stored = [&self.mean, &self.variance].map(|name| ParameterSpec {
            trained: false,
            ..spec(name, &[self.channels])
        });
        trained.into_iter().chain(stored).collect()
    }
}

impl LayerNorm {
    pub(crate) fn parameters(&self) -> Vec<ParameterSpec> {
        [&self.weight, &self.bias]
            .map(|name| spec(name, &[self.features]))
            .to_vec()
    }
}
