//! Softmax over the last axis: `y_j = exp(x_j) / Σ_l exp(x_l)`, and its logarithm.

use burn::tensor::activation;

use crate::Value;
use crate::ops::kernels::normalise::softmax;
use crate::value::map_value;

/// Applies softmax to the last axis of `x`.
pub(crate) fn forward(x: Value) -> Value {
    map_value!(x, t => softmax(t))
}

/// Applies the logarithm of softmax to the last axis of `x`.
pub(crate) fn logarithm(x: Value) -> Value {
    let last = x.shape().len() - 1;
    map_value!(x, t => activation::log_softmax(t, last))
}
