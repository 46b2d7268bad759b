//! The sets of a command, opened together: their labels are understood in one way before any input is read.

use std::path::{Path, PathBuf};

use data::labelled::{
    ClassTable, Limit, OpenSet, Options, Outputs, PassedOver, Reader, Unlabelled, inputs_and_labels,
};
use data::{Dataset, LabelledSet};
use network::AnswerRule;
use serde::Serialize;

use super::arguments::SourceArguments;
use super::sets::{HeldOut, PointSet};
use super::subject::Subject;
use crate::error::{ExperimentError, Result, prepare};
use crate::progress::Progress;
use crate::table::counted;

/// The most labels whose classes are printed.
const SHOWN_LABELS: usize = 20;

/// Inputs that are classified at a time where the wrong ones are searched.
const BLOCK: usize = 256;

/// Repair points on which two readings of an ONNX file are compared before any work.
const READ_TWICE: usize = 3;

/// The sets beside the repair set, by their flags.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Files<'a> {
    pub(crate) guard: Option<&'a Path>,
    pub(crate) clean: Option<&'a Path>,
    pub(crate) similar: Option<&'a Path>,
}

/// A set that is open, as it was named.
struct Named<'a> {
    given: PathBuf,
    what: &'static str,
    open: OpenSet<'a>,
}

/// The sets of a command, whose inputs are not read yet.
pub(crate) struct OpenSets<'a> {
    arguments: &'a SourceArguments,
    files: Files<'a>,
    subject: &'a Subject,
    guard_unlabelled: Unlabelled,
}

/// The same, with the one reading of all labels.
pub(crate) struct Understood<'a> {
    arguments: &'a SourceArguments,
    subject: &'a Subject,
    repair: Named<'a>,
    guard: Option<Named<'a>>,
    clean: Option<Named<'a>>,
    similar: Option<Named<'a>>,
    table: ClassTable,
}

/// How the labels and files of all sets were understood; for reports.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reading {
    /// What each label stands for.
    pub(crate) labels: ClassTable,
    /// What was chosen because a file does not say it.
    pub(crate) sets: Vec<String>,
    /// What was not read, of each set that left something out.
    pub(crate) passed_over: Vec<(String, PassedOver)>,
}

impl<'a> OpenSets<'a> {
    pub(crate) fn open(
        arguments: &'a SourceArguments,
        files: Files<'a>,
        subject: &'a Subject,
    ) -> Result<Self> {
        Ok(Self {
            arguments,
            files,
            subject,
            guard_unlabelled: Unlabelled::Refuse,
        })
    }

    /// The guard set may lack labels: then its answers are compared, and not judged.
    pub(crate) fn guarding_unlabelled(self) -> Result<Self> {
        Ok(Self {
            guard_unlabelled: Unlabelled::Keep,
            ..self
        })
    }

    /// Opens every file, understands the labels of all of them together and says how.
    ///
    /// # Errors
    /// [`ExperimentError::Prepare`] for a set that cannot be opened, [`ExperimentError::Usage`] for labels
    /// that are none of the network's.
    pub(crate) fn understood(self, progress: &Progress) -> Result<Understood<'a>> {
        let Self {
            arguments,
            files,
            subject,
            guard_unlabelled,
        } = self;
        let named = |path: &Path, what, clean: bool, unlabelled| -> Result<Named<'a>> {
            let (path_of_inputs, labels) = inputs_and_labels(path);
            let options = Options {
                labels,
                columns: arguments.columns.clone(),
                unlabelled,
                skip_unreadable: arguments.skip_unreadable,
                ..Options::default()
            };
            let reader = Reader {
                intake: if clean {
                    subject.clean_intake()
                } else {
                    subject.intake()
                },
                classes: subject.network.classes(),
                class_names: subject.class_names(),
                limit: None,
            };
            let what_failed = || format!("{what} {}", path.display());
            let open = reader
                .open(&path_of_inputs, &options)
                .map_err(prepare(what_failed))?;
            Ok(Named {
                given: path.to_owned(),
                what,
                open,
            })
        };
        let refuse = Unlabelled::Refuse;
        let optional = |path: Option<&Path>, what, clean, unlabelled| {
            path.map(|path| named(path, what, clean, unlabelled))
                .transpose()
        };
        let repair = named(&arguments.repair, "repair set", false, refuse)?;
        let guard = optional(files.guard, "guard set", true, guard_unlabelled)?;
        let clean = optional(files.clean, "clean inputs", true, refuse)?;
        let similar = optional(files.similar, "similar inputs", false, refuse)?;
        let all: Vec<&OpenSet<'_>> = [&repair]
            .into_iter()
            .chain(&guard)
            .chain(&clean)
            .chain(&similar)
            .map(|named| &named.open)
            .collect();
        let outputs = Outputs {
            several: matches!(subject.checkpoint.answer(), AnswerRule::EachAbove(_)),
            ..Outputs::new(subject.labels(), subject.class_names())
        };
        let table = ClassTable::new(&outputs, &all).map_err(|error| ExperimentError::Usage {
            problem: error.to_string(),
        })?;
        let understood = Understood {
            arguments,
            subject,
            repair,
            guard,
            clean,
            similar,
            table,
        };
        understood.say(progress);
        Ok(understood)
    }
}

