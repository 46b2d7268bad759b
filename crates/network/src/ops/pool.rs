//! Pooling of images.

use burn::tensor::ops::{AvgPoolOptions, PadMode};
use burn::tensor::{Int, Tensor, TensorData, module};
use model::{AveragePool, MaxPool};

use crate::ops::kernels::max_pool::{Window, max_pool2d};
use crate::{NetworkError, Value};

/// The first largest member of every window of `x`, `[batch, channels, h, w]`: positions in
/// their planes, `batch · channels · h' · w'` of them. A NaN is larger than every number.
///
/// # Errors
/// As [`max`].
pub(crate) fn winners(pool: &MaxPool, x: &Value, at: &str) -> Result<Vec<u32>, NetworkError> {
    let numbers = x.to_vec()?;
    let [_, _, height, width] = image(pool, x.clone(), at)?.dims();
    let input = [height, width];
    let windows: usize = pool.output_size(input).unwrap_or_default().iter().product();
    let first_largest = |plane: &[f64], position| {
        let wins = |x: f64, best: f64| x > best || (x.is_nan() && !best.is_nan());
        pool.window_members(position, input)
            .reduce(|best, member| match wins(plane[member], plane[best]) {
                true => member,
                false => best,
            })
            .unwrap_or_default() as u32
    };
    Ok(numbers
        .chunks(height * width)
        .flat_map(|plane| (0..windows).map(move |position| first_largest(plane, position)))
        .collect())
}

/// The entries of `x`, `[batch, channels, h, w]`, at the winners' positions:
/// `[batch, channels, h', w']`.
///
/// # Errors
/// As [`max`], or when there is not one winner per window.
pub(crate) fn gather(
    pool: &MaxPool,
    x: Value,
    winners: Vec<i64>,
    at: &str,
) -> Result<Value, NetworkError> {
    let x = image(pool, x, at)?;
    let [batch, channels, height, width] = x.dims();
    let [rows, columns] = pool.output_size([height, width]).unwrap_or_default();
    let (inside, windows) = (height * width, rows * columns);
    let fits = winners.iter().all(|&winner| winner < inside as i64);
    if winners.len() != batch * channels * windows || !fits {
        let expected = format!("[{batch}, {channels}, {rows}, {columns}] below {inside}");
        return Err(NetworkError::shape(
            format!("winners of {at}"),
            expected,
            &[winners.len()],
        ));
    }
    let winners = TensorData::new(winners, [batch, channels, windows]);
    let winners = Tensor::<3, Int>::from_data(winners, &x.device());
    let y = x.reshape([batch, channels, inside]).gather(2, winners);
    Ok(Value::R4(y.reshape([batch, channels, rows, columns])))
}

/// Pools `x`, `[batch, channels, h, w]`.
///
/// # Errors
/// [`NetworkError::Shape`] when `x` is no image or smaller than a window.
pub(crate) fn max(pool: &MaxPool, x: Value, at: &str) -> Result<Value, NetworkError> {
    let mut x = image(pool, x, at)?;
    let mut padding = pool.before;
    if pool.before != pool.after {
        // The border is written out, as numbers below all others.
        let ([top, left], [bottom, right]) = (pool.before, pool.after);
        x = x.pad(
            (left, right, top, bottom),
            PadMode::Constant(f32::NEG_INFINITY),
        );
        padding = [0, 0];
    }
    let window = Window {
        size: pool.kernel,
        stride: pool.stride,
        padding,
        ceil: pool.ceil,
    };
    Ok(Value::R4(max_pool2d(x, window)))
}

fn image(pool: &MaxPool, x: Value, at: &str) -> Result<Tensor<4>, NetworkError> {
    let channels = x.shape().get(1).copied().unwrap_or_default();
    let least = [0, 1].map(|axis| {
        let border = pool.before[axis] + pool.after[axis];
        pool.kernel[axis].saturating_sub(border)
    });
    x.image(channels, least, at)
}

/// The mean of each window of `x`, `[batch, channels, h, w]`.
///
/// # Errors
/// [`NetworkError::Shape`] when `x` is no image or smaller than a window.
pub(crate) fn average(pool: &AveragePool, x: Value, at: &str) -> Result<Value, NetworkError> {
    let channels = x.shape().get(1).copied().unwrap_or_default();
    let x = x.image(channels, pool.kernel, at)?;
    let options = AvgPoolOptions::new(pool.kernel).with_stride(pool.stride);
    Ok(Value::R4(module::avg_pool2d(x, options)))
}

/// The mean over height and width.
pub(crate) fn global_average(x: Value, at: &str) -> Result<Value, NetworkError> {
    let channels = x.shape().get(1).copied().unwrap_or_default();
    let x = x.image(channels, [1, 1], at)?;
    let [batch, channels, height, width] = x.dims();
    let x: Tensor<3> = x.reshape([batch, channels, height * width]);
    Ok(Value::R2(x.mean_dim(2).reshape([batch, channels])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceChoice, Precision};

    const THREE_BY_TWO: MaxPool = MaxPool::square(3, 2, true);

    #[test]
    fn the_first_of_equal_members_wins_and_a_nan_beats_numbers() {
        let device = DeviceChoice::Flex.open().unwrap();
        let image = |numbers: &[f64]| {
            Value::from_f64(numbers, &[1, 1, 3, 4], &device, Precision::F64).unwrap()
        };
        let pool = MaxPool::square(2, 2, true);
        let x = image(&[
            1.0, 3.0, 2.0, 2.0, 3.0, 0.0, 2.0, 2.0, -1.0, -5.0, -7.0, -6.0,
        ]);
        assert_eq!(winners(&pool, &x, "pool").unwrap(), [1, 2, 8, 11]);
        let mut numbers = [0.0; 12];
        (numbers[5], numbers[4]) = (f64::NAN, 9.0);
        assert_eq!(winners(&pool, &image(&numbers), "pool").unwrap()[0], 5);
    }

    #[test]
    fn gathering_the_winners_is_pooling() {
        let device = DeviceChoice::Flex.open().unwrap();
        let numbers: Vec<f64> = (0..2 * 3 * 7 * 6)
            .map(|i| (f64::from(i) * 0.754_877_666).fract())
            .collect();
        for precision in [Precision::F32, Precision::F64] {
            let x = Value::from_f64(&numbers, &[2, 3, 7, 6], &device, precision).unwrap();
            let winners = winners(&THREE_BY_TWO, &x, "pool").unwrap();
            let winners = winners.into_iter().map(i64::from).collect();
            let gathered = gather(&THREE_BY_TWO, x.clone(), winners, "pool").unwrap();
            let pooled = max(&THREE_BY_TWO, x, "pool").unwrap();
            assert_eq!(gathered.shape(), [2, 3, 3, 3]);
            assert_eq!(gathered.to_vec().unwrap(), pooled.to_vec().unwrap());
        }
    }
}
