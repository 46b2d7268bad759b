//! Examples on which a network is compared with a repaired version of itself.

use std::time::Instant;

use data::{Dataset, spread};
use network::{Layer, Network};
use repair::{Behind, Options, Outcome, Problem, Repair, repair};

use crate::HeuristicError;
use crate::effects::{Effect, Effects};

/// Labelled examples, and what the original network says to them.
#[derive(Clone, Debug)]
pub struct Probe<'a> {
    inputs: &'a [f32],
    shape: &'a [usize],
    labels: &'a [usize],
    before: Vec<f64>,
    /// The examples at the layer up to which they have run.
    behind: Behind<'a>,
}

impl<'a> Probe<'a> {
    /// Asks `network` for its outputs on a dataset.
    ///
    /// # Errors
    /// [`HeuristicError::Network`] and [`HeuristicError::Repair`] when it does not fit.
    pub fn new(network: &Network, set: &'a Dataset) -> Result<Self, HeuristicError> {
        Self::of(network, &set.inputs, &set.shape, &set.labels)
    }

    /// The same for inputs (`labels x shape`, row-major).
    pub(crate) fn of(
        network: &Network,
        inputs: &'a [f32],
        shape: &'a [usize],
        labels: &'a [usize],
    ) -> Result<Self, HeuristicError> {
        let behind = Behind::new(network, inputs, shape)?;
        Ok(Self {
            before: behind.outputs(network)?,
            inputs,
            shape,
            labels,
            behind,
        })
    }

    /// At most `count` of the examples, spread evenly: they may be sorted.
    pub fn sample(&self, count: usize) -> Sample<'a> {
        let example: usize = self.shape.iter().product();
        let classes = self.before.len() / self.labels.len().max(1);
        let chosen = spread(self.labels.len(), count);
        let rows = chosen
            .iter()
            .map(|&i| &self.before[i * classes..(i + 1) * classes]);
        let inputs = chosen
            .iter()
            .map(|&i| &self.inputs[i * example..(i + 1) * example]);
        Sample {
            inputs: inputs.flatten().copied().collect(),
            shape: self.shape,
            labels: chosen.iter().map(|&i| self.labels[i]).collect(),
            before: rows.flatten().copied().collect(),
        }
    }

    /// Runs the examples on to a layer, as [`Behind::advance`]: from now on only networks that
    /// differ from the layer on can be compared.
    ///
    /// # Errors
    /// As [`Probe::new`].
    pub fn advance(
        &mut self,
        network: &Network,
        layer: &Layer,
        memory: usize,
    ) -> Result<(), HeuristicError> {
        self.behind.advance(network, layer, memory)?;
        Ok(())
    }

    /// How another network differs from the original one.
    ///
    /// # Errors
    /// As [`Probe::new`].
    pub fn effects(&self, network: &Network) -> Result<Effects, HeuristicError> {
        Ok(Effects::mean(&self.compare(network)?))
    }

    /// The same for every example.
    ///
    /// # Errors
    /// As [`Probe::new`].
    pub fn compare(&self, network: &Network) -> Result<Vec<Effect>, HeuristicError> {
        let [mut before, mut after] = [self.before.clone(), self.behind.outputs(network)?];
        if network.ends_in_softmax() {
            for y in before.iter_mut().chain(&mut after) {
                // Logarithms of probabilities are logits of the same distribution. A clamp
                // keeps what is no number.
                *y = y.clamp(f64::MIN_POSITIVE, f64::INFINITY).ln();
            }
        }
        Effect::of_each(&before, &after, self.labels)
    }
}

/// Some examples of a probe.
#[derive(Clone, Debug)]
pub struct Sample<'a> {
    inputs: Vec<f32>,
    shape: &'a [usize],
    labels: Vec<usize>,
    before: Vec<f64>,
}

impl Sample<'_> {
    /// The examples in front of the network.
    ///
    /// # Errors
    /// As [`Probe::new`].
    pub fn probe(&self, network: &Network) -> Result<Probe<'_>, HeuristicError> {
        Ok(Probe {
            inputs: &self.inputs,
            shape: self.shape,
            labels: &self.labels,
            before: self.before.clone(),
            behind: Behind::new(network, &self.inputs, self.shape)?,
        })
    }
}

/// One repair, and what it does elsewhere.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The answer.
    pub outcome: Outcome,
    /// On a probe; of a repair.
    pub effects: Option<Effects>,
    /// On every example of the probe; empty unless repaired.
    pub each: Vec<Effect>,
    /// Seconds of the repair.
    pub repair_seconds: f64,
    /// Seconds of both.
    pub seconds: f64,
}

impl Trial {
    /// Repairs, and measures what comes out on a probe.
    ///
    /// # Errors
    /// As [`repair()`] and [`Probe::effects`].
    pub fn run(
        problem: &Problem<'_>,
        options: &Options,
        probe: &Probe<'_>,
    ) -> Result<Self, HeuristicError> {
        let start = Instant::now();
        let outcome = repair(problem, options)?;
        let repair_seconds = start.elapsed().as_secs_f64();
        let each = match &outcome {
            Outcome::Repaired(repair) => Some(probe.compare(&loaded(problem.network, repair)?)?),
            _ => None,
        };
        let effects = each.as_ref().map(Effects::mean);
        Ok(Self {
            outcome,
            // A network that overflows elsewhere is no repair.
            effects: effects.filter(|effects| effects.divergence.is_finite()),
            each: each.unwrap_or_default(),
            repair_seconds,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// The repair, if it is one.
    pub fn repair(&self) -> Option<&Repair> {
        match &self.outcome {
            Outcome::Repaired(repair) => Some(repair),
            _ => None,
        }
    }

    /// Share of the points that are right in percent, 0 where nothing came out.
    pub fn efficacy(&self) -> f64 {
        match &self.outcome {
            Outcome::Repaired(repair) => repair.efficacy,
            Outcome::Unknown(unfinished) => unfinished.best.as_ref().map_or(0.0, |r| r.efficacy),
            Outcome::Infeasible(_) => 0.0,
        }
    }

    /// Divergence on the probe; infinite unless repaired.
    pub fn harm(&self) -> f64 {
        self.effects.map_or(f64::INFINITY, |e| e.divergence)
    }
}

/// The network of a repaired checkpoint, on the device of the original one.
pub(crate) fn loaded(original: &Network, repair: &Repair) -> Result<Network, HeuristicError> {
    let (device, precision) = (original.device(), original.precision());
    Ok(Network::load(&repair.checkpoint, device, precision)?)
}
