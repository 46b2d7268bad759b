//! A set whose labels are known and whose inputs are not read yet.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::classes::ClassTable;
use super::names::{Names, Naming};
use super::passed::PassedOver;
use super::raw::{RawLabel, RawLabels};
use super::{Intake, LabelledSet, Limit, Options, Unlabelled, expect_few};
use crate::dataset::UNLABELLED;
use crate::error::{SHOWN, SetError, wrong};
use crate::glue::Task;
use crate::{DataError, Dataset, ExampleId, spread};

/// What unreadable examples are called among those passed over.
const UNREADABLE: &str = "unreadable examples";

/// Where the inputs of a set are.
pub(super) trait Source: fmt::Debug + Send + Sync {
    /// The inputs of the rows at `positions`, as the network takes them, not more than `most` numbers.
    /// A row that cannot be read is an entry of the result and not an error.
    fn read(&self, positions: &[usize], intake: &Intake, most: Most) -> Result<Inputs, DataError>;

    /// Numbers of one input, if that is known before one is read.
    fn input_len(&self, intake: &Intake) -> Option<usize>;
}

/// The most bytes of inputs, and of how many examples they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    pub(super) bytes: u64,
    pub(super) examples: usize,
}

impl Most {
    /// Refuses examples of `len` numbers when all of them would take too many bytes.
    pub(super) fn check(self, path: &Path, len: usize) -> Result<(), DataError> {
        let each = (len as u64).saturating_mul(size_of::<f32>() as u64);
        if each.saturating_mul(self.examples as u64) <= self.bytes {
            return Ok(());
        }
        Err(DataError::Set(SetError::Memory {
            path: path.to_owned(),
            examples: self.examples,
            each,
            limit: self.bytes,
        }))
    }
}

/// Inputs of one shape, one after the other.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
    /// Rows that cannot be read, ascending positions in the request; their inputs are left out.
    pub(super) unreadable: Vec<(usize, DataError)>,
}

/// Rows that cannot be read, and what is wrong with the first ones.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    pub(super) rows: Vec<usize>,
    causes: Vec<DataError>,
}

impl Unreadable {
    pub(super) fn add(&mut self, row: usize, cause: DataError) {
        self.rows.push(row);
        if self.causes.len() < SHOWN {
            self.causes.push(cause);
        }
    }

    /// The label of a row, none where it cannot be read.
    pub(super) fn label(&mut self, row: usize, label: Result<RawLabel, DataError>) -> RawLabel {
        label.unwrap_or_else(|cause| {
            self.add(row, cause);
            RawLabel::Absent
        })
    }

    /// Adds other rows of the same file.
    pub(super) fn merge(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.rows.sort_unstable();
        self.rows.dedup();
        let room = SHOWN - self.causes.len().min(SHOWN);
        self.causes.extend(other.causes.into_iter().take(room));
    }

    /// One error for all: the cause itself when there is one.
    fn into_error(mut self, path: &Path, examples: usize) -> DataError {
        if self.rows.len() == 1
            && let Some(cause) = self.causes.pop()
        {
            return cause;
        }
        DataError::Set(SetError::Unreadable {
            path: path.to_owned(),
            count: self.rows.len(),
            examples,
            causes: self.causes,
        })
    }

    fn pass_over(self, passed_over: &mut PassedOver, name: impl Fn(usize) -> String) {
        let mut causes = self.causes.into_iter();
        for row in self.rows {
            let cause = causes.next();
            passed_over.add(UNREADABLE, || match cause {
                Some(cause) => cause.to_string(),
                None => name(row),
            });
        }
    }
}

/// What opening a file or folder finds.
pub(super) struct Opened {
    /// What kind of set this is, e.g. `IDX file`.
    pub(super) format: &'static str,
    pub(super) source: Box<dyn Source>,
    /// The label of every row, those that cannot be read included.
    pub(super) labels: RawLabels,
    pub(super) naming: Naming,
    pub(super) passed_over: PassedOver,
    /// What was assumed or chosen, in sentences.
    pub(super) notes: Vec<String>,
    pub(super) unreadable: Unreadable,
    /// The task of GLUE that names and columns tell.
    pub(super) task: Option<Task>,
}

/// A set of which the format, the number of examples, their names and labels are known, and no input is
/// read.
///
/// Positions count the examples that can be read, from 0; an example keeps the identity that its place
/// in the file gives it.
pub struct OpenSet<'a> {
    path: PathBuf,
    intake: &'a Intake,
    format: &'static str,
    source: Box<dyn Source>,
    labels: RawLabels,
    naming: Arc<Naming>,
    /// The row of each position, where rows are left out.
    rows: Option<Vec<u32>>,
    available: usize,
    passed_over: PassedOver,
    notes: Vec<String>,
    task: Option<Task>,
    skip_unreadable: bool,
    max_bytes: u64,
}

