//! Convolutions,
//! `y[o, r, c] = b[o] + Σ_{q, i, j} W[o, q, i, j] · x[q, s r + d i - p, s c + d j - p]`.
//!
//! The pixels that an output position reads form a column of a matrix P of patches, so that a
//! group of channels is the product W P. P is built for some rows of outputs at a time. A group of
//! one channel (a depthwise convolution) is summed tap by tap: its products are too narrow.

use std::iter::repeat_n;
use std::ops::Range;

use faer::{MatMut, MatRef};

use super::super::value::add_product;
use super::error::OnnxError;
use super::operators::{Call, Operator};
use super::tensor::{LIMIT, Tensor};
use super::windows::{Windows, windows};

pub(super) const OPERATORS: &[Operator] = &[Operator::new(
    "Conv",
    2,
    3,
    &[
        "auto_pad",
        "dilations",
        "group",
        "kernel_shape",
        "pads",
        "strides",
    ],
    convolve,
)];

/// Numbers of a matrix of patches that are held at once, 1 MiB: it stays in the cache that the
/// product reads it from.
const PATCH_NUMBERS: usize = 1 << 17;

/// Convolves `[batch, channels, (h,) w]` with `[outputs, channels / group, (kh,) kw]`.
fn convolve(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let ((x, numbers), (w, weight)) = (call.floats(0)?, call.floats(1)?);
    call.check_same_type(x, w)?;
    let (&[batch, channels, ref spatial @ ..], &[outputs, reads, ref kernel @ ..]) =
        (x.shape.as_slice(), w.shape.as_slice())
    else {
        return Err(call.misshapen("[batch, channels, ..] and a kernel for it", &x.shape));
    };
    let groups = call.extent(call.int_attribute("group", 1)?)?;
    let divides = groups > 0 && outputs.is_multiple_of(groups) && outputs * reads > 0;
    if !divides || reads.checked_mul(groups) != Some(channels) {
        let expected = format!("a kernel for {channels} channels in {groups} groups");
        return Err(call.misshapen(expected, &w.shape));
    }
    check_kernel(call, kernel)?;
    let axes = windows(call, spatial, kernel, false)?;
    let bias = bias(call, x, outputs)?;
    let [rows, columns] = axes.map(|axis| axis.output);
    let mut shape = vec![batch, outputs];
    shape.extend(axes[2 - spatial.len()..].iter().map(|axis| axis.output));
    call.elements(&shape)?;
    let reads = weight.len() / outputs;
    if reads
        .checked_mul(columns)
        .is_none_or(|patches| patches > LIMIT)
    {
        let expected = format!("patches of at most {LIMIT} numbers");
        return Err(call.misfit(expected, format!("{reads} x {columns}")));
    }
    let mut y = Vec::with_capacity(batch * outputs * rows * columns);
    for _ in 0..batch {
        y.extend(bias.iter().flat_map(|&b| repeat_n(b, rows * columns)));
    }
    let group = outputs / groups;
    let inputs = numbers.chunks_exact(channels / groups * axes[0].input * axes[1].input);
    let kernels = weight.chunks_exact(group * reads).cycle();
    for ((y, x), weight) in y
        .chunks_exact_mut(group * rows * columns)
        .zip(inputs)
        .zip(kernels)
    {
        match channels / groups {
            1 => filter(&axes, y, x, weight),
            _ => correlate(&axes, y, x, weight),
        }
    }
    Ok(vec![Tensor::floats(&shape, x.element, y)])
}

/// The attribute that repeats the extents of the kernel must agree with them.
fn check_kernel(call: &Call<'_>, kernel: &[usize]) -> Result<(), OnnxError> {
    let Some(stated) = call.ints_attribute("kernel_shape")? else {
        return Ok(());
    };
    let same = stated.iter().map(|&extent| usize::try_from(extent).ok());
    if same.eq(kernel.iter().copied().map(Some)) {
        return Ok(());
    }
    let expected = format!("`kernel_shape` of the kernel, {kernel:?}");
    Err(call.misfit(expected, format!("{stated:?}")))
}

