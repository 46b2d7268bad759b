//! The repair set and the guard set.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use data::{Dataset, LabelledSet};
use network::{Network, NetworkError};
use repair::{NEAR, NearDuplicate, NearDuplicates, near_duplicates};

use super::arguments::{Margin, RepairArguments, SourceArguments, bytes};
use super::subject::Subject;
use crate::error::{ExperimentError, Result, prepare};
use crate::progress::Progress;

/// Numbers of the inputs that are pushed through the network at once.
const BATCH_NUMBERS: usize = 1 << 22;
/// The most inputs that are.
const BATCH: usize = 1024;
/// The most pairs of near-duplicates that are shown.
const SHOWN: usize = 10;

/// Examples and what the network answers before the repair.
pub(crate) struct PointSet {
    pub(crate) path: PathBuf,
    pub(crate) set: LabelledSet,
    pub(crate) before: Vec<usize>,
}

/// Both sets; they share no input.
pub(super) struct Sets {
    pub(super) repair: PointSet,
    pub(super) guard: Option<PointSet>,
    /// Where a margin is picked.
    pub(super) similar: Option<PointSet>,
    pub(super) clean: Option<PointSet>,
}

impl Sets {
    /// Reads both sets, chooses the points to repair and takes them out of the guard set.
    pub(super) fn read(
        arguments: &RepairArguments,
        subject: &Subject,
        progress: &Progress,
    ) -> Result<Self> {
        let repair = PointSet::read_repair(&arguments.source, subject, progress)?;
        let guard = match &arguments.guard {
            Some(path) => {
                let limit = arguments.guard_limit as usize;
                Some(PointSet::read_guard(
                    path, limit, subject, &repair, progress,
                )?)
            }
            None => None,
        };
        let selection = |path: &Option<PathBuf>, what: &'static str| {
            let Some(path) = path else { return Ok(None) };
            let limit = Some(arguments.guard_limit as usize);
            let mut set = PointSet::read(path, subject, limit, what)?;
            set.leave_out(&repair)?;
            progress.say(&set.describe(what));
            Ok::<_, ExperimentError>(Some(set))
        };
        let (similar, clean) = match arguments.margin {
            Margin::Auto => (
                selection(&arguments.similar, "similar inputs")?,
                selection(&arguments.clean, "clean inputs")?,
            ),
            Margin::Fixed(_) => (None, None),
        };
        let sets = Self {
            repair,
            guard,
            similar,
            clean,
        };
        sets.fit(arguments.max_memory)?;
        Ok(sets)
    }

    fn fit(&self, limit: usize) -> Result<()> {
        let others = [&self.guard, &self.similar, &self.clean];
        let sets = [Some(&self.repair)]
            .into_iter()
            .chain(others.map(Option::as_ref));
        let numbers = sets.flatten().map(|set| set.set.dataset.inputs.len());
        let taken = numbers.sum::<usize>() * size_of::<f32>();
        if taken <= limit {
            return Ok(());
        }
        Err(ExperimentError::Usage {
            problem: format!(
                "the inputs take {}, more than --max-memory {}: lower --limit or --guard-limit",
                bytes(taken),
                bytes(limit)
            ),
        })
    }

    /// Warns of inputs that are almost the same and have different labels.
    pub(super) fn say_near_duplicates(&self, subject: &Subject, progress: &Progress) {
        let found = self.repair.near_duplicates(subject);
        for line in self.repair.near_duplicate_lines(&found, subject) {
            progress.say(&format!("warning: {line}"));
        }
    }
}

impl PointSet {
    /// Reads the set to repair and chooses its points.
    pub(crate) fn read_repair(
        arguments: &SourceArguments,
        subject: &Subject,
        progress: &Progress,
    ) -> Result<Self> {
        // Only where the choice needs the answers of the network are all inputs read.
        let first = arguments.limit.map(|limit| limit as usize);
        let first = first.filter(|_| !arguments.only_wrong && arguments.seed.is_none());
        let pool = Self::read(&arguments.repair, subject, first, "repair set")?;
        let repair = pool.chosen(arguments)?;
        progress.say(&repair.describe("repair set"));
        Ok(repair)
    }

