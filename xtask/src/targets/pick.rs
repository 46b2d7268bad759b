//! Rows that choose their layer: by pilots and attempts on a selection split within a budget of time.

use std::time::{Duration, Instant};

use data::Dataset;
use heuristics::{Combination, Probe, Question, Statistics, Subject, WORTH, auto};
use miette::{IntoDiagnostic, miette};
use repair::{DAMPING, GuardMoments, Options, RepairSet};

use super::measure::{Bench, Draw, MOMENTS, Moments, at_layer, margin_for, moments, points};
use super::row::{Measure, Sample};
use super::world::{World, say};

/// Time of a choice; the guard moments come on top.
const BUDGET: Duration = Duration::from_secs(300);
/// Points from which layers are scored before any is tried.
const PRIOR_POINTS: usize = 16;
/// The choice, guard moments included.
pub(super) const CHOICE: Measure = Measure {
    name: "choice of the layer",
    unit: "s",
};

/// Repairs at the layer that pilots and attempts favour on the selection split of the bench.
pub(super) fn at_chosen_layer(
    world: &World,
    bench: &Bench,
    draw: Draw,
    seed: u64,
) -> miette::Result<Sample> {
    let Some(selection) = &bench.clean else {
        return Err(miette!("{} has no split to choose a layer on", bench.name));
    };
    let network = &bench.subject.network;
    let layers = repair::repairable(network);
    let Moments { moments, seconds } = &*moments(world, bench, &layers)?;
    let set = points(bench, draw, seed)?;
    let start = Instant::now();
    let like = bench.like.as_deref().map(|set| Probe::new(network, set));
    let like = like.transpose().into_diagnostic()?;
    let question = Question {
        network,
        checkpoint: &bench.subject.checkpoint,
        points: &set,
        margin: margin_for(world, bench),
        moments,
        clean: &Probe::new(network, selection).into_diagnostic()?,
        similar: like.as_ref(),
        worth: WORTH,
        options: &Options::default(),
        budget: BUDGET,
    };
    let prior = prior(bench, &set, moments, margin_for(world, bench), seed)?;
    let choice = auto(&question, &prior).into_diagnostic()?;
    let chosen = seconds + start.elapsed().as_secs_f64();
    let Some(best) = choice.best.map(|best| &choice.attempts[best]) else {
        return Err(miette!(
            "no layer of {} repairs all points in {BUDGET:?}",
            bench.name
        ));
    };
    let layer = &network.layers()[best.layers[0]].name;
    let bench = &Bench {
        margin: best.margin,
        ..bench.clone()
    };
    say(&format!(
        "{layer} is chosen in {chosen:.1} s, after {} pilots and {} attempts",
        choice.pilots.len(),
        choice.attempts.len()
    ));
    let mut sample = at_layer(world, bench, layer, draw, false, seed)?;
    sample.values.insert(CHOICE, chosen);
    sample.values.remove(&MOMENTS);
    let margin = margin_for(world, bench);
    sample
        .notes
        .insert(0, format!("layer {layer}, margin {margin}"));
    Ok(sample)
}

/// The shipped combination of heuristics, from a few of the points.
fn prior(
    bench: &Bench,
    points: &Dataset,
    moments: &GuardMoments,
    margin: f64,
    seed: u64,
) -> miette::Result<Vec<Option<f64>>> {
    let network = &bench.subject.network;
    let set = RepairSet::argmax(points, margin).into_diagnostic()?;
    let subject = Subject {
        network,
        set: &set.thinned(PRIOR_POINTS).into_diagnostic()?,
        guard: (&bench.guard.inputs, &bench.guard.labels),
        guard_shape: &bench.guard.shape,
        moments,
        damping: DAMPING,
        clean: None,
    };
    let statistics = Statistics::collect(&subject, seed).into_diagnostic()?;
    Combination::shipped()
        .prior(network, &statistics)
        .into_diagnostic()
}
