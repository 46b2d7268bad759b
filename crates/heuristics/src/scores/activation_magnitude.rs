//! The layer with the largest activations.
//!
//! It grows with the scale of the weights, which ReLU networks leave open.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "activation_magnitude",
    formula: "mean |a| over repair points and units",
    source: "a rule of thumb: edit where the signal is strongest",
    phases: &[Phase::Activations],
    rule: Rule::Layer(|layer| Some(layer.activation_magnitude)),
};
