//! Several heuristics as one: a weighted sum of ranks.
//!
//! ```text
//! score_k = Σ_h w_h r_h(k)
//! ```
//!
//! r_h(k) in [0, 1] is the rank of layer k under heuristic h within one repair set, so that scores
//! of different units and networks can be added. The weights are fitted by ridge regression to
//! the ranks that brute force gives to the layers of other networks:
//!
//! ```text
//! min_w  Σ_sets (v / n) Σ_k (q_k - Σ_h w_h (r_h(k) - ½) - ½)² + ridge · Σ_sets v · ‖w‖²
//! ```
//!
//! with n layers and weight v of a set.

use std::collections::BTreeSet;

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};

use network::Network;

use crate::HeuristicError;
use crate::scores::by_name;
use crate::statistics::{Phase, Statistics};

/// Penalty of weights, relative to the weight of the examples.
const RIDGE: f64 = 0.01;

/// The scores of the combined heuristics for the layers of one repair set, and how good the
/// layers turned out to be.
#[derive(Clone, Debug)]
pub struct Example {
    /// Per heuristic, in the order of [`Combination::names`], one score per layer.
    pub scores: Vec<Vec<Option<f64>>>,
    /// One number per layer, higher is better.
    pub quality: Vec<f64>,
    /// How much the example counts, spread over its layers.
    pub weight: f64,
}

/// A weighted sum of ranks.
#[derive(Clone, Debug, PartialEq)]
pub struct Combination {
    /// The heuristics.
    pub names: Vec<String>,
    /// Their weights.
    pub weights: Vec<f64>,
}

/// The weights that `cargo xtask targets layers` prints, fitted on all of its networks.
const SHIPPED: [(&str, f64); 4] = [
    ("typical_cost", 0.526),
    ("measured_divergence", 0.227),
    ("gradient_norm", 0.120),
    ("first", 0.138),
];

impl Combination {
    /// The combination that ships; the study of layers judges its form on networks that it was not
    /// fitted on.
    pub fn shipped() -> Self {
        Self {
            names: SHIPPED.map(|(name, _)| name.to_owned()).to_vec(),
            weights: SHIPPED.map(|(_, weight)| weight).to_vec(),
        }
    }

    /// The names of the shipped combination.
    pub fn shipped_names() -> [&'static str; SHIPPED.len()] {
        SHIPPED.map(|(name, _)| name)
    }

    /// The same scores, with these heuristics computed beside them: they get no weight.
    pub fn beside<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        for name in names {
            if !self.names.iter().any(|known| known == name) {
                self.names.push(name.to_owned());
                self.weights.push(0.0);
            }
        }
        self
    }

    /// The parts of the shared pass that the heuristics read.
    ///
    /// # Errors
    /// [`HeuristicError::Unknown`] for a name that is no heuristic.
    pub fn phases(&self) -> Result<Vec<Phase>, HeuristicError> {
        let mut phases = BTreeSet::new();
        for name in &self.names {
            phases.extend(by_name(name)?.phases());
        }
        Ok(phases.into_iter().collect())
    }

    /// The combined score of every layer of `network`, `None` for layers that cannot be repaired.
    ///
    /// # Errors
    /// [`HeuristicError::Unknown`] for a name that is no heuristic.
    pub fn prior(
        &self,
        network: &Network,
        statistics: &Statistics,
    ) -> Result<Vec<Option<f64>>, HeuristicError> {
        let scores = self
            .names
            .iter()
            .map(|name| Ok(by_name(name)?.scores(statistics)))
            .collect::<Result<Vec<_>, HeuristicError>>()?;
        let mut prior = vec![None; network.layers().len()];
        for (layer, score) in statistics.layers.iter().zip(self.scores(&scores)?) {
            if let Some(entry) = prior.get_mut(layer.layer.index) {
                *entry = Some(score);
            }
        }
        Ok(prior)
    }

    /// Fits weights to examples.
    ///
    /// # Errors
    /// [`HeuristicError::Count`] when an example has not one list of scores per name and one
    /// score per layer.
    pub fn fit(names: &[&str], examples: &[Example]) -> Result<Self, HeuristicError> {
        let count = names.len();
        let (mut normal, mut right) = (Mat::<f64>::zeros(count, count), Mat::zeros(count, 1));
        let mut total = 0.0;
        for example in examples {
            check(example, count)?;
            total += example.weight;
            let share = example.weight / example.quality.len().max(1) as f64;
            let features: Vec<Vec<f64>> = example.scores.iter().map(|s| ranks(s)).collect();
            let known: Vec<Option<f64>> = example.quality.iter().copied().map(Some).collect();
            for (k, quality) in ranks(&known).into_iter().enumerate() {
                for (i, a) in features.iter().enumerate() {
                    right[(i, 0)] += share * (a[k] - 0.5) * (quality - 0.5);
                    for (j, b) in features.iter().enumerate() {
                        normal[(i, j)] += share * (a[k] - 0.5) * (b[k] - 0.5);
                    }
                }
            }
        }
        for i in 0..count {
            normal[(i, i)] += RIDGE * f64::max(total, f64::MIN_POSITIVE);
        }
        let factor =
            Llt::new(normal.as_ref(), Side::Lower).map_err(|_| HeuristicError::Eigenvalues {
                matrix: "normal matrix",
                layer: "all layers".into(),
            })?;
        let weights = factor.solve(&right);
        Ok(Self {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            weights: (0..count).map(|i| weights[(i, 0)]).collect(),
        })
    }

    /// The combined score of every layer.
    ///
    /// # Errors
    /// [`HeuristicError::Count`] unless there is one list of scores per name.
    pub fn scores(&self, scores: &[Vec<Option<f64>>]) -> Result<Vec<f64>, HeuristicError> {
        let layers = scores.first().map_or(0, Vec::len);
        let example = Example {
            scores: scores.to_vec(),
            quality: vec![0.0; layers],
            weight: 1.0,
        };
        check(&example, self.names.len())?;
        let mut sums = vec![0.0; layers];
        for (weight, scores) in self.weights.iter().zip(scores) {
            for (sum, rank) in sums.iter_mut().zip(ranks(scores)) {
                *sum += weight * (rank - 0.5);
            }
        }
        Ok(sums)
    }
}

