//! Units: `y = (x - mean) / range` in front of a network, `y = x · range + mean` behind it.

use burn::tensor::Tensor;

use crate::graph::ParameterSpec;
use crate::ops::spec;
use crate::value::map_value;
use crate::{NetworkError, Value};

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

    /// Scales the last axis of `x`.
    pub(crate) fn forward(
        &self,
        x: Value,
        mean: Tensor<1>,
        range: Tensor<1>,
        at: &str,
    ) -> Result<Value, NetworkError> {
        let shape = x.shape();
        if self.features != 1 && shape.last() != Some(&self.features) {
            return Err(NetworkError::shape(
                at,
                format!("[.., {}]", self.features),
                &shape,
            ));
        }
        Ok(match self.direction {
            Direction::Normalise => {
                map_value!(x, t => (t - mean.unsqueeze()) / range.unsqueeze())
            }
            Direction::Restore => map_value!(x, t => t * range.unsqueeze() + mean.unsqueeze()),
        })
    }
}
