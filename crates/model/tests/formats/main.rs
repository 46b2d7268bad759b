//! Checkpoints in every file format: what they hold, and which damaged or malicious files are refused.

#[path = "../common/mod.rs"]
mod common;
mod folders;
mod hostile;
mod onnx;
mod pytorch;

use std::path::PathBuf;

use model::{Checkpoint, ModelError};

/// A file that the scripts of `tests/reference` wrote.
fn reference(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/reference/formats")
        .join(name)
}

/// Panics where two checkpoints differ in a name, a dtype, a shape or a bit.
fn assert_same_tensors(got: &Checkpoint, expected: &Checkpoint) {
    let names = |checkpoint: &Checkpoint| checkpoint.names().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(got), names(expected), "{}", got.origin());
    for name in expected.names() {
        let at = format!("{}: {name}", got.origin());
        assert_eq!(
            got.dtype(name).unwrap(),
            expected.dtype(name).unwrap(),
            "{at}"
        );
        assert_eq!(
            got.shape(name).unwrap(),
            expected.shape(name).unwrap(),
            "{at}"
        );
        assert!(
            got.raw(name).unwrap() == expected.raw(name).unwrap(),
            "{at}"
        );
    }
}

/// Checks that reading failed with all of these words.
fn assert_refused(result: Result<Checkpoint, ModelError>, words: &[&str]) {
    let refusal = match result {
        Ok(checkpoint) => panic!("{}: read, expected {words:?}", checkpoint.origin()),
        Err(error) => error.to_string(),
    };
    for word in words {
        assert!(refusal.contains(word), "expected `{word}` in: {refusal}");
    }
}
