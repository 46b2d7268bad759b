//! Stored tensors: the numbers of a `TensorProto`, wherever the file keeps them.

use std::collections::BTreeMap;
use std::io;

use model::onnx::proto::TensorProto;

use super::error::OnnxError;
use super::tensor::{Data, Element, Tensor, elements};

/// The value of `data_location` for numbers in a file beside the model.
const EXTERNAL: i32 = 1;

/// The files beside a model, each read once.
pub(super) struct Files<'a> {
    read: &'a dyn Fn(&str) -> io::Result<Vec<u8>>,
    known: BTreeMap<String, Vec<u8>>,
}

impl<'a> Files<'a> {
    pub(super) fn new(read: &'a dyn Fn(&str) -> io::Result<Vec<u8>>) -> Self {
        Self {
            read,
            known: BTreeMap::new(),
        }
    }

    /// The bytes of a file below the folder of the model.
    fn bytes(&mut self, file: &str, at: &str) -> Result<&[u8], OnnxError> {
        let leaves = |part: &str| part == ".." || part.contains(':');
        if file.is_empty() || file.starts_with(['/', '\\']) || file.split(['/', '\\']).any(leaves) {
            let expected = "a file below the folder of the model";
            return Err(OnnxError::misfit(at, expected, format!("`{file}`")));
        }
        if !self.known.contains_key(file) {
            let failed = |source| OnnxError::External {
                at: at.to_owned(),
                file: file.to_owned(),
                source,
            };
            let bytes = (self.read)(file).map_err(failed)?;
            self.known.insert(file.to_owned(), bytes);
        }
        Ok(self.known.get(file).map_or(&[], Vec::as_slice))
    }
}

/// The tensor of a message; `at` names it.
///
/// # Errors
/// [`OnnxError::Misfit`] for element types that are not evaluated, negative extents, numbers that
/// are not as many as the shape says or out of the range of their type;
/// [`OnnxError::External`] when its file cannot be read.
pub(super) fn tensor(
    proto: &TensorProto,
    at: &str,
    files: &mut Files<'_>,
) -> Result<Tensor, OnnxError> {
    let Some(element) = Element::from_code(proto.data_type) else {
        let expected = "an element type that is a float, an integer or bool";
        let got = format!("type {}", proto.data_type);
        return Err(OnnxError::misfit(at, expected, got));
    };
    let extent = |&extent: &i64| usize::try_from(extent);
    let Ok(shape) = proto.dims.iter().map(extent).collect::<Result<Vec<_>, _>>() else {
        let got = format!("{:?}", proto.dims);
        return Err(OnnxError::misfit(at, "extents of zero or more", got));
    };
    let expected = elements(&shape, at)?;
    let data = data(proto, element, at, files)?;
    if data.len() != expected {
        let numbers = |count| format!("{count} numbers");
        return Err(OnnxError::misfit(
            at,
            numbers(expected),
            numbers(data.len()),
        ));
    }
    Ok(Tensor::new(shape, element, data))
}

/// The numbers, which must be in one place only.
fn data(
    proto: &TensorProto,
    element: Element,
    at: &str,
    files: &mut Files<'_>,
) -> Result<Data, OnnxError> {
    let typed = !proto.float_data.is_empty()
        || !proto.int32_data.is_empty()
        || !proto.int64_data.is_empty()
        || !proto.double_data.is_empty()
        || !proto.uint64_data.is_empty();
    let raw = !proto.raw_data.is_empty();
    let external = proto.data_location == EXTERNAL;
    if u8::from(typed) + u8::from(raw) + u8::from(external) > 1 {
        return Err(OnnxError::misfit(
            at,
            "numbers in one place",
            "numbers in several",
        ));
    }
    match (external, raw) {
        (true, _) => from_bytes(external_bytes(proto, at, files)?, element, at),
        (_, true) => from_bytes(&proto.raw_data, element, at),
        _ => from_fields(proto, element, at),
    }
}

/// The part of a file beside the model that is meant.
fn external_bytes<'a>(
    proto: &TensorProto,
    at: &str,
    files: &'a mut Files<'_>,
) -> Result<&'a [u8], OnnxError> {
    let entry = |key: &str| {
        let mut entries = proto.external_data.iter();
        entries
            .find(|entry| entry.key == key)
            .map(|entry| entry.value.as_str())
    };
    let number = |key| match entry(key).map(str::parse::<usize>) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => {
            let got = format!("`{}`", entry(key).unwrap_or_default());
            Err(OnnxError::misfit(
                at,
                format!("a number of bytes for `{key}`"),
                got,
            ))
        }
    };
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    let bytes = files.bytes(entry("location").unwrap_or_default(), at)?;
    let end = length.map_or(Some(bytes.len()), |length| offset.checked_add(length));
    end.and_then(|end| bytes.get(offset..end)).ok_or_else(|| {
        let length = length.map_or("some".into(), |length| length.to_string());
        let expected = format!("a file with {length} bytes from byte {offset} on");
        OnnxError::misfit(at, expected, format!("{} bytes", bytes.len()))
    })
}

