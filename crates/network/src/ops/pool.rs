//! Pooling of images.

use burn::tensor::Tensor;

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
    /// Pools `x`, `[batch, channels, h, w]`.
    ///
    /// # Errors
    /// [`NetworkError::Shape`] when `x` is no image or smaller than a window.
    pub(crate) fn forward(&self, x: Value, at: &str) -> Result<Value, NetworkError> {
        let channels = x.shape().get(1).copied().unwrap_or_default();
        let x = x.image(channels, self.kernel, 0, at)?;
        let window = Window {
            size: [self.kernel; 2],
            stride: [self.stride; 2],
            padding: [0, 0],
            ceil: self.ceil,
        };
        Ok(Value::R4(max_pool2d(x, window)))
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
