//! Values: numbers of one element type in row-major order, and strided views of them.

use std::borrow::Cow;
use std::iter::repeat_n;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::error::OnnxError;

/// Numbers that a value, or all values that are alive at once, may have: 2 GiB in f64.
pub(super) const LIMIT: usize = 1 << 28;

/// The element type that a file gives a value.
///
/// Floats of every type are computed in f64 and are not rounded to their own; integers are kept in
/// i64 and must stay in the range of their own type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Float16,
    BFloat16,
    Float,
    Double,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    /// Its numbers above the range of i64 are refused.
    Uint64,
    Bool,
}

impl Element {
    /// The type of a code of `TensorProto.DataType`, if it is one that is evaluated.
    pub(super) fn from_code(code: i32) -> Option<Self> {
        Some(match code {
            1 => Self::Float,
            2 => Self::Uint8,
            3 => Self::Int8,
            4 => Self::Uint16,
            5 => Self::Int16,
            6 => Self::Int32,
            7 => Self::Int64,
            9 => Self::Bool,
            10 => Self::Float16,
            11 => Self::Double,
            12 => Self::Uint32,
            13 => Self::Uint64,
            16 => Self::BFloat16,
            _ => return None,
        })
    }

    pub(super) fn is_float(self) -> bool {
        matches!(
            self,
            Self::Float16 | Self::BFloat16 | Self::Float | Self::Double
        )
    }

    /// The integers of the type; 0 and 1 for booleans, nothing for floats.
    pub(super) fn integers(self) -> RangeInclusive<i64> {
        match self {
            Self::Int8 => i8::MIN.into()..=i8::MAX.into(),
            Self::Int16 => i16::MIN.into()..=i16::MAX.into(),
            Self::Int32 => i32::MIN.into()..=i32::MAX.into(),
            Self::Int64 => i64::MIN..=i64::MAX,
            Self::Uint8 => 0..=u8::MAX.into(),
            Self::Uint16 => 0..=u16::MAX.into(),
            Self::Uint32 => 0..=u32::MAX.into(),
            Self::Uint64 => 0..=i64::MAX,
            Self::Bool => 0..=1,
            _ => RangeInclusive::new(1, 0),
        }
    }

    /// The largest finite number of a float type.
    pub(super) fn largest(self) -> f64 {
        match self {
            Self::Float16 => 65504.0,
            // 8 bits of significand, the exponents of `Float`.
            Self::BFloat16 => (2.0 - 2f64.powi(-7)) * 2f64.powi(127),
            Self::Float => f32::MAX.into(),
            _ => f64::MAX,
        }
    }

    /// The name that ONNX gives the type.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
            Self::Float => "float",
            Self::Double => "double",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint8 => "uint8",
            Self::Uint16 => "uint16",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::Bool => "bool",
        }
    }
}

/// The numbers of a value, by the kind of its element type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    Floats(Vec<f64>),
    Ints(Vec<i64>),
    Bools(Vec<bool>),
}

impl Data {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Floats(numbers) => numbers.len(),
            Self::Ints(numbers) => numbers.len(),
            Self::Bools(truths) => truths.len(),
        }
    }
}

/// The data that an expression makes from the numbers of any kind.
macro_rules! of_any_kind {
    ($data:expr, $numbers:ident => $made:expr) => {
        match $data {
            $crate::verify::onnx::tensor::Data::Floats($numbers) => {
                $crate::verify::onnx::tensor::Data::Floats($made)
            }
            $crate::verify::onnx::tensor::Data::Ints($numbers) => {
                $crate::verify::onnx::tensor::Data::Ints($made)
            }
            $crate::verify::onnx::tensor::Data::Bools($numbers) => {
                $crate::verify::onnx::tensor::Data::Bools($made)
            }
        }
    };
}
pub(super) use of_any_kind;

/// A value: numbers of one element type, row-major in their shape.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub(super) shape: Vec<usize>,
    pub(super) element: Element,
    /// Shared by values of the same numbers in other shapes.
    pub(super) data: Arc<Data>,
}

