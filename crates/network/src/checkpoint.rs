//! Safetensors in and out.
//!
//! A checkpoint keeps the bytes of its file. An edit overwrites the edited
//! tensors' bytes in a copy, so names, dtypes, layouts, metadata and every
//! tensor that was not edited stay byte-identical.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorInfo};

use crate::NetworkError;

/// The tensors of a safetensors file, as stored.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    origin: String,
    bytes: Arc<[u8]>,
    data_start: usize,
    tensors: BTreeMap<String, TensorInfo>,
    metadata: BTreeMap<String, String>,
    config: Option<serde_json::Value>,
}

/// Bytes of the little-endian header length that starts the format.
const LENGTH_BYTES: usize = 8;

impl Checkpoint {
    /// Reads a file.
    ///
    /// # Errors
    /// [`NetworkError::Io`], or as [`Checkpoint::from_bytes`].
    pub fn read(path: &Path) -> Result<Self, NetworkError> {
        let bytes = std::fs::read(path).map_err(|source| NetworkError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(bytes, &path.display().to_string())
    }

    /// Parses the bytes of a file; `origin` names it in errors.
    ///
    /// # Errors
    /// [`NetworkError::Malformed`] for bytes that are no safetensors file,
    /// [`NetworkError::NotFinite`] for weights that are NaN or infinite.
    pub fn from_bytes(bytes: Vec<u8>, origin: &str) -> Result<Self, NetworkError> {
        let malformed = |reason: String| NetworkError::Malformed {
            origin: origin.to_owned(),
            reason,
        };
        let (header, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|e| malformed(e.to_string()))?;
        let data_start = LENGTH_BYTES + header;
        let got = bytes.len() - data_start;
        if got != metadata.data_len() {
            return Err(malformed(format!(
                "expected {} bytes of tensors, got {got}",
                metadata.data_len()
            )));
        }
        let checkpoint = Self {
            origin: origin.to_owned(),
            data_start,
            tensors: metadata
                .tensors()
                .into_iter()
                .map(|(name, info)| (name, info.clone()))
                .collect(),
            metadata: metadata
                .metadata()
                .clone()
                .unwrap_or_default()
                .into_iter()
                .collect(),
            bytes: bytes.into(),
            config: None,
        };
        for (name, info) in &checkpoint.tensors {
            if is_float(info.dtype) {
                let numbers = checkpoint.tensor(name)?;
                if let Some(position) = numbers.iter().position(|x| !x.is_finite()) {
                    return Err(NetworkError::NotFinite {
                        tensor: name.clone(),
                        position,
                        value: numbers[position],
                    });
                }
            }
        }
        Ok(checkpoint)
    }

    /// A checkpoint from named f32 tensors (`(name, shape, numbers)`), laid out
    /// in the given order: the same arguments give the same bytes.
    ///
    /// # Errors
    /// [`NetworkError::Malformed`] when a shape does not fit its numbers.
    pub fn from_f32(
        tensors: &[(String, Vec<usize>, Vec<f32>)],
        metadata: &BTreeMap<String, String>,
        origin: &str,
    ) -> Result<Self, NetworkError> {
        let mut header = serde_json::Map::new();
        if !metadata.is_empty() {
            header.insert("__metadata__".into(), serde_json::json!(metadata));
        }
        let mut data = Vec::new();
        for (name, shape, numbers) in tensors {
            let start = data.len();
            data.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
            let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
            header.insert(name.clone(), entry);
        }
        let mut header = serde_json::Value::Object(header).to_string().into_bytes();
        // The format aligns the data to eight bytes.
        header.resize(header.len().next_multiple_of(LENGTH_BYTES), b' ');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend(data);
        Self::from_bytes(bytes, origin)
    }

    /// Where the checkpoint comes from, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The metadata map of the header.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The model's configuration (`config.json`), where there is one.
    pub fn config(&self) -> Option<&serde_json::Value> {
        self.config.as_ref()
    }

    /// The same checkpoint with a configuration.
    pub fn with_config(self, config: serde_json::Value) -> Self {
        let config = Some(config);
        Self { config, ..self }
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Extents of a tensor.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] when there is no such tensor.
    pub fn shape(&self, name: &str) -> Result<&[usize], NetworkError> {
        Ok(&self.info(name)?.shape)
    }

    /// A tensor's numbers in row-major order; every stored float is exact in f64.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] or [`NetworkError::Dtype`].
    pub fn tensor(&self, name: &str) -> Result<Vec<f64>, NetworkError> {
        let info = self.info(name)?;
        let data = self.slice(info);
        Ok(match info.dtype {
            Dtype::F16 => decode::<2>(data, |b| f16::from_le_bytes(b).to_f64()),
            Dtype::BF16 => decode::<2>(data, |b| bf16::from_le_bytes(b).to_f64()),
            Dtype::F32 => decode::<4>(data, |b| f64::from(f32::from_le_bytes(b))),
            Dtype::F64 => decode::<8>(data, f64::from_le_bytes),
            other => return Err(dtype_error(name, other)),
        })
    }

    /// The numbers of a tensor of 64-bit integers in row-major order.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`] or [`NetworkError::Dtype`].
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, NetworkError> {
        let info = self.info(name)?;
        match info.dtype {
            Dtype::I64 => {
                let chunks = self.slice(info).as_chunks().0.iter();
                Ok(chunks.map(|bytes| i64::from_le_bytes(*bytes)).collect())
            }
            other => Err(NetworkError::Dtype {
                tensor: name.to_owned(),
                expected: "I64",
                got: format!("{other:?}"),
            }),
        }
    }

    /// A copy in which the given tensors hold other numbers, rounded to nearest
    /// in each tensor's own dtype.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`], [`NetworkError::Dtype`], [`NetworkError::Shape`]
    /// for a wrong count, [`NetworkError::NotFinite`] when a number overflows the dtype.
    pub fn with_tensors(&self, changes: &BTreeMap<String, Vec<f64>>) -> Result<Self, NetworkError> {
        let mut bytes = self.bytes.to_vec();
        for (name, numbers) in changes {
            let info = self.info(name)?;
            if numbers.len() != info.shape.iter().product::<usize>() {
                return Err(NetworkError::shape(
                    format!("tensor `{name}`"),
                    format!("{} numbers", info.shape.iter().product::<usize>()),
                    &[numbers.len()],
                ));
            }
            let encoded = match info.dtype {
                Dtype::F16 => encode::<2>(numbers, |x| f16::from_f64(x).to_le_bytes()),
                Dtype::BF16 => encode::<2>(numbers, |x| bf16::from_f64(x).to_le_bytes()),
                Dtype::F32 => encode::<4>(numbers, |x| (x as f32).to_le_bytes()),
                Dtype::F64 => encode::<8>(numbers, f64::to_le_bytes),
                other => return Err(dtype_error(name, other)),
            };
            let (start, end) = info.data_offsets;
            bytes[self.data_start + start..self.data_start + end].copy_from_slice(&encoded);
        }
        let config = self.config.clone();
        Ok(Self {
            config,
            ..Self::from_bytes(bytes, &self.origin)?
        })
    }

    /// Writes the file through a temporary file beside it, so that `path` holds
    /// the whole checkpoint or what it held before.
    ///
    /// # Errors
    /// [`NetworkError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), NetworkError> {
        let io = |source| NetworkError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        file.write_all(&self.bytes).map_err(io)?;
        file.persist(path).map_err(|error| io(error.error))?;
        Ok(())
    }

