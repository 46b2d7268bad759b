//! The directions of a group's inputs that the repair points span: the singular vectors of their
//! whitened features.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par, Side};
use rayon::prelude::*;

use crate::RepairError;
use crate::affine::{Affine, Features};
use crate::metric::Block;

/// Share of the largest singular value squared below which a direction is dropped.
const RANK_TOLERANCE: f64 = 1e-12;
/// Points whose features are added up together at least, so that every thread has one.
pub(super) const LEAST_CHUNK: usize = 8;

/// B of one group, width x rank, and s_j² per coordinate.
#[derive(Clone, Debug)]
pub(super) struct Basis {
    pub(super) matrix: Mat<f64>,
    pub(super) squares: Vec<f64>,
}

/// The whitened features of all points, or their second moments where there are many.
pub(super) enum Gathered {
    /// Rows of the only group, count x width.
    Rows(Vec<f64>),
    /// Σ φφᵀ per group.
    Moments(Vec<Mat<f64>>),
}

impl Gathered {
    /// The features of each of `points` points.
    pub(super) fn collect(
        affine: &Affine,
        metric: &Block,
        points: usize,
        features: impl Fn(usize) -> Result<Features, RepairError> + Sync,
    ) -> Result<Self, RepairError> {
        let (groups, width) = (affine.groups(), affine.width());
        // The whitened features of a point, a list of rows per group.
        let whitened = |point: usize| -> Result<Vec<Vec<f64>>, RepairError> {
            let features = features(point)?;
            let of_group = |group| {
                let rows = features.group(group);
                let mut values: Vec<f64> = rows
                    .row_iter()
                    .flat_map(|row| row.iter())
                    .copied()
                    .collect();
                metric.whiten_inputs(group, &mut values);
                values
            };
            Ok((0..groups).map(of_group).collect())
        };
        let gather = |points: Range<usize>| -> Result<Vec<Vec<Vec<f64>>>, RepairError> {
            points.into_par_iter().map(whitened).collect()
        };
        let rows_of = |gathered: &[Vec<Vec<f64>>], group: usize| -> Vec<f64> {
            let rows = gathered.iter().flat_map(|point| &point[group]);
            rows.copied().collect()
        };
        let mut gathered = gather(0..points.min(1))?;
        let positions = rows_of(&gathered, 0).len() / width.max(1);
        if groups == 1 && points * positions <= width {
            gathered.extend(gather(gathered.len()..points)?);
            return Ok(Self::Rows(rows_of(&gathered, 0)));
        }
        // Chunk after chunk, so that few rows are held at once; in the order of the points, so
        // that every run gives the same bits.
        let chunk = (width / positions.max(1)).max(LEAST_CHUNK);
        let par = if groups == 1 { Par::rayon(0) } else { Par::Seq };
        let mut sums = vec![Mat::<f64>::zeros(width, width); groups];
        let mut next = gathered.len();
        while !gathered.is_empty() {
            sums.par_iter_mut().enumerate().for_each(|(group, sum)| {
                add_moment(sum, &rows_of(&gathered, group), par);
            });
            let end = (next + chunk).min(points);
            gathered = gather(next..end)?;
            next = end;
        }
        Ok(Self::Moments(sums))
    }

    /// The basis of one group; a complete one also has the directions that no feature uses.
    pub(super) fn basis(
        &self,
        affine: &Affine,
        metric: &Block,
        group: usize,
        complete: bool,
    ) -> Result<Basis, RepairError> {
        let width = affine.width();
        let unsolved = || RepairError::Metric {
            what: "Gram matrix of the repair inputs",
            layer: affine.layer().name.clone(),
        };
        let (gram, rows) = match self {
            Self::Moments(sums) => (sums[group].clone(), None),
            Self::Rows(values) => {
                let rows = MatRef::from_row_major_slice(values, values.len() / width, width);
                match complete {
                    true => (rows.transpose() * rows, None),
                    // The smaller of H Hᵀ and Hᵀ H gives the singular values.
                    false => (rows * rows.transpose(), Some(rows)),
                }
            }
        };
        let eigen = gram
            .self_adjoint_eigen(Side::Lower)
            .map_err(|_| unsolved())?;
        let values: Vec<f64> = eigen.S().column_vector().iter().copied().collect();
        let largest = values.iter().copied().fold(0.0, f64::max);
        let kept: Vec<usize> = (0..values.len())
            .filter(|&j| complete || values[j] > RANK_TOLERANCE * largest)
            .collect();
        let chosen = Mat::from_fn(values.len(), kept.len(), |i, j| eigen.U()[(i, kept[j])]);
        let squares: Vec<f64> = kept.iter().map(|&j| values[j].max(0.0)).collect();
        let directions = match rows {
            None => chosen,
            Some(rows) => {
                let mut directions = rows.transpose() * chosen;
                for (j, square) in squares.iter().enumerate() {
                    let scale = 1.0 / square.sqrt();
                    directions.col_mut(j).iter_mut().for_each(|u| *u *= scale);
                }
                directions
            }
        };
        Ok(Basis {
            matrix: metric.basis(group, directions),
            squares,
        })
    }
}

fn add_moment(sum: &mut Mat<f64>, rows: &[f64], par: Par) {
    let width = sum.nrows();
    let rows = MatRef::from_row_major_slice(rows, rows.len() / width.max(1), width);
    matmul(sum.as_mut(), Accum::Add, rows.transpose(), rows, 1.0, par);
}
