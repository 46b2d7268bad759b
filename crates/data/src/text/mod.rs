//! Sentences and sentence pairs: datasets, WordPiece token ids, corruptions.
//!
//! ```
//! use data::text::{Target, TextCorruption, TextDataset, TextExample};
//! use data::{ExampleId, Severity};
//!
//! # fn main() -> Result<(), data::DataError> {
//! let clean = TextDataset::new(
//!     vec![TextExample {
//!         first: "it is a gripping , intelligent thriller .".into(),
//!         second: None,
//!         target: Target::Class(1),
//!         id: ExampleId::clean("reviews", 0),
//!     }],
//!     vec!["negative".into(), "positive".into()],
//! )?;
//!
//! let severity = Severity::try_from(1)?;
//! let negated = TextCorruption::Negation.corrupt(&clean, severity, 0, None)?.changed;
//! assert_eq!(negated.examples[0].first, "it is not a gripping , intelligent thriller .");
//! assert_eq!(negated.examples[0].target, Target::Class(0));
//! # Ok(())
//! # }
//! ```

pub mod corruption;
mod dataset;
mod tokenize;
mod words;

pub use corruption::substitution::{EmbeddingGradient, Guide};
pub use corruption::{CorruptedTexts, TextCorruption};
pub use dataset::{Target, TextDataset, TextExample};
pub use tokenize::{Casing, TokenBatch, Tokenizer};

#[cfg(test)]
pub(crate) mod tests;
