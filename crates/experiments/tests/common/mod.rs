//! A laboratory without networks: measures are computed from the trial's identifier, so that runs can be
//! compared. They mean nothing.

#![allow(dead_code, reason = "every test binary uses a part of this module")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use experiments::error::{ExperimentError, Result};
use experiments::manifest::{Manifest, SplitSummary};
use experiments::plan::{Files, ResolvedPlan, Vocabulary};
use experiments::progress::Progress;
use experiments::record::{
    Accuracies, Example, LayerScore, Outcome, Phases, Price, SelectionRecord, TrialRecord,
};
use experiments::regret::Overhead;
use experiments::results::Results;
use experiments::run::{Done, Lab, Layer, SetKey, Trial, execute, layers};
use experiments::store::RunDirectory;
use network::{CheckedOperator, DEVICE_TOLERANCE, DeviceCheck, DeviceChoice, Precision};

pub(crate) const VOCABULARY: Vocabulary<'static> = Vocabulary {
    methods: &["frozen", "sequential"],
    objectives: &["guarded", "l2", "aprnn"],
    heuristics: &["first-order-cost", "gradient-norm", "last", "random"],
    corruptions: &["fog", "rotate"],
};

pub(crate) const PLAN: &str = r#"name = "test"
seeds = [0, 1]
points = [10, 50]
jobs = 1

[[networks]]
name = "net"
file = "weights/net.safetensors"

[[methods]]
method = "sequential"
objective = "guarded"
margin = 1.0

[[methods]]
method = "frozen"
objective = "aprnn"
time_limit = 10.0

[heuristics]
reference = 0
default = "first-order-cost"

[splits.repair]
images = "datasets/test.gz"
labels = "datasets/labels.gz"
source = "digits"
corruption = "fog"
range = [0, 2000]
keep = "wrong"
order = "random"

[splits.generalization]
images = "datasets/test.gz"
labels = "datasets/labels.gz"
source = "digits"
corruption = "fog"
range = [2000, 6000]

[splits.drawdown]
images = "datasets/test.gz"
labels = "datasets/labels.gz"
source = "digits"
range = [6000, 10000]

[splits.guard]
images = "datasets/train.gz"
labels = "datasets/labels.gz"
source = "training"
range = [0, 5000]

[splits.selection_clean]
images = "datasets/train.gz"
labels = "datasets/labels.gz"
source = "training"
range = [5000, 7500]

[splits.selection_corrupted]
images = "datasets/train.gz"
labels = "datasets/labels.gz"
source = "training"
corruption = "fog"
range = [7500, 10000]
"#;

/// A repository with every file that [`PLAN`] names.
pub(crate) fn repository() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in [
        "weights/net.safetensors",
        "datasets/test.gz",
        "datasets/labels.gz",
        "datasets/train.gz",
    ] {
        let path = root.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file).unwrap();
    }
    root
}

pub(crate) fn plan(root: &Path) -> ResolvedPlan {
    ResolvedPlan::parse("plan.toml", PLAN, &VOCABULARY, root, Files::Required).unwrap()
}

/// Deterministic numbers in [0, 1) from a text.
fn noise(text: &str, salt: u64) -> f64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64 ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in text.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    state ^= state >> 29;
    state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (state >> 11) as f64 / (1_u64 << 53) as f64
}

/// Measures from identifiers; times from a clock that differs from run to run.
pub(crate) struct SyntheticLab {
    pub(crate) layer_count: usize,
    /// The call that fails, counted from 0.
    pub(crate) fails_at: Option<usize>,
    pub(crate) panics: bool,
    pub(crate) clock: AtomicUsize,
    pub(crate) calls: AtomicUsize,
    /// What was found of the device; nothing of the reference device.
    pub(crate) check: Option<DeviceCheck>,
}

impl SyntheticLab {
    pub(crate) fn new(layer_count: usize, clock: usize) -> Self {
        Self {
            layer_count,
            fails_at: None,
            panics: false,
            clock: AtomicUsize::new(clock),
            calls: AtomicUsize::new(0),
            check: None,
        }
    }

    fn seconds(&self) -> f64 {
        0.01 * (1 + self.clock.fetch_add(1, Ordering::Relaxed) % 97) as f64
    }
}

