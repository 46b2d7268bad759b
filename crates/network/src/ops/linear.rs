//! Affine maps: `y = x Wᵀ + b`, `W` as `[outputs, inputs]` (PyTorch's layout).

use burn::tensor::Tensor;

use crate::{NetworkError, Value};

/// A linear layer and the names of its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    /// Name of the `[outputs, inputs]` matrix.
    pub weight: String,
    /// Name of the `[outputs]` vector.
    pub bias: String,
    /// Features in.
    pub inputs: usize,
    /// Features out.
    pub outputs: usize,
}

/// Applies the map to the last axis of `x`.
pub(crate) fn forward(
    x: &Value,
    weight: Tensor<2>,
    bias: Tensor<1>,
    at: &str,
) -> Result<Value, NetworkError> {
    let [_, inputs] = weight.dims();
    match x {
        Value::R2(x) if x.dims()[1] == inputs => Ok(Value::R2(
            x.clone().matmul(weight.transpose()) + bias.unsqueeze(),
        )),
        Value::R3(x) if x.dims()[2] == inputs => {
            let weight = weight.transpose().unsqueeze::<3>();
            Ok(Value::R3(x.clone().matmul(weight) + bias.unsqueeze()))
        }
        other => Err(NetworkError::shape(
            at,
            format!("[.., {inputs}]"),
            &other.shape(),
        )),
    }
}
