//! Convolutions, `y[o, r, c] = b[o] + Σ_{q, i, j} W[o, q, i, j] · x[q, s r + d i - p, s c + d j - p]`,
//! with stride s, dilation d and padding p of each axis.
//!
//! The pixels that an output position reads form a column of a matrix P of patches, so a group of
//! channels is the product W P. P is built for some rows of outputs at a time. A group of one
//! channel (a depthwise convolution) is summed tap by tap instead: its products are too narrow.

use std::iter::repeat_n;
use std::ops::Range;

use faer::{MatMut, MatRef};
use model::ops::Conv2d;

use super::value::{Value, add_product, misfit};
use crate::RepairError;

/// Numbers of a matrix of patches that are held at once, 1 MiB: it stays in the cache that
/// the product reads it from.
const PATCH_NUMBERS: usize = 1 << 17;

/// Convolves `x`, `[inputs, h, w]`, with `weight`, `[outputs, inputs / groups, h, w]`.
pub(super) fn convolution(
    op: &Conv2d,
    x: &Value,
    weight: &[f64],
    bias: Option<&[f64]>,
    at: &str,
) -> Result<Value, RepairError> {
    let [channels, height, width] = x.image(at)?;
    let span = [0, 1].map(|axis| op.dilation[axis] * (op.kernel[axis] - 1) + 1);
    let padded = [0, 1].map(|axis| [height, width][axis] + 2 * op.padding[axis]);
    if channels != op.inputs || padded[0] < span[0] || padded[1] < span[1] {
        let [h, w] = [0, 1].map(|axis| span[axis].saturating_sub(2 * op.padding[axis]).max(1));
        let expected = format!(
            "[{}, h, w] with h of at least {h}, w of at least {w}",
            op.inputs
        );
        return Err(misfit(at, expected, &x.shape));
    }
    let windows = Windows {
        op,
        input: [height, width],
        output: [0, 1].map(|axis| (padded[axis] - span[axis]) / op.stride[axis] + 1),
    };
    let [rows, columns] = windows.output;
    let mut y = match bias {
        Some(bias) => bias
            .iter()
            .flat_map(|&b| repeat_n(b, rows * columns))
            .collect(),
        None => vec![0.0; op.outputs * rows * columns],
    };
    let channels_per_group = op.inputs / op.groups;
    let groups = y
        .chunks_exact_mut(op.outputs / op.groups * rows * columns)
        .zip(x.numbers.chunks_exact(channels_per_group * height * width))
        .zip(weight.chunks_exact(op.outputs / op.groups * op.reads()));
    for ((y, x), weight) in groups {
        match channels_per_group {
            1 => windows.filter(y, x, weight),
            _ => windows.correlate(y, x, weight),
        }
    }
    Ok(Value::new(&[op.outputs, rows, columns], y))
}

/// Where the windows of a convolution lie.
struct Windows<'a> {
    op: &'a Conv2d,
    input: [usize; 2],
    output: [usize; 2],
}

