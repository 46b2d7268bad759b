//! The layer at which repair points of one class are most alike.
//!
//! One direction of change serves points that point the same way.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "similarity_within",
    formula: "mean cosine over pairs of repair points with one label",
    source: "within-class variability of Papyan, Han & Donoho, PNAS 2020",
    phases: &[Phase::Activations, Phase::Similarity],
    rule: Rule::Layer(|layer| layer.within_class_similarity),
};
