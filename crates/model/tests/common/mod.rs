//! What the tests of this crate share.

// Each test target compiles this module and uses a part of it.
#![allow(dead_code)]

use std::path::PathBuf;

use model::{Checkpoint, ModelError};

/// The folder of real weights, or a message and `None` when it lacks `part`.
pub(crate) fn assets(part: &str) -> Option<PathBuf> {
    let given = std::env::var_os("INFORMED_REPAIR_ASSETS").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets")
    });
    if folder.join(part).exists() {
        return Some(folder);
    }
    eprintln!(
        "skipped: no `{part}` in {}; set INFORMED_REPAIR_ASSETS",
        folder.display()
    );
    None
}

/// A file that the scripts of `tests/reference` wrote.
pub(crate) fn reference(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/reference/formats")
        .join(name)
}

/// A perceptron that `make_pytorch_networks.py` wrote.
pub(crate) fn network(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/reference/networks")
        .join(name)
}

/// Panics where two checkpoints differ in a name, a dtype, a shape or a bit.
pub(crate) fn assert_same_tensors(got: &Checkpoint, expected: &Checkpoint) {
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
pub(crate) fn assert_refused(result: Result<Checkpoint, ModelError>, words: &[&str]) {
    let refusal = match result {
        Ok(checkpoint) => panic!("{}: read, expected {words:?}", checkpoint.origin()),
        Err(error) => error.to_string(),
    };
    for word in words {
        assert!(refusal.contains(word), "expected `{word}` in: {refusal}");
    }
}

/// Reads bytes through a file, whose name a refusal must hold.
pub(crate) fn read(bytes: &[u8]) -> Result<Checkpoint, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged");
    std::fs::write(&path, bytes).unwrap();
    let result = Checkpoint::read(&path);
    if let Err(error) = &result {
        let refusal = error.to_string();
        assert!(refusal.contains("damaged"), "{refusal}");
        assert!(!refusal.contains("the parser failed"), "{refusal}");
    }
    result
}
