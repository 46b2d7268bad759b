//! Vertices of the convex hull.
//!
//! Point i is a vertex when it is no convex combination of the others. In an orthonormal basis of
//! their affine span, scaled so that no coordinate exceeds 1, the ℓ1 distance to the hull of the
//! others is the linear program
//!
//! ```text
//! min Σ_k r⁺_k + r⁻_k   subject to   Σ_j λ_j x_j + r⁺ - r⁻ = x_i,   Σ_j λ_j = 1,   λ, r⁺, r⁻ >= 0
//! ```
//!
//! and i is a vertex when it exceeds [`HULL_TOLERANCE`]. Affinely independent points are all
//! vertices, and so is a point that is alone the farthest one in some direction; what these two
//! leave open is what the programs decide. Copies of a point count once.

use std::time::{Duration, Instant};

use faer::{Mat, MatRef};
use optim::lp::{LinearProgram, LpOutcome, SMALL};
use serde::Serialize;

use crate::HeuristicError;
use crate::profile::{Cloud, Spectrum};

/// ℓ1 distance from the hull of the others, relative to the largest coordinate, up to which a
/// point counts as inside: that of the directions that count as zero.
pub const HULL_TOLERANCE: f64 = crate::profile::RANK_TOLERANCE;

/// How many distinct points are vertices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Vertices {
    /// As many.
    Exactly(usize),
    /// The time for the programs, or their digits, did not suffice for all points.
    Between {
        /// Points that were shown to be vertices.
        at_least: usize,
        /// Points that were not shown to be inside.
        at_most: usize,
    },
}

/// Directions in which a point is tried to be the farthest.
const STEPS: usize = 100;
/// Rounding of heights in these directions, which become short where a point is inside.
const ROUNDING: f64 = 1e-12;

/// What is known of a point.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Open,
    Vertex,
    Inside,
}

impl Vertices {
    /// Counts the vertices of the hull of a cloud whose spectrum is known; the programs take at
    /// most `limit` together.
    ///
    /// # Errors
    /// [`HeuristicError::Optim`].
    pub fn of(
        cloud: &Cloud<'_>,
        spectrum: &Spectrum,
        limit: Option<Duration>,
    ) -> Result<Self, HeuristicError> {
        let distinct = cloud.distinct();
        let all = &spectrum.coordinates;
        let scale = all.norm_max().max(f64::MIN_POSITIVE);
        let dimension = spectrum.affine_dimension();
        let points = Mat::from_fn(distinct.len(), dimension, |i, k| {
            all[(distinct[i], k)] / scale
        });
        if dimension + 1 >= distinct.len() {
            return Ok(Self::Exactly(distinct.len()));
        }
        let whitened = Whitened::new(&distinct, spectrum, scale);
        let place = |i| match whitened.is_extreme(i) {
            true => Place::Vertex,
            false => Place::Open,
        };
        let mut places: Vec<Place> = (0..distinct.len()).map(place).collect();
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        for i in 0..places.len() {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if places[i] != Place::Open || left == Some(Duration::ZERO) {
                continue;
            }
            let lp = distance_to_hull(points.as_ref(), i, &places);
            places[i] = match SMALL.solve(&lp, left)? {
                LpOutcome::Optimal(found) if found.objective > HULL_TOLERANCE => Place::Vertex,
                LpOutcome::Optimal(_) => Place::Inside,
                // The program has an optimum: whatever else is said is a matter of digits or time.
                _ => Place::Open,
            };
        }
        let count = |wanted: Place| places.iter().filter(|&&place| place == wanted).count();
        let (vertices, open) = (count(Place::Vertex), count(Place::Open));
        Ok(match open {
            0 => Self::Exactly(vertices),
            open => Self::Between {
                at_least: vertices,
                at_most: vertices + open,
            },
        })
    }
}

/// Distinct points with a unit covariance, `U`, in which hulls are round: a direction g there is
/// `stretch · g` in the scaled coordinates.
struct Whitened {
    points: Mat<f64>,
    products: Mat<f64>,
    stretch: Vec<f64>,
}

impl Whitened {
    fn new(distinct: &[usize], spectrum: &Spectrum, scale: f64) -> Self {
        let (all, sigma) = (&spectrum.coordinates, &spectrum.singular_values);
        let points = Mat::from_fn(distinct.len(), sigma.len(), |i, k| {
            all[(distinct[i], k)] / sigma[k]
        });
        Self {
            products: &points * points.transpose(),
            points,
            stretch: sigma.iter().map(|sigma| scale / sigma).collect(),
        }
    }

    /// Whether a direction is found in which point i is alone the farthest: `x_i - q`, with q
    /// moved from the centroid towards the point of the hull that is nearest to x_i (Frank & Wolfe
    /// 1956). False says nothing.
    fn is_extreme(&self, i: usize) -> bool {
        let mut q = vec![0.0; self.stretch.len()];
        let mut along_q = vec![0.0; self.points.nrows()];
        let row = |j: usize| self.points.row(j).iter();
        for _ in 0..STEPS {
            let height = |j: usize| self.products[(i, j)] - along_q[j];
            let higher = |best: usize, j: usize| if height(j) > height(best) { j } else { best };
            let others = (0..along_q.len()).filter(|&j| j != i);
            let Some(top) = others.reduce(higher) else {
                return true;
            };
            let direction: Vec<f64> = row(i).zip(&q).map(|(x, q)| x - q).collect();
            let stretched = direction.iter().zip(&self.stretch).map(|(d, s)| d * s);
            let norm = stretched.map(|d| d * d).sum::<f64>().sqrt();
            if height(i) - height(top) > HULL_TOLERANCE * norm + ROUNDING {
                return true;
            }
            let (mut slope, mut length) = (0.0, 0.0);
            for ((x, q), d) in row(top).zip(&q).zip(&direction) {
                slope += d * (x - q);
                length += (x - q) * (x - q);
            }
            if slope <= 0.0 {
                return false;
            }
            let step = (slope / length).min(1.0);
            for (q, x) in q.iter_mut().zip(row(top)) {
                *q += step * (x - *q);
            }
            for (j, along) in along_q.iter_mut().enumerate() {
                *along += step * (self.products[(top, j)] - *along);
            }
        }
        false
    }
}

