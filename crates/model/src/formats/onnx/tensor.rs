//! The tensors of an ONNX file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use onnx_ir::TensorProto;
use safetensors::Dtype;

use crate::ModelError;
use crate::formats::{StoredTensor, malformed};

/// `TensorProto.DataLocation.EXTERNAL`: the elements lie in a file beside the model.
const EXTERNAL: i32 = 1;

/// A tensor of the file at `path` under the name `name`.
pub(super) fn stored(
    tensor: &TensorProto,
    name: &str,
    path: &Path,
) -> Result<StoredTensor, ModelError> {
    let origin = path.display().to_string();
    let refused = |reason: String| {
        malformed(
            "ONNX",
            &origin,
            format!("tensor `{}` {reason}", tensor.name),
        )
    };
    let dtype = dtype(tensor.data_type).ok_or_else(|| ModelError::Dtype {
        origin: origin.clone(),
        tensor: tensor.name.clone(),
        expected: "floats, integers or booleans of 8 to 64 bits",
        got: format!("ONNX data type {}", tensor.data_type),
    })?;
    let shape = shape(tensor).ok_or_else(|| refused(format!("has the shape {:?}", tensor.dims)))?;
    let length = shape
        .iter()
        .try_fold(dtype.bitsize() / 8, |bytes, &extent| {
            bytes.checked_mul(extent)
        });
    let length =
        length.ok_or_else(|| refused(format!("of shape {shape:?} is larger than memory")))?;
    let bytes = if tensor.data_location.value() == EXTERNAL {
        external(tensor, length, path).map_err(refused)?
    } else if tensor.raw_data.is_empty() {
        typed(tensor, dtype)
    } else {
        tensor.raw_data.to_vec()
    };
    if bytes.len() != length {
        return Err(refused(format!(
            "of shape {shape:?}: expected {length} bytes, got {}",
            bytes.len()
        )));
    }
    Ok(StoredTensor {
        name: name.to_owned(),
        dtype,
        shape,
        bytes,
    })
}

/// Extents, `None` when one is negative.
pub(super) fn shape(tensor: &TensorProto) -> Option<Vec<usize>> {
    tensor
        .dims
        .iter()
        .map(|&extent| usize::try_from(extent).ok())
        .collect()
}

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

/// The elements from the field of their type: narrow integers and halves are kept in 32 bits.
fn typed(tensor: &TensorProto, dtype: Dtype) -> Vec<u8> {
    let narrow = |width: usize| {
        let words = tensor.int32_data.iter().map(|word| word.to_le_bytes());
        words
            .flat_map(|word| word.into_iter().take(width))
            .collect()
    };
    match dtype {
        Dtype::F32 => tensor
            .float_data
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect(),
        Dtype::F64 => tensor
            .double_data
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect(),
        Dtype::I64 => tensor
            .int64_data
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect(),
        Dtype::U64 => tensor
            .uint64_data
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect(),
        Dtype::U32 => tensor
            .uint64_data
            .iter()
            .flat_map(|&x| (x as u32).to_le_bytes())
            .collect(),
        other => narrow(other.bitsize() / 8),
    }
}

/// `length` bytes of the file beside the model that `external_data` names.
fn external(tensor: &TensorProto, length: usize, path: &Path) -> Result<Vec<u8>, String> {
    let entry = |key: &str| {
        let mut entries = tensor.external_data.iter();
        entries
            .find(|entry| entry.key == key)
            .map(|entry| entry.value.as_str())
    };
    let number = |key: &str| match entry(key).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(_)) => Err(format!("has no number as its external {key}")),
    };
    let location = entry("location").unwrap_or_default();
    let mut parts = Path::new(location).components();
    if !matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(_)), None)
    ) {
        return Err(format!(
            "lies in `{location}`, expected a file beside the model"
        ));
    }
    if number("length")?.is_some_and(|declared| declared != length as u64) {
        return Err(format!("has other than {length} external bytes"));
    }
    let unreadable =
        |error: std::io::Error| format!("lies in `{location}`, which cannot be read: {error}");
    let mut file = File::open(path.with_file_name(location)).map_err(unreadable)?;
    file.seek(SeekFrom::Start(number("offset")?.unwrap_or(0)))
        .map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(length as u64)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}
