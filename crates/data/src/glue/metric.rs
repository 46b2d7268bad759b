//! Accuracy, F1, Matthews, Pearson and Spearman.
//!
//! With predicted classes p and right classes t of n examples, accuracy is the share of `p = t`. For a
//! positive class with TP hits, FP false alarms and FN misses,
//!
//! ```text
//! F1 = 2 TP / (2 TP + FP + FN).
//! ```
//!
//! With c right answers and P_k, T_k examples predicted as and being of class k, Matthews' coefficient
//! (Gorodkin 2004; for two classes that of Matthews 1975) is
//!
//! ```text
//! (c n - Σ P_k T_k) / sqrt((n² - Σ P_k²) (n² - Σ T_k²)).
//! ```
//!
//! Pearson's is the correlation of two series, Spearman's that of their ranks, ties sharing the mean of
//! their ranks.

use crate::DataError;

/// A number that summarises how good predictions are; higher is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// Share of right answers, 0 to 1.
    Accuracy,
    /// Harmonic mean of precision and recall for class 1, 0 to 1.
    F1,
    /// Matthews' correlation coefficient, -1 to 1.
    Matthews,
    /// Pearson's correlation, -1 to 1.
    Pearson,
    /// Spearman's rank correlation, -1 to 1.
    Spearman,
}

impl Metric {
    /// The name in results, e.g. `f1`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::F1 => "f1",
            Self::Matthews => "matthews",
            Self::Pearson => "pearson",
            Self::Spearman => "spearman",
        }
    }

    fn undefined(self, why: &'static str) -> DataError {
        DataError::Metric {
            metric: self.name(),
            why,
        }
    }
}

/// The share of right answers.
///
/// # Errors
/// [`DataError::Count`] when lengths differ, [`DataError::Metric`] without examples.
pub fn accuracy(predicted: &[usize], right: &[usize]) -> Result<f64, DataError> {
    expect_examples(Metric::Accuracy, predicted.len(), right.len())?;
    Ok(hits(predicted, right) as f64 / right.len() as f64)
}

/// F1 of the class `positive`; 0 when it is neither predicted nor right anywhere.
///
/// # Errors
/// Those of [`accuracy`].
pub fn f1(predicted: &[usize], right: &[usize], positive: usize) -> Result<f64, DataError> {
    expect_examples(Metric::F1, predicted.len(), right.len())?;
    let count = |classes: &[usize]| classes.iter().filter(|&&class| class == positive).count();
    let both = predicted
        .iter()
        .zip(right)
        .filter(|pair| *pair == (&positive, &positive))
        .count();
    // 2 TP + FP + FN counts the positive class wherever it is predicted and wherever it is right.
    match count(predicted) + count(right) {
        0 => Ok(0.0),
        all => Ok(2.0 * both as f64 / all as f64),
    }
}

/// Matthews' correlation coefficient; 0 when one class is all that is predicted or right.
///
/// # Errors
/// Those of [`accuracy`].
pub fn matthews(predicted: &[usize], right: &[usize]) -> Result<f64, DataError> {
    expect_examples(Metric::Matthews, predicted.len(), right.len())?;
    let mut counts = std::collections::BTreeMap::<usize, (f64, f64)>::new();
    for (&p, &t) in predicted.iter().zip(right) {
        counts.entry(p).or_default().0 += 1.0;
        counts.entry(t).or_default().1 += 1.0;
    }
    let (mut both, mut of_predicted, mut of_right) = (0.0, 0.0, 0.0);
    for (p, t) in counts.into_values() {
        both += p * t;
        of_predicted += p * p;
        of_right += t * t;
    }
    let n = right.len() as f64;
    let scale = ((n * n - of_predicted) * (n * n - of_right)).sqrt();
    let covariance = hits(predicted, right) as f64 * n - both;
    Ok(if scale == 0.0 {
        0.0
    } else {
        covariance / scale
    })
}

/// Pearson's correlation.
///
/// # Errors
/// [`DataError::Count`] when lengths differ, [`DataError::Metric`] for fewer than two examples, for a
/// value that is not finite and for a series of equal values.
pub fn pearson(predicted: &[f64], right: &[f64]) -> Result<f64, DataError> {
    correlation(Metric::Pearson, predicted, right)
}

/// Spearman's rank correlation.
///
/// # Errors
/// Those of [`pearson`].
pub fn spearman(predicted: &[f64], right: &[f64]) -> Result<f64, DataError> {
    expect_finite(Metric::Spearman, predicted, right)?;
    correlation(Metric::Spearman, &ranks(predicted), &ranks(right))
}

fn correlation(metric: Metric, x: &[f64], y: &[f64]) -> Result<f64, DataError> {
    expect_finite(metric, x, y)?;
    if x.len() < 2 {
        return Err(metric.undefined("there are fewer than two examples"));
    }
    if [x, y]
        .iter()
        .any(|values| values.iter().all(|v| *v == values[0]))
    {
        return Err(metric.undefined("all values are equal"));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (x - mean_x, y - mean_y);
        xy += x * y;
        xx += x * x;
        yy += y * y;
    }
    // Each root by itself: the product of the two sums can underflow or overflow.
    Ok((xy / xx.sqrt() / yy.sqrt()).clamp(-1.0, 1.0))
}

/// Ranks from 1; equal values share the mean of their ranks.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for tie in order.chunk_by(|&a, &b| values[a] == values[b]) {
        for &i in tie {
            ranks[i] = below as f64 + (tie.len() + 1) as f64 / 2.0;
        }
        below += tie.len();
    }
    ranks
}

