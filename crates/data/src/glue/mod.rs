//! GLUE: nine tasks on English sentences and sentence pairs, each with its metrics.
//!
//! Wang et al., "GLUE: A multi-task benchmark and analysis platform for natural language
//! understanding", ICLR 2019. [`Task::info`] is the table of the tasks; [`load`] reads a split from the
//! files of the original distribution (`SST-2/dev.tsv`) or from those of the hub's `nyu-mll/glue`
//! (`sst2/validation-00000-of-00001.parquet`). Both give the same examples under the same identities:
//! source `glue-sst2-validation`, index the position of the row.
//!
//! ```
//! use data::glue::{Metric, Predictions, Split, Task, load};
//! use data::text::Target;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! std::fs::create_dir(folder.path().join("RTE"))?;
//! std::fs::write(
//!     folder.path().join("RTE/dev.tsv"),
//!     "index\tsentence1\tsentence2\tlabel\n\
//!      0\tA \"quoted\" claim.\tA claim.\tentailment\n\
//!      1\tA claim.\tNo claim.\tnot_entailment\n",
//! )?;
//!
//! let rte = load(folder.path(), Task::Rte, Split::Validation)?;
//! assert_eq!(rte.examples[0].first, "A \"quoted\" claim.");
//! assert_eq!(rte.examples[1].target, Target::Class(1));
//!
//! let scores = Task::Rte.score(Predictions::Classes(&[0, 0]), &rte)?;
//! assert_eq!(scores, [(Metric::Accuracy, 0.5)]);
//! # Ok(())
//! # }
//! ```

pub mod metric;
mod parquet;
mod task;
pub(crate) mod tsv;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use self::metric::Metric;
pub use self::task::{Column, Predictions, Task, TaskInfo};
use crate::DataError;
use crate::dataset::ExampleId;
use crate::text::{Target, TextDataset, TextExample};

/// Parts of a task's data. Test targets are not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// For training.
    Train,
    /// For development; of MNLI, in the genres of the training set (matched).
    Validation,
    /// Of MNLI, in other genres than the training set (mismatched).
    ValidationMismatched,
    /// Without targets; of MNLI, matched.
    Test,
    /// Of MNLI, without targets, mismatched.
    TestMismatched,
}

impl Split {
    /// All splits.
    pub const ALL: [Self; 5] = [
        Self::Train,
        Self::Validation,
        Self::ValidationMismatched,
        Self::Test,
        Self::TestMismatched,
    ];

    /// The name, e.g. `validation_mismatched`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::ValidationMismatched => "validation_mismatched",
            Self::Test => "test",
            Self::TestMismatched => "test_mismatched",
        }
    }

    /// The file names without extension in the original distribution and on the hub; none for a
    /// split that `task` does not have.
    fn stems(self, task: Task) -> Option<(&'static str, &'static str)> {
        let mnli = task == Task::Mnli;
        Some(match self {
            Self::Train => ("train", "train"),
            Self::Validation if mnli => ("dev_matched", "validation_matched"),
            Self::Validation => ("dev", "validation"),
            Self::ValidationMismatched if mnli => ("dev_mismatched", "validation_mismatched"),
            Self::Test if mnli => ("test_matched", "test_matched"),
            Self::Test => ("test", "test"),
            Self::TestMismatched if mnli => ("test_mismatched", "test_mismatched"),
            Self::ValidationMismatched | Self::TestMismatched => return None,
        })
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Split {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        Self::ALL
            .into_iter()
            .find(|split| split.name() == name)
            .ok_or_else(|| DataError::UnknownGlue {
                what: "split",
                got: name.to_owned(),
                known: Self::ALL.map(Self::name).join(", "),
            })
    }
}

/// A split of a task below `folder`: the first there is of `{SST-2}/{dev}.tsv`,
/// `{sst2}/{validation}.parquet` and the shards `{sst2}/{validation}-00000-of-00001.parquet`.
///
/// # Errors
/// [`DataError::GlueFiles`] without these files or with a missing shard, [`DataError::Io`];
/// [`DataError::TableColumns`], [`DataError::TableWidth`], [`DataError::TableCell`] and
/// [`DataError::Parquet`] say which file, line, column and value is wrong.
pub fn load(folder: &Path, task: Task, split: Split) -> Result<TextDataset, DataError> {
    let rows = read(folder, task, split)?;
    let examples = rows.into_iter().collect::<Result<_, _>>()?;
    Ok(dataset(task, examples))
}

