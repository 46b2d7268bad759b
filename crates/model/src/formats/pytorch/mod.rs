//! PyTorch's files: `torch.save` of a state dict, of a dictionary or list that holds one, or of a module,
//! in the ZIP container, the legacy one, the TAR of the first releases, or a plain pickle.
//!
//! A pickle is a program for a stack machine; Python's runs whatever function it names. The machine
//! here builds plain data and tensors and runs nothing ([`machine`]). A file whose pickle still asks for
//! a function or a class that is neither PyTorch's nor plain data, even to drop the answer, is refused,
//! because its author meant more than weights ([`audit`]); classes of the user may be those of modules.
//!
//! Bytes go where they are needed once they have been counted: the tensors of a file may have
//! [`MAX_EXPANSION`] times the bytes of the file.

mod audit;
mod calls;
mod cursor;
mod globals;
mod legacy;
mod legacy_text;
mod machine;
mod module;
mod select;
mod storage;
mod tar;
mod value;
mod zip;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use self::machine::{Outside, load};
use self::select::Selection;
use self::storage::{Element, View};
use self::value::{Heap, Node, Value, first_names, shown};
use self::zip::Archive;
use super::{StoredTensor, malformed, stranger};
use crate::mlp::Forward;
use crate::{ModelError, Note};

const FORMAT: &str = "PyTorch";

/// Bytes that the tensors of a file may have together, as a multiple of the file's size. Tied
/// weights come once for every name; a view with stride 0 repeats one element without end.
const MAX_EXPANSION: usize = 8;

/// The longest pickle in an archive.
const MAX_PICKLE: usize = 100 << 20;

/// Opcode that starts a pickle of protocol 2 or later.
const PROTOCOL: u8 = 0x80;

/// Whether a file starts like one of the containers or a pickle.
pub(super) fn starts_like(bytes: &[u8]) -> bool {
    let zip = bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06");
    let pickle = matches!(bytes, [PROTOCOL, 1..=5, ..]);
    zip || pickle || is_tar(bytes) || legacy::starts(bytes) || starts_like_text(bytes)
}

fn is_tar(bytes: &[u8]) -> bool {
    let header = bytes.get(tar::MAGIC_AT..);
    header.is_some_and(|header| header.starts_with(b"ustar"))
}

