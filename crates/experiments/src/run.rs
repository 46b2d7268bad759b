//! From a plan to its trials, and from trials to records.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use network::DeviceCheck;
use serde::{Deserialize, Serialize};

use crate::error::{Cause, ExperimentError, Result};
use crate::manifest::SplitSummary;
use crate::plan::{Choice, MethodPlan, ResolvedPlan};
use crate::progress::Progress;
use crate::record::{SelectionRecord, TrialRecord};
use crate::regret::Overhead;
use crate::store::{RunDirectory, ScoredSet};

/// A layer that bears weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Position among the layers that bear weights, in topological order, counted from 0.
    pub index: usize,
    /// Its name in the checkpoint.
    pub name: String,
}

/// The layers of every network, by the network's name.
pub type Layers = BTreeMap<String, Vec<Layer>>;

/// Identifies a repair set within a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SetKey {
    /// Name of the network.
    pub network: String,
    /// Number of points.
    pub points: usize,
    /// Seed that draws them.
    pub seed: u64,
}

impl fmt::Display for SetKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/n{}/s{}", self.network, self.points, self.seed)
    }
}

/// One repair: a repair set, a method, a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Unique in the plan, such as `mnist-3x100/fog/n50/s1/sequential-guarded/layer2`; every part is a
    /// valid file name.
    pub id: String,
    /// The repair set.
    pub set: SetKey,
    /// Source and corruption of the repair set.
    pub dataset: String,
    /// How to repair.
    pub method: MethodPlan,
    /// Where to repair.
    pub layer: Layer,
}

/// The networks and datasets of a plan, ready for its trials.
///
/// Calls come from several threads at once. A call depends on nothing but its arguments: the order of
/// trials leaves their records as they are.
pub trait Lab: Sync {
    /// The layers of `network` that bear weights, in topological order.
    ///
    /// # Errors
    /// If the plan names no such network.
    fn layers(&self, network: &str) -> Result<Vec<Layer>>;

    /// Repairs and measures.
    ///
    /// # Errors
    /// If the trial cannot be run at all; a repair that does not succeed is an
    /// [`Outcome`](crate::record::Outcome).
    fn run(&self, trial: &Trial) -> Result<TrialRecord>;

    /// Scores the layers for one repair set, one record per heuristic of the plan that scores a layer.
    ///
    /// # Errors
    /// If a heuristic cannot be computed.
    fn select(&self, set: &SetKey) -> Result<Vec<SelectionRecord>>;

    /// What brute force costs on `network` beside its repairs.
    ///
    /// # Errors
    /// If the plan names no such network.
    fn overhead(&self, network: &str) -> Result<Overhead>;

    /// How far the device is from the reference device on each network, by the network's name; nothing
    /// on the reference device.
    fn device_checks(&self) -> BTreeMap<String, DeviceCheck> {
        BTreeMap::new()
    }

    /// Which examples every split and every repair set holds.
    ///
    /// # Errors
    /// If a split cannot be drawn.
    fn splits(&self) -> Result<Vec<SplitSummary>>;
}

/// The layers that a plan repairs, of each of its networks.
///
/// # Errors
/// [`ExperimentError::UnknownLayer`] if the plan names a layer that a network does not have.
pub fn layers(plan: &ResolvedPlan, lab: &dyn Lab) -> Result<Layers> {
    let mut chosen = Layers::new();
    for network in &plan.networks {
        let all = lab.layers(&network.name)?;
        let layers = match &plan.layers {
            Choice::All => all,
            Choice::Named(names) => {
                if let Some(unknown) = names
                    .iter()
                    .find(|name| all.iter().all(|l| l.name != **name))
                {
                    let known: Vec<&str> = all.iter().map(|layer| layer.name.as_str()).collect();
                    return Err(ExperimentError::UnknownLayer {
                        network: network.name.clone(),
                        layer: unknown.clone(),
                        known: known.join(", "),
                    });
                }
                all.into_iter()
                    .filter(|layer| names.contains(&layer.name))
                    .collect()
            }
        };
        chosen.insert(network.name.clone(), layers);
    }
    Ok(chosen)
}

