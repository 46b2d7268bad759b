//! Summaries, bootstrap intervals and rank correlations.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;

/// An estimate with a confidence interval around it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The statistic of the sample.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Arithmetic mean; `None` of no values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Median, the mean of the two middle values of an even number; `None` of no values.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The `p`-quantile, `p` in [0, 1], linear between order statistics (Hyndman & Fan 1996, type 7);
/// `None` of no values.
pub fn quantile(values: &[f64], p: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted_quantile(&sorted, p)
}

fn sorted_quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = p.clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let above = position.ceil() as usize;
    let share = position - below as f64;
    Some(sorted[below] + share * (sorted[above] - sorted[below]))
}

/// Percentile bootstrap interval of the mean (Efron 1979): the `(1-level)/2` and `(1+level)/2` quantiles of
/// the means of `resamples` samples drawn with replacement. The same seed gives the same interval.
///
/// `None` of no values. Of one value both ends are that value: the interval says nothing then.
pub fn bootstrap_mean(values: &[f64], level: f64, resamples: usize, seed: u64) -> Option<Interval> {
    let estimate = mean(values)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Indices are drawn as u64, so that every platform draws the same ones.
    let count = values.len() as u64;
    let mut means: Vec<f64> = (0..resamples.max(1))
        .map(|_| {
            let sum: f64 = (0..count)
                .map(|_| values[random.random_range(0..count) as usize])
                .sum();
            sum / count as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    Some(Interval {
        estimate,
        low: sorted_quantile(&means, (1.0 - level) / 2.0)?,
        high: sorted_quantile(&means, (1.0 + level) / 2.0)?,
    })
}

/// Spearman's rank correlation: Pearson's of the ranks, ties sharing their mean rank.
///
/// `None` for fewer than two pairs, for unequal lengths, for a value that is not finite, or if one side
/// is constant.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    if !comparable(x, y) {
        return None;
    }
    let (x, y) = (ranks(x), ranks(y));
    let (mean_x, mean_y) = (mean(&x)?, mean(&y)?);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(&y) {
        let (a, b) = (a - mean_x, b - mean_y);
        xy += a * b;
        xx += a * a;
        yy += b * b;
    }
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

/// Kendall's tau-b: concordant minus discordant pairs over √((n₀-t_x)(n₀-t_y)), with n₀ pairs, t_x of them
/// tied in x and t_y in y. `None` as [`spearman`].
pub fn kendall(x: &[f64], y: &[f64]) -> Option<f64> {
    if !comparable(x, y) {
        return None;
    }
    let (mut balance, mut untied_x, mut untied_y) = (0_i64, 0_i64, 0_i64);
    for i in 0..x.len() {
        for j in 0..i {
            let (a, b) = (order(x[i], x[j]), order(y[i], y[j]));
            balance += a * b;
            untied_x += a.abs();
            untied_y += b.abs();
        }
    }
    (untied_x > 0 && untied_y > 0)
        .then(|| balance as f64 / (untied_x as f64 * untied_y as f64).sqrt())
}

fn comparable(x: &[f64], y: &[f64]) -> bool {
    x.len() == y.len() && x.len() >= 2 && x.iter().chain(y).all(|value| value.is_finite())
}

fn order(a: f64, b: f64) -> i64 {
    i64::from(a > b) - i64::from(a < b)
}

/// Ranks from 1, ties sharing their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    values
        .iter()
        .map(|value| {
            let below = values.iter().filter(|other| *other < value).count();
            let equal = values.iter().filter(|other| *other == value).count();
            below as f64 + (equal as f64 + 1.0) / 2.0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn median_of_an_even_number_is_the_middle_mean() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[5.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn quantiles_interpolate_between_order_statistics() {
        let values = [10.0, 20.0, 30.0, 40.0, 50.0];
        assert_eq!(quantile(&values, 0.25), Some(20.0));
        assert_eq!(quantile(&values, 0.1), Some(14.0));
        assert_eq!(quantile(&values, 1.0), Some(50.0));
    }

    #[test]
    fn spearman_without_ties_is_the_textbook_formula() {
        // d = (1, -1, 0, 0), so 1 - 6·2/(4·15) = 0.8.
        let rho = spearman(&[1.0, 2.0, 3.0, 4.0], &[2.0, 1.0, 3.0, 4.0]);
        assert!((rho.unwrap() - 0.8).abs() < 1e-12);
    }

    #[test]
    fn spearman_gives_ties_their_mean_rank() {
        // Ranks (1, 2.5, 2.5, 4) and (1, 2, 3, 4): 4.5/√(4.5·5) = √0.9.
        let rho = spearman(&[1.0, 2.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]);
        assert!((rho.unwrap() - 0.9_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn kendall_corrects_for_ties() {
        // Five untied pairs in x, six in y, all concordant: 5/√30.
        let tau = kendall(&[1.0, 2.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]);
        assert!((tau.unwrap() - 5.0 / 30.0_f64.sqrt()).abs() < 1e-12);
        // One of three pairs is discordant: (2-1)/3.
        let tau = kendall(&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0]);
        assert!((tau.unwrap() - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn correlations_with_a_constant_are_undefined() {
        assert_eq!(spearman(&[1.0, 2.0], &[3.0, 3.0]), None);
        assert_eq!(kendall(&[1.0, 1.0], &[3.0, 4.0]), None);
        assert_eq!(spearman(&[1.0, f64::NAN], &[3.0, 4.0]), None);
        assert_eq!(kendall(&[1.0], &[3.0]), None);
    }

    #[test]
    fn bootstrap_is_reproducible_and_depends_on_its_seed() {
        let values = [0.3, 2.0, -1.0, 4.0, 0.5, 9.0, 0.2];
        let first = bootstrap_mean(&values, 0.95, 500, 7);
        assert_eq!(first, bootstrap_mean(&values, 0.95, 500, 7));
        assert_ne!(first, bootstrap_mean(&values, 0.95, 500, 8));
    }

    #[test]
    fn bootstrap_of_two_values_reaches_both() {
        // Means are 0, 1/2 and 1 with probabilities 1/4, 1/2 and 1/4.
        let interval = bootstrap_mean(&[0.0, 1.0], 0.95, 2000, 0).unwrap();
        assert_eq!(
            (interval.low, interval.estimate, interval.high),
            (0.0, 0.5, 1.0)
        );
    }

    proptest! {
        #[test]
        fn correlations_follow_order_not_size(values in prop::collection::vec(-9.0..9.0_f64, 2..12)) {
            let cubes: Vec<f64> = values.iter().map(|value| value.powi(3)).collect();
            if let (Some(rho), Some(tau)) = (spearman(&values, &cubes), kendall(&values, &cubes)) {
                prop_assert!((rho - 1.0).abs() < 1e-9 && (tau - 1.0).abs() < 1e-9);
            }
        }

        #[test]
        fn bootstrap_interval_lies_within_the_sample(values in prop::collection::vec(-9.0..9.0_f64, 1..12)) {
            let interval = bootstrap_mean(&values, 0.95, 200, 1).unwrap();
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(low - 1e-9 <= interval.low && interval.low <= interval.high);
            prop_assert!(interval.high <= high + 1e-9);
        }
    }
}
