//! The heuristics, one per file, and their registry.

mod activation_magnitude;
mod activation_variance;
mod change_cka;
mod change_cosine;
mod change_l2;
mod conflict;
mod contribution;
mod first_order_cost;
mod first_step_efficacy;
mod first_step_progress;
mod gradient_norm;
mod gradient_ratio;
mod measured_divergence;
mod pattern_slack;
mod position;
mod predicted_drawdown;
mod relative_gradient_norm;
mod similarity_cka;
mod similarity_cosine;
mod similarity_within;
mod typical_cost;

use crate::HeuristicError;
use crate::statistics::{LayerStatistics, Phase, Statistics};

/// A rule that gives each layer a score; higher is better.
#[derive(Clone, Copy, Debug)]
pub struct LayerHeuristic {
    name: &'static str,
    formula: &'static str,
    source: &'static str,
    phases: &'static [Phase],
    rule: Rule,
}

/// What a score is a function of. It is `None` where what it reads was not
/// measured or is undefined.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// The statistics of one layer.
    Layer(fn(&LayerStatistics) -> Option<f64>),
    /// The statistics of all layers together.
    Network(fn(&Statistics) -> Vec<Option<f64>>),
}

impl LayerHeuristic {
    /// The name used in plans and results.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The score as a formula; a is the layer's output at a repair point.
    pub fn formula(&self) -> &'static str {
        self.formula
    }

    /// The paper, or the idea, that it comes from.
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// The parts of the shared pass that it reads, whose time it is charged.
    pub fn phases(&self) -> &'static [Phase] {
        self.phases
    }

    /// The score of every layer, in layer order; `None` where it is undefined.
    pub fn scores(&self, statistics: &Statistics) -> Vec<Option<f64>> {
        match self.rule {
            Rule::Layer(score) => statistics.layers.iter().map(score).collect(),
            Rule::Network(scores) => scores(statistics),
        }
    }
}

/// Every heuristic, in the order of the documentation.
pub static ALL: [LayerHeuristic; 25] = [
    first_order_cost::HEURISTIC,
    typical_cost::HEURISTIC,
    predicted_drawdown::HEURISTIC,
    measured_divergence::HEURISTIC,
    first_step_efficacy::HEURISTIC,
    first_step_progress::HEURISTIC,
    pattern_slack::HEURISTIC,
    conflict::HEURISTIC,
    activation_magnitude::HEURISTIC,
    activation_variance::HEURISTIC,
    gradient_norm::HEURISTIC,
    relative_gradient_norm::HEURISTIC,
    gradient_ratio::HEURISTIC,
    contribution::HEURISTIC,
    change_l2::HEURISTIC,
    change_cosine::HEURISTIC,
    change_cka::HEURISTIC,
    similarity_cosine::HEURISTIC,
    similarity_cka::HEURISTIC,
    similarity_within::HEURISTIC,
    position::FIRST,
    position::FIRST_LINEAR,
    position::PENULTIMATE,
    position::LAST,
    position::RANDOM,
];

/// The heuristic that is used unless another is asked for.
pub const DEFAULT: &str = "first_order_cost";

/// The heuristic of that name.
///
/// # Errors
/// [`HeuristicError::Unknown`] lists the names there are.
pub fn by_name(name: &str) -> Result<&'static LayerHeuristic, HeuristicError> {
    ALL.iter()
        .find(|heuristic| heuristic.name == name)
        .ok_or_else(|| HeuristicError::Unknown {
            name: name.to_owned(),
            known: ALL.iter().map(LayerHeuristic::name).collect(),
        })
}

/// The index of the highest score; the first of equal ones, `None` if there is none.
/// Layers without a score, or with one that is no number, are skipped.
pub fn pick(scores: &[Option<f64>]) -> Option<usize> {
    let known = scores
        .iter()
        .enumerate()
        .filter_map(|(k, score)| Some((k, score.filter(|s| !s.is_nan())?)));
    known
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .map(|(k, _)| k)
}

/// a / b, undefined for b = 0.
fn ratio(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b)
}
