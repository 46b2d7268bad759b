//! Arrays in files: where their elements are and what they are, read row by row.
//!
//! An array `[n, ..]` has `n` rows, the examples of a set. Elements are integers, floats of 16 to 64
//! bits or booleans, in either byte order, with the last dimension next to each other (as C) or the
//! first (as Fortran). Opening one reads its header alone, except where the file is packed.

pub(crate) mod npy;
pub(crate) mod tensors;
pub(crate) mod zip;

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use half::{bf16, f16};

use crate::DataError;
use crate::file::{self, io_error};

/// Bytes that one call reads from a file.
const AT_A_TIME: usize = 1 << 22;

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    Bf16,
    F32,
    F64,
    /// Text of a fixed number of characters, padded with zeros: UTF-32, or bytes.
    Text {
        characters: usize,
        wide: bool,
    },
}

impl Element {
    /// Bytes of one.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
            Self::Text { characters, wide } => characters * if wide { 4 } else { 1 },
        }
    }

    /// The name as NumPy has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::U16 => "uint16",
            Self::I16 => "int16",
            Self::U32 => "uint32",
            Self::I32 => "int32",
            Self::U64 => "uint64",
            Self::I64 => "int64",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::Text { .. } => "text",
        }
    }
}

/// Where the elements are.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// In memory, unpacked.
    Memory(Vec<u8>),
    /// In the file, from this byte on.
    File { offset: u64 },
}

/// An array of a file.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its name in the file; empty where the file holds nothing else.
    pub(crate) name: String,
    pub(crate) element: Element,
    pub(crate) big_endian: bool,
    /// The dimensions, the rows first.
    pub(crate) shape: Vec<usize>,
    /// Whether the first dimension lies next to each other. Such an array is in memory.
    pub(crate) fortran: bool,
    pub(crate) store: Store,
}

/// A value of an array: exact as `f64`, or an integer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Integer(i64),
    /// An integer above `i64::MAX`.
    Large(u64),
    Float(f64),
    Text(String),
}

/// The product of extents, or the largest number: an array without elements may have any others.
pub(crate) fn product(extents: &[usize]) -> usize {
    let all = extents.iter();
    all.fold(1, |product: usize, &extent| product.saturating_mul(extent))
}

impl Array {
    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Elements of a row; none of an array of other extents where one of them is zero, and the largest
    /// number where they cannot be counted.
    pub(crate) fn row_len(&self) -> usize {
        product(self.shape.get(1..).unwrap_or_default())
    }

    /// The number of bytes of all elements; none when it does not fit in memory's addresses.
    pub(crate) fn byte_len(shape: &[usize], element: Element) -> Option<usize> {
        shape
            .iter()
            .try_fold(element.size(), |size, &dim| size.checked_mul(dim))
    }

    /// The bytes of the rows at `positions`, each as many as a row has, in C order and in the byte
    /// order of the file.
    pub(crate) fn bytes(&self, positions: &[usize]) -> Result<Vec<u8>, DataError> {
        let size = self.row_len() * self.element.size();
        let mut bytes = Vec::with_capacity(size * positions.len());
        match &self.store {
            Store::Memory(all) if self.fortran => {
                positions
                    .iter()
                    .for_each(|&row| self.gather(all, row, &mut bytes));
            }
            Store::Memory(all) => {
                for &row in positions {
                    bytes.extend_from_slice(&all[row * size..(row + 1) * size]);
                }
            }
            Store::File { offset } => self.read(*offset, size, positions, &mut bytes)?,
        }
        Ok(bytes)
    }

    /// Appends one row of an array in Fortran order.
    fn gather(&self, all: &[u8], row: usize, bytes: &mut Vec<u8>) {
        let size = self.element.size();
        let mut index = vec![0; self.shape.len()];
        for _ in 0..self.row_len() {
            let (mut at, mut stride) = (row, self.rows());
            for (&i, &dim) in index.iter().zip(&self.shape).skip(1) {
                at += i * stride;
                stride *= dim;
            }
            bytes.extend_from_slice(&all[at * size..(at + 1) * size]);
            // The next index in C order: the last dimension runs fastest.
            for (i, &dim) in index.iter_mut().zip(&self.shape).skip(1).rev() {
                *i += 1;
                if *i < dim {
                    break;
                }
                *i = 0;
            }
        }
    }

