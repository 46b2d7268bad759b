//! Tensors whose rank is known at run time.

use std::ops::Range;

use burn::tensor::{Device, Element, Gradients, Int, Tensor, TensorData};

use crate::{NetworkError, Precision};

/// The value of a node: a batch first, rank 1 to 4.
#[derive(Clone, Debug)]
pub enum Value {
    /// `[batch]`
    R1(Tensor<1>),
    /// `[batch, features]`
    R2(Tensor<2>),
    /// `[batch, tokens, features]`
    R3(Tensor<3>),
    /// `[batch, channels, height, width]`
    R4(Tensor<4>),
}

/// Applies a rank-preserving expression to whichever tensor a value holds.
macro_rules! map_value {
    ($value:expr, $tensor:ident => $body:expr) => {
        match $value {
            $crate::Value::R1($tensor) => $crate::Value::R1($body),
            $crate::Value::R2($tensor) => $crate::Value::R2($body),
            $crate::Value::R3($tensor) => $crate::Value::R3($body),
            $crate::Value::R4($tensor) => $crate::Value::R4($body),
        }
    };
}

/// Evaluates an expression of one type for whichever tensor a value holds.
macro_rules! with_value {
    ($value:expr, $tensor:ident => $body:expr) => {
        match $value {
            $crate::Value::R1($tensor) => $body,
            $crate::Value::R2($tensor) => $body,
            $crate::Value::R3($tensor) => $body,
            $crate::Value::R4($tensor) => $body,
        }
    };
}

/// Applies a rank-preserving expression to two values of one rank.
macro_rules! zip_values {
    ($left:expr, $right:expr, $a:ident, $b:ident => $body:expr) => {
        match ($left, $right) {
            ($crate::Value::R1($a), $crate::Value::R1($b)) => Some($crate::Value::R1($body)),
            ($crate::Value::R2($a), $crate::Value::R2($b)) => Some($crate::Value::R2($body)),
            ($crate::Value::R3($a), $crate::Value::R3($b)) => Some($crate::Value::R3($body)),
            ($crate::Value::R4($a), $crate::Value::R4($b)) => Some($crate::Value::R4($body)),
            _ => None,
        }
    };
}

pub(crate) use {map_value, with_value};

impl Value {
    /// A tensor on `device` from numbers in row-major order.
    ///
    /// # Errors
    /// [`NetworkError::Shape`] when the numbers do not fill `shape`, or its rank
    /// is not 1 to 4.
    pub fn from_f64(
        numbers: &[f64],
        shape: &[usize],
        device: &Device,
        precision: Precision,
    ) -> Result<Self, NetworkError> {
        Self::from_numbers(numbers.to_vec(), shape, device, precision)
    }

    /// As [`Value::from_f64`], from f32.
    ///
    /// # Errors
    /// As [`Value::from_f64`].
    pub fn from_f32(
        numbers: &[f32],
        shape: &[usize],
        device: &Device,
        precision: Precision,
    ) -> Result<Self, NetworkError> {
        Self::from_numbers(numbers.to_vec(), shape, device, precision)
    }

    /// As [`Value::from_f64`], from numbers of any type.
    pub(crate) fn from_numbers<E: Element>(
        numbers: Vec<E>,
        shape: &[usize],
        device: &Device,
        precision: Precision,
    ) -> Result<Self, NetworkError> {
        let len = numbers.len();
        if len != shape.iter().product::<usize>() {
            return Err(NetworkError::shape(
                "new value",
                format!("{len} numbers"),
                shape,
            ));
        }
        let data = TensorData::new(numbers, shape);
        let options = (device, precision.dtype());
        match shape.len() {
            1 => Ok(Self::R1(Tensor::from_data(data, options))),
            2 => Ok(Self::R2(Tensor::from_data(data, options))),
            3 => Ok(Self::R3(Tensor::from_data(data, options))),
            4 => Ok(Self::R4(Tensor::from_data(data, options))),
            _ => Err(NetworkError::shape("new value", "rank 1 to 4", shape)),
        }
    }

    /// The extents, batch first.
    pub fn shape(&self) -> Vec<usize> {
        with_value!(self, t => t.dims().to_vec())
    }

    /// The number of examples.
    pub fn batch(&self) -> usize {
        self.shape()[0]
    }

