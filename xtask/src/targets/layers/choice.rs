//! The search within a budget, on a repair set of which brute force is known.

use std::time::{Duration, Instant};

use data::Dataset;
use heuristics::{Combination, Probe, Question, WORTH, auto};
use miette::IntoDiagnostic;
use repair::Method;
use serde::{Deserialize, Serialize};

use super::brute::{Elsewhere, Probes, boxed};
use super::sets::SetKey;
use crate::targets::measure::Bench;

/// What the search came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Chosen {
    pub(super) set: SetKey,
    pub(super) build: String,
    /// The weights of the prior, fitted on other networks.
    pub(super) weights: Vec<(String, f64)>,
    budget_seconds: f64,
    /// Seconds of the scores and the guard moments for them; of asking one network for its answers
    /// on the selection split; of everything, the original network's answers included; and of the
    /// repair that is kept.
    pub(super) prior_seconds: f64,
    pub(super) selection_seconds: f64,
    pub(super) seconds: f64,
    pub(super) kept_seconds: f64,
    /// Indices of the layers by the prior, and after the pilots.
    pub(super) order: Vec<usize>,
    pub(super) ranking: Vec<usize>,
    pilots: usize,
    attempts: usize,
    /// Indices of the layers of the repair that is kept, none without one, and how it is made.
    pub(super) layers: Vec<usize>,
    method: String,
    /// Whether the margin of the repair is another than that of brute force.
    #[serde(default)]
    other_margin: bool,
    confidence: Option<f64>,
    /// On the second half of the test split.
    #[serde(flatten)]
    pub(super) elsewhere: Elsewhere,
}

impl Chosen {
    /// Whether this prior made it.
    pub(super) fn is_by(&self, prior: &Combination) -> bool {
        let now = prior.names.iter().zip(&prior.weights);
        let is_same = |((name, weight), (other, now)): (&(String, f64), (&String, &f64))| {
            name == other && (weight - now).abs() < 1e-9
        };
        self.weights.len() == prior.names.len() && self.weights.iter().zip(now).all(is_same)
    }

    /// The layer of the repair that is kept, where brute force makes the same one: at one layer,
    /// sequentially, with the margin of the bench.
    pub(super) fn layer_of_brute_force(&self) -> Option<usize> {
        match self.layers.as_slice() {
            &[layer] if self.method == Method::Sequential.name() && !self.other_margin => {
                Some(layer)
            }
            _ => None,
        }
    }
}

/// Where a choice is made: everything but the points and the budget.
pub(super) struct Chooser<'a> {
    pub(super) bench: &'a Bench,
    pub(super) guard: &'a Dataset,
    pub(super) selection: &'a Dataset,
    pub(super) probes: &'a Probes<'a>,
    pub(super) prior: &'a Combination,
    pub(super) build: &'a str,
}

impl Chooser<'_> {
    /// Chooses within a budget, and scores what is kept.
    pub(super) fn choose(
        &self,
        key: &SetKey,
        points: &Dataset,
        budget: Duration,
    ) -> miette::Result<Chosen> {
        let network = &self.bench.subject.network;
        let start = Instant::now();
        let selection = Probe::new(network, self.selection).into_diagnostic()?;
        let selection_seconds = start.elapsed().as_secs_f64();
        let question = Question {
            network,
            checkpoint: &self.bench.subject.checkpoint,
            points,
            margin: self.bench.margin,
            guard: self.guard,
            clean: &selection,
            similar: None,
            worth: WORTH,
            prior: self.prior,
            options: &boxed(self.bench),
            budget,
        };
        let choice = auto(&question).into_diagnostic()?;
        let seconds = start.elapsed().as_secs_f64();
        let kept = choice.kept();
        let repair = kept.and_then(|attempt| attempt.trial.repair());
        let compared = repair.map(|repair| self.probes.compare(network, repair));
        let compared = compared.transpose().into_diagnostic()?.flatten();
        let Combination { names, weights } = self.prior;
        Ok(Chosen {
            set: key.clone(),
            build: self.build.to_owned(),
            weights: names.iter().cloned().zip(weights.iter().copied()).collect(),
            budget_seconds: budget.as_secs_f64(),
            prior_seconds: choice.prior.moments_seconds + choice.prior.score_seconds,
            selection_seconds,
            seconds,
            kept_seconds: kept.map_or(0.0, |attempt| attempt.trial.repair_seconds),
            order: choice.prior.order(),
            pilots: choice.pilots.len(),
            attempts: choice.attempts.len(),
            layers: kept.map_or(Vec::new(), |attempt| attempt.layers.clone()),
            method: kept.map_or(String::new(), |attempt| attempt.method.to_string()),
            other_margin: kept.is_some_and(|attempt| attempt.margin != self.bench.margin),
            confidence: choice.confidence(),
            elsewhere: compared.map_or(Elsewhere::default(), |(elsewhere, halves)| Elsewhere {
                test: Some(halves[1]),
                ..elsewhere
            }),
            ranking: choice.ranking,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::chosen;
    use super::*;

    #[test]
    fn brute_force_repairs_one_layer_sequentially_with_its_own_margin() {
        let layer = |layers: &[usize], method: &str, other_margin: bool| {
            let chosen = Chosen {
                other_margin,
                ..chosen(0, layers, method, 1.0)
            };
            chosen.layer_of_brute_force()
        };
        assert_eq!(layer(&[3], "sequential", false), Some(3));
        assert_eq!(layer(&[3], "sequential", true), None);
        assert_eq!(layer(&[3], "frozen", false), None);
        assert_eq!(layer(&[3, 4], "sequential", false), None);
        assert_eq!(layer(&[], "", false), None);
    }
}
