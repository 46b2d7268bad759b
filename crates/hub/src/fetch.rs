//! From a source to local files whose bytes are the promised ones.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cache::RepositoryCache;
use crate::checksum::is_named;
use crate::client::{Client, Metadata};
use crate::repository::is_safe_path;
use crate::selection::{select, wanted};
use crate::transfer::{Transfer, retrying};
use crate::{
    Checksum, HubError, Kind, Lock, Progress, Promise, Registry, Repository, Settings, Source,
    plain,
};

/// The most file names that an error lists.
const SHOWN_FILES: usize = 20;
/// The most files of a repository that are fetched without being registered.
const MAX_FILES: usize = 1000;

/// How a file came to be where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was transferred now.
    Downloaded,
    /// It was in the cache.
    Cached,
    /// It is a file of this machine.
    Local,
}

/// A local file with checked bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedFile {
    /// Path in its repository or folder, with `/`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its checksum, computed from the bytes at `path`.
    pub sha256: Checksum,
    /// How it came there.
    pub status: Status,
}

/// A source and its local files.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    /// What was asked for.
    pub source: Source,
    /// Its files, never none.
    pub files: Vec<FetchedFile>,
}

impl Fetched {
    /// Where the file of that name is.
    pub fn path(&self, name: &str) -> Option<&Path> {
        let file = self.files.iter().find(|file| file.name == name);
        file.map(|file| file.path.as_path())
    }
}

/// A folder with a registry and a lock file, and the hub and cache that serve it.
pub struct Hub {
    kind: Kind,
    registry: Registry,
    lock: Lock,
    settings: Settings,
    client: Client,
}

/// A checksum and who promised it.
type Promised = (Checksum, Promise);

impl Hub {
    /// Reads `registry.toml` and `hub.lock` of a folder; the lock file need not exist. Repositories
    /// that are not registered are taken to be of that kind.
    ///
    /// # Errors
    ///
    /// [`HubError::Io`], [`HubError::Malformed`] or [`HubError::Setting`].
    pub fn open(folder: &Path, kind: Kind, settings: Settings) -> Result<Self, HubError> {
        Ok(Self {
            kind,
            registry: Registry::read(&folder.join("registry.toml"))?,
            lock: Lock::read(&folder.join("hub.lock"))?,
            client: Client::new(&settings)?,
            settings,
        })
    }

    /// What has a name.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What is pinned.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// The local files of a source: of a registered name, of a repository `owner/name[@revision]`, or
    /// of a path. What is cached with the promised bytes is not transferred again.
    ///
    /// # Errors
    ///
    /// Any [`HubError`]; files that were fetched before the error stay in the cache.
    pub fn fetch(
        &mut self,
        source: &str,
        progress: &mut dyn Progress,
    ) -> Result<Fetched, HubError> {
        let source = Source::resolve(source, &self.registry, self.kind)?;
        let mut files = Vec::new();
        match &source {
            Source::Local(path) => files = local(path)?,
            Source::Registered(entry) => {
                for file in &entry.files {
                    let promise = || Promise::Registry(self.registry.path().to_owned());
                    let promised = file.sha256.map(|sha256| (sha256, promise()));
                    files.push(self.file(&entry.repository, &file.path, promised, progress)?);
                }
            }
            Source::Repository(repository) => {
                for file in self.choose(repository, progress)? {
                    files.push(self.file(repository, &file, None, progress)?);
                }
            }
        }
        Ok(Fetched { source, files })
    }

