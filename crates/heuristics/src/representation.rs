//! A layer's outputs at the repair points, and what can be read off them.

use crate::similarity::{cosine, linear_cka, mean_pairwise_cosine, norm, variance};
use crate::statistics::Counterpart;

/// The outputs a of one layer, points x p, row-major.
pub(crate) struct Representation {
    rows: Vec<f64>,
    points: usize,
    width: usize,
}

impl Representation {
    /// At least one point and one unit.
    pub(crate) fn new(rows: Vec<f64>, points: usize) -> Self {
        let width = rows.len() / points;
        Self {
            rows,
            points,
            width,
        }
    }

    /// E|a| over points and units.
    pub(crate) fn magnitude(&self) -> f64 {
        self.rows.iter().map(|a| a.abs()).sum::<f64>() / self.rows.len() as f64
    }

    /// Variance over the points, averaged over units.
    pub(crate) fn variance(&self) -> f64 {
        let of_unit = |u| variance((0..self.points).map(move |i| self.rows[i * self.width + u]));
        (0..self.width).map(of_unit).sum::<f64>() / self.width as f64
    }

    /// Mean cosine over pairs of points.
    pub(crate) fn cosine_similarity(&self) -> Option<f64> {
        mean_pairwise_cosine(&self.rows, self.width)
    }

    /// Linear CKA with the one-hot labels.
    pub(crate) fn label_cka(&self, labels: &[usize], classes: usize) -> Option<f64> {
        let mut one_hot = vec![0.0; self.points * classes];
        labels
            .iter()
            .enumerate()
            .for_each(|(i, &label)| one_hot[i * classes + label] = 1.0);
        linear_cka(&self.rows, &one_hot, self.points)
    }

    /// How far this representation is from that of the clean counterparts.
    pub(crate) fn distance_from(&self, clean: &Self) -> Counterpart {
        let pairs = || {
            self.rows
                .chunks_exact(self.width)
                .zip(clean.rows.chunks_exact(self.width))
        };
        let mean = |sum: f64| sum / self.points as f64;
        let relative = |(a, b): (&[f64], &[f64])| {
            let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
            norm(&difference) / norm(b).max(f64::MIN_POSITIVE)
        };
        Counterpart {
            relative_distance: mean(pairs().map(relative).sum()),
            cosine_distance: mean(pairs().map(|(a, b)| 1.0 - cosine(a, b)).sum()),
            cka_distance: linear_cka(&self.rows, &clean.rows, self.points).map(|cka| 1.0 - cka),
        }
    }
}
