//! Models as files: formats, graph, and the meaning of inputs and outputs.

#![forbid(unsafe_code)]

mod formats;

pub use formats::onnx;
