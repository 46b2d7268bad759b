//! What kind of a repair set it is.
//!
//! Each property is a pure function of a `points x width` matrix, of the labels or of the
//! network's outputs, so that one function serves the inputs and every layer's outputs
//! ([`pooled()`]) alike:
//!
//! | file | properties | source |
//! |---|---|---|
//! | `classes` | class counts, entropy | |
//! | `distances` | distances between points, to their centroid; coverage of a guard set | |
//! | `dimension` | affine dimension; effective rank; intrinsic dimension | Roy & Vetterli 2007; Facco et al. 2017 |
//! | `hull` | vertices of the convex hull, by linear programs | |
//! | `margins` | margins, confidences, distances to the decision boundary | |
//! | `pooled` | one vector per input and layer | |
//!
//! Near-duplicates with different labels are [`repair::near_duplicates`].
//!
//! ```
//! use heuristics::profile::{Points, SpaceProfile, Vertices};
//!
//! // A square in space and its centre.
//! let rows = [0., 0., 5., 2., 0., 5., 0., 2., 5., 2., 2., 5., 1., 1., 5.];
//! let found = SpaceProfile::of(Points::new(&rows, 3)?, None, None)?;
//! assert_eq!((found.affine_dimension, found.vertices), (2, Vertices::Exactly(4)));
//! # Ok::<(), heuristics::HeuristicError>(())
//! ```

mod classes;
mod dimension;
mod distances;
mod distribution;
mod hull;
mod margins;
mod points;
mod pooled;

use std::time::Duration;

use serde::Serialize;

pub use classes::Classes;
pub use dimension::{RANK_TOLERANCE, Spectrum, two_nn};
pub use distances::{Coverage, centroid, pairwise};
pub use distribution::Distribution;
pub use hull::{HULL_TOLERANCE, Vertices};
pub use margins::{confidences, geometric_margins, margins};
pub use points::{Cloud, Points};
pub use pooled::{Pooled, pooled};

use crate::HeuristicError;

/// How the points of a set lie in one space.
#[derive(Clone, Debug, Serialize)]
pub struct SpaceProfile {
    /// Points.
    pub points: usize,
    /// Points that are copies of no earlier one.
    pub distinct: usize,
    /// Numbers of a point.
    pub width: usize,
    /// Distances between pairs of points; `None` for a single point.
    pub distances: Option<Distribution>,
    /// Distances to the centroid.
    pub centroid: Option<Distribution>,
    /// Dimension of the affine span, to [`RANK_TOLERANCE`].
    pub affine_dimension: usize,
    /// [`Spectrum::effective_rank`].
    pub effective_rank: f64,
    /// [`two_nn`].
    pub intrinsic_dimension: Option<f64>,
    /// Vertices of the convex hull.
    pub vertices: Vertices,
    /// How the points cover a guard set, if there is one.
    pub coverage: Option<Coverage>,
}

impl SpaceProfile {
    /// The profile of `points` in the space of `guard`; counting vertices takes at most `limit`.
    /// Memory is that of n² numbers and of the guard set's.
    ///
    /// # Errors
    /// [`HeuristicError::Count`] for guard points of another width; [`HeuristicError::Spectrum`];
    /// [`HeuristicError::Optim`].
    pub fn of(
        points: Points<'_>,
        guard: Option<Points<'_>>,
        limit: Option<Duration>,
    ) -> Result<Self, HeuristicError> {
        let cloud = Cloud::new(points);
        let spectrum = Spectrum::of(&cloud)?;
        Ok(Self {
            points: points.count(),
            distinct: cloud.distinct().len(),
            width: points.width(),
            distances: pairwise(&cloud),
            centroid: centroid(&cloud),
            affine_dimension: spectrum.affine_dimension(),
            effective_rank: spectrum.effective_rank(),
            intrinsic_dimension: two_nn(&cloud),
            vertices: Vertices::of(&cloud, &spectrum, limit)?,
            coverage: guard.map(|guard| Coverage::of(&cloud, guard)).transpose()?,
        })
    }
}
