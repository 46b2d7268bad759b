//! Pooling of images.

use network::ops::MaxPool;

use super::value::{Value, misfit};
use crate::RepairError;

/// The largest number of each window of every channel; NaN in a window is its largest.
pub(super) fn max_pool(op: &MaxPool, x: &Value, at: &str) -> Result<Value, RepairError> {
    let [channels, height, width] = x.image(at)?;
    if height.min(width) < op.kernel {
        let expected = format!("[channels, h, w] with h and w of at least {}", op.kernel);
        return Err(misfit(at, expected, &x.shape));
    }
    let [rows, columns] = [height, width].map(|extent| windows(op, extent));
    let mut y = vec![f64::NEG_INFINITY; channels * rows * columns];
    let planes = x.numbers.chunks_exact(height * width);
    for (y, plane) in y.chunks_exact_mut(rows * columns).zip(planes) {
        for (r, y) in y.chunks_exact_mut(columns).enumerate() {
            let first = r * op.stride;
            for row in first..(first + op.kernel).min(height) {
                for j in 0..op.kernel {
                    // A window that leaves the image finds no pixel for its last taps.
                    let pixels = plane[row * width + j..(row + 1) * width].iter();
                    for (y, &x) in y.iter_mut().zip(pixels.step_by(op.stride)) {
                        *y = larger(*y, x);
                    }
                }
            }
        }
    }
    Ok(Value::new(&[channels, rows, columns], y))
}

/// The windows along an axis: in ceil mode the last one may leave the image but begins inside.
fn windows(op: &MaxPool, extent: usize) -> usize {
    let steps = extent - op.kernel;
    match op.ceil {
        false => steps / op.stride + 1,
        true => (steps.div_ceil(op.stride) + 1).min((extent - 1) / op.stride + 1),
    }
}

/// The larger number, NaN if there is one: `f64::max` would drop it.
fn larger(a: f64, b: f64) -> f64 {
    if a >= b || a.is_nan() { a } else { b }
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
        let op = MaxPool {
            kernel,
            stride,
            ceil,
        };
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
    fn nan_wins_wherever_it_stands() {
        let op = MaxPool {
            kernel: 2,
            stride: 2,
            ceil: true,
        };
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
