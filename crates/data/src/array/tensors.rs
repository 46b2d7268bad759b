//! The named arrays of a file: tensors of safetensors files, arrays of NumPy's `.npz` archives.

use std::path::{Path, PathBuf};

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, Metadata};

use super::zip::{self, Entry};
use super::{Array, Element, Store, npy};
use crate::DataError;
use crate::error::wrong;
use crate::file;

/// The longest header that the format allows.
const MAX_HEADER: u64 = 100_000_000;

/// Arrays by name, opened when they are asked for.
#[derive(Debug)]
pub(crate) struct Named {
    path: PathBuf,
    kind: Kind,
    /// All names, in alphabetical order.
    pub(crate) names: Vec<String>,
}

#[derive(Debug)]
enum Kind {
    Tensors { metadata: Metadata, data: u64 },
    Archive(Vec<Entry>),
}

impl Named {
    /// Reads the header of a safetensors file.
    ///
    /// # Errors
    /// [`DataError::Io`] and [`DataError::Batch`].
    pub(crate) fn safetensors(path: &Path) -> Result<Self, DataError> {
        let damaged = |source| DataError::Batch {
            path: path.to_owned(),
            source,
        };
        let (_, length) = file::open(path)?;
        let size = file::start_as_stored(path, 8)?;
        let size = <[u8; 8]>::try_from(&size[..])
            .map(u64::from_le_bytes)
            .map_err(|_| damaged(SafeTensorError::HeaderTooSmall))?;
        if size > MAX_HEADER {
            return Err(damaged(SafeTensorError::HeaderTooLarge));
        }
        let data = 8 + size;
        let start = file::start_as_stored(path, data as usize)?;
        let header = start
            .get(8..data as usize)
            .ok_or_else(|| damaged(SafeTensorError::InvalidHeaderLength))?;
        let metadata: Metadata = serde_json::from_slice(header)
            .map_err(|source| damaged(SafeTensorError::InvalidHeaderDeserialization(source)))?;
        if data.checked_add(metadata.data_len() as u64) != Some(length) {
            return Err(damaged(SafeTensorError::MetadataIncompleteBuffer));
        }
        let names = sorted(metadata.offset_keys());
        Ok(Self {
            path: path.to_owned(),
            kind: Kind::Tensors { metadata, data },
            names,
        })
    }

    /// Reads the directory of an `.npz` archive; entries that are no `.npy` files are left out.
    ///
    /// # Errors
    /// Those of [`zip::entries`].
    pub(crate) fn npz(path: &Path) -> Result<Self, DataError> {
        let arrays = |entry: &Entry| entry.name.ends_with(".npy");
        let entries: Vec<Entry> = zip::entries(path)?.into_iter().filter(arrays).collect();
        let names = entries.iter().map(|entry| key(entry).to_owned());
        let names = sorted(names.collect());
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let got = format!("two called {}", twice[0]);
            return Err(wrong(path, "arrays", "names that differ", got));
        }
        Ok(Self {
            path: path.to_owned(),
            kind: Kind::Archive(entries),
            names,
        })
    }

    /// The array of a name.
    ///
    /// # Errors
    /// [`DataError::Labelled`] when there is none, or when it has elements that are no numbers; those of
    /// [`Entry::read`].
    pub(crate) fn array(&self, name: &str) -> Result<Array, DataError> {
        match &self.kind {
            Kind::Tensors { metadata, data } => {
                let info = metadata.info(name).ok_or_else(|| self.missing(name))?;
                let element = element(info.dtype).ok_or_else(|| {
                    let expected = "floats of 16 to 64 bits, integers or booleans";
                    let got = format!("{:?} in `{name}`", info.dtype);
                    wrong(&self.path, "type of a tensor", expected, got)
                })?;
                Ok(Array {
                    path: self.path.clone(),
                    name: name.to_owned(),
                    element,
                    big_endian: false,
                    shape: info.shape.clone(),
                    fortran: false,
                    store: Store::File {
                        offset: data + info.data_offsets.0 as u64,
                    },
                })
            }
            Kind::Archive(entries) => {
                let entry = entries.iter().find(|entry| key(entry) == name);
                self.member(name, entry.ok_or_else(|| self.missing(name))?)
            }
        }
    }

    fn member(&self, name: &str, entry: &Entry) -> Result<Array, DataError> {
        let start = entry.read(&self.path, 1 << 16)?;
        let header = npy::header(&self.path, &start)?;
        match entry.stored_at(&self.path)? {
            Some(offset) if !header.is_fortran() => {
                let (before, size) = (header.before as u64, entry.size);
                let length = size.saturating_sub(before);
                npy::in_file(&self.path, name, header, offset + before, length)
            }
            _ if entry.size > file::MAX_IN_MEMORY => {
                let expected = format!("at most {} bytes", file::MAX_IN_MEMORY);
                let got = format!("{} in `{name}`", entry.size);
                Err(wrong(&self.path, "a packed array", expected, got))
            }
            _ if entry.size > file::most_unpacked(entry.packed) => {
                let most = file::most_unpacked(entry.packed);
                Err(file::expanded(&self.path, entry.packed, most))
            }
            _ => {
                let bytes = entry.read(&self.path, file::MAX_IN_MEMORY)?;
                npy::in_memory(&self.path, name, header, bytes)
            }
        }
    }

    fn missing(&self, name: &str) -> DataError {
        let expected = format!("one called `{name}`");
        wrong(&self.path, "tensors", expected, self.listed())
    }

    /// The first names, for errors.
    pub(crate) fn listed(&self) -> String {
        match self.names.len() {
            0 => "none".to_owned(),
            count @ 1..=20 => self.names[..count].join(", "),
            count => format!("{} and {} more", self.names[..20].join(", "), count - 20),
        }
    }
}

fn key(entry: &Entry) -> &str {
    entry.name.strip_suffix(".npy").unwrap_or(&entry.name)
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::BOOL => Element::Bool,
        Dtype::U8 => Element::U8,
        Dtype::I8 => Element::I8,
        Dtype::U16 => Element::U16,
        Dtype::I16 => Element::I16,
        Dtype::U32 => Element::U32,
        Dtype::I32 => Element::I32,
        Dtype::U64 => Element::U64,
        Dtype::I64 => Element::I64,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        _ => return None,
    })
}