impl Tensor {
    pub(super) fn new(shape: Vec<usize>, element: Element, data: Data) -> Self {
        let tensor = Self {
            shape,
            element,
            data: Arc::new(data),
        };
        debug_assert_eq!(tensor.shape.iter().product::<usize>(), tensor.len());
        tensor
    }

    pub(super) fn floats(shape: &[usize], element: Element, numbers: Vec<f64>) -> Self {
        debug_assert!(element.is_float());
        Self::new(shape.to_vec(), element, Data::Floats(numbers))
    }

    pub(super) fn ints(shape: &[usize], element: Element, numbers: Vec<i64>) -> Self {
        debug_assert!(!element.is_float() && element != Element::Bool);
        Self::new(shape.to_vec(), element, Data::Ints(numbers))
    }

    pub(super) fn bools(shape: &[usize], truths: Vec<bool>) -> Self {
        Self::new(shape.to_vec(), Element::Bool, Data::Bools(truths))
    }

    /// How many numbers it has.
    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// The same numbers in another shape of as many.
    pub(super) fn reshaped(&self, shape: &[usize]) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), self.len());
        Self {
            shape: shape.to_vec(),
            ..self.clone()
        }
    }

    /// The numbers at the positions of a view of the given shape: `start + Σ index · stride`,
    /// all of which must lie inside.
    pub(super) fn viewed(&self, shape: &[usize], start: usize, strides: &[isize]) -> Self {
        let data = of_any_kind!(&*self.data, numbers => view(numbers, shape, start, strides));
        Self::new(shape.to_vec(), self.element, data)
    }

    /// The numbers with its axes in the order `axes`.
    pub(super) fn transposed(&self, axes: &[usize]) -> Self {
        let strides = strides(&self.shape);
        let shape: Vec<usize> = axes.iter().map(|&axis| self.shape[axis]).collect();
        let strides: Vec<isize> = axes.iter().map(|&axis| strides[axis]).collect();
        self.viewed(&shape, 0, &strides)
    }

    /// The numbers repeated along missing axes and axes of extent one, if that gives `shape`.
    pub(super) fn expanded(&self, shape: &[usize]) -> Option<Cow<'_, Self>> {
        if self.shape == shape {
            return Some(Cow::Borrowed(self));
        }
        let strides = repeating_strides(&self.shape, shape)?;
        Some(Cow::Owned(self.viewed(shape, 0, &strides)))
    }
}

/// The number of elements of a shape.
///
/// # Errors
/// [`OnnxError::Misfit`] when they, empty axes left aside, are more than [`LIMIT`].
pub(super) fn elements(shape: &[usize], at: &str) -> Result<usize, OnnxError> {
    let product = |total: usize, &extent: &usize| total.checked_mul(extent.max(1));
    match shape.iter().try_fold(1, product) {
        Some(total) if total <= LIMIT => Ok(shape.iter().product()),
        _ => {
            let expected = format!("a value of at most {LIMIT} numbers");
            Err(OnnxError::misfit(at, expected, format!("shape {shape:?}")))
        }
    }
}

/// How far apart neighbours along each axis lie.
pub(super) fn strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as isize;
    }
    strides
}

/// The strides of a view of `shape` of numbers in the shape `from`; `None` where it does not
/// broadcast to `shape`.
pub(super) fn repeating_strides(from: &[usize], shape: &[usize]) -> Option<Vec<isize>> {
    let missing = shape.len().checked_sub(from.len())?;
    let mut repeating = vec![0; missing];
    for ((&extent, stride), &wanted) in from.iter().zip(strides(from)).zip(&shape[missing..]) {
        match extent {
            _ if extent == wanted => repeating.push(stride),
            1 => repeating.push(0),
            _ => return None,
        }
    }
    Some(repeating)
}

