//! The elements of a tensor message: raw, in the field of their type, or in a file beside the model.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use safetensors::Dtype;

use super::proto::TensorProto;
use super::values::Reason;

/// `TensorProto.DataLocation.EXTERNAL`: the elements lie in a file beside the model.
const EXTERNAL: i32 = 1;

/// The most elements that a tensor may have: positions are 32-bit numbers.
const MOST_ELEMENTS: usize = 1 << 31;

/// The dtype of a `TensorProto.DataType`; complex, string and sub-byte types have none.
pub(super) fn dtype(data_type: i32) -> Option<Dtype> {
    Some(match data_type {
        1 => Dtype::F32,
        2 => Dtype::U8,
        3 => Dtype::I8,
        4 => Dtype::U16,
        5 => Dtype::I16,
        6 => Dtype::I32,
        7 => Dtype::I64,
        9 => Dtype::BOOL,
        10 => Dtype::F16,
        11 => Dtype::F64,
        12 => Dtype::U32,
        13 => Dtype::U64,
        16 => Dtype::BF16,
        _ => return None,
    })
}

/// The format's name of an element type.
pub(super) fn type_name(data_type: i32) -> String {
    match data_type {
        0 => "undefined".to_owned(),
        1 => "float".to_owned(),
        6 => "int32".to_owned(),
        7 => "int64".to_owned(),
        8 => "string".to_owned(),
        9 => "bool".to_owned(),
        10 => "float16".to_owned(),
        11 => "double".to_owned(),
        14 => "complex64".to_owned(),
        15 => "complex128".to_owned(),
        16 => "bfloat16".to_owned(),
        17..=20 => format!("float8 ({data_type})"),
        21..=23 => format!("four bits ({data_type})"),
        other => other.to_string(),
    }
}

/// The extents of a message that holds its elements in one place.
pub(super) fn checked(tensor: &TensorProto, dtype: Dtype) -> Result<Vec<usize>, Reason> {
    if tensor.segment.is_some() {
        return Err("is a segment of a tensor, expected a whole one".to_owned());
    }
    let shape: Option<Vec<usize>> = tensor
        .dims
        .iter()
        .map(|&extent| usize::try_from(extent).ok())
        .collect();
    let shape = shape.ok_or_else(|| format!("has the shape {:?}", tensor.dims))?;
    length(dtype, &shape)?;
    let extents = shape.iter().map(|&extent| extent.max(1));
    let bound = extents.fold(1_usize, usize::saturating_mul);
    if bound > MOST_ELEMENTS {
        return Err(format!(
            "of shape {shape:?} has more elements than are read"
        ));
    }
    let typed = [
        tensor.float_data.len(),
        tensor.double_data.len(),
        tensor.int32_data.len(),
        tensor.int64_data.len(),
        tensor.uint64_data.len(),
    ];
    let places = typed.iter().filter(|&&length| length > 0).count()
        + usize::from(!tensor.raw_data.is_empty())
        + usize::from(tensor.data_location == EXTERNAL);
    if places > 1 {
        return Err("holds its elements in more than one place".to_owned());
    }
    Ok(shape)
}

fn length(dtype: Dtype, shape: &[usize]) -> Result<usize, Reason> {
    let bytes = shape
        .iter()
        .try_fold(dtype.bitsize() / 8, |bytes, &extent| {
            bytes.checked_mul(extent)
        });
    bytes
        .filter(|&bytes| bytes <= isize::MAX as usize)
        .ok_or_else(|| format!("of shape {shape:?} is larger than memory"))
}

/// The file in which the elements lie.
pub(super) fn location(tensor: &TensorProto) -> Option<&str> {
    (tensor.data_location == EXTERNAL).then(|| entry(tensor, "location").unwrap_or_default())
}

fn entry<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    let mut entries = tensor.external_data.iter();
    entries
        .find(|entry| entry.key == key)
        .map(|entry| entry.value.as_str())
}