impl Windows<'_> {
    /// Adds the correlation of the channels `x` of one group with its weights to `y`.
    fn correlate(&self, y: &mut [f64], x: &[f64], weight: &[f64]) {
        let (reads, [rows, columns]) = (self.op.reads(), self.output);
        let outputs = y.len() / (rows * columns);
        let weight = MatRef::from_row_major_slice(weight, outputs, reads);
        let mut y = MatMut::from_row_major_slice_mut(y, outputs, rows * columns);
        if (self.op.kernel, self.op.stride, self.op.padding) == ([1; 2], [1; 2], [0; 2]) {
            // The image is its own matrix of patches.
            return add_product(
                y,
                weight,
                MatRef::from_row_major_slice(x, reads, rows * columns),
            );
        }
        let step = (PATCH_NUMBERS / (reads * columns)).clamp(1, rows);
        let mut patches = Vec::with_capacity(reads * step * columns);
        for first in (0..rows).step_by(step) {
            let some = first..(first + step).min(rows);
            let (start, positions) = (first * columns, some.len() * columns);
            self.gather(&mut patches, x, some);
            add_product(
                y.as_mut().subcols_mut(start, positions),
                weight,
                MatRef::from_row_major_slice(&patches, reads, positions),
            );
        }
    }

    /// The patches of the output rows `some`, one row of numbers per channel and tap.
    fn gather(&self, patches: &mut Vec<f64>, x: &[f64], some: Range<usize>) {
        let [height, width] = self.input;
        let Conv2d {
            kernel,
            stride,
            padding,
            dilation,
            ..
        } = *self.op;
        patches.clear();
        for plane in x.chunks_exact(height * width) {
            for i in 0..kernel[0] {
                let rows = self.inside(0, i);
                for j in 0..kernel[1] {
                    let columns = self.inside(1, j);
                    for r in some.clone() {
                        if !rows.contains(&r) || columns.is_empty() {
                            patches.extend(repeat_n(0.0, self.output[1]));
                            continue;
                        }
                        let row = (r * stride[0] + i * dilation[0] - padding[0]) * width;
                        let first = columns.start * stride[1] + j * dilation[1] - padding[1];
                        let pixels = &plane[row + first..];
                        patches.extend(repeat_n(0.0, columns.start));
                        match stride[1] {
                            1 => patches.extend_from_slice(&pixels[..columns.len()]),
                            step => patches.extend(pixels.iter().step_by(step).take(columns.len())),
                        }
                        patches.extend(repeat_n(0.0, self.output[1] - columns.end));
                    }
                }
            }
        }
    }

    /// Adds the correlations of one channel `x` with the kernel of each channel of `y`.
    fn filter(&self, y: &mut [f64], x: &[f64], weight: &[f64]) {
        let ([_, width], [rows, columns]) = (self.input, self.output);
        let Conv2d {
            kernel,
            stride,
            padding,
            dilation,
            ..
        } = *self.op;
        let kernels = weight.chunks_exact(kernel[0] * kernel[1]);
        for (y, weight) in y.chunks_exact_mut(rows * columns).zip(kernels) {
            for (tap, &w) in weight.iter().enumerate() {
                let (i, j) = (tap / kernel[1], tap % kernel[1]);
                let inside = self.inside(1, j);
                if inside.is_empty() {
                    continue;
                }
                for r in self.inside(0, i) {
                    let row = (r * stride[0] + i * dilation[0] - padding[0]) * width;
                    let first = inside.start * stride[1] + j * dilation[1] - padding[1];
                    let pixels = &x[row + first..];
                    let sums = &mut y[r * columns..][inside.clone()];
                    match stride[1] {
                        1 => accumulate(sums, w, pixels.iter()),
                        step => accumulate(sums, w, pixels.iter().step_by(step)),
                    }
                }
            }
        }
    }

    /// The outputs along an axis whose `tap` reads inside the image: those at which
    /// `0 <= stride · output + dilation · tap - padding < extent`.
    fn inside(&self, axis: usize, tap: usize) -> Range<usize> {
        let (stride, padding) = (self.op.stride[axis], self.op.padding[axis]);
        let tap = tap * self.op.dilation[axis];
        let first = padding.saturating_sub(tap).div_ceil(stride);
        let end = (self.input[axis] + padding)
            .saturating_sub(tap)
            .div_ceil(stride);
        first..end.clamp(first, self.output[axis].max(first))
    }
}

