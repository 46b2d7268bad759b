//! Rows written out in the coordinates of a change, as stretches of numbers.
//!
//! A row of a layer with many positions has no short factored form, but it is as long as the
//! layer has parameters only where every output has a sensitivity: behind a classifier whose
//! outputs do not mix, a row touches the two classes that it compares. Rows are therefore kept
//! as stretches, and the kernel `K = J diag(s) Jᵀ` is summed over the stretches that rows share. A
//! layer that reads one feature vector per point makes a stretch `g hᵀ`, of which the factors are
//! kept and multiplied: `(h · h')(g · g')`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

/// Columns of dense rows that are multiplied at once.
const COLUMNS: usize = 1 << 13;

/// One row a_r.
#[derive(Clone, Debug, Default)]
pub(crate) struct WrittenRow {
    stretches: Vec<(usize, Stretch)>,
}

/// Coordinates of a row that lie together.
#[derive(Clone, Debug)]
enum Stretch {
    Numbers(Vec<f64>),
    /// g hᵀ, row after row.
    Outer(Vec<f64>, Vec<f64>),
}

impl Stretch {
    fn value(&self, x: &[f64]) -> f64 {
        match self {
            Self::Numbers(numbers) => dot(numbers, x),
            Self::Outer(g, h) => {
                let rows = x.chunks_exact(h.len().max(1));
                g.iter().zip(rows).map(|(g, row)| g * dot(h, row)).sum()
            }
        }
    }

    fn add_to(&self, x: &mut [f64], factor: f64) {
        let add = |x: &mut [f64], factor: f64, numbers: &[f64]| {
            let pairs = x.iter_mut().zip(numbers);
            pairs.for_each(|(x, a)| *x += factor * a);
        };
        match self {
            Self::Numbers(numbers) => add(x, factor, numbers),
            Self::Outer(g, h) => {
                let rows = x.chunks_exact_mut(h.len().max(1));
                let rows = g.iter().zip(rows).filter(|(g, _)| **g != 0.0);
                rows.for_each(|(g, row)| add(row, factor * g, h));
            }
        }
    }

    /// Its numbers, written out.
    fn numbers(&self) -> Cow<'_, [f64]> {
        match self {
            Self::Numbers(numbers) => Cow::Borrowed(numbers),
            Self::Outer(g, h) => {
                let rows = g.iter().flat_map(|g| h.iter().map(move |h| g * h));
                Cow::Owned(rows.collect())
            }
        }
    }
}

impl WrittenRow {
    /// Adds numbers from coordinate `start` on; stretches of rows that share one start have
    /// one length.
    pub(crate) fn push(&mut self, start: usize, numbers: Vec<f64>) {
        self.stretches.push((start, Stretch::Numbers(numbers)));
    }

    /// Adds the entries of `g hᵀ`, row after row, from coordinate `start` on.
    pub(crate) fn push_outer(&mut self, start: usize, g: Vec<f64>, h: Vec<f64>) {
        self.stretches.push((start, Stretch::Outer(g, h)));
    }

    /// Numbers held.
    pub(crate) fn len(&self) -> usize {
        let held = |(_, stretch): &(usize, Stretch)| match stretch {
            Stretch::Numbers(numbers) => numbers.len(),
            Stretch::Outer(g, h) => g.len() + h.len(),
        };
        self.stretches.iter().map(held).sum()
    }

    /// a_r · x
    pub(crate) fn value(&self, x: &[f64]) -> f64 {
        let stretches = self.stretches.iter();
        stretches
            .map(|(start, part)| part.value(&x[*start..]))
            .sum()
    }

