//! Named tensors, as stored.
//!
//! A checkpoint holds the bytes of a safetensors file. An edit overwrites the
//! edited tensors' bytes in a copy, so names, dtypes, layouts, metadata and
//! every tensor that was not edited stay byte-identical. Files of other formats
//! are converted when they are read, with names and dtypes kept.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorInfo};

use crate::formats::{self, StoredTensor};
use crate::mlp::Forward;
use crate::{ModelError, Note, Output};

/// The dtypes whose numbers a network can hold.
const FLOATS: &str = "one of F16, BF16, F32, F64";

/// The tensors of a checkpoint, and the configuration that lies beside it.
#[derive(Clone)]
pub struct Checkpoint {
    origin: String,
    bytes: Arc<Vec<u8>>,
    data_start: usize,
    tensors: BTreeMap<String, TensorInfo>,
    metadata: BTreeMap<String, String>,
    config: Option<Arc<serde_json::Value>>,
    source: Arc<Source>,
}

/// What a file of another format says beside its tensors, which no safetensors file says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// Where the tensors were found, and what was not read.
    pub(crate) notes: Vec<Note>,
    /// What the classes of a saved module say.
    pub(crate) forward: Option<Forward>,
    /// The prefixes of all matrices in the order of the file; empty where the format keeps none.
    pub(crate) order: Vec<String>,
}

