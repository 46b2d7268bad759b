//! Softmax over the last axis: `y_j = exp(x_j) / Σ_l exp(x_l)`.

use crate::Value;
use crate::ops::kernels::normalise::softmax;
use crate::value::map_value;

/// Applies softmax to the last axis of `x`.
pub(crate) fn forward(x: Value) -> Value {
    map_value!(x, t => softmax(t))
}
