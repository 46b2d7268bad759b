//! The examples of a split, and what a network answers there.

use data::mnist::{self, Origin};
use data::{Corruption, Dataset};
use network::Network;
use repair::{accuracy, largest};

use crate::error::Cause;
use crate::plan::{CLEAN, Keep, SplitPlan};

/// Seed of the corruptions: every trial of every plan sees the same corrupted images.
const CORRUPTION_SEED: u64 = 0;

/// A split and the classes that the network gave before the repair.
pub(super) struct Scored {
    pub(super) set: Dataset,
    pub(super) before: Vec<usize>,
}

impl Scored {
    pub(super) fn accuracy(&self) -> f64 {
        accuracy(&self.before, &self.set.labels)
    }

    pub(super) fn classes(&self, network: &Network) -> Result<Vec<usize>, Cause> {
        classes_of(network, &self.set)
    }
}

/// The range of a split's file, as it is and, if a corruption is named, corrupted.
pub(super) fn load(split: &SplitPlan) -> Result<(Option<Dataset>, Dataset), Cause> {
    let origin = Origin {
        source: &split.source,
        first_index: 0,
        variant: CLEAN,
    };
    let whole = mnist::load(&split.images.path, &split.labels.path, origin)?;
    let [from, to] = split.range;
    if to > whole.len() {
        let file = split.images.path.display();
        return Err(format!("range [{from}, {to}]: {file} has {} images", whole.len()).into());
    }
    let clean = whole.subset(&(from..to).collect::<Vec<_>>())?;
    if split.corruption == CLEAN {
        return Ok((None, clean));
    }
    let corruption: Corruption = split.corruption.parse()?;
    let corrupted = corruption.corrupt(&clean, None, CORRUPTION_SEED)?;
    Ok((Some(clean), corrupted))
}

/// Positions that a split keeps, and the network's classes there.
pub(super) fn kept(
    split: &SplitPlan,
    set: &Dataset,
    network: &Network,
) -> Result<(Vec<usize>, Vec<usize>), Cause> {
    let inputs: usize = network.graph().input_shape().iter().product();
    if inputs != set.example_len() || network.classes() < set.classes {
        let (expected, classes) = (set.example_len(), set.classes);
        let got = network.classes();
        return Err(format!(
            "expected {expected} inputs and at least {classes} outputs, got {inputs} and {got}"
        )
        .into());
    }
    let classes = classes_of(network, set)?;
    let right = |i: usize| classes[i] == set.labels[i];
    let mut positions: Vec<usize> = (0..set.len())
        .filter(|&i| match split.keep {
            Keep::All => true,
            Keep::Wrong => !right(i),
            Keep::Right => right(i),
        })
        .collect();
    if let Some(limit) = split.limit {
        positions.truncate(limit);
    }
    let classes = positions.iter().map(|&i| classes[i]).collect();
    Ok((positions, classes))
}

/// The class with the largest output, per example; the first of equal ones.
pub(super) fn classes_of(network: &Network, set: &Dataset) -> Result<Vec<usize>, Cause> {
    let outputs = network.forward(network.batch(&set.inputs)?)?;
    let width = outputs.shape()[1];
    Ok(outputs.to_vec()?.chunks_exact(width).map(largest).collect())
}
