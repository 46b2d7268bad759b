//! Storages, tensors as views of them, and the bytes of a tensor.

use std::ops::Range;

use safetensors::Dtype;

/// The type of the elements of a storage or a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// One that a checkpoint holds.
    Read(Dtype),
    /// Bytes, to which a tensor gives a type.
    Untyped,
    /// One that is not read, by name.
    Unread(&'static str),
}

impl Element {
    /// Bytes of one element, where that is known.
    pub(super) fn size(self) -> Option<usize> {
        match self {
            Self::Read(dtype) => Some(dtype.bitsize() / 8),
            Self::Untyped => Some(1),
            Self::Unread("complex32" | "qint32") => Some(4),
            Self::Unread("complex64") => Some(8),
            Self::Unread("complex128") => Some(16),
            Self::Unread(_) => Some(1),
        }
    }

    /// The element that a name of torch's stands for: `Float` of `FloatStorage`, or `float32`.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "Double" | "float64" | "double" => Self::Read(Dtype::F64),
            "Float" | "float32" | "float" => Self::Read(Dtype::F32),
            "Half" | "float16" | "half" => Self::Read(Dtype::F16),
            "BFloat16" | "bfloat16" => Self::Read(Dtype::BF16),
            "Long" | "int64" | "long" => Self::Read(Dtype::I64),
            "Int" | "int32" | "int" => Self::Read(Dtype::I32),
            "Short" | "int16" | "short" => Self::Read(Dtype::I16),
            "Char" | "int8" => Self::Read(Dtype::I8),
            "Byte" | "uint8" => Self::Read(Dtype::U8),
            "Bool" | "bool" => Self::Read(Dtype::BOOL),
            "uint16" => Self::Read(Dtype::U16),
            "uint32" => Self::Read(Dtype::U32),
            "uint64" => Self::Read(Dtype::U64),
            "Untyped" => Self::Untyped,
            "ComplexHalf" | "complex32" => Self::Unread("complex32"),
            "ComplexFloat" | "complex64" | "cfloat" => Self::Unread("complex64"),
            "ComplexDouble" | "complex128" | "cdouble" => Self::Unread("complex128"),
            "QInt8" | "qint8" => Self::Unread("qint8"),
            "QUInt8" | "quint8" => Self::Unread("quint8"),
            "QInt32" | "qint32" => Self::Unread("qint32"),
            "QUInt4x2" | "quint4x2" => Self::Unread("quint4x2"),
            "QUInt2x4" | "quint2x4" => Self::Unread("quint2x4"),
            "float8_e4m3fn" => Self::Unread("float8_e4m3fn"),
            "float8_e5m2" => Self::Unread("float8_e5m2"),
            "float8_e4m3fnuz" => Self::Unread("float8_e4m3fnuz"),
            "float8_e5m2fnuz" => Self::Unread("float8_e5m2fnuz"),
            _ => return None,
        })
    }
}

/// A run of elements that a file stores once, as the pickle announces it.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    /// Its name in the container.
    pub(super) key: String,
    /// Type of its elements.
    pub(super) element: Element,
    /// Number of elements.
    pub(super) count: usize,
    /// Element at which a view of the storage begins.
    pub(super) start: usize,
    /// Where the pickle itself holds its bytes, little-endian: a node, and a range of its bytes.
    pub(super) inline: Option<(u32, Range<usize>)>,
}

/// A tensor as the pickle describes it: some elements of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// Position in the heap's storages.
    pub(super) storage: usize,
    /// Type of its elements.
    pub(super) element: Element,
    /// Its first element.
    pub(super) offset: usize,
    /// Extents, outermost first.
    pub(super) shape: Vec<usize>,
    /// Elements between neighbours along each extent.
    pub(super) strides: Vec<usize>,
}

impl View {
    /// Number of elements; `None` beyond memory.
    pub(super) fn count(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        self.shape
            .iter()
            .try_fold(1usize, |count, &extent| count.checked_mul(extent))
    }

    /// Elements of the storage, from the view's first to its last; `None` beyond memory.
    fn reach(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        let mut extents = self.shape.iter().zip(&self.strides);
        let last = extents.try_fold(0usize, |last, (&extent, &stride)| {
            last.checked_add((extent - 1).checked_mul(stride)?)
        });
        last?.checked_add(1)
    }

    /// Whether the elements lie one after the other in row-major order.
    fn is_contiguous(&self) -> bool {
        let mut expected = 1usize;
        self.shape
            .iter()
            .zip(&self.strides)
            .rev()
            .all(|(&extent, &stride)| {
                let fits = extent == 1 || stride == expected;
                expected = expected.saturating_mul(extent);
                fits
            })
    }