impl Lab for SyntheticLab {
    fn layers(&self, _network: &str) -> Result<Vec<Layer>> {
        Ok((0..self.layer_count)
            .map(|index| Layer {
                index,
                name: (2 * index).to_string(),
            })
            .collect())
    }

    fn run(&self, trial: &Trial) -> Result<TrialRecord> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.fails_at == Some(call) {
            assert!(!self.panics, "the synthetic laboratory burns down");
            return Err(ExperimentError::Prepare {
                what: "a synthetic failure".to_owned(),
                source: "as asked".into(),
            });
        }
        Ok(record(trial, self.seconds()))
    }

    fn select(&self, set: &SetKey) -> Result<Vec<SelectionRecord>> {
        let records = VOCABULARY.heuristics.iter().map(|&heuristic| {
            let scores: Vec<LayerScore> = (0..self.layer_count)
                .map(|layer| LayerScore {
                    layer,
                    score: Some(noise(&format!("{heuristic}{set}"), layer as u64)),
                })
                .collect();
            let best =
                |a: &&LayerScore, b: &&LayerScore| a.score.unwrap().total_cmp(&b.score.unwrap());
            SelectionRecord {
                heuristic: heuristic.to_owned(),
                network: set.network.clone(),
                points: set.points,
                seed: set.seed,
                layer: scores.iter().max_by(best).unwrap().layer,
                scores: scores.clone(),
                seconds: self.seconds(),
            }
        });
        Ok(records.collect())
    }

    fn overhead(&self, _network: &str) -> Result<Overhead> {
        Ok(Overhead {
            moments: 2.0,
            evaluation: 0.5,
        })
    }

    fn device_checks(&self) -> BTreeMap<String, DeviceCheck> {
        let found = self.check.iter();
        found
            .map(|check| ("net".to_owned(), check.clone()))
            .collect()
    }

    fn splits(&self) -> Result<Vec<SplitSummary>> {
        let summary = |split: &str, points: Option<usize>, size: u32| SplitSummary {
            split: split.to_owned(),
            network: points.map(|_| "net".to_owned()),
            points,
            seed: points.map(|_| 0),
            source: "digits".to_owned(),
            corruption: "fog".to_owned(),
            ids: (0..size).collect(),
        };
        Ok(vec![
            summary("repair", None, 613),
            summary("repair", Some(10), 10),
            summary("guard", None, 5000),
            summary("drawdown", None, 4000),
        ])
    }
}

/// A device that is right up to `forward` on two operators.
pub(crate) fn device_check(forward: f64) -> DeviceCheck {
    let operator = |name: &str, forward, backward| CheckedOperator {
        operator: name.to_owned(),
        nodes: vec!["0".to_owned(), "2".to_owned()],
        forward,
        backward,
        seconds: 0.25,
    };
    DeviceCheck {
        device: DeviceChoice::Wgpu,
        precision: Precision::F32,
        fusion: false,
        autotune: false,
        batch: 512,
        shape: vec![784],
        tolerance: DEVICE_TOLERANCE,
        seconds: 1.5,
        operators: vec![
            operator(
                "linear 784 -> 100 + bias on [512, 784]",
                forward,
                Some(2e-6),
            ),
            operator("the whole network", 1e-7, None),
        ],
    }
}