fn hits(predicted: &[usize], right: &[usize]) -> usize {
    predicted.iter().zip(right).filter(|(p, t)| p == t).count()
}

fn expect_finite(metric: Metric, x: &[f64], y: &[f64]) -> Result<(), DataError> {
    expect_examples(metric, x.len(), y.len())?;
    if x.iter().chain(y).all(|value| value.is_finite()) {
        Ok(())
    } else {
        Err(metric.undefined("a value is not finite"))
    }
}

fn expect_examples(metric: Metric, predicted: usize, right: usize) -> Result<(), DataError> {
    if predicted != right {
        return Err(DataError::Count {
            what: "predictions",
            expected: right,
            got: predicted,
        });
    }
    if right == 0 {
        return Err(metric.undefined("there are no examples"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two hits, one miss and one false alarm on class 1; four hits on class 0.
    const PREDICTED: [usize; 8] = [1, 1, 1, 0, 0, 0, 0, 0];
    const RIGHT: [usize; 8] = [1, 1, 0, 1, 0, 0, 0, 0];

    #[test]
    fn class_metrics_of_a_small_confusion_matrix() {
        assert_eq!(accuracy(&PREDICTED, &RIGHT).unwrap(), 6.0 / 8.0);
        assert_eq!(f1(&PREDICTED, &RIGHT, 1).unwrap(), 4.0 / 6.0);
        assert_eq!(f1(&PREDICTED, &RIGHT, 0).unwrap(), 8.0 / 10.0);
        // (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)) = (2*4 - 1*1) / sqrt(3*3*5*5).
        assert!((matthews(&PREDICTED, &RIGHT).unwrap() - 7.0 / 15.0).abs() < 1e-15);
    }

    #[test]
    fn precision_and_recall_weigh_equally_in_f1() {
        // TP 1, FP 2, FN 0: precision 1/3, recall 1.
        assert_eq!(f1(&[1, 1, 1, 0], &[1, 0, 0, 0], 1).unwrap(), 0.5);
        assert_eq!(f1(&[1, 0, 0, 0], &[1, 1, 1, 0], 1).unwrap(), 0.5);
    }

    #[test]
    fn matthews_is_one_for_right_and_minus_one_for_reversed_answers() {
        let reversed = RIGHT.map(|class| 1 - class);
        assert_eq!(matthews(&RIGHT, &RIGHT).unwrap(), 1.0);
        assert_eq!(matthews(&reversed, &RIGHT).unwrap(), -1.0);
        // Three classes: c = 3, n = 4, Σ P T = 1*1 + 2*1 + 1*2 = 5, Σ P² = Σ T² = 6.
        let value = matthews(&[0, 1, 1, 2], &[0, 1, 2, 2]).unwrap();
        assert!((value - 7.0 / 10.0).abs() < 1e-15, "{value}");
    }

    #[test]
    fn absent_classes_give_zero() {
        assert_eq!(f1(&[0, 0], &[0, 0], 1).unwrap(), 0.0);
        assert_eq!(matthews(&[1, 1], &[0, 1]).unwrap(), 0.0);
        assert_eq!(matthews(&[0, 1], &[1, 1]).unwrap(), 0.0);
    }

    #[test]
    fn pearson_and_spearman_of_small_series() {
        // Deviations (-1, 0, 1) and (-2, -1, 3): 5 / sqrt(2 * 14).
        let value = pearson(&[1.0, 2.0, 3.0], &[1.0, 2.0, 6.0]).unwrap();
        assert!((value - 5.0 / 28.0_f64.sqrt()).abs() < 1e-15);
        let value = spearman(&[1.0, 2.0, 3.0], &[1.0, 2.0, 600.0]).unwrap();
        assert!((value - 1.0).abs() < 1e-15);
        let value = spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]).unwrap();
        assert!((value + 1.0).abs() < 1e-15);
        // Ranks (1, 2.5, 2.5, 4) and (1, 2, 3, 4): 4.5 / sqrt(4.5 * 5).
        let value = spearman(&[1.0, 2.0, 2.0, 9.0], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert!((value - 4.5 / 22.5_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn correlations_keep_their_value_at_any_scale() {
        let (x, y) = ([1.0, 2.0, 3.0], [1.0, 2.0, 6.0]);
        let value = pearson(&x, &y).unwrap();
        for scale in [1e-100, 1e100] {
            let scaled = pearson(&x.map(|v| v * scale), &y.map(|v| v * scale)).unwrap();
            assert!((scaled - value).abs() < 1e-12, "{scale}: {scaled}");
        }
    }

    #[test]
    fn undefined_metrics_say_why() {
        assert_eq!(
            accuracy(&[], &[]).unwrap_err().to_string(),
            "accuracy: undefined, because there are no examples"
        );
        assert!(matches!(
            matthews(&[1], &[1, 0]),
            Err(DataError::Count {
                expected: 2,
                got: 1,
                ..
            })
        ));
        for (x, y) in [([1.0, 1.0], [1.0, 2.0]), ([1.0, f64::NAN], [1.0, 2.0])] {
            for metric in [pearson, spearman] {
                assert!(matches!(metric(&x, &y), Err(DataError::Metric { .. })));
            }
        }
        assert!(matches!(
            pearson(&[1.0], &[1.0]),
            Err(DataError::Metric { .. })
        ));
    }
}
