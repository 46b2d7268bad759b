//! Files that are written whole or not at all.

use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::path::Path;

/// Where a file is written, what becomes of one that is there, and who may read it.
///
/// The bytes gather in a temporary file beside it, which takes the name in one step: the name holds the
/// whole file, or what it held before. A link under the name is replaced and never followed.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    path: &'a Path,
    replaces: bool,
    original: Option<&'a Path>,
}

impl<'a> Output<'a> {
    /// In the place of a file that is there, with its permissions, or where there is none.
    pub fn replacing(path: &'a Path) -> Self {
        Self {
            path,
            replaces: true,
            original: None,
        }
    }

    /// Where there is no file. Of several that write to one path at once, one succeeds; the others get
    /// [`io::ErrorKind::AlreadyExists`].
    pub fn fresh(path: &'a Path) -> Self {
        Self {
            replaces: false,
            ..Self::replacing(path)
        }
    }

    /// The same, and a file that takes nobody's place can be read and written by nobody who may not do so
    /// with `original`.
    pub fn like(self, original: &'a Path) -> Self {
        Self {
            original: Some(original),
            ..self
        }
    }

    /// The same for another path.
    pub fn at(self, path: &'a Path) -> Self {
        Self { path, ..self }
    }

    /// Where the file is written.
    pub fn path(&self) -> &'a Path {
        self.path
    }

    /// Whether a file that is there is replaced.
    pub fn replaces(&self) -> bool {
        self.replaces
    }

    /// Writes the file.
    ///
    /// # Errors
    /// What the system reports; [`io::ErrorKind::AlreadyExists`] where a file is there that is not to be
    /// replaced.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let old = fs::metadata(self.path).ok();
        let old = old.filter(|old| self.replaces && old.is_file());
        let mut file = self
            .builder(old.is_some())
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(bytes)?;
        if let Some(old) = &old {
            file.as_file().set_permissions(permissions(old))?;
        }
        file.as_file().sync_all()?;
        let placed = match self.replaces {
            true => file.persist(self.path),
            false => file.persist_noclobber(self.path),
        };
        placed.map(drop).map_err(|error| error.error)
    }

    /// Makes temporary files with the permissions of the final one as far as the process's mask allows, or
    /// private ones.
    #[cfg(unix)]
    fn builder(&self, is_private: bool) -> tempfile::Builder<'static, 'static> {
        use std::os::unix::fs::PermissionsExt;
        let original = self.original.and_then(|path| fs::metadata(path).ok());
        let mode = match (is_private, original) {
            (true, _) => 0o600,
            (false, Some(original)) => original.permissions().mode() & 0o666,
            (false, None) => 0o666,
        };
        let mut builder = tempfile::Builder::new();
        builder.permissions(fs::Permissions::from_mode(mode));
        builder
    }

    #[cfg(not(unix))]
    fn builder(&self, _is_private: bool) -> tempfile::Builder<'static, 'static> {
        tempfile::Builder::new()
    }
}

/// Those of a file, without rights that a program would have.
#[cfg(unix)]
fn permissions(old: &Metadata) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(old.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn permissions(old: &Metadata) -> fs::Permissions {
    old.permissions()
}

/// Whether two paths lead to one file or folder, by its device and number; not where either leads nowhere.
#[cfg(unix)]
pub fn is_same_file(first: &Path, second: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((id(first), id(second)), (Ok(first), Ok(second)) if first == second)
}

/// Whether two paths lead to one file or folder, by its full path; not where either leads nowhere.
#[cfg(not(unix))]
pub fn is_same_file(first: &Path, second: &Path) -> bool {
    let id = |path: &Path| fs::canonicalize(path);
    matches!((id(first), id(second)), (Ok(first), Ok(second)) if first == second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_or_kept_and_no_other_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        Output::fresh(&path).write(b"first").unwrap();
        let error = Output::fresh(&path).write(b"second").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        Output::replacing(&path).write(b"third").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"third");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_of_several_writers_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let write = |writer: usize| {
            let outcome = Output::fresh(&path).write(&vec![writer as u8; 100_000]);
            outcome.map(|()| writer)
        };
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..8).map(|i| scope.spawn(move || write(i))).collect();
            started.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let winners: Vec<usize> = outcomes.iter().flatten().copied().collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        assert_eq!(fs::read(&path).unwrap(), vec![winners[0] as u8; 100_000]);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_the_replaced_file_or_no_wider_than_the_original_s() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let [original, path] = ["original", "file"].map(|name| folder.path().join(name));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        fs::write(&original, "").unwrap();
        for (given, expected) in [
            (0o600, 0o600),
            (0o640, 0o640),
            (0o755, 0o644),
            (0o4711, 0o600),
        ] {
            set(&original, given);
            Output::fresh(&path).like(&original).write(b"x").unwrap();
            // Masks that ordinary users have take away nothing here, or the right of others to read.
            assert_eq!(mode(&path) & !expected, 0, "{given:o}: {:o}", mode(&path));
            assert_eq!(mode(&path) & 0o600, 0o600);
            fs::remove_file(&path).unwrap();
        }
        Output::replacing(&path).write(b"x").unwrap();
        for kept in [0o600, 0o664, 0o755] {
            set(&path, kept);
            Output::replacing(&path)
                .like(&original)
                .write(b"y")
                .unwrap();
            assert_eq!(mode(&path), kept, "{kept:o}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_replaced_and_its_target_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let [target, link] = ["target", "link"].map(|name| folder.path().join(name));
        fs::write(&target, "text").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(is_same_file(&target, &link));
        assert!(Output::fresh(&link).write(b"x").is_err());
        Output::replacing(&link).write(b"x").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "text");
        assert!(!is_same_file(&target, &link));
        let none = folder.path().join("none");
        assert!(!is_same_file(&none, &none));
    }
}