/// The shape that two shapes broadcast to, if there is one.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(axis) => shape[axis],
        None => 1,
    };
    let both = |axis| match (extent(a, axis), extent(b, axis)) {
        (a, b) if a == b => Some(a),
        (1, b) => Some(b),
        (a, 1) => Some(a),
        _ => None,
    };
    (0..rank).map(both).collect()
}

/// The numbers at `start + Σ index · stride` for every index of `shape`, the last axis running
/// fastest.
pub(super) fn view<T: Copy>(
    numbers: &[T],
    shape: &[usize],
    start: usize,
    strides: &[isize],
) -> Vec<T> {
    let total = shape.iter().product();
    let mut picked = Vec::with_capacity(total);
    if total == 0 {
        return picked;
    }
    // Axes of extent one move nothing.
    let axes = shape.iter().zip(strides).filter(|(extent, _)| **extent > 1);
    let mut outer: Vec<(usize, isize)> = axes.map(|(&extent, &stride)| (extent, stride)).collect();
    let (inner, stride) = outer.pop().unwrap_or((1, 1));
    let mut index = vec![0; outer.len()];
    let mut position = start as isize;
    loop {
        pick_row(&mut picked, numbers, position as usize, inner, stride);
        let mut axis = outer.len();
        loop {
            let Some(next) = axis.checked_sub(1) else {
                return picked;
            };
            axis = next;
            let (extent, stride) = outer[axis];
            index[axis] += 1;
            position += stride;
            if index[axis] < extent {
                break;
            }
            position -= stride * extent as isize;
            index[axis] = 0;
        }
    }
}

/// Appends `count` numbers from `start` on that lie `stride` apart.
fn pick_row<T: Copy>(
    picked: &mut Vec<T>,
    numbers: &[T],
    start: usize,
    count: usize,
    stride: isize,
) {
    match stride {
        1 => picked.extend_from_slice(&numbers[start..start + count]),
        0 => picked.extend(repeat_n(numbers[start], count)),
        2.. => picked.extend(numbers[start..].iter().step_by(stride as usize).take(count)),
        _ => {
            let backwards = numbers[..=start]
                .iter()
                .rev()
                .step_by(stride.unsigned_abs());
            picked.extend(backwards.take(count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_broadcast_from_the_last_axis_on() {
        assert_eq!(broadcast(&[2, 1, 3], &[4, 1]), Some(vec![2, 4, 3]));
        assert_eq!(broadcast(&[], &[0, 2]), Some(vec![0, 2]));
        assert_eq!(broadcast(&[1], &[0]), Some(vec![0]));
        assert_eq!(broadcast(&[2, 3], &[2]), None);
        assert_eq!(broadcast(&[0], &[2]), None);
    }

    #[test]
    fn a_view_walks_any_strides() {
        let numbers: Vec<i64> = (0..12).collect();
        assert_eq!(view(&numbers, &[], 5, &[]), [5]);
        assert_eq!(view(&numbers, &[3, 2], 0, &[1, 3]), [0, 3, 1, 4, 2, 5]);
        assert_eq!(view(&numbers, &[2, 2], 11, &[-4, -2]), [11, 9, 7, 5]);
        assert_eq!(
            view(&numbers, &[2, 1, 3], 1, &[4, 9, 0]),
            [1, 1, 1, 5, 5, 5]
        );
        assert!(view(&numbers, &[2, 0], 0, &[4, 1]).is_empty());
    }

    #[test]
    fn values_that_are_too_large_are_refused_whatever_their_empty_axes() {
        assert_eq!(elements(&[3, 0, 5], "here").unwrap(), 0);
        assert_eq!(elements(&[1 << 28], "here").unwrap(), LIMIT);
        for shape in [
            vec![LIMIT + 1],
            vec![1 << 40, 1 << 40],
            vec![0, 1 << 62, 16],
            vec![usize::MAX, usize::MAX, 0],
        ] {
            let error = elements(&shape, "here").unwrap_err().to_string();
            assert!(
                error.contains("here: expected a value of at most"),
                "{error}"
            );
        }
    }
}