/// Where in its file the elements begin.
pub(super) fn offset(tensor: &TensorProto) -> Result<usize, Reason> {
    entry(tensor, "offset").map_or(Ok(0), |text| {
        text.parse()
            .map_err(|_| format!("has the external offset `{text}`"))
    })
}

/// Row-major little-endian elements.
pub(super) fn bytes<'a>(
    tensor: &'a TensorProto,
    dtype: Dtype,
    shape: &[usize],
    files: &'a BTreeMap<String, Arc<Vec<u8>>>,
) -> Result<Cow<'a, [u8]>, Reason> {
    let length = length(dtype, shape)?;
    let bytes: Cow<'a, [u8]> = if let Some(location) = location(tensor) {
        let declared = entry(tensor, "length");
        if declared.is_some_and(|declared| declared.parse() != Ok(length)) {
            return Err(format!(
                "of shape {shape:?} has other than {length} external bytes"
            ));
        }
        let file = files.get(location).map(|file| file.as_slice());
        let file = file.ok_or_else(|| format!("lies in `{location}`, which is not given"))?;
        let start = offset(tensor)?;
        let end = start.checked_add(length).filter(|&end| end <= file.len());
        let end = end.ok_or_else(|| {
            format!(
                "of {length} bytes at {start} reaches beyond `{location}` of {} bytes",
                file.len()
            )
        })?;
        Cow::Borrowed(&file[start..end])
    } else if tensor.raw_data.is_empty() {
        Cow::Owned(typed(tensor, dtype))
    } else {
        Cow::Borrowed(&tensor.raw_data)
    };
    if bytes.len() != length {
        return Err(format!(
            "of shape {shape:?}: expected {length} bytes, got {}",
            bytes.len()
        ));
    }
    Ok(bytes)
}

/// The elements from the field of their type: narrow integers and halves are kept in 32 bits.
fn typed(tensor: &TensorProto, dtype: Dtype) -> Vec<u8> {
    let narrow = |width: usize| {
        let words = tensor.int32_data.iter().map(|word| word.to_le_bytes());
        words
            .flat_map(|word| word.into_iter().take(width))
            .collect()
    };
    fn all<T: Copy, const N: usize>(numbers: &[T], bytes: fn(T) -> [u8; N]) -> Vec<u8> {
        numbers.iter().flat_map(|&x| bytes(x)).collect()
    }
    match dtype {
        Dtype::F32 => all(&tensor.float_data, f32::to_le_bytes),
        Dtype::F64 => all(&tensor.double_data, f64::to_le_bytes),
        Dtype::I64 => all(&tensor.int64_data, i64::to_le_bytes),
        Dtype::U64 => all(&tensor.uint64_data, u64::to_le_bytes),
        Dtype::U32 => all(&tensor.uint64_data, |x| (x as u32).to_le_bytes()),
        other => narrow(other.bitsize() / 8),
    }
}

/// Integers and booleans as 64-bit integers.
pub(super) fn whole(bytes: &[u8], dtype: Dtype) -> Vec<i64> {
    fn all<const N: usize>(bytes: &[u8], number: fn([u8; N]) -> i64) -> Vec<i64> {
        bytes
            .as_chunks::<N>()
            .0
            .iter()
            .map(|b| number(*b))
            .collect()
    }
    match dtype {
        Dtype::I8 => all(bytes, |b| i8::from_le_bytes(b).into()),
        Dtype::U8 | Dtype::BOOL => all(bytes, |b| u8::from_le_bytes(b).into()),
        Dtype::I16 => all(bytes, |b| i16::from_le_bytes(b).into()),
        Dtype::U16 => all(bytes, |b| u16::from_le_bytes(b).into()),
        Dtype::I32 => all(bytes, |b| i32::from_le_bytes(b).into()),
        Dtype::U32 => all(bytes, |b| u32::from_le_bytes(b).into()),
        Dtype::U64 => all(bytes, |b| {
            i64::try_from(u64::from_le_bytes(b)).unwrap_or(i64::MAX)
        }),
        _ => all(bytes, i64::from_le_bytes),
    }
}
