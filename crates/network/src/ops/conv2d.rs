//! Convolutions of images.

use burn::tensor::Tensor;
use model::Conv2d;

use crate::ops::kernels::conv2d::{Geometry, conv2d};
use crate::{NetworkError, Value};

/// Convolves `x`, `[batch, inputs, h, w]`.
///
/// # Errors
/// [`NetworkError::Shape`] for other channels or an image smaller than the kernel.
pub(crate) fn forward(
    op: &Conv2d,
    x: Value,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    at: &str,
) -> Result<Value, NetworkError> {
    let least = [0, 1].map(|axis| op.span()[axis].saturating_sub(2 * op.padding[axis]));
    let x = x.image(op.inputs, least, at)?;
    let geometry = Geometry {
        stride: op.stride,
        padding: op.padding,
        dilation: op.dilation,
        groups: op.groups,
    };
    Ok(Value::R4(conv2d(x, weight, bias, geometry)))
}
