//! The Cholesky factor of a kernel matrix whose rows come and go.
//!
//! K = L L^T is held for a changing list of rows. With the new rows last,
//!
//! ```text
//! [ K11  K21^T ]   [ L11      ] [ L11^T  L21^T ]    L21 = K21 L11^{-T},
//! [ K21  K22   ] = [ L21  L22 ] [        L22^T ],   L22 L22^T = K22 - L21 L21^T,
//! ```
//!
//! so appending b rows to k costs k^2 b instead of (k + b)^3 / 3, and deleting a row leaves one
//! superdiagonal that k plane rotations remove.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::matmul::triangular::{BlockStructure, matmul as triangular_matmul};
use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_upper_triangular_in_place,
};
use faer::{Accum, Mat, MatMut, MatRef, Par};

use crate::rows::dot;

/// Batches up to this size are factored row by row, larger ones by blocks first.
const SMALL_BATCH: usize = 24;

/// The lower triangle L, column-major with room to grow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Factor {
    values: Vec<f64>,
    stride: usize,
    len: usize,
}

impl Factor {
    /// Forgets all rows.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    fn lower(&self) -> MatRef<'_, f64> {
        let used = &self.values[..self.stride * self.len];
        MatRef::from_column_major_slice_with_stride(used, self.len, self.len, self.stride)
    }

    /// The trailing part of column `c`, from the diagonal down.
    fn column(&self, c: usize) -> &[f64] {
        &self.values[c * self.stride + c..c * self.stride + self.len]
    }

    /// Appends the rows whose pivot exceeds `floor` times their own kernel entry, in the order
    /// given, and returns which ones.
    ///
    /// `cross` is K12 (present rows x new rows), `block` is K22, of which the lower triangle is
    /// read. A row below the floor depends on those before it.
    pub(crate) fn append(
        &mut self,
        cross: Mat<f64>,
        block: MatRef<'_, f64>,
        floor: f64,
    ) -> Vec<usize> {
        let mut above = cross;
        solve_lower_triangular_in_place(self.lower(), above.as_mut(), Par::Seq);
        let mut schur = block.to_owned();
        triangular_matmul(
            schur.as_mut(),
            BlockStructure::TriangularLower,
            Accum::Add,
            above.transpose(),
            BlockStructure::Rectangular,
            above.as_ref(),
            BlockStructure::Rectangular,
            -1.0,
            Par::Seq,
        );
        let pivot_floor: Vec<f64> = (0..block.nrows()).map(|i| floor * block[(i, i)]).collect();
        let (accepted, below) = factor_independent(schur, &pivot_floor);

        let k = self.len;
        self.reserve(k + accepted.len());
        self.len = k + accepted.len();
        for (a, &i) in accepted.iter().enumerate() {
            for (c, &value) in above.col_as_slice(i).iter().enumerate() {
                self.values[c * self.stride + k + a] = value;
            }
            for (c, &value) in below[a].iter().enumerate() {
                self.values[(k + c) * self.stride + k + a] = value;
            }
        }
        accepted
    }

    /// Appends one row with kernel column `cross` and the pivot c = K_pp - k^T K^{-1} k that the
    /// caller computed, perhaps more accurately than a subtraction could.
    pub(crate) fn append_with_pivot(&mut self, cross: Mat<f64>, pivot: f64) {
        let mut above = cross;
        solve_lower_triangular_in_place(self.lower(), above.as_mut(), Par::Seq);
        let k = self.len;
        self.reserve(k + 1);
        self.len = k + 1;
        for (c, &value) in above.col_as_slice(0).iter().enumerate() {
            self.values[c * self.stride + k] = value;
        }
        self.values[k * self.stride + k] = pivot.sqrt();
    }

    /// Deletes the rows at `positions`, which ascend.
    pub(crate) fn delete(&mut self, positions: &[usize]) {
        let Some(&first) = positions.first() else {
            return;
        };
        // Rotations run at a fraction of the speed of blocked products, hence the divisor.
        let trailing = self.len - first;
        let many = positions.len() > 2 + trailing / 16;
        if !(many && self.rebuild_without(positions)) {
            positions.iter().rev().for_each(|&j| self.delete_one(j));
        }
    }

    fn delete_one(&mut self, j: usize) {
        let (n, stride) = (self.len, self.stride);
        for c in 0..n {
            let from = c * stride + (j + 1).max(c);
            self.values.copy_within(from..c * stride + n, from - 1);
            // For c > j this moves column c onto rows c - 1.., its superdiagonal entry included.
        }
        for c in j..n - 1 {
            let (left, right) = self.values.split_at_mut((c + 1) * stride);
            let left = &mut left[c * stride + c..c * stride + n - 1];
            let right = &mut right[c..n - 1];
            let radius = left[0].hypot(right[0]);
            let (cos, sin) = (left[0] / radius, right[0] / radius);
            for (a, b) in left.iter_mut().zip(right.iter_mut()) {
                (*a, *b) = (cos * *a + sin * *b, cos * *b - sin * *a);
            }
            // Column c + 1 begins at its diagonal again; what is above it is never read.
        }
        self.len = n - 1;
    }

    /// Deletes by factoring the trailing block anew from its own factor; false, with nothing
    /// changed, if rounding has made that block indefinite.
    fn rebuild_without(&mut self, positions: &[usize]) -> bool {
        let (n, stride) = (self.len, self.stride);
        let first = positions[0];
        let mut doomed = positions.iter().peekable();
        let kept: Vec<usize> = (first..n)
            .filter(|r| doomed.next_if_eq(&r).is_none())
            .collect();
        let size = kept.len();
        let rows = Mat::from_fn(size, n - first, |r, c| {
            if first + c <= kept[r] {
                self.values[(first + c) * stride + kept[r]]
            } else {
                0.0
            }
        });
        let mut block = Mat::zeros(size, size);
        triangular_matmul(
            block.as_mut(),
            BlockStructure::TriangularLower,
            Accum::Replace,
            rows.as_ref(),
            BlockStructure::Rectangular,
            rows.transpose(),
            BlockStructure::Rectangular,
            1.0,
            Par::Seq,
        );
        if !cholesky(block.as_mut()) {
            return false;
        }
        for c in 0..first {
            for (r, &from) in kept.iter().enumerate() {
                self.values[c * stride + first + r] = self.values[c * stride + from];
            }
        }
        for c in 0..size {
            let start = (first + c) * stride + first;
            self.values[start + c..start + size].copy_from_slice(&block.col_as_slice(c)[c..]);
        }
        self.len = first + size;
        true
    }

    /// Overwrites `rhs` with K^{-1} rhs.
    pub(crate) fn solve(&self, rhs: &mut [f64]) {
        let n = self.len;
        let mut rhs = MatMut::from_column_major_slice_mut(rhs, n, 1);
        solve_lower_triangular_in_place(self.lower(), rhs.as_mut(), Par::Seq);
        solve_upper_triangular_in_place(self.lower().transpose(), rhs.as_mut(), Par::Seq);
    }

    /// v^T K v.
    pub(crate) fn norm_squared(&self, v: &[f64]) -> f64 {
        (0..self.len)
            .map(|c| dot(self.column(c), &v[c..]))
            .map(|entry| entry * entry)
            .sum()
    }

    /// Bytes while `more` rows are appended: the factor, what it is copied from where it grows, and
    /// the new rows' products.
    pub(crate) fn bytes_with(&self, more: usize) -> usize {
        let len = self.len + more;
        let held = self.stride * self.stride;
        let grown = match len <= self.stride {
            true => 0,
            false => grown(len).saturating_mul(grown(len)),
        };
        let products = 2 * more * len;
        grown.saturating_add(held + products).saturating_mul(8)
    }

    fn reserve(&mut self, len: usize) {
        if len <= self.stride {
            return;
        }
        let stride = grown(len);
        let mut values = vec![0.0; stride * stride];
        for c in 0..self.len {
            values[c * stride + c..c * stride + self.len].copy_from_slice(self.column(c));
        }
        (self.values, self.stride) = (values, stride);
    }
}

