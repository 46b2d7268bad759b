//! The layer at which the points interfere least.
//!
//! A nearly singular kernel has points that cannot be told apart at this layer:
//! duplicates, or points that only a large change repairs together.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "conflict",
    formula: "-log₁₀ cond(K), K = J M⁻¹ Jᵀ of the tightest row of each point",
    source: "the dual of the first-order repair",
    phases: &[Phase::FirstOrder, Phase::Conditioning],
    rule: Rule::Layer(|layer| Some(-layer.log_condition)),
};