fn check(example: &Example, names: usize) -> Result<(), HeuristicError> {
    let wrong = |what, expected, got| {
        Err(HeuristicError::Count {
            what,
            expected,
            got,
        })
    };
    if example.scores.len() != names {
        return wrong("combined heuristics", names, example.scores.len());
    }
    let layers = example.quality.len();
    match example.scores.iter().find(|scores| scores.len() != layers) {
        Some(scores) => wrong("scores of layers", layers, scores.len()),
        None => Ok(()),
    }
}

/// Ranks in [0, 1], ties sharing their mean rank; layers without a score share the lowest rank.
/// Scores that say nothing are all ½.
pub(crate) fn ranks(scores: &[Option<f64>]) -> Vec<f64> {
    let value = |score: &Option<f64>| score.filter(|s| !s.is_nan()).unwrap_or(f64::NEG_INFINITY);
    let values: Vec<f64> = scores.iter().map(value).collect();
    let last = values.len().saturating_sub(1).max(1) as f64;
    let rank = |a: &f64| {
        let below = values.iter().filter(|b| *b < a).count() as f64;
        let equal = values.iter().filter(|b| *b == a).count() as f64;
        (below + (equal - 1.0) / 2.0) / last
    };
    match values.len() {
        1 => vec![0.5],
        _ => values.iter().map(rank).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(scores: &[f64]) -> Vec<Option<f64>> {
        scores.iter().copied().map(Some).collect()
    }

    #[test]
    fn ranks_share_ties_and_put_unknown_scores_last() {
        assert_eq!(ranks(&some(&[3.0, 1.0, 2.0])), [1.0, 0.0, 0.5]);
        assert_eq!(ranks(&[Some(5.0), None, Some(5.0)]), [0.75, 0.0, 0.75]);
        assert_eq!(ranks(&[None, None]), [0.5, 0.5]);
        assert_eq!(ranks(&some(&[7.0])), [0.5]);
    }

    #[test]
    fn the_heuristic_that_ranks_as_brute_force_does_gets_the_weight() {
        let quality = [0.1, 5.0, 2.0, 3.0, 9.0];
        let example = Example {
            scores: vec![
                some(&[1.0, 4.0, 2.0, 3.0, 5.0]),
                some(&[4.0, 5.0, 1.0, 3.0, 2.0]),
            ],
            quality: quality.to_vec(),
            weight: 1.0,
        };
        let fitted = Combination::fit(&["good", "noise"], &[example.clone(), example]).unwrap();
        assert!(
            fitted.weights[0] > 0.5 && fitted.weights[1].abs() < 1e-9,
            "{fitted:?}"
        );
        // Of two heuristics that say the opposite, one gets a negative weight.
        let example = Example {
            scores: vec![some(&[5.0, 4.0, 3.0, 2.0, 1.0])],
            quality: vec![1.0, 2.0, 3.0, 4.0, 5.0],
            weight: 1.0,
        };
        let fitted = Combination::fit(&["inverted"], &[example]).unwrap();
        assert!(fitted.weights[0] < -0.5, "{fitted:?}");
        let scores = fitted.scores(&[some(&[9.0, 8.0, 7.0])]).unwrap();
        assert!(scores[0] < scores[1] && scores[1] < scores[2]);
    }

    #[test]
    fn lists_that_do_not_fit_are_refused() {
        let example = Example {
            scores: vec![some(&[1.0, 2.0])],
            quality: vec![1.0],
            weight: 1.0,
        };
        assert!(Combination::fit(&["a"], std::slice::from_ref(&example)).is_err());
        assert!(Combination::fit(&["a", "b"], &[example]).is_err());
    }
}
