//! ONNX models: a file is a graph. It is read node by node ([`lower`]) and written as the same bytes in
//! which only the elements of edited tensors differ ([`patch`]).

mod entry;
mod limits;
mod lower;
mod order;
mod patch;
pub mod proto;
mod signatures;
mod store;
mod tensor;
mod values;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use self::patch::OnnxPlace;
pub use self::patch::Written;
use self::proto::ModelProto;
pub(crate) use self::store::SideFiles;
use super::malformed;
use crate::{AnswerRule, Checkpoint, Graph, ModelError, Note};
use prost::Message;

/// Key of `ir_version`, which starts the file of most exporters.
const IR_VERSION_KEY: u8 = 0x08;

/// Keys (field number and wire type) of the fields of a `ModelProto` that may follow `ir_version`.
const MODEL_KEYS: [u8; 10] = [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72, 0xa2, 0xca];

/// Versions of the format, with room for later ones.
const IR_VERSIONS: std::ops::RangeInclusive<u8> = 1..=63;

/// Field of a `ModelProto` that holds the graph.
const GRAPH: u64 = 7;

/// Whether a file starts with the version of the format and another field of the model, or consists of
/// the fields of a model, in any order.
pub(super) fn starts_like(bytes: &[u8]) -> bool {
    let starts = matches!(bytes, [IR_VERSION_KEY, version, key, ..] if IR_VERSIONS.contains(version) && MODEL_KEYS.contains(key));
    starts || fields(bytes).is_some_and(|fields| fields.contains(&GRAPH))
}

/// The numbers of the fields of the outermost message; `None` where they do not end with the bytes. The
/// parser itself takes a message that is cut between two of its fields for a whole one.
fn fields(bytes: &[u8]) -> Option<Vec<u64>> {
    let mut numbers = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (field, after) = patch::Field::read(rest)?;
        numbers.push(field.number);
        rest = after;
    }
    Some(numbers)
}

/// A file that was read: the tensors that its layers hold, our graph, and what was assumed.
pub(crate) struct Read {
    /// The parameters under the names of the file, in our layouts.
    pub(crate) checkpoint: Checkpoint,
    /// The graph.
    pub(crate) graph: Graph,
    /// What was read and assumed.
    pub(crate) notes: Vec<Note>,
    /// The rule that the file itself applies to its outputs.
    pub(crate) answer: Option<AnswerRule>,
    /// The file.
    pub(crate) file: Arc<OnnxFile>,
}

/// The bytes of a file, the files beside it, and where the parameters lie in them.
#[derive(Debug)]
pub(crate) struct OnnxFile {
    bytes: Vec<u8>,
    side: SideFiles,
    places: BTreeMap<String, OnnxPlace>,
    /// The parameters as they were read.
    checkpoint: Checkpoint,
}

/// Reads a model; `origin` names it in errors, `tokens` is the length of texts where the file leaves it
/// open.
///
/// # Errors
/// [`ModelError::Malformed`] for bytes that are no model or that contradict themselves,
/// [`ModelError::Operator`] for a node that cannot be represented, and as [`Checkpoint::from_bytes`].
pub(crate) fn read(
    bytes: Vec<u8>,
    side: SideFiles,
    origin: &str,
    tokens: Option<usize>,
) -> Result<Read, ModelError> {
    if fields(&bytes).is_none() {
        return Err(malformed("ONNX", origin, "a field reaches beyond the end"));
    }
    limits::check_parts(&bytes).map_err(|reason| malformed("ONNX", origin, reason))?;
    let model = ModelProto::decode(bytes.as_slice())
        .map_err(|error| malformed("ONNX", origin, error.to_string()))?;
    let read = entry::lowered(&model, bytes.len(), side, origin, tokens)?;
    let file = OnnxFile {
        bytes,
        side: read.side,
        places: read.places,
        checkpoint: read.checkpoint.clone(),
    };
    Ok(Read {
        checkpoint: read.checkpoint,
        graph: read.graph,
        notes: read.notes,
        answer: read.answer,
        file: Arc::new(file),
    })
}

/// Reads the file at a path, whose bytes are given.
///
/// # Errors
/// As [`read`].
pub(super) fn read_at(
    bytes: Vec<u8>,
    path: &Path,
    tokens: Option<usize>,
) -> Result<Read, ModelError> {
    let side = SideFiles::beside(path)?;
    read(bytes, side, &path.display().to_string(), tokens)
}
