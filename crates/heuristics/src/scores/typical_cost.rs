//! The layer at which the middle one of the points is cheapest by itself.
//!
//! One point that a layer hardly reaches decides the cost of all together, although a few further
//! steps may reach it well; the median does not hear of it.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "typical_cost",
    formula: "-median over points of ½ b² / (a M⁻¹ aᵀ), a the row of its tightest inequality, b what it lacks",
    source: "the first-order repair of one point, in closed form",
    phases: &[Phase::FirstOrder],
    rule: Rule::Layer(|layer| layer.first_order.map(|repair| -repair.typical_cost)),
};