    /// Appends the rows at `positions`, neighbours of each other in one call.
    fn read(
        &self,
        offset: u64,
        size: usize,
        positions: &[usize],
        bytes: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        let io = |source| io_error(&self.path, source);
        let (mut from, _) = file::open(&self.path)?;
        let most = (AT_A_TIME / size.max(1)).max(1);
        let mut rest = positions;
        while let Some(&first) = rest.first() {
            let run = rest
                .iter()
                .zip(first..)
                .take(most)
                .take_while(|(position, expected)| *position == expected)
                .count();
            let start = bytes.len();
            from.seek(SeekFrom::Start(offset + (first * size) as u64))
                .map_err(io)?;
            bytes.resize(start + run * size, 0);
            from.read_exact(&mut bytes[start..]).map_err(io)?;
            rest = &rest[run..];
        }
        Ok(())
    }

    /// The values of `bytes` as numbers of 32 bits; texts are no numbers and give NaN.
    pub(crate) fn floats(&self, bytes: &[u8]) -> Vec<f32> {
        fn each<const N: usize>(
            bytes: &[u8],
            big_endian: bool,
            number: impl Fn([u8; N]) -> f32,
        ) -> Vec<f32> {
            let (chunks, _) = bytes.as_chunks::<N>();
            let ordered = |&chunk: &[u8; N]| {
                let mut chunk = chunk;
                if big_endian {
                    chunk.reverse();
                }
                number(chunk)
            };
            chunks.iter().map(ordered).collect()
        }
        let big = self.big_endian;
        match self.element {
            Element::Bool => bytes.iter().map(|&b| f32::from(u8::from(b != 0))).collect(),
            Element::U8 => bytes.iter().map(|&b| f32::from(b)).collect(),
            Element::I8 => each(bytes, big, |b| f32::from(i8::from_le_bytes(b))),
            Element::U16 => each(bytes, big, |b| f32::from(u16::from_le_bytes(b))),
            Element::I16 => each(bytes, big, |b| f32::from(i16::from_le_bytes(b))),
            Element::U32 => each(bytes, big, |b| u32::from_le_bytes(b) as f32),
            Element::I32 => each(bytes, big, |b| i32::from_le_bytes(b) as f32),
            Element::U64 => each(bytes, big, |b| u64::from_le_bytes(b) as f32),
            Element::I64 => each(bytes, big, |b| i64::from_le_bytes(b) as f32),
            Element::F16 => each(bytes, big, |b| f16::from_le_bytes(b).to_f32()),
            Element::Bf16 => each(bytes, big, |b| bf16::from_le_bytes(b).to_f32()),
            Element::F32 => each(bytes, big, f32::from_le_bytes),
            Element::F64 => each(bytes, big, |b| f64::from_le_bytes(b) as f32),
            Element::Text { .. } => vec![f32::NAN; bytes.len() / self.element.size().max(1)],
        }
    }

    /// Whether numbers of 32 bits may be nearest ones only.
    pub(crate) fn is_rounded(&self) -> bool {
        use Element::{F64, I32, I64, U32, U64};
        matches!(self.element, F64 | I32 | I64 | U32 | U64)
    }

    /// The values of `bytes`.
    pub(crate) fn values(&self, bytes: &[u8]) -> Vec<Value> {
        let size = self.element.size();
        if size == 0 {
            return vec![];
        }
        bytes
            .chunks_exact(size)
            .map(|element| self.value(element))
            .collect()
    }

    fn value(&self, element: &[u8]) -> Value {
        if let Element::Text { wide, .. } = self.element {
            return Value::Text(self.text(element, wide));
        }
        let signed = matches!(
            self.element,
            Element::I8 | Element::I16 | Element::I32 | Element::I64
        );
        let high = if self.big_endian {
            element.first()
        } else {
            element.last()
        };
        // Little-endian, extended to eight bytes by zeros or by the sign.
        let mut wide = match high {
            Some(high) if signed && *high >= 0x80 => [0xff; 8],
            _ => [0; 8],
        };
        let own = &mut wide[..element.len()];
        own.copy_from_slice(element);
        if self.big_endian {
            own.reverse();
        }
        let integer = u64::from_le_bytes(wide);
        let low = |bytes: [u8; 8]| [bytes[0], bytes[1]];
        match self.element {
            Element::F16 => Value::Float(f16::from_le_bytes(low(wide)).to_f64()),
            Element::Bf16 => Value::Float(bf16::from_le_bytes(low(wide)).to_f64()),
            Element::F32 => Value::Float(f64::from(f32::from_bits(integer as u32))),
            Element::F64 => Value::Float(f64::from_bits(integer)),
            Element::Bool => Value::Integer(i64::from(integer != 0)),
            Element::U64 => i64::try_from(integer).map_or(Value::Large(integer), Value::Integer),
            _ => Value::Integer(integer as i64),
        }
    }