/// `sums += w · pixels`
fn accumulate<'a>(sums: &mut [f64], w: f64, pixels: impl Iterator<Item = &'a f64>) {
    for (sum, x) in sums.iter_mut().zip(pixels) {
        *sum += w * x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(inputs: usize, outputs: usize, [kernel, stride, padding, groups]: [usize; 4]) -> Conv2d {
        Conv2d {
            weight: "w".into(),
            bias: None,
            inputs,
            outputs,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1; 2],
            groups,
        }
    }

    fn numbers(count: usize) -> Vec<f64> {
        (0..count)
            .map(|i| (i as f64 * 0.754_877_666).fract() - 0.4)
            .collect()
    }

    /// The definition, one output at a time.
    fn by_definition(op: &Conv2d, x: &Value, weight: &[f64], bias: &[f64]) -> Value {
        let [_, h, w] = x.image("here").unwrap();
        let [rows, columns] = op.output_size([h, w]).unwrap();
        let per_group = op.inputs / op.groups;
        let mut y = Vec::new();
        for o in 0..op.outputs {
            let group = o / (op.outputs / op.groups);
            for r in 0..rows {
                for c in 0..columns {
                    let mut sum = bias[o];
                    for read in 0..op.reads() {
                        let [_, across] = op.kernel;
                        let area = op.kernel[0] * across;
                        let (q, tap) = (read / area, read % area);
                        let at = |axis: usize, output: usize, tap: usize| {
                            (output * op.stride[axis] + tap * op.dilation[axis])
                                .checked_sub(op.padding[axis])
                        };
                        let (row, column) = (at(0, r, tap / across), at(1, c, tap % across));
                        if let (Some(row), Some(column)) = (row, column)
                            && row < h
                            && column < w
                        {
                            let plane = (group * per_group + q) * h * w;
                            sum +=
                                weight[o * op.reads() + read] * x.numbers[plane + row * w + column];
                        }
                    }
                    y.push(sum);
                }
            }
        }
        Value::new(&[op.outputs, rows, columns], y)
    }

    #[test]
    fn every_geometry_equals_the_definition() {
        let geometries = [
            op(3, 4, [3, 1, 1, 1]),
            op(3, 4, [3, 2, 0, 1]),
            op(3, 4, [1, 1, 0, 1]),
            op(3, 4, [1, 2, 0, 1]),
            op(2, 2, [7, 2, 3, 1]),
            op(4, 6, [3, 1, 1, 2]),
            op(4, 4, [3, 1, 1, 4]),
            op(4, 8, [3, 2, 1, 4]),
            op(2, 3, [5, 3, 4, 1]),
            Conv2d {
                kernel: [3, 2],
                stride: [1, 2],
                padding: [2, 0],
                dilation: [2, 3],
                ..op(2, 3, [1, 1, 0, 1])
            },
            Conv2d {
                kernel: [1, 3],
                padding: [0, 1],
                dilation: [1, 2],
                ..op(3, 3, [1, 1, 0, 3])
            },
        ];
        // The last image needs more than one matrix of patches.
        for (op, [h, w]) in geometries
            .iter()
            .flat_map(|op| [[7, 9], [8, 6], [3, 10]].map(|size| (op, size)))
            .chain([(&geometries[0], [90, 100])])
        {
            if op.output_size([h, w]).is_none() {
                continue;
            }
            let x = Value::new(&[op.inputs, h, w], numbers(op.inputs * h * w));
            let (weight, bias) = (numbers(op.outputs * op.reads()), numbers(op.outputs));
            let y = convolution(op, &x, &weight, Some(&bias), "here").unwrap();
            let expected = by_definition(op, &x, &weight, &bias);
            assert_eq!(y.shape, expected.shape);
            for (a, b) in y.numbers.iter().zip(&expected.numbers) {
                assert!((a - b).abs() < 1e-13, "{op:?} on {h}x{w}: {a} {b}");
            }
        }
    }

    #[test]
    fn groups_read_their_own_channels() {
        let x = Value::new(&[4, 1, 1], vec![1.0, 2.0, 4.0, 8.0]);
        let weight = [1.0, 1.0, 10.0, 10.0];
        let y = convolution(&op(4, 2, [1, 1, 0, 2]), &x, &weight, None, "here").unwrap();
        assert_eq!(y.numbers, [3.0, 120.0]);
    }

    #[test]
    fn nan_reaches_every_output_that_reads_it() {
        let mut pixels = [0.0; 25];
        pixels[12] = f64::NAN;
        for groups in [1, 2] {
            let x = Value::new(&[2, 5, 5], pixels.repeat(2));
            let op = op(2, 2, [3, 1, 1, groups]);
            let y = convolution(&op, &x, &vec![0.0; 2 * op.reads()], None, "here").unwrap();
            let nans = y.numbers.iter().filter(|y| y.is_nan()).count();
            assert_eq!(nans, 18, "{groups}");
        }
    }

    #[test]
    fn an_image_smaller_than_the_kernel_is_refused() {
        let x = Value::new(&[3, 2, 5], vec![0.0; 30]);
        let error = convolution(&op(3, 1, [3, 1, 0, 1]), &x, &[0.0; 27], None, "stem").unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("stem: expected shape [3, h, w] with h of at least 3, w of at least 3"),
            "{error}"
        );
    }
}
