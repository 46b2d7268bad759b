//! How many directions points vary in.

use faer::{Mat, Side};

use crate::HeuristicError;
use crate::profile::Cloud;

/// Singular values below this share of the largest one count as zero. They come from the square
/// root of an eigenvalue, whose rounding is about 1e-15 of the largest, and activations that are
/// computed in f32 are rounded to 6e-8.
pub const RANK_TOLERANCE: f64 = 1e-6;
/// Share of the points, those of the least ratios, that the intrinsic dimension is fitted on.
const FITTED: f64 = 0.9;

/// The singular values of points less their mean, and the points in the directions of them.
#[derive(Clone, Debug)]
pub struct Spectrum {
    /// The singular values σ that are not zero to [`RANK_TOLERANCE`], the largest first.
    pub singular_values: Vec<f64>,
    /// The points in an orthonormal basis of their affine span, its origin in their mean:
    /// points x dimension, `U diag(σ)`.
    pub coordinates: Mat<f64>,
}

impl Spectrum {
    /// The spectrum of K.
    ///
    /// # Errors
    /// [`HeuristicError::Spectrum`] when the eigenvalues do not converge.
    pub fn of(cloud: &Cloud<'_>) -> Result<Self, HeuristicError> {
        let points = cloud.points().count();
        let eigen = cloud.products().self_adjoint_eigen(Side::Lower);
        let eigen = eigen.map_err(|_| HeuristicError::Spectrum { points })?;
        // Eigenvalues come in ascending order.
        let sigma = |k: usize| eigen.S()[points - 1 - k].max(0.0).sqrt();
        let floor = (RANK_TOLERANCE * sigma(0)).max(f64::MIN_POSITIVE);
        let rank = (0..points).take_while(|&k| sigma(k) > floor).count();
        Ok(Self {
            singular_values: (0..rank).map(sigma).collect(),
            coordinates: Mat::from_fn(points, rank, |i, k| {
                eigen.U()[(i, points - 1 - k)] * sigma(k)
            }),
        })
    }

    /// Dimension of the affine span: the rank of the centred matrix.
    pub fn affine_dimension(&self) -> usize {
        self.singular_values.len()
    }

    /// The effective rank of the centred matrix, `exp(-Σ p log p)` with `p = σ / Σ σ` (Roy &
    /// Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007); 0
    /// when the points do not vary.
    pub fn effective_rank(&self) -> f64 {
        let total: f64 = self.singular_values.iter().sum();
        if total <= 0.0 {
            return 0.0;
        }
        let shares = self.singular_values.iter().map(|sigma| sigma / total);
        shares.map(|p| -p * p.ln()).sum::<f64>().exp()
    }
}

