//! Checkpoint files: which format a file has, and how it becomes a [`Checkpoint`].

mod config;
mod folder;
mod nnet;
mod numbers;
pub mod onnx;
mod pytorch;
mod safetensors;
mod stranger;
mod tidy;

use std::collections::BTreeMap;
use std::path::Path;

use ::safetensors::Dtype;
use disk::Place;

pub(crate) use folder::open_folder;
pub(crate) use numbers::{decode, decode_f32, encode, not_finite};
pub(crate) use safetensors::{LENGTH_BYTES, lay_out, with_header};

use crate::checkpoint::Source;
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

/// A file or a folder, with the configuration beside it; `key` chooses among the state dicts of a
/// PyTorch file, `tokens` is the length of texts for graphs that leave it open.
pub(crate) fn read(
    path: &Path,
    key: Option<&str>,
    tokens: Option<usize>,
) -> Result<Opened, ModelError> {
    if path.is_dir() {
        return open_folder(path, key, tokens);
    }
    let opened = read_opened(path, key, tokens)?;
    Ok(match config::beside(path)? {
        Some(config) => opened.with_config(config),
        None => opened,
    })
}

/// The graph of a file, or its tensors, without its configuration.
fn read_opened(
    path: &Path,
    key: Option<&str>,
    tokens: Option<usize>,
) -> Result<Opened, ModelError> {
    let bytes = read_bytes(path)?;
    if Format::of(&bytes) == Some(Format::Onnx) && key.is_none() {
        let read = onnx::read_at(bytes, path, tokens)?;
        return Ok(Opened::Onnx(Box::new(read)));
    }
    of_bytes(bytes, path, key).map(Opened::Tensors)
}

/// The tensors in the bytes of the file at `path`.
fn of_bytes(bytes: Vec<u8>, path: &Path, key: Option<&str>) -> Result<Checkpoint, ModelError> {
    let origin = path.display().to_string();
    let format = Format::of(&bytes);
    if let Some(key) = key
        && format != Some(Format::PyTorch)
    {
        return Err(ModelError::Unknown {
            kind: "key",
            name: key.to_owned(),
            known: vec![format!("none, `{origin}` is no PyTorch file")],
        });
    }
    match format {
        Some(Format::Safetensors) => Checkpoint::from_bytes(bytes, &origin),
        Some(Format::PyTorch) => {
            let contents = pytorch::read(&bytes, &origin, key)?;
            drop(bytes);
            let names = contents.tensors.iter().map(|tensor| tensor.name.clone());
            let order = names.collect();
            of_pytorch(contents, order, &origin)
        }
        Some(Format::Onnx) => Ok(onnx::read_at(bytes, path, None)?.checkpoint),
        Some(Format::Nnet) => {
            let nnet = nnet::read(&bytes, &origin)?;
            let checkpoint = converted(nnet.tensors, nnet.metadata, &origin)?;
            Ok(checkpoint.with_source(Source {
                notes: nnet.notes,
                ..Source::default()
            }))
        }
        None => Err(unknown(bytes, &origin)),
    }
}

/// Why a file of no format is none.
fn unknown(bytes: Vec<u8>, origin: &str) -> ModelError {
    if let Some(what) = stranger::name(&bytes) {
        return malformed("weight", origin, format!("it {what}"));
    }
    match Checkpoint::from_bytes(bytes, origin) {
        Err(ModelError::Malformed {
            origin,
            format,
            reason,
        }) => ModelError::Malformed {
            origin,
            format,
            reason: format!("{reason} (nor does it start like PyTorch, ONNX or .nnet)"),
        },
        Err(other) => other,
        Ok(_) => malformed("safetensors", origin, "its header starts with no `{`"),
    }
}

