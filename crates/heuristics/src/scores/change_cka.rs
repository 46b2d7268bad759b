//! The layer at which the corruption changes the geometry of the set most.
//!
//! Blind to rotations, uniform scaling and shifts that all points share.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "change_cka",
    formula: "1 - CKA({a}, {a_clean})",
    source: "linear CKA of Kornblith, Norouzi, Lee & Hinton, ICML 2019",
    phases: &[Phase::Activations, Phase::Counterparts],
    rule: Rule::Layer(|layer| layer.counterpart?.cka_distance),
};
