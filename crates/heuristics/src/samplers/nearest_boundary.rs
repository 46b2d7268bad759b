//! The points that the network is least decided on.

use crate::HeuristicError;
use crate::samplers::{Pool, Sampler, least};

/// Points by the size of their margin.
pub(super) const SAMPLER: Sampler = Sampler {
    name: "nearest_boundary",
    rule: "the least |y_label - max_{c != label} y_c| first",
    source: "margin sampling in active learning (Scheffer, Decomain & Wrobel 2001)",
    draw,
};

fn draw(pool: &Pool<'_>, count: usize, _: u64) -> Result<Vec<usize>, HeuristicError> {
    let margins = pool.margins();
    Ok(least((0..pool.len()).collect(), count, |i| {
        margins[i].abs()
    }))
}
