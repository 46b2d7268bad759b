//! The layer whose geometry agrees best with the wanted labels.
//!
//! Points of one label lie together there, so that few directions repair them.
//! Undefined when all points have one label.

use crate::scores::{LayerHeuristic, Rule};
use crate::statistics::Phase;

pub(super) const HEURISTIC: LayerHeuristic = LayerHeuristic {
    name: "similarity_cka",
    formula: "CKA({a}, {onehot(label)})",
    source: "linear CKA of Kornblith, Norouzi, Lee & Hinton, ICML 2019",
    phases: &[Phase::Activations, Phase::Similarity],
    rule: Rule::Layer(|layer| layer.label_cka),
};
