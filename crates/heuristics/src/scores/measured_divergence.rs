//! The layer whose first-order repair changes the guard set's predictions least.
//!
//! The first-order repair is put in place and the real network is asked: unlike the guard metric
//! this sees saturation, kinks and everything else behind the layer.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "measured_divergence",
    formula: "-E KL(softmax y ‖ softmax y_Δ) on guard inputs, Δ the first-order repair",
    source: "the first-order repair, evaluated instead of predicted",
    phases: &[Phase::FirstOrder, Phase::Measured],
    rule: Rule::Layer(|layer| Some(-layer.first_order?.measured?.guard.divergence)),
};
