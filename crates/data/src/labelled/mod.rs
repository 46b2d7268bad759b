//! Labelled sets in files of several formats, as one network takes them.
//!
//! | path | example | label |
//! |---|---|---|
//! | a folder of pictures ([`ImageFolder`](crate::ImageFolder)) | a JPEG or PNG file | its class folder, or `labels.csv` |
//! | an IDX file of images ([`idx`](crate::idx)) | a grey picture | the file of labels beside it, `images` and `idx3` replaced by `labels` and `idx1` |
//! | a `.tsv` file | a sentence or a pair of them | a class by number or name |
//! | a safetensors file | a row of the tensor `inputs`: in `f32` what the network takes, in `u8` a picture | an integer of the tensor `labels` |
//!
//! A label is the number of a network's output. Where a network names its outputs, a class folder or a
//! label of a table may be such a name instead.
//!
//! ```
//! use data::idx::{self, Idx};
//! use data::labelled::{Intake, Reader};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let images = folder.path().join("few-images-idx3-ubyte.gz");
//! idx::write(&images, &Idx { shape: vec![2, 1, 3], values: vec![0, 51, 255, 0, 0, 0] })?;
//! let labels = folder.path().join("few-labels-idx1-ubyte.gz");
//! idx::write(&labels, &Idx { shape: vec![2], values: vec![4, 0] })?;
//!
//! let intake = Intake::Vector { features: 3 };
//! let set = Reader { intake: &intake, classes: 5, class_names: &[], limit: None }.read(&images, None)?;
//! assert_eq!(set.dataset.example(0), [0.0, 0.2, 1.0]);
//! assert_eq!(set.dataset.labels, [4, 0]);
//! # Ok(())
//! # }
//! ```

mod batch;
mod idx_pair;
mod pictures;
mod table;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::{DataError, Dataset, ExampleId, Preprocessing, Tokenizer, spread};

/// What a network takes.
#[derive(Clone, Debug)]
pub enum Intake {
    /// Numbers `[features]`; of a picture its pixels in [0, 1], row after row.
    Vector {
        /// How many.
        features: usize,
    },
    /// Pictures `[3, rows, columns]`.
    Images(Preprocessing),
    /// Token ids and mask, `[2, tokens]`.
    Tokens(Box<Tokenizer>),
}

/// The most examples to read, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The first ones.
    First(usize),
    /// Evenly spaced ones, as [`spread`] has them: a set may be sorted by class.
    Spread(usize),
}

/// Reads sets for one network.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// What the network takes.
    pub intake: &'a Intake,
    /// Number of its outputs.
    pub classes: usize,
    /// Names of its outputs, if it has names.
    pub class_names: &'a [String],
    /// The most examples to read. `None` reads all.
    pub limit: Option<Limit>,
}

/// Examples as a network takes them, and where each comes from.
#[derive(Clone, Debug)]
pub struct LabelledSet {
    /// The examples; `[3, rows, columns]` for pictures, `[2, tokens]` for texts, padded to the longest,
    /// `[features]` for vectors.
    pub dataset: Dataset,
    /// What people call each example: its file, file and line, or file and position.
    pub names: Vec<String>,
    /// Examples that the file or folder holds.
    pub available: usize,
}

impl LabelledSet {
    /// The examples at `indices`, in that order.
    ///
    /// # Errors
    /// [`DataError::Index`] when an index is not below the number of examples.
    pub fn subset(&self, indices: &[usize]) -> Result<Self, DataError> {
        Ok(Self {
            dataset: self.dataset.subset(indices)?,
            names: indices.iter().map(|&i| self.names[i].clone()).collect(),
            available: self.available,
        })
    }
}

