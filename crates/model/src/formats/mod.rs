//! Checkpoint files: which format a file has, and how it becomes a [`Checkpoint`].

mod config;
mod folder;
mod numbers;
pub mod onnx;
mod pytorch;
mod safetensors;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ::safetensors::Dtype;

pub(crate) use folder::open_folder;
pub(crate) use numbers::{decode, decode_f32, encode, not_finite};
pub(crate) use safetensors::{LENGTH_BYTES, lay_out};

use crate::{Checkpoint, ModelError};

/// A tensor as a file stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// Its name.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Row-major elements, little-endian.
    pub bytes: Vec<u8>,
}

/// What a file holds: tensors, or tensors and the graph that reads them.
pub(crate) enum Opened {
    /// Named tensors.
    Tensors(Checkpoint),
    /// A graph.
    Onnx(Box<onnx::Read>),
}

impl Opened {
    /// The tensors.
    pub(crate) fn into_checkpoint(self) -> Checkpoint {
        match self {
            Self::Tensors(checkpoint) => checkpoint,
            Self::Onnx(read) => read.checkpoint,
        }
    }

    /// The same with a configuration, as if it lay beside the file.
    pub(crate) fn with_config(self, config: serde_json::Value) -> Self {
        match self {
            Self::Tensors(checkpoint) => Self::Tensors(checkpoint.with_config(config)),
            Self::Onnx(read) => {
                let checkpoint = read.checkpoint.with_config(config);
                Self::Onnx(Box::new(onnx::Read {
                    checkpoint,
                    ..*read
                }))
            }
        }
    }
}

/// A file or a folder, with the configuration beside it; `tokens` is the length of texts for graphs that
/// leave it open.
pub(crate) fn read(path: &Path, tokens: Option<usize>) -> Result<Opened, ModelError> {
    if path.is_dir() {
        return open_folder(path, tokens);
    }
    let opened = read_opened(path, tokens)?;
    Ok(match config::beside(path)? {
        Some(config) => opened.with_config(config),
        None => opened,
    })
}

/// The graph of a file, or its tensors, without its configuration.
fn read_opened(path: &Path, tokens: Option<usize>) -> Result<Opened, ModelError> {
    let mut start = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SNIFFED).read_to_end(&mut start))
        .map_err(|source| ModelError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
    if matches!(
        Format::of(&start),
        Some(Format::Safetensors | Format::PyTorch)
    ) {
        return read_file(path).map(Opened::Tensors);
    }
    let bytes = read_bytes(path)?;
    match Format::of(&bytes) {
        Some(Format::Onnx) => {
            onnx::read_at(bytes, path, tokens).map(|read| Opened::Onnx(Box::new(read)))
        }
        _ => read_file(path).map(Opened::Tensors),
    }
}

/// Bytes that tell the formats with a header.
const SNIFFED: u64 = 512;

