//! The layer with the largest loss gradient for its size.
//!
//! Undefined for a layer whose weights are all zero.

use crate::scores::{LayerHeuristic, Rule, ratio};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "relative_gradient_norm",
    formula: "‖∂L/∂W‖_F / ‖W‖_F",
    source: "Auto-RGN of Surgical Fine-Tuning (Lee et al., ICLR 2023)",
    phases: &[Phase::Gradients],
    rule: Rule::Layer(|layer| ratio(layer.gradient_norm, layer.weight_norm)),
};