impl<'a> OpenSet<'a> {
    pub(super) fn new(
        path: &Path,
        intake: &'a Intake,
        opened: Opened,
        options: &Options,
    ) -> Result<Self, DataError> {
        let available = opened.labels.len();
        expect_few(path, available)?;
        if u32::try_from(available).is_err() {
            return Err(DataError::IndexOverflow {
                path: path.to_owned(),
                first_index: 0,
                count: available,
            });
        }
        let mut set = Self {
            path: path.to_owned(),
            intake,
            format: opened.format,
            source: opened.source,
            labels: opened.labels,
            naming: Arc::new(opened.naming),
            rows: None,
            available,
            passed_over: opened.passed_over,
            notes: opened.notes,
            task: options.task.or(opened.task),
            skip_unreadable: options.skip_unreadable,
            max_bytes: options.max_bytes,
        };
        if let Some(task) = set.task.filter(|task| !task.info().classes.is_empty())
            && set.labels.number_names().is_none()
        {
            let names = task.info().classes.iter().map(|&name| name.to_owned());
            set.labels.name_numbers(names.collect::<Vec<_>>());
        }
        set.leave_out_unreadable(opened.unreadable)?;
        set.expect_labels(options.unlabelled)?;
        if set.is_empty() {
            return Err(wrong(path, "examples", "at least one", "none"));
        }
        Ok(set)
    }

    fn leave_out_unreadable(&mut self, unreadable: Unreadable) -> Result<(), DataError> {
        if unreadable.rows.is_empty() {
            return Ok(());
        }
        if !self.skip_unreadable {
            return Err(unreadable.into_error(&self.path, self.available));
        }
        // Ascending, as the readers find them.
        let left_out = unreadable.rows.clone();
        self.keep(|row| left_out.binary_search(&row).is_err());
        let naming = Arc::clone(&self.naming);
        unreadable.pass_over(&mut self.passed_over, |row| naming.name(row));
        Ok(())
    }

    fn expect_labels(&mut self, unlabelled: Unlabelled) -> Result<(), DataError> {
        let Some((count, first)) = self.labels.unlabelled() else {
            return Ok(());
        };
        match unlabelled {
            Unlabelled::Keep => Ok(()),
            Unlabelled::Refuse => Err(DataError::Set(SetError::Unlabelled {
                path: self.path.clone(),
                count,
                examples: self.len(),
                first: self.name(first),
            })),
            Unlabelled::PassOver => {
                let labels = std::mem::take(&mut self.labels);
                let mut kept = vec![];
                for i in 0..labels.len() {
                    let row = self.row(i);
                    match labels.get(i) {
                        RawLabel::Absent => {
                            let name = || self.naming.name(row);
                            self.passed_over.add("unlabelled examples", name);
                        }
                        _ => kept.push(i),
                    }
                }
                self.labels = labels.subset(kept.iter().copied());
                self.rows = Some(kept.into_iter().map(|i| self.row(i) as u32).collect());
                Ok(())
            }
        }
    }

    /// Keeps the rows that `kept` says; none was left out before.
    fn keep(&mut self, kept: impl Fn(usize) -> bool) {
        let rows: Vec<u32> = (0..self.available as u32)
            .filter(|&row| kept(row as usize))
            .collect();
        self.labels = self.labels.subset(rows.iter().map(|&row| row as usize));
        self.rows = Some(rows);
    }

    /// The row of the file at a position.
    fn row(&self, position: usize) -> usize {
        match &self.rows {
            None => position,
            Some(rows) => rows
                .get(position)
                .map_or(self.available, |&row| row as usize),
        }
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of set this is, e.g. `IDX file`.
    pub fn format(&self) -> &'static str {
        self.format
    }

    /// Number of examples that can be read.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no example. A set without examples cannot be opened.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Examples that the file or folder holds, those that are passed over included.
    pub fn available(&self) -> usize {
        self.available
    }

    /// What people call the example at a position.
    pub fn name(&self, position: usize) -> String {
        self.naming.name(self.row(position))
    }

    /// The labels as the file states them.
    pub fn labels(&self) -> &RawLabels {
        &self.labels
    }

    /// What opening passed over, by reason.
    pub fn passed_over(&self) -> &PassedOver {
        &self.passed_over
    }

