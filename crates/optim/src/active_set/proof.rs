//! Proofs that rows contradict each other.
//!
//! Multipliers y come out of kernel matrices, in which half of the digits of the rows are lost. What
//! nearly cancels is therefore polished: with Y = diag(y) and M_j = sum_r y_r |a_rj|, the matrix
//!
//! ```text
//! A = Y J diag(M)^{-1}        has columns of absolute sum 1,    and   w = N N^T 1,
//! ```
//!
//! N its left singular vectors that belong to 0, is the nearest vector to 1 with w^T A = 0. Then
//! y_r w_r is the proof, if it is positive. A QR decomposition of A^T finds N without squaring A.

use faer::Mat;

use super::ActiveSet;
use crate::rows::{Unknown, adjoint};
use crate::solution::{CANCELLATION, Farkas, Multiplier};

/// Share of its magnitude that J^T y may keep to be worth polishing: what is lost in a kernel
/// matrix.
const POLISHABLE: f64 = 1e-6;
/// Numbers of the largest matrix that is decomposed for that (32 MiB), and its most rows: less than
/// half a second.
const LARGEST: usize = 1 << 22;
const MOST_ROWS: usize = 400;
/// Singular values below this share of the largest one belong to 0.
const NULL: f64 = 1e-10;

/// The share of sum_r y_r |b_r| in b . y below which columns must cancel further: what is left of
/// them may only exclude changes a million times as large as the rows' own.
const SMALL_SHARE: f64 = 1e-3;

impl ActiveSet {
    /// Whether x = J^T lambda has cancelled as far as a proof of infeasibility asks of its norm.
    pub(super) fn is_cancelled(&self, x: &Unknown) -> bool {
        let lengths = self.active.iter().map(|&r| self.diagonal[r].sqrt());
        let longest: f64 = lengths.zip(&self.lambda).map(|(a, y)| a * y).sum();
        longest > 0.0 && x.norm_l2() <= POLISHABLE * longest
    }

    /// Checks that y >= 0 proves infeasibility, as [`Farkas`] demands.
    pub(crate) fn prove(&self, y: impl Iterator<Item = (usize, f64)> + Clone) -> Option<Farkas> {
        let largest = y.clone().map(|(_, value)| value).fold(0.0, f64::max);
        if !(largest > 0.0 && largest.is_finite()) {
            return None;
        }
        let scaled = y.map(|(r, value)| (r, value / largest));
        let kept = |least: f64| scaled.clone().filter(move |(_, value)| *value > least);
        let [large, all] = [1e-10, 0.0].map(|least| kept(least).collect::<Vec<_>>());
        let again = |all: Vec<_>| {
            (all.len() > large.len())
                .then(|| self.check(&all))
                .flatten()
        };
        self.check(&large).or_else(|| again(all))
    }

    /// The proof that y is, or that it is once it is polished.
    fn check(&self, y: &[(usize, f64)]) -> Option<Farkas> {
        if y.iter().any(|&(r, _)| self.rows[r].softness != 0.0) {
            return None;
        }
        let combined = Combination::of(self, y);
        // What cancels column by column cancels as a whole, which costs less to see.
        let lengths: f64 = y.iter().map(|(r, y)| y * self.diagonal[*r].sqrt()).sum();
        if !combined.asks() || combined.sum.norm_l2() > POLISHABLE * lengths {
            return None;
        }
        let magnitudes = self.magnitudes(y);
        if combined.cancels(&magnitudes) {
            return Some(self.farkas(y, &combined));
        }
        let y = self.polished(y, &magnitudes)?;
        let combined = Combination::of(self, &y);
        let proves = combined.asks() && combined.cancels(&self.magnitudes(&y));
        proves.then(|| self.farkas(&y, &combined))
    }

