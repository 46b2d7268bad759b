//! Brute force: every repair set, repaired at every layer, and what that does elsewhere.

use std::time::{Duration, Instant};

use data::Dataset;
use heuristics::{Effects, HeuristicError, Probe};
use miette::IntoDiagnostic;
use network::{Layer, Network};
use repair::{GuardMoments, MAX_MEMORY, Options, Outcome, Problem, Repair, RepairError, RepairSet};
use serde::{Deserialize, Serialize};

use super::sets::{SetKey, Splits};
use crate::targets::measure::Bench;

/// Time of one repair. A layer that needs more counts as one that cannot be repaired.
pub(super) const TIME_BOX: Duration = Duration::from_secs(30);
/// Rounds of one repair of images or texts: unlike time they do not depend on what else the
/// machine does.
pub(super) const ROUNDS: usize = 40;

/// One repair set at one layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Trial {
    pub(super) set: SetKey,
    pub(super) layer: usize,
    pub(super) name: String,
    /// The build that made it.
    pub(super) build: String,
    /// Whether every point is right, with the margin, and the network is finite elsewhere.
    pub(super) repaired: bool,
    /// Points that are right in percent, where a network came out of it.
    pub(super) efficacy: Option<f64>,
    pub(super) seconds: f64,
    /// On the halves of the test split; of a repair.
    pub(super) halves: Option<[Effects; 2]>,
    #[serde(flatten)]
    pub(super) elsewhere: Elsewhere,
}

/// What a repair does on the examples that score it; nothing where there is no repair.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Elsewhere {
    /// On the test split.
    pub(super) test: Option<Effects>,
    /// Accuracy gained on examples like the repaired ones, in points.
    pub(super) generalization: Option<f64>,
}

/// The sets that every trial of a bench is scored on.
pub(super) struct Probes<'a> {
    test: Probe<'a>,
    similar: Option<Probe<'a>>,
}

impl<'a> Probes<'a> {
    pub(super) fn new(network: &Network, splits: &'a Splits) -> Result<Self, HeuristicError> {
        let similar = splits.similar.as_ref();
        Ok(Self {
            test: Probe::new(network, &splits.test)?,
            similar: similar.map(|set| Probe::new(network, set)).transpose()?,
        })
    }

    /// Runs the sets on to a layer.
    pub(super) fn advance(
        &mut self,
        network: &Network,
        layer: &Layer,
    ) -> Result<(), HeuristicError> {
        for probe in [&mut self.test].into_iter().chain(&mut self.similar) {
            probe.advance(network, layer, MAX_MEMORY)?;
        }
        Ok(())
    }

    /// What a repair does, and the same on the halves of the test split; `None` when the network
    /// overflows there, which is no repair.
    pub(super) fn compare(
        &self,
        network: &Network,
        repair: &Repair,
    ) -> Result<Option<(Elsewhere, [Effects; 2])>, HeuristicError> {
        let (device, precision) = (network.device(), network.precision());
        let repaired = Network::load(&repair.checkpoint, device, precision)?;
        let test = self.test.compare(&repaired)?;
        if test.iter().any(|effect| !effect.divergence.is_finite()) {
            return Ok(None);
        }
        let similar = self.similar.as_ref();
        let similar = similar.map(|set| set.effects(&repaired)).transpose()?;
        let elsewhere = Elsewhere {
            test: Some(Effects::mean(&test)),
            generalization: similar.map(|effects| 0.0 - effects.drawdown),
        };
        let half = |first: usize| Effects::mean(test.iter().skip(first).step_by(2));
        Ok(Some((elsewhere, [half(0), half(1)])))
    }
}

/// How far a repair may go.
pub(super) fn boxed(bench: &Bench) -> Options {
    let options = Options {
        time_limit: Some(TIME_BOX),
        ..Options::default()
    };
    match bench.guard.shape.len() {
        1 => options,
        _ => Options {
            max_rounds: ROUNDS,
            ..options
        },
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
    build: &str,
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
    let start = Instant::now();
    let outcome = repair::repair(&problem, &boxed(bench));
    let mut trial = Trial {
        set: key.clone(),
        layer: layer.index,
        name: layer.name.clone(),
        build: build.to_owned(),
        repaired: false,
        efficacy: None,
        seconds: start.elapsed().as_secs_f64(),
        halves: None,
        elsewhere: Elsewhere::default(),
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
    trial.efficacy = Some(repair.efficacy);
    if let Some((elsewhere, halves)) = probes.compare(network, &repair).into_diagnostic()? {
        trial.repaired = true;
        (trial.elsewhere, trial.halves) = (elsewhere, Some(halves));
    }
    Ok(trial)
}
