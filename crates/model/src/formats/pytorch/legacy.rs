//! The container of PyTorch before 1.6: pickles one after the other (a magic number, a version, facts
//! about the machine, the object, the keys of its storages), then the storages in the order of the
//! keys, each a count and its elements. The elements are little-endian on every machine.

use std::collections::BTreeMap;

use super::cursor::Cursor;
use super::machine::{Loaded, Outside, load};
use super::storage::Storage;
use super::value::{Heap, Node, Value, shown};

/// The magic number as protocol 2 writes it.
pub(super) const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The magic number as protocol 0 writes it.
pub(super) const MAGIC_DIGITS: &[u8] = b"119547037146038801333356";

/// Bytes among which the magic number is.
pub(super) const MAGIC_WITHIN: usize = 64;

/// The version of the container.
const VERSION: i64 = 1001;

/// The object of a file, and the bytes of its storages by their keys.
#[derive(Debug)]
pub(super) struct Legacy<'f> {
    /// The pickle of the object.
    pub(super) loaded: Loaded<'f>,
    /// What each storage holds.
    pub(super) storages: BTreeMap<String, &'f [u8]>,
}

/// Whether bytes start with the magic number.
pub(super) fn starts(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(MAGIC_WITHIN)];
    let has = |magic: &[u8]| start.windows(magic.len()).any(|found| found == magic);
    has(&MAGIC) || has(MAGIC_DIGITS)
}

/// Reads a file of this container.
pub(super) fn open(bytes: &[u8]) -> Result<Legacy<'_>, String> {
    if !starts(bytes) {
        return Err("it has no magic number".to_owned());
    }
    let mut rest = bytes;
    let mut next = |outside: Outside<'_>| -> Result<_, String> {
        let loaded = load(rest, outside, Heap::default())?;
        rest = &rest[loaded.length..];
        Ok(loaded)
    };
    next(Outside::Nothing)?;
    let version = next(Outside::Nothing)?.root;
    if version != Value::Int(VERSION) {
        return Err(format!("expected version {VERSION}, got {version:?}"));
    }
    next(Outside::Nothing)?;
    let loaded = next(Outside::Storages)?;
    let keys = next(Outside::Nothing)?;
    let keys = keys.heap.items(keys.root).map(|items| {
        let keys = items.iter().map(|&key| keys.heap.key(key));
        keys.collect::<Option<Vec<_>>>()
    });
    let keys = keys.flatten().ok_or("it has no list of its storages")?;
    let mut sizes = BTreeMap::new();
    for storage in &loaded.heap.storages {
        if let Some(size) = storage.element.size() {
            sizes.entry(storage.key.as_str()).or_insert(size);
        }
    }
    let mut cursor = Cursor::new(rest);
    let mut storages = BTreeMap::new();
    for key in keys {
        let size = sizes.get(key.as_str());
        let size = size.ok_or_else(|| format!("no tensor is of storage `{}`", shown(&key)))?;
        let elements = counted(&mut cursor, *size)
            .map_err(|reason| format!("storage `{}`: {reason}", shown(&key)))?;
        storages.insert(key, elements);
    }
    Ok(Legacy { loaded, storages })
}

/// A count and so many elements.
pub(super) fn counted<'f>(cursor: &mut Cursor<'f>, size: usize) -> Result<&'f [u8], String> {
    let count = cursor.length(8)?;
    let length = count.checked_mul(size);
    cursor.take(length.ok_or_else(|| format!("{count} elements are announced"))?)
}

/// The only storage of a file whose object is one; `inline` is the range of its bytes in the file.
pub(super) fn only_storage(bytes: &[u8]) -> Result<Storage, String> {
    let legacy = open(bytes)?;
    let heap = &legacy.loaded.heap;
    let Some(&Node::Storage(place)) = heap.get(legacy.loaded.root) else {
        return Err("a storage is read from something else".to_owned());
    };
    let mut storage = heap.storages[place].clone();
    let elements = legacy.storages.get(&storage.key);
    let elements = elements.ok_or("a storage is not in its own file")?;
    // Storages end the file, and there is one.
    let end = bytes.len();
    storage.inline = Some((0, end - elements.len().min(end)..end));
    if legacy.storages.len() != 1 || !bytes.ends_with(elements) {
        return Err("a storage is read from a file with more than that".to_owned());
    }
    Ok(storage)
}
