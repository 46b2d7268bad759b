//! What a source, as somebody typed it, stands for.

use std::path::{Path, PathBuf};

use crate::{Entry, HubError, Kind, Registry, Repository};

/// A resolved source.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// An entry of the registry.
    Registered(Entry),
    /// A repository that is not registered; its files are chosen when it is fetched.
    Repository(Repository),
    /// A file or folder on this machine.
    Local(PathBuf),
}

impl Source {
    /// Resolves `text`: a registered name, else a path that exists, else `owner/name[@revision]` of a
    /// repository of that kind.
    ///
    /// A path that looks like a repository wins over it; a repository in its place can be had with its
    /// revision.
    ///
    /// # Errors
    ///
    /// [`HubError::UnknownSource`] if it is none of them.
    pub fn resolve(text: &str, registry: &Registry, kind: Kind) -> Result<Self, HubError> {
        if let Some(entry) = registry.entry(text) {
            return Ok(Self::Registered(entry.clone()));
        }
        let path = Path::new(text);
        if path.exists() {
            return Ok(Self::Local(path.to_owned()));
        }
        let is_path = path.is_absolute() || text.starts_with('.');
        match Repository::parse(kind, text) {
            Ok(repository) if !is_path => Ok(Self::Repository(repository)),
            _ => Err(HubError::UnknownSource {
                given: text.to_owned(),
                known: registry.names().into_iter().map(str::to_owned).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_paths_and_repositories_are_told_apart() {
        let text = "[[dataset]]\nname = 'sst2'\nrepository = 'a/b'\nrevision = 'main'\n\
                    licence = 'x'\nfiles = [{ path = 'f' }]\n";
        let registry = Registry::parse(Path::new("r.toml"), text).unwrap();
        let resolve = |text: &str| Source::resolve(text, &registry, Kind::Model);

        assert!(matches!(resolve("sst2"), Ok(Source::Registered(entry)) if entry.name == "sst2"));
        let repository = Repository::new(Kind::Model, "timm/net", "v1").unwrap();
        assert_eq!(
            resolve("timm/net@v1").unwrap(),
            Source::Repository(repository)
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(
            resolve(path).unwrap(),
            Source::Local(file.path().to_owned())
        );

        for unknown in ["sst3", "./missing", "/missing/file", "a/b/c"] {
            let error = resolve(unknown).unwrap_err().to_string();
            assert!(
                error.contains(unknown) && error.ends_with("registered: sst2"),
                "{error}"
            );
        }
    }
}