/// The intrinsic dimension by the two nearest neighbours (Facco, d'Errico, Rodriguez & Laio,
/// "Estimating the intrinsic dimension of datasets by a minimal neighborhood information",
/// Scientific Reports 7, 2017).
///
/// With μ_i the ratio of point i's distances to its second and its first nearest neighbour,
/// sorted, and F(μ_i) = i / n, the dimension is the slope of `-log(1 - F)` against `log μ`,
/// a line through the origin fitted on the least 90 %. Copies of a point count once. `None` with
/// fewer than three distinct points, or where both neighbours of all are equally near.
pub fn two_nn(cloud: &Cloud<'_>) -> Option<f64> {
    let distinct = cloud.distinct();
    if distinct.len() < 3 {
        return None;
    }
    let log_ratio = |&i: &usize| {
        let others = distinct.iter().filter(|&&j| j != i);
        let (first, second) = others.map(|&j| cloud.distance(i, j)).fold(
            (f64::INFINITY, f64::INFINITY),
            |(first, second), d| match d < first {
                true => (d, first),
                false => (first, second.min(d)),
            },
        );
        (second / first).ln()
    };
    let mut ratios: Vec<f64> = distinct.iter().map(log_ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let n = ratios.len() as f64;
    let fitted = (FITTED * n) as usize;
    let (mut xy, mut xx) = (0.0, 0.0);
    for (i, x) in ratios.iter().take(fitted).enumerate() {
        xy += x * -(1.0 - (i + 1) as f64 / n).ln();
        xx += x * x;
    }
    (xx > 0.0).then(|| xy / xx)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::Points;

    fn spectrum(rows: &[f64], width: usize) -> Spectrum {
        Spectrum::of(&Cloud::new(Points::new(rows, width).unwrap())).unwrap()
    }

    #[test]
    fn points_of_a_cross_vary_in_two_directions() {
        // Centred, with singular values √18 and √2.
        let cross = [3.0, 0.0, 7.0, -3.0, 0.0, 7.0, 0.0, 1.0, 7.0, 0.0, -1.0, 7.0];
        let found = spectrum(&cross, 3);
        assert_eq!(found.affine_dimension(), 2);
        assert!((found.singular_values[0] - 18_f64.sqrt()).abs() < 1e-12);
        // p = 3/4 and 1/4.
        let entropy = 0.75 * (4.0_f64 / 3.0).ln() + 0.25 * 4_f64.ln();
        assert!((found.effective_rank() - entropy.exp()).abs() < 1e-12);
    }

    #[test]
    fn equal_directions_count_fully_and_one_point_not_at_all() {
        let square = [1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0];
        assert!((spectrum(&square, 2).effective_rank() - 2.0).abs() < 1e-12);
        let same = spectrum(&[5.0, 6.0, 5.0, 6.0], 2);
        assert_eq!((same.affine_dimension(), same.effective_rank()), (0, 0.0));
    }

    #[test]
    fn two_neighbours_of_three_points_on_a_line() {
        // 0, 1, 3: ratios 3, 2, 3/2; the least two are fitted, against F = 1/3 and 2/3.
        let rows = [0.0, 1.0, 3.0, 1.0];
        let found = two_nn(&Cloud::new(Points::new(&rows, 1).unwrap())).unwrap();
        let (a, b, c) = (1.5_f64.ln(), 2_f64.ln(), 3_f64.ln());
        assert!((found - (a * a + b * c) / (a * a + b * b)).abs() < 1e-12);
        let even = [0.0, 1.0, 0.5, 0.75_f64.sqrt()];
        let pair = Cloud::new(Points::new(&even, 2).unwrap());
        assert_eq!(two_nn(&pair), None);
    }

    #[test]
    fn a_plane_in_space_has_intrinsic_dimension_two() {
        // An additive recurrence fills the square evenly at random offsets.
        let unit = |seed: u64| {
            let drawn = data::sample(1 << 16, 1000, seed).unwrap();
            drawn.into_iter().map(|k| k as f64 / 65536.0)
        };
        let rows: Vec<f64> = unit(1)
            .zip(unit(2))
            .flat_map(|(a, b)| [a, b, a - b, 2.0 * b])
            .collect();
        let found = two_nn(&Cloud::new(Points::new(&rows, 4).unwrap())).unwrap();
        assert!((1.8..2.2).contains(&found), "{found}");
    }

    proptest! {
        #[test]
        fn coordinates_keep_every_distance(rows in prop::collection::vec(-9_i8..9, 24)) {
            let rows: Vec<f64> = rows.into_iter().map(f64::from).collect();
            let cloud = Cloud::new(Points::new(&rows, 4).unwrap());
            let found = Spectrum::of(&cloud).unwrap();
            prop_assert!(found.affine_dimension() <= 4);
            prop_assert!(found.effective_rank() <= found.affine_dimension() as f64 + 1e-9);
            for (i, j) in (0..6).flat_map(|j| (0..j).map(move |i| (i, j))) {
                let difference = found.coordinates.row(i) - found.coordinates.row(j);
                prop_assert!((difference.norm_l2() - cloud.distance(i, j)).abs() < 1e-5);
            }
        }
    }
}