/// Whether a file starts like a pickle of protocol 0 or 1: a container that is put into the memo, or
/// the names of a module and a function.
fn starts_like_text(bytes: &[u8]) -> bool {
    let is_name = |line: &[u8]| {
        let letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"._".contains(byte);
        !line.is_empty() && line.iter().all(letter)
    };
    if let Some(rest) = bytes.strip_prefix(b"c") {
        let mut lines = rest.splitn(3, |&byte| byte == b'\n');
        let both = [lines.next(), lines.next()].map(Option::unwrap_or_default);
        return lines.next().is_some() && both.into_iter().all(is_name);
    }
    [&b"(dp"[..], b"(lp", b"}q\0", b"]q\0"]
        .iter()
        .any(|start| bytes.starts_with(start))
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Contents {
    /// The tensors in the order of the file.
    pub(super) tensors: Vec<StoredTensor>,
    /// What the classes of a module say.
    pub(super) forward: Option<Forward>,
    /// Where the weights were found, and what was not read.
    pub(super) notes: Vec<Note>,
}

/// Reads a file; `key` chooses among several state dicts.
pub(super) fn read(bytes: &[u8], origin: &str, key: Option<&str>) -> Result<Contents, ModelError> {
    contents(bytes, key).map_err(|reason| malformed(FORMAT, origin, reason))
}

fn contents(bytes: &[u8], key: Option<&str>) -> Result<Contents, String> {
    if bytes.starts_with(b"PK") {
        let archive = Archive::open(bytes)?;
        let folder = folder_of_pickle(&archive)?;
        let pickle = archive.read(&format!("{folder}data.pkl"), MAX_PICKLE)?;
        let loaded = load(&pickle, Outside::Storages, Heap::default())?;
        let source = Source {
            storages: Storages::Archive(&archive, &folder),
            big_endian: is_big_endian(&archive, &folder)?,
            length: bytes.len(),
        };
        let mut contents = source.contents(&loaded.heap, loaded.root, key)?;
        if !archive.has_checksums() {
            let text = "the archive has no checksums: damage would not be seen";
            contents.notes.push(Note::Read(text.to_owned()));
        }
        Ok(contents)
    } else if legacy::starts(bytes) {
        let legacy = legacy::open(bytes)?;
        let source = Source::of_runs(&legacy.storages, bytes.len());
        source.contents(&legacy.loaded.heap, legacy.loaded.root, key)
    } else if is_tar(bytes) {
        let tar = tar::open(bytes)?;
        let source = Source::of_runs(&tar.storages, bytes.len());
        source.contents(&tar.loaded.heap, tar.loaded.root, key)
    } else {
        let loaded = load(bytes, Outside::Nothing, Heap::default())?;
        let none = BTreeMap::new();
        let source = Source::of_runs(&none, bytes.len());
        source.contents(&loaded.heap, loaded.root, key)
    }
}

/// The folder of an archive in which the pickle lies, with its slash.
fn folder_of_pickle(archive: &Archive<'_>) -> Result<String, String> {
    let mut folders = archive.names().filter_map(|name| {
        let folder = name.strip_suffix("data.pkl")?;
        let plain = folder.is_empty() || folder.find('/') == Some(folder.len() - 1);
        plain.then(|| folder.to_owned())
    });
    let (Some(folder), None) = (folders.next(), folders.next()) else {
        return Err(match stranger::archive(archive.names()) {
            Some(what) => format!("it is {what}"),
            None => format!(
                "it is a ZIP archive of {}, expected one `data.pkl`",
                first_names(archive.names())
            ),
        });
    };
    let code = format!("{folder}code/");
    let is_script = archive.contains(&format!("{folder}constants.pkl"))
        || archive.names().any(|name| name.starts_with(&code));
    if is_script {
        return Err(
            "it is a TorchScript archive, whose code says what it computes; \
             save the state dict of the module (`torch.save(module.state_dict(), ..)`) or export it to ONNX"
                .to_owned(),
        );
    }
    Ok(folder)
}

/// Whether the storages of an archive are big-endian; those of one that does not say are not.
fn is_big_endian(archive: &Archive<'_>, folder: &str) -> Result<bool, String> {
    let name = format!("{folder}byteorder");
    if !archive.contains(&name) {
        return Ok(false);
    }
    match &*archive.read(&name, 16)? {
        b"little" => Ok(false),
        b"big" => Ok(true),
        other => Err(format!(
            "the byte order is `{}`, expected little or big",
            shown(&String::from_utf8_lossy(other))
        )),
    }
}

/// Where the elements of tensors are.
struct Source<'s> {
    storages: Storages<'s>,
    big_endian: bool,
    /// Bytes of the file.
    length: usize,
}

enum Storages<'s> {
    Archive(&'s Archive<'s>, &'s str),
    Runs(&'s BTreeMap<String, &'s [u8]>),
}

impl<'s> Source<'s> {
    fn of_runs(runs: &'s BTreeMap<String, &'s [u8]>, length: usize) -> Self {
        Self {
            storages: Storages::Runs(runs),
            big_endian: false,
            length,
        }
    }

    /// The weights of a pickle's answer, with their bytes.
    fn contents(
        &self,
        heap: &Heap<'_>,
        root: Value,
        key: Option<&str>,
    ) -> Result<Contents, String> {
        let Selection {
            tensors,
            module,
            mut notes,
        } = select::select(heap, root, key)?;
        self.check_expansion(&tensors)?;
        let stored = self.storages_of(heap, &tensors)?;
        notes.extend(tied(heap, &tensors));
        let tensors = tensors
            .into_iter()
            .map(|(name, view)| {
                let bytes = self.bytes_of(heap, &stored, view);
                let (dtype, bytes) = bytes.map_err(|reason| of_tensor(&name, &reason))?;
                Ok(StoredTensor {
                    name,
                    dtype,
                    shape: view.shape.clone(),
                    bytes,
                })
            })
            .collect::<Result<_, String>>()?;
        Ok(Contents {
            tensors,
            forward: module.map(|module| module::forward(heap, module)),
            notes,
        })
    }

