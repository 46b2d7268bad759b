//! The laboratory: networks and datasets of a plan, and what a trial does with them.

mod attempt;
mod examples;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use data::{Corruption, Dataset, Splits};
use heuristics::{MEASURED, Phase, Statistics, Subject};
use network::{Device, DeviceCheck, Model, Network, Precision};
use repair::{GuardMoments, Method, Objective, RepairSet};

use crate::cli::LabOptions;
use crate::error::{Cause, ExperimentError, Result, prepare};
use crate::manifest::SplitSummary;
use crate::plan::{Choice, Order, ResolvedPlan, SplitPlan, Vocabulary};
use crate::record::{LayerScore, SelectionRecord, TrialRecord};
use crate::regret::Overhead;
use crate::run::{Lab, Layer, SetKey, Trial};
use examples::{Scored, kept, load};

/// The names that plans may use, from the registries of the crates that implement them.
pub struct Names {
    methods: Vec<&'static str>,
    objectives: Vec<&'static str>,
    heuristics: Vec<&'static str>,
    corruptions: Vec<&'static str>,
}

impl Names {
    /// The names as plans are checked against them.
    pub fn borrow(&self) -> Vocabulary<'_> {
        Vocabulary {
            methods: &self.methods,
            objectives: &self.objectives,
            heuristics: &self.heuristics,
            corruptions: &self.corruptions,
        }
    }
}

/// Every method, objective, heuristic and corruption that this build knows.
pub fn vocabulary() -> Names {
    Names {
        methods: Method::ALL.map(Method::name).to_vec(),
        objectives: Objective::ALL.map(Objective::name).to_vec(),
        heuristics: heuristics::ALL
            .iter()
            .map(|heuristic| heuristic.name())
            .collect(),
        corruptions: Corruption::ALL.map(Corruption::name).to_vec(),
    }
}

/// Live and peak heap bytes of the process, where the program counts them.
#[derive(Clone, Copy, Debug)]
pub struct HeapCounter {
    /// Bytes that are allocated now.
    pub live: fn() -> usize,
    /// Most bytes that were allocated since the last reset.
    pub peak: fn() -> usize,
    /// Sets the peak to what is live.
    pub reset: fn(),
}

/// The networks and datasets of a plan, loaded.
pub struct Laboratory {
    plan: ResolvedPlan,
    device: Device,
    precision: Precision,
    /// What was found of the device, by the network's name; nothing of the reference device.
    checks: BTreeMap<String, DeviceCheck>,
    subjects: BTreeMap<String, Specimen>,
    sets: Sets,
    keep: Option<PathBuf>,
    heap: Option<HeapCounter>,
}

/// A network and what is known of it before any repair.
struct Specimen {
    checkpoint: Model,
    network: Network,
    moments: GuardMoments,
    moments_seconds: f64,
    /// Positions in the repair pool that may be repaired.
    pool: Vec<usize>,
    guard: Dataset,
    generalization: Scored,
    drawdown: Scored,
    selection_clean: Scored,
    selection_corrupted: Scored,
    /// Seconds that the network takes to answer both selection splits.
    selection_seconds: f64,
}

/// The examples of each split as the plan names them.
struct Sets {
    repair: Dataset,
    /// The repair pool before its corruption.
    repair_clean: Option<Dataset>,
}