/// Numbers as little-endian bytes.
fn from_bytes(bytes: &[u8], element: Element, at: &str) -> Result<Data, OnnxError> {
    Ok(match element {
        Element::Float => Data::Floats(chunks(bytes, at, |b| f32::from_le_bytes(b).into())?),
        Element::Double => Data::Floats(chunks(bytes, at, f64::from_le_bytes)?),
        Element::Float16 => {
            Data::Floats(chunks(bytes, at, |b| widened_half(u16::from_le_bytes(b)))?)
        }
        Element::BFloat16 => {
            Data::Floats(chunks(bytes, at, |b| widened_brain(u16::from_le_bytes(b)))?)
        }
        Element::Int8 => Data::Ints(chunks(bytes, at, |b| i8::from_le_bytes(b).into())?),
        Element::Int16 => Data::Ints(chunks(bytes, at, |b| i16::from_le_bytes(b).into())?),
        Element::Int32 => Data::Ints(chunks(bytes, at, |b| i32::from_le_bytes(b).into())?),
        Element::Int64 => Data::Ints(chunks(bytes, at, i64::from_le_bytes)?),
        Element::Uint8 => Data::Ints(chunks(bytes, at, |b| u8::from_le_bytes(b).into())?),
        Element::Uint16 => Data::Ints(chunks(bytes, at, |b| u16::from_le_bytes(b).into())?),
        Element::Uint32 => Data::Ints(chunks(bytes, at, |b| u32::from_le_bytes(b).into())?),
        Element::Uint64 => within(chunks(bytes, at, u64::from_le_bytes)?, element, at)?,
        Element::Bool => within(bytes.iter().copied(), element, at)?,
    })
}

/// One number from every `SIZE` bytes.
fn chunks<T, const SIZE: usize>(
    bytes: &[u8],
    at: &str,
    number: impl Fn([u8; SIZE]) -> T,
) -> Result<Vec<T>, OnnxError> {
    let (chunks, rest) = bytes.as_chunks::<SIZE>();
    if rest.is_empty() {
        return Ok(chunks.iter().map(|&chunk| number(chunk)).collect());
    }
    let expected = format!("a multiple of {SIZE} bytes");
    Err(OnnxError::misfit(
        at,
        expected,
        format!("{} bytes", bytes.len()),
    ))
}

/// Numbers in the field that the specification assigns to their type.
fn from_fields(proto: &TensorProto, element: Element, at: &str) -> Result<Data, OnnxError> {
    let bits = |widened: fn(u16) -> f64| -> Result<Data, OnnxError> {
        let Data::Ints(bits) = within(proto.int32_data.iter().copied(), Element::Uint16, at)?
        else {
            return Ok(Data::Floats(Vec::new()));
        };
        let numbers = bits.into_iter().map(|bits| widened(bits as u16));
        Ok(Data::Floats(numbers.collect()))
    };
    match element {
        Element::Float => {
            let numbers = proto.float_data.iter().map(|&number| number.into());
            Ok(Data::Floats(numbers.collect()))
        }
        Element::Double => Ok(Data::Floats(proto.double_data.clone())),
        Element::Float16 => bits(widened_half),
        Element::BFloat16 => bits(widened_brain),
        Element::Int64 => Ok(Data::Ints(proto.int64_data.clone())),
        Element::Uint32 | Element::Uint64 => within(proto.uint64_data.iter().copied(), element, at),
        _ => within(proto.int32_data.iter().copied(), element, at),
    }
}

/// Integers or booleans that must lie in the range of their type.
fn within<T>(
    numbers: impl IntoIterator<Item = T>,
    element: Element,
    at: &str,
) -> Result<Data, OnnxError>
where
    T: Copy + std::fmt::Display + TryInto<i64>,
{
    let range = element.integers();
    let checked = |number: T| match number.try_into() {
        Ok(inside) if range.contains(&inside) => Ok(inside),
        _ => {
            let expected = format!(
                "{} from {} to {}",
                element.name(),
                range.start(),
                range.end()
            );
            Err(OnnxError::misfit(at, expected, number.to_string()))
        }
    };
    let numbers = numbers.into_iter().map(checked);
    Ok(match element {
        Element::Bool => Data::Bools(
            numbers
                .map(|number| Ok(number? != 0))
                .collect::<Result<_, OnnxError>>()?,
        ),
        _ => Data::Ints(numbers.collect::<Result<_, _>>()?),
    })
}

/// The number of 16 bits: a sign, 5 bits of exponent, 10 of fraction.
fn widened_half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let size = match (exponent, fraction) {
        (0, _) => fraction * 2f64.powi(-24),
        (31, 0.0) => f64::INFINITY,
        (31, _) => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 0 { size } else { -size }
}

