//! The stored tensors of a file: where each one is, and its bytes when they are asked for.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use disk::{DiskError, Place};
use safetensors::Dtype;

use super::proto::{GraphProto, TensorProto};
use super::tensor::{self, dtype};
use super::values::{Constant, Data, Kind, Reason};
use crate::formats::{MOST_WEIGHTS, decode};

/// The files beside a model: in its folder, or in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct SideFiles {
    place: Option<Place>,
    files: BTreeMap<String, Arc<Vec<u8>>>,
}

impl SideFiles {
    /// The files beside a model, read when a tensor names them.
    pub(crate) fn beside(model: &Path) -> Result<Self, DiskError> {
        Ok(Self {
            place: Some(Place::beside(model)?),
            files: BTreeMap::new(),
        })
    }

    /// These files and no others.
    pub(crate) fn in_memory(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let files = files.into_iter();
        Self {
            place: None,
            files: files.map(|(name, bytes)| (name, Arc::new(bytes))).collect(),
        }
    }

    /// Bytes of the files that were read.
    pub(super) fn length(&self) -> usize {
        self.files.values().map(|file| file.len()).sum()
    }

    /// The files that were read.
    pub(crate) fn files(&self) -> &BTreeMap<String, Arc<Vec<u8>>> {
        &self.files
    }

    fn load(&mut self, location: &str) -> Result<(), Reason> {
        if self.files.contains_key(location) {
            return Ok(());
        }
        if !disk::is_plain_name(location) {
            return Err(format!(
                "lies in `{location}`, expected a file beside the model"
            ));
        }
        let place = self.place.as_ref();
        let place = place.ok_or_else(|| format!("lies in `{location}`, which is not given"))?;
        let bytes = place
            .read(&place.folder().join(location), MOST_WEIGHTS)
            .map_err(|error| format!("lies in `{location}`, which cannot be read: {error}"))?;
        self.files.insert(location.to_owned(), Arc::new(bytes));
        Ok(())
    }
}

/// A stored tensor that was checked.
pub(super) struct Stored<'a> {
    /// Its name: the initialiser's, or the output of the node that holds it.
    pub(super) name: String,
    /// Element type.
    pub(super) dtype: Dtype,
    /// Extents.
    pub(super) shape: Vec<usize>,
    message: &'a TensorProto,
}

impl Stored<'_> {
    /// Whether the elements are floats.
    pub(super) fn is_float(&self) -> bool {
        matches!(
            self.dtype,
            Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64
        )
    }
}

/// All stored tensors.
pub(super) struct Store<'a> {
    tensors: Vec<Stored<'a>>,
    by_name: HashMap<String, usize>,
    side: SideFiles,
}

impl<'a> Store<'a> {
    /// The initialisers of a graph.
    ///
    /// # Errors
    /// A sentence that names the tensor.
    pub(super) fn new(graph: &'a GraphProto, side: SideFiles) -> Result<Self, Reason> {
        let mut store = Self {
            tensors: Vec::new(),
            by_name: HashMap::new(),
            side,
        };
        for message in &graph.initializer {
            if message.name.is_empty() {
                return Err("an initializer has no name".to_owned());
            }
            store.add(&message.name, message)?;
        }
        Ok(store)
    }

    /// Adds a tensor under a name and returns its position.
    pub(super) fn add(&mut self, name: &str, message: &'a TensorProto) -> Result<usize, Reason> {
        let at = |reason: Reason| format!("tensor `{name}` {reason}");
        let dtype = dtype(message.data_type).ok_or_else(|| {
            at(format!(
                "holds elements of type {}, expected floats, integers or booleans of 8 to 64 bits",
                tensor::type_name(message.data_type)
            ))
        })?;
        let shape = tensor::checked(message, dtype).map_err(at)?;
        if let Some(location) = tensor::location(message) {
            self.side.load(location).map_err(at)?;
        }
        let stored = Stored {
            name: name.to_owned(),
            dtype,
            shape,
            message,
        };
        tensor::bytes(message, dtype, &stored.shape, self.side.files()).map_err(at)?;
        let position = self.tensors.len();
        if self.by_name.insert(name.to_owned(), position).is_some() {
            return Err(at("comes twice".to_owned()));
        }
        self.tensors.push(stored);
        Ok(position)
    }

    pub(super) fn tensor(&self, position: usize) -> &Stored<'a> {
        &self.tensors[position]
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(super) fn side(&self) -> &SideFiles {
        &self.side
    }

    /// File and offset of elements that lie beside the model.
    pub(super) fn external(&self, position: usize) -> Result<Option<(String, usize)>, Reason> {
        let message = self.tensors[position].message;
        let Some(location) = tensor::location(message) else {
            return Ok(None);
        };
        Ok(Some((location.to_owned(), tensor::offset(message)?)))
    }

    /// Row-major little-endian elements.
    pub(super) fn bytes(&self, position: usize) -> Result<Cow<'_, [u8]>, Reason> {
        let stored = &self.tensors[position];
        tensor::bytes(
            stored.message,
            stored.dtype,
            &stored.shape,
            self.side.files(),
        )
        .map_err(|reason| format!("tensor `{}` {reason}", stored.name))
    }

    /// The constant that a stored tensor is; integers are read at once, floats when they are needed.
    pub(super) fn constant(&self, position: usize) -> Result<Constant, Reason> {
        let stored = &self.tensors[position];
        if stored.is_float() {
            return Ok(Constant {
                shape: stored.shape.clone(),
                data: Data::Stored {
                    tensor: position,
                    order: None,
                },
                origins: Arc::new([position].into()),
            });
        }
        let kind = match stored.dtype {
            Dtype::BOOL => Kind::Boolean,
            _ => Kind::Integer,
        };
        let numbers = tensor::whole(&self.bytes(position)?, stored.dtype);
        Ok(Constant::whole(&stored.shape, numbers, kind))
    }

    /// The floats of a constant.
    pub(super) fn floats(&self, constant: &Constant) -> Result<Arc<[f64]>, Reason> {
        Ok(match &constant.data {
            Data::Floats(numbers) => Arc::clone(numbers),
            Data::Integers(numbers, _) => numbers.iter().map(|&n| n as f64).collect(),
            Data::Stored { tensor, order } => {
                let stored = &self.tensors[*tensor];
                let numbers = decode(&self.bytes(*tensor)?, stored.dtype)
                    .ok_or_else(|| format!("reads no floats from tensor `{}`", stored.name))?;
                match order {
                    None => numbers.into(),
                    Some(order) => order.iter().map(|&i| numbers[i as usize]).collect(),
                }
            }
        })
    }
}
