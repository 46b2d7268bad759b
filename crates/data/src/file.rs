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

/// Opens a plain file and says how many bytes it has. A link is followed; a pipe, a socket or a device
/// is refused, because reading one may never end.
pub(crate) fn open(path: &Path) -> Result<(File, u64), DataError> {
    // Asked before it is opened: opening a pipe waits for its other end.
    let metadata = std::fs::metadata(path).map_err(|source| io_error(path, source))?;
    if !metadata.is_file() {
        return Err(DataError::Set(SetError::NotAFile {
            path: path.to_owned(),
            got: if metadata.is_dir() {
                "a folder"
            } else {
                "a pipe, a socket or a device"
            },
        }));
    }
    let file = File::open(path).map_err(|source| io_error(path, source))?;
    Ok((file, metadata.len()))
}

/// The whole of a plain file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let (file, length) = open(path)?;
    if length > limit {
        return Err(too_large(path, limit, length));
    }
    let mut bytes = Vec::new();
    // The file may grow between the two calls.
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(|source| io_error(path, source))?;
    Ok(bytes)
}

/// Like [`read`], unpacked when the file is gzip, whatever its name.
pub(crate) fn read_unpacked(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    if start_as_stored(path, 2)? != GZIP_MAGIC {
        return read(path, limit);
    }
    let (file, length) = open(path)?;
    let mut bytes = Vec::new();
    let unpacked = MultiGzDecoder::new(BufReader::new(file))
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| io_error(path, source))?;
    if unpacked as u64 > limit {
        return Err(too_large(path, limit, length.max(limit + 1)));
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

/// Whether `relative` names something below the folder it is joined to: no root, no `..`.
pub(crate) fn stays_inside(relative: &Path) -> bool {
    use std::path::Component;
    let mut parts = relative.components().peekable();
    parts.peek().is_some()
        && parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

pub(crate) fn io_error(path: &Path, source: std::io::Error) -> DataError {
    DataError::Io {
        path: path.to_owned(),
        source,
    }
}

fn too_large(path: &Path, limit: u64, got: u64) -> DataError {
    DataError::Set(SetError::FileTooLarge {
        path: path.to_owned(),
        limit,
        got,
    })
}
