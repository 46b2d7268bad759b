//! What a repair changes on examples that it was not asked about.
//!
//! With p and q the softmax of the outputs before and after, per example
//!
//! ```text
//! drawdown    right before - right after
//! changed     [argmax p != argmax q]
//! divergence  KL(p ‖ q) = Σ_c p_c (log p_c - log q_c)
//! ```
//!
//! averaged over the examples. Drawdown is what users lose and takes few values on a small set;
//! the other two tell layers apart long before it does.

use serde::{Deserialize, Serialize};

use crate::HeuristicError;

/// What changes for one example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// 1 when it was right and no longer is, -1 when it became right.
    pub lost: f64,
    /// Whether its class is another.
    pub changed: bool,
    /// KL(p ‖ q), in nats; infinite when an output is no number.
    pub divergence: f64,
}

impl Effect {
    /// Compares outputs (`examples x classes`, logits) before and after a repair.
    ///
    /// # Errors
    /// [`HeuristicError::Count`] when the outputs are not one row per label.
    pub fn of_each(
        before: &[f64],
        after: &[f64],
        labels: &[usize],
    ) -> Result<Vec<Self>, HeuristicError> {
        let classes = before.len() / labels.len().max(1);
        for outputs in [before, after] {
            if outputs.len() != classes * labels.len() {
                return Err(HeuristicError::Count {
                    what: "outputs of the compared networks",
                    expected: classes * labels.len(),
                    got: outputs.len(),
                });
            }
        }
        let [before, after] = [before, after].map(|o| o.chunks_exact(classes.max(1)));
        let pairs = before.zip(after).zip(labels);
        let effect = |((p, q), &label): ((&[f64], &[f64]), &usize)| {
            let (old, new) = (repair::largest(p), repair::largest(q));
            Self {
                lost: f64::from(u8::from(old == label)) - f64::from(u8::from(new == label)),
                changed: old != new,
                divergence: kl(p, q),
            }
        };
        Ok(pairs.map(effect).collect())
    }
}

/// Changes on a labelled set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Effects {
    /// Number of examples.
    pub examples: usize,
    /// Accuracy lost, in percentage points; negative when gained.
    pub drawdown: f64,
    /// Predictions that are others than before, in percent.
    pub changed: f64,
    /// Mean Kullback-Leibler divergence of the predicted distributions, in nats.
    pub divergence: f64,
}

impl Effects {
    /// The mean over some examples; zero without any.
    pub fn mean<'a>(examples: impl IntoIterator<Item = &'a Effect>) -> Self {
        let mut sum = Self::default();
        for effect in examples {
            sum.examples += 1;
            sum.drawdown += effect.lost;
            sum.changed += f64::from(u8::from(effect.changed));
            sum.divergence += effect.divergence;
        }
        let count = sum.examples.max(1) as f64;
        Self {
            examples: sum.examples,
            drawdown: 100.0 * sum.drawdown / count,
            changed: 100.0 * sum.changed / count,
            divergence: sum.divergence / count,
        }
    }
}

/// KL(softmax p ‖ softmax q) of two rows of logits.
fn kl(p: &[f64], q: &[f64]) -> f64 {
    let (log_p, log_q) = (log_sum_exp(p), log_sum_exp(q));
    let terms = p.iter().zip(q).map(|(p, q)| {
        let (p, q) = (p - log_p, q - log_q);
        p.exp() * (p - q)
    });
    match terms.sum::<f64>() {
        // Outputs that are no numbers tell nothing of what was said before.
        sum if sum.is_nan() => f64::INFINITY,
        // Rounding can leave a tiny negative sum.
        sum => sum.max(0.0),
    }
}

fn log_sum_exp(logits: &[f64]) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|y| (y - largest).exp()).sum();
    largest + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(before: &[f64], after: &[f64], labels: &[usize]) -> Effects {
        Effects::mean(&Effect::of_each(before, after, labels).unwrap())
    }

    #[test]
    fn a_flip_from_right_to_wrong_is_lost_changed_and_diverges() {
        // log 3 apart: probabilities 3/4 and 1/4, swapped in the first example.
        let ln3 = 3f64.ln();
        let before = [ln3, 0.0, 0.0, ln3];
        let after = [0.0, ln3, 0.0, ln3];
        let effects = between(&before, &after, &[0, 1]);
        assert_eq!((effects.drawdown, effects.changed), (50.0, 50.0));
        // KL((3/4, 1/4) ‖ (1/4, 3/4)) = ½ ln 3, over two examples.
        assert!((effects.divergence - ln3 / 4.0).abs() < 1e-12);
    }

    #[test]
    fn outputs_that_are_no_numbers_are_infinitely_far() {
        for broken in [f64::NAN, f64::INFINITY] {
            let effects = between(&[1.0, 2.0], &[broken, 2.0], &[0]);
            assert_eq!(effects.divergence, f64::INFINITY, "{broken}");
        }
    }

    #[test]
    fn shifted_logits_are_the_same_distribution() {
        let effects = between(&[1.0, 2.0, 3.0], &[11.0, 12.0, 13.0], &[0]);
        assert_eq!((effects.drawdown, effects.changed), (0.0, 0.0));
        assert!(effects.divergence < 1e-12);
    }

    #[test]
    fn outputs_of_another_number_of_examples_are_refused() {
        assert!(Effect::of_each(&[0.0; 4], &[0.0; 2], &[0, 1]).is_err());
        assert_eq!(between(&[], &[], &[]), Effects::default());
    }
}
