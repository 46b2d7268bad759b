//! Normalisation: of channels by stored moments, of features by their own.

use burn::tensor::Tensor;

use crate::graph::ParameterSpec;
use crate::ops::kernels::normalise::layer_norm;
use crate::ops::spec;
use crate::{NetworkError, Value};

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

    /// Normalises `x`, `[batch, channels, h, w]`; `tensors` are weight, bias, mean, variance.
    pub(crate) fn forward(
        &self,
        x: Value,
        tensors: [Tensor<1>; 4],
        at: &str,
    ) -> Result<Value, NetworkError> {
        let x = x.image(self.channels, 1, 0, at)?;
        let [weight, bias, mean, variance] = tensors;
        let gain = weight / (variance + self.epsilon).sqrt();
        let offset = bias - mean * gain.clone();
        let per_channel = |t: Tensor<1>| t.reshape([1, self.channels, 1, 1]);
        Ok(Value::R4(x * per_channel(gain) + per_channel(offset)))
    }
}

impl LayerNorm {
    pub(crate) fn parameters(&self) -> Vec<ParameterSpec> {
        [&self.weight, &self.bias]
            .map(|name| spec(name, &[self.features]))
            .to_vec()
    }

    /// Normalises the last axis of `x`.
    pub(crate) fn forward(
        &self,
        x: Value,
        weight: Tensor<1>,
        bias: Tensor<1>,
        at: &str,
    ) -> Result<Value, NetworkError> {
        x.map_rows(self.features, at, |x| {
            layer_norm(x, weight, bias, self.epsilon)
        })
    }
}