    fn info(&self, name: &str) -> Result<&TensorInfo, NetworkError> {
        self.tensors.get(name).ok_or_else(|| NetworkError::Unknown {
            kind: "tensor",
            name: name.to_owned(),
            known: self.tensors.keys().cloned().collect(),
        })
    }

    fn slice(&self, info: &TensorInfo) -> &[u8] {
        let (start, end) = info.data_offsets;
        &self.bytes[self.data_start + start..self.data_start + end]
    }
}

fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
}

fn dtype_error(tensor: &str, got: Dtype) -> NetworkError {
    NetworkError::Dtype {
        tensor: tensor.to_owned(),
        expected: "one of F16, BF16, F32, F64",
        got: format!("{got:?}"),
    }
}

fn decode<const N: usize>(data: &[u8], one: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    data.as_chunks::<N>()
        .0
        .iter()
        .map(|chunk| one(*chunk))
        .collect()
}

fn encode<const N: usize>(numbers: &[f64], one: impl Fn(f64) -> [u8; N]) -> Vec<u8> {
    numbers.iter().flat_map(|&x| one(x)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checkpoint {
        let metadata = BTreeMap::from([
            ("activation".into(), "relu".into()),
            ("note".into(), "x".into()),
        ]);
        let tensors = vec![
            ("b".to_owned(), vec![2], vec![1.5, -2.0]),
            ("a".to_owned(), vec![1, 2], vec![0.1, 0.2]),
        ];
        Checkpoint::from_f32(&tensors, &metadata, "sample").unwrap()
    }

    #[test]
    fn an_edit_leaves_every_other_byte_alone() {
        let before = sample();
        let after = before
            .with_tensors(&BTreeMap::from([("b".into(), vec![3.0, 4.0])]))
            .unwrap();
        assert_eq!(after.tensor("b").unwrap(), [3.0, 4.0]);
        assert_eq!(after.tensor("a").unwrap(), before.tensor("a").unwrap());
        assert_eq!(after.metadata(), before.metadata());
        let differing = before
            .bytes()
            .iter()
            .zip(after.bytes())
            .filter(|(x, y)| x != y)
            .count();
        assert!(differing > 0 && differing <= 8);
    }

    #[test]
    fn written_files_read_back_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.safetensors");
        sample().write(&path).unwrap();
        assert_eq!(Checkpoint::read(&path).unwrap().bytes(), sample().bytes());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn numbers_that_overflow_the_dtype_are_refused() {
        let error = sample()
            .with_tensors(&BTreeMap::from([("b".into(), vec![1e300, 0.0])]))
            .unwrap_err();
        assert!(
            matches!(error, NetworkError::NotFinite { position: 0, .. }),
            "{error}"
        );
    }
}
