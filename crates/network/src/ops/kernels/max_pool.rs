//! Max-pooling: `[batch, channels, height, width]`.
//!
//! ```text
//! y[q, r, c] = max_{i, j} x[q, s₁ r + d₁ i - p₁, s₂ c + d₂ j - p₂]
//! ```
//!
//! with -∞ outside the plane; in ceil mode the last window may begin inside and
//! end outside. The gradient goes to the first winner of each window in row-major
//! order. In f32 on the flex device both directions run over the rows of the
//! phases of [`Correlation`], tap by tap; burn's operator serves every other case.

use burn::backend::flex::FlexTensor;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Tensor, module};
use rayon::prelude::*;

use super::correlate::{Correlation, Phases};
use super::kernel::{Kernel, apply, contiguous, dims, numbers, tensor};
use super::vector_math::widest;

/// Windows of a max-pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Rows and columns.
    pub(crate) size: [usize; 2],
    /// Steps between windows.
    pub(crate) stride: [usize; 2],
    /// Border around the input.
    pub(crate) padding: [usize; 2],
    /// Whether a last, incomplete window counts.
    pub(crate) ceil: bool,
}

/// The largest entry of every window of `x`.
pub(crate) fn max_pool2d(x: Tensor<4>, window: Window) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let input = [height, width];
    let kernel = window.output(input).map(|output| MaxPool {
        window,
        input,
        output,
    });
    if let Some(y) = kernel.and_then(|kernel| apply(kernel, &x)) {
        return y;
    }
    let options = MaxPoolOptions::new(window.size)
        .with_stride(window.stride)
        .with_padding(window.padding)
        .with_ceil_mode(window.ceil);
    module::max_pool2d(x, options)
}

#[derive(Clone, Copy, Debug)]
struct MaxPool {
    window: Window,
    input: [usize; 2],
    output: [usize; 2],
}

impl Window {
    /// Height and width of the output for planes of the given height and width; `None` where a
    /// window does not fit.
    pub(crate) fn output(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let Self {
            size,
            stride,
            padding,
            ceil,
        } = *self;
        let count = |axis: usize| {
            let padded = input[axis] + 2 * padding[axis];
            let span = padded.checked_sub(size[axis])?;
            if !ceil {
                return Some(span / stride[axis] + 1);
            }
            let count = span.div_ceil(stride[axis]) + 1;
            // The last window begins in the input or in its leading border.
            let begins_inside = (count - 1) * stride[axis] < input[axis] + padding[axis];
            Some(if begins_inside { count } else { count - 1 })
        };
        let empty = input.contains(&0);
        Some([count(0)?, count(1)?]).filter(|_| !empty)
    }
}

impl MaxPool {
    /// The windows as taps of one plane.
    fn taps(&self) -> Correlation {
        let [rows, columns] = self.window.size;
        Correlation {
            channels: 1,
            input: self.input,
            output: self.output,
            origin: self.window.padding.map(|p| -(p as isize)),
            stride: self.window.stride,
            taps: (0..rows * columns)
                .map(|tap| [tap / columns, tap % columns])
                .collect(),
        }
    }
}

impl Kernel for MaxPool {
    type Saved = (FlexTensor, FlexTensor);

    fn forward(&self, x: FlexTensor) -> FlexTensor {
        let x = contiguous(x);
        let [batch, channels, height, width] = dims::<4>(&x);
        let taps = self.taps();
        let (phases, output) = (taps.phases(), self.output);
        let offsets = taps.offsets(&phases);
        let mut y = vec![f32::NEG_INFINITY; batch * channels * output[0] * output[1]];

        y.par_chunks_mut((output[0] * output[1]).max(1))
            .zip(numbers(&x).par_chunks((height * width).max(1)))
            .with_min_len(4)
            .for_each_init(
                || phases.filled(f32::NEG_INFINITY),
                |source, (y, plane)| {
                    widest(
                        #[inline(always)]
                        || {
                            taps.split(plane, &phases, source);
                            winners(source, &offsets, phases.pitch, output[1], y);
                        },
                    );
                },
            );
        tensor(y, [batch, channels, output[0], output[1]])
    }

    fn save(&self, x: &FlexTensor, y: &FlexTensor) -> Self::Saved {
        (x.clone(), y.clone())
    }

