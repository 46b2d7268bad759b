//! The layers before any is tried.

use std::time::Instant;

use data::{Dataset, spread};
use repair::{DAMPING, GuardMoments, RepairSet};

use crate::HeuristicError;
use crate::auto::Question;
use crate::scores::pick;
use crate::statistics::{Statistics, Subject};

/// Points from which layers are scored.
pub const PRIOR_POINTS: usize = 8;
/// Guard examples from which layers are scored.
pub const PRIOR_GUARD: usize = SKETCH + MEASURED;
/// Those of them that the metric is taken from.
const SKETCH: usize = 64;
/// Those at which first-order repairs are measured.
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
}

impl Prior {
    /// Scores all layers from a few points and guard examples.
    ///
    /// # Errors
    /// As [`Statistics::collect`] and [`GuardMoments::collect`].
    pub fn new(question: &Question<'_>) -> Result<Self, HeuristicError> {
        Ok(Self::with_sketch(question)?.0)
    }

    /// The same, with moments of all layers from a few guard examples.
    pub(super) fn with_sketch(
        question: &Question<'_>,
    ) -> Result<(Self, GuardMoments), HeuristicError> {
        let Question {
            network,
            guard,
            prior,
            ..
        } = *question;
        let start = Instant::now();
        let layers = repair::repairable(network);
        let [few, others] = apart(guard)?;
        let sketch = GuardMoments::collect(network, &few.inputs, &few.shape, &layers)?;
        let moments_seconds = start.elapsed().as_secs_f64();
        let set = RepairSet::argmax(question.points, question.margin)?;
        let subject = Subject {
            network,
            set: &set.thinned(PRIOR_POINTS)?,
            guard: (&others.inputs, &others.labels),
            guard_shape: &others.shape,
            moments: &sketch,
            damping: DAMPING,
            clean: None,
            phases: &prior.phases()?,
            measured: others.len(),
        };
        let statistics = Statistics::collect(&subject, SEED)?;
        let prior = Self {
            scores: prior.prior(network, &statistics)?,
            statistics,
            moments_seconds,
            score_seconds: start.elapsed().as_secs_f64() - moments_seconds,
        };
        Ok((prior, sketch))
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

/// Guard examples for the moments and others for what is measured, spread evenly over the set, which
/// may be sorted; the same ones where there are too few. A change can hide from the examples that
/// its metric was taken from.
fn apart(guard: &Dataset) -> Result<[Dataset; 2], HeuristicError> {
    let every = PRIOR_GUARD / MEASURED;
    let (mut few, mut others): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    for (i, position) in spread(guard.len(), PRIOR_GUARD).into_iter().enumerate() {
        match i % every == every - 1 {
            true => others.push(position),
            false => few.push(position),
        }
    }
    if others.is_empty() {
        others = few.clone();
    }
    Ok([guard.subset(&few)?, guard.subset(&others)?])
}

#[cfg(test)]
mod tests {
    use data::ExampleId;

    use super::*;

    fn guard(count: usize) -> Dataset {
        Dataset {
            inputs: (0..count).map(|i| i as f32).collect(),
            shape: vec![1],
            labels: vec![0; count],
            classes: 1,
            ids: (0..count as u32)
                .map(|i| ExampleId::clean("drawn", i))
                .collect(),
        }
    }

    #[test]
    fn what_is_measured_is_not_what_the_metric_is_taken_from() {
        for count in [3, 50, 96, 500] {
            let [few, others] = apart(&guard(count)).unwrap();
            assert!(few.len() <= SKETCH && others.len() <= MEASURED);
            assert_eq!(few.len() + others.len(), count.min(PRIOR_GUARD));
            assert!(others.inputs.iter().all(|x| !few.inputs.contains(x)));
            // Both reach from one end of the set to the other.
            assert!(few.inputs.last().unwrap() * 3.0 >= count as f32);
        }
        let [few, others] = apart(&guard(1)).unwrap();
        assert_eq!(few.inputs, others.inputs);
    }
}
