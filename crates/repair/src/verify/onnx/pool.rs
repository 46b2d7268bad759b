//! Pools: the largest or mean element of windows, or of all of a channel.

use super::arithmetic::larger;
use super::error::OnnxError;
use super::operators::{Call, Operator};
use super::tensor::Tensor;
use super::windows::{Windows, windows};

pub(super) const OPERATORS: &[Operator] = &[
    // The second output, where the largest elements lie, may be named but not read.
    Operator::new(
        "MaxPool",
        1,
        1,
        &["auto_pad", "kernel_shape", "pads", "strides"],
        max_pool,
    )
    .until(7),
    Operator::new(
        "MaxPool",
        1,
        1,
        &[
            "auto_pad",
            "kernel_shape",
            "pads",
            "storage_order",
            "strides",
        ],
        max_pool,
    )
    .since(8)
    .until(9)
    .with_results(2),
    Operator::new("MaxPool", 1, 1, MAX_POOL, max_pool)
        .since(10)
        .with_results(2),
    Operator::new(
        "AveragePool",
        1,
        1,
        &[
            "auto_pad",
            "count_include_pad",
            "kernel_shape",
            "pads",
            "strides",
        ],
        average_pool,
    )
    .until(9),
    Operator::new("AveragePool", 1, 1, AVERAGE_POOL, average_pool)
        .since(10)
        .until(18),
    Operator::new("AveragePool", 1, 1, DILATED_AVERAGE_POOL, average_pool).since(19),
    Operator::new("GlobalMaxPool", 1, 1, &[], |call| {
        global(call, |channel| {
            channel.iter().copied().fold(f64::NEG_INFINITY, larger)
        })
    }),
    Operator::new("GlobalAveragePool", 1, 1, &[], |call| {
        global(call, |channel| {
            channel.iter().sum::<f64>() / channel.len() as f64
        })
    }),
];

const MAX_POOL: &[&str] = &[
    "auto_pad",
    "ceil_mode",
    "dilations",
    "kernel_shape",
    "pads",
    "storage_order",
    "strides",
];
const AVERAGE_POOL: &[&str] = &[
    "auto_pad",
    "ceil_mode",
    "count_include_pad",
    "kernel_shape",
    "pads",
    "strides",
];
const DILATED_AVERAGE_POOL: &[&str] = &[
    "auto_pad",
    "ceil_mode",
    "count_include_pad",
    "dilations",
    "kernel_shape",
    "pads",
    "strides",
];

/// The windows of a pool over `[batch, channels, (h,) w]`, and the shape of its result.
fn geometry(call: &Call<'_>, x: &Tensor) -> Result<([Windows; 2], Vec<usize>), OnnxError> {
    let [batch, channels, spatial @ ..] = x.shape.as_slice() else {
        return Err(call.misshapen("[batch, channels, ..]", &x.shape));
    };
    let Some(kernel) = call.ints_attribute("kernel_shape")? else {
        return Err(call.misfit("attribute `kernel_shape`", "none"));
    };
    let kernel = kernel.iter().map(|&extent| call.extent(extent));
    let kernel = kernel.collect::<Result<Vec<_>, _>>()?;
    let axes = windows(call, spatial, &kernel, call.flag("ceil_mode", false)?)?;
    let mut shape = vec![*batch, *channels];
    shape.extend(axes[2 - spatial.len()..].iter().map(|axis| axis.output));
    call.elements(&shape)?;
    // A window of padding alone has neither a largest element nor a mean.
    if axes.iter().any(|axis| axis.counts(false).contains(&0)) {
        return Err(call.misfit("an element under every window", "windows of padding alone"));
    }
    Ok((axes, shape))
}

