//! Where the files that a folder or another file names may lie.

use std::path::{Path, PathBuf};

use crate::{DiskError, read};

/// Names of folders in the cache of a hub's client begin with what the repository holds.
const REPOSITORIES: [&str; 3] = ["models--", "datasets--", "spaces--"];

/// A folder, and the files that count as lying in it.
///
/// A file lies in the folder when its path does after all links are followed. In a cache that the hub's
/// clients share, files of a snapshot are links to blobs of the same repository
/// (`models--owner--name/snapshots/commit/file` to `models--owner--name/blobs/tag`); those count too.
#[derive(Clone, Debug)]
pub struct Place {
    /// As it was named.
    folder: PathBuf,
    /// Where files may be, without links.
    roots: Vec<PathBuf>,
}

impl Place {
    /// The files of a folder, which is followed if it is a link itself.
    ///
    /// # Errors
    /// [`DiskError::Io`] when there is no such folder.
    pub fn of_folder(folder: &Path) -> Result<Self, DiskError> {
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        let own = canonical(folder)?;
        let blobs = blobs_of(&own);
        Ok(Self {
            folder: folder.to_owned(),
            roots: [own].into_iter().chain(blobs).collect(),
        })
    }

    /// The files beside a file that a person named. Where that is a link, those beside its target count
    /// too: the person named that place.
    ///
    /// # Errors
    /// [`DiskError::Io`] when there is no such file.
    pub fn beside(file: &Path) -> Result<Self, DiskError> {
        let mut place = Self::of_folder(file.parent().unwrap_or(Path::new("")))?;
        let target = canonical(file)?;
        if let Some(folder) = target.parent() {
            place.roots.extend(blobs_of(folder));
            place.roots.push(folder.to_owned());
        }
        Ok(place)
    }

    /// The folder, as it was named.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A path without links, if it lies here.
    ///
    /// # Errors
    /// [`DiskError::Io`] when there is no such file, [`DiskError::LeadsOut`] when it lies elsewhere.
    pub fn find(&self, path: &Path) -> Result<PathBuf, DiskError> {
        let target = canonical(path)?;
        match self.roots.iter().any(|root| target.starts_with(root)) {
            true => Ok(target),
            false => Err(DiskError::LeadsOut {
                path: path.to_owned(),
                folder: self.folder.clone(),
                target,
            }),
        }
    }

    /// The whole of a plain file of at most `limit` bytes that lies here.
    ///
    /// # Errors
    /// Those of [`Place::find`] and of [`read()`](crate::read()).
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, DiskError> {
        // The path that was judged is the one that is opened.
        let target = self.find(path)?;
        read(&target, limit).map_err(|error| match error {
            DiskError::Io { source, .. } => DiskError::Io {
                path: path.to_owned(),
                source,
            },
            DiskError::NotAFile { got, .. } => DiskError::NotAFile {
                path: path.to_owned(),
                got,
            },
            DiskError::TooLarge { limit, got, .. } => DiskError::TooLarge {
                path: path.to_owned(),
                limit,
                got,
            },
            other => other,
        })
    }
}

fn canonical(path: &Path) -> Result<PathBuf, DiskError> {
    path.canonicalize().map_err(|source| DiskError::Io {
        path: path.to_owned(),
        source,
    })
}