    /// Counts the bytes of all tensors before any is copied.
    fn check_expansion(&self, tensors: &[(String, &View)]) -> Result<(), String> {
        let mut left = self.length.saturating_mul(MAX_EXPANSION);
        for (name, view) in tensors {
            let Element::Read(dtype) = view.element else {
                return Err(of_tensor(name, &unread(view.element)));
            };
            let bytes = view
                .count()
                .and_then(|count| count.checked_mul(dtype.bitsize() / 8));
            left = bytes.and_then(|bytes| left.checked_sub(bytes)).ok_or_else(|| {
                format!(
                    "tensor `{}` of shape {:?} brings the tensors to more than {MAX_EXPANSION} times the file",
                    shown(name),
                    view.shape
                )
            })?;
        }
        Ok(())
    }

    /// The contents of the storages that the tensors need, each once.
    fn storages_of(
        &self,
        heap: &Heap<'_>,
        tensors: &[(String, &View)],
    ) -> Result<BTreeMap<String, Cow<'s, [u8]>>, String> {
        let needed = tensors.iter().map(|(_, view)| &heap.storages[view.storage]);
        let needed = needed.filter(|storage| storage.inline.is_none());
        let keys: BTreeSet<&str> = needed.map(|storage| storage.key.as_str()).collect();
        let mut left = self.length.saturating_mul(MAX_EXPANSION);
        let mut contents = BTreeMap::new();
        for key in keys {
            let content = match self.storages {
                Storages::Runs(runs) => match runs.get(key) {
                    Some(run) => Cow::Borrowed(*run),
                    None => return Err(format!("there is no storage `{}`", shown(key))),
                },
                Storages::Archive(archive, folder) => {
                    let name = format!("{folder}data/{key}");
                    left = left.checked_sub(archive.inflated(&name)).ok_or_else(|| {
                        format!(
                            "entry `{}` brings the storages to more than {MAX_EXPANSION} times the file",
                            shown(&name)
                        )
                    })?;
                    archive.read(&name, usize::MAX)?
                }
            };
            contents.insert(key.to_owned(), content);
        }
        Ok(contents)
    }

    /// Type and elements of a tensor, row-major and little-endian.
    fn bytes_of(
        &self,
        heap: &Heap<'_>,
        stored: &BTreeMap<String, Cow<'s, [u8]>>,
        view: &View,
    ) -> Result<(safetensors::Dtype, Vec<u8>), String> {
        let Element::Read(dtype) = view.element else {
            return Err(unread(view.element));
        };
        let storage = &heap.storages[view.storage];
        let (start, end) = view.range(storage)?;
        let (content, big_endian): (&[u8], bool) = match &storage.inline {
            None => match stored.get(&storage.key) {
                Some(content) => (content, self.big_endian),
                None => return Err(format!("needs storage `{}`", shown(&storage.key))),
            },
            Some((id, range)) => match heap.node(*id) {
                Node::Bytes(bytes) => (bytes.get(range.clone()).unwrap_or_default(), false),
                _ => return Err("has no storage".to_owned()),
            },
        };
        let needed = content.get(start..end).ok_or_else(|| {
            format!(
                "needs bytes {start} to {end} of storage `{}`, which has {}",
                shown(&storage.key),
                content.len()
            )
        })?;
        Ok((dtype, view.gather(needed, dtype.bitsize() / 8, big_endian)))
    }
}

fn of_tensor(name: &str, reason: &str) -> String {
    format!("tensor `{}` {reason}", shown(name))
}

fn unread(element: Element) -> String {
    match element {
        Element::Unread(name) => {
            format!("has elements of type {name}, expected floats, integers or booleans")
        }
        _ => "has elements of no type".to_owned(),
    }
}

/// Says which tensors are the same numbers in the file and become several.
fn tied(heap: &Heap<'_>, tensors: &[(String, &View)]) -> Option<Note> {
    let mut first: BTreeMap<_, &str> = BTreeMap::new();
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for (name, view) in tensors {
        let storage = &heap.storages[view.storage];
        let start = storage.start.saturating_add(view.offset);
        let place = (&storage.key, start, &view.shape, &view.strides);
        if let Some(other) = first.insert(place, name) {
            names.extend([other, name.as_str()]);
        }
    }
    (!names.is_empty()).then(|| {
        Note::Read(format!(
            "tensors that share their numbers in the file are read as separate ones: {}",
            first_names(names.into_iter())
        ))
    })
}
