//! Opening and reading files that were made elsewhere: plain files only, and never more than announced.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::DataError;
use crate::error::SetError;

/// The most bytes of a file, unpacked, that is held in memory as a whole: 2 GiB.
pub(crate) const MAX_IN_MEMORY: u64 = 1 << 31;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Bytes that a packed file may become, whatever its size: 16 MiB.
const MOST_OF_ANY: u64 = 1 << 24;

/// Bytes that each byte of a packed file may become besides. Numbers and texts pack to a fifth or so; the
/// format reaches a thousand, where it says nothing but how long nothing is.
const MOST_OF_EACH: u64 = 100;

/// The most bytes that a packed file of `length` bytes may become.
pub(crate) fn most_unpacked(length: u64) -> u64 {
    MOST_OF_ANY.saturating_add(length.saturating_mul(MOST_OF_EACH))
}

/// Opens a plain file and says how many bytes it has. A link is followed; a pipe, a socket or a device
/// is refused, because reading one may never end.
pub(crate) fn open(path: &Path) -> Result<(File, u64), DataError> {
    Ok(disk::open(path)?)
}

/// The whole of a plain file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    Ok(disk::read(path, limit)?)
}

/// Bytes of a plain file.
pub(crate) fn length(path: &Path) -> Result<u64, DataError> {
    Ok(open(path)?.1)
}

/// Whether there is anything of a name, be it what it is: what is no plain file is refused when it is
/// read.
pub(crate) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Like [`read`], unpacked when the file is gzip, whatever its name.
pub(crate) fn read_unpacked(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    if start_as_stored(path, 2)? != GZIP_MAGIC {
        return read(path, limit);
    }
    let (file, length) = open(path)?;
    let most = limit.min(most_unpacked(length));
    let mut bytes = Vec::new();
    let unpacked = MultiGzDecoder::new(BufReader::new(file))
        .take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| io_error(path, source))?;
    if unpacked as u64 > most {
        return Err(expanded(path, length, most));
    }
    Ok(bytes)
}

/// The first `count` bytes, fewer if the file is shorter; of a gzip file the first ones unpacked.
pub(crate) fn start(path: &Path, count: usize) -> Result<Vec<u8>, DataError> {
    let bytes = start_as_stored(path, count.max(GZIP_MAGIC.len()))?;
    if !bytes.starts_with(&GZIP_MAGIC) {
        return Ok(bytes);
    }
    let (file, _) = open(path)?;
    let mut bytes = Vec::new();
    MultiGzDecoder::new(BufReader::new(file))
        .take(count as u64)
        .read_to_end(&mut bytes)
        .map_err(|source| io_error(path, source))?;
    Ok(bytes)
}

/// The first `count` bytes as they are stored, fewer if the file is shorter.
pub(crate) fn start_as_stored(path: &Path, count: usize) -> Result<Vec<u8>, DataError> {
    let (file, _) = open(path)?;
    let mut bytes = Vec::new();
    file.take(count as u64)
        .read_to_end(&mut bytes)
        .map_err(|source| io_error(path, source))?;
    Ok(bytes)
}

/// The name of a file or folder without those it lies in.
pub(crate) fn name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

pub(crate) fn io_error(path: &Path, source: std::io::Error) -> DataError {
    DataError::Io {
        path: path.to_owned(),
        source,
    }
}

/// The refusal of a packed file of `length` bytes that becomes more than `most`.
pub(crate) fn expanded(path: &Path, length: u64, most: u64) -> DataError {
    DataError::Set(SetError::Expanded {
        path: path.to_owned(),
        length,
        most,
    })
}