/// Combines the elements under each window with what is in `y` for it.
fn pool([down, across]: &[Windows; 2], y: &mut [f64], x: &[f64], combine: fn(f64, f64) -> f64) {
    let planes = x.chunks_exact(down.input * across.input);
    for (y, plane) in y.chunks_exact_mut(down.output * across.output).zip(planes) {
        for (i, j) in (0..down.kernel).flat_map(|i| (0..across.kernel).map(move |j| (i, j))) {
            let columns = across.inside(j);
            if columns.is_empty() {
                continue;
            }
            for r in down.inside(i) {
                let pixels = &plane[down.element(r, i) * across.input..];
                let pixels = pixels[across.element(columns.start, j)..].iter();
                let y = &mut y[r * across.output..][columns.clone()];
                for (y, &x) in y.iter_mut().zip(pixels.step_by(across.stride)) {
                    *y = combine(*y, x);
                }
            }
        }
    }
}

/// The largest element under each window, NaN if there is one.
fn max_pool(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (x, numbers) = call.floats(0)?;
    let (axes, shape) = geometry(call, x)?;
    let mut y = vec![f64::NEG_INFINITY; shape.iter().product()];
    pool(&axes, &mut y, numbers, larger);
    Ok(vec![Tensor::floats(&shape, x.element, y)])
}

/// The mean under each window; with `count_include_pad` the padding counts as zeros, but not what
/// lies beyond it under a window that ends outside.
fn average_pool(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (x, numbers) = call.floats(0)?;
    let (axes, shape) = geometry(call, x)?;
    let mut y = vec![0.0; shape.iter().product()];
    pool(&axes, &mut y, numbers, |sum, x| sum + x);
    let padded = call.flag("count_include_pad", false)?;
    let [rows, columns] = axes.map(|axis| axis.counts(padded));
    let counts = rows
        .iter()
        .flat_map(|&r| columns.iter().map(move |&c| (r * c) as f64));
    let counts: Vec<f64> = counts.collect();
    for y in y.chunks_exact_mut(counts.len()) {
        y.iter_mut().zip(&counts).for_each(|(y, count)| *y /= count);
    }
    Ok(vec![Tensor::floats(&shape, x.element, y)])
}