/// A shard, with the names that its index lists, and whether it is PyTorch's.
fn read_shard(place: &Place, path: &Path) -> Result<(Checkpoint, bool), ModelError> {
    let bytes = place.read(path, MOST_WEIGHTS)?;
    if Format::of(&bytes) != Some(Format::PyTorch) {
        return Ok((of_bytes(bytes, path, None)?, false));
    }
    let origin = path.display().to_string();
    let contents = pytorch::read(&bytes, &origin, None)?;
    let checkpoint = converted(contents.tensors, BTreeMap::new(), &origin)?;
    let source = Source {
        notes: contents.notes,
        ..Source::default()
    };
    Ok((checkpoint.with_source(source), true))
}

/// The checkpoint of a PyTorch file: wrappers around all names and pruning are undone. `order` are the
/// names of its tensors in their order, where it keeps one.
fn of_pytorch(
    contents: pytorch::Contents,
    order: Vec<String>,
    origin: &str,
) -> Result<Checkpoint, ModelError> {
    let pytorch::Contents {
        mut tensors,
        mut forward,
        mut notes,
    } = contents;
    let prefix = tidy::tidy(&mut tensors, &mut notes)
        .map_err(|reason| malformed("PyTorch", origin, reason))?;
    if let Some(forward) = &mut forward {
        forward.strip(&prefix);
    }
    let layers = order.iter().filter_map(|name| {
        let name = name.strip_prefix(&prefix).unwrap_or(name);
        let name = name.strip_suffix("_orig").unwrap_or(name);
        match name {
            "weight" => Some(String::new()),
            name => name.strip_suffix(".weight").map(str::to_owned),
        }
    });
    let source = Source {
        order: layers.collect(),
        forward,
        notes,
    };
    Ok(converted(tensors, BTreeMap::new(), origin)?.with_source(source))
}

/// The most bytes of a file of weights: 64 GiB, which holds 16 thousand million numbers of 32 bits.
const MOST_WEIGHTS: u64 = 1 << 36;

fn read_bytes(path: &Path) -> Result<Vec<u8>, ModelError> {
    Ok(disk::read(path, MOST_WEIGHTS)?)
}

/// Whether there is anything of a name, be it what it is: what is no plain file is refused when it is
/// read.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A checkpoint of tensors that were read from another format: widest elements first, so that
/// every tensor is aligned, and then by name.
fn converted(
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
    Nnet,
}

/// The largest header that the safetensors format allows.
const SAFETENSORS_HEADER: u64 = 100_000_000;

impl Format {
    fn of(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<LENGTH_BYTES>().copied();
        let header = header.map(u64::from_le_bytes);
        if header.is_some_and(|length| length <= SAFETENSORS_HEADER)
            && bytes.get(LENGTH_BYTES) == Some(&b'{')
        {
            return Some(Self::Safetensors);
        }
        if pytorch::starts_like(bytes) {
            return Some(Self::PyTorch);
        }
        if onnx::starts_like(bytes) {
            return Some(Self::Onnx);
        }
        nnet::starts_like(bytes).then_some(Self::Nnet)
    }
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
        let mut tar = vec![0; 257];
        tar.extend(b"ustar");
        let cases: [(&[u8], Option<Format>); 14] = [
            (&safetensors, Some(Format::Safetensors)),
            (b"PK\x03\x04....", Some(Format::PyTorch)),
            (&tar, Some(Format::PyTorch)),
            (
                b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
                Some(Format::PyTorch),
            ),
            (b"\x80\x04}.", Some(Format::PyTorch)),
            (b"ccollections\nOrderedDict\n(lp0\n", Some(Format::PyTorch)),
            (b"(dp0\nS'a'\n", Some(Format::PyTorch)),
            (b"L119547037146038801333356L\n.", Some(Format::PyTorch)),
            (b"// ACAS Xu\n7,5,5,50,\n", Some(Format::Nnet)),
            (b"\x08\x03\x12\x05mxnet", Some(Format::Onnx)),
            (b"\x08\x00\x00\x00\x00\x00\x00\x00[]", None),
            (b"hello, world", None),
            (b"cat\nand dog\n", None),
            (b"", None),
        ];
        for (bytes, format) in cases {
            assert_eq!(Format::of(bytes), format, "{bytes:?}");
        }
    }
}
