//! Dead outputs, and the surrogates that wake them.
//!
//! Where an output is the mean of a ReLU over T positions,
//!
//! ```text
//! y = 1/T Σ_t max(z_t, 0)
//! ```
//!
//! and every z_t <= 0, the output is zero and so is its gradient: no step can move
//! it. For every set S of positions
//!
//! ```text
//! 1/T Σ_{t ∈ S} z_t  <=  y
//! ```
//!
//! so the left side, which has a gradient, can stand in for the output in a row
//! that asks it to grow. S is the quarter of the positions nearest to being on.

use std::collections::BTreeMap;

use crate::forward::{Cut, Mode, get};
use crate::network::Network;
use crate::ops::activation;
use crate::{Activation, NetworkError, NodeId, Op, Value};

/// One of this many positions carries a surrogate.
const SHARE: usize = 4;

/// The lower bound that stands in for a dead output of one example.
#[derive(Clone, Debug, PartialEq)]
pub struct Surrogate {
    /// The output.
    pub output: usize,
    /// S, positions of the output's plane, ascending.
    pub positions: Vec<usize>,
    /// Σ_{t ∈ S} z_t / T where the positions were chosen.
    pub value: f64,
    /// The ReLU that is replaced.
    relu: NodeId,
}

impl Network {
    /// The surrogates of outputs `(example, output)` behind a cut, with `z` as the layer's output
    /// and `offsets` as in [`Network::resume_with`]; `None` for an output that is on somewhere,
    /// and in networks whose outputs are no ReLUs or means of ReLUs. [`Mode::Woken`] evaluates
    /// and differentiates them.
    ///
    /// # Errors
    /// [`NetworkError::Shape`] for an example or output that does not exist, and as
    /// [`Network::forward`].
    pub fn dead_outputs(
        &self,
        cut: &Cut,
        z: Value,
        offsets: &BTreeMap<NodeId, Value>,
        outputs: &[(usize, usize)],
    ) -> Result<Vec<Option<Surrogate>>, NetworkError> {
        let Some((relu, source)) = self.head_relu().filter(|&(_, source)| source >= cut.node)
        else {
            return Ok(vec![None; outputs.len()]);
        };
        let values = self.resume_with(cut, z, offsets, Mode::Free, &[source])?;
        let value = get(&values, source)?;
        let (shape, numbers) = (value.shape(), value.to_vec()?);
        let (batch, channels) = (shape[0], shape[1]);
        let positions: usize = shape[2..].iter().product();
        outputs
            .iter()
            .map(|&(example, output)| {
                if example >= batch || output >= channels {
                    let expected = format!("below [{batch}, {channels}]");
                    return Err(NetworkError::shape("output", expected, &[example, output]));
                }
                let first = (example * channels + output) * positions;
                let plane = &numbers[first..first + positions];
                Ok(nearest_to_on(plane).map(|(positions, value)| Surrogate {
                    output,
                    positions,
                    value,
                    relu,
                }))
            })
            .collect()
    }

    /// The ReLU of which the outputs are values or means, and its source.
    fn head_relu(&self) -> Option<(NodeId, NodeId)> {
        let nodes = self.graph().nodes();
        let mut id = self.graph().output();
        while matches!(nodes[id].op, Op::GlobalAveragePool) {
            id = nodes[id].sources[0];
        }
        let relu = matches!(nodes[id].op, Op::Activation(Activation::Relu));
        relu.then(|| (id, nodes[id].sources[0]))
    }

    /// The ReLU `id` of `z`, but in each row with a surrogate, on the channel of its output, the
    /// identity at its positions and zero elsewhere.
    pub(crate) fn wake(
        &self,
        id: NodeId,
        z: Value,
        surrogates: &[Option<Surrogate>],
    ) -> Result<Value, NetworkError> {
        let (shape, at) = (z.shape(), &self.graph().nodes()[id].name);
        let [batch, channels] = [shape[0], shape[1]];
        let positions: usize = shape[2..].iter().product();
        let size = batch * channels * positions;
        let (mut identity, mut relu) = (vec![0.0; size], vec![1.0; size]);
        for (row, surrogate) in surrogates.iter().enumerate() {
            let Some(surrogate) = surrogate else { continue };
            let last = surrogate.positions.last().copied().unwrap_or_default();
            if row >= batch || surrogate.output >= channels || last >= positions {
                let expected = format!("below [{batch}, {channels}, {positions}]");
                let got = [row, surrogate.output, last];
                return Err(NetworkError::shape(at, expected, &got));
            }
            let first = (row * channels + surrogate.output) * positions;
            relu[first..first + positions].fill(0.0);
            for &position in &surrogate.positions {
                identity[first + position] = 1.0;
            }
        }
        let mask = |m: &[f64]| Value::from_f64(m, &shape, self.device(), self.precision());
        let on = activation::forward(Activation::Relu, z.clone());
        on.mul(mask(&relu)?, at)?
            .add(z.mul(mask(&identity)?, at)?, at)
    }
}

/// Whether some row's surrogate replaces the node.
pub(crate) fn wakes(surrogates: &[Option<Surrogate>], node: NodeId) -> bool {
    let mut present = surrogates.iter().flatten();
    present.any(|surrogate| surrogate.relu == node)
}

/// S and Σ_{t ∈ S} z_t / T of a plane that is off everywhere.
fn nearest_to_on(plane: &[f64]) -> Option<(Vec<usize>, f64)> {
    if plane.is_empty() || plane.iter().any(|&z| z > 0.0 || z.is_nan()) {
        return None;
    }
    let mut positions: Vec<usize> = (0..plane.len()).collect();
    positions.sort_by(|&s, &t| plane[t].total_cmp(&plane[s]));
    positions.truncate(plane.len().div_ceil(SHARE));
    positions.sort_unstable();
    let sum: f64 = positions.iter().map(|&t| plane[t]).sum();
    Some((positions, sum / plane.len() as f64))
}
