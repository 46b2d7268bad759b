//! Which architecture a checkpoint holds, told from its tensors.

mod configured;
pub mod distilbert;
pub mod mlp;
pub mod mobilevit;
pub mod squeezenet;

use crate::{Checkpoint, Graph, ModelError, Note, OpenOptions};

/// An architecture: how to recognise a checkpoint of it and how to build its graph.
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// Its name.
    pub name: &'static str,
    /// A tensor that only it has; `<name>` stands for any, where all tensors are such.
    pub mark: &'static str,
    /// The classes of `torch.nn.modules.activation` that a saved module of it may have.
    pub functions: &'static [&'static str],
    /// The graph of a checkpoint.
    pub graph: fn(&Checkpoint) -> Result<Graph, ModelError>,
}

/// Every architecture, in the order in which they are tried.
pub const ALL: [Architecture; 5] = [
    Architecture {
        name: "squeezenet",
        mark: "features.3.squeeze.weight",
        functions: &["ReLU"],
        graph: squeezenet::graph,
    },
    Architecture {
        name: "mobilevit",
        mark: "stem.conv.weight",
        functions: &["SiLU", "Softmax"],
        graph: mobilevit::graph,
    },
    Architecture {
        name: "mobilevit",
        mark: "mobilevit.conv_stem.convolution.weight",
        functions: &["SiLU", "Softmax"],
        graph: mobilevit::graph,
    },
    Architecture {
        name: "distilbert",
        mark: "distilbert.embeddings.word_embeddings.weight",
        functions: &["GELU", "ReLU", "Softmax"],
        graph: distilbert::graph,
    },
    Architecture {
        name: "mlp",
        mark: "<name>.weight",
        functions: &[],
        graph: mlp::graph,
    },
];

impl Architecture {
    /// Whether a checkpoint has the mark.
    pub fn recognises(&self, checkpoint: &Checkpoint) -> bool {
        if self.mark.starts_with("<name>") {
            mlp::recognises(checkpoint)
        } else {
            checkpoint.shape(self.mark).is_ok()
        }
    }

    /// The checkpoint with metadata that say what only its source, its configuration or the user
    /// says, and who said it.
    ///
    /// # Errors
    /// As the architecture's own `graph`; [`ModelError::Activation`] when the user names an
    /// activation and the architecture has its own.
    pub(crate) fn resolved(
        &self,
        checkpoint: Checkpoint,
        options: &OpenOptions,
    ) -> Result<(Checkpoint, Vec<Note>), ModelError> {
        let mut notes = checkpoint.notes().to_vec();
        if self.mark.starts_with("<name>") {
            let (checkpoint, told) = mlp::resolved(checkpoint, options.activation)?;
            notes.extend(told);
            return Ok((checkpoint, notes));
        }
        self.check_module(&checkpoint)?;
        match options.activation {
            None => Ok((checkpoint, notes)),
            Some(given) => Err(ModelError::Activation {
                origin: checkpoint.origin().to_owned(),
                reason: format!(
                    "a {} has its own activations, {} was asked for",
                    self.name,
                    given.name()
                ),
            }),
        }
    }
}

impl Architecture {
    /// Refuses a saved module whose classes compute something else than the architecture.
    fn check_module(&self, checkpoint: &Checkpoint) -> Result<(), ModelError> {
        let Some(forward) = &checkpoint.source().forward else {
            return Ok(());
        };
        let mut functions = forward.functions.iter();
        let other = functions.find(|name| !self.functions.contains(&name.as_str()));
        let reason = match (&forward.altered, other) {
            (Some(altered), _) => altered.clone(),
            (None, Some(other)) => format!(
                "its module has the activation {other}, a {} has {}",
                self.name,
                self.functions.join(", ")
            ),
            (None, None) => return Ok(()),
        };
        Err(ModelError::Architecture {
            origin: checkpoint.origin().to_owned(),
            reason,
        })
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
                reason: format!(
                    "there is none of the tensors {marks}; its tensors are {}",
                    first_tensors(checkpoint)
                ),
            }
        })
}

/// The first tensors of a checkpoint with their shapes.
fn first_tensors(checkpoint: &Checkpoint) -> String {
    /// Tensors that a message shows.
    const FEW: usize = 6;
    let shown = checkpoint.names().take(FEW).map(|name| {
        let shape = checkpoint.shape(name).unwrap_or_default();
        format!("`{name}` {shape:?}")
    });
    let shown: Vec<String> = shown.collect();
    match (
        shown.is_empty(),
        checkpoint.names().count().saturating_sub(FEW),
    ) {
        (true, _) => "none".to_owned(),
        (_, 0) => shown.join(", "),
        (_, more) => format!("{} and {more} more", shown.join(", ")),
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Activation;
    use crate::checkpoint::Source;
    use crate::mlp::Forward;

    /// A squeezenet of one tensor, of a module with these functions.
    fn saved(functions: &[&str], altered: Option<&str>) -> Checkpoint {
        let tensor = ("features.3.squeeze.weight".to_owned(), vec![1], vec![0.0]);
        let checkpoint = Checkpoint::from_f32(&[tensor], &BTreeMap::new(), "saved").unwrap();
        checkpoint.with_source(Source {
            forward: Some(Forward {
                functions: functions.iter().map(|&name| name.to_owned()).collect(),
                altered: altered.map(str::to_owned),
                ..Forward::default()
            }),
            ..Source::default()
        })
    }

    #[test]
    fn a_module_with_other_functions_is_not_the_architecture() {
        let resolved = |checkpoint: Checkpoint, activation| {
            let options = OpenOptions {
                activation,
                ..OpenOptions::default()
            };
            of(&checkpoint).unwrap().resolved(checkpoint, &options)
        };
        resolved(saved(&["ReLU"], None), None).unwrap();
        resolved(saved(&[], None), None).unwrap();
        for (checkpoint, activation, words) in [
            (
                saved(&["ELU", "ReLU"], None),
                None,
                "has the activation ELU, a squeezenet has ReLU",
            ),
            (saved(&["GELU"], None), None, "has the activation GELU"),
            (
                saved(&["ReLU"], Some("layer `a` has the hook `f`")),
                None,
                "has the hook `f`",
            ),
            (
                saved(&["ReLU"], None),
                Some(Activation::Relu),
                "has its own activations, relu was",
            ),
        ] {
            let refusal = resolved(checkpoint, activation).unwrap_err().to_string();
            assert!(refusal.contains(words), "expected `{words}` in: {refusal}");
        }
    }
}
