//! Rows written out in the coordinates of a change, as stretches of numbers.
//!
//! A row of a layer with many positions has no short factored form, but it is as long as the
//! layer has parameters only where every output has a sensitivity: behind a classifier whose
//! outputs do not mix, a row touches the two classes that it compares. Rows are therefore kept
//! as stretches `(start, numbers)`, and the kernel `K = J diag(s) Jᵀ` is summed over the
//! stretches that rows share.

use std::collections::BTreeMap;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

/// Columns of dense rows that are multiplied at once.
const COLUMNS: usize = 1 << 13;

/// One row a_r.
#[derive(Clone, Debug, Default)]
pub(crate) struct WrittenRow {
    stretches: Vec<(usize, Vec<f64>)>,
}

impl WrittenRow {
    /// Adds numbers from coordinate `start` on; stretches of rows that share one start have
    /// one length.
    pub(crate) fn push(&mut self, start: usize, numbers: Vec<f64>) {
        self.stretches.push((start, numbers));
    }

    /// Numbers held.
    pub(crate) fn len(&self) -> usize {
        self.stretches
            .iter()
            .map(|(_, numbers)| numbers.len())
            .sum()
    }

    /// a_r · x
    pub(crate) fn value(&self, x: &[f64]) -> f64 {
        let products = self.stretches.iter().map(|(start, numbers)| {
            let x = &x[*start..*start + numbers.len()];
            numbers.iter().zip(x).map(|(a, x)| a * x).sum::<f64>()
        });
        products.sum()
    }

    /// x += factor · a_r
    fn add_to(&self, x: &mut [f64], factor: f64) {
        for (start, numbers) in &self.stretches {
            let x = &mut x[*start..*start + numbers.len()];
            x.iter_mut()
                .zip(numbers)
                .for_each(|(x, a)| *x += factor * a);
        }
    }
}

/// J x
pub(crate) fn apply(rows: &[WrittenRow], x: &[f64]) -> Vec<f64> {
    rows.par_iter().map(|row| row.value(x)).collect()
}

/// Jᵀ y, of `entries` numbers.
pub(crate) fn adjoint(rows: &[WrittenRow], y: &[f64], entries: usize) -> Vec<f64> {
    let mut x = vec![0.0; entries];
    for (row, &y) in rows.iter().zip(y).filter(|(_, y)| **y != 0.0) {
        row.add_to(&mut x, y);
    }
    x
}

/// J diag(scale) Jᵀ, symmetric.
pub(crate) fn kernel(rows: &[WrittenRow], scale: &[f64]) -> Mat<f64> {
    let mut shared: BTreeMap<usize, Vec<(usize, &[f64])>> = BTreeMap::new();
    for (r, row) in rows.iter().enumerate() {
        for (start, numbers) in &row.stretches {
            shared.entry(*start).or_default().push((r, numbers));
        }
    }
    let mut kernel = Mat::zeros(rows.len(), rows.len());
    for (start, members) in shared {
        let length = members.iter().map(|(_, numbers)| numbers.len()).max();
        let mut products = Mat::<f64>::zeros(members.len(), members.len());
        for first in (0..length.unwrap_or(0)).step_by(COLUMNS) {
            // One column per member: its scaled numbers from `first` on.
            let columns: Vec<Vec<f64>> = members
                .par_iter()
                .map(|(_, numbers)| {
                    let numbers = numbers.iter().zip(&scale[start..]).skip(first);
                    numbers.take(COLUMNS).map(|(a, s)| a * s.sqrt()).collect()
                })
                .collect();
            let height = columns.iter().map(Vec::len).max().unwrap_or(0);
            let stacked: Vec<f64> = columns.concat();
            let stacked = MatRef::from_column_major_slice(&stacked, height, members.len());
            matmul(
                products.as_mut(),
                Accum::Add,
                stacked.transpose(),
                stacked,
                1.0,
                Par::rayon(0),
            );
        }
        for (i, &(r, _)) in members.iter().enumerate() {
            for (j, &(s, _)) in members.iter().enumerate() {
                kernel[(r, s)] += products[(i, j)];
            }
        }
    }
    kernel
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<WrittenRow> {
        let mut first = WrittenRow::default();
        first.push(0, vec![1.0, 2.0]);
        first.push(4, vec![-1.0, 0.5]);
        let mut second = WrittenRow::default();
        second.push(4, vec![3.0, 1.0]);
        second.push(2, vec![1.0, 1.0]);
        vec![first, second]
    }

    #[test]
    fn the_kernel_is_that_of_the_dense_rows() {
        let scale = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let dense = [
            [1.0, 2.0, 0.0, 0.0, -1.0, 0.5],
            [0.0, 0.0, 1.0, 1.0, 3.0, 1.0],
        ];
        let kernel = kernel(&rows(), &scale);
        for (r, a) in dense.iter().enumerate() {
            for (s, b) in dense.iter().enumerate() {
                let expected: f64 = (0..6).map(|j| a[j] * scale[j] * b[j]).sum();
                assert!((kernel[(r, s)] - expected).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn products_with_the_rows_and_their_transpose_agree() {
        let (x, y) = ([1.0, -2.0, 0.5, 3.0, 2.0, 1.0], [0.7, -1.3]);
        let forward: f64 = apply(&rows(), &x).iter().zip(&y).map(|(a, b)| a * b).sum();
        let backward: f64 = adjoint(&rows(), &y, 6)
            .iter()
            .zip(&x)
            .map(|(a, b)| a * b)
            .sum();
        assert!((forward - backward).abs() < 1e-12);
        assert_eq!(apply(&rows(), &x)[0], 1.0 - 4.0 - 2.0 + 0.5);
    }
}
