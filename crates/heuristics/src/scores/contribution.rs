//! The layer whose neurons contribute most to the loss.
//!
//! To first order, `|δ_u a_u|` is what the loss would change if unit u were switched off.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "contribution",
    formula: "E Σ_u |a_u ∂L/∂a_u| on the repair set",
    source: "Taylor importance of Molchanov, Mallya, Tyree, Frosio & Kautz, CVPR 2019",
    phases: &[Phase::Gradients],
    rule: Rule::Layer(|layer| Some(layer.contribution)),
};
