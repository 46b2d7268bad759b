//! The points that lie nearest to the decision boundary.

use crate::HeuristicError;
use crate::samplers::{Pool, Sampler, least};

/// Points by the size of their margin over that of its gradient.
pub(super) const SAMPLER: Sampler = Sampler {
    name: "geometric_margin",
    rule: "the least |m| / ‖∂m/∂x‖ first, m the margin",
    source: "the linearised distance of DeepFool (Moosavi-Dezfooli et al. 2016)",
    draw,
};

fn draw(pool: &Pool<'_>, count: usize, _: u64) -> Result<Vec<usize>, HeuristicError> {
    let distances = pool.geometric_margins()?;
    Ok(least((0..pool.len()).collect(), count, |i| {
        distances[i].abs()
    }))
}