/// A record of `trial` with measures that vary by layer, seed and method.
pub(crate) fn record(trial: &Trial, seconds: f64) -> TrialRecord {
    let wobble = noise(&trial.id, 0);
    let depth = trial.layer.index as f64;
    let slow = trial.method.objective == "aprnn";
    let outcome = if slow && trial.layer.index == 0 {
        Outcome::Unknown {
            stop: "time".to_owned(),
            reason: "stopped after 10 s with 3 of 10 points <right> & \"proved\"".to_owned(),
        }
    } else if slow && wobble > 0.8 {
        Outcome::Infeasible {
            reason: "points 3 and 7 conflict".to_owned(),
        }
    } else {
        Outcome::Repaired
    };
    let repaired = outcome.is_repaired();
    let only = |value: f64| repaired.then_some(value);
    TrialRecord {
        efficacy: Some(if repaired { 100.0 } else { 70.0 }),
        generalization: only(30.0 + 12.0 * wobble + trial.points_share() - 6.0 * depth),
        drawdown: only(-0.1 + 0.4 * depth * depth * (0.5 + wobble) + if slow { 1.5 } else { 0.0 }),
        agreement: only(99.5 - 2.0 * depth * wobble),
        least_margin: only(trial.method.margin),
        rows: 100 + (900.0 * wobble) as u64,
        rows_total: 10_900,
        rounds: 4,
        repair_seconds: seconds,
        peak_bytes: Some(50_000_000 + (seconds * 1e6) as u64),
        selection_generalization: only(29.0 + 12.0 * wobble - 6.0 * depth),
        selection_drawdown: only(0.4 * depth * depth * wobble),
        change_norm: only(1.0 + wobble),
        phases: Phases {
            prepare: 0.2 * seconds,
            solve: 0.7 * seconds,
            verify: 0.1 * seconds,
            evaluate: 0.3 * seconds,
        },
        before: Accuracies {
            repair: Some(0.0),
            generalization: Some(40.0),
            drawdown: Some(97.0),
        },
        after: Accuracies {
            repair: Some(if repaired { 100.0 } else { 70.0 }),
            generalization: only(70.0 + wobble),
            drawdown: only(96.9),
        },
        examples: vec![example(trial)],
        prices: (0..trial.set.points)
            .map(|point| Price {
                id: point.to_string(),
                price: noise(&trial.id, point as u64).powi(6),
            })
            .collect(),
        ..TrialRecord::new(trial, outcome)
    }
}

trait PointsShare {
    fn points_share(&self) -> f64;
}

impl PointsShare for Trial {
    fn points_share(&self) -> f64 {
        self.set.points as f64 / 5.0
    }
}

/// A ring of varying size.
fn example(trial: &Trial) -> Example {
    let radius = 5.0 + 6.0 * noise(&trial.id, 9);
    let pixel = |i: usize| {
        let (x, y) = ((i % 28) as f64 - 13.5, (i / 28) as f64 - 13.5);
        let distance = (x.hypot(y) - radius).abs();
        (255.0 * (1.0 - distance / 3.0).clamp(0.1, 1.0)) as u8
    };
    Example {
        id: format!("digits fog {}", (1000.0 * noise(&trial.id, 5)) as u32),
        split: "repair".to_owned(),
        width: 28,
        pixels: (0..784).map(pixel).collect(),
        label: 0,
        before: 6,
        after: 0,
    }
}

/// Starts a run of [`PLAN`] in `out`, or resumes it.
pub(crate) fn run(
    root: &Path,
    out: &Path,
    lab: &SyntheticLab,
    jobs: usize,
    resume: bool,
) -> Result<()> {
    let plan = ResolvedPlan { jobs, ..plan(root) };
    run_plan(&plan, out, lab, resume)
}

pub(crate) fn run_plan(
    plan: &ResolvedPlan,
    out: &Path,
    lab: &SyntheticLab,
    resume: bool,
) -> Result<()> {
    let layers = layers(plan, lab)?;
    let manifest = Manifest::new(plan, layers.clone())?;
    let splits = lab.splits()?;
    let (directory, done) = if resume {
        RunDirectory::resume(out, plan, &manifest, &splits, &VOCABULARY)?
    } else {
        (
            RunDirectory::create(out, plan, &manifest, &splits)?,
            Done::default(),
        )
    };
    execute(plan, &layers, lab, &directory, &done, &Progress::silent())?;
    directory.finish()?;
    Results::read(out, &VOCABULARY)?.write(out)
}

/// A CSV file without the columns that hold times or memory.
pub(crate) fn timeless(path: PathBuf) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().clone();
    let keep = |name: &str| !name.ends_with("seconds") && !name.ends_with("bytes");
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        let cells = header.iter().zip(row.iter()).filter(|(name, _)| keep(name));
        cells.map(|(_, cell)| cell.to_owned()).collect()
    });
    let mut table: Vec<Vec<String>> = vec![
        header
            .iter()
            .filter(|name| keep(name))
            .map(str::to_owned)
            .collect(),
    ];
    table.extend(rows.collect::<Vec<Vec<String>>>());
    table
}
