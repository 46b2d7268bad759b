//! A few points at one layer after the other.

use std::time::{Duration, Instant};

use repair::{GuardMoments, Method, Options, Outcome, RepairError, RepairSet, StopReason};

use crate::HeuristicError;
use crate::auto::{Clock, Question};
use crate::probe::{Probe, Trial};

/// Points of a pilot.
const POINTS: usize = 5;
/// The largest share of all points: a pilot of most of them would be an attempt.
const SHARE: f64 = 0.5;
/// Clean examples that a pilot is compared on.
const EXAMPLES: usize = 100;
/// Share of the budget after which no pilot starts.
const PILOT_SHARE: f64 = 0.5;
/// How much longer than those that repaired a pilot may take: a layer that is hopeless must not
/// take the time of the others.
const PATIENCE: f64 = 3.0;
/// Share of the time for pilots that each may take.
const LEAST_SHARE: f64 = 0.1;

/// A few points repaired at one layer.
#[derive(Clone, Debug)]
pub struct Pilot {
    /// Index of the layer in the network.
    pub layer: usize,
    /// How many points.
    pub points: usize,
    /// How it ended.
    pub end: PilotEnd,
    /// Share that is right, in percent.
    pub efficacy: f64,
    /// Divergence on some of the clean examples; infinite unless repaired.
    pub harm: f64,
    /// Seconds.
    pub seconds: f64,
}

/// How a pilot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PilotEnd {
    /// All of its points are right.
    Repaired,
    /// They are not, and no step makes progress.
    Failed,
    /// Its time was over.
    CutShort,
}

impl PilotEnd {
    fn of(trial: &Trial) -> Self {
        match &trial.outcome {
            Outcome::Repaired(_) if trial.effects.is_some() => Self::Repaired,
            Outcome::Unknown(unfinished) if matches!(unfinished.reason, StopReason::Time(_)) => {
                Self::CutShort
            }
            _ => Self::Failed,
        }
    }
}

/// Few points at the layers in their order, while there is time.
pub(super) fn run(
    question: &Question<'_>,
    sketch: &GuardMoments,
    order: &[usize],
    clock: &Clock,
) -> Result<Vec<Pilot>, HeuristicError> {
    if clock.share() > PILOT_SHARE {
        return Ok(Vec::new());
    }
    let set = hardest(question)?;
    let sample = question.clean.sample(EXAMPLES);
    let probe = sample.probe(question.network)?;
    let mut pilots = Vec::new();
    for &layer in order {
        if clock.share() > PILOT_SHARE {
            break;
        }
        let options = Options {
            time_limit: Some(limit(&pilots, clock)),
            method: Method::Sequential,
            ..question.options.clone()
        };
        pilots.push(question.pilot(&set, sketch, layer, &options, &probe)?);
    }
    Ok(pilots)
}

/// Time for the next pilot: a few times the median of those that repaired, and some; all there is
/// until one has, since the layers come with the most promising one first.
fn limit(pilots: &[Pilot], clock: &Clock) -> Duration {
    let all = clock.budget.mul_f64(PILOT_SHARE);
    let left = all.saturating_sub(clock.start.elapsed());
    let repaired = pilots
        .iter()
        .filter(|pilot| pilot.end == PilotEnd::Repaired);
    let mut seconds: Vec<f64> = repaired.map(|pilot| pilot.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let Some(median) = seconds.get(seconds.len() / 2) else {
        return left;
    };
    let some = all.mul_f64(LEAST_SHARE);
    left.min(some.max(Duration::from_secs_f64(PATIENCE * median)))
}

/// The points that lack most: they decide what a repair costs, and whether there is one.
fn hardest(question: &Question<'_>) -> Result<RepairSet, HeuristicError> {
    let set = RepairSet::argmax(question.points, question.margin)?;
    let outputs = repair::outputs(question.network, &set.inputs, &set.shape)?;
    let lacks = set.violations(&outputs);
    let count = ((set.len() as f64 * SHARE).ceil() as usize).min(POINTS);
    let mut order: Vec<usize> = (0..set.len()).collect();
    order.sort_by(|&i, &j| lacks[j].total_cmp(&lacks[i]));
    order.truncate(count);
    order.sort_unstable();
    Ok(set.subset(&order)?)
}

impl Question<'_> {
    /// Repairs a few points at one layer.
    fn pilot(
        &self,
        set: &RepairSet,
        sketch: &GuardMoments,
        layer: usize,
        options: &Options,
        probe: &Probe<'_>,
    ) -> Result<Pilot, HeuristicError> {
        let layers = std::slice::from_ref(&self.network.layers()[layer]);
        let start = Instant::now();
        let trial = match Trial::run(&self.problem(layers, set, sketch), options, probe) {
            // The moments of this layer make no metric.
            Err(HeuristicError::Repair(RepairError::Metric { .. })) => None,
            trial => Some(trial?),
        };
        let trial = trial.as_ref();
        let found = Pilot {
            layer,
            points: set.len(),
            end: trial.map_or(PilotEnd::Failed, PilotEnd::of),
            efficacy: trial.map_or(0.0, Trial::efficacy),
            harm: trial.map_or(f64::INFINITY, Trial::harm),
            seconds: start.elapsed().as_secs_f64(),
        };
        tracing::info!(
            layer = layers[0].name,
            efficacy = found.efficacy,
            harm = found.harm,
            seconds = found.seconds,
            "pilot"
        );
        Ok(found)
    }
}

