//! Units: `y = (x - mean) / range` in front of a network, `y = x · range + mean` behind it.

use crate::graph::ParameterSpec;
use crate::ops::spec;

/// Which way a scaling goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `(x - mean) / range`
    Normalise,
    /// `x · range + mean`
    Restore,
}

/// Mean and range of every feature (or one for all), which are no weights: nothing edits them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// Name of the means, `[features]` or `[1]`.
    pub mean: String,
    /// Name of the ranges, `[features]` or `[1]`.
    pub range: String,
    /// Numbers per tensor.
    pub features: usize,
    /// Which way.
    pub direction: Direction,
}

impl Scaling {
    pub(crate) fn parameters(&self) -> Vec<ParameterSpec> {
        let stored = |name: &String| ParameterSpec {
            trained: false,
            ..spec(name, &[self.features])
        };
        vec![stored(&self.mean), stored(&self.range)]
    }
}