    /// x += factor · a_r
    fn add_to(&self, x: &mut [f64], factor: f64) {
        for (start, part) in &self.stretches {
            part.add_to(&mut x[*start..], factor);
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
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

/// J diag(scale) Jᵀ, symmetric. The scale of an entry of `g hᵀ` is that of its column.
pub(crate) fn kernel(rows: &[WrittenRow], scale: &[f64]) -> Mat<f64> {
    let mut shared: BTreeMap<usize, Vec<(usize, &Stretch)>> = BTreeMap::new();
    for (r, row) in rows.iter().enumerate() {
        for (start, stretch) in &row.stretches {
            shared.entry(*start).or_default().push((r, stretch));
        }
    }
    let mut kernel = Mat::zeros(rows.len(), rows.len());
    for (start, members) in shared {
        let stretches: Vec<&Stretch> = members.iter().map(|(_, stretch)| *stretch).collect();
        let products = products(&stretches, &scale[start..]);
        for (i, &(r, _)) in members.iter().enumerate() {
            for (j, &(s, _)) in members.iter().enumerate() {
                kernel[(r, s)] += products[(i, j)];
            }
        }
    }
    kernel
}

/// The inner products of stretches of the same coordinates.
fn products(stretches: &[&Stretch], scale: &[f64]) -> Mat<f64> {
    let factors = |stretch: &&Stretch| match stretch {
        Stretch::Outer(g, h) => Some((g.clone(), h.clone())),
        Stretch::Numbers(_) => None,
    };
    let factors: Option<Vec<(Vec<f64>, Vec<f64>)>> = stretches.iter().map(factors).collect();
    if let Some(factors) = factors {
        let (g, h): (Vec<Vec<f64>>, Vec<Vec<f64>>) = factors.into_iter().unzip();
        let (g, h) = (gram(&g, &[]), gram(&h, scale));
        return Mat::from_fn(stretches.len(), stretches.len(), |i, j| {
            g[(i, j)] * h[(i, j)]
        });
    }
    let numbers: Vec<Cow<'_, [f64]>> = stretches.iter().map(|part| part.numbers()).collect();
    gram(&numbers, scale)
}

/// A diag(scale) Aᵀ of the rows of A; without a scale A Aᵀ.
fn gram(rows: &[impl AsRef<[f64]> + Sync], scale: &[f64]) -> Mat<f64> {
    let length = rows.iter().map(|numbers| numbers.as_ref().len()).max();
    let mut products = Mat::<f64>::zeros(rows.len(), rows.len());
    for first in (0..length.unwrap_or(0)).step_by(COLUMNS) {
        // One column per row: its scaled numbers from `first` on.
        let columns: Vec<Vec<f64>> = rows
            .par_iter()
            .map(|numbers| {
                let numbers = numbers.as_ref().iter().skip(first).take(COLUMNS);
                match scale.get(first..) {
                    Some(scale) if !scale.is_empty() => {
                        numbers.zip(scale).map(|(a, s)| a * s.sqrt()).collect()
                    }
                    _ => numbers.copied().collect(),
                }
            })
            .collect();
        let height = columns.iter().map(Vec::len).max().unwrap_or(0);
        let stacked: Vec<f64> = columns.concat();
        let stacked = MatRef::from_column_major_slice(&stacked, height, rows.len());
        matmul(
            products.as_mut(),
            Accum::Add,
            stacked.transpose(),
            stacked,
            1.0,
            Par::rayon(0),
        );
    }
    products
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
    fn outer_products_count_as_their_numbers() {
        let (g, h) = (vec![2.0, -1.0], vec![1.0, 0.5]);
        let outer = |factored: bool, g: &[f64]| {
            let mut row = WrittenRow::default();
            let numbers = g.iter().flat_map(|g| h.iter().map(move |h| g * h));
            match factored {
                true => row.push_outer(1, g.to_vec(), h.clone()),
                false => row.push(1, numbers.collect()),
            }
            row
        };
        let x = [9.0, 1.0, -2.0, 0.5, 3.0, 7.0];
        // Columns of the outer product have one scale each.
        let scale = [1.0, 2.0, 3.0, 2.0, 3.0, 1.0];
        let all =
            |factored: [bool; 2]| vec![outer(factored[0], &g), outer(factored[1], &[0.0, 4.0])];
        let expected = all([false, false]);
        for factored in [[true, true], [true, false]] {
            let rows = all(factored);
            assert_eq!(apply(&rows, &x), apply(&expected, &x));
            let y = [0.5, -2.0];
            assert_eq!(adjoint(&rows, &y, 6), adjoint(&expected, &y, 6));
            let [found, wanted] = [&rows, &expected].map(|rows| kernel(rows, &scale));
            assert!((&found - &wanted).norm_max() < 1e-12);
        }
        assert_eq!(all([true, true])[0].len(), 4);
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
