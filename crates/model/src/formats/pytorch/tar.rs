//! The container of PyTorch's first releases: a TAR archive with the files `storages`, `tensors` and
//! `pickle`, whose object refers to tensors by number.

use std::collections::BTreeMap;

use super::cursor::Cursor;
use super::globals::Role;
use super::legacy::counted;
use super::machine::{Loaded, Outside, load};
use super::storage::{Storage, View};
use super::value::{Heap, Value};

/// Bytes of a header, and the multiple to which files are padded.
const BLOCK: usize = 512;

/// Where a header of TAR says `ustar`.
pub(super) const MAGIC_AT: usize = 257;

/// The object of a file, and the bytes of its storages by their keys.
#[derive(Debug)]
pub(super) struct Tar<'f> {
    /// The pickle of the object.
    pub(super) loaded: Loaded<'f>,
    /// What each storage holds.
    pub(super) storages: BTreeMap<String, &'f [u8]>,
}

/// Reads a file of this container.
pub(super) fn open(bytes: &[u8]) -> Result<Tar<'_>, String> {
    let files = files(bytes)?;
    let file = |name: &str| {
        let file = files.get(name).copied();
        file.ok_or_else(|| format!("the TAR archive has no file `{name}`"))
    };
    let mut known: BTreeMap<i64, Storage> = BTreeMap::new();
    let storages = storages(file("storages")?, &mut known)?;
    let mut heap = Heap::default();
    let tensors = tensors(file("tensors")?, &known, &mut heap.storages)?;
    let loaded = load(file("pickle")?, Outside::Tensors(&tensors), heap)?;
    Ok(Tar { loaded, storages })
}

/// The regular files of an archive by name.
fn files(bytes: &[u8]) -> Result<BTreeMap<String, &[u8]>, String> {
    let mut cursor = Cursor::new(bytes);
    let mut files = BTreeMap::new();
    while cursor.rest().first().is_some_and(|&first| first != 0) {
        let header = cursor.take(BLOCK)?;
        let name = until_zero(&header[..100]);
        let name = String::from_utf8_lossy(name.strip_prefix(b"./").unwrap_or(name));
        let size = octal(&header[124..136])
            .ok_or_else(|| format!("file `{}` has no length", super::value::shown(&name)))?;
        let content = cursor.take(size)?;
        let padding = size.next_multiple_of(BLOCK) - size;
        cursor.take(padding.min(cursor.rest().len()))?;
        if matches!(header[156], 0 | b'0') {
            files.insert(name.into_owned(), content);
        }
    }
    Ok(files)
}

fn until_zero(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0);
    &field[..end.unwrap_or(field.len())]
}

fn octal(field: &[u8]) -> Option<usize> {
    let digits = until_zero(field).trim_ascii();
    let text = std::str::from_utf8(digits).ok()?;
    usize::from_str_radix(text, 8).ok()
}

/// A pickle from the front of the cursor.
fn pickle<'f>(cursor: &mut Cursor<'f>) -> Result<Loaded<'f>, String> {
    let loaded = load(cursor.rest(), Outside::Nothing, Heap::default())?;
    cursor.take(loaded.length)?;
    Ok(loaded)
}

fn number(value: Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(number),
        _ => None,
    }
}

/// A pickled number of things that follow.
fn count(cursor: &mut Cursor<'_>) -> Result<i64, String> {
    number(pickle(cursor)?.root).ok_or_else(|| "a number of objects is missing".to_owned())
}

/// `(key, location, type)` and the elements, for each; then views `(key, of, start, elements)`.
fn storages<'f>(
    file: &'f [u8],
    known: &mut BTreeMap<i64, Storage>,
) -> Result<BTreeMap<String, &'f [u8]>, String> {
    let unclear = || "the list of the storages is damaged".to_owned();
    let mut cursor = Cursor::new(file);
    let mut stored = BTreeMap::new();
    for _ in 0..count(&mut cursor)? {
        let entry = pickle(&mut cursor)?;
        let Some(&[key, _, class]) = entry.heap.items(entry.root) else {
            return Err(unclear());
        };
        let role = entry.heap.global(class).map(|class| class.role);
        let (Some(key), Some(Role::StorageOf(element))) = (number(key), role) else {
            return Err(unclear());
        };
        let size = element.size().ok_or_else(unclear)?;
        let elements = counted(&mut cursor, size)?;
        let storage = Storage {
            key: key.to_string(),
            element,
            count: elements.len() / size,
            start: 0,
            inline: None,
        };
        stored.insert(storage.key.clone(), elements);
        known.insert(key, storage);
    }
    let views = pickle(&mut cursor)?;
    for &view in views.heap.items(views.root).ok_or_else(unclear)? {
        let Some(&[key, of, start, length]) = views.heap.items(view) else {
            return Err(unclear());
        };
        let whole = number(of).and_then(|of| known.get(&of));
        let part = whole.and_then(|whole| {
            let start = usize::try_from(number(start)?).ok()?;
            let count = usize::try_from(number(length)?).ok()?;
            let fits = start.checked_add(count)? <= whole.count;
            let start = start.checked_add(whole.start)?;
            fits.then(|| Storage {
                start,
                count,
                ..whole.clone()
            })
        });
        let (Some(key), Some(part)) = (number(key), part) else {
            return Err(unclear());
        };
        known.insert(key, part);
    }
    Ok(stored)
}

/// `(key, storage, type)`, rank, extents, strides and offset, for each.
fn tensors(
    file: &[u8],
    known: &BTreeMap<i64, Storage>,
    storages: &mut Vec<Storage>,
) -> Result<BTreeMap<i64, View>, String> {
    let unclear = || "the list of the tensors is damaged".to_owned();
    let mut cursor = Cursor::new(file);
    let mut tensors = BTreeMap::new();
    for _ in 0..count(&mut cursor)? {
        let entry = pickle(&mut cursor)?;
        let Some(&[key, storage, _]) = entry.heap.items(entry.root) else {
            return Err(unclear());
        };
        let storage = number(storage).and_then(|storage| known.get(&storage));
        let (Some(key), Some(storage)) = (number(key), storage) else {
            return Err(unclear());
        };
        let rank = cursor.length(4)?;
        cursor.take(4)?;
        let mut indices = |count: usize| -> Result<Vec<usize>, String> {
            let length = count.checked_mul(8).ok_or_else(unclear)?;
            let mut listed = Cursor::new(cursor.take(length)?);
            (0..count).map(|_| listed.length(8)).collect()
        };
        let (shape, strides) = (indices(rank)?, indices(rank)?);
        let view = View {
            storage: storages.len(),
            element: storage.element,
            offset: indices(1)?[0],
            shape,
            strides,
        };
        storages.push(storage.clone());
        tensors.insert(key, view);
    }
    Ok(tensors)
}
