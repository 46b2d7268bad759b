//! Why one attempt at a request failed, and whether another may succeed.

use std::io;
use std::time::Duration;

use ureq::http::StatusCode;

use crate::{HubError, Settings};

/// Why one attempt failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another attempt may succeed.
    Transient {
        /// What happened.
        cause: Cause,
        /// What the server asks to wait.
        pause: Option<Duration>,
    },
    /// It cannot.
    Final(HubError),
}

/// A failure that may pass.
#[derive(Debug)]
pub(crate) enum Cause {
    /// No connection, or it broke.
    Connection(Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time.
    Timeout,
    /// A status that may pass.
    Server(StatusCode),
    /// The body ended early; sizes of the whole file in bytes.
    Short { expected: u64, got: u64 },
    /// The server does not continue where it was asked to, or sends bytes that cannot be read.
    Unusable(String),
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self::Final(error)
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self::Transient { cause, pause: None }
    }
}

impl From<ureq::Error> for Cause {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(_) => Self::Timeout,
            other => Self::Connection(Box::new(other)),
        }
    }
}

impl From<io::Error> for Cause {
    /// An error of reading a body, in which `ureq` hides its own.
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(ureq::Error::Timeout(_)) => Self::Timeout,
            // Unasked for, and not what it claims to be: a range of compressed bytes, perhaps.
            Some(ureq::Error::Decompress(encoding, _)) => Self::Unusable(format!(
                "expected the file's own bytes, got them encoded as {encoding}, and broken"
            )),
            _ => Self::Connection(Box::new(error)),
        }
    }
}

impl Cause {
    pub(crate) fn into_error(self, url: &str, attempts: u32, settings: &Settings) -> HubError {
        let url = url.to_owned();
        match self {
            Self::Connection(source) => HubError::Connection {
                url,
                attempts,
                source,
            },
            Self::Timeout => HubError::Timeout {
                url,
                attempts,
                timeout: settings.read_timeout,
            },
            Self::Server(status) => HubError::Server {
                url,
                status: status.as_u16(),
                attempts,
            },
            Self::Short { expected, got } => HubError::Truncated {
                url,
                expected,
                got,
                attempts,
            },
            Self::Unusable(problem) => HubError::Protocol { url, problem },
        }
    }

    /// In a few words, for whoever watches.
    pub(crate) fn brief(&self) -> String {
        match self {
            Self::Connection(source) => source.to_string(),
            Self::Timeout => "no answer in time".to_owned(),
            Self::Server(status) => format!("server error {}", status.as_u16()),
            Self::Short { expected, got } => format!("{got} of {expected} bytes came"),
            Self::Unusable(problem) => problem.clone(),
        }
    }
}