/// Layers by what is known of them: those whose pilots repaired by their place in the order and
/// by the harm of their pilots, which count alike; then those without a pilot or with one that was
/// cut short; then those that a pilot failed at, by efficacy.
pub(super) fn ranking(order: &[usize], pilots: &[Pilot]) -> Vec<usize> {
    let with = |end: PilotEnd| pilots.iter().filter(move |pilot| pilot.end == end);
    let mut repaired: Vec<&Pilot> = with(PilotEnd::Repaired).collect();
    repaired.sort_by(|a, b| a.harm.total_cmp(&b.harm));
    // The pilots ran in the order of the layers.
    let by_order: Vec<usize> = with(PilotEnd::Repaired).map(|pilot| pilot.layer).collect();
    let place = |layer: usize| by_order.iter().position(|&other| other == layer);
    let mut repaired: Vec<(usize, usize)> = repaired
        .iter()
        .enumerate()
        .map(|(by_harm, pilot)| (by_harm + place(pilot.layer).unwrap_or(0), pilot.layer))
        .collect();
    repaired.sort_by_key(|&(places, _)| places);
    let mut failed: Vec<&Pilot> = with(PilotEnd::Failed).collect();
    failed.sort_by(|a, b| b.efficacy.total_cmp(&a.efficacy));
    let judged = |layer: &usize| {
        let judged = |pilot: &Pilot| pilot.layer == *layer && pilot.end != PilotEnd::CutShort;
        pilots.iter().any(judged)
    };
    let open = order.iter().copied().filter(|layer| !judged(layer));
    let repaired = repaired.into_iter().map(|(_, layer)| layer);
    repaired
        .chain(open)
        .chain(failed.into_iter().map(|pilot| pilot.layer))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pilot(layer: usize, end: PilotEnd, harm: f64) -> Pilot {
        Pilot {
            layer,
            points: 5,
            end,
            efficacy: 100.0 - harm,
            harm,
            seconds: 1.0,
        }
    }

    #[test]
    fn repaired_pilots_come_first_and_failed_ones_last() {
        use PilotEnd::{CutShort, Failed, Repaired};
        let pilots = [
            pilot(4, Repaired, 0.3),
            pilot(2, Repaired, 0.2),
            pilot(7, Repaired, 0.1),
            pilot(1, Failed, 50.0),
            pilot(5, Failed, 20.0),
            pilot(0, CutShort, 0.0),
        ];
        // 7 gains two places by its pilot and 4 loses two: all are level, and harm decides.
        let order = [4, 2, 7, 1, 5, 0, 3, 6];
        assert_eq!(ranking(&order, &pilots), [7, 2, 4, 0, 3, 6, 5, 1]);
        // One that harms least and was expected to is first.
        let pilots = [pilot(4, Repaired, 0.1), pilot(2, Repaired, 0.2)];
        assert_eq!(ranking(&[4, 2, 7], &pilots), [4, 2, 7]);
    }
}