impl Laboratory {
    /// Loads networks and datasets, draws the splits and checks that no input is in two of them. A
    /// device other than the reference is compared with it before a network runs there.
    ///
    /// # Errors
    /// [`ExperimentError::Prepare`] names the network, split or device at fault.
    pub fn open(
        plan: &ResolvedPlan,
        options: &LabOptions,
        heap: Option<HeapCounter>,
    ) -> Result<Self> {
        let (choice, precision) = (plan.device, plan.dtype);
        let device = choice
            .open()
            .map_err(prepare(|| format!("device {choice}")))?;
        let splits = &plan.splits;
        let load = |name: &str, split: &SplitPlan| {
            load(split).map_err(|source| ExperimentError::Prepare {
                what: format!("split {name}"),
                source,
            })
        };
        let (repair_clean, repair) = load("repair", &splits.repair)?;
        let (_, guard) = load("guard", &splits.guard)?;
        let (_, generalization) = load("generalization", &splits.generalization)?;
        let (_, drawdown) = load("drawdown", &splits.drawdown)?;
        let (_, selection_clean) = load("selection_clean", &splits.selection_clean)?;
        let (_, selection_corrupted) = load("selection_corrupted", &splits.selection_corrupted)?;
        Splits::new([
            ("repair", &repair),
            ("guard", &guard),
            ("generalization", &generalization),
            ("drawdown", &drawdown),
            ("selection_clean", &selection_clean),
            ("selection_corrupted", &selection_corrupted),
        ])
        .map_err(prepare(|| "the splits".into()))?;

        // A network answers a split in one batch.
        let splits_read = [
            &repair,
            &guard,
            &generalization,
            &drawdown,
            &selection_clean,
            &selection_corrupted,
        ];
        let largest_batch = splits_read.map(Dataset::len).into_iter().max();
        let largest_batch = largest_batch.unwrap_or(1);
        let (mut subjects, mut checks) = (BTreeMap::new(), BTreeMap::new());
        for entry in &plan.networks {
            let what = || format!("network {}", entry.name);
            let checkpoint = Model::open(&entry.file.path).map_err(prepare(what))?;
            let network = Network::load(&checkpoint, &device, precision).map_err(prepare(what))?;
            let shape = checkpoint.graph().input_shape();
            let check = DeviceCheck::of(
                &checkpoint,
                choice,
                &device,
                precision,
                largest_batch,
                shape,
            );
            let trusted = || format!("device {choice} for network {}", entry.name);
            if let Some(check) = check.map_err(prepare(trusted))? {
                checks.insert(entry.name.clone(), check);
            }
            let choose = |split: &SplitPlan, set: &Dataset| -> Result<Scored> {
                let (positions, before) = kept(split, set, &network).map_err(prepare(what))?;
                let set = set.subset(&positions).map_err(prepare(what))?;
                Ok(Scored { set, before })
            };
            let (pool, _) = kept(&splits.repair, &repair, &network).map_err(prepare(what))?;
            let guard = choose(&splits.guard, &guard)?.set;
            let start = Instant::now();
            let moments =
                GuardMoments::collect(&network, &guard.inputs, &guard.shape, network.layers())
                    .map_err(prepare(what))?;
            let moments_seconds = start.elapsed().as_secs_f64();
            let selection_clean = choose(&splits.selection_clean, &selection_clean)?;
            let selection_corrupted = choose(&splits.selection_corrupted, &selection_corrupted)?;
            let start = Instant::now();
            for split in [&selection_clean, &selection_corrupted] {
                split.classes(&network).map_err(prepare(what))?;
            }
            let specimen = Specimen {
                selection_seconds: start.elapsed().as_secs_f64(),
                selection_clean,
                selection_corrupted,
                moments_seconds,
                moments,
                pool,
                guard,
                generalization: choose(&splits.generalization, &generalization)?,
                drawdown: choose(&splits.drawdown, &drawdown)?,
                checkpoint,
                network,
            };
            subjects.insert(entry.name.clone(), specimen);
        }
        Ok(Self {
            plan: plan.clone(),
            device,
            precision,
            checks,
            subjects,
            sets: Sets {
                repair,
                repair_clean,
            },
            keep: options.networks.clone(),
            // One counter serves the whole process: beside other jobs it says nothing.
            heap: heap.filter(|_| plan.jobs == 1),
        })
    }

    fn specimen(&self, network: &str) -> Result<&Specimen> {
        self.subjects
            .get(network)
            .ok_or_else(|| ExperimentError::Prepare {
                what: format!("network {network}"),
                source: "the plan names no such network".into(),
            })
    }

    /// Positions in the repair pool of a repair set.
    fn draw(&self, set: &SetKey) -> Result<Vec<usize>> {
        let pool = &self.specimen(&set.network)?.pool;
        let what = || format!("repair set {set}");
        let positions = match self.plan.splits.repair.order {
            Order::Random => {
                data::split::sample(pool.len(), set.points, set.seed).map_err(prepare(what))?
            }
            Order::First if set.points <= pool.len() => (0..set.points).collect(),
            Order::First => {
                let error = data::DataError::PoolTooSmall {
                    wanted: set.points,
                    available: pool.len(),
                };
                return Err(prepare(what)(error));
            }
        };
        Ok(positions.into_iter().map(|i| pool[i]).collect())
    }

