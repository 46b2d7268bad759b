//! The layer whose activations vary most.
//!
//! It grows with the scale of the weights, which ReLU networks leave open.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "activation_variance",
    formula: "mean over units of the variance of a over the repair points",
    source: "a rule of thumb: edit where the points are spread widest",
    phases: &[Phase::Activations],
    rule: Rule::Layer(|layer| Some(layer.activation_variance)),
};
