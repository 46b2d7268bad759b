//! The layer at which the first-order repair moves the guard outputs least.
//!
//! The undamped part of the first-order cost; exact at a last, affine layer, up to
//! the damping that Δ was chosen with.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "predicted_drawdown",
    formula: "-tr(G Δ A Δᵀ) = -E‖Δy‖² on the guard set, to first order in Δ",
    source: "Martens & Grosse, ICML 2015 (Kronecker factors)",
    phases: &[Phase::FirstOrder],
    rule: Rule::Layer(|layer| layer.first_order.map(|repair| -repair.guard_change)),
};
