//! The layer at which the corruption moves activations most.
//!
//! Relative to the clean activations, so that layers of different scale compare.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "change_l2",
    formula: "mean ‖a - a_clean‖ / ‖a_clean‖ over the repair points",
    source: "distance between an input's activations and its clean counterpart's",
    phases: &[Phase::Activations, Phase::Counterparts],
    rule: Rule::Layer(|layer| layer.counterpart.map(|change| change.relative_distance)),
};