    /// sum_r y_r |a_rj| of every column j.
    fn magnitudes(&self, y: &[(usize, f64)]) -> Vec<f64> {
        let mut magnitudes = vec![0.0; self.shape.entries()];
        for &(r, y) in y {
            let dense = self.rows[r].dense(&self.shape, &self.inputs);
            let entries = magnitudes.iter_mut().zip(dense);
            entries.for_each(|(magnitude, a)| *magnitude += y * a.abs());
        }
        magnitudes
    }

    /// The nearest multipliers whose rows cancel; `None` where they are not all positive, or the
    /// matrix is too large.
    fn polished(&self, y: &[(usize, f64)], magnitudes: &[f64]) -> Option<Vec<(usize, f64)>> {
        let columns: Vec<usize> = (0..magnitudes.len())
            .filter(|&j| magnitudes[j] > 0.0)
            .collect();
        let numbers = columns.len().saturating_mul(y.len());
        if columns.is_empty() || numbers > LARGEST || y.len() > MOST_ROWS {
            return None;
        }
        let mut transposed = Mat::zeros(columns.len().max(y.len()), y.len());
        for (c, &(r, y)) in y.iter().enumerate() {
            let dense = self.rows[r].dense(&self.shape, &self.inputs);
            let entries = transposed.col_as_slice_mut(c).iter_mut().zip(&columns);
            entries.for_each(|(entry, &j)| *entry = y * dense[j] / magnitudes[j]);
        }
        let triangle = transposed.qr().thin_R().to_owned();
        let svd = triangle.svd().ok()?;
        let values: Vec<f64> = svd.S().column_vector().iter().copied().collect();
        let largest = values.iter().copied().fold(0.0, f64::max);
        let mut w = vec![0.0; y.len()];
        for (k, _) in values
            .iter()
            .enumerate()
            .filter(|(_, s)| **s <= NULL * largest)
        {
            let vector = svd.V().col(k);
            let share: f64 = vector.iter().sum();
            w.iter_mut()
                .zip(vector.iter())
                .for_each(|(w, v)| *w += share * v);
        }
        let is_positive = w.iter().all(|&w| w > 0.0);
        let largest = y
            .iter()
            .zip(&w)
            .map(|((_, y), w)| y * w)
            .fold(0.0, f64::max);
        let weighted = || y.iter().zip(&w).map(|(&(r, y), w)| (r, y * w / largest));
        is_positive.then(|| weighted().collect())
    }

    fn farkas(&self, y: &[(usize, f64)], combined: &Combination) -> Farkas {
        let named = |&(r, value): &(usize, f64)| Multiplier {
            row: self.rows[r].id,
            input: self.rows[r].input,
            value,
        };
        let mut multipliers: Vec<Multiplier> = y.iter().map(named).collect();
        multipliers.sort_by(|a, b| b.value.total_cmp(&a.value));
        Farkas {
            multipliers,
            residual: combined.sum.norm_l2(),
            value: combined.value,
            rows_used: self.rows.len(),
            rounds: 0,
        }
    }
}

/// The combination of rows with multipliers y.
struct Combination {
    /// J^T y.
    sum: Unknown,
    /// b . y.
    value: f64,
    /// sum_r y_r |b_r|.
    sides: f64,
}

impl Combination {
    fn of(set: &ActiveSet, y: &[(usize, f64)]) -> Self {
        let rows = || y.iter().map(|&(r, value)| (&set.rows[r], value));
        Self {
            sum: adjoint(&set.shape, &set.inputs, rows()),
            value: rows().map(|(row, y)| row.rhs * y).sum(),
            sides: rows().map(|(row, y)| row.rhs.abs() * y).sum(),
        }
    }

    /// Whether it asks for more than nothing.
    fn asks(&self) -> bool {
        self.value > CANCELLATION * self.sides
    }

    /// Whether every column cancels as far as what is asked for demands.
    fn cancels(&self, magnitudes: &[f64]) -> bool {
        let share = self.value / self.sides;
        let kept = CANCELLATION * (share / SMALL_SHARE).min(1.0);
        let mut columns = self.sum.entries().zip(magnitudes);
        columns.all(|(sum, magnitude)| sum.abs() <= kept * magnitude)
    }
}
