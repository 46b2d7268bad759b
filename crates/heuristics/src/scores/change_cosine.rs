//! The layer at which the corruption turns activations most.
//!
//! Blind to a change of brightness that only scales the activations.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "change_cosine",
    formula: "mean 1 - cos(a, a_clean) over the repair points",
    source: "angle between an input's activations and its clean counterpart's",
    phases: &[Phase::Activations, Phase::Counterparts],
    rule: Rule::Layer(|layer| layer.counterpart.map(|change| change.cosine_distance)),
};