    fn text(&self, element: &[u8], wide: bool) -> String {
        let text = if wide {
            let (units, _) = element.as_chunks::<4>();
            let unit = |&unit: &[u8; 4]| match self.big_endian {
                true => u32::from_be_bytes(unit),
                false => u32::from_le_bytes(unit),
            };
            let character = |unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
            units.iter().map(|bytes| character(unit(bytes))).collect()
        } else {
            String::from_utf8_lossy(element).into_owned()
        };
        text.trim_end_matches('\0').to_owned()
    }

    /// What errors call it.
    pub(crate) fn describe(&self) -> String {
        let dims: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        let of = if self.name.is_empty() {
            String::new()
        } else {
            format!("{} ", self.name)
        };
        format!("{of}{} [{}]", self.element.name(), dims.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(element: Element, big_endian: bool, shape: &[usize], bytes: Vec<u8>) -> Array {
        Array {
            path: "test".into(),
            name: String::new(),
            element,
            big_endian,
            shape: shape.to_vec(),
            fortran: false,
            store: Store::Memory(bytes),
        }
    }

    #[test]
    fn numbers_of_every_type_and_byte_order_are_read() {
        let cases: [(Element, Vec<u8>, f32); 10] = [
            (Element::I8, vec![0xfe], -2.0),
            (Element::U8, vec![0xfe], 254.0),
            (Element::I16, 0x1234_i16.to_le_bytes().into(), 4660.0),
            (Element::U16, 0xff00_u16.to_le_bytes().into(), 65280.0),
            (Element::I32, (-7_i32).to_le_bytes().into(), -7.0),
            (Element::I64, (-7_i64).to_le_bytes().into(), -7.0),
            (Element::F16, f16::from_f32(1.5).to_le_bytes().into(), 1.5),
            (Element::Bf16, bf16::from_f32(1.5).to_le_bytes().into(), 1.5),
            (Element::F32, 0.1_f32.to_le_bytes().into(), 0.1),
            (Element::F64, 0.25_f64.to_le_bytes().into(), 0.25),
        ];
        for (element, little, expected) in cases {
            let big: Vec<u8> = little.iter().rev().copied().collect();
            for (bytes, big_endian) in [(little, false), (big, true)] {
                let array = array(element, big_endian, &[1], bytes.clone());
                assert_eq!(array.floats(&bytes), [expected], "{element:?}");
                let value = match array.values(&bytes)[0] {
                    Value::Integer(value) => value as f32,
                    Value::Float(value) => value as f32,
                    ref other => panic!("{other:?}"),
                };
                assert_eq!(value, expected, "{element:?}");
            }
        }
        let large = array(Element::U64, false, &[1], u64::MAX.to_le_bytes().into());
        assert_eq!(large.values(&[0xff; 8]), [Value::Large(u64::MAX)]);
    }

    #[test]
    fn rows_of_either_order_are_the_same() {
        // [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]] in Fortran order.
        let bytes = vec![0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11];
        let fortran = Array {
            fortran: true,
            ..array(Element::U8, false, &[2, 2, 3], bytes)
        };
        let c = array(Element::U8, false, &[2, 2, 3], (0..12).collect());
        for rows in [&[0, 1][..], &[1], &[1, 0, 1], &[]] {
            assert_eq!(fortran.bytes(rows).unwrap(), c.bytes(rows).unwrap());
        }
    }

    #[test]
    fn rows_are_read_from_a_file_wherever_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, [9, 9, 0, 1, 2, 3, 4, 5]).unwrap();
        let array = Array {
            path,
            store: Store::File { offset: 2 },
            ..array(Element::U8, false, &[3, 2], vec![])
        };
        assert_eq!(array.bytes(&[1, 2, 0]).unwrap(), [2, 3, 4, 5, 0, 1]);
        assert!(matches!(array.bytes(&[3]), Err(DataError::Io { .. })));
    }

    #[test]
    fn texts_lose_their_padding() {
        let bytes: Vec<u8> = [u32::from('ä'), 0]
            .iter()
            .flat_map(|unit| unit.to_be_bytes())
            .collect();
        let wide = Element::Text {
            characters: 2,
            wide: true,
        };
        let array = array(wide, true, &[1], bytes.clone());
        assert_eq!(array.values(&bytes), [Value::Text("ä".to_owned())]);
    }
}
