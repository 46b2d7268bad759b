//! The lock file: checksums pinned on first use.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache::shared_file;
use crate::{Checksum, HubError, Repository};

const HEADER: &str = "\
# Checksums of downloaded files, pinned on first use. A file that changes later is refused; remove its
# entry to accept the change.
";

/// A file that was used once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// `owner/name`, or `datasets/owner/name`.
    pub repository: String,
    /// Branch, tag or commit that was asked for.
    pub revision: String,
    /// Path in the repository.
    pub path: String,
    /// Checksum of the file.
    pub sha256: Checksum,
    /// Its size in bytes.
    pub size: u64,
}

impl Pin {
    fn is_of(&self, repository: &Repository, path: &str) -> bool {
        self.repository == repository.page()
            && self.revision == repository.revision()
            && self.path == path
    }
}

/// The pins of a lock file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    path: PathBuf,
    pins: Vec<Pin>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "file")]
    pins: Vec<Pin>,
}

impl Lock {
    /// Reads a lock file; one that does not exist has no pins.
    ///
    /// # Errors
    ///
    /// [`HubError::Io`], or [`HubError::Malformed`] with line and column.
    pub fn read(path: &Path) -> Result<Self, HubError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(HubError::io("read", path)(error)),
        };
        let file: File = toml::from_str(&text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            HubError::malformed("lock", path, &text, offset, error.message())
        })?;
        Ok(Self {
            path: path.to_owned(),
            pins: file.pins,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All pins, sorted by repository, revision and path once something was pinned.
    pub fn pins(&self) -> &[Pin] {
        &self.pins
    }

    /// The pin of a file.
    pub fn pin_of(&self, repository: &Repository, path: &str) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.is_of(repository, path))
    }

    /// Pins a file that has no pin yet and writes the lock file.
    ///
    /// Another process may have written since it was read, so the file is read again first; the new
    /// text takes its place in one step.
    ///
    /// # Errors
    ///
    /// [`HubError::Io`] or [`HubError::Malformed`].
    pub fn pin(
        &mut self,
        repository: &Repository,
        path: &str,
        sha256: Checksum,
        size: u64,
    ) -> Result<(), HubError> {
        self.pins = Self::read(&self.path)?.pins;
        if self.pin_of(repository, path).is_some() {
            return Ok(());
        }
        self.pins.push(Pin {
            repository: repository.page(),
            revision: repository.revision().to_owned(),
            path: path.to_owned(),
            sha256,
            size,
        });
        self.pins.sort_by(|a, b| {
            let key = |pin: &Pin| {
                (
                    pin.repository.clone(),
                    pin.revision.clone(),
                    pin.path.clone(),
                )
            };
            key(a).cmp(&key(b))
        });
        self.write()
    }

    fn write(&self) -> Result<(), HubError> {
        let failed = |source| HubError::Io {
            action: "write",
            path: self.path.clone(),
            source,
        };
        let file = File {
            pins: self.pins.clone(),
        };
        let text = toml::to_string(&file).map_err(|error| failed(std::io::Error::other(error)))?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut new = shared_file().tempfile_in(folder).map_err(failed)?;
        new.write_all(HEADER.as_bytes()).map_err(failed)?;
        new.write_all(text.as_bytes()).map_err(failed)?;
        if let Ok(old) = std::fs::metadata(&self.path) {
            let permissions = old.permissions();
            new.as_file().set_permissions(permissions).map_err(failed)?;
        }
        new.persist(&self.path)
            .map_err(|error| failed(error.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn repository(revision: &str) -> Repository {
        Repository::new(Kind::Dataset, "owner/name", revision).unwrap()
    }

    #[test]
    fn pins_survive_writing_and_keep_those_of_another_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.lock");
        let mut first = Lock::read(&path).unwrap();
        let mut second = Lock::read(&path).unwrap();
        first
            .pin(&repository("main"), "b", Checksum::of(b"b"), 1)
            .unwrap();
        second
            .pin(&repository("main"), "a", Checksum::of(b"a"), 1)
            .unwrap();
        let read = Lock::read(&path).unwrap();
        assert_eq!(read, second);
        let paths: Vec<_> = read.pins().iter().map(|pin| pin.path.as_str()).collect();
        assert_eq!(paths, ["a", "b"]);
        let pin = read.pin_of(&repository("main"), "b").unwrap();
        assert_eq!((pin.sha256, pin.size), (Checksum::of(b"b"), 1));
        assert_eq!(read.pin_of(&repository("other"), "b"), None);
    }

    #[test]
    fn first_pin_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.lock");
        let mut lock = Lock::read(&path).unwrap();
        for bytes in [b"1", b"2"] {
            lock.pin(&repository("main"), "f", Checksum::of(bytes), 1)
                .unwrap();
        }
        assert_eq!(lock.pins().len(), 1);
        assert_eq!(lock.pins()[0].sha256, Checksum::of(b"1"));
    }

    #[test]
    fn bad_lock_is_placed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.lock");
        std::fs::write(&path, "# pins\n[[file]]\nrepository = 'a/b'\nsha = '12'\n").unwrap();
        let message = Lock::read(&path).unwrap_err().to_string();
        assert!(
            message.contains("hub.lock:4:1: bad lock: unknown field `sha`"),
            "{message}"
        );
    }
}