    fn score(&self, set: &SetKey) -> Result<Vec<SelectionRecord>, Cause> {
        let specimen = self.specimen(&set.network)?;
        let positions = self.draw(set)?;
        let points = self.sets.repair.subset(&positions)?;
        let clean = match &self.sets.repair_clean {
            Some(clean) => Some(clean.subset(&positions)?.inputs),
            None => None,
        };
        let margin = self.plan.reference().map_or(0.0, |method| method.margin);
        let repair_set = RepairSet::argmax(&points, margin)?;
        let subject = Subject {
            network: &specimen.network,
            set: &repair_set,
            guard: (&specimen.guard.inputs, &specimen.guard.labels),
            guard_shape: &specimen.guard.shape,
            moments: &specimen.moments,
            damping: repair::DAMPING,
            clean: clean.as_deref(),
            phases: &Phase::ALL,
            measured: MEASURED,
        };
        let statistics = Statistics::collect(&subject, set.seed)?;
        let mut records = Vec::new();
        for name in &self.plan.heuristics.names {
            let heuristic = heuristics::by_name(name)?;
            let mut scores = heuristic.scores(&statistics);
            for (layer, score) in statistics.layers.iter().zip(&mut scores) {
                if !self.repairs(&layer.layer.name) {
                    *score = None;
                }
            }
            let Some(picked) = heuristics::pick(&scores) else {
                continue;
            };
            let mut seconds = statistics.seconds_of(heuristic.phases());
            if heuristic.phases().contains(&Phase::FirstOrder) {
                seconds += specimen.moments_seconds;
            }
            records.push(SelectionRecord {
                heuristic: name.clone(),
                network: set.network.clone(),
                points: set.points,
                seed: set.seed,
                layer: statistics.layers[picked].layer.index,
                scores: statistics
                    .layers
                    .iter()
                    .zip(scores)
                    .map(|(layer, score)| LayerScore {
                        layer: layer.layer.index,
                        score,
                    })
                    .collect(),
                seconds,
            });
        }
        Ok(records)
    }

    /// Whether the plan repairs the layer of that name.
    fn repairs(&self, layer: &str) -> bool {
        match &self.plan.layers {
            Choice::All => true,
            Choice::Named(names) => names.iter().any(|name| name == layer),
        }
    }
}

impl Lab for Laboratory {
    fn layers(&self, network: &str) -> Result<Vec<Layer>> {
        let layers = self.specimen(network)?.network.layers();
        Ok(layers
            .iter()
            .map(|layer| Layer {
                index: layer.index,
                name: layer.name.clone(),
            })
            .collect())
    }

    fn run(&self, trial: &Trial) -> Result<TrialRecord> {
        self.attempt(trial)
            .map_err(|source| ExperimentError::Trial {
                trial: trial.id.clone(),
                source,
            })
    }

    fn select(&self, set: &SetKey) -> Result<Vec<SelectionRecord>> {
        self.score(set)
            .map_err(|source| ExperimentError::Selection {
                set: set.to_string(),
                source,
            })
    }

    fn overhead(&self, network: &str) -> Result<Overhead> {
        let specimen = self.specimen(network)?;
        let reads_moments = self
            .plan
            .reference()
            .is_some_and(|method| method.objective == Objective::Guarded.name());
        Ok(Overhead {
            moments: if reads_moments {
                specimen.moments_seconds
            } else {
                0.0
            },
            evaluation: specimen.selection_seconds,
        })
    }

    fn device_checks(&self) -> BTreeMap<String, DeviceCheck> {
        self.checks.clone()
    }

    fn splits(&self) -> Result<Vec<SplitSummary>> {
        let mut summaries = Vec::new();
        let summary = |split: &str, plan: &SplitPlan, set: &Dataset| SplitSummary {
            split: split.to_owned(),
            network: None,
            points: None,
            seed: None,
            source: plan.source.clone(),
            corruption: plan.corruption.clone(),
            ids: set.ids.iter().map(|id| id.index).collect(),
        };
        let splits = &self.plan.splits;
        for (name, specimen) in &self.subjects {
            for (split, plan, set) in [
                ("guard", &splits.guard, &specimen.guard),
                (
                    "generalization",
                    &splits.generalization,
                    &specimen.generalization.set,
                ),
                ("drawdown", &splits.drawdown, &specimen.drawdown.set),
                (
                    "selection_clean",
                    &splits.selection_clean,
                    &specimen.selection_clean.set,
                ),
                (
                    "selection_corrupted",
                    &splits.selection_corrupted,
                    &specimen.selection_corrupted.set,
                ),
            ] {
                summaries.push(SplitSummary {
                    network: Some(name.clone()),
                    ..summary(split, plan, set)
                });
            }
            for &points in &self.plan.points {
                for &seed in &self.plan.seeds {
                    let key = SetKey {
                        network: name.clone(),
                        points,
                        seed,
                    };
                    let drawn = self
                        .sets
                        .repair
                        .subset(&self.draw(&key)?)
                        .map_err(prepare(|| key.to_string()))?;
                    summaries.push(SplitSummary {
                        network: Some(name.clone()),
                        points: Some(points),
                        seed: Some(seed),
                        ..summary("repair", &splits.repair, &drawn)
                    });
                }
            }
        }
        Ok(summaries)
    }
}
