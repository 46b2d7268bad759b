//! What can be wrong with a labelled set as a whole.

use std::path::PathBuf;

use super::DataError;

/// The most causes that one error lists.
pub(crate) const SHOWN: usize = 10;

/// Errors of [`crate::labelled`] that concern more than one value of a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// A path names no plain file.
    #[error("{}: expected a plain file, got {got}", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        got: &'static str,
    },
    /// A path leads out of the folder that names it.
    #[error(transparent)]
    LeadsOut(disk::DiskError),
    /// A packed file becomes much more than it is.
    #[error(
        "{}: {length} packed bytes: expected at most {most} when they are unpacked, got more",
        path.display()
    )]
    Expanded {
        /// The file.
        path: PathBuf,
        /// Bytes of the file.
        length: u64,
        /// The most that so many may become.
        most: u64,
    },
    /// A set has more examples than are read.
    #[error("{}: expected at most {most} examples, got {got} or more", path.display())]
    TooMany {
        /// The file or folder.
        path: PathBuf,
        /// The most examples.
        most: usize,
        /// Examples that there are at least.
        got: usize,
    },
    /// A file has more bytes than its reader takes.
    #[error("{}: expected at most {limit} bytes, got {got} or more", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes.
        limit: u64,
        /// Bytes that it has at least.
        got: u64,
    },
    /// Examples take more memory than they may.
    #[error(
        "{}: {examples} examples of {each} bytes: expected at most {limit} bytes at a time; read fewer \
         examples, or allow more",
        path.display()
    )]
    Memory {
        /// The file or folder.
        path: PathBuf,
        /// Examples asked for.
        examples: usize,
        /// Bytes of each as the network takes it.
        each: u64,
        /// The most bytes.
        limit: u64,
    },
    /// Pictures or rows of a set cannot be read.
    #[error(
        "{}: {count} of {examples} examples cannot be read:{}",
        path.display(),
        list(causes, *count)
    )]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// How many cannot be read.
        count: usize,
        /// How many were to be read.
        examples: usize,
        /// What is wrong with the first ten.
        causes: Vec<DataError>,
    },
    /// A set says no label for some of its examples.
    #[error(
        "{}: labels: expected one for every example, got none for {count} of {examples}, the first of \
         them {first}",
        path.display()
    )]
    Unlabelled {
        /// The file or folder.
        path: PathBuf,
        /// Examples without a label.
        count: usize,
        /// Examples of the set.
        examples: usize,
        /// What the first one is called.
        first: String,
    },
    /// Labels of a set stand for no answer of the network.
    #[error("{}", classes(expected, got, *others, hint))]
    Classes {
        /// What would do.
        expected: String,
        /// The first labels that would not, each with the example that has it.
        got: Vec<String>,
        /// How many more there are.
        others: usize,
        /// What else might be meant; empty when there is nothing to say.
        hint: String,
    },
    /// The labels of the sets of one command contradict each other.
    #[error("label {label}: {first}, but {second}")]
    Contradiction {
        /// The label.
        label: String,
        /// What it is by one reading.
        first: String,
        /// What it is by another.
        second: String,
    },
    /// A choice of columns cannot be understood.
    #[error("columns {given:?}: expected {expected}")]
    Columns {
        /// What was given.
        given: String,
        /// What would do.
        expected: &'static str,
    },
}

impl From<disk::DiskError> for DataError {
    fn from(error: disk::DiskError) -> Self {
        use disk::DiskError;
        match error {
            DiskError::Io { path, source } => Self::Io { path, source },
            DiskError::NotAFile { path, got } => Self::Set(SetError::NotAFile { path, got }),
            DiskError::TooLarge { path, limit, got } => {
                Self::Set(SetError::FileTooLarge { path, limit, got })
            }
            other => Self::Set(SetError::LeadsOut(other)),
        }
    }
}

/// One line for each cause, and how many there are besides.
fn list(causes: &[DataError], count: usize) -> String {
    let mut lines: String = causes.iter().map(|cause| format!("\n  {cause}")).collect();
    if count > causes.len() {
        lines += &format!("\n  and {} more", count - causes.len());
    }
    lines
}

fn classes(expected: &str, got: &[String], others: usize, hint: &str) -> String {
    let mut text = format!("labels: expected {expected}, got {}", got.join(", "));
    if others > 0 {
        text += &format!(" and {others} more");
    }
    if !hint.is_empty() {
        text += "; ";
        text += hint;
    }
    text
}
