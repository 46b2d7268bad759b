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
use crate::rows::{Row, Unknown, adjoint};
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
        let rows = || y.iter().map(|&(r, value)| (&self.rows[r], value));
        let value: f64 = rows().map(|(row, y)| row.rhs * y).sum();
        let sides: f64 = rows().map(|(row, y)| row.rhs.abs() * y).sum();
        let is_hard = rows().all(|(row, _)| row.softness == 0.0);
        if !is_hard || value.is_nan() || value <= CANCELLATION * sides {
            return None;
        }
        let sum = adjoint(&self.shape, &self.inputs, rows());
        // What cancels column by column cancels as a whole, which costs less to see.
        let lengths: f64 = y.iter().map(|(r, y)| y * self.diagonal[*r].sqrt()).sum();
        if sum.norm_l2() > POLISHABLE * lengths {
            return None;
        }
        let magnitudes = self.magnitudes(y);
        if cancels(&sum, &magnitudes, value / sides) {
            return Some(self.farkas(y, &sum, value));
        }
        let polished = self.polished(y, &magnitudes)?;
        let rows = || polished.iter().map(|&(r, value)| (&self.rows[r], value));
        let sum = adjoint(&self.shape, &self.inputs, rows());
        let value: f64 = rows().map(|(row, y)| row.rhs * y).sum();
        let sides: f64 = rows().map(|(row, y)| row.rhs.abs() * y).sum();
        let proves = value > CANCELLATION * sides
            && cancels(&sum, &self.magnitudes(&polished), value / sides);
        proves.then(|| self.farkas(&polished, &sum, value))
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

    fn farkas(&self, y: &[(usize, f64)], sum: &Unknown, value: f64) -> Farkas {
        let named = |&(r, value): &(usize, f64)| {
            let row: &Row = &self.rows[r];
            Multiplier {
                row: row.id,
                input: row.input,
                value,
            }
        };
        let mut multipliers: Vec<Multiplier> = y.iter().map(named).collect();
        multipliers.sort_by(|a, b| b.value.total_cmp(&a.value));
        Farkas {
            multipliers,
            residual: sum.norm_l2(),
            value,
            rows_used: self.rows.len(),
            rounds: 0,
        }
    }
}

/// |sum_j| <= CANCELLATION min(1, 1000 share) magnitude_j for every column j.
fn cancels(sum: &Unknown, magnitudes: &[f64], share: f64) -> bool {
    let kept = CANCELLATION * (share / SMALL_SHARE).min(1.0);
    let mut columns = sum.entries().zip(magnitudes);
    columns.all(|(sum, magnitude)| sum.abs() <= kept * magnitude)
}
