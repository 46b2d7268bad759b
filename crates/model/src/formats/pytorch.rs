//! PyTorch checkpoints: `torch.save` of a state dict, of a dictionary that holds one, or of a module.
//!
//! A pickle is a program for a stack machine; Python's runs whatever function it names. The reader
//! used here builds plain data and tensors and runs nothing. A file whose pickle still asks for a
//! function or a class that is neither PyTorch's nor plain data is refused, because its author
//! meant more than weights.

use std::collections::BTreeMap;
use std::path::Path;

use burn_store::pytorch_reader::{DType, PickleValue, PytorchError, PytorchReader, Tensor};
use safetensors::Dtype;

use super::{StoredTensor, guarded, malformed};
use crate::ModelError;

const FORMAT: &str = "PyTorch";

/// Keys under which training scripts keep the state dict.
const TOP_LEVEL_KEYS: [&str; 3] = ["state_dict", "model_state_dict", "model"];

/// Bytes that the tensors of a file may have together, as a multiple of the file's size. Tied
/// weights come once for every name; a view with stride 0 repeats one element without end.
const MAX_EXPANSION: usize = 8;

/// What a tensor is called in a [`PickleValue`].
const TENSOR: &str = "torch.Tensor";

/// Python types that hold data and do nothing when they are built.
const PLAIN_TYPES: [&str; 14] = [
    "int",
    "argparse.Namespace",
    "collections.Counter",
    "collections.defaultdict",
    "datetime.datetime",
    "datetime.timedelta",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
];

/// Plain types of torch, and its dtypes without their number of bits.
const TORCH_TYPES: [&str; 4] = [TENSOR, "torch.Size", "torch.device", "torch.strided"];
const TORCH_DTYPES: [&str; 6] = [
    "torch.float",
    "torch.bfloat",
    "torch.int",
    "torch.uint",
    "torch.complex",
    "torch.bool",
];

/// The tensors of a file of `length` bytes, with their names and dtypes.
pub(super) fn tensors(path: &Path, length: usize) -> Result<Vec<StoredTensor>, ModelError> {
    let origin = path.display().to_string();
    guarded(FORMAT, &origin, || {
        let refused = |reason: String| malformed(FORMAT, &origin, reason);
        let tree =
            PytorchReader::read_pickle_data(path, None).map_err(|error| unreadable(path, error))?;
        if let Some((place, name)) = foreign(&tree, &mut Vec::new()) {
            return Err(refused(format!(
                "the pickle asks for `{name}` at `{place}`, expected tensors and plain data"
            )));
        }
        let reader = match top_level_key(&tree) {
            Some(key) => PytorchReader::with_top_level_key(path, key),
            None => PytorchReader::new(path),
        };
        let tensors = reader
            .map_err(|error| unreadable(path, error))?
            .into_tensors();
        if tensors.is_empty() {
            return Err(refused("it holds no tensors".to_owned()));
        }
        let mut left = length.saturating_mul(MAX_EXPANSION);
        let sorted: BTreeMap<String, Tensor> = tensors.into_iter().collect();
        let mut stored = Vec::with_capacity(sorted.len());
        for (name, tensor) in sorted {
            left = left.checked_sub(tensor.byte_len()).ok_or_else(|| {
                refused(format!(
                    "tensor `{name}` of shape {:?} brings the tensors to more than {MAX_EXPANSION} times the file",
                    tensor.shape()
                ))
            })?;
            stored.push(StoredTensor {
                dtype: dtype(tensor.dtype()),
                shape: tensor.shape().to_vec(),
                bytes: little_endian(
                    tensor.read().map_err(|error| refused(error.to_string()))?,
                    tensor.dtype(),
                ),
                name,
            });
        }
        Ok(stored)
    })
}

/// The key of the dictionary that holds the state dict, `None` for the top level itself.
fn top_level_key(tree: &PickleValue) -> Option<&'static str> {
    let PickleValue::Dict(root) = tree else {
        return None;
    };
    if root.values().any(is_tensor) {
        return None;
    }
    let holds = |key: &&str| root.get(*key).is_some_and(holds_tensors);
    TOP_LEVEL_KEYS.iter().copied().find(holds)
}

fn is_tensor(value: &PickleValue) -> bool {
    matches!(value, PickleValue::Unsupported(name) if name == TENSOR)
}

fn holds_tensors(value: &PickleValue) -> bool {
    match value {
        PickleValue::Dict(items) => items
            .values()
            .any(|item| is_tensor(item) || holds_tensors(item)),
        _ => false,
    }
}

/// Place and name of a function or class that is neither torch's nor plain data.
fn foreign(value: &PickleValue, place: &mut Vec<String>) -> Option<(String, String)> {
    match value {
        PickleValue::Unsupported(name) if !is_plain(name) => Some((place.join("."), name.clone())),
        PickleValue::Dict(items) => {
            let sorted: BTreeMap<_, _> = items.iter().collect();
            let mut items = sorted.into_iter();
            items.find_map(|(key, item)| foreign_within(key.clone(), item, place))
        }
        PickleValue::List(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(index, item)| foreign_within(index.to_string(), item, place))
        }
        _ => None,
    }
}

fn foreign_within(
    key: String,
    item: &PickleValue,
    place: &mut Vec<String>,
) -> Option<(String, String)> {
    place.push(key);
    let found = foreign(item, place);
    place.pop();
    found
}

fn is_plain(name: &str) -> bool {
    let sized = |start: &str| {
        let digits = name.strip_prefix(start);
        digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
    };
    PLAIN_TYPES.contains(&name)
        || TORCH_TYPES.contains(&name)
        || TORCH_DTYPES.iter().any(|start| sized(start))
}

fn unreadable(path: &Path, error: PytorchError) -> ModelError {
    match error {
        PytorchError::Io(source) if source.raw_os_error().is_some() => ModelError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        },
        other => malformed(FORMAT, &path.display().to_string(), other.to_string()),
    }
}

fn dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}

/// The reader gives the machine's own byte order.
fn little_endian(mut bytes: Vec<u8>, dtype: DType) -> Vec<u8> {
    if cfg!(target_endian = "big") {
        bytes
            .chunks_exact_mut(dtype.size())
            .for_each(<[u8]>::reverse);
    }
    bytes
}