    /// The files of use in a repository, or offline in what is cached of it.
    fn choose(
        &self,
        repository: &Repository,
        progress: &mut dyn Progress,
    ) -> Result<Vec<String>, HubError> {
        let known: Vec<String> = if self.settings.offline {
            RepositoryCache::new(&self.settings.cache, repository).files()?
        } else {
            let url = self.client.page(repository);
            retrying(&self.settings, &url, progress, |_| {
                let listing = self.client.list(repository);
                listing.map_err(|failure| (failure, false))
            })?
        };
        if known.is_empty() && self.settings.offline {
            return Err(self.not_cached(repository, "any file"));
        }
        let chosen = select(repository.kind(), &known);
        if chosen.is_empty() {
            return Err(HubError::NothingToUse {
                place: repository.to_string(),
                wanted: wanted(repository.kind()),
                found: known.into_iter().take(SHOWN_FILES).collect(),
            });
        }
        if chosen.len() > MAX_FILES {
            return Err(HubError::TooManyFiles {
                place: repository.to_string(),
                limit: MAX_FILES,
                found: chosen.len(),
            });
        }
        if let Some(file) = chosen.iter().find(|file| !is_safe_path(file)) {
            let problem = format!("lists a file outside of itself, `{file}`");
            return Err(HubError::protocol(
                &self.client.url(repository, ""),
                problem,
            ));
        }
        Ok(chosen)
    }

    /// One file: from the cache if its bytes are the promised ones, else from the hub.
    fn file(
        &mut self,
        repository: &Repository,
        file: &str,
        registered: Option<Promised>,
        progress: &mut dyn Progress,
    ) -> Result<FetchedFile, HubError> {
        let cache = RepositoryCache::new(&self.settings.cache, repository);
        let pinned = self.lock.pin_of(repository, file).map(|pin| pin.sha256);
        let promised = registered
            .or_else(|| pinned.map(|sha256| (sha256, Promise::Lock(self.lock.path().to_owned()))));
        let cached = cache.file(file).map(measured).transpose()?;
        let found = match (cached, &promised) {
            (Some(found), Some((sha256, _))) if found.sha256 == *sha256 => found,
            (Some(found), Some(promised)) if self.settings.offline => {
                let path = found.path.display().to_string();
                return Err(HubError::mismatch(file, path, found.sha256, promised));
            }
            (Some(found), None) if self.settings.offline => {
                self.named(&cache, repository, file, found)?
            }
            (None, _) if self.settings.offline => return Err(self.not_cached(repository, file)),
            _ => self.ask_hub(&cache, repository, file, promised.as_ref(), progress)?,
        };
        if promised.is_none() {
            self.lock.pin(repository, file, found.sha256, found.size)?;
        }
        Ok(FetchedFile {
            name: file.to_owned(),
            ..found
        })
    }

    /// A cached file that nothing promises, if its bytes are those that its blob is named after.
    fn named(
        &self,
        cache: &RepositoryCache,
        repository: &Repository,
        file: &str,
        found: FetchedFile,
    ) -> Result<FetchedFile, HubError> {
        let tag = cache.tag_of(&found.path).unwrap_or_default();
        if found.is_named(&tag)? {
            return Ok(found);
        }
        Err(HubError::Unverified {
            repository: repository.to_string(),
            file: file.to_owned(),
            path: found.path,
        })
    }

    /// From the hub, or from the cache if it has the bytes that the hub describes.
    fn ask_hub(
        &self,
        cache: &RepositoryCache,
        repository: &Repository,
        file: &str,
        promised: Option<&Promised>,
        progress: &mut dyn Progress,
    ) -> Result<FetchedFile, HubError> {
        let url = self.client.url(repository, file);
        let metadata = retrying(&self.settings, &url, progress, |_| {
            let metadata = self.client.metadata(repository, file);
            metadata.map_err(|failure| (failure, false))
        })?;
        // A hub that has other bytes than promised need not send them.
        if let (Some(has), Some(promised)) = (metadata.sha256, promised)
            && has != promised.0
        {
            return Err(HubError::mismatch(file, url, has, promised));
        }
        let by_hub = metadata.sha256.map(|sha256| (sha256, Promise::Hub));
        let promised = promised.cloned().or(by_hub);
        let _lock = cache.lock(&metadata.etag)?;
        let status = if is_there(cache, &metadata, promised.as_ref())? {
            Status::Cached
        } else {
            self.transfer(
                cache,
                repository,
                file,
                &metadata,
                promised.as_ref(),
                progress,
            )?;
            Status::Downloaded
        };
        let path = cache.publish(&metadata.etag, &metadata.commit, file)?;
        let found = measured(path)?;
        match &promised {
            // What is read back counts, not what was sent.
            Some(promised) if found.sha256 != promised.0 => {
                let path = found.path.display().to_string();
                Err(HubError::mismatch(file, path, found.sha256, promised))
            }
            _ => Ok(FetchedFile { status, ..found }),
        }
    }

