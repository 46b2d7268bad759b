//! Softmax over the last axis: `y_j = exp(x_j) / Σ_l exp(x_l)`.

use burn::tensor::activation::softmax;

use crate::Value;
use crate::value::map_value;

/// Applies softmax to the last axis of `x`.
pub(crate) fn forward(x: Value) -> Value {
    let last = x.shape().len() - 1;
    map_value!(x, t => softmax(t, last))
}
