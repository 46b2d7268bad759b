//! Checkpoints in every file format: what they hold, and which damaged or malicious files are refused.

#[path = "../common/mod.rs"]
mod common;
mod configurations;
mod expansion;
mod folders;
mod graphs;
mod hostile;
mod onnx;
#[cfg(unix)]
mod places;

use common::{assert_refused, assert_same_tensors, read, reference};