/// The tensors of a file without its configuration.
fn read_file(path: &Path) -> Result<Checkpoint, ModelError> {
    let bytes = read_bytes(path)?;
    let origin = path.display().to_string();
    match Format::of(&bytes) {
        Some(Format::Safetensors) => Checkpoint::from_bytes(bytes, &origin),
        Some(Format::PyTorch) => {
            let length = bytes.len();
            // The reader takes from the file what it needs.
            drop(bytes);
            converted(pytorch::tensors(path, length)?, &origin)
        }
        Some(Format::Onnx) => Ok(onnx::read_at(bytes, path, None)?.checkpoint),
        None => Checkpoint::from_bytes(bytes, &origin).map_err(|error| match error {
            ModelError::Malformed {
                origin,
                format,
                reason,
            } => ModelError::Malformed {
                origin,
                format,
                reason: format!("{reason} (nor does it start like PyTorch or ONNX)"),
            },
            other => other,
        }),
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, ModelError> {
    std::fs::read(path).map_err(|source| ModelError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

/// Writes a file through a temporary one beside it, so that `path` holds all of it or what it held
/// before.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let io = |source| ModelError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default; a network is as readable as any other file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.tempfile_in(folder).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}

/// A checkpoint of tensors that were read from another format: widest elements first, so that
/// every tensor is aligned, and then by name.
fn converted(tensors: Vec<StoredTensor>, origin: &str) -> Result<Checkpoint, ModelError> {
    converted_with(tensors, BTreeMap::new(), origin)
}

/// As [`converted`], with the metadata of the file.
fn converted_with(
    mut tensors: Vec<StoredTensor>,
    mut metadata: BTreeMap<String, String>,
    origin: &str,
) -> Result<Checkpoint, ModelError> {
    tensors.sort_by(|a, b| (b.dtype.bitsize(), &a.name).cmp(&(a.dtype.bitsize(), &b.name)));
    // The layouts are PyTorch's, which is what readers of the format look for here.
    metadata.insert("format".to_owned(), "pt".to_owned());
    Checkpoint::from_tensors(&tensors, &metadata, origin)
}

/// What the first bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Safetensors,
    PyTorch,
    Onnx,
}

/// The largest header that the safetensors format allows.
const SAFETENSORS_HEADER: u64 = 100_000_000;

/// Magic number of PyTorch's legacy container, as a pickled integer.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Where a TAR header says `ustar`.
const TAR_MAGIC: usize = 257;

/// Opcode that starts a pickle of protocol 2 or later.
const PICKLE_PROTOCOL: u8 = 0x80;

impl Format {
    fn of(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<LENGTH_BYTES>().copied();
        let header = header.map(u64::from_le_bytes);
        if header.is_some_and(|length| length <= SAFETENSORS_HEADER)
            && bytes.get(LENGTH_BYTES) == Some(&b'{')
        {
            return Some(Self::Safetensors);
        }
        let zip = bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06");
        let tar = bytes
            .get(TAR_MAGIC..)
            .is_some_and(|rest| rest.starts_with(b"ustar"));
        let start = &bytes[..bytes.len().min(64)];
        let legacy = start
            .windows(LEGACY_MAGIC.len())
            .any(|found| found == LEGACY_MAGIC);
        let pickle = matches!(bytes, [PICKLE_PROTOCOL, 1..=5, ..]);
        if zip || tar || legacy || pickle {
            return Some(Self::PyTorch);
        }
        onnx::starts_like(bytes).then_some(Self::Onnx)
    }
}

/// Runs a parser of another crate; a panic in it becomes an error.
fn guarded<T>(
    format: &'static str,
    origin: &str,
    parse: impl FnOnce() -> Result<T, ModelError>,
) -> Result<T, ModelError> {
    catch_unwind(AssertUnwindSafe(parse))
        .unwrap_or_else(|_| Err(malformed(format, origin, "the parser failed on it")))
}

fn malformed(format: &'static str, origin: &str, reason: impl Into<String>) -> ModelError {
    ModelError::Malformed {
        origin: origin.to_owned(),
        format,
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        let mut safetensors = 0x80u64.to_le_bytes().to_vec();
        safetensors.extend(b"{}");
        let mut tar = vec![0; TAR_MAGIC];
        tar.extend(b"ustar");
        let cases: [(&[u8], Option<Format>); 9] = [
            (&safetensors, Some(Format::Safetensors)),
            (b"PK\x03\x04....", Some(Format::PyTorch)),
            (&tar, Some(Format::PyTorch)),
            (
                b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
                Some(Format::PyTorch),
            ),
            (b"\x80\x04}.", Some(Format::PyTorch)),
            (b"\x08\x03\x12\x05mxnet", Some(Format::Onnx)),
            (b"\x08\x00\x00\x00\x00\x00\x00\x00[]", None),
            (b"hello, world", None),
            (b"", None),
        ];
        for (bytes, format) in cases {
            assert_eq!(Format::of(bytes), format, "{bytes:?}");
        }
    }
}