impl Reader<'_> {
    /// Reads the set at `path`; `labels` is the file of an IDX file's labels where it has no usual name.
    ///
    /// # Errors
    /// [`DataError::Labelled`] for a path of no format, of one that the network does not take, or without
    /// examples; [`DataError::Label`] for a label that the network has no output for; and those of the
    /// format, which say which file, line, tensor or row is wrong.
    pub fn read(&self, path: &Path, labels: Option<&Path>) -> Result<LabelledSet, DataError> {
        let format = Format::of(path)?;
        if let Some(labels) = labels.filter(|_| format != Format::Idx) {
            let got = labels.display().to_string();
            return Err(wrong(
                path,
                "file of labels",
                "none, except for an IDX file",
                got,
            ));
        }
        let set = match format {
            Format::Folder => pictures::read(self, path),
            Format::Idx => idx_pair::read(self, path, labels),
            Format::Table => table::read(self, path),
            Format::Batch => batch::read(self, path),
        }?;
        if set.dataset.is_empty() {
            return Err(wrong(path, "examples", "at least one", "none"));
        }
        Ok(set)
    }

    /// The positions of the examples that will be read, ascending.
    fn chosen(&self, available: usize) -> Vec<usize> {
        match self.limit {
            None => (0..available).collect(),
            Some(Limit::First(count)) => (0..count.min(available)).collect(),
            Some(Limit::Spread(count)) => spread(available, count),
        }
    }

    /// Pictures in [0, 1] as the network takes them.
    fn pictures(&self, path: &Path, mut pictures: Dataset) -> Result<Dataset, DataError> {
        match self.intake {
            Intake::Vector { features } if pictures.example_len() == *features => {
                pictures.shape = vec![*features];
                Ok(pictures)
            }
            Intake::Vector { features } => {
                let expected = format!("{features} numbers");
                Err(wrong(
                    path,
                    "pictures",
                    expected,
                    format!("{:?}", pictures.shape),
                ))
            }
            Intake::Images(preprocessing) => preprocessing.apply_to(&pictures),
            Intake::Tokens(_) => Err(no_texts(path, "pictures")),
        }
    }

    /// The class that a text stands for: a name of an output, or its number.
    fn class(&self, text: &str) -> Option<usize> {
        let named = self
            .class_names
            .iter()
            .position(|name| same_name(name, text));
        named.or_else(|| text.parse().ok().filter(|&class| class < self.classes))
    }

    /// What [`Reader::class`] takes, for errors.
    fn expected_class(&self) -> String {
        if self.class_names.is_empty() {
            format!("a class below {}", self.classes)
        } else {
            format!(
                "one of {}, or a class below {}",
                self.class_names.join(", "),
                self.classes
            )
        }
    }
}

/// How a set is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Folder,
    Idx,
    Table,
    Batch,
}

impl Format {
    /// Told from the first bytes; a table from the end of its name.
    fn of(path: &Path) -> Result<Self, DataError> {
        if path.is_dir() {
            return Ok(Self::Folder);
        }
        let mut start = Vec::new();
        let file = File::open(path).map_err(|source| io_error(path, source))?;
        file.take(9)
            .read_to_end(&mut start)
            .map_err(|source| io_error(path, source))?;
        let table = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("tsv"));
        match start[..] {
            // The header's length, which the format limits to 10^8, and its first character.
            [_, _, _, _, 0, 0, 0, 0, b'{'] => Ok(Self::Batch),
            [0, 0, 8, ..] | [0x1f, 0x8b, ..] => Ok(Self::Idx),
            _ if table => Ok(Self::Table),
            _ => Err(wrong(
                path,
                "format",
                "a folder of pictures, an IDX or safetensors file, or one that ends in .tsv",
                "neither",
            )),
        }
    }
}

/// The rows at `positions` of a matrix, one after the other.
fn rows<'a, T>(
    matrix: &'a [T],
    width: usize,
    positions: &'a [usize],
) -> impl Iterator<Item = &'a T> {
    let row = move |&i: &usize| &matrix[i * width..(i + 1) * width];
    positions.iter().flat_map(row)
}

/// Identities of the examples at `positions` of a file or folder.
fn identities(path: &Path, positions: &[usize]) -> Result<Vec<ExampleId>, DataError> {
    let clean = ExampleId::clean(path.display().to_string(), 0);
    let identity = |&position: &usize| {
        let index = u32::try_from(position).map_err(|_| DataError::IndexOverflow {
            path: path.to_owned(),
            first_index: 0,
            count: position + 1,
        })?;
        Ok(ExampleId {
            index,
            ..clean.clone()
        })
    };
    positions.iter().map(identity).collect()
}

/// The name `path[i]` of the example at each position `i`.
fn numbered(path: &Path, positions: &[usize]) -> Vec<String> {
    let name = |i| format!("{}[{i}]", path.display());
    positions.iter().map(name).collect()
}

/// Whether two names of a class differ only in case, `-`, `_` and spaces.
fn same_name(a: &str, b: &str) -> bool {
    let plain = |name: &str| name.to_lowercase().replace(['-', '_'], " ");
    plain(a) == plain(b)
}

fn no_texts(path: &Path, got: &str) -> DataError {
    let expected = "sentences in a .tsv file, or tokens in a safetensors file";
    wrong(path, "examples for a network of text", expected, got)
}

fn wrong(
    path: &Path,
    what: &'static str,
    expected: impl Into<String>,
    got: impl Into<String>,
) -> DataError {
    DataError::Labelled {
        path: path.to_owned(),
        what,
        expected: expected.into(),
        got: got.into(),
    }
}

fn io_error(path: &Path, source: std::io::Error) -> DataError {
    DataError::Io {
        path: path.to_owned(),
        source,
    }
}
