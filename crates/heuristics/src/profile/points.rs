//! Points as the rows of a matrix, their inner products and their distances.
//!
//! With the points less their mean, `x_i - x̄`, as the rows of X,
//!
//! ```text
//! K = X Xᵀ,        ‖x_i - x_j‖² = K_ii + K_jj - 2 K_ij
//! ```
//!
//! and every property of this module is a function of K: it holds n² numbers however wide the
//! points are. Centring keeps distances and lessens their cancellation.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

use crate::HeuristicError;
use crate::error::check_count;

/// Numbers of each point that are multiplied at a time.
const NUMBERS: usize = 4096;
/// Squared distances below this share of the squared norms are rounding errors of K: such points
/// count as the same.
const ROUNDING: f64 = 1e-12;

/// At least one point, as the rows of a `points x width` matrix of finite numbers.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    rows: &'a [f64],
    width: usize,
}

impl<'a> Points<'a> {
    /// Points from a matrix, row-major.
    ///
    /// # Errors
    /// [`HeuristicError::Count`] unless the numbers make one or more whole points;
    /// [`HeuristicError::NotFinite`].
    pub fn new(rows: &'a [f64], width: usize) -> Result<Self, HeuristicError> {
        let points = rows.len().checked_div(width).unwrap_or(0);
        check_count(
            "numbers of whole points",
            points.max(1) * width.max(1),
            rows.len(),
        )?;
        check_count("empty points", 0, usize::from(width == 0))?;
        match rows.iter().position(|x| !x.is_finite()) {
            Some(at) => Err(HeuristicError::NotFinite {
                point: at / width,
                position: at % width,
                value: rows[at],
            }),
            None => Ok(Self { rows, width }),
        }
    }

    /// How many points.
    pub fn count(&self) -> usize {
        self.rows.len() / self.width
    }

    /// Numbers of a point.
    pub fn width(&self) -> usize {
        self.width
    }

    /// x̄.
    fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.width];
        for row in self.rows.chunks_exact(self.width) {
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        mean.iter().map(|sum| sum / self.count() as f64).collect()
    }

    /// Numbers `from..to` of all points less their `centre`, row-major.
    fn slab(&self, centre: &[f64], from: usize, to: usize) -> Vec<f64> {
        let rows = self.rows.chunks_exact(self.width);
        rows.flat_map(|row| {
            row[from..to]
                .iter()
                .zip(&centre[from..to])
                .map(|(x, c)| x - c)
        })
        .collect()
    }

    fn squared_norms(&self, centre: &[f64]) -> Vec<f64> {
        let squared = |row: &[f64]| row.iter().zip(centre).map(|(x, c)| (x - c) * (x - c)).sum();
        self.rows.chunks_exact(self.width).map(squared).collect()
    }
}

/// Points and the inner products K.
#[derive(Clone, Debug)]
pub struct Cloud<'a> {
    points: Points<'a>,
    mean: Vec<f64>,
    products: Mat<f64>,
}

impl<'a> Cloud<'a> {
    /// Forms K, which takes n²·width multiplications and n² numbers.
    pub fn new(points: Points<'a>) -> Self {
        let mean = points.mean();
        Self {
            products: products(points, points, &mean),
            points,
            mean,
        }
    }

