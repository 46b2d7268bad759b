//! What was done to read a file, and what was assumed because the file does not say it.

use std::fmt;

use serde::Serialize;

/// A sentence about the reading of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "text")]
pub enum Note {
    /// The file says it.
    Read(String),
    /// The user said it.
    Given(String),
    /// Neither says it: a convention was taken.
    Assumed(String),
}

impl Note {
    /// The sentence.
    pub fn text(&self) -> &str {
        match self {
            Self::Read(text) | Self::Given(text) | Self::Assumed(text) => text,
        }
    }

    /// Whether it is an assumption.
    pub fn is_assumption(&self) -> bool {
        matches!(self, Self::Assumed(_))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(text) => write!(f, "{text}"),
            Self::Given(text) => write!(f, "{text} (as asked)"),
            Self::Assumed(text) => write!(f, "assumed: {text}"),
        }
    }
}
