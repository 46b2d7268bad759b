//! Affine maps: `y = x Wᵀ + b`, `W` as `[outputs, inputs]` (PyTorch's layout).

use crate::graph::ParameterSpec;
use crate::ops::spec;

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
