//! Points of one class.

use std::collections::BTreeMap;

use crate::HeuristicError;
use crate::samplers::{Pool, Sampler, check_pool};

/// Points of one of the classes that have enough of them; class and points by the seed.
pub(super) const SAMPLER: Sampler = Sampler {
    name: "class_homogeneous",
    rule: "points of one label, label and points uniform, seeded",
    source: "the least diverse set of labels",
    draw,
};

fn draw(pool: &Pool<'_>, count: usize, seed: u64) -> Result<Vec<usize>, HeuristicError> {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (position, &label) in pool.labels().iter().enumerate() {
        members.entry(label).or_default().push(position);
    }
    let largest = members.values().map(Vec::len).max().unwrap_or(0);
    check_pool(SAMPLER.name, "points of one class", count, largest)?;
    let enough: Vec<Vec<usize>> = members
        .into_values()
        .filter(|members| members.len() >= count)
        .collect();
    let mut drawn = Vec::new();
    for class in data::sample(enough.len(), enough.len().min(1), seed)? {
        let members = &enough[class];
        let positions = data::sample(members.len(), count, seed)?;
        drawn.extend(positions.into_iter().map(|i| members[i]));
    }
    Ok(drawn)
}
