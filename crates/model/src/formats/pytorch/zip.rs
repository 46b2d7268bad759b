//! ZIP archives, as far as `torch.save` and programs that pack its files again use them: entries that
//! are stored or deflated, lengths of 64 bits, one disk, no encryption. Every entry that is read has
//! its checksum compared; PyTorch can be told to write zeros for all of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::cursor::Cursor;
use super::value::{first_names, shown};

/// An archive whose directory is read.
#[derive(Debug)]
pub(super) struct Archive<'f> {
    bytes: &'f [u8],
    entries: BTreeMap<String, Entry>,
}

/// One line of the directory.
#[derive(Clone, Copy, Debug)]
struct Entry {
    method: u16,
    encrypted: bool,
    checksum: u32,
    packed: usize,
    length: usize,
    header: usize,
}

const LOCAL: &[u8] = b"PK\x03\x04";
const DIRECTORY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";

/// Bytes of the record at the end, without its comment.
const END_LENGTH: usize = 22;
/// Bytes of the record that says where the end record of 64 bits is.
const LOCATOR_LENGTH: usize = 20;
/// The longest comment.
const MAX_COMMENT: usize = 0xffff;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

impl<'f> Archive<'f> {
    /// Reads the directory.
    pub(super) fn open(bytes: &'f [u8]) -> Result<Self, String> {
        let (count, start) = directory(bytes)?;
        let listed = bytes
            .get(start..)
            .ok_or("the directory lies outside of the file")?;
        let mut cursor = Cursor::new(listed);
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let (name, entry) = listing(&mut cursor)?;
            if entries.contains_key(&name) {
                return Err(format!("entry `{}` comes twice", shown(&name)));
            }
            entries.insert(name, entry);
        }
        Ok(Self { bytes, entries })
    }

    /// The names of all entries, sorted.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.entries.keys().map(String::as_str)
    }

    /// Whether entries have checksums: a zero for each of them stands for none.
    pub(super) fn has_checksums(&self) -> bool {
        self.entries.values().any(|entry| entry.checksum != 0)
    }

    /// Whether there is such an entry.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Bytes that reading an entry takes beyond those of the file: its length where it is deflated.
    pub(super) fn inflated(&self, name: &str) -> usize {
        match self.entries.get(name) {
            Some(entry) if entry.method != STORED => entry.length,
            _ => 0,
        }
    }

    /// The content of an entry of at most `limit` bytes.
    pub(super) fn read(&self, name: &str, limit: usize) -> Result<Cow<'f, [u8]>, String> {
        let at = |reason: String| format!("entry `{}` {reason}", shown(name));
        let Some(entry) = self.entries.get(name) else {
            let held = first_names(self.names());
            return Err(format!("there is no entry `{}` among {held}", shown(name)));
        };
        if entry.encrypted {
            return Err(at("is encrypted".to_owned()));
        }
        if entry.length > limit {
            return Err(at(format!(
                "announces {} bytes, expected at most {limit}",
                entry.length
            )));
        }
        let packed = self.packed(name, entry).map_err(at)?;
        let content = match entry.method {
            STORED if entry.length == packed.len() => Cow::Borrowed(packed),
            STORED => return Err(at("has two lengths".to_owned())),
            DEFLATED => Cow::Owned(inflate(packed, entry.length).map_err(at)?),
            other => {
                return Err(at(format!(
                    "is compressed by method {other}, expected 0 (stored) or 8 (deflated)"
                )));
            }
        };
        let mut crc = Crc::new();
        crc.update(&content);
        if crc.sum() != entry.checksum && self.has_checksums() {
            return Err(at(format!(
                "has the checksum {:08x}, expected {:08x}",
                crc.sum(),
                entry.checksum
            )));
        }
        Ok(content)
    }

    /// The packed bytes of an entry, behind its own header.
    fn packed(&self, name: &str, entry: &Entry) -> Result<&'f [u8], String> {
        let local = self.bytes.get(entry.header..).unwrap_or_default();
        let mut cursor = Cursor::new(local);
        if cursor.take(LOCAL.len())? != LOCAL {
            return Err("has no header".to_owned());
        }
        cursor.take(22)?;
        let (name_length, extra) = (cursor.length(2)?, cursor.length(2)?);
        if cursor.take(name_length)? != name.as_bytes() {
            return Err("has another name in its header".to_owned());
        }
        cursor.take(extra)?;
        cursor.take(entry.packed)
    }
}

