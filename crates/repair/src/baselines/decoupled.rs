//! Decoupled networks (Sotoudeh & Thakur, "Provable repair of deep neural networks", PLDI 2021).
//!
//! A decoupled network has two channels. The *activation* channel runs the original weights and
//! fixes the linear piece of every ReLU and max-pool; the *value* channel runs the edited weights
//! through those pieces:
//!
//! ```text
//! y(x; Δ) = frozen forward pass of W + Δ  under the pattern of W at x
//! ```
//!
//! So the outputs are affine in the change of any one layer, for every change, and a repair needs
//! no pattern rows: it is infeasible only where the layer cannot tell the points apart. The price
//! is that the result is no plain network. For Δ = 0 it is the original.

use std::collections::BTreeMap;

use network::{Layer, Mode, Model, Network, Value};

use super::layer_rows::Edit;
use super::pointwise::Pointwise;
use super::{Baseline, BaselineOutcome, BaselineTask, Predictor};
use crate::{Objective, RepairError};

/// The smallest change of the start layer of a decoupled network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decoupled {
    /// Norm of the change: `l1+linf` (default), `l1`, `linf` or `l2`.
    pub objective: Objective,
    /// Competing classes that a point may add to the program in one round. Default 3.
    pub competitors: usize,
}

impl Default for Decoupled {
    fn default() -> Self {
        Self {
            objective: Objective::L1PlusLInf,
            competitors: 3,
        }
    }
}

impl Baseline for Decoupled {
    fn name(&self) -> &'static str {
        "decoupled"
    }

    fn run(&self, task: &BaselineTask<'_>) -> Result<BaselineOutcome, RepairError> {
        let edit = Edit {
            objective: self.objective,
            competitors: self.competitors,
        };
        edit.run(task, task.layer, |checkpoint| {
            let values = task.loaded(&checkpoint)?;
            let network = DecoupledNetwork::new(task.network, &values, task.layer, checkpoint)?;
            Ok(Predictor::Decoupled(network))
        })
    }
}

/// A network whose activations are those of the original weights and whose values are those of
/// the edited ones.
#[derive(Clone, Debug)]
pub struct DecoupledNetwork {
    original: Network,
    layer: Pointwise,
    /// W̃ of both channels at the layer, p x (m + 1).
    matrices: [Vec<f64>; 2],
    checkpoint: Model,
}

impl DecoupledNetwork {
    /// The original network decides the pieces; `values`, loaded from `checkpoint` and different
    /// at `layer` only, gives the outputs.
    ///
    /// # Errors
    /// [`RepairError::Unsupported`] for a layer that is neither linear nor a 1x1 convolution.
    pub fn new(
        original: &Network,
        values: &Network,
        layer: &Layer,
        checkpoint: Model,
    ) -> Result<Self, RepairError> {
        let layer = Pointwise::new(original, layer)?;
        Ok(Self {
            matrices: [layer.matrix(original)?, layer.matrix(values)?],
            original: original.clone(),
            layer,
            checkpoint,
        })
    }

    /// The network of the activation channel.
    pub fn original(&self) -> &Network {
        &self.original
    }

    /// The weights of the value channel.
    pub fn checkpoint(&self) -> &Model {
        &self.checkpoint
    }

    /// The outputs y for a batch, `[batch, classes]`.
    ///
    /// # Errors
    /// [`RepairError::Network`] when `x` does not fit, or an activation behind the layer has no
    /// linear piece at an example.
    pub fn outputs(&self, x: Value) -> Result<Value, RepairError> {
        let network = &self.original;
        let cut = network.run_until(self.layer.layer(), x)?;
        let inputs = self.layer.inputs(&cut.input)?;
        let channel = |matrix: &[f64]| self.layer.outputs(network, matrix, &inputs, &cut.input);
        let [activations, values] = [channel(&self.matrices[0])?, channel(&self.matrices[1])?];
        let pattern = network.pattern(&cut, activations)?;
        let output = network.graph().output();
        let (none, mode) = (BTreeMap::new(), Mode::Frozen(&pattern));
        let mut found = network.resume_with(&cut, values, &none, mode, &[output])?;
        found.remove(&output).ok_or(RepairError::Shape {
            what: "output nodes",
            expected: 1,
            got: 0,
        })
    }
}
