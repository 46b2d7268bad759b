//! What a repaired network answers on the examples of a bench.

use std::collections::HashSet;

use data::Dataset;
use miette::{IntoDiagnostic, miette};
use network::{Cut, Layer, Model, Network, NetworkError};
use repair::largest;

use super::measure::{Bench, DRAWDOWN, GENERALIZATION, UNCHANGED};
use super::row::Measure;
use super::world::{World, say};

/// Numbers of the inputs that are pushed through the network at once.
const BATCH_NUMBERS: usize = 1 << 22;
/// The most inputs that are.
const BATCH: usize = 128;

/// A set run up to a layer, and what the network answers there.
pub(super) struct Probe {
    cuts: Vec<Cut>,
    before: Vec<usize>,
}

/// What the repaired network answers, against what the original one did.
pub(super) fn score(
    world: &World,
    bench: &Bench,
    layer: &Layer,
    points: &Dataset,
    repaired: &Model,
) -> miette::Result<Vec<(Measure, f64)>> {
    let original = &bench.subject.network;
    let repaired =
        Network::load(repaired, &world.device, original.precision()).into_diagnostic()?;
    compare(bench, points, |name, set| {
        let of_layer = format!("{} {} ", bench.name, layer.name);
        // The features of one layer at a time: those of all do not fit.
        world.probes.retain(|key| key.starts_with(&of_layer));
        let probe = world.probes.get(&format!("{of_layer}{name}"), || {
            say(&format!(
                "{} {name} examples up to {}",
                set.len(),
                layer.name
            ));
            Probe::new(original, layer, set).into_diagnostic()
        })?;
        let after = probe.answers(&repaired).into_diagnostic()?;
        Ok([probe.before.clone(), after])
    })
}

/// The measures of a bench from what a set of a name is answered, before and after.
pub(super) fn compare(
    bench: &Bench,
    points: &Dataset,
    ask: impl Fn(&str, &Dataset) -> miette::Result<[Vec<usize>; 2]>,
) -> miette::Result<Vec<(Measure, f64)>> {
    let repaired_images: HashSet<_> = points.ids.iter().map(|id| id.image()).collect();
    let counts = |i: &usize| {
        bench.counts_shared || !repaired_images.contains(&bench.held_out.ids[*i].image())
    };

    let [before, after] = ask("held-out", &bench.held_out)?;
    let counted: Vec<usize> = (0..after.len()).filter(counts).collect();
    if counted.is_empty() {
        return Err(miette!(
            "no example is held out of the repair of {}",
            bench.name
        ));
    }
    let of = |answers: &[usize]| -> Vec<usize> { counted.iter().map(|&i| answers[i]).collect() };
    let (before, after, labels) = (of(&before), of(&after), of(&bench.held_out.labels));
    let mut values = vec![
        (DRAWDOWN, gained(&after, &before, &labels)),
        (UNCHANGED, share(&before, &after)),
    ];
    if let Some(steady) = &bench.steady {
        let [before, after] = ask("steady", steady)?;
        values[1] = (UNCHANGED, share(&before, &after));
    }
    if let Some(similar) = &bench.similar {
        let [before, after] = ask("similar", similar)?;
        values.push((GENERALIZATION, gained(&before, &after, &similar.labels)));
    }
    Ok(values)
}

impl Probe {
    fn new(network: &Network, layer: &Layer, set: &Dataset) -> Result<Self, NetworkError> {
        let example = set.example_len().max(1);
        let batch = (BATCH_NUMBERS / example).clamp(1, BATCH);
        let batches = set.inputs.chunks(batch * example);
        let cut = |inputs| network.run_until(layer, network.batch_of(inputs, &set.shape)?);
        let mut probe = Self {
            cuts: batches.map(cut).collect::<Result<_, _>>()?,
            before: vec![],
        };
        probe.before = probe.answers(network)?;
        Ok(probe)
    }

    /// The class of every example.
    fn answers(&self, network: &Network) -> Result<Vec<usize>, NetworkError> {
        let mut classes = Vec::new();
        for cut in &self.cuts {
            let outputs = network.resume(cut)?.to_vec()?;
            classes.extend(outputs.chunks_exact(network.classes().max(1)).map(largest));
        }
        Ok(classes)
    }
}

/// The class that a network gives to every example.
pub(super) fn answers(network: &Network, set: &Dataset) -> miette::Result<Vec<usize>> {
    let example = set.example_len().max(1);
    let batch = (BATCH_NUMBERS / example).clamp(1, BATCH);
    let mut classes = Vec::with_capacity(set.len());
    for inputs in set.inputs.chunks(batch * example) {
        let x = network.batch_of(inputs, &set.shape).into_diagnostic()?;
        let outputs = network.forward(x).into_diagnostic()?;
        let outputs = outputs.to_vec().into_diagnostic()?;
        classes.extend(outputs.chunks_exact(network.classes().max(1)).map(largest));
    }
    Ok(classes)
}

/// Positions at which the answers are not the labels.
pub(super) fn wrong(answers: &[usize], labels: &[usize]) -> Vec<usize> {
    (0..labels.len())
        .filter(|&i| answers[i] != labels[i])
        .collect()
}

/// Share of equal entries, in percent.
fn share(left: &[usize], right: &[usize]) -> f64 {
    100.0 * equal(left, right) as f64 / left.len().max(1) as f64
}

/// Accuracy gained from one list of answers to another, in percentage points.
///
/// It is one quotient of counts: a difference of two percentages can miss a bound that it equals.
fn gained(from: &[usize], to: &[usize], labels: &[usize]) -> f64 {
    let gained = equal(to, labels) as f64 - equal(from, labels) as f64;
    100.0 * gained / labels.len().max(1) as f64
}

fn equal(left: &[usize], right: &[usize]) -> usize {
    left.iter().zip(right).filter(|(a, b)| a == b).count()
}

/// Share of the layer's zero weights that are zero after the repair, in percent; `None` when there are none.
pub(super) fn zeros_kept(
    original: &Model,
    repaired: &Model,
    layer: &Layer,
) -> Result<Option<f64>, NetworkError> {
    let (before, after) = (
        original.tensor(&layer.weight)?,
        repaired.tensor(&layer.weight)?,
    );
    let pruned: Vec<f64> = before
        .iter()
        .zip(after)
        .filter_map(|(&before, after)| (before == 0.0).then_some(after))
        .collect();
    let kept = pruned.iter().filter(|&&weight| weight == 0.0).count();
    Ok((!pruned.is_empty()).then(|| 100.0 * kept as f64 / pruned.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_in_a_thousand_is_exactly_a_tenth_of_a_point() {
        let labels = vec![1; 1000];
        for right in [727, 728, 729, 1000] {
            let (mut before, mut after) = (vec![0; 1000], vec![0; 1000]);
            before[..right].fill(1);
            after[..right - 1].fill(1);
            assert_eq!(gained(&after, &before, &labels), 0.1);
            assert_eq!(gained(&before, &after, &labels), -0.1);
        }
    }

    #[test]
    fn answers_that_are_not_the_labels_are_wrong() {
        assert_eq!(wrong(&[1, 0, 2], &[1, 1, 2]), [1]);
    }
}
