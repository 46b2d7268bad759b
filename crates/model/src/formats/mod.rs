//! File formats.

pub mod onnx;
