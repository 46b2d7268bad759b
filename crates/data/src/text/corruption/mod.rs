//! Seeded text corruptions, each text keeping its clean counterpart.
//!
//! A corruption maps a text to another one, or to none when it has nothing to change there. Its random
//! numbers are keyed by `(seed, corruption, source, index, sentence)`: a text is corrupted the same way
//! alone, in a subset and in the whole set, and the words that a severity changes are among those that
//! the next one changes. `source` and `index` of the clean text stay in the identity, whose variant
//! becomes e.g. `typo:2:0` for severity 2 and seed 0.
//!
//! Typos, swaps, drops and substitutions are meant to leave the meaning, and so the target, as it is;
//! no rule can promise that, and [`substitution`] says how far it goes. [`negation`] turns the meaning
//! around, and the target with it where it can tell.

mod drop;
pub mod negation;
pub mod substitution;
mod swap;
mod typo;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use self::substitution::Guide;
use super::dataset::{TextDataset, TextExample};
use crate::corruption::Severity;
use crate::dataset::{CLEAN, ExampleId};
use crate::{DataError, random};

/// The text corruptions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TextCorruption {
    /// Letters replaced by their neighbours on the keyboard.
    Typo,
    /// Adjacent letters inside a word exchanged.
    Swap,
    /// Words left out.
    Drop,
    /// A negation inserted or removed.
    Negation,
    /// Words replaced by those that a network's gradient points to.
    Substitution,
}

/// What a corruption makes of a set of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct CorruptedTexts {
    /// The corrupted counterparts, in the order of the clean texts.
    pub changed: TextDataset,
    /// The clean texts in which the corruption has nothing to change.
    pub unchanged: Vec<ExampleId>,
}

impl TextCorruption {
    /// All text corruptions.
    pub const ALL: [Self; 5] = [
        Self::Typo,
        Self::Swap,
        Self::Drop,
        Self::Negation,
        Self::Substitution,
    ];

    /// The name in plans, results and on the command line, e.g. `typo`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Typo => "typo",
            Self::Swap => "swap",
            Self::Drop => "drop",
            Self::Negation => "negation",
            Self::Substitution => "substitution",
        }
    }

    /// What it does, in one line, with the parameter of each severity.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Typo => typo::SUMMARY,
            Self::Swap => swap::SUMMARY,
            Self::Drop => drop::SUMMARY,
            Self::Negation => negation::SUMMARY,
            Self::Substitution => substitution::SUMMARY,
        }
    }

    /// Whether it asks a network for gradients, and [`TextCorruption::corrupt`] for a guide.
    pub fn is_guided(self) -> bool {
        self == Self::Substitution
    }

    /// The corrupted counterpart of every text in which there is something to change.
    ///
    /// Both sentences of a pair are corrupted, except by negation, which concerns the last one. Negation
    /// knows no severity and no seed, substitution no seed; their variants do not name what they do not
    /// use.
    ///
    /// # Errors
    /// [`DataError::NotClean`] for a text that is already corrupted, [`DataError::NoGuide`] when a guided
    /// corruption gets none, those of [`TextDataset::validate`] and of [`substitution`].
    pub fn corrupt(
        self,
        clean: &TextDataset,
        severity: Severity,
        seed: u64,
        mut guide: Option<&mut Guide<'_>>,
    ) -> Result<CorruptedTexts, DataError> {
        clean.validate()?;
        let variant: Arc<str> = match (self, &guide) {
            (Self::Negation, _) => self.name().into(),
            (Self::Substitution, Some(guide)) => format!("{self}:{severity}:{}", guide.name),
            _ => format!("{self}:{severity}:{seed}"),
        }
        .into();
        let mut corrupted = CorruptedTexts {
            changed: TextDataset {
                examples: Vec::new(),
                classes: clean.classes.clone(),
            },
            unchanged: Vec::new(),
        };
        for example in &clean.examples {
            if &*example.id.variant != CLEAN {
                return Err(DataError::NotClean {
                    example: example.id.clone(),
                });
            }
            let changed = match (self, guide.as_deref_mut()) {
                (Self::Negation, _) => negation::negate_example(example, &clean.classes),
                (Self::Substitution, Some(guide)) => guide.substitute(example, severity)?,
                (Self::Substitution, None) => {
                    return Err(DataError::NoGuide {
                        corruption: self.name(),
                    });
                }
                _ => self.corrupt_sentences(example, severity, seed),
            };
            match changed {
                Some(mut changed) => {
                    changed.id.variant = variant.clone();
                    corrupted.changed.examples.push(changed);
                }
                None => corrupted.unchanged.push(example.id.clone()),
            }
        }
        Ok(corrupted)
    }

    fn corrupt_sentences(
        self,
        example: &TextExample,
        severity: Severity,
        seed: u64,
    ) -> Option<TextExample> {
        let apply = |sentence: &str, which: &[u8]| {
            let mut rng = random::keyed(&[
                &seed.to_le_bytes(),
                self.name().as_bytes(),
                example.id.source.as_bytes(),
                &example.id.index.to_le_bytes(),
                which,
            ]);
            self.apply(sentence, severity, &mut rng)
        };
        let first = apply(&example.first, b"first");
        let second = example
            .second
            .as_ref()
            .and_then(|sentence| apply(sentence, b"second"));
        if first.is_none() && second.is_none() {
            return None;
        }
        Some(TextExample {
            first: first.unwrap_or_else(|| example.first.clone()),
            second: second.or_else(|| example.second.clone()),
            ..example.clone()
        })
    }

    /// A sentence with this corruption; none when there is nothing to change.
    fn apply(self, sentence: &str, severity: Severity, rng: &mut ChaCha8Rng) -> Option<String> {
        match self {
            Self::Typo => typo::typo(sentence, severity, rng),
            Self::Swap => swap::swap(sentence, severity, rng),
            Self::Drop => drop::drop(sentence, severity, rng),
            Self::Negation | Self::Substitution => None,
        }
    }
}

impl fmt::Display for TextCorruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for TextCorruption {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        Self::ALL
            .into_iter()
            .find(|corruption| corruption.name() == name)
            .ok_or_else(|| DataError::UnknownCorruption {
                got: name.to_owned(),
                known: Self::ALL.map(Self::name).join(", "),
            })
    }
}

impl TryFrom<String> for TextCorruption {
    type Error = DataError;

    fn try_from(name: String) -> Result<Self, DataError> {
        name.parse()
    }
}

impl From<TextCorruption> for String {
    fn from(corruption: TextCorruption) -> Self {
        corruption.name().to_owned()
    }
}

#[cfg(test)]
mod tests;