    /// Reads the first inputs of a guard set, less those that are repaired.
    pub(crate) fn read_guard(
        path: &Path,
        limit: usize,
        subject: &Subject,
        repair: &Self,
        progress: &Progress,
    ) -> Result<Self> {
        let mut guard = Self::read(path, subject, Some(limit), "guard set")?;
        let shared = guard.leave_out(repair)?;
        progress.say(&guard.describe("guard set"));
        if shared > 0 {
            progress.say(&format!(
                "guard set: {shared} inputs are repair points and left out"
            ));
        }
        Ok(guard)
    }

    /// Inputs that are almost the same and have different labels; of texts the same ones.
    pub(crate) fn near_duplicates(&self, subject: &Subject) -> NearDuplicates {
        let near = if subject.reads_text() { 0.0 } else { NEAR };
        near_duplicates(&self.set.dataset, near)
    }

    /// Names the first pairs, one a line.
    pub(crate) fn near_duplicate_lines(
        &self,
        found: &NearDuplicates,
        subject: &Subject,
    ) -> Vec<String> {
        let points = &self.set;
        let label = |point: usize| subject.class(points.dataset.labels[point]);
        let line = |pair: &NearDuplicate| {
            let how = match pair.distance {
                0.0 => "are the same input".to_owned(),
                d => format!(
                    "are {d:.2e} apart (inputs are usually {:.2e} apart)",
                    found.typical
                ),
            };
            format!(
                "{} (label {}) and {} (label {}) {how}",
                points.names[pair.first],
                label(pair.first),
                points.names[pair.second],
                label(pair.second),
            )
        };
        let mut lines: Vec<String> = found.pairs.iter().take(SHOWN).map(line).collect();
        if found.pairs.len() > SHOWN {
            lines.push(format!("{} more such pairs", found.pairs.len() - SHOWN));
        }
        lines
    }

    fn read(
        given: &Path,
        subject: &Subject,
        limit: Option<usize>,
        what: &'static str,
    ) -> Result<Self> {
        let (path, labels) = images_and_labels(given);
        let name = || format!("{what} {}", given.display());
        let set = subject
            .reader(limit)
            .read(&path, labels.as_deref())
            .map_err(prepare(name))?;
        Ok(Self {
            before: classes_of(&subject.network, &set.dataset).map_err(prepare(name))?,
            path: given.to_owned(),
            set,
        })
    }

    /// The points that the flags ask for, in the order of the file.
    fn chosen(self, arguments: &SourceArguments) -> Result<Self> {
        let right = |i: usize| self.before[i] == self.set.dataset.labels[i];
        let mut positions: Vec<usize> = (0..self.before.len())
            .filter(|&i| !(arguments.only_wrong && right(i)))
            .collect();
        if positions.is_empty() {
            return Err(ExperimentError::NothingWrong {
                path: self.path,
                inputs: self.before.len(),
            });
        }
        let count = arguments
            .limit
            .map_or(positions.len(), |limit| limit as usize);
        if let Some(seed) = arguments.seed {
            let count = count.min(positions.len());
            let what = || format!("repair set {}", self.path.display());
            let mut drawn = data::sample(positions.len(), count, seed).map_err(prepare(what))?;
            drawn.sort_unstable();
            positions = drawn.into_iter().map(|i| positions[i]).collect();
        }
        positions.truncate(count);
        self.keep(&positions)
    }