/// Like [`load`], without the damaged rows, whose errors come with the dataset: some copies of QQP have
/// lines that were cut in two. The other rows keep the identities that their positions give them.
///
/// # Errors
/// Those of [`load`] that concern more than a row.
pub fn load_undamaged(
    folder: &Path,
    task: Task,
    split: Split,
) -> Result<(TextDataset, Vec<DataError>), DataError> {
    let (mut examples, mut damage) = (Vec::new(), Vec::new());
    for row in read(folder, task, split)? {
        match row {
            Ok(example) => examples.push(example),
            Err(error) => damage.push(error),
        }
    }
    Ok((dataset(task, examples), damage))
}

fn dataset(task: Task, examples: Vec<TextExample>) -> TextDataset {
    let classes = task.info().classes.iter();
    TextDataset {
        examples,
        classes: classes.map(|&class| class.to_owned()).collect(),
    }
}

/// A row as a file states it; its position becomes its identity.
struct Row {
    first: String,
    second: Option<String>,
    target: Target,
}

/// Rows of which one can be wrong without the others.
type Rows = Vec<Result<Row, DataError>>;

fn read(
    folder: &Path,
    task: Task,
    split: Split,
) -> Result<Vec<Result<TextExample, DataError>>, DataError> {
    let (rows, path) = match files(folder, task, split)? {
        Files::Tsv(path) => (tsv::read(&path, task, split)?, path),
        Files::Parquet(paths) => {
            let mut rows = Vec::new();
            for path in &paths {
                rows.extend(parquet::read(path, task)?);
            }
            (rows, folder.join(task.name()))
        }
    };
    let source: std::sync::Arc<str> = format!("glue-{task}-{split}").into();
    if u32::try_from(rows.len()).is_err() {
        return Err(DataError::IndexOverflow {
            path,
            first_index: 0,
            count: rows.len(),
        });
    }
    let example = |(index, row): (u32, Result<Row, DataError>)| {
        row.map(|row| TextExample {
            first: row.first,
            second: row.second,
            target: row.target,
            id: ExampleId::clean(source.clone(), index),
        })
    };
    Ok((0..).zip(rows).map(example).collect())
}

enum Files {
    Tsv(PathBuf),
    Parquet(Vec<PathBuf>),
}

fn files(folder: &Path, task: Task, split: Split) -> Result<Files, DataError> {
    let missing = |expected: String| DataError::GlueFiles {
        path: folder.to_owned(),
        split: format!("{task} {split}"),
        expected,
    };
    let Some((original, hub)) = split.stems(task) else {
        return Err(missing("a split that the task has".to_owned()));
    };
    let tsv = folder
        .join(task.info().folder)
        .join(format!("{original}.tsv"));
    if tsv.exists() {
        return Ok(Files::Tsv(tsv));
    }
    let hub_folder = folder.join(task.name());
    let whole = hub_folder.join(format!("{hub}.parquet"));
    if whole.exists() {
        return Ok(Files::Parquet(vec![whole]));
    }
    let Some(shards) = shard_count(&hub_folder, hub) else {
        return Err(missing(format!(
            "{}/{original}.tsv or {task}/{hub}-00000-of-00001.parquet",
            task.info().folder
        )));
    };
    let shard = |i| format!("{hub}-{i:05}-of-{shards:05}.parquet");
    for i in 0..shards {
        if !hub_folder.join(shard(i)).exists() {
            return Err(missing(format!("{task}/{}", shard(i))));
        }
    }
    Ok(Files::Parquet(
        (0..shards).map(|i| hub_folder.join(shard(i))).collect(),
    ))
}

/// The number of shards that the name of any one of them states; the largest, if they disagree.
fn shard_count(folder: &Path, stem: &str) -> Option<u32> {
    let count = |name: &str| {
        let numbers = name.strip_prefix(stem)?.strip_prefix('-')?;
        let (_, count) = numbers.strip_suffix(".parquet")?.split_once("-of-")?;
        count.parse().ok().filter(|&count| count > 0)
    };
    let names = std::fs::read_dir(folder).ok()?;
    names
        .filter_map(|entry| count(entry.ok()?.file_name().to_str()?))
        .max()
}

#[cfg(test)]
mod tests;