/// One number per output channel, zeros where there is no bias.
fn bias(call: &Call<'_>, x: &Tensor, outputs: usize) -> Result<Vec<f64>, OnnxError> {
    let Some(bias) = call.optional(2) else {
        return Ok(vec![0.0; outputs]);
    };
    call.check_same_type(x, bias)?;
    if bias.shape != [outputs] {
        return Err(call.misshapen(format!("a bias of [{outputs}]"), &bias.shape));
    }
    Ok(call.floats_of(bias)?.to_vec())
}

/// Adds the correlation of the channels `x` of one group with its kernels to `y`.
fn correlate(axes: &[Windows; 2], y: &mut [f64], x: &[f64], weight: &[f64]) {
    let [rows, columns] = axes.map(|axis| axis.output);
    let outputs = y.len() / (rows * columns);
    let reads = weight.len() / outputs;
    let weight = MatRef::from_row_major_slice(weight, outputs, reads);
    let mut y = MatMut::from_row_major_slice_mut(y, outputs, rows * columns);
    let plain = |axis: &Windows| {
        (axis.kernel, axis.stride) == (1, 1) && (axis.before, axis.after) == (0, 0)
    };
    if axes.iter().all(plain) {
        // The image is its own matrix of patches.
        let patches = MatRef::from_row_major_slice(x, reads, rows * columns);
        return add_product(y, weight, patches);
    }
    let step = (PATCH_NUMBERS / (reads * columns)).clamp(1, rows);
    let mut patches = Vec::with_capacity(reads * step * columns);
    for first in (0..rows).step_by(step) {
        let some = first..(first + step).min(rows);
        let (start, positions) = (first * columns, some.len() * columns);
        collect_patches(axes, &mut patches, x, some);
        add_product(
            y.as_mut().subcols_mut(start, positions),
            weight,
            MatRef::from_row_major_slice(&patches, reads, positions),
        );
    }
}

/// The patches of the output rows `some`, one row of numbers per channel and tap.
fn collect_patches(
    [down, across]: &[Windows; 2],
    patches: &mut Vec<f64>,
    x: &[f64],
    some: Range<usize>,
) {
    patches.clear();
    for plane in x.chunks_exact(down.input * across.input) {
        for (i, j) in (0..down.kernel).flat_map(|i| (0..across.kernel).map(move |j| (i, j))) {
            let (rows, columns) = (down.inside(i), across.inside(j));
            for r in some.clone() {
                if !rows.contains(&r) || columns.is_empty() {
                    patches.extend(repeat_n(0.0, across.output));
                    continue;
                }
                let pixels = &plane[down.element(r, i) * across.input..];
                let pixels = pixels[across.element(columns.start, j)..].iter();
                patches.extend(repeat_n(0.0, columns.start));
                match across.stride {
                    1 => patches.extend(pixels.take(columns.len())),
                    stride => patches.extend(pixels.step_by(stride).take(columns.len())),
                }
                patches.extend(repeat_n(0.0, across.output - columns.end));
            }
        }
    }
}

