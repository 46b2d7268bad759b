//! The layer at which the repair inputs look most alike, so that one edit serves all.
//!
//! Undefined for a single point.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "similarity_cosine",
    formula: "mean cos(a_i, a_j) over pairs of repair points",
    source: "feature similarity of the repair set",
    phases: &[Phase::Activations, Phase::Similarity],
    rule: Rule::Layer(|layer| layer.cosine_similarity),
};
