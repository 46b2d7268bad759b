//! Convolutions of images: `y[o] = b[o] + Σ_c W[o, c] ⋆ x[c]`, `W` as
//! `[outputs, inputs / groups, height, width]` (PyTorch's layout).

use crate::graph::ParameterSpec;
use crate::ops::spec;

/// A convolution and the names of its tensors; pairs are those of height and width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Name of the `[outputs, inputs / groups, height, width]` tensor.
    pub weight: String,
    /// Name of the `[outputs]` vector.
    pub bias: Option<String>,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub stride: [usize; 2],
    /// Zeros on both sides of the image.
    pub padding: [usize; 2],
    /// Steps between the pixels of a window.
    pub dilation: [usize; 2],
    /// Groups of channels that do not mix; as many as channels in a depthwise convolution.
    pub groups: usize,
}

impl Conv2d {
    /// Numbers that one output reads: inputs / groups · height · width of the kernel.
    pub fn reads(&self) -> usize {
        self.inputs / self.groups * self.kernel[0] * self.kernel[1]
    }

    /// Height and width of the pixels that a window spans: `dilation · (kernel - 1) + 1`, or the largest
    /// number where that is larger.
    pub fn span(&self) -> [usize; 2] {
        [0, 1].map(|axis| {
            let steps = self.kernel[axis].saturating_sub(1);
            self.dilation[axis].saturating_mul(steps).saturating_add(1)
        })
    }

    /// Height and width of the output for images of the given height and width; `None` for images
    /// that are smaller than a window, or larger than can be counted.
    pub fn output_size(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let span = self.span();
        let extent = |axis: usize| {
            let border = self.padding[axis].checked_mul(2)?;
            let room = input[axis].checked_add(border)?.checked_sub(span[axis])?;
            room.checked_div(self.stride[axis])?.checked_add(1)
        };
        Some([extent(0)?, extent(1)?])
    }

    pub(crate) fn parameters(&self) -> Vec<ParameterSpec> {
        let shape = [
            self.outputs,
            self.inputs / self.groups,
            self.kernel[0],
            self.kernel[1],
        ];
        let bias = self.bias.iter().map(|bias| spec(bias, &[self.outputs]));
        [spec(&self.weight, &shape)]
            .into_iter()
            .chain(bias)
            .collect()
    }
}
