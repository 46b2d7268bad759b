//! Networks as data.
//!
//! A [`Network`] is a directed acyclic [`Graph`] of named nodes and a set of
//! tensors in the checkpoint's own names and layouts:
//!
//! ```text
//! y = f(x),   value(node) = op(value(sources), parameters),   value(0) = x
//! ```
//!
//! Because it is data, every weight-bearing layer has a name and an index, a
//! run can stop at a layer and be resumed from there, and the repaired
//! checkpoint differs from the original in the edited bytes only.
//!
//! ```
//! use network::{Checkpoint, DeviceChoice, Network, Precision, Value, mlp};
//!
//! # fn main() -> Result<(), network::NetworkError> {
//! let checkpoint = mlp::random(&[4, 8, 3], network::Activation::Relu, 0)?;
//! let device = DeviceChoice::Flex.open()?;
//! let network = Network::load(&checkpoint, &device, Precision::F64)?;
//! assert_eq!(network.layers().len(), 2);
//!
//! let x = Value::from_f32(&[0.5; 8], &[2, 4], &device, Precision::F64)?;
//! let whole = network.forward(x.clone())?.to_vec()?;
//!
//! // Stop in front of the second layer, then resume: the same outputs.
//! let cut = network.run_until(&network.layers()[1], x)?;
//! assert_eq!(network.resume(&cut)?.to_vec()?, whole);
//! # Ok(())
//! # }
//! ```
//!
//! Supported: multilayer perceptrons of any shape, ACAS Xu's among them; SqueezeNet 1.0 and 1.1;
//! MobileViT; DistilBERT for sequence classification; each in f32 and f64 on the `flex`, `ndarray`
//! and `wgpu` devices, chosen at run time. Checkpoints in safetensors, PyTorch and ONNX files, in
//! f16, bf16, f32 and f64; the architecture is told from the tensors ([`architectures`]).
//!
//! Not supported: training of batch-norm moments; quantised weights.

pub mod architectures;
mod checkpoint;
mod device;
pub mod distilbert;
mod error;
mod formats;
mod forward;
mod graph;
pub mod mlp;
pub mod mobilevit;
mod network;
pub mod ops;
mod padding;
pub mod parity;
mod pattern;
mod sensitivity;
pub mod squeezenet;
mod surrogate;
mod training;
mod value;

pub use checkpoint::Checkpoint;
pub use device::{DeviceChoice, Precision};
pub use error::NetworkError;
pub use formats::StoredTensor;
pub use forward::{Cut, LayerTrace, Mode};
pub use graph::{Graph, Layer, LayerKind, Node, NodeId, ParameterSpec};
pub use network::{Network, Parameter};
pub use ops::activation::{Activation, Piece};
pub use ops::{Conv2d, Op};
pub use padding::{by_length, gathered};
pub use pattern::{Pattern, Pieces, Winners};
pub use sensitivity::Target;
pub use surrogate::Surrogate;
pub use training::LossGradient;
pub use value::Value;

/// The element type of a stored tensor.
pub use safetensors::Dtype;

/// The device of the burn backend that a network runs on.
pub use burn::tensor::Device;