/// The number of the upper half of an f32.
fn widened_brain(bits: u16) -> f64 {
    f32::from_bits(u32::from(bits) << 16).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(proto: &TensorProto) -> Result<Tensor, OnnxError> {
        let none = |_: &str| Err(io::Error::from(io::ErrorKind::NotFound));
        tensor(proto, "weight", &mut Files::new(&none))
    }

    fn proto(data_type: i32, dims: &[i64]) -> TensorProto {
        TensorProto {
            data_type,
            dims: dims.to_vec(),
            ..TensorProto::default()
        }
    }

    #[test]
    fn halves_are_widened_exactly() {
        for (bits, expected) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 2f64.powi(-14)),
            (0x0001, 2f64.powi(-24)),
            (0x83ff, -1023.0 * 2f64.powi(-24)),
            (0x3555, 1365.0 / 4096.0),
            (0xfc00, f64::NEG_INFINITY),
        ] {
            assert_eq!(widened_half(bits), expected, "{bits:#x}");
        }
        assert!(widened_half(0x7e00).is_nan());
        assert!(widened_half(0x8000).is_sign_negative());
        assert_eq!(widened_brain(0xc040), -3.0);
    }

    #[test]
    fn numbers_are_read_from_the_place_of_their_type() {
        let float = TensorProto {
            float_data: vec![0.1, 2.0],
            ..proto(1, &[2])
        };
        let numbers = vec![f64::from(0.1f32), 2.0];
        assert_eq!(*read(&float).unwrap().data, Data::Floats(numbers));
        let half = TensorProto {
            int32_data: vec![0x3c00, 0xbc00],
            ..proto(10, &[2, 1])
        };
        assert_eq!(*read(&half).unwrap().data, Data::Floats(vec![1.0, -1.0]));
        let raw = TensorProto {
            raw_data: vec![0xff, 0xff, 2, 0],
            ..proto(5, &[2])
        };
        assert_eq!(*read(&raw).unwrap().data, Data::Ints(vec![-1, 2]));
        let flags = TensorProto {
            raw_data: vec![1, 0],
            ..proto(9, &[2])
        };
        assert_eq!(*read(&flags).unwrap().data, Data::Bools(vec![true, false]));
    }

    #[test]
    fn a_part_of_a_file_is_read_and_nothing_outside_the_folder() {
        let file = |name: &str| match name {
            "weights/all.bin" => Ok([1.0f32, 2.0, 3.0]
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        let external = |entries: &[(&str, &str)]| {
            let entry = |&(key, value): &(&str, &str)| model::onnx::proto::StringStringEntryProto {
                key: key.into(),
                value: value.into(),
            };
            let proto = TensorProto {
                data_location: EXTERNAL,
                external_data: entries.iter().map(entry).collect(),
                ..proto(1, &[2])
            };
            tensor(&proto, "weight", &mut Files::new(&file))
        };
        let inside = ("location", "weights/all.bin");
        let read = external(&[inside, ("offset", "4"), ("length", "8")]).unwrap();
        assert_eq!(*read.data, Data::Floats(vec![2.0, 3.0]));
        assert_eq!(external(&[inside, ("offset", "4")]).unwrap(), read);
        for (entries, reason) in [
            (
                vec![inside, ("offset", "8"), ("length", "8")],
                "got 12 bytes",
            ),
            (vec![inside], "expected 2 numbers, got 3"),
            (
                vec![inside, ("offset", "18446744073709551615"), ("length", "8")],
                "got 12 bytes",
            ),
            (
                vec![inside, ("offset", "-4")],
                "a number of bytes for `offset`",
            ),
            (vec![("location", "../all.bin")], "a file below the folder"),
            (vec![("location", "/etc/passwd")], "a file below the folder"),
            (
                vec![("location", "a\\..\\..\\b")],
                "a file below the folder",
            ),
            (vec![], "a file below the folder"),
            (
                vec![("location", "other.bin")],
                "cannot read the file `other.bin`",
            ),
        ] {
            let error = external(&entries).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn tensors_that_contradict_themselves_are_refused() {
        let twice = TensorProto {
            raw_data: vec![0; 4],
            float_data: vec![0.0],
            ..proto(1, &[1])
        };
        let odd = TensorProto {
            raw_data: vec![0; 5],
            ..proto(1, &[1])
        };
        let wide = TensorProto {
            int32_data: vec![300],
            ..proto(2, &[1])
        };
        let unsigned = TensorProto {
            uint64_data: vec![u64::MAX],
            ..proto(13, &[1])
        };
        for (proto, reason) in [
            (twice, "numbers in one place"),
            (odd, "a multiple of 4 bytes"),
            (wide, "uint8 from 0 to 255, got 300"),
            (unsigned, "uint64 from 0 to"),
            (proto(1, &[3]), "expected 3 numbers, got 0"),
            (proto(1, &[-1]), "extents of zero or more"),
            (proto(1, &[1 << 40, 1 << 40]), "at most"),
            (proto(8, &[1]), "got type 8"),
            (proto(0, &[1]), "got type 0"),
        ] {
            let error = read(&proto).unwrap_err().to_string();
            assert!(
                error.starts_with("weight: ") && error.contains(reason),
                "{error}"
            );
        }
    }
}
