//! How far points are from each other, from their centroid and from a guard set.

use serde::Serialize;

use crate::HeuristicError;
use crate::profile::{Cloud, Distribution, Points};

/// Distances between all pairs of points; `None` for a single point.
pub fn pairwise(cloud: &Cloud<'_>) -> Option<Distribution> {
    let count = cloud.points().count();
    let pairs = (0..count).flat_map(|j| (0..j).map(move |i| (i, j)));
    Distribution::of(pairs.map(|(i, j)| cloud.distance(i, j)))
}

/// Distances of the points to their centroid.
pub fn centroid(cloud: &Cloud<'_>) -> Option<Distribution> {
    let squared = cloud.products().diagonal().column_vector();
    Distribution::of(squared.iter().map(|squared| squared.max(0.0).sqrt()))
}

/// How a repair set lies in a guard set.
///
/// For a guard point g let d(g) be its distance to the nearest other guard point that is not the
/// same. Its ratio is
///
/// ```text
/// min_i ‖g - x_i‖ / d(g)      over the repair points x_i
/// ```
///
/// and it is covered when the ratio is at most 1: a repair point is as near as its neighbours are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Coverage {
    /// The ratios; `None` when all guard points are the same.
    pub ratios: Option<Distribution>,
    /// Share of the guard points that are covered; 0 without ratios.
    pub covered: f64,
    /// Distance of each repair point to the nearest guard point.
    pub to_guard: Option<Distribution>,
}

impl Coverage {
    /// The coverage of `guard` by the points of a cloud.
    ///
    /// # Errors
    /// [`HeuristicError::Count`] for guard points of another width.
    pub fn of(cloud: &Cloud<'_>, guard: Points<'_>) -> Result<Self, HeuristicError> {
        let across = cloud.distances_to(guard)?;
        let guard = Cloud::new(guard);
        let least =
            |distances: &mut dyn Iterator<Item = f64>| distances.fold(f64::INFINITY, f64::min);
        let ratios: Vec<f64> = (0..across.ncols())
            .filter_map(|g| {
                let others = (0..across.ncols()).map(|other| guard.distance(g, other));
                let own = least(&mut others.filter(|&distance| distance > 0.0));
                let nearest = least(&mut across.col(g).iter().copied());
                own.is_finite().then(|| nearest / own)
            })
            .collect();
        let covered = ratios.iter().filter(|&&ratio| ratio <= 1.0).count();
        let nearest = (0..across.nrows()).map(|i| least(&mut across.row(i).iter().copied()));
        Ok(Self {
            covered: covered as f64 / ratios.len().max(1) as f64,
            ratios: Distribution::of(ratios),
            to_guard: Distribution::of(nearest),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_of_a_right_triangle() {
        let rows = [0.0, 0.0, 3.0, 0.0, 0.0, 4.0];
        let cloud = Cloud::new(Points::new(&rows, 2).unwrap());
        let found = pairwise(&cloud).unwrap();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        let values = [found.min, found.median, found.max, found.mean];
        for (value, expected) in values.into_iter().zip([3.0, 4.0, 5.0, 4.0]) {
            close(value, expected);
        }
        // The centroid is (1, 4/3).
        close(centroid(&cloud).unwrap().min, (1.0_f64 + 16.0 / 9.0).sqrt());
        assert_eq!(pairwise(&Cloud::new(Points::new(&rows, 6).unwrap())), None);
    }

    #[test]
    fn coverage_measures_by_the_spacing_of_the_guard_points() {
        // Guard points 0, 1, 4 and 4 again; their own distances are 1, 1, 3, 3.
        let guard = Points::new(&[0.0, 1.0, 4.0, 4.0], 1).unwrap();
        let rows = [1.5, 10.0];
        let cloud = Cloud::new(Points::new(&rows, 1).unwrap());
        let found = Coverage::of(&cloud, guard).unwrap();
        // Ratios 1.5, 0.5, 2.5/3, 2.5/3.
        assert_eq!(found.covered, 0.75);
        let ratios = found.ratios.unwrap();
        assert!((ratios.max - 1.5).abs() < 1e-12 && (ratios.min - 0.5).abs() < 1e-12);
        let to_guard = found.to_guard.unwrap();
        assert!((to_guard.min - 0.5).abs() < 1e-12 && (to_guard.max - 6.0).abs() < 1e-12);
        let one = Coverage::of(&cloud, Points::new(&[2.0], 1).unwrap()).unwrap();
        assert_eq!((one.ratios, one.covered), (None, 0.0));
    }
}
