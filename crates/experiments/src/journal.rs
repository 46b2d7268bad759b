//! Append-only files of JSON records, one per line.
//!
//! A line is written and flushed in one call, so a killed process leaves at most one torn line, the last.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ExperimentError, Result};
use crate::terminal::shown_json;

/// The most bytes of a journal or of another file of a run: 1 GiB, which holds a million trials.
pub(crate) const MOST_BYTES: u64 = 1 << 30;

/// A journal open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    /// Opens the journal at `path`, which is made if it does not exist.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(ExperimentError::io("open", path))?;
        Ok(Self {
            path: path.to_path_buf(),
            file: Mutex::new(file),
        })
    }

    /// Cuts off what lies behind the first `whole` bytes.
    pub(crate) fn truncate(&self, whole: u64) -> Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.set_len(whole)
            .map_err(ExperimentError::io("truncate", &self.path))
    }

    /// Takes the file's lock, which lasts until the process ends; `false` if another process has it.
    pub(crate) fn lock(&self) -> Result<bool> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        match file.try_lock() {
            Ok(()) => Ok(true),
            Err(std::fs::TryLockError::WouldBlock) => Ok(false),
            Err(std::fs::TryLockError::Error(source)) => {
                Err(ExperimentError::io("lock", &self.path)(source))
            }
        }
    }

    /// Appends one record.
    pub(crate) fn append(&self, record: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(record).map_err(|source| ExperimentError::Encode {
            what: format!("a record of {}", self.path.display()),
            source: Box::new(source),
        })?;
        let line = format!("{}\n", shown_json(&line));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes())
            .and_then(|()| file.flush())
            .map_err(ExperimentError::io("append to", &self.path))
    }
}

/// The records of a journal, and the length in bytes up to the last whole one. A missing file has none.
///
/// A last line without line end, or one that does not parse, is torn and left out.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<(Vec<T>, u64)> {
    let bytes = match disk::read(path, MOST_BYTES).map_err(std::io::Error::from) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(error) => return Err(ExperimentError::io("read", path)(error)),
    };
    let mut records = Vec::new();
    let mut whole = 0;
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    for (number, line) in lines.iter().enumerate() {
        let last = number + 1 == lines.len();
        if last && !line.ends_with(b"\n") {
            break;
        }
        match serde_json::from_slice(line) {
            Ok(record) => records.push(record),
            Err(_) if last => break,
            Err(source) => {
                return Err(ExperimentError::Journal {
                    path: path.to_path_buf(),
                    line: number + 1,
                    source,
                });
            }
        }
        whole += line.len() as u64;
    }
    Ok((records, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_cut_off() {
        for torn in ["3", "{\"a\":", "[1\n"] {
            let (_folder, path) = written(&format!("1\n2\n{torn}"));
            let (records, whole) = read::<u32>(&path).unwrap();
            assert_eq!((records, whole), (vec![1, 2], 4), "torn: {torn:?}");
            let journal = Journal::open(&path).unwrap();
            journal.truncate(whole).unwrap();
            journal.append(&7).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n7\n");
        }
    }

    #[test]
    fn a_bad_line_before_the_last_is_an_error_with_its_number() {
        let (_folder, path) = written("1\nx\n3\n");
        let error = read::<u32>(&path).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_missing_journal_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let (records, whole) = read::<u32>(&folder.path().join("none.jsonl")).unwrap();
        assert_eq!((records.len(), whole), (0, 0));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_no_journal_and_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let refused = read::<u32>(&path).unwrap_err();
        assert!(matches!(refused, ExperimentError::Io { .. }), "{refused}");
    }
}
