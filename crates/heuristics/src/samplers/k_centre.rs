//! Points that are spread as far as possible.
//!
//! Farthest first: after a first point that the seed draws, each next one is the farthest from
//! those taken. The largest distance of a point of the pool to the nearest taken one is at most
//! twice the least that so many points can have (Gonzalez, "Clustering to minimize the maximum
//! intercluster distance", Theoretical Computer Science 38, 1985).

use crate::HeuristicError;
use crate::profile::Cloud;
use crate::samplers::{Pool, Sampler};

/// Points far from each other in the representation.
pub(super) const SAMPLER: Sampler = Sampler {
    name: "k_centre",
    rule: "the farthest from those taken first, from a seeded point on",
    source: "Gonzalez 1985",
    draw,
};

fn draw(pool: &Pool<'_>, count: usize, seed: u64) -> Result<Vec<usize>, HeuristicError> {
    let cloud = Cloud::new(pool.representation());
    let mut nearest = vec![f64::INFINITY; pool.len()];
    let mut taken = data::sample(pool.len(), count.min(1), seed)?;
    while let Some(&last) = taken.last().filter(|_| taken.len() < count) {
        // A taken point is never the farthest, though copies of it may be all that is left.
        nearest[last] = f64::NEG_INFINITY;
        for (i, nearest) in nearest.iter_mut().enumerate() {
            *nearest = nearest.min(cloud.distance(last, i));
        }
        let farther = |best: usize, i: usize| if nearest[i] > nearest[best] { i } else { best };
        taken.extend((0..pool.len()).reduce(farther));
    }
    Ok(taken)
}
