//! Convolutions of images: `y[o] = b[o] + Σ_c W[o, c] ⋆ x[c]`, `W` as
//! `[outputs, inputs / groups, height, width]` (PyTorch's layout).

use burn::tensor::Tensor;

use crate::graph::ParameterSpec;
use crate::ops::kernels::conv2d::{Geometry, conv2d};
use crate::ops::spec;
use crate::{NetworkError, Value};

/// A convolution and the names of its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Name of the `[outputs, inputs / groups, kernel, kernel]` tensor.
    pub weight: String,
    /// Name of the `[outputs]` vector.
    pub bias: Option<String>,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Steps between windows.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: usize,
    /// Groups of channels that do not mix; as many as channels in a depthwise convolution.
    pub groups: usize,
}

impl Conv2d {
    /// Numbers that one output reads: inputs / groups · kernel².
    pub fn reads(&self) -> usize {
        self.inputs / self.groups * self.kernel * self.kernel
    }

    pub(crate) fn parameters(&self) -> Vec<ParameterSpec> {
        let shape = [
            self.outputs,
            self.inputs / self.groups,
            self.kernel,
            self.kernel,
        ];
        let bias = self.bias.iter().map(|bias| spec(bias, &[self.outputs]));
        [spec(&self.weight, &shape)]
            .into_iter()
            .chain(bias)
            .collect()
    }

    /// Convolves `x`, `[batch, inputs, h, w]`.
    ///
    /// # Errors
    /// [`NetworkError::Shape`] for other channels or an image smaller than the kernel.
    pub(crate) fn forward(
        &self,
        x: Value,
        weight: Tensor<4>,
        bias: Option<Tensor<1>>,
        at: &str,
    ) -> Result<Value, NetworkError> {
        let x = x.image(self.inputs, self.kernel, self.padding, at)?;
        let geometry = Geometry {
            stride: [self.stride; 2],
            padding: [self.padding; 2],
            dilation: [1, 1],
            groups: self.groups,
        };
        Ok(Value::R4(conv2d(x, weight, bias, geometry)))
    }
}
