//! Rows that choose their layer: by pilots and attempts on a selection split within a budget of time.

use std::time::{Duration, Instant};

use heuristics::{Attempt, Combination, Probe, Question, WORTH, auto};
use miette::{IntoDiagnostic, miette};
use repair::{Method, Options};

use super::measure::{Bench, Draw, MOMENTS, at_layer, margin_for, points};
use super::row::{Measure, Sample};
use super::world::{World, say};

/// Time of a choice.
const BUDGET: Duration = Duration::from_secs(300);
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
    let set = points(bench, draw, seed)?;
    let start = Instant::now();
    let like = bench.like.as_deref().map(|set| Probe::new(network, set));
    let like = like.transpose().into_diagnostic()?;
    let question = Question {
        network,
        checkpoint: &bench.subject.checkpoint,
        points: &set,
        margin: margin_for(world, bench),
        guard: &bench.guard,
        clean: &Probe::new(network, selection).into_diagnostic()?,
        similar: like.as_ref(),
        worth: WORTH,
        prior: &Combination::shipped(),
        options: &Options::default(),
        budget: BUDGET,
    };
    let choice = auto(&question).into_diagnostic()?;
    let chosen = start.elapsed().as_secs_f64();
    // The row repairs at one layer, sequentially.
    let simple =
        |attempt: &&Attempt| attempt.layers.len() == 1 && attempt.method == Method::Sequential;
    let least = choice.attempts.iter().filter(simple);
    let least = least.min_by(|a, b| a.trial.harm().total_cmp(&b.trial.harm()));
    let repaired = least.filter(|attempt| attempt.trial.effects.is_some());
    let Some(best) = choice.kept().filter(simple).or(repaired) else {
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
