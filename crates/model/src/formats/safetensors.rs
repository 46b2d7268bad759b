//! The byte layout of a safetensors file: a little-endian header length, the JSON header, the tensors.

use std::collections::BTreeMap;

use safetensors::tensor::TensorInfo;

use super::{StoredTensor, malformed};
use crate::ModelError;

/// Bytes of the little-endian header length that starts the format.
pub(crate) const LENGTH_BYTES: usize = 8;

/// Key of the header that holds the metadata, and hence no tensor.
const METADATA: &str = "__metadata__";

/// The bytes of a safetensors file with these tensors, in the given order.
///
/// # Errors
/// [`ModelError::Malformed`] when a shape does not fit its bytes or a name comes twice.
pub(crate) fn lay_out(
    tensors: &[StoredTensor],
    metadata: &BTreeMap<String, String>,
    origin: &str,
) -> Result<Vec<u8>, ModelError> {
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA.to_owned(), serde_json::json!(metadata));
    }
    let mut end = 0;
    for tensor in tensors {
        let refused = |reason: String| {
            malformed(
                "safetensors",
                origin,
                format!("tensor `{}` {reason}", tensor.name),
            )
        };
        let bits = tensor
            .shape
            .iter()
            .try_fold(tensor.dtype.bitsize(), |bits, &extent| {
                bits.checked_mul(extent)
            });
        if bits != tensor.bytes.len().checked_mul(8) {
            return Err(refused(format!(
                "of dtype {:?} and shape {:?} does not fit its {} bytes",
                tensor.dtype,
                tensor.shape,
                tensor.bytes.len()
            )));
        }
        let start = end;
        end += tensor.bytes.len();
        let entry = serde_json::json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]});
        if tensor.name == METADATA {
            return Err(refused("has the name of the metadata".to_owned()));
        }
        if header.insert(tensor.name.clone(), entry).is_some() {
            return Err(refused("comes twice".to_owned()));
        }
    }
    let mut bytes = headed(header, end);
    for tensor in tensors {
        bytes.extend_from_slice(&tensor.bytes);
    }
    Ok(bytes)
}

/// The bytes of a safetensors file whose tensors lie in `data` as they say, with these metadata.
pub(crate) fn with_header(
    tensors: &BTreeMap<String, TensorInfo>,
    metadata: &BTreeMap<String, String>,
    data: &[u8],
) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    header.insert(METADATA.to_owned(), serde_json::json!(metadata));
    for (name, info) in tensors {
        let (start, end) = info.data_offsets;
        let entry = serde_json::json!({"dtype": info.dtype, "shape": info.shape, "data_offsets": [start, end]});
        header.insert(name.clone(), entry);
    }
    let mut bytes = headed(header, data.len());
    bytes.extend_from_slice(data);
    bytes
}

/// The length and the text of a header, with room for so many bytes behind it.
fn headed(header: serde_json::Map<String, serde_json::Value>, room: usize) -> Vec<u8> {
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    // The format aligns the tensors to eight bytes.
    header.resize(header.len().next_multiple_of(LENGTH_BYTES), b' ');
    let mut bytes = Vec::with_capacity(LENGTH_BYTES + header.len() + room);
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header);
    bytes
}
