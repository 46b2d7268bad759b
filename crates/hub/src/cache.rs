//! The cache layout that the hub's clients share.
//!
//! ```text
//! models--owner--name/blobs/<entity tag>              the bytes
//! models--owner--name/snapshots/<commit>/<file>       link to a blob
//! models--owner--name/refs/<revision>                 the commit, as text
//! ```
//!
//! Nothing appears under these names before it is whole: bytes gather in `<entity tag>.part` and are
//! renamed. What lies there already may be the work of others: it is written through no link.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo};

use crate::{HubError, Repository, plain};

/// The part of the cache that belongs to a repository at a revision.
pub(crate) struct RepositoryCache {
    layout: CacheRepo,
    revision: String,
}

impl RepositoryCache {
    pub(crate) fn new(folder: &Path, repository: &Repository) -> Self {
        Self {
            layout: Cache::new(folder.to_owned()).repo(repository.hf()),
            revision: repository.revision().to_owned(),
        }
    }

    /// A file of the revision, if it is there.
    pub(crate) fn file(&self, file: &str) -> Option<PathBuf> {
        // A commit is its own name and may have no file in `refs`.
        let of_commit = || {
            let path = self.layout.pointer_path(&self.revision).join(file);
            path.exists().then_some(path)
        };
        self.layout.get(file).or_else(of_commit)
    }

    /// The files of the revision that are there, as paths in the repository.
    pub(crate) fn files(&self) -> Result<Vec<String>, HubError> {
        // The snapshot's folder is the entry with an empty name.
        let Some(root) = self.file("") else {
            return Ok(Vec::new());
        };
        let (mut folders, mut files) = (vec![root.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(HubError::io("list", &folder))? {
                let entry = entry.map_err(HubError::io("list", &folder))?;
                let path = entry.path();
                // A link to a folder is none: it could lead back here.
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(path);
                } else if let Ok(relative) = path.strip_prefix(&root) {
                    files.push(relative.to_string_lossy().replace('\\', "/"));
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// Where the bytes with this entity tag are or will be.
    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.layout.blob_path(etag)
    }

    /// Where the bytes with this entity tag gather.
    pub(crate) fn part(&self, etag: &str) -> PathBuf {
        self.layout.blob_path(&format!("{etag}.part"))
    }

    /// Waits until no other process transfers the bytes with this entity tag. The lock ends with the
    /// returned file.
    pub(crate) fn lock(&self, etag: &str) -> Result<File, HubError> {
        let path = self.layout.blob_path(&format!("{etag}.lock"));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(HubError::io("create", folder))?;
        }
        let file = plain::open(&path).map_err(HubError::io("create", &path))?;
        file.lock().map_err(HubError::io("lock", &path))?;
        Ok(file)
    }

    /// Turns gathered bytes into the blob of their entity tag.
    pub(crate) fn finish(&self, etag: &str) -> Result<(), HubError> {
        let (part, blob) = (self.part(etag), self.blob(etag));
        let written = plain::open(&part).and_then(|file| file.sync_all());
        written.map_err(HubError::io("write", &part))?;
        fs::rename(&part, &blob).map_err(HubError::io("write", &blob))
    }

    /// Makes a blob a file of a commit, and the commit the one that the revision stands for.
    pub(crate) fn publish(
        &self,
        etag: &str,
        commit: &str,
        file: &str,
    ) -> Result<PathBuf, HubError> {
        let snapshot = self.layout.pointer_path(commit);
        let path = snapshot.join(file);
        let folder = path.parent().unwrap_or(&snapshot);
        fs::create_dir_all(folder).map_err(HubError::io("create", folder))?;
        let up = "../".repeat(file.matches('/').count() + 2);
        let target = format!("{up}blobs/{etag}");
        link(Path::new(&target), &self.blob(etag), &path).map_err(HubError::io("write", &path))?;
        self.refer(commit)?;
        Ok(path)
    }

    /// Makes a commit the one that the revision stands for.
    fn refer(&self, commit: &str) -> Result<(), HubError> {
        let snapshot = self.layout.pointer_path(commit);
        let root = snapshot
            .parent()
            .and_then(Path::parent)
            .unwrap_or(&snapshot);
        let path = root.join("refs").join(&self.revision);
        let folder = path.parent().unwrap_or(root);
        fs::create_dir_all(folder).map_err(HubError::io("create", folder))?;
        let write = || {
            let mut file = shared_file().tempfile_in(folder)?;
            file.write_all(commit.as_bytes())?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(HubError::io("write", &path))
    }

    /// The entity tag of the blob that a file of the revision is a link to, where files are links.
    pub(crate) fn tag_of(&self, path: &Path) -> Option<String> {
        let blob = fs::read_link(path).ok()?;
        Some(blob.file_name()?.to_str()?.to_owned())
    }
}

/// Temporary files are private; one that takes its place in the cache is as readable as any other.
pub(crate) fn shared_file() -> tempfile::Builder<'static, 'static> {
    #[allow(unused_mut, reason = "only some systems have permissions")]
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder
}

/// Puts a link to `target` at `path`, in one step even where there is one already.
#[cfg(unix)]
fn link(target: &Path, _blob: &Path, path: &Path) -> std::io::Result<()> {
    if fs::read_link(path).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let scratch = tempfile::tempdir_in(folder)?;
    // The link is moved, not followed, so that it may dangle in its first folder.
    let new = scratch.path().join("link");
    std::os::unix::fs::symlink(target, &new)?;
    fs::rename(&new, path)
}

/// Moves the blob: links need rights that users of this system often lack.
#[cfg(not(unix))]
fn link(_target: &Path, blob: &Path, path: &Path) -> std::io::Result<()> {
    fs::rename(blob, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn place(cache: &RepositoryCache, etag: &str, commit: &str, file: &str, bytes: &[u8]) {
        let _lock = cache.lock(etag).unwrap();
        fs::write(cache.part(etag), bytes).unwrap();
        cache.finish(etag).unwrap();
        cache.publish(etag, commit, file).unwrap();
    }

    #[test]
    fn published_files_are_found_by_revision_and_by_commit() {
        let folder = tempfile::tempdir().unwrap();
        let main = Repository::new(Kind::Model, "owner/name", "main").unwrap();
        let cache = RepositoryCache::new(folder.path(), &main);
        assert_eq!(cache.file("a/b.bin"), None);
        assert!(cache.files().unwrap().is_empty());

        place(&cache, "tag", "0123456789", "a/b.bin", b"1");
        place(&cache, "tag2", "0123456789", "c", b"2");
        assert_eq!(fs::read(cache.file("a/b.bin").unwrap()).unwrap(), b"1");
        assert_eq!(cache.files().unwrap(), ["a/b.bin", "c"]);
        let by_commit = RepositoryCache::new(folder.path(), &main.at("0123456789"));
        assert_eq!(fs::read(by_commit.file("c").unwrap()).unwrap(), b"2");
        let root = folder.path().join("models--owner--name");
        assert_eq!(
            fs::read_to_string(root.join("refs/main")).unwrap(),
            "0123456789"
        );
    }

    #[test]
    fn newer_commit_takes_the_place_of_the_older() {
        let folder = tempfile::tempdir().unwrap();
        let main = Repository::new(Kind::Model, "owner/name", "main").unwrap();
        let cache = RepositoryCache::new(folder.path(), &main);
        place(&cache, "tag", "1111111", "f", b"1");
        place(&cache, "tag2", "2222222", "f", b"2");
        place(&cache, "tag3", "2222222", "f", b"3");
        assert_eq!(fs::read(cache.file("f").unwrap()).unwrap(), b"3");
    }
}
