//! The layer with the largest loss gradient.
//!
//! The steepest direction of the loss per unit of weight change.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "gradient_norm",
    formula: "‖∂L/∂W‖_F, L the mean cross-entropy on the repair set",
    source: "gradient loss of Arachne (Sohn, Kang & Yoo, TOSEM 2023), summed over a layer",
    phases: &[Phase::Gradients],
    rule: Rule::Layer(|layer| Some(layer.gradient_norm)),
};
