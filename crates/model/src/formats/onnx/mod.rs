//! ONNX models: the tensors of the graph, under PyTorch's names.
//!
//! An exporter that keeps PyTorch's names gives the checkpoint as it is. One that does not leaves
//! names such as `conv0_w`; then the graph itself must say which tensor is which, and a SqueezeNet's
//! does.

mod graph;
pub mod proto;
mod squeezenet;
mod tensor;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use onnx_ir::{GraphProto, Message, ModelProto, TensorProto};
use safetensors::Dtype;

use self::graph::{Convolution, complaint, integers};
use self::tensor::{dtype, shape, stored};
use super::{StoredTensor, guarded, malformed};
use crate::ModelError;

/// Keys (field number and wire type) of the fields of a `ModelProto` that may follow `ir_version`.
const MODEL_KEYS: [u8; 10] = [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72, 0xa2, 0xca];

/// Key of `ir_version`, which starts the file.
const IR_VERSION_KEY: u8 = 0x08;

/// Versions of the format, with room for later ones.
const IR_VERSIONS: std::ops::RangeInclusive<u8> = 1..=63;

/// Whether a file starts with the version of the format and another field of the model.
pub(super) fn starts_like(bytes: &[u8]) -> bool {
    matches!(bytes, [IR_VERSION_KEY, version, key, ..] if IR_VERSIONS.contains(version) && MODEL_KEYS.contains(key))
}

/// The parameters of a model under PyTorch's names; `path` names the file and finds external data.
pub(super) fn tensors(bytes: &[u8], path: &Path) -> Result<Vec<StoredTensor>, ModelError> {
    let origin = path.display().to_string();
    guarded("ONNX", &origin, || {
        if !fields_end_with(bytes) {
            return Err(malformed("ONNX", &origin, "a field reaches beyond the end"));
        }
        let model = ModelProto::parse_from_bytes(bytes)
            .map_err(|error| malformed("ONNX", &origin, error.to_string()))?;
        let graph = model.graph.as_ref();
        let graph = graph.ok_or_else(|| malformed("ONNX", &origin, "it holds no graph"))?;
        if !graph.sparse_initializer.is_empty() {
            return Err(malformed(
                "ONNX",
                &origin,
                "expected dense tensors, got a sparse initializer",
            ));
        }
        match nameless(graph) {
            None => named(graph, path),
            Some(complaint) => match squeezenet::convolutions(graph) {
                Ok(convolutions) => renamed(&convolutions, path),
                Err(reason) => Err(mismatch(
                    path,
                    vec![complaint, format!("read as a SqueezeNet: {reason}")],
                )),
            },
        }
    })
}

/// Whether the fields of the outermost message end where the bytes do. The parser itself takes a
/// message that is cut between two of its fields for a whole one.
fn fields_end_with(mut bytes: &[u8]) -> bool {
    fn varint(bytes: &mut &[u8]) -> Option<u64> {
        let end = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)?;
        let (number, rest) = bytes.split_at(end + 1);
        *bytes = rest;
        let digits = number.iter().rev();
        Some(digits.fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f)))
    }
    while !bytes.is_empty() {
        let length = match varint(&mut bytes).map(|key| key & 7) {
            Some(0) => varint(&mut bytes).map(|_| 0),
            Some(1) => Some(8),
            Some(2) => varint(&mut bytes),
            Some(5) => Some(4),
            _ => None,
        };
        let length = length.and_then(|length| usize::try_from(length).ok());
        match length.and_then(|length| bytes.get(length..)) {
            Some(rest) => bytes = rest,
            None => return false,
        }
    }
    true
}

/// Weights and biases of convolutions, under the names found for them.
fn renamed(
    convolutions: &[(String, Convolution<'_>)],
    path: &Path,
) -> Result<Vec<StoredTensor>, ModelError> {
    let mut tensors = Vec::with_capacity(2 * convolutions.len());
    for (name, convolution) in convolutions {
        tensors.push(stored(convolution.weight, &format!("{name}.weight"), path)?);
        tensors.push(stored(convolution.bias, &format!("{name}.bias"), path)?);
    }
    Ok(tensors)
}

fn mismatch(path: &Path, complaints: Vec<String>) -> ModelError {
    ModelError::Mismatch {
        origin: path.display().to_string(),
        complaints,
    }
}

/// Why the names are not PyTorch's, if they are not.
fn nameless(graph: &GraphProto) -> Option<String> {
    let mut parameters = graph
        .initializer
        .iter()
        .filter(|tensor| is_parameter(tensor))
        .peekable();
    if parameters.peek().is_none() {
        return Some("no initializer holds parameters".to_owned());
    }
    let opaque = parameters.find(|tensor| !is_torch_name(&tensor.name))?;
    Some(format!(
        "initializer `{}` has no PyTorch name such as `features.0.weight`",
        opaque.name
    ))
}

/// Whether a tensor holds more than a constant of the graph: floats, and several.
fn is_parameter(tensor: &TensorProto) -> bool {
    let float = matches!(
        dtype(tensor.data_type),
        Some(Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
    );
    float && shape(tensor).is_some_and(|shape| shape.iter().any(|&extent| extent > 1))
}

/// Whether a name is a path of module attributes: identifiers joined by dots, two or more.
fn is_torch_name(name: &str) -> bool {
    let identifier = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    name.contains('.') && name.split('.').all(identifier)
}

/// All initializers with PyTorch names, buffers of integers included. Exporters store equal
/// tensors once and give the others as `Identity` of it.
fn named(graph: &GraphProto, path: &Path) -> Result<Vec<StoredTensor>, ModelError> {
    let transposed = transposed(graph);
    if !transposed.is_empty() {
        return Err(mismatch(path, transposed));
    }
    let initializers = graph.initializer.iter();
    let tensors: HashMap<&str, &TensorProto> = initializers
        .map(|tensor| (tensor.name.as_str(), tensor))
        .collect();
    let same = graph.node.iter().filter_map(|node| {
        match (node.op_type.as_str(), &node.input[..], &node.output[..]) {
            ("Identity", [stored], [name]) => Some((name, *tensors.get(stored.as_str())?)),
            _ => None,
        }
    });
    let initializers = graph.initializer.iter();
    let all = initializers
        .map(|tensor| (&tensor.name, tensor))
        .chain(same);
    all.filter(|(name, _)| is_torch_name(name))
        .map(|(name, tensor)| stored(tensor, name, path))
        .collect()
}

/// Weights that a node multiplies as `x W` where PyTorch's layout asks for `x Wᵀ`.
fn transposed(graph: &GraphProto) -> Vec<String> {
    let names = graph.initializer.iter().map(|tensor| tensor.name.as_str());
    let weights: HashSet<&str> = names
        .filter(|name| is_torch_name(name) && name.ends_with(".weight"))
        .collect();
    let mut complaints = Vec::new();
    for node in &graph.node {
        let as_it_is = match node.op_type.as_str() {
            "MatMul" => true,
            "Gemm" => integers(node, "transB").is_none_or(|flag| flag == [0]),
            _ => false,
        };
        let weight = node
            .input
            .get(1)
            .filter(|name| weights.contains(name.as_str()));
        if let (true, Some(name)) = (as_it_is, weight) {
            let got = format!("`{name}`, which is stored transposed");
            complaints.push(complaint(node, "a weight in PyTorch's layout", &got));
        }
    }
    complaints
}
