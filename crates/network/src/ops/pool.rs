//! Pooling of images.

use burn::tensor::{Int, Tensor, TensorData};

use crate::ops::kernels::max_pool::{Window, max_pool2d};
use crate::{NetworkError, Value};

/// The largest number of each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Height and width of a window.
    pub kernel: usize,
    /// Steps between windows.
    pub stride: usize,
    /// Whether a window that leaves the image at its end counts (PyTorch's `ceil_mode`).
    pub ceil: bool,
}

impl MaxPool {
    /// Height and width of the output for images of the given height and width; `None` for
    /// images smaller than a window.
    pub fn output_size(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        self.window().output(input)
    }

    /// The positions (`row · width + column`, ascending) of a plane of height and width `input`
    /// over which the window of an output position is taken; none outside the output.
    pub fn window_members(
        &self,
        position: usize,
        input: [usize; 2],
    ) -> impl Iterator<Item = usize> + use<> {
        let [height, width] = input;
        let [rows, columns] = self.output_size(input).unwrap_or_default();
        // A window may end outside the plane; what lies there is no member.
        let reach = |index: usize, extent: usize| {
            let first = index * self.stride;
            first..(first + self.kernel).min(extent)
        };
        let (down, across) = match position < rows * columns {
            true => (
                reach(position / columns, height),
                reach(position % columns, width),
            ),
            false => (0..0, 0..0),
        };
        down.flat_map(move |row| across.clone().map(move |column| row * width + column))
    }

    /// The first largest member of every window of `x`, `[batch, channels, h, w]`: positions in
    /// their planes, `batch · channels · h' · w'` of them. A NaN is larger than every number.
    ///
    /// # Errors
    /// As [`MaxPool::forward`].
    pub(crate) fn winners(&self, x: &Value, at: &str) -> Result<Vec<u32>, NetworkError> {
        let numbers = x.to_vec()?;
        let [_, _, height, width] = self.image(x.clone(), at)?.dims();
        let input = [height, width];
        let windows: usize = self.output_size(input).unwrap_or_default().iter().product();
        let first_largest = |plane: &[f64], position| {
            let wins = |x: f64, best: f64| x > best || (x.is_nan() && !best.is_nan());
            self.window_members(position, input)
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
    /// As [`MaxPool::forward`], or when there is not one winner per window.
    pub(crate) fn gather(
        &self,
        x: Value,
        winners: Vec<i64>,
        at: &str,
    ) -> Result<Value, NetworkError> {
        let x = self.image(x, at)?;
        let [batch, channels, height, width] = x.dims();
        let [rows, columns] = self.output_size([height, width]).unwrap_or_default();
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
    pub(crate) fn forward(&self, x: Value, at: &str) -> Result<Value, NetworkError> {
        Ok(Value::R4(max_pool2d(self.image(x, at)?, self.window())))
    }

    fn image(&self, x: Value, at: &str) -> Result<Tensor<4>, NetworkError> {
        let channels = x.shape().get(1).copied().unwrap_or_default();
        x.image(channels, self.kernel, 0, at)
    }

    fn window(&self) -> Window {
        Window {
            size: [self.kernel; 2],
            stride: [self.stride; 2],
            padding: [0, 0],
            ceil: self.ceil,
        }
    }
}

/// The mean over height and width.
pub(crate) fn global_average(x: Value, at: &str) -> Result<Value, NetworkError> {
    let channels = x.shape().get(1).copied().unwrap_or_default();
    let x = x.image(channels, 1, 0, at)?;
    let [batch, channels, height, width] = x.dims();
    let x: Tensor<3> = x.reshape([batch, channels, height * width]);
    Ok(Value::R2(x.mean_dim(2).reshape([batch, channels])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceChoice, Precision};

    const THREE_BY_TWO: MaxPool = MaxPool {
        kernel: 3,
        stride: 2,
        ceil: true,
    };

    fn members(pool: MaxPool, position: usize, input: [usize; 2]) -> Vec<usize> {
        pool.window_members(position, input).collect()
    }

    #[test]
    fn a_window_lists_the_positions_it_covers() {
        // A plane of 5 x 6: windows begin in rows 0 and 2, in columns 0, 2 and, cut off, 4.
        let input = [5, 6];
        assert_eq!(THREE_BY_TWO.output_size(input), Some([2, 3]));
        assert_eq!(
            members(THREE_BY_TWO, 0, input),
            [0, 1, 2, 6, 7, 8, 12, 13, 14]
        );
        assert_eq!(members(THREE_BY_TWO, 2, input), [4, 5, 10, 11, 16, 17]);
        assert_eq!(
            members(THREE_BY_TWO, 4, input),
            [14, 15, 16, 20, 21, 22, 26, 27, 28]
        );
        assert!(members(THREE_BY_TWO, 6, input).is_empty());
        let floor = MaxPool {
            ceil: false,
            ..THREE_BY_TWO
        };
        assert_eq!(floor.output_size(input), Some([2, 2]));
        assert_eq!(members(floor, 2, input)[0], 12);
        assert_eq!(floor.output_size([2, 6]), None);
    }

    #[test]
    fn the_first_of_equal_members_wins_and_a_nan_beats_numbers() {
        let device = DeviceChoice::Flex.open().unwrap();
        let image = |numbers: &[f64]| {
            Value::from_f64(numbers, &[1, 1, 3, 4], &device, Precision::F64).unwrap()
        };
        let pool = MaxPool {
            kernel: 2,
            stride: 2,
            ceil: true,
        };
        let x = image(&[
            1.0, 3.0, 2.0, 2.0, 3.0, 0.0, 2.0, 2.0, -1.0, -5.0, -7.0, -6.0,
        ]);
        assert_eq!(pool.winners(&x, "pool").unwrap(), [1, 2, 8, 11]);
        let mut numbers = [0.0; 12];
        (numbers[5], numbers[4]) = (f64::NAN, 9.0);
        assert_eq!(pool.winners(&image(&numbers), "pool").unwrap()[0], 5);
    }

    #[test]
    fn gathering_the_winners_is_pooling() {
        let device = DeviceChoice::Flex.open().unwrap();
        let numbers: Vec<f64> = (0..2 * 3 * 7 * 6)
            .map(|i| (f64::from(i) * 0.754_877_666).fract())
            .collect();
        for precision in [Precision::F32, Precision::F64] {
            let x = Value::from_f64(&numbers, &[2, 3, 7, 6], &device, precision).unwrap();
            let winners = THREE_BY_TWO.winners(&x, "pool").unwrap();
            let winners = winners.into_iter().map(i64::from).collect();
            let gathered = THREE_BY_TWO.gather(x.clone(), winners, "pool").unwrap();
            let pooled = THREE_BY_TWO.forward(x, "pool").unwrap();
            assert_eq!(gathered.shape(), [2, 3, 3, 3]);
            assert_eq!(gathered.to_vec().unwrap(), pooled.to_vec().unwrap());
        }
    }
}