/// One number from all elements of each channel; the spatial axes become ones.
fn global(call: &Call<'_>, channel: impl Fn(&[f64]) -> f64) -> Result<Vec<Tensor>, OnnxError> {
    let (x, numbers) = call.floats(0)?;
    let [batch, channels, spatial @ ..] = x.shape.as_slice() else {
        return Err(call.misshapen("[batch, channels, ..]", &x.shape));
    };
    let size: usize = spatial.iter().product();
    if spatial.is_empty() || size == 0 {
        return Err(call.misshapen("spatial axes, not empty", &x.shape));
    }
    let mut shape = vec![*batch, *channels];
    shape.resize(x.shape.len(), 1);
    let y = numbers.chunks_exact(size).map(channel).collect();
    Ok(vec![Tensor::floats(&shape, x.element, y)])
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Attribute;
    use super::super::testing::{float, floats, int, one, refused};
    use super::*;

    fn pooling(
        kernel: &[i64],
        strides: &[i64],
        pads: &[i64],
        ceil: bool,
    ) -> Vec<(&'static str, Attribute)> {
        vec![
            ("kernel_shape", Attribute::Ints(kernel.to_vec())),
            ("strides", Attribute::Ints(strides.to_vec())),
            ("pads", Attribute::Ints(pads.to_vec())),
            ("ceil_mode", Attribute::Int(ceil.into())),
        ]
    }

    /// Rows 0 1 2 3 / 4 5 6 7 / 8 9 10 11 / 12 13 14 15.
    fn square() -> Tensor {
        float(&[1, 1, 4, 4], &(0..16).map(f64::from).collect::<Vec<_>>())
    }

    #[test]
    fn windows_that_leave_the_image_count_in_ceil_mode_only() {
        let x = square();
        let max = |ceil| {
            floats(
                "MaxPool",
                12,
                &pooling(&[3, 3], &[2, 2], &[0; 4], ceil),
                &[&x],
            )
        };
        assert_eq!(max(true), [10.0, 11.0, 14.0, 15.0]);
        assert_eq!(max(false), [10.0]);
        let mean = floats(
            "AveragePool",
            11,
            &pooling(&[3, 3], &[2, 2], &[0; 4], true),
            &[&x],
        );
        assert_eq!(mean, [5.0, 6.5, 11.0, 12.5]);
    }

    #[test]
    fn padding_is_never_the_largest_and_counts_in_a_mean_only_when_asked() {
        let x = float(&[1, 1, 1, 3], &[-3.0, -1.0, -2.0]);
        let attributes = pooling(&[1, 3], &[1, 2], &[0, 1, 0, 1], false);
        assert_eq!(floats("MaxPool", 12, &attributes, &[&x]), [-1.0, -1.0]);
        assert_eq!(floats("AveragePool", 11, &attributes, &[&x]), [-2.0, -1.5]);
        let mut counted = attributes;
        counted.push(("count_include_pad", Attribute::Int(1)));
        assert_eq!(
            floats("AveragePool", 11, &counted, &[&x]),
            [-4.0 / 3.0, -1.0]
        );
        // The last window ends one element behind the padding, which counts for nothing.
        let x = float(&[1, 1, 4], &[1.0, 2.0, 3.0, 4.0]);
        let mut beyond = pooling(&[3], &[2], &[1, 1], true);
        beyond.push(("count_include_pad", Attribute::Int(1)));
        assert_eq!(floats("AveragePool", 11, &beyond, &[&x]), [1.0, 3.0, 2.0]);
    }

    #[test]
    fn dilated_windows_skip_elements() {
        let x = float(&[1, 1, 5], &[9.0, 1.0, 2.0, 8.0, 3.0]);
        let attributes = [
            ("kernel_shape", Attribute::Ints(vec![2])),
            ("dilations", Attribute::Ints(vec![3])),
        ];
        assert_eq!(floats("MaxPool", 12, &attributes, &[&x]), [9.0, 3.0]);
        assert_eq!(floats("AveragePool", 19, &attributes, &[&x]), [8.5, 2.0]);
    }

    #[test]
    fn nan_wins_wherever_it_stands() {
        for position in 0..4 {
            let mut numbers = [1.0; 4];
            numbers[position] = f64::NAN;
            let x = float(&[1, 1, 2, 2], &numbers);
            let attributes = pooling(&[2, 2], &[2, 2], &[0; 4], false);
            assert!(
                floats("MaxPool", 12, &attributes, &[&x])[0].is_nan(),
                "{position}"
            );
            assert!(
                floats("GlobalMaxPool", 9, &[], &[&x])[0].is_nan(),
                "{position}"
            );
        }
    }

    #[test]
    fn channels_are_pooled_apart() {
        let x = float(&[1, 2, 2, 1], &[1.0, 3.0, -4.0, 0.0]);
        assert_eq!(
            one("GlobalAveragePool", 9, &[], &[&x]),
            float(&[1, 2, 1, 1], &[2.0, -2.0])
        );
        assert_eq!(
            one("GlobalMaxPool", 9, &[], &[&x]),
            float(&[1, 2, 1, 1], &[3.0, 0.0])
        );
    }

    #[test]
    fn pools_without_a_kernel_or_elements_are_refused() {
        let x = square();
        assert!(refused("MaxPool", 12, &[], &[&x]).contains("`kernel_shape`"));
        let outside = pooling(&[1, 1], &[1, 1], &[1, 0, 0, 0], false);
        assert!(refused("AveragePool", 11, &outside, &[&x]).contains("padding alone"));
        let short = pooling(&[2], &[1], &[0, 0], false);
        assert!(refused("MaxPool", 12, &short, &[&x]).contains("a kernel of 2 extents"));
        let empty = float(&[1, 1, 0, 4], &[]);
        assert!(refused("GlobalMaxPool", 9, &[], &[&empty]).contains("not empty"));
        assert!(refused("GlobalMaxPool", 9, &[], &[&int(&[1, 1, 1], &[1])]).contains("floats"));
    }
}
