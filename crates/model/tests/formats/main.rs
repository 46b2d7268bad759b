//! Checkpoints in every file format: what they hold, and which damaged or malicious files are refused.

#[path = "../common/mod.rs"]
mod common;
mod folders;
mod hostile;
mod onnx;

use common::{assert_refused, assert_same_tensors, read, reference};
