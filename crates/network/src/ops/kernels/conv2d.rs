//! Convolution: `[batch, channels, height, width]`, weights
//! `[outputs, channels / groups, rows, columns]`.
//!
//! ```text
//! y[o, r, c] = β_o + Σ_{q, i, j} W[o, q, i, j] · x[q, s₁ r + d₁ i - p₁, s₂ c + d₂ j - p₂]
//! ```
//!
//! In f32 on the flex device, with one group or one per channel, it is one
//! [`Correlation`], and its gradient with respect to x is one per residue of the
//! stride: the input's entries with index ≡ ρ modulo s read the output's gradient
//! through the taps with d i ≡ ρ only, at distances that no longer jump. Weights
//! are constants there; a convolution whose weights are differentiated, and every
//! other case, goes to burn's own operator.

use burn::backend::flex::FlexTensor;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};

use super::correlate::{Correlation, Matrix};
use super::kernel::{Constant, Kernel, apply, constant, contiguous, dims, numbers, tensor};

/// Stride, padding (the same on both sides), dilation and groups of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Steps between outputs, rows and columns.
    pub(crate) stride: [usize; 2],
    /// Zeros around the input.
    pub(crate) padding: [usize; 2],
    /// Steps between taps.
    pub(crate) dilation: [usize; 2],
    /// Groups of channels that do not mix.
    pub(crate) groups: usize,
}

/// The convolution of `x` with `weight`, plus `bias` `[outputs]`; shapes must fit.
pub(crate) fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    geometry: Geometry,
) -> Tensor<4> {
    let [outputs, per_group, ..] = weight.dims();
    let channels = x.dims()[1];
    let depthwise = geometry.groups == channels && per_group == 1 && outputs == channels;
    if geometry.groups == 1 || depthwise {
        let constants = (constant(&weight), bias.as_ref().map(constant));
        if let (Some(numbers), None | Some(Some(_))) = &constants {
            let kernel = Convolution {
                weight: numbers.clone(),
                shape: weight.dims(),
                bias: constants.1.flatten(),
                geometry,
                depthwise,
                input: [x.dims()[2], x.dims()[3]],
            };
            if let Some(y) = kernel.fits().then(|| apply(kernel, &x)).flatten() {
                return y;
            }
        }
    }
    let Geometry {
        stride,
        padding,
        dilation,
        groups,
    } = geometry;
    let options = ConvOptions::new(stride, padding, dilation, groups);
    module::conv2d(x, weight, bias, options)
}

#[derive(Clone, Debug)]
struct Convolution {
    weight: Constant,
    /// `[outputs, channels / groups, rows, columns]`
    shape: [usize; 4],
    bias: Option<Constant>,
    geometry: Geometry,
    depthwise: bool,
    /// Height and width of the input.
    input: [usize; 2],
}

impl Convolution {
    /// Whether the filter fits into the padded input at least once.
    fn fits(&self) -> bool {
        (0..2).all(|axis| self.padded(axis) > self.reach(axis))
    }

    fn padded(&self, axis: usize) -> usize {
        self.input[axis] + 2 * self.geometry.padding[axis]
    }

    /// Distance from the first to the last tap.
    fn reach(&self, axis: usize) -> usize {
        self.geometry.dilation[axis] * (self.shape[2 + axis] - 1)
    }

    fn output(&self) -> [usize; 2] {
        [0, 1]
            .map(|axis| (self.padded(axis) - self.reach(axis) - 1) / self.geometry.stride[axis] + 1)
    }

    fn channels(&self) -> usize {
        self.shape[1] * self.geometry.groups
    }

    /// Runs a correlation with the weights W[o, q, tap]; `forward` reads q and
    /// writes o, backward the other way round.
    fn correlate(&self, sum: &Correlation, kept: &[usize], x: &[f32], forward: bool) -> Vec<f32> {
        let [outputs, per_group, rows, columns] = self.shape;
        let (weight, taps) = (self.weight.numbers(), rows * columns);
        let bias = self
            .bias
            .as_ref()
            .filter(|_| forward)
            .map(Constant::numbers);
        if self.depthwise {
            let filters: Vec<f32> = weight
                .chunks(taps)
                .flat_map(|filter| kept.iter().map(|&tap| filter[tap]))
                .collect();
            return sum.run_depthwise(x, &filters, bias);
        }
        let entry = |o: usize, q: usize, tap: usize| weight[(o * per_group + q) * taps + kept[tap]];
        let matrix = if forward {
            Matrix::new(outputs, per_group, kept.len(), entry)
        } else {
            Matrix::new(per_group, outputs, kept.len(), |q, o, tap| entry(o, q, tap))
        };
        sum.run(x, &matrix, bias)
    }

