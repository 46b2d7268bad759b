//! Models as files: formats, graph, and the meaning of inputs and outputs.
//!
//! A [`Model`] is what a file says about a network,
//!
//! ```text
//! y = f(x),   value(node) = op(value(sources), parameters),   answer = arg max of scores(y)
//! ```
//!
//! its tensors under the file's own names ([`Checkpoint`]), a directed acyclic [`Graph`] of named
//! nodes, the rule by which its outputs become an answer ([`AnswerRule`]), the names of its classes, and
//! a list of what was read and what was assumed because the file cannot say it ([`Note`]).
//!
//! ```
//! use model::{Activation, Model, mlp};
//!
//! # fn main() -> Result<(), model::ModelError> {
//! let model = mlp::random(&[4, 8, 3], Activation::Relu, 0)?;
//! assert_eq!(model.graph().layers().len(), 2);
//! let assumed = model.notes().iter().filter(|note| note.is_assumption());
//! assert_eq!(assumed.count(), 1, "that the answer is the largest output");
//!
//! let folder = tempfile::tempdir().expect("a folder");
//! let path = folder.path().join("net.safetensors");
//! model.write(&path)?;
//! // The file says what was assumed of its origin.
//! let written = Model::open(&path)?;
//! assert_eq!(written.tensor("2.weight")?, model.tensor("2.weight")?);
//! assert!(written.metadata()["informed_repair.reading"].contains("the largest output"));
//! # Ok(())
//! # }
//! ```
//!
//! Supported: multilayer perceptrons of any shape and names, ACAS Xu's among them; SqueezeNet 1.0 and
//! 1.1; MobileViT; DistilBERT for sequence classification. Checkpoints in safetensors, PyTorch (state
//! dicts and whole modules) and `.nnet` files, in f16, bf16, f32 and f64; the architecture is told from
//! the tensors ([`architectures`]). An ONNX file is
//! its own architecture: its nodes become those of the [`Graph`], one example at a time, and it is written
//! as the same bytes with other numbers in the edited tensors.
//!
//! Nothing here computes: no tensor library is needed to open a model.

#![forbid(unsafe_code)]

mod answer;
pub mod architectures;
mod checkpoint;
mod error;
mod formats;
mod graph;
mod model;
mod notes;
pub mod ops;
mod output;
mod sizes;

pub use answer::{AnswerRule, MOST_LABELS};
pub use architectures::{distilbert, mlp, mobilevit, squeezenet};
pub use checkpoint::Checkpoint;
pub use error::ModelError;
pub use formats::{StoredTensor, onnx};
pub use graph::{Editing, Graph, Layer, LayerKind, Node, NodeId, ParameterSpec};
pub use model::{Format, Model, OpenOptions};
pub use notes::Note;
pub use ops::activation::{Activation, Piece};
pub use ops::{
    AveragePool, BatchNorm, Constants, Conv2d, Embedding, LayerNorm, Linear, MaxPool, Op,
    Rearrange, Scaling,
};
pub use output::{Output, is_same_file};
pub use sizes::{MOST_NUMBERS, TooLarge};

/// The element type of a stored tensor.
pub use safetensors::Dtype;
