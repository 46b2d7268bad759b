//! The layer whose first-order repair already repairs most points.
//!
//! Where the network follows its linearisation, a sequential repair converges; where it does not,
//! it may stall.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "first_step_efficacy",
    formula: "share of the repair points that meet their specification under the first-order repair",
    source: "the ratio of actual to predicted reduction of a trust-region method",
    phases: &[Phase::FirstOrder, Phase::Measured],
    rule: Rule::Layer(|layer| Some(layer.first_order?.measured?.efficacy)),
};