/// The program of point i; points inside the hull of the others do not change it.
fn distance_to_hull(points: MatRef<'_, f64>, i: usize, places: &[Place]) -> LinearProgram {
    let mut lp = LinearProgram::new();
    let others = (0..points.nrows()).filter(|&j| j != i && places[j] != Place::Inside);
    let weights: Vec<(usize, usize)> = others
        .map(|j| (j, lp.variable(0.0, 0.0, f64::INFINITY)))
        .collect();
    for k in 0..points.ncols() {
        let residuals = [1.0, -1.0].map(|sign| (lp.variable(1.0, 0.0, f64::INFINITY), sign));
        let combination = weights.iter().map(|&(j, weight)| (weight, points[(j, k)]));
        lp.equal(combination.chain(residuals), points[(i, k)]);
    }
    lp.equal(weights.iter().map(|&(_, weight)| (weight, 1.0)), 1.0);
    lp
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::Points;

    fn vertices(rows: &[f64], width: usize) -> Vertices {
        let cloud = Cloud::new(Points::new(rows, width).unwrap());
        let spectrum = Spectrum::of(&cloud).unwrap();
        Vertices::of(&cloud, &spectrum, None).unwrap()
    }

    /// Corners of the cube [0, 2]³.
    fn cube() -> Vec<f64> {
        (0..8)
            .flat_map(|c| [0, 1, 2].map(|k| f64::from(c >> k & 1) * 2.0))
            .collect()
    }

    #[test]
    fn points_inside_a_cube_on_its_edges_and_twice_in_a_corner_are_no_further_vertices() {
        let mut rows = cube();
        rows.extend([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.3, 1.7, 0.2]);
        assert_eq!(vertices(&rows, 3), Vertices::Exactly(8));
        rows.extend([1.0, 1.0, 2.01]);
        assert_eq!(vertices(&rows, 3), Vertices::Exactly(9));
    }

    #[test]
    fn a_hull_in_a_plane_of_a_wide_space_is_that_of_the_plane() {
        // A square with its centre and the middle of an edge, under a linear map to five numbers.
        let plane = [
            [0.0, 0.0],
            [2.0, 0.0],
            [0.0, 2.0],
            [2.0, 2.0],
            [1.0, 1.0],
            [1.0, 0.0],
        ];
        let rows: Vec<f64> = plane
            .iter()
            .flat_map(|[x, y]| [x + y, x - y, *x, 3.0, 2.0 * y])
            .collect();
        assert_eq!(vertices(&rows, 5), Vertices::Exactly(4));
    }

    #[test]
    fn on_a_line_the_ends_are_vertices_and_one_point_is_its_own() {
        assert_eq!(vertices(&[4.0, 1.0, 2.0, 3.0], 1), Vertices::Exactly(2));
        assert_eq!(vertices(&[4.0, 4.0, 4.0], 1), Vertices::Exactly(1));
        assert_eq!(
            vertices(&[1.0, 0.0, 0.0, 1.0, 0.0, 0.0], 2),
            Vertices::Exactly(3)
        );
    }

    #[test]
    fn without_time_the_count_is_bounded() {
        // The corners are the farthest in their own directions, the middle is nowhere.
        let mut rows = cube();
        rows.extend([1.0, 1.0, 1.1]);
        let cloud = Cloud::new(Points::new(&rows, 3).unwrap());
        let spectrum = Spectrum::of(&cloud).unwrap();
        let found = Vertices::of(&cloud, &spectrum, Some(Duration::ZERO)).unwrap();
        let expected = Vertices::Between {
            at_least: 8,
            at_most: 9,
        };
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn in_the_plane_the_count_is_that_of_a_walk_around_the_hull(
            rows in prop::collection::vec(-4_i32..5, 2..40)
        ) {
            let points: Vec<[i32; 2]> = rows.chunks_exact(2).map(|p| [p[0], p[1]]).collect();
            let rows: Vec<f64> = points.iter().flatten().map(|&x| f64::from(x)).collect();
            prop_assert_eq!(vertices(&rows, 2), Vertices::Exactly(walk(points)));
        }
    }

    /// Andrew's monotone chain in integers.
    fn walk(mut points: Vec<[i32; 2]>) -> usize {
        points.sort();
        points.dedup();
        if points.len() < 3 {
            return points.len();
        }
        let turn = |a: [i32; 2], b: [i32; 2], c: [i32; 2]| {
            (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        };
        let chain = |points: &mut dyn Iterator<Item = [i32; 2]>| {
            let mut chain: Vec<[i32; 2]> = Vec::new();
            for point in points {
                while chain.len() > 1
                    && turn(chain[chain.len() - 2], chain[chain.len() - 1], point) <= 0
                {
                    chain.pop();
                }
                chain.push(point);
            }
            chain.len() - 1
        };
        chain(&mut points.iter().copied()) + chain(&mut points.iter().rev().copied())
    }
}
