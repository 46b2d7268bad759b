//! What can be wrong with a file before anything in it is read.

use std::io;
use std::path::PathBuf;

/// What is wrong as an error of input and output, whose caller names the path.
impl From<DiskError> for io::Error {
    fn from(error: DiskError) -> Self {
        let problem = match error {
            DiskError::Io { source, .. } => return source,
            DiskError::NotAFile { got, .. } => format!("expected a plain file, got {got}"),
            DiskError::TooLarge { limit, got, .. } => {
                format!("expected at most {limit} bytes, got {got} or more")
            }
            other => other.to_string(),
        };
        Self::new(io::ErrorKind::InvalidInput, problem)
    }
}

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// A file cannot be opened or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A path names no plain file.
    #[error("{}: expected a plain file, got {got}", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        got: &'static str,
    },
    /// A file has more bytes than its reader takes.
    #[error("{}: expected at most {limit} bytes, got {got} or more", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes.
        limit: u64,
        /// Bytes that it has at least.
        got: u64,
    },
    /// A path leads out of the folder that names it.
    #[error(
        "{}: expected a file in {}, but it leads to {}; name that file itself, or put a copy here",
        path.display(),
        folder.display(),
        target.display()
    )]
    LeadsOut {
        /// The path.
        path: PathBuf,
        /// The folder that it may not leave.
        folder: PathBuf,
        /// Where it leads, links followed.
        target: PathBuf,
    },
}
