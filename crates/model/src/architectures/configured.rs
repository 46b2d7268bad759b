//! What the configuration beside the weights says: each key with its type, or a refusal by name.

use serde_json::Value;

use crate::{Checkpoint, ModelError};

/// The configuration of a checkpoint; one that has none says nothing.
#[derive(Clone, Copy)]
pub(crate) struct Configured<'a>(pub(crate) &'a Checkpoint);

impl<'a> Configured<'a> {
    fn value(self, key: &str) -> Option<&'a Value> {
        let value = self.0.config().and_then(|config| config.get(key));
        // A key that is null says nothing.
        value.filter(|value| !value.is_null())
    }

    /// Refuses what a key says; `reason` ends a sentence that begins with the key.
    pub(crate) fn refuse(self, key: &str, reason: &str) -> ModelError {
        ModelError::Architecture {
            origin: self.0.origin().to_owned(),
            reason: format!("config `{key}`{reason}"),
        }
    }

    fn other(self, key: &str, expected: &str, got: &Value) -> ModelError {
        // A value may be as long as its file.
        let shown: String = got.to_string().chars().take(60).collect();
        self.refuse(key, &format!(": expected {expected}, got {shown}"))
    }

    /// A key whose value `read` understands; `None` where there is no such key.
    fn read<T>(
        self,
        key: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ModelError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let understood = read(value).ok_or_else(|| self.other(key, expected, value));
        understood.map(Some)
    }

    /// A positive integer.
    ///
    /// # Errors
    /// [`ModelError::Architecture`] when the key holds something else.
    pub(crate) fn whole(self, key: &str) -> Result<Option<usize>, ModelError> {
        self.read(key, "a positive integer", whole)
    }

    /// A list of positive integers.
    ///
    /// # Errors
    /// [`ModelError::Architecture`] when the key holds something else.
    pub(crate) fn wholes(self, key: &str) -> Result<Option<Vec<usize>>, ModelError> {
        self.read(key, "a list of positive integers", |value| {
            value.as_array()?.iter().map(whole).collect()
        })
    }

    /// A positive integer, or a list of two.
    ///
    /// # Errors
    /// [`ModelError::Architecture`] when the key holds something else.
    pub(crate) fn extents(self, key: &str) -> Result<Option<[usize; 2]>, ModelError> {
        let expected = "a positive integer or two of them";
        self.read(key, expected, |value| match value.as_array() {
            None => Some([whole(value)?; 2]),
            Some(pair) => match &pair[..] {
                [height, width] => Some([whole(height)?, whole(width)?]),
                _ => None,
            },
        })
    }

    /// A number above 0 and up to `most`.
    ///
    /// # Errors
    /// [`ModelError::Architecture`] when the key holds something else.
    pub(crate) fn positive(self, key: &str, most: f64) -> Result<Option<f64>, ModelError> {
        let expected = format!("a number above 0 and up to {most}");
        self.read(key, &expected, |value| {
            value
                .as_f64()
                .filter(|&number| number > 0.0 && number <= most)
        })
    }

    /// A number from 0 to 1.
    ///
    /// # Errors
    /// [`ModelError::Architecture`] when the key holds something else.
    pub(crate) fn share(self, key: &str) -> Result<Option<f64>, ModelError> {
        self.read(key, "a number from 0 to 1", |value| {
            value.as_f64().filter(|number| (0.0..=1.0).contains(number))
        })
    }

    /// A text.
    ///
    /// # Errors
    /// [`ModelError::Architecture`] when the key holds something else.
    pub(crate) fn text(self, key: &str) -> Result<Option<&'a str>, ModelError> {
        self.read(key, "a text", Value::as_str)
    }

    /// True or false.
    ///
    /// # Errors
    /// [`ModelError::Architecture`] when the key holds something else.
    pub(crate) fn flag(self, key: &str) -> Result<Option<bool>, ModelError> {
        self.read(key, "true or false", Value::as_bool)
    }

    /// One of some names.
    ///
    /// # Errors
    /// [`ModelError::Architecture`] when the key holds another name or none.
    pub(crate) fn one_of(self, key: &str, names: &[&str]) -> Result<Option<&'a str>, ModelError> {
        let expected = names.join(" or ");
        self.read(key, &expected, |value| {
            value.as_str().filter(|name| names.contains(name))
        })
    }

    /// Checks that the configuration, where it has the key, says what the tensors say.
    ///
    /// # Errors
    /// [`ModelError::Architecture`] when the two contradict each other.
    pub(crate) fn agree(self, key: &str, tensors: usize) -> Result<(), ModelError> {
        match self.whole(key)? {
            Some(config) if config != tensors => Err(self.contradicts(key, config, tensors)),
            _ => Ok(()),
        }
    }

    /// Refuses a key that says `config` where the tensors say something else.
    pub(crate) fn contradicts(
        self,
        key: &str,
        config: impl std::fmt::Debug,
        tensors: impl std::fmt::Debug,
    ) -> ModelError {
        let reason = format!(" is {config:?}, but the tensors say {tensors:?}");
        self.refuse(key, &reason)
    }
}

fn whole(value: &Value) -> Option<usize> {
    let number = value.as_u64().filter(|&number| number > 0)?;
    usize::try_from(number).ok()
}
