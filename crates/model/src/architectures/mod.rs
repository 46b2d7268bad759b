//! Which architecture a checkpoint holds, told from its tensors.

pub mod distilbert;
pub mod mlp;
pub mod mobilevit;
pub mod squeezenet;

use crate::{Checkpoint, Graph, ModelError};

/// An architecture: how to recognise a checkpoint of it and how to build its graph.
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// Its name.
    pub name: &'static str,
    /// A tensor that only it has; `<number>` stands for any.
    pub mark: &'static str,
    /// The graph of a checkpoint.
    pub graph: fn(&Checkpoint) -> Result<Graph, ModelError>,
}

/// Every architecture, in the order in which they are tried.
pub const ALL: [Architecture; 5] = [
    Architecture {
        name: "squeezenet",
        mark: "features.3.squeeze.weight",
        graph: squeezenet::graph,
    },
    Architecture {
        name: "mobilevit",
        mark: "stem.conv.weight",
        graph: mobilevit::graph,
    },
    Architecture {
        name: "mobilevit",
        mark: "mobilevit.conv_stem.convolution.weight",
        graph: mobilevit::graph,
    },
    Architecture {
        name: "distilbert",
        mark: "distilbert.embeddings.word_embeddings.weight",
        graph: distilbert::graph,
    },
    Architecture {
        name: "mlp",
        mark: "<number>.weight",
        graph: mlp::graph,
    },
];

impl Architecture {
    /// Whether a checkpoint has the mark.
    pub fn recognises(&self, checkpoint: &Checkpoint) -> bool {
        match self.mark.strip_prefix("<number>") {
            None => checkpoint.shape(self.mark).is_ok(),
            Some(rest) => checkpoint.names().any(|name| {
                let number = name.strip_suffix(rest);
                number.is_some_and(|number| number.parse::<usize>().is_ok())
            }),
        }
    }
}

/// The architecture of a checkpoint.
///
/// # Errors
/// [`ModelError::Architecture`] says which tensors would tell it.
pub fn of(checkpoint: &Checkpoint) -> Result<&'static Architecture, ModelError> {
    ALL.iter()
        .find(|architecture| architecture.recognises(checkpoint))
        .ok_or_else(|| {
            let marks = ALL.map(|a| format!("`{}` ({})", a.mark, a.name)).join(", ");
            ModelError::Architecture {
                origin: checkpoint.origin().to_owned(),
                reason: format!("there is none of the tensors {marks}"),
            }
        })
}

/// The graph of a checkpoint of any architecture.
///
/// # Errors
/// As [`of`] and the architecture's own `graph`.
pub fn graph(checkpoint: &Checkpoint) -> Result<Graph, ModelError> {
    (of(checkpoint)?.graph)(checkpoint)
}

/// The extents of a tensor of known rank.
///
/// # Errors
/// [`ModelError::Architecture`] when it is missing, has another rank or an extent of zero.
pub(crate) fn extents<const RANK: usize>(
    checkpoint: &Checkpoint,
    name: &str,
) -> Result<[usize; RANK], ModelError> {
    let unclear = |reason: String| ModelError::Architecture {
        origin: checkpoint.origin().to_owned(),
        reason,
    };
    let shape = checkpoint
        .shape(name)
        .map_err(|_| unclear(format!("there is no tensor `{name}`")))?;
    match <[usize; RANK]>::try_from(shape) {
        Ok(extents) if !extents.contains(&0) => Ok(extents),
        _ => Err(unclear(format!(
            "tensor `{name}`: expected {RANK} positive extents, got {shape:?}"
        ))),
    }
}

/// A positive integer of the checkpoint's configuration; `None` where there is no such key.
///
/// # Errors
/// [`ModelError::Architecture`] when the key holds something else.
pub(crate) fn configured(checkpoint: &Checkpoint, key: &str) -> Result<Option<usize>, ModelError> {
    let Some(value) = checkpoint.config().and_then(|config| config.get(key)) else {
        return Ok(None);
    };
    match value.as_u64() {
        Some(number) if number > 0 => Ok(Some(number as usize)),
        _ => Err(ModelError::Architecture {
            origin: checkpoint.origin().to_owned(),
            reason: format!("config `{key}`: expected a positive integer, got {value}"),
        }),
    }
}

/// Checks that the configuration, where it has the key, says what the tensors say.
///
/// # Errors
/// [`ModelError::Architecture`] when the two contradict each other.
pub(crate) fn agree(checkpoint: &Checkpoint, key: &str, tensors: usize) -> Result<(), ModelError> {
    match configured(checkpoint, key)? {
        Some(config) if config != tensors => Err(ModelError::Architecture {
            origin: checkpoint.origin().to_owned(),
            reason: format!("config `{key}` is {config}, but the tensors say {tensors}"),
        }),
        _ => Ok(()),
    }
}
