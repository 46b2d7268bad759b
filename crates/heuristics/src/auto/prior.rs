//! The layers before any is tried.

use std::time::Instant;

use repair::{DAMPING, GuardMoments, RepairSet};

use crate::HeuristicError;
use crate::auto::Question;
use crate::scores::pick;
use crate::statistics::{Statistics, Subject};

/// Points from which layers are scored.
pub const PRIOR_POINTS: usize = 8;
/// Guard examples from which layers are scored.
pub const SKETCH: usize = 64;
/// Guard examples at which first-order repairs are measured.
const MEASURED: usize = 32;
/// Seed of the random rule, which no combination should read.
const SEED: u64 = 0;

/// The layers before any is tried.
#[derive(Clone, Debug)]
pub struct Prior {
    /// What the scores were computed from.
    pub statistics: Statistics,
    /// The combined score of every layer of the network; `None` for layers that cannot be
    /// repaired.
    pub scores: Vec<Option<f64>>,
    /// Seconds of the guard moments of all layers.
    pub moments_seconds: f64,
    /// Seconds of the scores.
    pub score_seconds: f64,
    /// Moments of all layers, from a few guard examples.
    pub(super) sketch: GuardMoments,
}

impl Prior {
    /// Scores all layers from a few points and guard examples.
    ///
    /// # Errors
    /// As [`Statistics::collect`] and [`GuardMoments::collect`].
    pub fn new(question: &Question<'_>) -> Result<Self, HeuristicError> {
        let Question {
            network,
            guard,
            prior,
            ..
        } = *question;
        let count = guard.len().min(SKETCH);
        let inputs = &guard.inputs[..count * guard.example_len()];
        let start = Instant::now();
        let layers = repair::repairable(network);
        let sketch = GuardMoments::collect(network, inputs, &guard.shape, &layers)?;
        let moments_seconds = start.elapsed().as_secs_f64();
        let set = RepairSet::argmax(question.points, question.margin)?;
        let subject = Subject {
            network,
            set: &set.thinned(PRIOR_POINTS)?,
            guard: (inputs, &guard.labels[..count]),
            guard_shape: &guard.shape,
            moments: &sketch,
            damping: DAMPING,
            clean: None,
            phases: &prior.phases()?,
            measured: MEASURED,
        };
        let statistics = Statistics::collect(&subject, SEED)?;
        Ok(Self {
            scores: prior.prior(network, &statistics)?,
            statistics,
            moments_seconds,
            score_seconds: start.elapsed().as_secs_f64() - moments_seconds,
            sketch,
        })
    }

    /// Indices of the layers that can be repaired, those of the highest score first.
    pub fn order(&self) -> Vec<usize> {
        let mut open = self.scores.clone();
        let mut order = Vec::new();
        while let Some(next) = pick(&open) {
            open[next] = None;
            order.push(next);
        }
        order
    }
}
