//! The layer at which the first-order repair breaks the fewest linear pieces.
//!
//! How far the frozen pattern is from what the repair wants. Behind the last layer
//! there is no pattern, so its slack is 0; behind smooth activations none can be
//! frozen, so there is no score.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "pattern_slack",
    formula: "-(share of the units behind the layer whose linear piece Δ leaves at the repair points)",
    source: "the pattern rows of Tao, Nawas, Mitchell & Thakur, PLDI 2023",
    phases: &[Phase::FirstOrder, Phase::Pattern],
    rule: Rule::Layer(|layer| layer.first_order?.broken_pieces.map(|share| -share)),
};
