//! Labelled sets in files of several formats, as one network takes them.
//!
//! | path | example | label |
//! |---|---|---|
//! | a folder of pictures ([`crate::image::listing`]) | a picture of any known format | the first folder below the root, or a table of labels in it |
//! | a parquet file, or a folder of its shards | a picture or texts of a row | a column |
//! | an IDX file ([`idx`](crate::idx)) | bytes: a grey picture; other numbers: what the network takes | the file of labels beside it |
//! | a `.npy` file; two arrays of an `.npz` file | bytes and booleans: a picture; other numbers: what the network takes | the file of labels beside it; the other array |
//! | a safetensors file | a row of the tensor `inputs`, as in `.npy` files | a row of the tensor `labels` |
//! | a `.tsv`, `.csv` or `.jsonl` file, for a network of text | a sentence or a pair of them | a column |
//! | a `.csv` or `.tsv` file, for a network of numbers | the numbers of a line | a column |
//!
//! `INPUTS,LABELS` names the labels of any of them ([`inputs_and_labels`]). All but folders and parquet
//! files may be packed with gzip, except safetensors and `.npz` files.
//!
//! A set is read in two steps. [`Reader::open`] finds the examples, their names and their labels;
//! [`ClassTable::new`] understands the labels of *all* sets of a command as answers of the network; and
//! [`OpenSet::read`] reads those examples that are asked for:
//!
//! ```
//! use data::idx::{self, Idx};
//! use data::labelled::{ClassTable, Intake, Options, Outputs, Reader};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let images = folder.path().join("few-images-idx3-ubyte.gz");
//! idx::write(&images, &Idx { shape: vec![2, 1, 3], values: vec![0, 51, 255, 0, 0, 0] })?;
//! let labels = folder.path().join("few-labels-idx1-ubyte.gz");
//! idx::write(&labels, &Idx { shape: vec![2], values: vec![4, 0] })?;
//!
//! let intake = Intake::Vector { features: 3 };
//! let reader = Reader { intake: &intake, classes: 5, class_names: &[], limit: None };
//! let open = reader.open(&images, &Options::default())?;
//! let table = ClassTable::new(&Outputs::new(5, &[]), &[&open])?;
//! let first = open.read(&[0], &table)?;
//! assert_eq!(first.dataset.example(0), [0.0, 0.2, 1.0]);
//! assert_eq!(first.dataset.labels, [4]);
//!
//! // The same for one set alone.
//! assert_eq!(reader.read(&images, None)?.dataset.labels, [4, 0]);
//! # Ok(())
//! # }
//! ```

mod arrays;
mod beside;
mod classes;
mod columns;
mod explain;
mod format;
mod names;
mod numbers;
mod open;
mod parquet;
mod passed;
mod picture_labels;
mod pictures;
mod raw;
mod rows;
mod set;
mod shards;
mod texts;

use std::path::{Path, PathBuf};

pub use self::beside::labels_beside;
pub use self::classes::{ClassTable, MAX_SEVERAL, Outputs, TableRow};
pub use self::columns::Columns;
pub use self::explain::{Chance, Explanation, LUCK, OtherReading, against_chance, explain_labels};
use self::format::Format;
pub use self::names::Names;
pub use self::open::OpenSet;
pub use self::passed::{PassedOver, Reason};
pub use self::raw::{Distinct, RawLabel, RawLabels};
pub use self::set::LabelledSet;
use crate::error::{SetError, wrong};
use crate::glue::Task;
use crate::{DataError, Preprocessing, Tokenizer};

/// The most examples of a set: ten millions. Each costs about two hundred bytes besides its inputs: its
/// label, its identity, its place in lists.
pub const MAX_EXAMPLES: usize = 10_000_000;

/// Bytes of inputs that [`Options`] allow at a time, if they say nothing else: 4 GiB.
pub const MAX_BYTES: u64 = 1 << 32;

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
    /// Evenly spaced ones, as [`spread`](crate::spread) has them: a set may be sorted by class.
    Spread(usize),
}

/// What happens to examples without a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unlabelled {
    /// The set is refused.
    #[default]
    Refuse,
    /// They are passed over.
    PassOver,
    /// They are kept with the label [`UNLABELLED`](crate::UNLABELLED).
    Keep,
}

/// How a set is opened and read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The file of the labels, where it has no usual name.
    pub labels: Option<PathBuf>,
    /// The columns, tensors or arrays, where they have no usual names.
    pub columns: Option<Columns>,
    /// The task of GLUE that the set belongs to, which tells what its numbers are called.
    pub task: Option<Task>,
    /// What happens to examples without a label.
    pub unlabelled: Unlabelled,
    /// Whether examples that cannot be read are passed over.
    pub skip_unreadable: bool,
    /// The most bytes of inputs that one call reads.
    pub max_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            labels: None,
            columns: None,
            task: None,
            unlabelled: Unlabelled::default(),
            skip_unreadable: false,
            max_bytes: MAX_BYTES,
        }
    }
}