    /// Reads the first inputs of a set on which repairs are compared, less those of other sets.
    pub(crate) fn read_selection(
        path: &Path,
        limit: usize,
        what: &'static str,
        subject: &Subject,
        others: &[&Self],
        progress: &Progress,
    ) -> Result<Self> {
        let mut set = Self::read(path, subject, Some(limit), what)?;
        let mut shared = 0;
        for other in others {
            shared += set.leave_out(other)?;
        }
        progress.say(&set.describe(what));
        if shared > 0 {
            progress.say(&format!(
                "{what}: {shared} inputs are in other sets and left out"
            ));
        }
        Ok(set)
    }

    /// Takes out the inputs that `other` holds, and says how many they were.
    fn leave_out(&mut self, other: &Self) -> Result<usize> {
        let others: HashSet<Vec<u32>> = keys(&other.set.dataset).collect();
        let positions: Vec<usize> = keys(&self.set.dataset)
            .enumerate()
            .filter(|(_, key)| !others.contains(key))
            .map(|(position, _)| position)
            .collect();
        let shared = self.before.len() - positions.len();
        if positions.is_empty() {
            return Err(ExperimentError::Usage {
                problem: format!(
                    "{}: every input of it is in another set, none is left",
                    self.path.display()
                ),
            });
        }
        if shared > 0 {
            *self = self.keep(&positions)?;
        }
        Ok(shared)
    }

    fn keep(&self, positions: &[usize]) -> Result<Self> {
        let what = || self.path.display().to_string();
        Ok(Self {
            path: self.path.clone(),
            set: self.set.subset(positions).map_err(prepare(what))?,
            before: positions.iter().map(|&i| self.before[i]).collect(),
        })
    }

    /// How many of the examples the network gets wrong, given what it answers.
    pub(crate) fn wrong(&self, answers: &[usize]) -> usize {
        let labels = &self.set.dataset.labels;
        answers.iter().zip(labels).filter(|(a, b)| a != b).count()
    }

    fn describe(&self, what: &str) -> String {
        format!(
            "{what}: {} of {} inputs of {}, shape {:?}, {} wrong before",
            self.before.len(),
            self.set.available,
            self.path.display(),
            self.set.dataset.shape,
            self.wrong(&self.before),
        )
    }
}

/// A path, or for IDX files `IMAGES,LABELS` when there is no file of that name.
fn images_and_labels(given: &Path) -> (PathBuf, Option<PathBuf>) {
    let parts = given
        .to_str()
        .filter(|_| !given.exists())
        .and_then(|text| text.split_once(','));
    match parts {
        Some((images, labels)) => (images.into(), Some(labels.into())),
        None => (given.to_owned(), None),
    }
}

/// What tells inputs apart: their numbers, of texts those before the padding.
fn keys(set: &Dataset) -> impl Iterator<Item = Vec<u32>> + '_ {
    let tokens = match set.shape[..] {
        [2, length] => Some(length),
        _ => None,
    };
    (0..set.len()).map(move |i| {
        let input = set.example(i);
        let kept = match tokens {
            Some(length) => {
                let mask = &input[length..];
                let end = mask
                    .iter()
                    .rposition(|&mask| mask != 0.0)
                    .map_or(0, |last| last + 1);
                &input[..end]
            }
            None => input,
        };
        // -0 and 0 are the same input.
        kept.iter().map(|x| (x + 0.0).to_bits()).collect()
    })
}

/// The class with the largest output, per example; the first of equal ones.
pub(super) fn classes_of(network: &Network, set: &Dataset) -> Result<Vec<usize>, NetworkError> {
    let example = set.example_len().max(1);
    let batch = (BATCH_NUMBERS / example).clamp(1, BATCH);
    let mut classes = Vec::with_capacity(set.len());
    for inputs in set.inputs.chunks(batch * example) {
        let outputs = network
            .forward(network.batch_of(inputs, &set.shape)?)?
            .to_vec()?;
        let largest = |row: &[f64]| {
            (1..row.len()).fold(0, |best, c| if row[c] > row[best] { c } else { best })
        };
        classes.extend(outputs.chunks_exact(network.classes().max(1)).map(largest));
    }
    Ok(classes)
}