    /// What was assumed or chosen because the file does not say it, in sentences: the columns, the file
    /// of labels, the meaning of bytes.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The task of GLUE that was given, or that path and columns tell.
    pub fn task(&self) -> Option<Task> {
        self.task
    }

    /// What the network takes.
    pub fn intake(&self) -> &'a Intake {
        self.intake
    }

    /// The positions that a limit asks for, ascending.
    pub fn positions(&self, limit: Option<Limit>) -> Vec<usize> {
        match limit {
            None => (0..self.len()).collect(),
            Some(Limit::First(count)) => (0..count.min(self.len())).collect(),
            Some(Limit::Spread(count)) => spread(self.len(), count),
        }
    }

    /// Reads the examples at `positions`, in that order.
    ///
    /// # Errors
    /// [`DataError::Index`] for a position that there is not; [`SetError::Memory`] when the inputs would
    /// take more bytes than the options allow; [`SetError::Classes`] for a label that `table` does not
    /// have; the cause, or [`SetError::Unreadable`] with the first ten causes, for examples that cannot
    /// be read, unless the options say to go on without them; those of the files.
    pub fn read(&self, positions: &[usize], table: &ClassTable) -> Result<LabelledSet, DataError> {
        if let Some(&index) = positions.iter().find(|&&index| index >= self.len()) {
            let len = self.len();
            return Err(DataError::Index { index, len });
        }
        let most = Most {
            bytes: self.max_bytes,
            examples: positions.len(),
        };
        // The least that an example takes, whatever its inputs are.
        most.check(&self.path, self.source.input_len(self.intake).unwrap_or(1))?;
        let rows: Vec<usize> = positions
            .iter()
            .map(|&position| self.row(position))
            .collect();
        let inputs = self.source.read(&rows, self.intake, most)?;
        let mut unreadable = Unreadable::default();
        for (at, cause) in inputs.unreadable {
            unreadable.add(at, cause);
        }
        let read = |at: &usize| unreadable.rows.binary_search(at).is_err();
        let read: Vec<usize> = (0..rows.len()).filter(read).collect();
        let mut passed_over = PassedOver::default();
        if !unreadable.rows.is_empty() {
            if !self.skip_unreadable {
                return Err(unreadable.into_error(&self.path, positions.len()));
            }
            unreadable.pass_over(&mut passed_over, |at| self.naming.name(rows[at]));
        }
        let label = |&at: &usize| self.answer(positions[at], table);
        let labels = read.iter().map(label).collect::<Result<_, _>>()?;
        let rows: Vec<u32> = read.iter().map(|&at| rows[at] as u32).collect();
        let ids = self.identities(&rows);
        Ok(LabelledSet {
            dataset: Dataset::new(inputs.shape, inputs.values, labels, table.answers(), ids)?,
            names: Names::new(Arc::clone(&self.naming), rows),
            available: self.available,
            passed_over,
            padding: match self.intake {
                Intake::Tokens(tokenizer) => Some(tokenizer.pad_id() as f32),
                _ => None,
            },
        })
    }

    fn identities(&self, rows: &[u32]) -> Vec<ExampleId> {
        let clean = ExampleId::clean(self.path.display().to_string(), 0);
        let id = |&index: &u32| ExampleId {
            index,
            ..clean.clone()
        };
        rows.iter().map(id).collect()
    }

    /// Reads the examples at `positions` in blocks of `size`, the last one smaller, each when it is asked
    /// for; a `size` of 0 counts as 1. What is not asked for is not read.
    pub fn blocks<'s>(
        &'s self,
        positions: &'s [usize],
        size: usize,
        table: &'s ClassTable,
    ) -> impl Iterator<Item = Result<LabelledSet, DataError>> + 's {
        let block = move |block: &'s [usize]| self.read(block, table);
        positions.chunks(size.max(1)).map(block)
    }

    fn answer(&self, position: usize, table: &ClassTable) -> Result<usize, DataError> {
        let label = self.labels.get(position);
        if *label == RawLabel::Absent {
            return Ok(UNLABELLED);
        }
        table.answer(label).ok_or_else(|| {
            DataError::Set(SetError::Classes {
                expected: "one that the table of classes has".to_owned(),
                got: vec![format!("{label} ({})", self.name(position))],
                others: 0,
                hint: String::new(),
            })
        })
    }
}

impl fmt::Debug for OpenSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSet")
            .field("path", &self.path)
            .field("format", &self.format)
            .field("len", &self.len())
            .field("available", &self.available)
            .field("passed_over", &self.passed_over)
            .finish_non_exhaustive()
    }
}
