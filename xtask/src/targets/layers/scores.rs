//! What every heuristic says of every layer for a repair set.

use std::collections::BTreeMap;
use std::time::Instant;

use data::Dataset;
use heuristics::{ALL, MEASURED, Phase, Statistics, Subject};
use miette::IntoDiagnostic;
use repair::{DAMPING, GuardMoments, RepairSet};
use serde::{Deserialize, Serialize};

use super::sets::SetKey;
use crate::targets::measure::Bench;

/// The scores of one repair set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Scores {
    pub(super) set: SetKey,
    /// The build that made them, where the record says so.
    #[serde(default)]
    pub(super) build: Option<String>,
    /// Indices of the scored layers.
    pub(super) layers: Vec<usize>,
    /// Per heuristic, in the order of `layers`.
    pub(super) scores: BTreeMap<String, Vec<Option<f64>>>,
    /// What each heuristic costs by itself, guard moments included where it reads them.
    pub(super) seconds: BTreeMap<String, f64>,
    /// All heuristics together, with the guard moments.
    pub(super) total_seconds: f64,
    /// Guard moments of all layers, which brute force needs too.
    pub(super) moments_seconds: f64,
    /// Seconds of each part of the shared pass.
    pub(super) phases: BTreeMap<String, f64>,
}

/// Scores all layers of a bench for some points.
pub(super) fn score(
    bench: &Bench,
    moments: &GuardMoments,
    moments_seconds: f64,
    guard: &Dataset,
    key: &SetKey,
    points: &Dataset,
    build: &str,
) -> miette::Result<Scores> {
    let set = RepairSet::argmax(points, bench.margin).into_diagnostic()?;
    let clean = counterparts(bench, points)?;
    let subject = Subject {
        network: &bench.subject.network,
        set: &set,
        guard: (&guard.inputs, &guard.labels),
        guard_shape: &guard.shape,
        moments,
        damping: DAMPING,
        clean: clean.as_ref().map(|clean| clean.inputs.as_slice()),
        phases: &Phase::ALL,
        measured: MEASURED,
    };
    let start = Instant::now();
    let statistics = Statistics::collect(&subject, key.seed).into_diagnostic()?;
    let seconds = start.elapsed().as_secs_f64();
    let cost = |phases: &[Phase]| {
        let reads_moments = phases.contains(&Phase::FirstOrder);
        statistics.seconds_of(phases) + if reads_moments { moments_seconds } else { 0.0 }
    };
    Ok(Scores {
        set: key.clone(),
        build: Some(build.to_owned()),
        layers: statistics.layers.iter().map(|l| l.layer.index).collect(),
        scores: ALL
            .iter()
            .map(|h| (h.name().to_owned(), finite(h.scores(&statistics))))
            .collect(),
        seconds: ALL
            .iter()
            .map(|h| (h.name().to_owned(), cost(h.phases())))
            .collect(),
        total_seconds: seconds + moments_seconds,
        moments_seconds,
        phases: statistics
            .seconds
            .iter()
            .map(|(phase, seconds)| (format!("{phase:?}"), *seconds))
            .collect(),
    })
}

/// JSON holds no infinite number: what is not finite is no score, in this run as in a resumed one.
fn finite(mut scores: Vec<Option<f64>>) -> Vec<Option<f64>> {
    for score in &mut scores {
        *score = score.filter(|score| score.is_finite());
    }
    scores
}

/// The clean versions of corrupted points, where the bench holds out the same images.
fn counterparts(bench: &Bench, points: &Dataset) -> miette::Result<Option<Dataset>> {
    let by_image: BTreeMap<(&str, u32), usize> = bench
        .held_out
        .ids
        .iter()
        .enumerate()
        .map(|(i, id)| (id.image(), i))
        .collect();
    let positions: Option<Vec<usize>> = points
        .ids
        .iter()
        .map(|id| by_image.get(&id.image()).copied())
        .collect();
    match positions {
        Some(positions) => bench
            .held_out
            .subset(&positions)
            .into_diagnostic()
            .map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_the_same_when_they_are_read_again() {
        let scores = finite(vec![
            Some(f64::NEG_INFINITY),
            None,
            Some(f64::NAN),
            Some(2.5),
        ]);
        let text = serde_json::to_string(&scores).unwrap();
        assert_eq!(
            serde_json::from_str::<Vec<Option<f64>>>(&text).unwrap(),
            scores
        );
        assert_eq!(scores, [None, None, None, Some(2.5)]);
    }
}
