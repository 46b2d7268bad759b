//! Datasets, seeded corruptions and disjoint splits.
//!
//! A dataset is a finite set of labelled examples with identities,
//!
//! ```text
//! D = { (x_i, y_i, id_i) },   x_i in R^d,   y_i in {0, .., classes - 1},
//! id  = (source, index, variant),
//! ```
//!
//! where `(source, index)` names the underlying image and `variant` what was done to it: `clean`, or
//! a corruption at a severity under a seed. A corruption maps images to images,
//! `c(x; severity, seed, source, index)`, so an image is corrupted the same way alone, in a subset or
//! in the whole set. Splits are subsets that share no `id`, and the identities are what a result file
//! records.
//!
//! ```
//! use data::{Corruption, Dataset, ExampleId, Splits, sample};
//!
//! # fn main() -> Result<(), data::DataError> {
//! let images = 20;
//! let clean = Dataset::new(
//!     vec![784],
//!     vec![0.25; images * 784],
//!     vec![7; images],
//!     10,
//!     (0..images as u32).map(|i| ExampleId::clean("drawn", i)).collect(),
//! )?;
//!
//! let fog = Corruption::Fog.corrupt(&clean, None, 1)?;
//! assert_eq!(fog.ids[3].to_string(), "drawn[3] fog:5:1");
//!
//! let repair = fog.subset(&sample(fog.len(), 8, 42)?)?;
//! let splits = Splits::new([("repair", &repair), ("drawdown", &clean)])?;
//! assert_eq!(splits.shared_images("repair", "drawdown")?.len(), 8);
//! # Ok(())
//! # }
//! ```
//!
//! Supported:
//!
//! - IDX files, plain or gzip ([`idx`]); MNIST in that format ([`mnist`]);
//! - JPEG, PNG, WebP, BMP, GIF, TIFF and PNM pictures in class folders, in a folder with a table, or in
//!   parquet files, with the preprocessing of torchvision, timm and transformers ([`image`]);
//! - the corruptions of MNIST-C and ImageNet-C that [`Corruption`] lists, for pictures of any size, and
//!   FGSM and PGD attacks on any network that gives a gradient ([`adversarial`]);
//! - sentences and sentence pairs: WordPiece token ids, and typos, swaps, drops, negations and
//!   substitutions guided by a network ([`text`]);
//! - the nine tasks of GLUE from TSV and parquet files, with their metrics ([`glue`]);
//! - labelled sets in any of these formats, in NumPy's files, safetensors batches, CSV and lines of
//!   JSON, as one network takes them, their labels understood as its answers ([`labelled`]);
//! - disjoint named splits and seeded samples that are the same on every platform ([`split`]).
//!
//! Not supported: other picture formats, augmentation, texts in other languages than English where a
//! corruption knows words, subword models other than WordPiece, pickles, HDF5 and MATLAB files,
//! parquet pages that are packed by anything but Snappy, downloads.

pub mod adversarial;
mod array;
pub mod corruption;
pub mod dataset;
mod error;
mod file;
pub mod glue;
pub mod idx;
pub mod image;
pub mod labelled;
pub mod mnist;
mod parquet_guard;
mod random;
pub mod split;
pub mod text;

pub use corruption::{Corruption, Severity};
pub use dataset::{Dataset, ExampleId, UNLABELLED};
pub use error::{DataError, SetError};
pub use image::{ImageFolder, ImageSource, ParquetImages, Preprocessing};
pub use labelled::{ClassTable, Intake, LabelledSet, OpenSet};
pub use split::{Splits, draw, sample, spread};
pub use text::{TextCorruption, TextDataset, TokenBatch, Tokenizer};
