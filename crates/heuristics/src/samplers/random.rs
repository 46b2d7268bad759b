//! Any points.

use crate::HeuristicError;
use crate::samplers::{Pool, Sampler};

/// Points drawn uniformly, by the seed.
pub(super) const SAMPLER: Sampler = Sampler {
    name: "random",
    rule: "uniform without replacement, seeded",
    source: "baseline",
    draw,
};

fn draw(pool: &Pool<'_>, count: usize, seed: u64) -> Result<Vec<usize>, HeuristicError> {
    Ok(data::sample(pool.len(), count, seed)?)
}