/// The stride that has room for this many rows and some more.
fn grown(len: usize) -> usize {
    len + len / 2 + 64
}

/// Factors the leading independent rows of a positive semidefinite matrix (lower triangle),
/// skipping each row whose pivot does not exceed its floor: the rows kept, and for each of them
/// its row of the factor.
fn factor_independent(matrix: Mat<f64>, floor: &[f64]) -> (Vec<usize>, Vec<Vec<f64>>) {
    let n = matrix.nrows();
    if n > SMALL_BATCH {
        let mut lower = matrix.clone();
        if cholesky(lower.as_mut()) && (0..n).all(|i| lower[(i, i)].powi(2) > floor[i]) {
            let rows = (0..n)
                .map(|r| (0..=r).map(|c| lower[(r, c)]).collect())
                .collect();
            return ((0..n).collect(), rows);
        }
    }
    let mut accepted: Vec<usize> = Vec::new();
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for i in 0..n {
        let mut row: Vec<f64> = Vec::with_capacity(accepted.len() + 1);
        for (a, &j) in accepted.iter().enumerate() {
            let pivot_row = &rows[a];
            row.push((matrix[(i, j)] - dot(&row, &pivot_row[..a])) / pivot_row[a]);
        }
        let pivot = matrix[(i, i)] - dot(&row, &row);
        if pivot > floor[i] {
            row.push(pivot.sqrt());
            accepted.push(i);
            rows.push(row);
        }
    }
    (accepted, rows)
}

