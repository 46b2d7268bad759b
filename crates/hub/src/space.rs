//! Free space of a file system.

use std::path::Path;

/// Bytes that an ordinary user can still write below `folder`, which need not exist yet; `None` where
/// the system does not tell.
#[cfg(unix)]
pub(crate) fn free(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|ancestor| ancestor.exists())?;
    let figures = rustix::fs::statvfs(existing).ok()?;
    Some(figures.f_bavail.saturating_mul(figures.f_frsize))
}

/// Bytes that can still be written: not known on this system.
#[cfg(not(unix))]
pub(crate) fn free(_folder: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    #[test]
    fn folder_that_does_not_exist_has_its_parents_space() {
        let folder = tempfile::tempdir().unwrap();
        assert!(super::free(&folder.path().join("not/yet")).is_some_and(|bytes| bytes > 0));
    }
}
