//! Rows that choose their layer by a prediction, from the repair set and the guard set alone.

use std::time::Instant;

use data::Dataset;
use heuristics::{Statistics, Subject};
use miette::{IntoDiagnostic, miette};
use network::Layer;
use repair::{DAMPING, GuardMoments, MAX_MEMORY, Metric, RepairError, RepairSet, Suffix};

use super::measure::{Bench, Draw, at_layer, margin_for, moments, points};
use super::row::Sample;
use super::world::{World, say};

/// Repairs at the layer that the default heuristic prefers.
pub(super) fn at_default_layer(
    world: &World,
    bench: &Bench,
    draw: Draw,
    seed: u64,
) -> miette::Result<Sample> {
    let network = &bench.subject.network;
    let set = points(bench, draw, seed)?;
    let set = RepairSet::argmax(&set, margin_for(world, bench)).into_diagnostic()?;
    let moments = moments(world, bench, network.layers())?;
    let Dataset { inputs, labels, .. } = &*bench.guard;
    let subject = Subject {
        network,
        set: &set,
        guard: (inputs, labels),
        guard_shape: &bench.guard.shape,
        moments: &moments.moments,
        damping: DAMPING,
        clean: None,
    };
    let start = Instant::now();
    let statistics = Statistics::collect(&subject, seed).into_diagnostic()?;
    let heuristic = heuristics::by_name(heuristics::DEFAULT).into_diagnostic()?;
    let picked = heuristics::pick(&heuristic.scores(&statistics))
        .ok_or_else(|| miette!("{} scores no layer of {}", heuristic.name(), bench.name))?;
    let layer = &statistics.layers[picked].layer.name;
    let seconds = start.elapsed().as_secs_f64();
    say(&format!(
        "{} picks {layer} in {seconds:.1} s",
        heuristic.name()
    ));

    let mut sample = at_layer(world, bench, layer, draw, false, seed)?;
    sample.notes.insert(0, format!("layer {layer}"));
    Ok(sample)
}

/// Repairs at the layer of `layers` whose first-order repair moves the guard outputs least.
pub(super) fn at_least_predicted(
    world: &World,
    bench: &Bench,
    layers: &[&str],
    draw: Draw,
    seed: u64,
) -> miette::Result<Sample> {
    let set = points(bench, draw, seed)?;
    let set = RepairSet::argmax(&set, margin_for(world, bench)).into_diagnostic()?;
    let mut best: Option<(f64, &str)> = None;
    for &name in layers {
        let layer = bench.subject.network.layer(name).into_diagnostic()?;
        let moments = moments(world, bench, std::slice::from_ref(layer))?;
        let predicted = predicted_drawdown(bench, layer, &set, &moments.moments);
        let predicted = predicted.into_diagnostic()?;
        say(&format!("predicted drawdown of {name}: {predicted:.3e}"));
        if best.is_none_or(|(least, _)| predicted < least) {
            best = Some((predicted, name));
        }
    }
    let (_, layer) = best.ok_or_else(|| miette!("no layer to choose from"))?;
    let mut sample = at_layer(world, bench, layer, draw, false, seed)?;
    sample.notes.insert(0, format!("layer {layer}"));
    Ok(sample)
}

/// `E‖Δy‖²` on the guard set to first order, `Σ tr(G Δ A Δᵀ)` over the groups, where Δ is the
/// first-order repair; infinite where there is none.
fn predicted_drawdown(
    bench: &Bench,
    layer: &Layer,
    set: &RepairSet,
    moments: &GuardMoments,
) -> Result<f64, RepairError> {
    let layers = std::slice::from_ref(layer);
    let suffix = Suffix::new(&bench.subject.network, layers, set, false)?;
    let metric = Metric::guarded(suffix.layers(), moments, DAMPING)?;
    let found = repair::first_order(&suffix, &metric, set, MAX_MEMORY)?;
    if !found.cost.is_finite() {
        return Ok(f64::INFINITY);
    }
    let affine = &suffix.layers()[0];
    let width = affine.width().max(1);
    let matrix = affine.matrix(&found.change);
    let blocks = matrix.chunks_exact(affine.group_outputs().max(1) * width);
    let groups = moments.layer(layer)?.groups.iter().zip(blocks);
    let changes = groups.map(|(group, delta)| {
        let rows: Vec<&[f64]> = delta.chunks_exact(width).collect();
        // A and G are symmetric: their columns are their rows.
        let moved: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| {
                (0..width)
                    .map(|j| dot(row, group.inputs.col_as_slice(j)))
                    .collect()
            })
            .collect();
        let pairs = (0..rows.len()).map(|i| {
            let weights = group.outputs.col_as_slice(i);
            let terms = rows.iter().zip(weights);
            terms.map(|(row, g)| g * dot(row, &moved[i])).sum::<f64>()
        });
        pairs.sum::<f64>()
    });
    Ok(changes.sum())
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}
