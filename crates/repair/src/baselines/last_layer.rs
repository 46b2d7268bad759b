//! A linear program on the last layer alone: the features are fixed, so the outputs are affine in
//! the change and the repair is exact and complete for that layer (the idea of PRoViT).
//!
//! Of a point's rows only those of the classes that compete with the right one are written down.
//! A head whose last layer is followed by an activation (SqueezeNet's, a 1x1 convolution with a
//! ReLU) is refused: its outputs are not affine in the change.

use super::layer_rows::Edit;
use super::{Baseline, BaselineOutcome, BaselineTask, Predictor};
use crate::{Objective, RepairError};

/// The smallest change of the last layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastLayer {
    /// Norm of the change: `l1+linf` (default), `l1`, `linf` or `l2`.
    pub objective: Objective,
    /// Competing classes that a point may add to the program in one round. Default 3.
    pub competitors: usize,
}

impl Default for LastLayer {
    fn default() -> Self {
        Self {
            objective: Objective::L1PlusLInf,
            competitors: 3,
        }
    }
}

impl Baseline for LastLayer {
    fn name(&self) -> &'static str {
        "last-layer"
    }

    fn run(&self, task: &BaselineTask<'_>) -> Result<BaselineOutcome, RepairError> {
        let network = task.network;
        let layer = network.layers().last().ok_or(RepairError::Shape {
            what: "weight-bearing layers",
            expected: 1,
            got: 0,
        })?;
        let behind = &network.graph().nodes()[layer.node + 1..];
        if let Some(node) = behind.iter().find(|node| !node.op.is_affine()) {
            return Err(RepairError::Unsupported {
                node: node.name.clone(),
                op: format!("{} behind the last layer", node.op.name()),
                encoding: "last-layer",
            });
        }
        let edit = Edit {
            objective: self.objective,
            competitors: self.competitors,
        };
        edit.run(task, layer, |checkpoint| {
            Ok(Predictor::Plain {
                network: task.loaded(&checkpoint)?,
                checkpoint,
            })
        })
    }
}