/// Adds the correlations of one channel `x` with the kernel of each channel of `y`.
fn filter([down, across]: &[Windows; 2], y: &mut [f64], x: &[f64], weight: &[f64]) {
    let planes = y.chunks_exact_mut(down.output * across.output);
    for (y, weight) in planes.zip(weight.chunks_exact(down.kernel * across.kernel)) {
        for (tap, &w) in weight.iter().enumerate() {
            let (i, j) = (tap / across.kernel, tap % across.kernel);
            let inside = across.inside(j);
            if inside.is_empty() {
                continue;
            }
            for r in down.inside(i) {
                let pixels = &x[down.element(r, i) * across.input..];
                let pixels = pixels[across.element(inside.start, j)..].iter();
                let sums = &mut y[r * across.output..][inside.clone()];
                match across.stride {
                    1 => accumulate(sums, w, pixels),
                    stride => accumulate(sums, w, pixels.step_by(stride)),
                }
            }
        }
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
    use super::super::attributes::Attribute;
    use super::super::tensor::Data;
    use super::super::testing::{arbitrary, assert_near, float, floats, one, refused};
    use super::*;

    /// Groups, strides, dilations, pads of a convolution of images.
    type Geometry = (i64, [i64; 2], [i64; 2], [i64; 4]);

    fn attributes((group, strides, dilations, pads): Geometry) -> Vec<(&'static str, Attribute)> {
        vec![
            ("group", Attribute::Int(group)),
            ("strides", Attribute::Ints(strides.to_vec())),
            ("dilations", Attribute::Ints(dilations.to_vec())),
            ("pads", Attribute::Ints(pads.to_vec())),
        ]
    }

    fn numbers(x: &Tensor) -> &[f64] {
        match &*x.data {
            Data::Floats(numbers) => numbers,
            other => panic!("{other:?}"),
        }
    }

    /// The definition, one output at a time.
    fn by_definition(x: &Tensor, w: &Tensor, bias: &[f64], y: &[usize], of: Geometry) -> Vec<f64> {
        let (groups, strides, dilations, pads) = of;
        let &[_, channels, height, width] = x.shape.as_slice() else {
            panic!("an image");
        };
        let &[_, reads, kernel_rows, kernel_columns] = w.shape.as_slice() else {
            panic!("a kernel");
        };
        let pixel = |n: usize, q: usize, r: i64, c: i64| {
            let inside = (0..height as i64).contains(&r) && (0..width as i64).contains(&c);
            let place = (n * channels + q) * height * width;
            match inside {
                true => numbers(x)[place + r as usize * width + c as usize],
                false => 0.0,
            }
        };
        let at = |n: usize, o: usize, r: usize, c: usize| {
            let group = o / (y[1] / groups as usize);
            let mut sum = bias[o];
            for read in 0..reads * kernel_rows * kernel_columns {
                let (q, tap) = (
                    read / (kernel_rows * kernel_columns),
                    read % (kernel_rows * kernel_columns),
                );
                let (i, j) = ((tap / kernel_columns) as i64, (tap % kernel_columns) as i64);
                let row = r as i64 * strides[0] + i * dilations[0] - pads[0];
                let column = c as i64 * strides[1] + j * dilations[1] - pads[1];
                let weight = numbers(w)[o * reads * kernel_rows * kernel_columns + read];
                sum += weight * pixel(n, group * reads + q, row, column);
            }
            sum
        };
        let mut all = Vec::new();
        for position in 0..y.iter().product() {
            let (plane, pixel) = (position / (y[2] * y[3]), position % (y[2] * y[3]));
            all.push(at(plane / y[1], plane % y[1], pixel / y[3], pixel % y[3]));
        }
        all
    }

    #[test]
    fn every_geometry_equals_the_definition() {
        let cases: [([usize; 4], [usize; 4], Geometry); 9] = [
            (
                [2, 3, 7, 9],
                [4, 3, 3, 3],
                (1, [1, 1], [1, 1], [1, 1, 1, 1]),
            ),
            (
                [1, 3, 8, 6],
                [4, 3, 3, 2],
                (1, [2, 1], [1, 1], [0, 2, 1, 0]),
            ),
            (
                [2, 3, 5, 4],
                [4, 3, 1, 1],
                (1, [1, 1], [1, 1], [0, 0, 0, 0]),
            ),
            (
                [1, 3, 5, 4],
                [4, 3, 1, 1],
                (1, [2, 2], [1, 1], [0, 0, 0, 0]),
            ),
            (
                [1, 3, 5, 4],
                [4, 3, 1, 1],
                (1, [1, 1], [1, 1], [0, 0, 1, 0]),
            ),
            (
                [2, 4, 9, 8],
                [6, 2, 3, 3],
                (2, [1, 2], [2, 1], [2, 0, 1, 3]),
            ),
            (
                [2, 4, 9, 8],
                [8, 1, 3, 5],
                (4, [2, 1], [1, 1], [1, 2, 1, 2]),
            ),
            (
                [1, 4, 9, 8],
                [4, 1, 3, 3],
                (4, [1, 1], [3, 2], [3, 2, 3, 2]),
            ),
            (
                [1, 2, 90, 100],
                [3, 2, 5, 5],
                (1, [1, 1], [1, 1], [2, 2, 2, 2]),
            ),
        ];
        for (x, w, geometry) in cases {
            let (x, w, b) = (arbitrary(&x), arbitrary(&w), arbitrary(&w[..1]));
            let y = one("Conv", 11, &attributes(geometry), &[&x, &w, &b]);
            let expected = by_definition(&x, &w, numbers(&b), &y.shape, geometry);
            assert_near(numbers(&y), &expected, 1e-13);
        }
    }

    #[test]
    fn a_line_is_an_image_of_one_row() {
        let (x, w) = (arbitrary(&[2, 3, 10]), arbitrary(&[4, 3, 3]));
        let line = [
            ("pads", Attribute::Ints(vec![2, 1])),
            ("strides", Attribute::Ints(vec![2])),
            ("kernel_shape", Attribute::Ints(vec![3])),
        ];
        let y = one("Conv", 11, &line, &[&x, &w]);
        let image = attributes((1, [1, 2], [1, 1], [0, 2, 0, 1]));
        let (x, w) = (x.reshaped(&[2, 3, 1, 10]), w.reshaped(&[4, 3, 1, 3]));
        let expected = one("Conv", 11, &image, &[&x, &w]);
        assert_eq!(y.shape, [2, 4, 6]);
        assert_eq!(y.reshaped(&[2, 4, 1, 6]), expected);
    }

    #[test]
    fn nan_reaches_every_output_that_reads_it() {
        let mut pixels = [0.0; 25];
        pixels[12] = f64::NAN;
        for group in [1, 2] {
            let x = float(&[1, 2, 5, 5], &pixels.repeat(2));
            let w = float(&[2, 2 / group, 3, 3], &vec![0.0; 36 / group]);
            let geometry = attributes((group as i64, [1, 1], [1, 1], [1, 1, 1, 1]));
            let y = floats("Conv", 11, &geometry, &[&x, &w]);
            assert_eq!(y.iter().filter(|y| y.is_nan()).count(), 18, "{group}");
        }
    }

    #[test]
    fn kernels_that_do_not_fit_are_refused() {
        let x = arbitrary(&[1, 4, 5, 5]);
        let w = arbitrary(&[6, 2, 3, 3]);
        let group = |group| [("group", Attribute::Int(group))];
        assert!(refused("Conv", 11, &[], &[&x, &w]).contains("4 channels in 1 groups"));
        assert!(refused("Conv", 11, &group(0), &[&x, &w]).contains("in 0 groups"));
        assert!(refused("Conv", 11, &group(-2), &[&x, &w]).contains("got -2"));
        let w4 = arbitrary(&[6, 1, 3, 3]);
        assert!(refused("Conv", 11, &group(4), &[&x, &w4]).contains("in 4 groups"));
        let stated = [
            ("group", Attribute::Int(2)),
            ("kernel_shape", Attribute::Ints(vec![3, 1])),
        ];
        assert!(refused("Conv", 11, &stated, &[&x, &w]).contains("`kernel_shape`"));
        let bias = arbitrary(&[5]);
        assert!(refused("Conv", 11, &group(2), &[&x, &w, &bias]).contains("a bias of [6]"));
        let large = arbitrary(&[6, 2, 6, 3]);
        assert!(refused("Conv", 11, &group(2), &[&x, &large]).contains("at least 6 elements"));
        let volume = arbitrary(&[1, 4, 2, 2, 2]);
        let cube = arbitrary(&[6, 4, 1, 1, 1]);
        assert!(refused("Conv", 11, &[], &[&volume, &cube]).contains("one or two spatial axes"));
        assert!(refused("Conv", 11, &[], &[&arbitrary(&[4]), &w]).contains("[batch, channels"));
    }
}
