//! Normalisation: of channels by stored moments, of features by their own.

use burn::tensor::Tensor;
use model::{BatchNorm, LayerNorm};

use crate::ops::kernels::normalise::layer_norm;
use crate::value::map_value;
use crate::{NetworkError, Value};

/// Normalises `x`, `[batch, channels, h, w]`; `tensors` are weight, bias, mean, variance.
pub(crate) fn batch_norm(
    op: &BatchNorm,
    x: Value,
    tensors: [Tensor<1>; 4],
    at: &str,
) -> Result<Value, NetworkError> {
    let x = x.image(op.channels, [1, 1], at)?;
    let [weight, bias, mean, variance] = tensors;
    let gain = weight / (variance + op.epsilon).sqrt();
    let offset = bias - mean * gain.clone();
    let per_channel = |t: Tensor<1>| t.reshape([1, op.channels, 1, 1]);
    Ok(Value::R4(x * per_channel(gain) + per_channel(offset)))
}

/// Normalises the last axis of `x`, with gains and offsets.
pub(crate) fn layer(
    op: &LayerNorm,
    x: Value,
    weight: Tensor<1>,
    bias: Tensor<1>,
    at: &str,
) -> Result<Value, NetworkError> {
    x.map_rows(op.features, at, |x| layer_norm(x, weight, bias, op.epsilon))
}

/// Normalises the last axis of `x`, without gains and offsets.
pub(crate) fn standardise(x: Value, epsilon: f64) -> Value {
    let last = x.shape().len() - 1;
    map_value!(x, t => {
        let centred = t.clone() - t.mean_dim(last);
        let variance = (centred.clone() * centred.clone()).mean_dim(last);
        centred / (variance + epsilon).sqrt()
    })
}

/// The mean over the last axis of `x`, which keeps the extent 1.
pub(crate) fn mean(x: Value) -> Value {
    let last = x.shape().len() - 1;
    map_value!(x, t => t.mean_dim(last))
}