    fn backward(&self, (x, y): Self::Saved, gradient: FlexTensor) -> FlexTensor {
        let (x, gradient) = (contiguous(x), contiguous(gradient));
        let shape @ [_, _, height, width] = dims::<4>(&x);
        let taps = self.taps();
        let (phases, output) = (taps.phases(), self.output);
        let offsets = taps.offsets(&phases);
        let mut whole = vec![0.0; shape.iter().product()];

        let out_plane = (output[0] * output[1]).max(1);
        let inputs = numbers(&x).par_chunks((height * width).max(1));
        let outputs = numbers(&y).par_chunks(out_plane);
        whole
            .par_chunks_mut((height * width).max(1))
            .zip(inputs.zip(outputs.zip(numbers(&gradient).par_chunks(out_plane))))
            .with_min_len(4)
            .for_each_init(
                || {
                    (
                        phases.filled(f32::NEG_INFINITY),
                        phases.filled(0.0),
                        vec![0.0; output[1]],
                    )
                },
                |(source, share, left), (whole, (plane, (y, gradient)))| {
                    widest(
                        #[inline(always)]
                        || {
                            taps.split(plane, &phases, source);
                            share.fill(0.0);
                            let windows = Windows {
                                source,
                                y,
                                gradient,
                                width: output[1],
                            };
                            windows.share(&offsets, phases.pitch, left, share);
                            taps.join(share, &phases, whole);
                        },
                    );
                },
            );
        tensor(whole, shape)
    }
}

/// The largest number of every window; NaN where a window holds one.
#[inline(always)]
fn winners(source: &[f32], offsets: &[usize], pitch: usize, width: usize, y: &mut [f32]) {
    for (row, y) in y.chunks_exact_mut(width).enumerate() {
        for &offset in offsets {
            let line = &source[offset + row * pitch..][..width];
            for (y, &x) in y.iter_mut().zip(line) {
                // A NaN on either side wins.
                *y = if (x <= *y) | y.is_nan() { *y } else { x };
            }
        }
    }
}

/// A plane with the winners of its windows and their gradients.
struct Windows<'a> {
    source: &'a [f32],
    y: &'a [f32],
    gradient: &'a [f32],
    width: usize,
}

impl Windows<'_> {
    /// Adds every window's gradient to the entry of its first winner; `left` is
    /// scratch space for a row of gradients that have not found theirs yet.
    #[inline(always)]
    fn share(&self, offsets: &[usize], pitch: usize, left: &mut [f32], share: &mut [f32]) {
        let rows = self
            .y
            .chunks_exact(self.width)
            .zip(self.gradient.chunks_exact(self.width));
        for (row, (y, gradient)) in rows.enumerate() {
            left.copy_from_slice(gradient);
            for &offset in offsets {
                let start = offset + row * pitch;
                let line = &self.source[start..][..self.width];
                let share = &mut share[start..][..self.width];
                for (((share, left), &x), &y) in
                    share.iter_mut().zip(left.iter_mut()).zip(line).zip(y)
                {
                    let wins = (x == y) | (x.is_nan() & y.is_nan());
                    let part = if wins { *left } else { 0.0 };
                    *share += part;
                    *left -= part;
                }
            }
        }
    }
}

impl Phases {
    /// Room for the phases of one plane.
    fn filled(&self, value: f32) -> Vec<f32> {
        vec![value; self.residues.len() * self.rows * self.pitch]
    }
}

impl Correlation {
    /// Copies a plane into its phases; their borders are left alone.
    #[inline(always)]
    fn split(&self, plane: &[f32], phases: &Phases, source: &mut [f32]) {
        let size = phases.rows * phases.pitch;
        for (&residue, phase) in phases.residues.iter().zip(source.chunks_mut(size)) {
            self.copy_phase(plane, residue, phases.pitch, phase);
        }
    }

    /// The inverse of `split`: entries of the plane that no phase holds are left alone.
    #[inline(always)]
    fn join(&self, source: &[f32], phases: &Phases, plane: &mut [f32]) {
        let [height, width] = self.input;
        let size = phases.rows * phases.pitch;
        for (&residue, phase) in phases.residues.iter().zip(source.chunks(size)) {
            let first = self.origin[1] + residue[1] as isize;
            let begin = ((-first).max(0) as usize).div_ceil(self.stride[1]);
            let start = (first + (begin * self.stride[1]) as isize) as usize;
            for (row, line) in phase.chunks(phases.pitch).enumerate() {
                let y = self.origin[0] + (residue[0] + row * self.stride[0]) as isize;
                if y < 0 || y >= height as isize || begin >= line.len() || start >= width {
                    continue;
                }
                let entries = plane[y as usize * width..][start..width].iter_mut();
                for (entry, &number) in entries.step_by(self.stride[1]).zip(&line[begin..]) {
                    *entry = number;
                }
            }
        }
    }
}
