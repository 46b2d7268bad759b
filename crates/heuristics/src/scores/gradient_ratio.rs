//! The layer that the repair set pulls at and the guard set does not.
//!
//! A layer to which the loss of every input is sensitive does not win. Undefined
//! where the guard set has no gradient at all, or its gradients are not asked for.

use crate::scores::{LayerHeuristic, Rule, ratio};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "gradient_ratio",
    formula: "‖∂L/∂W‖_F on the repair set / ‖∂L/∂W‖_F on the guard set",
    source: "contrast of failing and passing inputs, as in fault localisation",
    phases: &[Phase::Gradients, Phase::GuardGradients],
    rule: Rule::Layer(|layer| ratio(layer.gradient_norm, layer.guard_gradient_norm?)),
};