    /// The numbers in row-major order.
    ///
    /// # Errors
    /// [`NetworkError::Backend`] when the device cannot return them.
    pub fn to_vec(&self) -> Result<Vec<f64>, NetworkError> {
        with_value!(self, t => t.clone().try_into_vec_as::<f64>()).map_err(|error| {
            NetworkError::Backend {
                at: "reading a value",
                reason: error.to_string(),
            }
        })
    }

    /// The examples at `indices` (repeats allowed), in that order.
    pub fn select(&self, indices: &[usize]) -> Self {
        let device = with_value!(self, t => t.device());
        let indices: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
        let count = indices.len();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [count]), &device);
        map_value!(self, t => t.clone().select(0, indices))
    }

    /// Some consecutive examples.
    pub(crate) fn rows(&self, rows: Range<usize>) -> Self {
        map_value!(self, t => t.clone().narrow(0, rows.start, rows.len()))
    }

    /// The examples of all values, one after the other.
    ///
    /// # Errors
    /// As [`Value::joined`].
    pub(crate) fn concat(values: Vec<Self>, at: &str) -> Result<Self, NetworkError> {
        Self::joined(values, 0, at)
    }

    /// All values, one after the other along an axis; their other extents must agree.
    ///
    /// # Errors
    /// [`NetworkError::Shape`] when there is none or two have other ranks; `at` names the place.
    pub(crate) fn joined(
        mut values: Vec<Self>,
        axis: usize,
        at: &str,
    ) -> Result<Self, NetworkError> {
        if values.len() == 1 {
            return Ok(values.remove(0));
        }
        macro_rules! joined {
            ($variant:ident) => {{
                let mut parts = Vec::with_capacity(values.len());
                for value in values {
                    match value {
                        Self::$variant(t) => parts.push(t),
                        other => return Err(NetworkError::shape(at, "one rank", &other.shape())),
                    }
                }
                Ok(Self::$variant(Tensor::cat(parts, axis)))
            }};
        }
        match values.first() {
            Some(Self::R1(_)) => joined!(R1),
            Some(Self::R2(_)) => joined!(R2),
            Some(Self::R3(_)) => joined!(R3),
            Some(Self::R4(_)) => joined!(R4),
            None => Err(NetworkError::shape(at, "at least one", &[])),
        }
    }

    /// Whether it lives on the `flex` device and is not differentiated.
    pub(crate) fn is_plain_flex(&self) -> bool {
        let device = with_value!(self, t => t.device());
        !device.is_autodiff() && device == Device::flex()
    }

    /// The rank-2 tensor inside.
    ///
    /// # Errors
    /// [`NetworkError::Shape`] for another rank; `at` names the place.
    pub fn matrix(&self, at: &str) -> Result<Tensor<2>, NetworkError> {
        match self {
            Self::R2(t) => Ok(t.clone()),
            other => Err(NetworkError::shape(at, "[*, *]", &other.shape())),
        }
    }

    /// The image inside, `[batch, channels, h, w]`, of at least the given height and width.
    pub(crate) fn image(
        self,
        channels: usize,
        least: [usize; 2],
        at: &str,
    ) -> Result<Tensor<4>, NetworkError> {
        let [height, width] = least.map(|extent| extent.max(1));
        match self {
            Self::R4(x)
                if x.dims()[1] == channels && x.dims()[2] >= height && x.dims()[3] >= width =>
            {
                Ok(x)
            }
            other => Err(NetworkError::shape(
                at,
                format!("[*, {channels}, h, w] with h of at least {height}, w of at least {width}"),
                &other.shape(),
            )),
        }
    }

    /// The same numbers with other extents, the batch among them.
    pub(crate) fn reshaped(self, shape: &[usize], at: &str) -> Result<Self, NetworkError> {
        let old = self.shape();
        if old.iter().product::<usize>() != shape.iter().product::<usize>() {
            return Err(NetworkError::shape(at, format!("{shape:?}"), &old));
        }
        with_value!(self, t => match *shape {
            [a] => Ok(Self::R1(t.reshape([a]))),
            [a, b] => Ok(Self::R2(t.reshape([a, b]))),
            [a, b, c] => Ok(Self::R3(t.reshape([a, b, c]))),
            [a, b, c, d] => Ok(Self::R4(t.reshape([a, b, c, d]))),
            _ => Err(NetworkError::shape(at, "rank 1 to 4", shape)),
        })
    }

    /// Applies `map` to the matrix whose rows are the vectors of the last axis, which must have
    /// `features` entries; the other axes stay.
    pub(crate) fn map_rows(
        self,
        features: usize,
        at: &str,
        map: impl FnOnce(Tensor<2>) -> Tensor<2>,
    ) -> Result<Self, NetworkError> {
        match self {
            Self::R2(x) if x.dims()[1] == features => Ok(Self::R2(map(x))),
            Self::R3(x) if x.dims()[2] == features => {
                let [a, b, _] = x.dims();
                let y = map(x.reshape([a * b, features]));
                let width = y.dims()[1];
                Ok(Self::R3(y.reshape([a, b, width])))
            }
            Self::R4(x) if x.dims()[3] == features => {
                let [a, b, c, _] = x.dims();
                let y = map(x.reshape([a * b * c, features]));
                let width = y.dims()[1];
                Ok(Self::R4(y.reshape([a, b, c, width])))
            }
            other => Err(NetworkError::shape(
                at,
                format!("[.., {features}]"),
                &other.shape(),
            )),
        }
    }

    /// The same value as a fresh leaf whose gradient a backward pass keeps.
    pub(crate) fn leaf(&self) -> Self {
        map_value!(self, t => t.clone().without_autodiff().autodiff().require_grad())
    }

    /// The gradient of a leaf; `None` where the differentiated scalar does not depend on it.
    pub(crate) fn gradient(&self, gradients: &Gradients) -> Option<Self> {
        match self {
            Self::R1(t) => t.grad(gradients).map(Self::R1),
            Self::R2(t) => t.grad(gradients).map(Self::R2),
            Self::R3(t) => t.grad(gradients).map(Self::R3),
            Self::R4(t) => t.grad(gradients).map(Self::R4),
        }
    }

    /// The elementwise sum; extents of one are repeated.
    pub(crate) fn add(self, other: Self, at: &str) -> Result<Self, NetworkError> {
        let shape = other.shape();
        self.check_broadcast(&shape, at)?;
        let expected = format!("{:?}", self.shape());
        zip_values!(self, other, a, b => a + b)
            .ok_or_else(|| NetworkError::shape(at, expected, &shape))
    }

    /// The elementwise product.
    pub(crate) fn mul(self, other: Self, at: &str) -> Result<Self, NetworkError> {
        let shape = other.shape();
        self.check_broadcast(&shape, at)?;
        let expected = format!("{:?}", self.shape());
        zip_values!(self, other, a, b => a * b)
            .ok_or_else(|| NetworkError::shape(at, expected, &shape))
    }

    fn check_broadcast(&self, other: &[usize], at: &str) -> Result<(), NetworkError> {
        let shape = self.shape();
        let fits = shape.len() == other.len()
            && shape
                .iter()
                .zip(other)
                .all(|(a, b)| a == b || *a == 1 || *b == 1);
        if fits {
            return Ok(());
        }
        Err(NetworkError::shape(at, format!("{shape:?}"), other))
    }

    /// Adds a vector to the last axis.
    pub(crate) fn add_to_features(self, offset: &Tensor<1>) -> Result<Self, NetworkError> {
        let shape = self.shape();
        if shape.last() != Some(&offset.dims()[0]) {
            return Err(NetworkError::shape(
                "bias offset",
                format!("{:?}", &shape[shape.len() - 1..]),
                &offset.dims(),
            ));
        }
        Ok(map_value!(self, t => t + offset.clone().unsqueeze()))
    }

    /// Adds a vector to the channels of an image.
    pub(crate) fn add_to_channels(self, offset: &Tensor<1>) -> Result<Self, NetworkError> {
        let [channels] = offset.dims();
        let image = self.image(channels, [1, 1], "bias offset")?;
        let offset = offset.clone().reshape([1, channels, 1, 1]);
        Ok(Self::R4(image + offset))
    }

    /// Zeros of the same shape, device and type.
    pub(crate) fn zeros_like(&self) -> Self {
        map_value!(self, t => t.zeros_like().without_autodiff())
    }
}