    /// The bytes of the storage that the view needs, as a range of the storage's bytes.
    ///
    /// Fails where that is more than the storage has.
    pub(super) fn range(&self, storage: &Storage) -> Result<(usize, usize), String> {
        let beyond = || {
            format!(
                "of shape {:?}, strides {:?} and offset {} lies outside of its storage of {} elements",
                self.shape, self.strides, self.offset, storage.count
            )
        };
        let size = self.element.size().ok_or_else(beyond)?;
        let held = storage.element.size().ok_or_else(beyond)?;
        let available = storage.count.checked_mul(held).ok_or_else(beyond)?;
        let start = self.offset.checked_mul(size).ok_or_else(beyond)?;
        let length = self.reach().and_then(|reach| reach.checked_mul(size));
        let end = length.and_then(|length| start.checked_add(length));
        let end = end.filter(|&end| end <= available).ok_or_else(beyond)?;
        let first = storage.start.checked_mul(held).ok_or_else(beyond)?;
        match (first.checked_add(start), first.checked_add(end)) {
            (Some(start), Some(end)) => Ok((start, end)),
            _ => Err(beyond()),
        }
    }

    /// The elements in row-major order, little-endian; `bytes` are those of [`View::range`].
    pub(super) fn gather(&self, bytes: &[u8], size: usize, big_endian: bool) -> Vec<u8> {
        let mut gathered = if self.is_contiguous() {
            bytes.to_vec()
        } else {
            self.strided(bytes, size)
        };
        if big_endian && size > 1 {
            gathered.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        gathered
    }

    /// The elements one by one, the last extent fastest.
    fn strided(&self, bytes: &[u8], size: usize) -> Vec<u8> {
        let count = self.count().unwrap_or(0);
        let mut gathered = Vec::with_capacity(count.saturating_mul(size));
        let mut index = vec![0usize; self.shape.len()];
        let mut at = 0usize;
        for _ in 0..count {
            gathered.extend_from_slice(&bytes[at * size..(at + 1) * size]);
            for axis in (0..index.len()).rev() {
                // An extent of one may have any stride, which is taken back at once.
                index[axis] += 1;
                at = at.wrapping_add(self.strides[axis]);
                if index[axis] < self.shape[axis] {
                    break;
                }
                at = at.wrapping_sub(self.strides[axis].wrapping_mul(self.shape[axis]));
                index[axis] = 0;
            }
        }
        gathered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(shape: &[usize], strides: &[usize], offset: usize) -> View {
        View {
            storage: 0,
            element: Element::Read(Dtype::I16),
            offset,
            shape: shape.to_vec(),
            strides: strides.to_vec(),
        }
    }

    fn storage(count: usize) -> Storage {
        Storage {
            key: "0".to_owned(),
            element: Element::Read(Dtype::I16),
            count,
            start: 0,
            inline: None,
        }
    }

    fn numbers(bytes: &[u8]) -> Vec<i16> {
        let chunks = bytes.as_chunks().0.iter();
        chunks.map(|chunk| i16::from_le_bytes(*chunk)).collect()
    }

    #[test]
    fn strides_become_rows() {
        let bytes: Vec<u8> = (0i16..12).flat_map(i16::to_le_bytes).collect();
        let cases: [(View, &[i16]); 6] = [
            (view(&[2, 3], &[3, 1], 0), &[0, 1, 2, 3, 4, 5]),
            (view(&[3, 2], &[1, 3], 0), &[0, 3, 1, 4, 2, 5]),
            (view(&[3], &[0], 4), &[4, 4, 4]),
            (view(&[2, 1, 2], &[6, 9, 2], 1), &[1, 3, 7, 9]),
            (view(&[2, 1], &[1, usize::MAX], 3), &[3, 4]),
            (view(&[], &[], 11), &[11]),
        ];
        for (view, expected) in cases {
            let (start, end) = view.range(&storage(12)).unwrap();
            let got = view.gather(&bytes[start..end], 2, false);
            assert_eq!(numbers(&got), expected, "{view:?}");
        }
    }

    #[test]
    fn other_byte_orders_are_turned() {
        let bytes: Vec<u8> = (0i16..4).flat_map(i16::to_be_bytes).collect();
        let got = view(&[2, 2], &[1, 2], 0).gather(&bytes, 2, true);
        assert_eq!(numbers(&got), [0, 2, 1, 3]);
    }

    #[test]
    fn views_beyond_their_storage_are_refused() {
        for outside in [
            view(&[13], &[1], 0),
            view(&[2, 2], &[11, 1], 0),
            view(&[1], &[1], 12),
            view(&[2], &[usize::MAX], 0),
            view(&[usize::MAX, 2], &[1, 1], 0),
            view(&[1], &[1], usize::MAX),
        ] {
            assert!(outside.range(&storage(12)).is_err(), "{outside:?}");
        }
        assert_eq!(view(&[0, 9], &[9, 1], 0).range(&storage(0)), Ok((0, 0)));
        assert_eq!(view(&[usize::MAX, 0], &[0, 0], 0).count(), Some(0));
    }
}
