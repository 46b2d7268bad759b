//! Units: `y = (x - mean) / range` in front of a network, `y = x · range + mean` behind it.

use burn::tensor::Tensor;
use model::Scaling;
use model::ops::scaling::Direction;

use crate::value::map_value;
use crate::{NetworkError, Value};

/// Scales the last axis of `x`.
pub(crate) fn forward(
    op: &Scaling,
    x: Value,
    mean: Tensor<1>,
    range: Tensor<1>,
    at: &str,
) -> Result<Value, NetworkError> {
    let shape = x.shape();
    if op.features != 1 && shape.last() != Some(&op.features) {
        return Err(NetworkError::shape(
            at,
            format!("[.., {}]", op.features),
            &shape,
        ));
    }
    Ok(match op.direction {
        Direction::Normalise => {
            map_value!(x, t => (t - mean.unsqueeze()) / range.unsqueeze())
        }
        Direction::Restore => map_value!(x, t => t * range.unsqueeze() + mean.unsqueeze()),
    })
}
