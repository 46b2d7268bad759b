//! PyTorch's files: containers, whole modules, perceptrons under any names, and hostile pickles.

mod archive;
#[path = "../common/mod.rs"]
mod common;
mod files;
mod hostile;
mod networks;
mod pickles;

use common::{assert_refused, assert_same_tensors, network, read, reference};
