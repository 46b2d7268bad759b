//! Five numbers and the mean.

use serde::Serialize;

/// How some numbers are distributed. Quartiles are interpolated linearly between the sorted
/// numbers, as in numpy and R (type 7 of Hyndman & Fan 1996).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distribution {
    /// The least.
    pub min: f64,
    /// A quarter is below.
    pub lower_quartile: f64,
    /// Half is below.
    pub median: f64,
    /// Three quarters are below.
    pub upper_quartile: f64,
    /// The greatest.
    pub max: f64,
    /// The arithmetic mean.
    pub mean: f64,
}

impl Distribution {
    /// The distribution of some numbers; `None` without any.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let quantile = |share: f64| {
            let at = share * (sorted.len() - 1) as f64;
            let below = sorted[at as usize];
            let above = sorted.get(at as usize + 1).unwrap_or(&below);
            below + at.fract() * (above - below)
        };
        Some(Self {
            min,
            lower_quartile: quantile(0.25),
            median: quantile(0.5),
            upper_quartile: quantile(0.75),
            max,
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_the_sorted_numbers() {
        let found = Distribution::of([4.0, 1.0, 3.0, 2.0]).unwrap();
        let expected = Distribution {
            min: 1.0,
            lower_quartile: 1.75,
            median: 2.5,
            upper_quartile: 3.25,
            max: 4.0,
            mean: 2.5,
        };
        assert_eq!(found, expected);
        assert_eq!(Distribution::of([7.0]).unwrap().upper_quartile, 7.0);
        assert_eq!(Distribution::of([]), None);
    }
}
