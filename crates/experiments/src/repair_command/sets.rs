//! The repair set, the guard set, and those on which a repair is measured.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use data::labelled::Limit;
use data::{Dataset, LabelledSet};
use network::Network;
use repair::{NEAR, NearDuplicate, NearDuplicates, RepairError, RepairSet, near_duplicates};
use serde::Serialize;

use super::arguments::{RepairArguments, SourceArguments, bytes};
use super::subject::Subject;
use super::summary::Verdict;
use crate::error::{ExperimentError, Result, prepare};
use crate::progress::Progress;

/// The most pairs of near-duplicates that are shown.
const SHOWN: usize = 10;

/// Examples and what the network answers before the repair.
pub(crate) struct PointSet {
    pub(crate) path: PathBuf,
    pub(crate) set: LabelledSet,
    pub(crate) before: Vec<usize>,
}

/// All sets; no two share an input.
pub(super) struct Sets {
    pub(super) repair: PointSet,
    pub(super) guard: Option<PointSet>,
    pub(super) held_out: HeldOut,
}

/// Inputs that are neither repaired nor guarded.
pub(crate) struct HeldOut {
    pub(crate) clean: Option<PointSet>,
    /// Like those of the repair set.
    pub(crate) similar: Option<PointSet>,
}

/// Points that no network can satisfy.
#[derive(Serialize)]
pub(crate) struct Contradiction {
    pub(crate) outcome: Verdict,
    pub(crate) reason: String,
    /// Names of the points.
    pub(crate) conflict: Vec<String>,
}

impl Sets {
    /// Reads the sets and chooses the points to repair; what a set shares with those before it is left
    /// out.
    pub(super) fn read(
        arguments: &RepairArguments,
        subject: &Subject,
        progress: &Progress,
    ) -> Result<Self> {
        let repair = PointSet::read_repair(&arguments.source, subject, progress)?;
        let limit = arguments.guard_limit as usize;
        let guard = arguments.guard.as_deref();
        let guard = guard
            .map(|path| PointSet::read_guard(path, limit, subject, &repair, progress))
            .transpose()?;
        let used: Vec<&PointSet> = [&repair].into_iter().chain(&guard).collect();
        let files = [arguments.clean.as_deref(), arguments.similar.as_deref()];
        let sets = Self {
            held_out: HeldOut::read(files, limit, subject, &used, progress)?,
            repair,
            guard,
        };
        sets.fit(arguments.max_memory)?;
        Ok(sets)
    }

    fn fit(&self, limit: usize) -> Result<()> {
        let sets = self.named().into_iter();
        let numbers = sets.map(|(_, set)| set.set.dataset.inputs.len());
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

    /// Every set that there is, under the name of its flag.
    pub(super) fn named(&self) -> Vec<(&'static str, &PointSet)> {
        [("repair", &self.repair)]
            .into_iter()
            .chain(self.guard.as_ref().map(|guard| ("guard", guard)))
            .chain(self.held_out.named())
            .collect()
    }

    /// Warns of inputs that are almost the same and have different labels.
    pub(super) fn say_near_duplicates(&self, subject: &Subject, progress: &Progress) {
        let found = self.repair.near_duplicates(subject);
        for line in self.repair.near_duplicate_lines(&found, subject) {
            progress.say(&format!("warning: {line}"));
        }
    }
}

impl HeldOut {
    /// Reads clean and similar inputs, where there are files of them: at most `limit` each, less those of
    /// `used` sets and of each other.
    pub(crate) fn read(
        [clean, similar]: [Option<&Path>; 2],
        limit: usize,
        subject: &Subject,
        used: &[&PointSet],
        progress: &Progress,
    ) -> Result<Self> {
        let read = |path: &Path, what: &'static str, others: &[&PointSet]| {
            PointSet::read_selection(path, limit, what, subject, others, progress)
        };
        let clean = clean
            .map(|path| read(path, "clean inputs", used))
            .transpose()?;
        let others: Vec<&PointSet> = used.iter().copied().chain(&clean).collect();
        let similar = similar
            .map(|path| read(path, "similar inputs", &others))
            .transpose()?;
        Ok(Self { clean, similar })
    }

    /// Those that there are, under the names of their flags.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, &PointSet)> {
        let sets = [("clean", &self.clean), ("similar", &self.similar)];
        sets.into_iter()
            .filter_map(|(name, set)| Some((name, set.as_ref()?)))
    }
}

impl Contradiction {
    /// The lines to print.
    pub(crate) fn lines(&self) -> Vec<String> {
        let reason = format!("infeasible: {}", self.reason);
        let names = self.conflict.iter().map(|name| format!("  {name}"));
        [reason].into_iter().chain(names).collect()
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
        let first = first.map(Limit::First);
        let pool = Self::read(&arguments.repair, subject, first, "repair set")?;
        let repair = pool.chosen(arguments)?;
        progress.say(&repair.describe("repair set"));
        Ok(repair)
    }

    /// Reads at most `limit` inputs of a guard set, less those that are repaired.
    pub(crate) fn read_guard(
        path: &Path,
        limit: usize,
        subject: &Subject,
        repair: &Self,
        progress: &Progress,
    ) -> Result<Self> {
        let mut guard = Self::read(path, subject, Some(Limit::Spread(limit)), "guard set")?;
        let shared = guard.leave_out(repair)?;
        progress.say(&guard.describe("guard set"));
        if shared > 0 {
            progress.say(&format!(
                "guard set: {shared} inputs are repair points and left out"
            ));
        }
        Ok(guard)
    }

    /// What must hold: a network classifies every point as its label, with the margin.
    pub(crate) fn specification(
        &self,
        network: &Network,
        margin: f64,
    ) -> Result<RepairSet, RepairError> {
        let set = RepairSet::argmax(&self.set.dataset, margin)?;
        set.validate(network, network.classes())?;
        Ok(set)
    }

    /// One input with two labels: no network at all satisfies both.
    pub(crate) fn contradiction(&self, pair: [usize; 2]) -> Contradiction {
        let [first, second] = pair.map(|point| self.set.dataset.labels[point]);
        Contradiction {
            outcome: Verdict::Infeasible,
            reason: format!("one input has the labels {first} and {second}: drop one of them"),
            conflict: Vec::from(pair.map(|point| self.set.names[point].clone())),
        }
    }

    /// What a network answers.
    pub(super) fn answers(&self, network: &Network) -> Result<Vec<usize>, RepairError> {
        let Dataset { inputs, shape, .. } = &self.set.dataset;
        repair::classify(network, inputs, shape)
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
        limit: Option<Limit>,
        what: &'static str,
    ) -> Result<Self> {
        let (path, labels) = images_and_labels(given);
        let name = || format!("{what} {}", given.display());
        let set = subject
            .reader(limit)
            .read(&path, labels.as_deref())
            .map_err(prepare(name))?;
        let Dataset { inputs, shape, .. } = &set.dataset;
        Ok(Self {
            before: repair::classify(&subject.network, inputs, shape).map_err(prepare(name))?,
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

    /// Reads at most `limit` inputs of a set on which repairs are compared, less those of other sets.
    fn read_selection(
        path: &Path,
        limit: usize,
        what: &'static str,
        subject: &Subject,
        others: &[&Self],
        progress: &Progress,
    ) -> Result<Self> {
        let mut set = Self::read(path, subject, Some(Limit::Spread(limit)), what)?;
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
