//! A few points at one layer after the other.

use std::time::Duration;

use repair::{Method, Options, RepairSet};

use crate::HeuristicError;
use crate::auto::{Clock, Prior, Question};
use crate::probe::{Probe, Trial};

/// Points of a pilot.
const POINTS: usize = 5;
/// The largest share of all points: a pilot of most of them would be an attempt.
const SHARE: f64 = 0.5;
/// Clean examples that a pilot is compared on.
const EXAMPLES: usize = 100;
/// Share of the budget after which no pilot starts.
const PILOT_SHARE: f64 = 0.5;
/// How much longer than the ones before a pilot may take: a layer that is hopeless must not take
/// the time of the others.
const PATIENCE: f64 = 3.0;

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
    /// They are not: it stalled, or took much longer than others.
    Failed,
    /// The time for pilots was over.
    CutShort,
}

/// Few points at the layers in their order, while there is time.
pub(super) fn run(
    question: &Question<'_>,
    prior: &Prior,
    order: &[usize],
    clock: &Clock,
) -> Result<Vec<Pilot>, HeuristicError> {
    let set = hardest(question)?;
    let probe = question.clean.first(question.network, EXAMPLES)?;
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
        pilots.push(question.pilot(&set, prior, layer, clock, &options, &probe)?);
    }
    Ok(pilots)
}

/// Time for the next pilot: all that is left of theirs, or a few times the median so far.
fn limit(pilots: &[Pilot], clock: &Clock) -> Duration {
    let left = clock.budget.mul_f64(PILOT_SHARE);
    let left = left.saturating_sub(clock.start.elapsed());
    let mut seconds: Vec<f64> = pilots.iter().map(|pilot| pilot.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    match seconds.get(seconds.len() / 2) {
        Some(median) => left.min(Duration::from_secs_f64(PATIENCE * median)),
        None => left,
    }
}

/// The points that lack most: they decide what a repair costs, and whether there is one.
fn hardest(question: &Question<'_>) -> Result<RepairSet, HeuristicError> {
    let set = RepairSet::argmax(question.points, question.margin)?;
    let outputs = repair::outputs(question.network, &set.inputs, &set.shape)?;
    let classes = question.network.classes().max(1);
    let points = set.points.iter().zip(outputs.chunks_exact(classes));
    let slack: Vec<f64> = points
        .map(|(inequalities, y)| {
            let slacks = inequalities.iter().map(|inequality| inequality.slack(y));
            slacks.fold(f64::INFINITY, f64::min)
        })
        .collect();
    let count = ((set.len() as f64 * SHARE).ceil() as usize).min(POINTS);
    let mut order: Vec<usize> = (0..set.len()).collect();
    order.sort_by(|&i, &j| slack[i].total_cmp(&slack[j]));
    order.truncate(count);
    order.sort_unstable();
    Ok(set.subset(&order)?)
}

impl Question<'_> {
    /// Repairs a few points at one layer.
    fn pilot(
        &self,
        set: &RepairSet,
        prior: &Prior,
        layer: usize,
        clock: &Clock,
        options: &Options,
        probe: &Probe<'_>,
    ) -> Result<Pilot, HeuristicError> {
        let layers = std::slice::from_ref(&self.network.layers()[layer]);
        let problem = self.problem(layers, set, &prior.sketch);
        let trial = Trial::run(&problem, options, probe)?;
        tracing::info!(
            layer = layers[0].name,
            efficacy = trial.efficacy(),
            harm = trial.harm(),
            seconds = trial.seconds,
            "pilot"
        );
        Ok(Pilot {
            layer,
            points: set.len(),
            end: match (&trial.effects, clock.share() > PILOT_SHARE) {
                (Some(_), _) => PilotEnd::Repaired,
                (None, false) => PilotEnd::Failed,
                (None, true) => PilotEnd::CutShort,
            },
            efficacy: trial.efficacy(),
            harm: trial.harm(),
            seconds: trial.seconds,
        })
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