    /// The gradient at the inputs whose padded index is ≡ `residue`, and those inputs.
    fn residue_gradient(&self, gradient: &[f32], residue: [usize; 2]) -> Option<Residue> {
        let Geometry {
            stride,
            padding,
            dilation,
            ..
        } = self.geometry;
        // Entries residue + s · i of the padded input that lie in the input itself.
        let first = [0, 1].map(|axis| {
            let missing = padding[axis].saturating_sub(residue[axis]);
            missing.div_ceil(stride[axis])
        });
        let at = [0, 1].map(|axis| residue[axis] + first[axis] * stride[axis] - padding[axis]);
        let size = [0, 1].map(|axis| {
            self.input[axis]
                .saturating_sub(at[axis])
                .div_ceil(stride[axis])
        });
        if size.contains(&0) {
            return None;
        }
        let [_, _, rows, columns] = self.shape;
        let (mut kept, mut shifts) = (Vec::new(), Vec::new());
        for tap in 0..rows * columns {
            let offset = [tap / columns * dilation[0], tap % columns * dilation[1]];
            if (0..2).all(|axis| offset[axis] % stride[axis] == residue[axis]) {
                kept.push(tap);
                shifts.push([offset[0] / stride[0], offset[1] / stride[1]]);
            }
        }
        let numbers = if kept.is_empty() {
            Vec::new()
        } else {
            let most = [0, 1].map(|axis| shifts.iter().map(|s| s[axis]).max().unwrap_or(0));
            let sum = Correlation {
                channels: self.shape[0],
                input: self.output(),
                output: size,
                origin: [0, 1].map(|axis| first[axis] as isize - most[axis] as isize),
                stride: [1, 1],
                taps: shifts
                    .iter()
                    .map(|shift| [most[0] - shift[0], most[1] - shift[1]])
                    .collect(),
            };
            self.correlate(&sum, &kept, gradient, false)
        };
        Some(Residue { at, size, numbers })
    }
}

/// Part of the input's gradient: `[batch, channels, size]`, or empty for zeros.
struct Residue {
    /// The first entry, in the input.
    at: [usize; 2],
    size: [usize; 2],
    numbers: Vec<f32>,
}

impl Kernel for Convolution {
    type Saved = ();

    fn forward(&self, x: FlexTensor) -> FlexTensor {
        let x = contiguous(x);
        let batch = dims::<4>(&x)[0];
        let [outputs, _, rows, columns] = self.shape;
        let Geometry {
            stride,
            padding,
            dilation,
            ..
        } = self.geometry;
        let kept: Vec<usize> = (0..rows * columns).collect();
        let output = self.output();
        let sum = Correlation {
            channels: self.channels(),
            input: self.input,
            output,
            origin: padding.map(|p| -(p as isize)),
            stride,
            taps: kept
                .iter()
                .map(|tap| [tap / columns * dilation[0], tap % columns * dilation[1]])
                .collect(),
        };
        let y = self.correlate(&sum, &kept, numbers(&x), true);
        tensor(y, [batch, outputs, output[0], output[1]])
    }

    fn save(&self, _: &FlexTensor, _: &FlexTensor) {}

    fn backward(&self, (): (), gradient: FlexTensor) -> FlexTensor {
        let gradient = contiguous(gradient);
        let batch = dims::<4>(&gradient)[0];
        let [height, width] = self.input;
        let stride = self.geometry.stride;
        let shape = [batch, self.channels(), height, width];
        let mut whole = vec![0.0; shape.iter().product()];
        for residue in (0..stride[0]).flat_map(|r| (0..stride[1]).map(move |c| [r, c])) {
            let Some(part) = self.residue_gradient(numbers(&gradient), residue) else {
                continue;
            };
            if stride == [1, 1] && part.size == self.input {
                return tensor(part.numbers, shape);
            }
            let planes = whole.chunks_mut(height * width);
            for (plane, part_plane) in planes.zip(part.numbers.chunks(part.size[0] * part.size[1]))
            {
                let lines = plane.chunks_mut(width).skip(part.at[0]).step_by(stride[0]);
                for (line, numbers) in lines.zip(part_plane.chunks(part.size[1])) {
                    let entries = line[part.at[1]..].iter_mut().step_by(stride[1]);
                    for (entry, &number) in entries.zip(numbers) {
                        *entry = number;
                    }
                }
            }
        }
        tensor(whole, shape)
    }
}