/// Cholesky factorisation in place, of the lower triangle; whether it went through.
fn cholesky(matrix: MatMut<'_, f64>) -> bool {
    let scratch = cholesky_in_place_scratch::<f64>(matrix.nrows(), Par::Seq, Default::default());
    let mut buffer = MemBuffer::new(scratch);
    cholesky_in_place(
        matrix,
        Default::default(),
        Par::Seq,
        MemStack::new(&mut buffer),
        Default::default(),
    )
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::add_scaled;

    /// A positive definite matrix with a known pattern of entries.
    fn kernel(n: usize) -> Mat<f64> {
        Mat::from_fn(n, n, |i, j| {
            let distance = i.abs_diff(j) as f64;
            (-0.05 * distance).exp() + if i == j { 0.3 + 0.01 * i as f64 } else { 0.0 }
        })
    }

    fn factor_of(kernel: &Mat<f64>, rows: &[usize]) -> Factor {
        let mut factor = Factor::default();
        append(&mut factor, kernel, &[], rows);
        factor
    }

    fn append(factor: &mut Factor, kernel: &Mat<f64>, present: &[usize], rows: &[usize]) {
        let cross = Mat::from_fn(present.len(), rows.len(), |i, j| {
            kernel[(present[i], rows[j])]
        });
        let block = Mat::from_fn(rows.len(), rows.len(), |i, j| kernel[(rows[i], rows[j])]);
        let accepted = factor.append(cross, block.as_ref(), 1e-12);
        assert_eq!(accepted.len(), rows.len());
    }

    fn assert_factors(factor: &Factor, kernel: &Mat<f64>, rows: &[usize]) {
        assert_eq!(factor.len, rows.len());
        let fresh = factor_of(kernel, rows);
        for c in 0..rows.len() {
            for (a, b) in factor.column(c).iter().zip(fresh.column(c)) {
                assert!((a - b).abs() < 1e-12, "column {c}: {a} against {b}");
            }
        }
    }

    #[test]
    fn appended_rows_equal_a_fresh_factorisation() {
        let kernel = kernel(90);
        let order: Vec<usize> = (0..90).rev().collect();
        let mut factor = Factor::default();
        let mut done = 0;
        for batch in [1, 5, 40, 3, 41] {
            append(
                &mut factor,
                &kernel,
                &order[..done],
                &order[done..done + batch],
            );
            done += batch;
            assert_factors(&factor, &kernel, &order[..done]);
        }
    }

    #[test]
    fn deleted_rows_equal_a_fresh_factorisation() {
        let kernel = kernel(70);
        for doomed in [
            vec![0],
            vec![69],
            vec![3, 4, 50],
            (10..50).collect::<Vec<_>>(),
        ] {
            let mut rows: Vec<usize> = (0..70).collect();
            let mut factor = factor_of(&kernel, &rows);
            factor.delete(&doomed);
            rows.retain(|r| !doomed.contains(r));
            assert_factors(&factor, &kernel, &rows);
        }
    }

    #[test]
    fn the_two_ways_to_delete_agree() {
        let kernel = kernel(60);
        let rows: Vec<usize> = (0..60).collect();
        let doomed = [2, 17, 18, 40, 59];
        let mut rotated = factor_of(&kernel, &rows);
        doomed.iter().rev().for_each(|&j| rotated.delete_one(j));
        let mut rebuilt = factor_of(&kernel, &rows);
        assert!(rebuilt.rebuild_without(&doomed));
        for c in 0..rotated.len {
            for (a, b) in rotated.column(c).iter().zip(rebuilt.column(c)) {
                assert!((a - b).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn dependent_rows_are_left_out() {
        for n in [6, 40] {
            let mut kernel = kernel(n);
            for i in 0..n {
                kernel[(n - 2, i)] = kernel[(1, i)];
            }
            for i in 0..n {
                kernel[(i, n - 2)] = kernel[(i, 1)];
            }
            let accepted = Factor::default().append(Mat::zeros(0, n), kernel.as_ref(), 1e-12);
            let expected: Vec<usize> = (0..n).filter(|&i| i != n - 2).collect();
            assert_eq!(accepted, expected);
        }
    }

    #[test]
    fn solve_and_norm_agree_with_the_matrix() {
        let kernel = kernel(30);
        let factor = factor_of(&kernel, &(0..30).collect::<Vec<_>>());
        let x: Vec<f64> = (0..30).map(|i| (i as f64 * 0.7).sin()).collect();
        let mut product: Vec<f64> = vec![0.0; 30];
        for (c, &factor) in x.iter().enumerate() {
            add_scaled(&mut product, factor, kernel.col_as_slice(c));
        }
        assert!((factor.norm_squared(&x) - dot(&x, &product)).abs() < 1e-12);
        factor.solve(&mut product);
        for (a, b) in product.iter().zip(&x) {
            assert!((a - b).abs() < 1e-11);
        }
    }
}
