//! What can go wrong between a source and its local files.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::Checksum;

/// What a hub does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The repository, or it is private.
    Repository,
    /// The branch, tag or commit.
    Revision(String),
    /// The file at that revision.
    File(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository => write!(f, "the repository (if it is private, set HF_TOKEN)"),
            Self::Revision(revision) => write!(f, "the revision `{revision}`"),
            Self::File(file) => write!(f, "the file `{file}`"),
        }
    }
}

/// Who promised a checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The registry file.
    Registry(PathBuf),
    /// The lock file, on first use.
    Lock(PathBuf),
    /// The hub's entity tag of a large file.
    Hub,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(path) => write!(f, "the registry {}", path.display()),
            Self::Lock(path) => write!(
                f,
                "the first use, pinned in {}; remove that entry if the change is wanted",
                path.display()
            ),
            Self::Hub => write!(f, "the hub"),
        }
    }
}

/// A file with other bytes than promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Name of the file in its repository.
    pub file: String,
    /// Address or local path that the bytes came from.
    pub origin: String,
    /// The promised checksum.
    pub expected: Checksum,
    /// The checksum of the bytes.
    pub got: Checksum,
    /// Who promised.
    pub promise: Promise,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            origin,
            expected,
            got,
            promise,
        } = self;
        write!(
            f,
            "`{file}` from {origin}: expected sha256 {expected} by {promise}; got {got}"
        )
    }
}

/// Errors of this crate: each names the file or address, what was expected, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A local file or folder could not be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
    /// An environment variable has an unusable value.
    #[error("{variable}: expected {expected}, got `{got}`")]
    Setting {
        /// The variable.
        variable: &'static str,
        /// What it may hold.
        expected: &'static str,
        /// What it holds.
        got: String,
    },
    /// No folder to cache files in is known.
    #[error("no folder for cached files: set HF_HOME or HF_HUB_CACHE")]
    NoCache,

    /// A registry or lock file is not what it should be.
    #[error("{}:{line}:{column}: bad {what}: {problem}", path.display())]
    Malformed {
        /// `registry` or `lock`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong, with expected and got.
        problem: String,
    },
    /// A source is none of the three things it may be.
    #[error(
        "`{given}` is no file or folder, no `owner/name[@revision]`, and not registered; \
         registered: {}", known.join(", ")
    )]
    UnknownSource {
        /// The source as given.
        given: String,
        /// The names in the registry.
        known: Vec<String>,
    },
    /// A repository or a folder holds no file of a known format.
    #[error("{place} holds no {wanted}; it holds: {}", found.join(", "))]
    NothingToUse {
        /// The repository or folder.
        place: String,
        /// What was looked for.
        wanted: &'static str,
        /// Names of some files that are there.
        found: Vec<String>,
    },

    /// A repository holds too many files of use.
    #[error(
        "{place} holds {found} files of use, more than {limit}; \
         name those that are needed in the registry"
    )]
    TooManyFiles {
        /// The repository.
        place: String,
        /// The most files that are fetched.
        limit: usize,
        /// The files of use.
        found: usize,
    },

    /// No connection, or it broke.
    #[error(
        "{url}: no connection after {attempts} attempts; \
         is the network up, and HF_ENDPOINT right?"
    )]
    Connection {
        /// The address.
        url: String,
        /// Attempts without progress.
        attempts: u32,
        /// What the system reported.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server did not answer in time.
    #[error("{url}: no answer within {} s, after {attempts} attempts", timeout.as_secs_f64())]
    Timeout {
        /// The address.
        url: String,
        /// Attempts without progress.
        attempts: u32,
        /// The time that was waited.
        timeout: Duration,
    },
    /// The server failed, or asks to slow down.
    #[error("{url}: server error {status} after {attempts} attempts; try again later")]
    Server {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
        /// Attempts without progress.
        attempts: u32,
    },
    /// The server refuses access.
    #[error("{url}: access refused ({status}): {advice}")]
    Access {
        /// The address.
        url: String,
        /// HTTP status: 401 or 403.
        status: u16,
        /// Which page to visit and which variable to set.
        advice: String,
    },
    /// Repository, revision or file does not exist.
    #[error("{url}: not found ({status}): {missing}")]
    NotFound {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
        /// Which of the three.
        missing: Missing,
    },
    /// A status that no hub should send.
    #[error("{url}: expected status 200 or 206, got {status}")]
    Status {
        /// The address.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// Redirects do not end.
    #[error("{url}: more than {limit} redirects")]
    Redirects {
        /// The address at which following stopped.
        url: String,
        /// Redirects that are followed.
        limit: usize,
    },
    /// The answer breaks the rules of HTTP or of a hub.
    #[error("{url}: {problem}")]
    Protocol {
        /// The address.
        url: String,
        /// What was expected and got.
        problem: String,
    },

    /// The body ended early every time.
    #[error(
        "{url}: body ends early: expected {expected} bytes, got {got}, after {attempts} attempts; \
         what is there is kept if it can be checked later"
    )]
    Truncated {
        /// The address.
        url: String,
        /// Size of the whole file in bytes.
        expected: u64,
        /// Bytes received in all.
        got: u64,
        /// Attempts without progress.
        attempts: u32,
    },
    /// The body is longer than the file.
    #[error("{url}: body is too long: expected {expected} bytes, got at least {got}")]
    TooLong {
        /// The address.
        url: String,
        /// Size of the whole file in bytes.
        expected: u64,
        /// Bytes received or announced.
        got: u64,
    },
    /// The bytes are not the promised ones.
    #[error("{0}")]
    Checksum(Box<Mismatch>),

    /// Offline work needs a file that is not cached.
    #[error(
        "offline, and `{file}` of {repository} is not cached in {}; \
         fetch it once without HF_HUB_OFFLINE", cache.display()
    )]
    NotCached {
        /// The repository with its revision.
        repository: String,
        /// The file.
        file: String,
        /// The cache folder.
        cache: PathBuf,
    },
    /// A cached file of which nothing says what its bytes should be.
    #[error(
        "offline, and the cached {} is not known to be `{file}` of {repository}; \
         fetch it once without HF_HUB_OFFLINE", path.display()
    )]
    Unverified {
        /// The repository with its revision.
        repository: String,
        /// The file.
        file: String,
        /// Where it is cached.
        path: PathBuf,
    },
    /// The file does not fit.
    #[error(
        "{} has {free} bytes free, but {needed} are needed; \
         free some, or point HF_HUB_CACHE elsewhere", folder.display()
    )]
    DiskFull {
        /// Folder of the file system.
        folder: PathBuf,
        /// Bytes still to be written.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
}

impl HubError {
    /// For `map_err`: what was tried on which path.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// That the bytes of `file`, from `origin`, are not the promised ones.
    pub(crate) fn mismatch(
        file: &str,
        origin: String,
        got: Checksum,
        (expected, promise): &(Checksum, Promise),
    ) -> Self {
        Self::Checksum(Box::new(Mismatch {
            file: file.to_owned(),
            origin,
            expected: *expected,
            got,
            promise: promise.clone(),
        }))
    }

    pub(crate) fn protocol(url: &str, problem: impl Into<String>) -> Self {
        Self::Protocol {
            url: url.to_owned(),
            problem: problem.into(),
        }
    }

    /// A fault in a TOML file, at a byte offset of its text.
    pub(crate) fn malformed(
        what: &'static str,
        path: impl Into<PathBuf>,
        text: &str,
        offset: usize,
        problem: impl Into<String>,
    ) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self::Malformed {
            what,
            path: path.into(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            problem: problem.into(),
        }
    }
}
