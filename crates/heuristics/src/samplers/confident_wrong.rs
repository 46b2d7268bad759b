//! The mistakes that the network is surest of.

use crate::HeuristicError;
use crate::samplers::{Pool, Sampler, check_pool, least};

/// Points that are wrong by the largest probability of their answer.
pub(super) const SAMPLER: Sampler = Sampler {
    name: "confident_wrong",
    rule: "wrong points, the largest max_c softmax(y)_c first",
    source: "the hardest mistakes",
    draw,
};

fn draw(pool: &Pool<'_>, count: usize, _: u64) -> Result<Vec<usize>, HeuristicError> {
    let margins = pool.margins();
    let wrong: Vec<usize> = (0..pool.len()).filter(|&i| margins[i] < 0.0).collect();
    check_pool(SAMPLER.name, "wrong points", count, wrong.len())?;
    let confidences = pool.confidences();
    Ok(least(wrong, count, |i| -confidences[i]))
}