    /// The points.
    pub fn points(&self) -> Points<'a> {
        self.points
    }

    /// K, points x points.
    pub fn products(&self) -> MatRef<'_, f64> {
        self.products.as_ref()
    }

    /// Distance of two points; 0 for the same point twice.
    pub fn distance(&self, i: usize, j: usize) -> f64 {
        let k = &self.products;
        distance(k[(i, i)], k[(j, j)], k[(i, j)])
    }

    /// The points less copies: those that are the same as no earlier one.
    pub fn distinct(&self) -> Vec<usize> {
        let mut distinct: Vec<usize> = Vec::new();
        for i in 0..self.points.count() {
            if distinct.iter().all(|&j| self.distance(i, j) > 0.0) {
                distinct.push(i);
            }
        }
        distinct
    }

    /// Distances of the points to those of another set, points x others.
    ///
    /// # Errors
    /// [`HeuristicError::Count`] for points of another width.
    pub fn distances_to(&self, others: Points<'_>) -> Result<Mat<f64>, HeuristicError> {
        let width = self.points.width;
        check_count("numbers of a point", width, others.width)?;
        let norms = others.squared_norms(&self.mean);
        let products = products(self.points, others, &self.mean);
        let own = &self.products;
        Ok(Mat::from_fn(self.points.count(), others.count(), |i, j| {
            distance(own[(i, i)], norms[j], products[(i, j)])
        }))
    }
}

/// Inner products of two sets of points less a common centre, slab by slab.
fn products(left: Points<'_>, right: Points<'_>, centre: &[f64]) -> Mat<f64> {
    let mut products = Mat::zeros(left.count(), right.count());
    for from in (0..left.width).step_by(NUMBERS) {
        let to = (from + NUMBERS).min(left.width);
        let slabs = [left, right].map(|points| points.slab(centre, from, to));
        matmul(
            products.as_mut(),
            Accum::Add,
            MatRef::from_row_major_slice(&slabs[0], left.count(), to - from),
            MatRef::from_row_major_slice(&slabs[1], right.count(), to - from).transpose(),
            1.0,
            Par::Seq,
        );
    }
    products
}

/// From two squared norms and an inner product.
fn distance(left: f64, right: f64, product: f64) -> f64 {
    let squared = left + right - 2.0 * product;
    if squared <= ROUNDING * (left + right) {
        return 0.0;
    }
    squared.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_agree_with_differences_for_wide_points_far_from_the_origin() {
        let width = NUMBERS + 7;
        let number = |i: usize| 64.0 + ((i * i * 7 + i * 3) % 101) as f64;
        let rows: Vec<f64> = (0..3 * width).map(number).collect();
        let others: Vec<f64> = (0..2 * width).map(|i| number(i + 5)).collect();
        let cloud = Cloud::new(Points::new(&rows, width).unwrap());
        let direct = |a: &[f64], b: &[f64]| {
            let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
            squares.sum::<f64>().sqrt()
        };
        let row = |i: usize| &rows[i * width..][..width];
        assert!((cloud.distance(0, 2) / direct(row(0), row(2)) - 1.0).abs() < 1e-12);
        let found = cloud
            .distances_to(Points::new(&others, width).unwrap())
            .unwrap();
        let expected = direct(row(1), &others[width..]);
        assert!((found[(1, 1)] / expected - 1.0).abs() < 1e-12);
    }

    #[test]
    fn copies_are_told_from_distinct_points() {
        let rows = [1.0, 2.0, 3.5, -1.0, 1.0, 2.0, 0.0, 0.0];
        let cloud = Cloud::new(Points::new(&rows, 2).unwrap());
        assert_eq!(cloud.distinct(), [0, 1, 3]);
        assert_eq!(cloud.distance(0, 2), 0.0);
    }

    #[test]
    fn matrices_that_are_no_points_are_refused() {
        assert!(Points::new(&[1.0, 2.0, 3.0], 2).is_err());
        assert!(Points::new(&[], 2).is_err() && Points::new(&[1.0], 0).is_err());
        let error = Points::new(&[0.0, 1.0, f64::NAN, 0.0], 2).unwrap_err();
        assert!(matches!(
            error,
            HeuristicError::NotFinite {
                point: 1,
                position: 0,
                ..
            }
        ));
        let cloud = [0.0, 1.0];
        let cloud = Cloud::new(Points::new(&cloud, 2).unwrap());
        assert!(cloud.distances_to(Points::new(&[1.0], 1).unwrap()).is_err());
    }
}
