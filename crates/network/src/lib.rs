//! Models that compute.
//!
//! A [`Network`] is a [`Model`] on a device: a directed acyclic [`Graph`] of named nodes and its
//! tensors, in the names and layouts of the file,
//!
//! ```text
//! s = f(x),   value(node) = op(value(sources), parameters),   value(0) = x,   answer = arg max s
//! ```
//!
//! Because it is data, every weight-bearing layer has a name and an index, a
//! run can stop at a layer and be resumed from there, and the repaired
//! checkpoint differs from the original in the edited bytes only.
//!
//! ```
//! use network::{DeviceChoice, Network, Precision, Value, mlp};
//!
//! # fn main() -> Result<(), network::NetworkError> {
//! let model = mlp::random(&[4, 8, 3], network::Activation::Relu, 0)?;
//! let device = DeviceChoice::Flex.open()?;
//! let network = Network::load(&model, &device, Precision::F64)?;
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
//! Supported: every operator of [`model::ops`], in f32 and f64 on the `flex`, `ndarray` and `wgpu`
//! devices, chosen at run time. A [`DeviceCheck`] compares a device with `flex`, operator shape by
//! operator shape, before anything that counts runs on it.
//!
//! Not supported: training of batch-norm moments; quantised weights.

mod device;
mod device_check;
mod error;
mod forward;
mod network;
mod ops;
mod padding;
pub mod parity;
mod pattern;
mod sensitivity;
mod surrogate;
mod training;
mod value;

pub use device::{DeviceChoice, Precision};
pub use device_check::{CheckedOperator, DeviceCheck, TOLERANCE as DEVICE_TOLERANCE};
pub use error::NetworkError;
pub use forward::{Cut, LayerTrace, Mode};
pub use network::{Network, Parameter};
pub use padding::{by_length, gathered};
pub use pattern::{Pattern, Pieces, Winners};
pub use sensitivity::Target;
pub use surrogate::Surrogate;
pub use training::LossGradient;
pub use value::Value;

pub use model::{
    Activation, AnswerRule, Checkpoint, Conv2d, Dtype, Editing, Format, Graph, Layer, LayerKind,
    Model, ModelError, Node, NodeId, Note, Op, OpenOptions, Output, ParameterSpec, Piece,
    StoredTensor, architectures, distilbert, is_same_file, mlp, mobilevit, squeezenet,
};

/// The device of the burn backend that a network runs on.
pub use burn::tensor::Device;
