//! A few points of a repair set, repaired at every layer.

use std::time::Duration;

use data::Dataset;
use heuristics::{PILOT_POINTS, Probe, Question, WORTH};
use miette::IntoDiagnostic;
use network::Layer;
use repair::{GuardMoments, Options, RepairSet};
use serde::{Deserialize, Serialize};

use super::brute::TIME_BOX;
use super::sets::SetKey;
use crate::targets::measure::Bench;

/// A pilot, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Piloted {
    pub(super) set: SetKey,
    pub(super) layer: usize,
    pub(super) repaired: bool,
    pub(super) efficacy: f64,
    /// Divergence on the selection split, of a repair.
    pub(super) harm: Option<f64>,
    pub(super) seconds: f64,
}

/// Repairs a few of the points at one layer.
pub(super) fn pilot(
    bench: &Bench,
    moments: &GuardMoments,
    selection: &Probe<'_>,
    key: &SetKey,
    points: &Dataset,
    layer: &Layer,
) -> miette::Result<Piloted> {
    let question = Question {
        network: &bench.subject.network,
        checkpoint: &bench.subject.checkpoint,
        points,
        margin: bench.margin,
        moments,
        clean: selection,
        similar: None,
        worth: WORTH,
        options: &Options::default(),
        budget: Duration::MAX,
    };
    let set = RepairSet::argmax(points, bench.margin).into_diagnostic()?;
    let set = set.thinned(PILOT_POINTS).into_diagnostic()?;
    let pilot = question
        .pilot(&set, layer.index, TIME_BOX / 4)
        .into_diagnostic()?;
    Ok(Piloted {
        set: key.clone(),
        layer: layer.index,
        repaired: pilot.repaired,
        efficacy: pilot.efficacy,
        harm: pilot.harm.is_finite().then_some(pilot.harm),
        seconds: pilot.seconds,
    })
}
