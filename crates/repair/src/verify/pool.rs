//! Pooling of images.

use model::ops::{AveragePool, MaxPool};

use super::value::{Value, misfit};
use crate::RepairError;

/// The largest number of each window of every channel; NaN in a window is its largest.
pub(super) fn max_pool(op: &MaxPool, x: &Value, at: &str) -> Result<Value, RepairError> {
    let [channels, height, width] = x.image(at)?;
    let extents = [height, width];
    let Some([rows, columns]) = windows(op, extents) else {
        let [h, w] = [0, 1].map(|axis| op.kernel[axis] - (op.before[axis] + op.after[axis]));
        let expected = format!("[channels, h, w] with h of at least {h}, w of at least {w}");
        return Err(misfit(at, expected, &x.shape));
    };
    let mut y = Vec::with_capacity(channels * rows * columns);
    for plane in x.numbers.chunks_exact(height * width) {
        for r in 0..rows {
            for c in 0..columns {
                let members = |position: usize, axis: usize| {
                    let first = position * op.stride[axis];
                    let end = (first + op.kernel[axis]).saturating_sub(op.before[axis]);
                    first.saturating_sub(op.before[axis])..end.min(extents[axis])
                };
                let row = |row: usize| &plane[row * width..][members(c, 1)];
                let pixels = members(r, 0).flat_map(row).copied();
                y.push(pixels.fold(f64::NEG_INFINITY, larger));
            }
        }
    }
    Ok(Value::new(&[channels, rows, columns], y))
}

/// The windows along both axes: in ceil mode the last one may leave the border but begins before its
/// end. `None` where a window does not fit.
fn windows(op: &MaxPool, extents: [usize; 2]) -> Option<[usize; 2]> {
    let along = |axis: usize| {
        let (stride, before) = (op.stride[axis], op.before[axis]);
        let steps = (extents[axis] + before + op.after[axis]).checked_sub(op.kernel[axis])?;
        Some(match op.ceil {
            false => steps / stride + 1,
            true => (steps.div_ceil(stride) + 1).min((extents[axis] + before - 1) / stride + 1),
        })
    };
    Some([along(0)?, along(1)?])
}

/// The larger number, NaN if there is one: `f64::max` would drop it.
fn larger(a: f64, b: f64) -> f64 {
    if a >= b || a.is_nan() { a } else { b }
}

/// The mean of each window of every channel.
pub(super) fn average_pool(op: &AveragePool, x: &Value, at: &str) -> Result<Value, RepairError> {
    let [channels, height, width] = x.image(at)?;
    let [h, w] = op.kernel;
    if height < h || width < w {
        let expected = format!("[channels, h, w] with h of at least {h}, w of at least {w}");
        return Err(misfit(at, expected, &x.shape));
    }
    let rows = (height - h) / op.stride[0] + 1;
    let columns = (width - w) / op.stride[1] + 1;
    let mut y = Vec::with_capacity(channels * rows * columns);
    for plane in x.numbers.chunks_exact(height * width) {
        for (r, c) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
            let first = r * op.stride[0] * width + c * op.stride[1];
            let row = |i: usize| &plane[first + i * width..][..w];
            y.push((0..h).flat_map(row).sum::<f64>() / (h * w) as f64);
        }
    }
    Ok(Value::new(&[channels, rows, columns], y))
}

/// The mean over height and width: `[channels, h, w]` to `[channels]`.
pub(super) fn global_average(x: &Value, at: &str) -> Result<Value, RepairError> {
    let [channels, height, width] = x.image(at)?;
    let pixels = height * width;
    let mean = |plane: &[f64]| plane.iter().sum::<f64>() / pixels as f64;
    let means = x.numbers.chunks_exact(pixels).map(mean).collect();
    Ok(Value::new(&[channels], means))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(kernel: usize, stride: usize, ceil: bool, width: usize) -> Vec<f64> {
        let x = Value::new(
            &[1, width, width],
            (0..width * width).map(|i| i as f64).collect(),
        );
        let op = MaxPool::square(kernel, stride, ceil);
        max_pool(&op, &x, "pool").unwrap().numbers
    }

    #[test]
    fn windows_that_leave_the_image_count_in_ceil_mode_only() {
        // Rows 0 1 2 3 / 4 5 6 7 / 8 9 10 11 / 12 13 14 15.
        assert_eq!(pool(3, 2, true, 4), [10.0, 11.0, 14.0, 15.0]);
        assert_eq!(pool(3, 2, false, 4), [10.0]);
        // The windows end with the image.
        assert_eq!(pool(3, 2, true, 5), [12.0, 14.0, 22.0, 24.0]);
        assert_eq!(pool(2, 3, true, 5), [6.0, 9.0, 21.0, 24.0]);
        // A third window would begin outside.
        assert_eq!(pool(1, 2, true, 4), [0.0, 2.0, 8.0, 10.0]);
    }

    #[test]
    fn a_border_holds_no_numbers() {
        let op = MaxPool {
            before: [1, 0],
            after: [0, 1],
            ..MaxPool::square(2, 2, false)
        };
        let x = Value::new(&[1, 3, 3], (0..9).map(|i| -f64::from(i) - 1.0).collect());
        let y = max_pool(&op, &x, "pool").unwrap();
        assert_eq!(y, Value::new(&[1, 2, 2], vec![-1.0, -3.0, -4.0, -6.0]));
    }

    #[test]
    fn windows_are_averaged() {
        let op = AveragePool {
            kernel: [2, 1],
            stride: [1, 2],
        };
        let x = Value::new(&[1, 3, 3], (0..9).map(f64::from).collect());
        let y = average_pool(&op, &x, "pool").unwrap();
        assert_eq!(y, Value::new(&[1, 2, 2], vec![1.5, 3.5, 4.5, 6.5]));
    }

    #[test]
    fn nan_wins_wherever_it_stands() {
        let op = MaxPool::square(2, 2, true);
        for position in 0..4 {
            let mut numbers = vec![1.0; 4];
            numbers[position] = f64::NAN;
            let y = max_pool(&op, &Value::new(&[1, 2, 2], numbers), "pool").unwrap();
            assert!(y.numbers[0].is_nan(), "{position}");
        }
    }

    #[test]
    fn channels_are_averaged_apart() {
        let x = Value::new(&[2, 1, 2], vec![1.0, 3.0, -4.0, 0.0]);
        assert_eq!(
            global_average(&x, "mean").unwrap(),
            Value::new(&[2], vec![2.0, -2.0])
        );
    }
}
