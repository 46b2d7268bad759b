//! What the tests of this crate share.

// Each test target compiles this module and uses a part of it.
#![allow(dead_code)]

use std::path::PathBuf;

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
