//! Writing: the stored bytes with other elements in the edited tensors, everything else as it is.
//!
//! The messages are walked as fields. A field whose content changes keeps its key; its length is written
//! anew only where it changes, which happens to halves that are stored as integers of variable length.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::OnnxFile;
use crate::formats::malformed;
use crate::{Checkpoint, ModelError};

/// The stored form of a parameter.
#[derive(Debug)]
pub(crate) struct OnnxPlace {
    /// Bytes of an element.
    pub(super) width: usize,
    /// For every number of the parameter its position in the stored tensor.
    pub(super) order: Option<Arc<[u32]>>,
    /// File and offset of elements that lie beside the model.
    pub(super) external: Option<(String, usize)>,
}

/// An ONNX model as it is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The bytes of the model.
    pub model: Vec<u8>,
    /// The files beside it that it names, with their bytes.
    pub external: Vec<(String, Vec<u8>)>,
}

/// A field of a message.
pub(super) struct Field<'a> {
    pub(super) number: u64,
    wire: u8,
    key: &'a [u8],
    length: &'a [u8],
    value: &'a [u8],
}

const VARINT: u8 = 0;
const EIGHT_BYTES: u8 = 1;
const DELIMITED: u8 = 2;
const FOUR_BYTES: u8 = 5;

/// A number of variable length: its bytes, its value, the rest.
fn varint(bytes: &[u8]) -> Option<(&[u8], u64, &[u8])> {
    let end = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)?;
    let (number, rest) = bytes.split_at(end + 1);
    let digits = number.iter().rev();
    let value = digits.fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    Some((number, value, rest))
}

fn put_varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

impl<'a> Field<'a> {
    /// The first field of a message, and what follows it; `None` where it does not end.
    pub(super) fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (key, number, rest) = varint(bytes)?;
        let wire = (number & 7) as u8;
        let (length, size) = match wire {
            VARINT => (&rest[..0], varint(rest)?.0.len()),
            EIGHT_BYTES => (&rest[..0], 8),
            FOUR_BYTES => (&rest[..0], 4),
            DELIMITED => {
                let (length, size, _) = varint(rest)?;
                (length, usize::try_from(size).ok()?)
            }
            _ => return None,
        };
        let rest = &rest[length.len()..];
        let value = rest.get(..size)?;
        let field = Self {
            number: number >> 3,
            wire,
            key,
            length,
            value,
        };
        Some((field, &rest[size..]))
    }

    /// Whether the content is a message, a text or packed numbers.
    pub(super) fn is_delimited(&self) -> bool {
        self.wire == DELIMITED
    }

    pub(super) fn content(&self) -> &'a [u8] {
        self.value
    }

    /// Writes the field with another content.
    fn put(&self, value: &[u8], to: &mut Vec<u8>) {
        to.extend_from_slice(self.key);
        if value.len() == self.value.len() {
            to.extend_from_slice(self.length);
        } else if self.wire == DELIMITED {
            put_varint(value.len() as u64, to);
        }
        to.extend_from_slice(value);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.value).into_owned()
    }
}

/// The fields of a message.
fn each<'a>(mut bytes: &'a [u8]) -> impl Iterator<Item = Field<'a>> {
    std::iter::from_fn(move || {
        let (field, rest) = Field::read(bytes)?;
        bytes = rest;
        Some(field)
    })
}

/// What changes: stored elements by tensor, names of files beside the model.
struct Changes<'a> {
    elements: BTreeMap<&'a str, Vec<u8>>,
    renamed: &'a BTreeMap<String, String>,
}