/// Number of entries, and where their list starts.
fn directory(bytes: &[u8]) -> Result<(usize, usize), String> {
    let earliest = bytes.len().saturating_sub(END_LENGTH + MAX_COMMENT);
    let tail = &bytes[earliest..];
    let is_end = |&at: &usize| {
        let record = tail[at..].strip_prefix(END);
        let comment = record.and_then(|record| record.get(16..18));
        // The comment reaches to the end of the file.
        comment.is_some_and(|comment| {
            let comment = usize::from(u16::from_le_bytes([comment[0], comment[1]]));
            at + END_LENGTH + comment == tail.len()
        })
    };
    let last = tail.len().saturating_sub(END_LENGTH);
    let end = (0..=last).rev().find(is_end);
    let end =
        earliest + end.ok_or("the archive has no directory at its end; it may be cut short")?;
    let mut cursor = Cursor::new(&bytes[end + 10..]);
    let count = cursor.length(2)?;
    cursor.take(4)?;
    let start = cursor.length(4)?;
    let locator = end.checked_sub(LOCATOR_LENGTH).map(|at| &bytes[at..end]);
    match locator.and_then(|record| record.strip_prefix(LOCATOR_64)) {
        Some(locator) => {
            let mut cursor = Cursor::new(locator);
            cursor.take(4)?;
            directory_64(bytes, cursor.length(8)?)
        }
        None => Ok((count, start)),
    }
}

fn directory_64(bytes: &[u8], at: usize) -> Result<(usize, usize), String> {
    let record = bytes
        .get(at..)
        .and_then(|record| record.strip_prefix(END_64));
    let mut cursor = Cursor::new(record.ok_or("the archive has no directory of 64 bits")?);
    cursor.take(28)?;
    let count = cursor.length(8)?;
    cursor.take(8)?;
    Ok((count, cursor.length(8)?))
}

fn listing(cursor: &mut Cursor<'_>) -> Result<(String, Entry), String> {
    if cursor.take(DIRECTORY.len())? != DIRECTORY {
        return Err("the directory is damaged".to_owned());
    }
    cursor.take(4)?;
    let flags = cursor.number(2)?;
    let method = u16::from_le_bytes(cursor.array()?);
    cursor.take(4)?;
    let checksum = u32::from_le_bytes(cursor.array()?);
    let (packed, length) = (cursor.length(4)?, cursor.length(4)?);
    let (name, extra, comment) = (cursor.length(2)?, cursor.length(2)?, cursor.length(2)?);
    cursor.take(8)?;
    let header = cursor.length(4)?;
    let name = std::str::from_utf8(cursor.take(name)?);
    let name = name
        .map_err(|_| "the name of an entry is no UTF-8")?
        .to_owned();
    let mut entry = Entry {
        method,
        encrypted: flags & 1 != 0,
        checksum,
        packed,
        length,
        header,
    };
    widen(&mut entry, cursor.take(extra)?)?;
    cursor.take(comment)?;
    Ok((name, entry))
}

/// Lengths that need more than 32 bits are in an extra field, in this order.
fn widen(entry: &mut Entry, extra: &[u8]) -> Result<(), String> {
    const WIDE: u64 = 1;
    const TOO_WIDE: usize = u32::MAX as usize;
    let mut cursor = Cursor::new(extra);
    while cursor.rest().len() >= 4 {
        let (kind, length) = (cursor.number(2)?, cursor.length(2)?);
        let mut field = Cursor::new(cursor.take(length)?);
        if kind == WIDE {
            for number in [&mut entry.length, &mut entry.packed, &mut entry.header] {
                if *number == TOO_WIDE {
                    *number = field.length(8)?;
                }
            }
        }
    }
    Ok(())
}

/// Inflates what must be of a given length.
fn inflate(packed: &[u8], length: usize) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    // One byte more than announced shows that there are more.
    let mut decoder = DeflateDecoder::new(packed).take((length as u64).saturating_add(1));
    decoder
        .read_to_end(&mut content)
        .map_err(|error| format!("cannot be inflated: {error}"))?;
    if content.len() == length {
        Ok(content)
    } else {
        Err(format!(
            "does not inflate to the {length} bytes that it announces"
        ))
    }
}
