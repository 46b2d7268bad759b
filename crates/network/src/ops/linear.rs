//! Affine maps: `y = x Wᵀ + b`, `W` as `[outputs, inputs]` (PyTorch's layout).

use burn::tensor::Tensor;

use crate::graph::ParameterSpec;
use crate::ops::spec;
use crate::{NetworkError, Value};

/// A linear layer and the names of its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    /// Name of the `[outputs, inputs]` matrix.
    pub weight: String,
    /// Name of the `[outputs]` vector.
    pub bias: Option<String>,
    /// Features in.
    pub inputs: usize,
    /// Features out.
    pub outputs: usize,
}

impl Linear {
    pub(crate) fn parameters(&self) -> Vec<ParameterSpec> {
        let weight = spec(&self.weight, &[self.outputs, self.inputs]);
        let bias = self.bias.iter().map(|bias| spec(bias, &[self.outputs]));
        [weight].into_iter().chain(bias).collect()
    }
}

/// Applies the map to the last axis of `x`.
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
