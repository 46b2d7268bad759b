//! Zip archives as NumPy writes them: stored or deflated entries, with 64-bit sizes where needed.
//!
//! Entries are read from the central directory at the end of the file; what their local headers say
//! about sizes is not used. Encrypted entries and other methods are refused.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use flate2::Crc;
use flate2::read::DeflateDecoder;

use crate::DataError;
use crate::error::wrong;
use crate::file::{self, io_error};

/// The end of the directory and its longest comment.
const END: usize = 22 + 65_535;
/// The largest central directory that is read: 64 MiB.
const MAX_DIRECTORY: u64 = 1 << 26;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// A size or an offset that stands in the 64-bit extension instead.
const IN_EXTENSION: u64 = 0xffff_ffff;

/// A file in an archive.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    method: u16,
    checksum: u32,
    pub(crate) packed: u64,
    /// Bytes when unpacked, as the directory says.
    pub(crate) size: u64,
    header: u64,
}

/// The entries of an archive, in the order of its directory.
///
/// # Errors
/// [`DataError::Io`], and [`DataError::Labelled`] for what is no such archive.
pub(crate) fn entries(path: &Path) -> Result<Vec<Entry>, DataError> {
    let (mut from, length) = file::open(path)?;
    let tail_len = length.min(END as u64);
    let tail = at(path, &mut from, length - tail_len, tail_len)?;
    let end = (0..tail.len().saturating_sub(21))
        .rev()
        .find(|&start| tail[start..].starts_with(b"PK\x05\x06"))
        .ok_or_else(|| bad(path, "a directory at its end", "none"))?;
    let end = &tail[end..];
    let (mut count, mut size, mut offset) = (short(end, 10), word(end, 12), word(end, 16));
    if count == 0xffff || size == IN_EXTENSION || offset == IN_EXTENSION {
        (count, size, offset) = large_directory(path, &mut from, &tail, length)?;
    }
    let ends = offset.checked_add(size);
    if size > MAX_DIRECTORY || ends.is_none_or(|end| end > length) {
        let got = format!("one of {size} bytes at {offset}");
        return Err(bad(path, "a directory inside the file", &got));
    }
    let directory = at(path, &mut from, offset, size)?;
    let mut rest = &directory[..];
    let mut entries = vec![];
    for _ in 0..count {
        let (entry, after) =
            entry(rest).ok_or_else(|| bad(path, "a whole directory", "a damaged one"))?;
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

/// Number of entries, size and offset of a directory that needs 64 bits.
fn large_directory(
    path: &Path,
    from: &mut File,
    tail: &[u8],
    length: u64,
) -> Result<(u64, u64, u64), DataError> {
    let damaged = || bad(path, "a 64-bit directory", "none");
    let locator = tail
        .windows(20)
        .rev()
        .find(|bytes| bytes.starts_with(b"PK\x06\x07"))
        .ok_or_else(damaged)?;
    let start = long(locator, 8);
    if start.checked_add(56).is_none_or(|end| end > length) {
        return Err(damaged());
    }
    let record = at(path, from, start, 56)?;
    if !record.starts_with(b"PK\x06\x06") {
        return Err(damaged());
    }
    Ok((long(&record, 32), long(&record, 40), long(&record, 48)))
}

/// The first entry of a directory, and what follows it.
fn entry(directory: &[u8]) -> Option<(Entry, &[u8])> {
    let fixed = directory.get(..46)?;
    if !fixed.starts_with(b"PK\x01\x02") {
        return None;
    }
    let encrypted = short(fixed, 8) & 1 == 1;
    let name_end = 46 + short(fixed, 28) as usize;
    let extra_end = name_end + short(fixed, 30) as usize;
    let end = extra_end + short(fixed, 32) as usize;
    let name = String::from_utf8_lossy(directory.get(46..name_end)?).into_owned();
    let extra = directory.get(name_end..extra_end)?;
    let after = directory.get(end..)?;
    let mut large = extension(extra).chunks_exact(8).map(|bytes| long(bytes, 0));
    let mut value = |at| match word(fixed, at) {
        IN_EXTENSION => large.next(),
        value => Some(value),
    };
    // In this order they stand in the extension too.
    let (size, packed, header) = (value(24)?, value(20)?, value(42)?);
    let entry = Entry {
        name,
        // No method has this number.
        method: if encrypted {
            u16::MAX
        } else {
            short(fixed, 10) as u16
        },
        checksum: word(fixed, 16) as u32,
        packed,
        size,
        header,
    };
    Some((entry, after))
}

/// The 64-bit extension among the extra fields of an entry; empty when there is none.
fn extension(mut extra: &[u8]) -> &[u8] {
    while extra.len() >= 4 {
        let end = 4 + short(extra, 2) as usize;
        let Some(field) = extra.get(4..end) else {
            break;
        };
        if short(extra, 0) == 1 {
            return field;
        }
        extra = &extra[end..];
    }
    &[]
}

impl Entry {
    /// Where its bytes are in the file when they are stored as they are.
    ///
    /// # Errors
    /// Those of [`entries`].
    pub(crate) fn stored_at(&self, path: &Path) -> Result<Option<u64>, DataError> {
        if self.method != STORED || self.packed != self.size {
            return Ok(None);
        }
        self.data(path).map(|(_, offset)| Some(offset))
    }

    /// At most `limit` bytes of it, unpacked; its checksum is compared when that is all of it.
    ///
    /// # Errors
    /// Those of [`entries`]; [`DataError::Labelled`] for an entry that is encrypted, packed by another
    /// method, damaged, or of another size than the directory says.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
        let (from, _) = self.data(path)?;
        let packed = from.take(self.packed);
        let limit = limit.min(self.size);
        let mut bytes = Vec::new();
        // One byte more than announced shows that there are too many.
        let read = match self.method {
            STORED => packed.take(limit + 1).read_to_end(&mut bytes),
            DEFLATED => DeflateDecoder::new(packed)
                .take(limit + 1)
                .read_to_end(&mut bytes),
            u16::MAX => return Err(bad(path, "no password", "an encrypted entry")),
            other => {
                let got = format!("method {other} for {:?}", self.name);
                return Err(bad(path, "stored or deflated entries", &got));
            }
        };
        read.map_err(|source| io_error(path, source))?;
        if limit < self.size {
            bytes.truncate(limit as usize);
            return Ok(bytes);
        }
        let mut checksum = Crc::new();
        checksum.update(&bytes);
        if bytes.len() as u64 != self.size || checksum.sum() != self.checksum {
            let expected = format!("{} bytes of checksum {:08x}", self.size, self.checksum);
            let got = format!("others for {:?}", self.name);
            return Err(bad(path, &expected, &got));
        }
        Ok(bytes)
    }

    /// The file at the first byte of the entry's data, and where that is.
    fn data(&self, path: &Path) -> Result<(File, u64), DataError> {
        let (mut from, length) = file::open(path)?;
        let damaged = || bad(path, "an entry where the directory says", "none");
        if self.header.checked_add(30).is_none_or(|end| end > length) {
            return Err(damaged());
        }
        let local = at(path, &mut from, self.header, 30)?;
        if !local.starts_with(b"PK\x03\x04") {
            return Err(damaged());
        }
        let offset = self.header + 30 + short(&local, 26) + short(&local, 28);
        if offset
            .checked_add(self.packed)
            .is_none_or(|end| end > length)
        {
            return Err(damaged());
        }
        from.seek(SeekFrom::Start(offset))
            .map_err(|source| io_error(path, source))?;
        Ok((from, offset))
    }
}

/// `length` bytes from `offset` on, which are inside the file.
fn at(path: &Path, from: &mut File, offset: u64, length: u64) -> Result<Vec<u8>, DataError> {
    let io = |source| io_error(path, source);
    from.seek(SeekFrom::Start(offset)).map_err(io)?;
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// Little-endian numbers at a position; 0 beyond the end.
fn short(bytes: &[u8], at: usize) -> u64 {
    number(bytes, at, 2)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    number(bytes, at, 4)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    number(bytes, at, 8)
}

fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    let bytes = bytes.get(at..at + size).unwrap_or_default();
    bytes
        .iter()
        .rev()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn bad(path: &Path, expected: &str, got: &str) -> DataError {
    wrong(path, "zip archive", expected, got)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;

    /// An archive of entries: name, contents and whether they are deflated.
    pub(crate) fn archive(entries: &[(&str, &[u8], bool)]) -> Vec<u8> {
        let (mut file, mut directory) = (Vec::new(), Vec::new());
        for &(name, contents, deflated) in entries {
            let packed = if deflated {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(contents).unwrap();
                encoder.finish().unwrap()
            } else {
                contents.to_vec()
            };
            let mut checksum = Crc::new();
            checksum.update(contents);
            let mut shared = vec![20, 0, 0, 0, if deflated { 8 } else { 0 }, 0, 0, 0, 0, 0];
            shared.extend(checksum.sum().to_le_bytes());
            shared.extend((packed.len() as u32).to_le_bytes());
            shared.extend((contents.len() as u32).to_le_bytes());
            shared.extend((name.len() as u16).to_le_bytes());
            let offset = file.len() as u32;
            directory.extend(b"PK\x01\x02\x14\x00");
            directory.extend(&shared);
            directory.extend([0; 12]);
            directory.extend(offset.to_le_bytes());
            directory.extend(name.bytes());
            file.extend(b"PK\x03\x04");
            file.extend(&shared);
            file.extend([0; 2]);
            file.extend(name.bytes());
            file.extend(packed);
        }
        let offset = file.len() as u32;
        let count = (entries.len() as u16).to_le_bytes();
        file.extend(&directory);
        file.extend(b"PK\x05\x06\0\0\0\0");
        file.extend(count);
        file.extend(count);
        file.extend((directory.len() as u32).to_le_bytes());
        file.extend(offset.to_le_bytes());
        file.extend([0, 0]);
        file
    }

    fn write(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn stored_and_deflated_entries_are_read() {
        let bytes = archive(&[("a", b"plain", false), ("b", &[7; 1000], true)]);
        let (_folder, path) = write(&bytes);
        let entries = entries(&path).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].read(&path, 100).unwrap(), b"plain");
        let at = entries[0].stored_at(&path).unwrap().unwrap() as usize;
        assert_eq!(&bytes[at..at + 5], b"plain");
        assert_eq!(entries[1].read(&path, 2000).unwrap(), [7; 1000]);
        assert_eq!(entries[1].read(&path, 3).unwrap(), [7; 3]);
        assert_eq!(entries[1].stored_at(&path).unwrap(), None);
    }

    #[test]
    fn damaged_archives_are_refused() {
        let good = archive(&[("a", b"plain", false), ("b", &[7; 1000], true)]);
        let refused = |bytes: &[u8]| {
            let (_folder, path) = write(bytes);
            entries(&path).and_then(|entries| {
                let read = entries.iter().map(|entry| entry.read(&path, 1 << 20));
                read.collect::<Result<Vec<_>, _>>()
            })
        };
        for cut in 0..good.len() {
            assert!(refused(&good[..cut]).is_err(), "{cut}");
        }
        let changed = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            refused(&bytes).unwrap_err().to_string()
        };
        let first = 30 + 1;
        assert!(changed(first, b'P').contains("checksum"));
        let directory = good.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
        assert!(changed(directory + 8, 1).contains("encrypted"));
        assert!(changed(directory + 10, 12).contains("method 12"));
        // Larger and smaller than the entry is.
        assert!(changed(directory + 24, 200).contains("200 bytes"));
        assert!(changed(directory + 24, 1).contains("1 bytes"));
        assert!(changed(directory + 43, 0x7f).contains("where the directory says"));
    }

    #[test]
    fn flipped_bytes_never_panic() {
        let good = archive(&[("a", b"plain", false), ("b", &[7; 100], true)]);
        for at in 0..good.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = byte;
                let (_folder, path) = write(&bytes);
                for entry in entries(&path).unwrap_or_default() {
                    let _ = entry.read(&path, 1 << 20);
                    let _ = entry.stored_at(&path);
                }
            }
        }
    }
}