    /// Transfers a file to the blob of its entity tag.
    ///
    /// Bytes that an earlier call left are continued only if a promised checksum will judge the whole.
    /// If they spoil it, the file is transferred again from its beginning.
    fn transfer(
        &self,
        cache: &RepositoryCache,
        repository: &Repository,
        file: &str,
        metadata: &Metadata,
        promised: Option<&Promised>,
        progress: &mut dyn Progress,
    ) -> Result<(), HubError> {
        let transfer = Transfer {
            client: &self.client,
            settings: &self.settings,
            repository,
            file,
            size: metadata.size,
        };
        let part = cache.part(&metadata.etag);
        if promised.is_none() || !plain::is_own(&part) {
            remove(&part)?;
        }
        let mut continues = fs::metadata(&part).is_ok_and(|part| part.len() > 0);
        loop {
            let outcome = transfer.run(&part, progress);
            let keep = promised.is_some() && !matches!(outcome, Err(HubError::TooLong { .. }));
            if outcome.is_err() && !keep {
                remove(&part)?;
            }
            let got = outcome?.finish();
            match promised {
                Some(promised) if got != promised.0 => {
                    remove(&part)?;
                    if !continues {
                        let url = self.client.url(repository, file);
                        return Err(HubError::mismatch(file, url, got, promised));
                    }
                    continues = false;
                }
                _ => return cache.finish(&metadata.etag),
            }
        }
    }

    fn not_cached(&self, repository: &Repository, file: &str) -> HubError {
        HubError::NotCached {
            repository: repository.to_string(),
            file: file.to_owned(),
            cache: self.settings.cache.clone(),
        }
    }
}

/// Whether the cache has the bytes that a hub describes.
fn is_there(
    cache: &RepositoryCache,
    metadata: &Metadata,
    promised: Option<&Promised>,
) -> Result<bool, HubError> {
    let blob = cache.blob(&metadata.etag);
    if !plain::is_file(&blob) {
        return Ok(false);
    }
    let found = measured(blob)?;
    let right_size = metadata.size.is_none_or(|size| size == found.size);
    Ok(right_size
        && match promised {
            Some((sha256, _)) => found.sha256 == *sha256,
            None => found.is_named(&metadata.etag)?,
        })
}

impl FetchedFile {
    /// Whether its bytes are those that an entity tag names.
    fn is_named(&self, tag: &str) -> Result<bool, HubError> {
        let Self {
            path, sha256, size, ..
        } = self;
        is_named(tag, path, (*sha256, *size)).map_err(HubError::io("read", path))
    }
}

/// A file with its size and checksum.
fn measured(path: PathBuf) -> Result<FetchedFile, HubError> {
    // A pipe would be waited for, a device read without end.
    if fs::metadata(&path).is_ok_and(|there| !there.is_file()) {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "expected a file");
        return Err(HubError::io("read", path)(source));
    }
    let (sha256, size) = Checksum::of_file(&path).map_err(HubError::io("read", &path))?;
    Ok(FetchedFile {
        name: String::new(),
        path,
        size,
        sha256,
        status: Status::Cached,
    })
}

/// A file, or the files directly in a folder by name.
fn local(path: &Path) -> Result<Vec<FetchedFile>, HubError> {
    let mut paths = Vec::new();
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(HubError::io("list", path))? {
            let entry = entry.map_err(HubError::io("list", path))?.path();
            if entry.is_file() {
                paths.push(entry);
            }
        }
        paths.sort();
    } else {
        paths.push(path.to_owned());
    }
    if paths.is_empty() {
        return Err(HubError::NothingToUse {
            place: path.display().to_string(),
            wanted: "file",
            found: Vec::new(),
        });
    }
    let file = |path: PathBuf| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok(FetchedFile {
            name,
            status: Status::Local,
            ..measured(path)?
        })
    };
    paths.into_iter().map(file).collect()
}

fn remove(path: &Path) -> Result<(), HubError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(HubError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
