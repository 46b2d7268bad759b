//! The layer at which the first-order repair is cheapest.
//!
//! The repair without pattern rows and without further steps: what the repair of a
//! layer costs if the network is affine in it.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "first_order_cost",
    formula: "-min ½‖Δ‖² in the damped guard metric, under the linearised specification rows",
    source: "the objective of the repair itself",
    phases: &[Phase::FirstOrder],
    rule: Rule::Layer(|layer| layer.first_order.map(|repair| -repair.cost)),
};
