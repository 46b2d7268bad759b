//! The layer whose first-order repair removes most of the violations.
//!
//! Less strict than the share of points that one step repairs: a sequential repair goes on from
//! where the step ends.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "first_step_progress",
    formula: "1 - Σ violation under the first-order repair / Σ violation before, over the repair points",
    source: "the ratio of actual to predicted reduction of a trust-region method",
    phases: &[Phase::FirstOrder, Phase::Measured],
    rule: Rule::Layer(|layer| Some(layer.first_order?.measured?.progress)),
};