/// The folder of the blobs of the repository whose snapshot a folder without links lies in.
fn blobs_of(folder: &Path) -> Option<PathBuf> {
    let snapshots = folder
        .ancestors()
        .skip(1)
        .find(|above| above.file_name().is_some_and(|name| name == "snapshots"))?;
    let repository = snapshots.parent()?;
    let name = repository.file_name()?.to_str()?;
    let known = REPOSITORIES.iter().any(|kind| name.starts_with(kind));
    let blobs = repository.join("blobs");
    // It may be a link to another disk.
    known.then(|| blobs.canonicalize().unwrap_or(blobs))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn refusal(place: &Place, path: &Path) -> String {
        match place.read(path, 100) {
            Err(error @ DiskError::LeadsOut { .. }) => error.to_string(),
            other => panic!("{}: {other:?}", path.display()),
        }
    }

    #[test]
    fn links_and_dots_that_lead_out_are_refused_by_their_target() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (folder, secret) = (root.join("set"), root.join("secret"));
        write(&secret, "secret");
        write(&root.join("set-too/a"), "a");
        write(&folder.join("in/a"), "a");
        symlink("in/a", folder.join("here")).unwrap();
        symlink("../secret", folder.join("there")).unwrap();
        symlink(&secret, folder.join("absolute")).unwrap();
        symlink("there", folder.join("twice")).unwrap();
        symlink(&root, folder.join("above")).unwrap();
        symlink("../set-too", folder.join("beside")).unwrap();
        symlink("nowhere", folder.join("dangling")).unwrap();
        symlink("loop", folder.join("loop")).unwrap();
        let place = Place::of_folder(&folder).unwrap();
        for inside in ["in/a", "here", "../set/in/a"] {
            assert_eq!(place.read(&folder.join(inside), 100).unwrap(), b"a");
        }
        for out in [
            "there",
            "absolute",
            "twice",
            "above/secret",
            "../secret",
            "in/../../secret",
        ] {
            let refusal = refusal(&place, &folder.join(out));
            let target = format!("leads to {};", secret.display());
            assert!(refusal.contains(&target), "{refusal}");
        }
        // A folder whose name begins alike is another folder.
        refusal(&place, &folder.join("beside/a"));
        for missing in ["dangling", "loop", "b"] {
            let read = place.read(&folder.join(missing), 100);
            assert!(matches!(read, Err(DiskError::Io { .. })), "{missing}");
        }
        // The folder itself may be a link: a person named it.
        symlink(&folder, root.join("alias")).unwrap();
        let alias = Place::of_folder(&root.join("alias")).unwrap();
        alias.read(&root.join("alias/here"), 100).unwrap();
        refusal(&alias, &root.join("alias/there"));
    }

    #[test]
    fn links_of_a_snapshot_reach_the_blobs_of_their_repository_alone() {
        let root = tempfile::tempdir().unwrap();
        let cache = root.path().join("hub");
        let own = cache.join("models--o--n");
        let snapshot = own.join("snapshots/0123");
        write(&own.join("blobs/aa"), "own");
        write(&own.join("refs/main"), "0123");
        write(&cache.join("models--o--other/blobs/bb"), "other");
        write(&snapshot.join("data/plain"), "plain");
        symlink("../../blobs/aa", snapshot.join("model")).unwrap();
        symlink("../../../blobs/aa", snapshot.join("data/part")).unwrap();
        symlink("../../refs/main", snapshot.join("reference")).unwrap();
        symlink("../../../models--o--other/blobs/bb", snapshot.join("alien")).unwrap();
        for folder in [snapshot.clone(), snapshot.join("data")] {
            let place = Place::of_folder(&folder).unwrap();
            assert_eq!(place.read(&snapshot.join("model"), 9).unwrap(), b"own");
            assert_eq!(place.read(&snapshot.join("data/part"), 9).unwrap(), b"own");
            refusal(&place, &snapshot.join("reference"));
            refusal(&place, &snapshot.join("alien"));
        }
        // A folder that is only called like a snapshot is none.
        let fake = root.path().join("download/snapshots/x");
        write(&root.path().join("download/blobs/aa"), "fake");
        fs::create_dir_all(&fake).unwrap();
        symlink("../../blobs/aa", fake.join("model")).unwrap();
        refusal(&Place::of_folder(&fake).unwrap(), &fake.join("model"));
    }

    #[test]
    fn a_link_that_a_person_names_opens_the_place_that_it_leads_to() {
        let root = tempfile::tempdir().unwrap();
        let (here, store) = (root.path().join("here"), root.path().join("store"));
        write(&store.join("images"), "i");
        write(&store.join("labels"), "l");
        write(&root.path().join("secret"), "s");
        fs::create_dir_all(&here).unwrap();
        for name in ["images", "labels"] {
            symlink(store.join(name), here.join(name)).unwrap();
        }
        symlink("../secret", here.join("config")).unwrap();
        let place = Place::beside(&here.join("images")).unwrap();
        assert_eq!(place.read(&here.join("labels"), 9).unwrap(), b"l");
        refusal(&place, &here.join("config"));
        assert_eq!(place.folder(), here);
    }
}
