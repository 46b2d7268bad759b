//! Brute force: every repair set, repaired at every layer, and what that does elsewhere.

use std::time::{Duration, Instant};

use data::Dataset;
use heuristics::Effects;
use miette::IntoDiagnostic;
use network::{Layer, Network};
use repair::{GuardMoments, Options, Outcome, Problem, RepairError, RepairSet};
use serde::{Deserialize, Serialize};

use super::sets::{SetKey, Splits};
use crate::targets::measure::Bench;

/// Time of one repair. A layer that needs more counts as one that cannot be repaired.
pub(super) const TIME_BOX: Duration = Duration::from_secs(20);

/// [`Effects`], as they are stored.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) examples: usize,
    pub(super) drawdown: f64,
    pub(super) changed: f64,
    pub(super) divergence: f64,
}

/// One repair set at one layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Trial {
    pub(super) set: SetKey,
    pub(super) layer: usize,
    pub(super) name: String,
    /// Whether every point is right, with the margin.
    pub(super) repaired: bool,
    /// Points that are right in percent, where a network came out of it.
    pub(super) efficacy: Option<f64>,
    pub(super) seconds: f64,
    /// On the selection split, the test split and the halves of the latter; of a repair.
    pub(super) selection: Option<Stored>,
    pub(super) test: Option<Stored>,
    pub(super) halves: Option<[Stored; 2]>,
    /// Accuracy gained on examples like the repaired ones, in points.
    pub(super) generalization: Option<f64>,
}

/// A set of examples and the network's outputs on it before any repair.
pub(super) struct Probe<'a> {
    set: &'a Dataset,
    before: Vec<f64>,
}

impl<'a> Probe<'a> {
    pub(super) fn new(network: &Network, set: &'a Dataset) -> miette::Result<Self> {
        let before = repair::outputs(network, &set.inputs, &set.shape).into_diagnostic()?;
        Ok(Self { set, before })
    }

    /// The effects on all examples, and on the even and the odd ones.
    fn effects(&self, repaired: &Network) -> miette::Result<[Stored; 3]> {
        let Dataset { inputs, shape, .. } = self.set;
        let after = repair::outputs(repaired, inputs, shape).into_diagnostic()?;
        let of = |keep: &dyn Fn(usize) -> bool| {
            let positions: Vec<usize> = (0..self.set.len()).filter(|&i| keep(i)).collect();
            let classes = self.before.len() / self.set.len().max(1);
            let rows = |outputs: &[f64]| -> Vec<f64> {
                let rows = positions.iter();
                rows.flat_map(|&i| outputs[i * classes..(i + 1) * classes].to_vec())
                    .collect()
            };
            let labels: Vec<usize> = positions.iter().map(|&i| self.set.labels[i]).collect();
            let effects = Effects::between(&rows(&self.before), &rows(&after), &labels);
            let effects = effects.into_diagnostic()?;
            Ok::<_, miette::Report>(Stored {
                examples: effects.examples,
                drawdown: effects.drawdown,
                changed: effects.changed,
                divergence: effects.divergence,
            })
        };
        Ok([of(&|_| true)?, of(&|i| i % 2 == 0)?, of(&|i| i % 2 == 1)?])
    }
}

/// The sets that every trial of a bench is scored on.
pub(super) struct Probes<'a> {
    selection: Probe<'a>,
    test: Probe<'a>,
    similar: Option<Probe<'a>>,
}

impl<'a> Probes<'a> {
    pub(super) fn new(network: &Network, splits: &'a Splits) -> miette::Result<Self> {
        let similar = splits.similar.as_ref();
        Ok(Self {
            selection: Probe::new(network, &splits.selection)?,
            test: Probe::new(network, &splits.test)?,
            similar: similar.map(|set| Probe::new(network, set)).transpose()?,
        })
    }
}

/// Repairs one set at one layer.
pub(super) fn trial(
    bench: &Bench,
    moments: &GuardMoments,
    probes: &Probes<'_>,
    key: &SetKey,
    points: &Dataset,
    layer: &Layer,
) -> miette::Result<Trial> {
    let set = RepairSet::argmax(points, bench.margin).into_diagnostic()?;
    let network = &bench.subject.network;
    let problem = Problem {
        network,
        checkpoint: &bench.subject.checkpoint,
        layers: std::slice::from_ref(layer),
        set: &set,
        guard: Some(moments),
        start: None,
    };
    let options = Options {
        time_limit: Some(TIME_BOX),
        ..Options::default()
    };
    let start = Instant::now();
    let outcome = repair::repair(&problem, &options);
    let mut trial = Trial {
        set: key.clone(),
        layer: layer.index,
        name: layer.name.clone(),
        repaired: false,
        efficacy: None,
        seconds: start.elapsed().as_secs_f64(),
        selection: None,
        test: None,
        halves: None,
        generalization: None,
    };
    let repair = match outcome {
        Ok(Outcome::Repaired(repair)) => repair,
        Ok(Outcome::Unknown(unfinished)) => {
            trial.efficacy = unfinished.best.map(|best| best.efficacy);
            return Ok(trial);
        }
        Ok(Outcome::Infeasible(_)) | Err(RepairError::Metric { .. }) => return Ok(trial),
        Err(error) => return Err(error).into_diagnostic(),
    };
    trial.repaired = true;
    trial.efficacy = Some(repair.efficacy);
    let (device, precision) = (network.device(), network.precision());
    let repaired = Network::load(&repair.checkpoint, device, precision).into_diagnostic()?;
    let [selection, ..] = probes.selection.effects(&repaired)?;
    let [test, even, odd] = probes.test.effects(&repaired)?;
    trial.selection = Some(selection);
    trial.test = Some(test);
    trial.halves = Some([even, odd]);
    if let Some(similar) = &probes.similar {
        let [effects, ..] = similar.effects(&repaired)?;
        trial.generalization = Some(-effects.drawdown);
    }
    Ok(trial)
}