impl Changes<'_> {
    /// Rewrites the fields of a message for which `change` gives another content.
    fn message(&self, bytes: &[u8], change: impl Fn(&Field<'_>) -> Option<Vec<u8>>) -> Vec<u8> {
        let mut written = Vec::with_capacity(bytes.len());
        for field in each(bytes) {
            match change(&field) {
                Some(value) => field.put(&value, &mut written),
                None => field.put(field.value, &mut written),
            }
        }
        written
    }

    fn model(&self, bytes: &[u8]) -> Vec<u8> {
        self.message(bytes, |field| {
            (field.number == 7).then(|| self.graph(field.value))
        })
    }

    fn graph(&self, bytes: &[u8]) -> Vec<u8> {
        self.message(bytes, |field| match field.number {
            1 => self.node(field.value),
            5 => {
                let name = each(field.value).filter(|f| f.number == 8).last();
                Some(self.tensor(field.value, &name.map_or(String::new(), |f| f.text())))
            }
            _ => None,
        })
    }

    /// A node that holds a tensor, which goes by the name of the node's result.
    fn node(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let name = each(bytes).find(|f| f.number == 2)?.text();
        if !self.elements.contains_key(name.as_str()) && self.renamed.is_empty() {
            return None;
        }
        Some(self.message(bytes, |attribute| {
            (attribute.number == 5).then(|| {
                self.message(attribute.value, |field| {
                    (field.number == 5).then(|| self.tensor(field.value, &name))
                })
            })
        }))
    }

    fn tensor(&self, bytes: &[u8], name: &str) -> Vec<u8> {
        let elements = self.elements.get(name).map(Vec::as_slice);
        let position = std::cell::Cell::new(0);
        self.message(bytes, |field| {
            if field.number == 13 {
                return self.entry(field.value);
            }
            let elements = elements?;
            match (field.number, field.wire) {
                (9, DELIMITED) => (field.value.len() == elements.len()).then(|| elements.to_vec()),
                (4 | 10, _) => {
                    let start = position.get();
                    position.set(start + field.value.len());
                    elements
                        .get(start..start + field.value.len())
                        .map(<[u8]>::to_vec)
                }
                (5, _) => Some(halves(field.value, elements, &position)),
                _ => None,
            }
        })
    }

    /// An entry about elements that lie beside the model.
    fn entry(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let key = each(bytes).find(|f| f.number == 1)?;
        if key.value != b"location" {
            return None;
        }
        let location = each(bytes).find(|f| f.number == 2)?.text();
        let renamed = self.renamed.get(&location)?;
        Some(self.message(bytes, |field| {
            (field.number == 2).then(|| renamed.clone().into_bytes())
        }))
    }
}

/// Halves as integers of variable length: those that do not change keep their bytes.
fn halves(mut bytes: &[u8], elements: &[u8], position: &std::cell::Cell<usize>) -> Vec<u8> {
    let mut written = Vec::with_capacity(bytes.len());
    while let Some((stored, value, rest)) = varint(bytes) {
        let start = position.get();
        position.set(start + 2);
        let bits = elements.get(start..start + 2);
        let bits = bits.map_or(value as u16, |bits| u16::from_le_bytes([bits[0], bits[1]]));
        match value as u16 == bits {
            true => written.extend_from_slice(stored),
            false => put_varint(bits.into(), &mut written),
        }
        bytes = rest;
    }
    written
}

impl OnnxFile {
    /// The names of the files beside it that hold tensors.
    pub(crate) fn external(&self) -> impl Iterator<Item = &str> {
        self.side.files().keys().map(String::as_str)
    }

    /// The file with the numbers of a checkpoint; files beside it may have other names.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] when a tensor that the file does not store was changed.
    pub(crate) fn written(
        &self,
        checkpoint: &Checkpoint,
        renamed: &BTreeMap<String, String>,
    ) -> Result<Written, ModelError> {
        let mut changes = Changes {
            elements: BTreeMap::new(),
            renamed,
        };
        let mut external: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for (name, file) in self.side.files() {
            external.insert(name, file.to_vec());
        }
        for name in self.checkpoint.names() {
            let (before, after) = (self.checkpoint.raw(name)?, checkpoint.raw(name)?);
            if before == after {
                continue;
            }
            let place = self.places.get(name);
            let place = place
                .filter(|_| before.len() == after.len())
                .ok_or_else(|| {
                    let reason = format!("tensor `{name}` is computed and cannot be written");
                    malformed("ONNX", checkpoint.origin(), reason)
                })?;
            let elements = place.stored(after);
            match &place.external {
                None => {
                    changes.elements.insert(name, elements);
                }
                Some((location, offset)) => {
                    let file = external.get_mut(location.as_str());
                    let to = file.and_then(|f| f.get_mut(*offset..*offset + elements.len()));
                    if let Some(to) = to {
                        to.copy_from_slice(&elements);
                    }
                }
            }
        }
        let same = changes.elements.is_empty() && renamed.is_empty();
        let model = if same {
            self.bytes.clone()
        } else {
            changes.model(&self.bytes)
        };
        let name = |name: &str| {
            renamed
                .get(name)
                .cloned()
                .unwrap_or_else(|| name.to_owned())
        };
        let external = external
            .into_iter()
            .map(|(file, bytes)| (name(file), bytes));
        Ok(Written {
            model,
            external: external.collect(),
        })
    }
}

impl OnnxPlace {
    /// The stored elements of a parameter's bytes.
    fn stored(&self, bytes: &[u8]) -> Vec<u8> {
        let Some(order) = &self.order else {
            return bytes.to_vec();
        };
        let mut stored = vec![0; bytes.len()];
        for (element, &to) in bytes.chunks(self.width).zip(order.iter()) {
            let start = to as usize * self.width;
            stored[start..start + self.width].copy_from_slice(element);
        }
        stored
    }
}
