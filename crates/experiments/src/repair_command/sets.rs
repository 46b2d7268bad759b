//! The repair set, the guard set, and those on which a repair is measured.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use data::labelled::PassedOver;
use data::{Dataset, LabelledSet};
use network::Network;
use repair::{NEAR, NearDuplicate, NearDuplicates, RepairError, RepairSet, near_duplicates};
use serde::Serialize;

use super::arguments::{RepairArguments, SourceArguments, bytes};
use super::doubts;
use super::open_sets::{Files, OpenSets, Reading};
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
    /// Examples that were read to choose these.
    pub(super) read: usize,
    /// What was not read, by reason.
    pub(crate) passed_over: PassedOver,
}

/// All sets; no two share an input.
pub(super) struct Sets {
    pub(super) repair: PointSet,
    pub(super) guard: Option<PointSet>,
    pub(super) held_out: HeldOut,
    /// How the labels of all sets were understood.
    pub(super) reading: Reading,
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
        let files = Files {
            guard: arguments.guard.as_deref(),
            clean: arguments.clean.as_deref(),
            similar: arguments.similar.as_deref(),
        };
        let open = OpenSets::open(&arguments.source, files, subject)?.guarding_unlabelled()?;
        let open = open.understood(progress)?;
        let repair = open.read_repair(progress)?;
        let limit = arguments.guard_limit as usize;
        let guard = open.read_guard(limit, &repair, progress)?;
        let used: Vec<&PointSet> = [&repair].into_iter().chain(&guard).collect();
        let sets = Self {
            held_out: open.read_held_out(limit, &used, progress)?,
            reading: open.reading(),
            repair,
            guard,
        };
        sets.check_labels(subject, &arguments.source)?;
        sets.fit(arguments.max_memory)?;
        Ok(sets)
    }

    /// Stops where the labels of clean inputs are not those that the network means.
    fn check_labels(&self, subject: &Subject, arguments: &SourceArguments) -> Result<()> {
        let clean = self.guard.iter().chain(&self.held_out.clean);
        clean
            .into_iter()
            .try_for_each(|set| doubts::check(set, subject, arguments))
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
            conflict: Vec::from(pair.map(|point| self.set.names.name(point))),
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
                points.names.name(pair.first),
                label(pair.first),
                points.names.name(pair.second),
                label(pair.second),
            )
        };
        let mut lines: Vec<String> = found.pairs.iter().take(SHOWN).map(line).collect();
        if found.pairs.len() > SHOWN {
            lines.push(format!("{} more such pairs", found.pairs.len() - SHOWN));
        }
        lines
    }

    /// Examples that were read, and what the network answers.
    pub(super) fn new(path: &Path, set: LabelledSet, subject: &Subject) -> Result<Self> {
        let Dataset { inputs, shape, .. } = &set.dataset;
        let name = || path.display().to_string();
        subject.trust_device(shape)?;
        Ok(Self {
            before: repair::classify(&subject.network, inputs, shape).map_err(prepare(name))?,
            path: path.to_owned(),
            read: set.dataset.len(),
            passed_over: set.passed_over.clone(),
            set,
        })
    }

    /// The points that the flags ask for, in the order of the file.
    pub(super) fn chosen(self, arguments: &SourceArguments) -> Result<Self> {
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

    /// Takes out the inputs that `other` holds, and says how many they were.
    pub(super) fn leave_out(&mut self, other: &Self) -> Result<usize> {
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

    pub(super) fn keep(&self, positions: &[usize]) -> Result<Self> {
        let what = || self.path.display().to_string();
        Ok(Self {
            path: self.path.clone(),
            set: self.set.subset(positions).map_err(prepare(what))?,
            before: positions.iter().map(|&i| self.before[i]).collect(),
            read: self.read,
            passed_over: self.passed_over.clone(),
        })
    }

    /// Examples with a label.
    pub(crate) fn labelled(&self) -> usize {
        let set = &self.set.dataset;
        (0..set.len()).filter(|&i| set.is_labelled(i)).count()
    }

    /// How many of the examples with a label the network gets wrong, given what it answers.
    pub(crate) fn wrong(&self, answers: &[usize]) -> usize {
        let set = &self.set.dataset;
        let wrong = |i: usize| set.is_labelled(i) && answers[i] != set.labels[i];
        (0..set.len().min(answers.len()))
            .filter(|&i| wrong(i))
            .count()
    }

    /// The examples, and how they were chosen.
    pub(super) fn describe(&self, what: &str) -> String {
        let (count, available) = (self.before.len(), self.set.available);
        let read = match self.read {
            read if read == available || read == count => String::new(),
            read => format!(", {read} of them read"),
        };
        let unlabelled = match count - self.labelled() {
            0 => String::new(),
            unlabelled => format!(", {unlabelled} without a label"),
        };
        format!(
            "{what}: {count} of {available} inputs of {}{read}, shape {:?}, {} wrong before{unlabelled}",
            self.path.display(),
            self.set.dataset.shape,
            self.wrong(&self.before),
        )
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