/// Reads sets for one network.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// What the network takes.
    pub intake: &'a Intake,
    /// Number of its answers.
    pub classes: usize,
    /// Names of its answers, if it has names.
    pub class_names: &'a [String],
    /// The most examples that [`Reader::read`] reads. `None` reads all.
    pub limit: Option<Limit>,
}

impl<'a> Reader<'a> {
    /// Opens the set at `path`: its examples, their names and their labels, without reading an input.
    ///
    /// # Errors
    /// [`DataError::Labelled`] for a path of no format, of one that the network does not take, or without
    /// examples; [`SetError::Unlabelled`](crate::SetError::Unlabelled) for missing labels, unless the
    /// options allow them; for rows that cannot be read the cause, or
    /// [`SetError::Unreadable`](crate::SetError::Unreadable) with all of them; and those of the files.
    pub fn open(&self, path: &Path, options: &Options) -> Result<OpenSet<'a>, DataError> {
        let opened = match Format::of(path)? {
            Format::Folder => match shards::in_folder(path)? {
                Some(shards) => parquet::open(self.intake, path, shards, options),
                None => pictures::open(self.intake, path, options),
            },
            Format::Parquet => parquet::open(self.intake, path, shards::alone(path), options),
            Format::Idx => arrays::idx(self.intake, path, options),
            Format::Npy => arrays::npy(self.intake, path, options),
            Format::Npz => arrays::npz(self.intake, path, options),
            Format::Safetensors => arrays::safetensors(self.intake, path, options),
            Format::Table(separator) => match self.intake {
                Intake::Tokens(_) => texts::table(path, separator, options),
                _ => numbers::open(self.intake, path, separator, options),
            },
            Format::JsonLines => match self.intake {
                Intake::Tokens(_) => texts::json_lines(path, options),
                _ => Err(no_numbers(path, "lines of JSON")),
            },
        }?;
        OpenSet::new(path, self.intake, opened, options)
    }

    /// Opens and reads the set at `path`, its labels understood by themselves; `labels` is the file of
    /// the labels where it has no usual name.
    ///
    /// # Errors
    /// Those of [`Reader::open`], [`ClassTable::new`] and [`OpenSet::read`].
    pub fn read(&self, path: &Path, labels: Option<&Path>) -> Result<LabelledSet, DataError> {
        let options = Options {
            labels: labels.map(Path::to_owned),
            ..Options::default()
        };
        let open = self.open(path, &options)?;
        let table = ClassTable::new(&Outputs::new(self.classes, self.class_names), &[&open])?;
        let mut set = open.read(&open.positions(self.limit), &table)?;
        let mut passed_over = open.passed_over().clone();
        passed_over.merge(set.passed_over);
        set.passed_over = passed_over;
        Ok(set)
    }
}

/// A path, or `INPUTS,LABELS` when there is no file of that name: the second is the file of labels. Of
/// several commas the first one counts that stands between two paths that there are.
pub fn inputs_and_labels(given: &Path) -> (PathBuf, Option<PathBuf>) {
    let text = given.to_str().filter(|_| !given.exists());
    let parts: Vec<(PathBuf, PathBuf)> = text
        .into_iter()
        .flat_map(|text| {
            text.match_indices(',')
                .map(move |(at, _)| text.split_at(at))
        })
        .map(|(inputs, labels)| (inputs.into(), labels[1..].into()))
        .collect();
    let exist = |(inputs, labels): &&(PathBuf, PathBuf)| inputs.exists() && labels.exists();
    match parts.iter().find(exist).or(parts.first()) {
        Some((inputs, labels)) => (inputs.clone(), Some(labels.clone())),
        None => (given.to_owned(), None),
    }
}

/// Refuses a set of too many examples, before anything is made for each.
pub(crate) fn expect_few(path: &Path, got: usize) -> Result<(), DataError> {
    if got <= MAX_EXAMPLES {
        return Ok(());
    }
    Err(DataError::Set(SetError::TooMany {
        path: path.to_owned(),
        most: MAX_EXAMPLES,
        got,
    }))
}

fn no_texts(path: &Path, got: &str) -> DataError {
    let expected = "sentences in a .tsv, .csv, .jsonl or parquet file, or tokens in a safetensors or \
                    .npy file";
    wrong(path, "examples for a network of text", expected, got)
}

fn no_numbers(path: &Path, got: &str) -> DataError {
    let expected = "pictures, or numbers in an IDX, .npy, .npz, safetensors or .csv file";
    wrong(path, "examples for a network of numbers", expected, got)
}