/// The repair sets of a plan, in plan order: network, points, seed.
pub fn sets(plan: &ResolvedPlan) -> Vec<SetKey> {
    let mut sets = Vec::new();
    for network in &plan.networks {
        for &points in &plan.points {
            for &seed in &plan.seeds {
                sets.push(SetKey {
                    network: network.name.clone(),
                    points,
                    seed,
                });
            }
        }
    }
    sets
}

/// The trials of a plan, in plan order: network, points, seed, method, layer.
pub fn trials(plan: &ResolvedPlan, layers: &Layers) -> Vec<Trial> {
    let variant = plan.splits.repair.variant();
    let mut trials = Vec::new();
    for set in sets(plan) {
        for method in &plan.methods {
            for layer in layers.get(&set.network).into_iter().flatten() {
                trials.push(Trial {
                    id: format!(
                        "{}/{variant}/n{}/s{}/{}/layer{}",
                        set.network, set.points, set.seed, method.name, layer.index
                    ),
                    set: set.clone(),
                    dataset: plan.splits.repair.dataset(),
                    method: method.clone(),
                    layer: layer.clone(),
                });
            }
        }
    }
    trials
}

/// What a run directory already holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Identifiers of the trials.
    pub trials: BTreeSet<String>,
    /// Repair sets whose layers are scored.
    pub sets: BTreeSet<SetKey>,
}

enum Work {
    Select(SetKey),
    Repair(Box<Trial>),
}

/// Runs what `done` lacks on `plan.jobs` threads and appends every record to `run` as soon as it is there.
///
/// # Errors
/// The first failure, under the name of its trial. No further work is started then; repairs in flight on
/// other threads are finished and kept.
pub fn execute(
    plan: &ResolvedPlan,
    layers: &Layers,
    lab: &dyn Lab,
    run: &RunDirectory,
    done: &Done,
    progress: &Progress,
) -> Result<()> {
    let work = pending(plan, layers, done);
    let total = sets(plan).len() + trials(plan, layers).len();
    progress.start(total, total - work.len());
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let failure: Mutex<Option<ExperimentError>> = Mutex::new(None);
    let worker = || {
        while !stop.load(Ordering::Relaxed) {
            let Some(item) = work.get(next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            match perform(item, lab, run) {
                Ok(name) => progress.advance(&name),
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    first.get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..plan.jobs.min(work.len()) {
            scope.spawn(worker);
        }
        worker();
    });
    progress.finish();
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Every repair set's scoring comes before its repairs.
fn pending(plan: &ResolvedPlan, layers: &Layers, done: &Done) -> Vec<Work> {
    let mut work = Vec::new();
    let mut scored: Option<SetKey> = None;
    for trial in trials(plan, layers) {
        if scored.as_ref() != Some(&trial.set) {
            scored = Some(trial.set.clone());
            if !done.sets.contains(&trial.set) {
                work.push(Work::Select(trial.set.clone()));
            }
        }
        if !done.trials.contains(&trial.id) {
            work.push(Work::Repair(Box::new(trial)));
        }
    }
    work
}

fn perform(work: &Work, lab: &dyn Lab, run: &RunDirectory) -> Result<String> {
    match work {
        Work::Select(set) => {
            let score = || -> Result<ScoredSet> {
                Ok(ScoredSet {
                    set: set.clone(),
                    records: lab.select(set)?,
                    overhead: lab.overhead(&set.network)?,
                })
            };
            let scored = guarded(score).map_err(|source| ExperimentError::Selection {
                set: set.to_string(),
                source,
            })?;
            run.append_selections(&scored)?;
            Ok(set.to_string())
        }
        Work::Repair(trial) => {
            let record = guarded(|| lab.run(trial)).map_err(|source| ExperimentError::Trial {
                trial: trial.id.clone(),
                source,
            })?;
            run.append_trial(&record)?;
            Ok(trial.id.clone())
        }
    }
}

/// A panic below this line is one trial's failure; the others' records are on disk.
fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T, Cause> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(Cause::from),
        Err(panic) => Err(format!("panicked: {}", panic_message(&*panic)).into()),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}