impl Understood<'_> {
    fn all(&self) -> impl Iterator<Item = &Named<'_>> {
        let optional = [&self.guard, &self.clean, &self.similar];
        [&self.repair]
            .into_iter()
            .chain(optional.into_iter().flatten())
    }

    fn say(&self, progress: &Progress) {
        for line in self.all().flat_map(Named::sentences) {
            progress.say(&line);
        }
        progress.say(&format!("labels: {}", self.table.how()));
        let rows = self.table.rows();
        for row in rows.iter().take(SHOWN_LABELS) {
            let name = row.name.as_deref().map(|name| format!(" {name}"));
            progress.say(&format!(
                "  {} -> {}{} ({})",
                row.label,
                row.class,
                name.unwrap_or_default(),
                counted(row.examples, "example")
            ));
        }
        if rows.len() > SHOWN_LABELS {
            progress.say(&format!("  and {} more labels", rows.len() - SHOWN_LABELS));
        }
        for (set, passed_over) in self.passed_over() {
            for line in passed_over.lines() {
                progress.say(&format!("{set}: passed over {line}"));
            }
        }
    }

    fn passed_over(&self) -> Vec<(String, PassedOver)> {
        let passed = self
            .all()
            .filter(|named| !named.open.passed_over().is_empty());
        passed
            .map(|named| (named.title(), named.open.passed_over().clone()))
            .collect()
    }

    /// How labels and files were understood.
    pub(crate) fn reading(&self) -> Reading {
        Reading {
            labels: self.table.clone(),
            sets: self.all().flat_map(Named::sentences).collect(),
            passed_over: self.passed_over(),
        }
    }

    /// Reads the set to repair and chooses its points.
    ///
    /// # Errors
    /// [`ExperimentError::NothingWrong`] when only wrong inputs are asked for and there are none;
    /// [`ExperimentError::Prepare`] for inputs that cannot be read.
    pub(crate) fn read_repair(&self, progress: &Progress) -> Result<PointSet> {
        let arguments = self.arguments;
        let limit = arguments.limit.map(|limit| limit as usize);
        let repair = match limit.filter(|_| arguments.seed.is_none()) {
            Some(limit) if arguments.only_wrong => self.first_wrong(limit)?,
            first => self
                .repair
                .read(first.map(Limit::First), self)?
                .chosen(arguments)?,
        };
        progress.say(&repair.describe("repair set"));
        say_passed_over(&repair, progress);
        self.check_readings(&repair)?;
        Ok(repair)
    }

    /// Stops where the network does not compute what a second reading of its file says.
    fn check_readings(&self, points: &PointSet) -> Result<()> {
        let Subject {
            checkpoint,
            network,
            path,
            ..
        } = self.subject;
        let Dataset { inputs, shape, .. } = &points.set.dataset;
        let example: usize = shape.iter().product();
        let few = &inputs[..inputs.len().min(READ_TWICE * example)];
        repair::readings_agree(checkpoint, network, few, shape)
            .map_err(prepare(|| format!("network {}", path.display())))
    }

    /// The first inputs that the network gets wrong, read until there are enough of them.
    fn first_wrong(&self, limit: usize) -> Result<PointSet> {
        let Named { given, what, open } = &self.repair;
        let name = || format!("{what} {}", given.display());
        let positions = open.positions(None);
        let (mut parts, mut wrong, mut read) = (Vec::<PointSet>::new(), 0, 0);
        for block in open.blocks(&positions, BLOCK, &self.table) {
            let block = PointSet::new(given, block.map_err(prepare(name))?, self.subject)?;
            read += block.read;
            let labels = &block.set.dataset.labels;
            let is_wrong = |&i: &usize| block.before[i] != labels[i];
            let chosen: Vec<usize> = (0..labels.len())
                .filter(is_wrong)
                .take(limit - wrong)
                .collect();
            wrong += chosen.len();
            parts.push(block.keep(&chosen)?);
            if wrong == limit {
                break;
            }
        }
        if wrong == 0 {
            return Err(ExperimentError::NothingWrong {
                path: given.clone(),
                inputs: read,
            });
        }
        let sets: Vec<&LabelledSet> = parts.iter().map(|part| &part.set).collect();
        let set = LabelledSet::concat(&sets).map_err(prepare(name))?;
        Ok(PointSet {
            path: given.clone(),
            passed_over: set.passed_over.clone(),
            set,
            before: parts
                .iter()
                .flat_map(|part| part.before.iter().copied())
                .collect(),
            read,
        })
    }

    /// Reads at most `limit` inputs of the guard set, if there is one, less those that are repaired.
    pub(crate) fn read_guard(
        &self,
        limit: usize,
        repair: &PointSet,
        progress: &Progress,
    ) -> Result<Option<PointSet>> {
        let Some(named) = &self.guard else {
            return Ok(None);
        };
        let mut guard = named.read(Some(Limit::Spread(limit)), self)?;
        let shared = guard.leave_out(repair)?;
        progress.say(&guard.describe("guard set"));
        say_passed_over(&guard, progress);
        if shared > 0 {
            progress.say(&format!(
                "guard set: {shared} inputs are repair points and left out"
            ));
        }
        Ok(Some(guard))
    }

    /// Reads clean and similar inputs, where there are files of them: at most `limit` each, less those of
    /// `used` sets and of each other.
    pub(crate) fn read_held_out(
        &self,
        limit: usize,
        used: &[&PointSet],
        progress: &Progress,
    ) -> Result<HeldOut> {
        let read = |named: &Named<'_>, others: &[&PointSet]| {
            self.read_selection(named, limit, others, progress)
        };
        let clean = self
            .clean
            .as_ref()
            .map(|named| read(named, used))
            .transpose()?;
        let others: Vec<&PointSet> = used.iter().copied().chain(&clean).collect();
        let similar = self
            .similar
            .as_ref()
            .map(|named| read(named, &others))
            .transpose()?;
        Ok(HeldOut { clean, similar })
    }

    /// Reads at most `limit` inputs of a set on which repairs are compared, less those of other sets.
    fn read_selection(
        &self,
        named: &Named<'_>,
        limit: usize,
        others: &[&PointSet],
        progress: &Progress,
    ) -> Result<PointSet> {
        let what = named.what;
        let mut set = named.read(Some(Limit::Spread(limit)), self)?;
        let mut shared = 0;
        for other in others {
            shared += set.leave_out(other)?;
        }
        progress.say(&set.describe(what));
        say_passed_over(&set, progress);
        if shared > 0 {
            progress.say(&format!(
                "{what}: {shared} inputs are in other sets and left out"
            ));
        }
        Ok(set)
    }
}

impl Named<'_> {
    fn title(&self) -> String {
        format!("{} {}", self.what, self.given.display())
    }

    /// What was chosen because the file does not say it.
    fn sentences(&self) -> Vec<String> {
        let notes = self.open.notes().iter();
        notes
            .map(|note| format!("{}: {note}", self.title()))
            .collect()
    }

    fn read(&self, limit: Option<Limit>, sets: &Understood<'_>) -> Result<PointSet> {
        let positions = self.open.positions(limit);
        let set = self.open.read(&positions, &sets.table);
        let set = set.map_err(prepare(|| self.title()))?;
        PointSet::new(&self.given, set, sets.subject)
    }
}

/// Says what reading passed over.
fn say_passed_over(set: &PointSet, progress: &Progress) {
    for line in set.passed_over.lines() {
        progress.say(&format!("{}: passed over {line}", set.path.display()));
    }
}
