//! Rules of position, which look at no data.
//!
//! With layers k = 0 .. K-1; the random rule is the baseline that every other
//! one has to beat.

use network::LayerKind;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::{LayerStatistics, Statistics};

/// The first layer.
pub(super) const FIRST: LayerHeuristic = LayerHeuristic {
    name: "first",
    formula: "-k",
    source: "input-level shifts in Surgical Fine-Tuning (Lee et al., ICLR 2023)",
    phases: &[],
    rule: Rule::Layer(|layer| Some(-(layer.layer.index as f64))),
};

/// The first linear layer behind the last convolution, which is the first linear layer of a
/// network without convolutions; no layer is scored where there is none.
pub(super) const FIRST_LINEAR: LayerHeuristic = LayerHeuristic {
    name: "first_linear",
    formula: "-|k - k₁|, k₁ the first linear layer behind the convolutions",
    source: "a rule of thumb: the first features that mix all positions",
    phases: &[],
    rule: Rule::Network(first_linear),
};

/// The layer before the last; the only layer, if there is one.
pub(super) const PENULTIMATE: LayerHeuristic = LayerHeuristic {
    name: "penultimate",
    formula: "-|k - (K - 2)|",
    source: "a rule of thumb: the last features, before the classifier",
    phases: &[],
    rule: Rule::Network(penultimate),
};

/// The last layer.
pub(super) const LAST: LayerHeuristic = LayerHeuristic {
    name: "last",
    formula: "k",
    source: "the layer that PRoViT edits (Nawas, Tao & Thakur, SAIV 2024)",
    phases: &[],
    rule: Rule::Layer(|layer| Some(layer.layer.index as f64)),
};

/// A layer drawn at random, by the seed of the statistics.
pub(super) const RANDOM: LayerHeuristic = LayerHeuristic {
    name: "random",
    formula: "uniform in [0, 1), seeded",
    source: "baseline",
    phases: &[],
    rule: Rule::Network(random),
};

fn first_linear(statistics: &Statistics) -> Vec<Option<f64>> {
    let layers = || statistics.layers.iter().enumerate();
    let is = |kind| move |(_, layer): &(usize, &LayerStatistics)| layer.layer.kind == kind;
    let behind = layers()
        .rfind(is(LayerKind::Conv2d))
        .map_or(0, |(k, _)| k + 1);
    let wanted = layers().skip(behind).find(is(LayerKind::Linear));
    layers()
        .map(|(k, _)| wanted.map(|(first, _)| -(k.abs_diff(first) as f64)))
        .collect()
}

fn penultimate(statistics: &Statistics) -> Vec<Option<f64>> {
    let wanted = statistics.layers.len() as f64 - 2.0;
    (0..statistics.layers.len())
        .map(|k| Some(-(k as f64 - wanted).abs()))
        .collect()
}

fn random(statistics: &Statistics) -> Vec<Option<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(statistics.seed);
    statistics
        .layers
        .iter()
        .map(|_| Some(rng.random::<f64>()))
        .collect()
}
