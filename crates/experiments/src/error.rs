//! The one error of this crate, grouped by cause.

use std::path::{Path, PathBuf};

use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;

/// Anything that an implementation of [`Lab`](crate::run::Lab) may fail with.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why a plan is refused, and where in its text.
#[derive(Debug, Error, Diagnostic)]
#[error("bad plan: {problem}")]
pub struct PlanFault {
    /// What is wrong, with expected and got.
    pub problem: String,
    /// The plan's text under its file name.
    #[source_code]
    pub text: NamedSource<String>,
    /// The bytes of the text that are at fault.
    #[label("{label}")]
    pub span: SourceSpan,
    /// The short note under the marked text.
    pub label: String,
    /// What would be right, if that is known.
    #[help]
    pub help: Option<String>,
}

/// Why a command of this crate stops.
#[derive(Debug, Error, Diagnostic)]
pub enum ExperimentError {
    /// The plan cannot be run as written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Plan(Box<PlanFault>),

    /// The flags contradict each other or the plan.
    #[error("bad usage: {problem}")]
    Usage {
        /// What contradicts what.
        problem: String,
    },

    /// A file or folder cannot be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: std::io::Error,
    },

    /// A line of a run's journal is not a record.
    #[error("{path}, line {line}: expected one JSON record")]
    #[diagnostic(help("only a torn last line is repaired; this one has complete lines after it"))]
    Journal {
        /// The journal.
        path: PathBuf,
        /// Line number, counted from 1.
        line: usize,
        /// What the parser expected.
        #[source]
        source: serde_json::Error,
    },

    /// Another process made a file that this one was to make.
    #[error("{path} was made by another process meanwhile, and is left as it is")]
    #[diagnostic(help("write over it with --force, or name another file"))]
    OutputExists {
        /// The file.
        path: PathBuf,
    },

    /// A record cannot be written as text.
    #[error("cannot encode {what}")]
    Encode {
        /// The record or file.
        what: String,
        /// What the encoder answered.
        #[source]
        source: Cause,
    },

    /// The folder given is not a run directory, or an unreadable one.
    #[error("{path} is not a run directory: {problem}")]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// What is missing or unreadable.
        problem: String,
    },

    /// The run directory exists and resuming was not asked for.
    #[error("run directory {path} exists already")]
    #[diagnostic(help("continue it with --resume, or name another one with --out"))]
    RunExists {
        /// The folder.
        path: PathBuf,
    },

    /// Another process writes to the run directory.
    #[error("run directory {path} is in use by another process")]
    RunInUse {
        /// The folder.
        path: PathBuf,
    },

    /// A resumed run would mix results of different inputs, or lack a part of what was asked for.
    #[error("cannot resume {path}: {what} differs, expected {expected}, got {got}")]
    #[diagnostic(help(
        "a run is continued with the plan, networks, datasets and flags that it was started with; name another folder with --out"
    ))]
    DifferentRun {
        /// The folder.
        path: PathBuf,
        /// Which input differs.
        what: String,
        /// As the run was started.
        expected: String,
        /// As it would be continued.
        got: String,
    },

    /// The plan names a layer that the network does not have.
    #[error("network {network} has no layer {layer:?}, expected one of: {known}")]
    UnknownLayer {
        /// The network's name in the plan.
        network: String,
        /// The layer's name in the plan.
        layer: String,
        /// The layers that bear weights.
        known: String,
    },

    /// Loading networks and datasets failed.
    #[error("cannot prepare {what}")]
    Prepare {
        /// The network, split or repair set.
        what: String,
        /// What it failed with.
        #[source]
        source: Cause,
    },

    /// One trial failed; those before it are kept.
    #[error("trial {trial} failed")]
    #[diagnostic(help("every finished trial is kept; continue with --resume"))]
    Trial {
        /// The trial's identifier.
        trial: String,
        /// What it failed with.
        #[source]
        source: Cause,
    },

    /// No input of a set needs a repair.
    #[error("{path}: the network gets {} right: nothing is to be repaired", match inputs {
        1 => "its only input".to_owned(),
        inputs => format!("all {inputs} inputs"),
    })]
    NothingWrong {
        /// The set.
        path: PathBuf,
        /// Its inputs.
        inputs: usize,
    },

    /// A repair cannot be set up or run.
    #[error("repair of layer {layer} failed")]
    Repair {
        /// The layer.
        layer: String,
        /// What it failed with.
        #[source]
        source: Cause,
    },

    /// A repair set cannot be described.
    #[error("analysis of {what} failed")]
    Analysis {
        /// The part.
        what: String,
        /// What it failed with.
        #[source]
        source: Cause,
    },

    /// Scoring the layers for one repair set failed.
    #[error("layer selection for {set} failed")]
    #[diagnostic(help("every finished trial is kept; continue with --resume"))]
    Selection {
        /// The repair set's identifier.
        set: String,
        /// What it failed with.
        #[source]
        source: Cause,
    },
}

/// The result of this crate's functions.
pub type Result<T, E = ExperimentError> = std::result::Result<T, E>;

impl ExperimentError {
    /// The exit code of the command: 2 for bad usage or a bad plan, otherwise 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Plan(_) | Self::Usage { .. } | Self::UnknownLayer { .. } => 2,
            _ => 1,
        }
    }

    /// The run in `path` would be continued with something else than it was started with.
    pub(crate) fn different_run(
        path: &Path,
        what: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self::DifferentRun {
            path: path.to_path_buf(),
            what: what.into(),
            expected: expected.into(),
            got: got.into(),
        }
    }

    /// Wraps an I/O error with what was tried on which path.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Wraps what an output could not be written with.
    pub(crate) fn output(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => Self::OutputExists { path },
            _ => Self::io("write", path)(source),
        }
    }
}

/// Wraps what an analysis failed with.
pub(crate) fn analysis<E: Into<Cause>>(
    what: impl FnOnce() -> String,
) -> impl FnOnce(E) -> ExperimentError {
    |source| ExperimentError::Analysis {
        what: what(),
        source: source.into(),
    }
}

/// Wraps what a preparation failed with.
pub(crate) fn prepare<E: Into<Cause>>(
    what: impl FnOnce() -> String,
) -> impl FnOnce(E) -> ExperimentError {
    |source| ExperimentError::Prepare {
        what: what(),
        source: source.into(),
    }
}
