//! Affine maps of the last axis.

use burn::tensor::Tensor;

use crate::{NetworkError, Value};

/// Applies `x Wᵀ + b` to the last axis of `x`, `W` as `[outputs, inputs]`.
pub(crate) fn forward(
    x: Value,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    at: &str,
) -> Result<Value, NetworkError> {
    let [_, inputs] = weight.dims();
    // One matrix product over all examples and tokens is faster than one per example.
    x.map_rows(inputs, at, |rows| {
        let y = rows.matmul(weight.transpose());
        match bias {
            Some(bias) => y + bias.unsqueeze(),
            None => y,
        }
    })
}
