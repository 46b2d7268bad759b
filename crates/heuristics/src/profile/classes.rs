//! Which classes a set holds.

use std::collections::BTreeMap;

use serde::Serialize;

/// The classes of a set's labels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Classes {
    /// How many points each class has, of the classes that have one.
    pub counts: BTreeMap<usize, usize>,
    /// Entropy of the labels, `-Σ p log₂ p` in bits.
    pub entropy: f64,
    /// Entropy as a share of log₂ min(points, classes), which bounds it; `None` where that is 0.
    pub normalised_entropy: Option<f64>,
}

impl Classes {
    /// The classes of `labels`, of a network that knows `classes`.
    pub fn of(labels: &[usize], classes: usize) -> Self {
        let mut counts = BTreeMap::new();
        for &label in labels {
            *counts.entry(label).or_insert(0_usize) += 1;
        }
        let share = |count: &usize| *count as f64 / labels.len() as f64;
        let entropy = counts
            .values()
            .map(share)
            .map(|p| p * (1.0 / p).log2())
            .sum();
        let bound = (labels.len().min(classes) as f64).log2();
        Self {
            counts,
            entropy,
            normalised_entropy: (bound > 0.0).then(|| entropy / bound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_counts_the_bits_of_a_label() {
        let found = Classes::of(&[3, 0, 3, 1], 10);
        assert_eq!(found.counts, BTreeMap::from([(0, 1), (1, 1), (3, 2)]));
        assert_eq!((found.entropy, found.normalised_entropy), (1.5, Some(0.75)));
        assert_eq!(Classes::of(&[0, 1, 2, 3], 4).normalised_entropy, Some(1.0));
    }

    #[test]
    fn one_class_has_no_entropy() {
        assert_eq!(Classes::of(&[2, 2], 3).entropy, 0.0);
        assert_eq!(Classes::of(&[2], 3).normalised_entropy, None);
        assert_eq!(Classes::of(&[], 3).entropy, 0.0);
    }
}