/// Names the origin and counts the tensors: their bytes would fill pages.
impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("origin", &self.origin)
            .field("tensors", &self.tensors.len())
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl Checkpoint {
    /// Reads a file of any supported format, told from its content, or a folder.
    ///
    /// | format | read |
    /// |---|---|
    /// | safetensors | as it is |
    /// | PyTorch (`.pt`, `.pth`, `.bin`) | ZIP, legacy and TAR containers, plain pickles; state dicts, dictionaries and lists that hold one, whole modules; wrappers around all names and pruning are undone; no code of the pickle runs |
    /// | ONNX | the weights of the graph's layers under their own names, in PyTorch's layouts |
    /// | `.nnet` (ACAS Xu) | layers `0`, `2`, .., ReLU, units of inputs and outputs |
    ///
    /// Other known formats are refused by name. [`Checkpoint::notes`] says what was found where.
    ///
    /// The configuration is `NAME.config.json` or `config.json` beside the file. A
    /// folder is read as by [`Checkpoint::open_folder`].
    ///
    /// # Errors
    /// [`ModelError::Io`], or as [`Checkpoint::from_bytes`]; [`ModelError::Operator`]
    /// for an ONNX graph that cannot be represented.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        Ok(formats::read(path, None, None)?.into_checkpoint())
    }

    /// Reads the weights of a folder: `model.safetensors`, else the shards of
    /// `model.safetensors.index.json`, else `pytorch_model.bin`, else the shards of
    /// `pytorch_model.bin.index.json`, else the only weight file there is.
    ///
    /// # Errors
    /// [`ModelError::Folder`] when that names no file or more than one, or as
    /// [`Checkpoint::read`].
    pub fn open_folder(folder: &Path) -> Result<Self, ModelError> {
        Ok(formats::open_folder(folder, None, None)?.into_checkpoint())
    }

    /// Parses the bytes of a safetensors file; `origin` names it in errors.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] for bytes that are no safetensors file,
    /// [`ModelError::NotFinite`] for weights that are NaN or infinite.
    pub fn from_bytes(bytes: Vec<u8>, origin: &str) -> Result<Self, ModelError> {
        let malformed = |reason: String| ModelError::Malformed {
            origin: origin.to_owned(),
            format: "safetensors",
            reason,
        };
        let (header, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|e| malformed(e.to_string()))?;
        let data_start = formats::LENGTH_BYTES + header;
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
            bytes: Arc::new(bytes),
            config: None,
            source: Arc::default(),
        };
        for (name, info) in &checkpoint.tensors {
            if let Some((position, value)) = formats::not_finite(checkpoint.slice(info), info.dtype)
            {
                return Err(ModelError::NotFinite {
                    origin: checkpoint.origin,
                    tensor: name.clone(),
                    position,
                    value,
                });
            }
        }
        Ok(checkpoint)
    }

    /// A checkpoint from named f32 tensors (`(name, shape, numbers)`), laid out
    /// in the given order: the same arguments give the same bytes.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] when a shape does not fit its numbers.
    pub fn from_f32(
        tensors: &[(String, Vec<usize>, Vec<f32>)],
        metadata: &BTreeMap<String, String>,
        origin: &str,
    ) -> Result<Self, ModelError> {
        let tensors: Vec<StoredTensor> = tensors
            .iter()
            .map(|(name, shape, numbers)| StoredTensor {
                name: name.clone(),
                dtype: Dtype::F32,
                shape: shape.clone(),
                bytes: numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            })
            .collect();
        Self::from_tensors(&tensors, metadata, origin)
    }

    /// A checkpoint from tensors of any dtype, laid out in the given order: the
    /// same arguments give the same bytes.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] when a shape does not fit its bytes or a name comes
    /// twice, [`ModelError::NotFinite`] for weights that are NaN or infinite.
    pub fn from_tensors(
        tensors: &[StoredTensor],
        metadata: &BTreeMap<String, String>,
        origin: &str,
    ) -> Result<Self, ModelError> {
        Self::from_bytes(formats::lay_out(tensors, metadata, origin)?, origin)
    }

    /// The same checkpoint with other metadata beside its own, or instead of those under the same keys:
    /// every tensor stays byte-identical.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] when the header becomes longer than the format allows.
    pub fn with_metadata(&self, added: &BTreeMap<String, String>) -> Result<Self, ModelError> {
        let mut metadata = self.metadata.clone();
        metadata.extend(added.clone());
        if metadata == self.metadata {
            return Ok(self.clone());
        }
        let data = &self.bytes[self.data_start..];
        let bytes = formats::with_header(&self.tensors, &metadata, data);
        Ok(Self {
            config: self.config.clone(),
            source: Arc::clone(&self.source),
            ..Self::from_bytes(bytes, &self.origin)?
        })
    }

    /// The same checkpoint with a configuration, as if it lay beside the file.
    pub fn with_config(mut self, config: serde_json::Value) -> Self {
        self.config = Some(Arc::new(config));
        self
    }

    /// Says what the file said beside its tensors.
    pub(crate) fn with_source(mut self, source: Source) -> Self {
        self.source = Arc::new(source);
        self
    }

    /// The same checkpoint with what its bytes alone say.
    pub(crate) fn without_source(mut self) -> Self {
        self.source = Arc::default();
        self.config = None;
        self
    }

    /// What the file said beside its tensors.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Where the tensors were found in the file, and what was not read.
    pub fn notes(&self) -> &[Note] {
        &self.source.notes
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

    /// The configuration that lies beside the weights (`config.json`), a JSON object.
    pub fn config(&self) -> Option<&serde_json::Value> {
        self.config.as_deref()
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Extents of a tensor.
    ///
    /// # Errors
    /// [`ModelError::Unknown`] when there is no such tensor.
    pub fn shape(&self, name: &str) -> Result<&[usize], ModelError> {
        Ok(&self.info(name)?.shape)
    }

    /// Element type of a tensor.
    ///
    /// # Errors
    /// [`ModelError::Unknown`] when there is no such tensor.
    pub fn dtype(&self, name: &str) -> Result<Dtype, ModelError> {
        Ok(self.info(name)?.dtype)
    }

    /// A tensor's stored bytes: row-major, little-endian, any dtype.
    ///
    /// # Errors
    /// [`ModelError::Unknown`] when there is no such tensor.
    pub fn raw(&self, name: &str) -> Result<&[u8], ModelError> {
        Ok(self.slice(self.info(name)?))
    }

    /// A tensor's numbers in row-major order; every stored float is exact in f64.
    ///
    /// # Errors
    /// [`ModelError::Unknown`] or [`ModelError::Dtype`].
    pub fn tensor(&self, name: &str) -> Result<Vec<f64>, ModelError> {
        let info = self.info(name)?;
        formats::decode(self.slice(info), info.dtype)
            .ok_or_else(|| self.dtype_error(name, FLOATS, info.dtype))
    }

    /// As [`Checkpoint::tensor`], rounded to f32 where the stored numbers are wider.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor`].
    pub fn tensor_f32(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let info = self.info(name)?;
        formats::decode_f32(self.slice(info), info.dtype)
            .ok_or_else(|| self.dtype_error(name, FLOATS, info.dtype))
    }

    /// Rounds numbers to the dtype in which a tensor is stored.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor`].
    pub fn round(&self, name: &str, numbers: &mut [f64]) -> Result<(), ModelError> {
        let dtype = self.info(name)?.dtype;
        let rounded = formats::encode(numbers, dtype)
            .and_then(|bytes| formats::decode(&bytes, dtype))
            .ok_or_else(|| self.dtype_error(name, FLOATS, dtype))?;
        numbers.copy_from_slice(&rounded);
        Ok(())
    }

    /// The numbers of a tensor of 64-bit integers in row-major order.
    ///
    /// # Errors
    /// [`ModelError::Unknown`] or [`ModelError::Dtype`].
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, ModelError> {
        let info = self.info(name)?;
        if info.dtype != Dtype::I64 {
            return Err(self.dtype_error(name, "I64", info.dtype));
        }
        let chunks = self.slice(info).as_chunks().0.iter();
        Ok(chunks.map(|bytes| i64::from_le_bytes(*bytes)).collect())
    }

    /// A copy in which the given tensors hold other numbers, rounded to nearest
    /// in each tensor's own dtype.
    ///
    /// # Errors
    /// [`ModelError::Unknown`], [`ModelError::Dtype`], [`ModelError::Shape`]
    /// for a wrong count, [`ModelError::NotFinite`] when a number overflows the dtype.
    pub fn with_tensors(&self, changes: &BTreeMap<String, Vec<f64>>) -> Result<Self, ModelError> {
        let mut bytes = self.bytes.to_vec();
        for (name, numbers) in changes {
            let info = self.info(name)?;
            if numbers.len() != info.shape.iter().product::<usize>() {
                return Err(ModelError::shape(
                    format!("tensor `{name}`"),
                    format!("{} numbers", info.shape.iter().product::<usize>()),
                    &[numbers.len()],
                ));
            }
            let encoded = formats::encode(numbers, info.dtype)
                .ok_or_else(|| self.dtype_error(name, FLOATS, info.dtype))?;
            let (start, end) = info.data_offsets;
            bytes[self.data_start + start..self.data_start + end].copy_from_slice(&encoded);
        }
        Ok(Self {
            config: self.config.clone(),
            source: Arc::clone(&self.source),
            ..Self::from_bytes(bytes, &self.origin)?
        })
    }

    /// Writes a safetensors file through a temporary file beside it, so that `path` holds
    /// the whole checkpoint or what it held before.
    ///
    /// # Errors
    /// [`ModelError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), ModelError> {
        let written = Output::replacing(path).write(&self.bytes);
        written.map_err(|source| ModelError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })
    }

    fn info(&self, name: &str) -> Result<&TensorInfo, ModelError> {
        self.tensors.get(name).ok_or_else(|| ModelError::Unknown {
            kind: "tensor",
            name: name.to_owned(),
            known: self.tensors.keys().cloned().collect(),
        })
    }

    fn slice(&self, info: &TensorInfo) -> &[u8] {
        let (start, end) = info.data_offsets;
        &self.bytes[self.data_start + start..self.data_start + end]
    }

    fn dtype_error(&self, tensor: &str, expected: &'static str, got: Dtype) -> ModelError {
        ModelError::Dtype {
            origin: self.origin.clone(),
            tensor: tensor.to_owned(),
            expected,
            got: format!("{got:?}"),
        }
    }
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
    fn metadata_are_added_before_the_same_tensors() {
        let more = BTreeMap::from([("answer".to_owned(), "smallest".to_owned())]);
        let after = sample().with_metadata(&more).unwrap();
        assert_eq!(after.metadata()["answer"], "smallest");
        assert_eq!(after.metadata()["note"], "x");
        let tensors = |checkpoint: &Checkpoint| checkpoint.bytes[checkpoint.data_start..].to_vec();
        assert_eq!(tensors(&after), tensors(&sample()));
        assert_eq!(after.with_metadata(&more).unwrap().bytes(), after.bytes());
    }

    #[test]
    fn written_files_read_back_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.safetensors");
        sample().write(&path).unwrap();
        assert_eq!(Checkpoint::read(&path).unwrap().bytes(), sample().bytes());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn written_files_are_as_readable_as_any_other() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let [network, plain] = ["network", "plain"].map(|name| folder.path().join(name));
        sample().write(&network).unwrap();
        std::fs::write(&plain, "").unwrap();
        let readers = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o444;
        assert_eq!(readers(&network), readers(&plain));
    }

    #[test]
    fn numbers_that_overflow_the_dtype_are_refused() {
        let error = sample()
            .with_tensors(&BTreeMap::from([("b".into(), vec![1e300, 0.0])]))
            .unwrap_err();
        assert!(
            matches!(error, ModelError::NotFinite { position: 0, .. }),
            "{error}"
        );
    }
}
