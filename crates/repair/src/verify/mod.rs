//! Evaluation of a checkpoint by plain arithmetic in f64.
//!
//! `Repaired` is decided here, on the bytes as they are saved. This module shares
//! nothing with the encoders, the solvers, burn or the operators of `network`: it
//! parses the checkpoint again, reads from the graph what each node means and
//! computes it on slices, one example at a time, with a matrix product where sums
//! are long. Nothing is skipped for being multiplied by zero, so an overflow or
//! NaN on the way shows in the outputs.
//!
//! | file | what it computes |
//! |---|---|
//! | `evaluator` | the walk over the graph, scale |
//! | `linear` | linear, matmul |
//! | `convolution` | conv2d |
//! | `pointwise` | activations, scaling, sums, products, constants, rearranged numbers |
//! | `norm` | batch norm, layer norm, softmax, means |
//! | `pool` | max-pool, average pools |
//! | `join` | concat, slice |
//! | `tokens` | embedding, token mask, token selection, attention heads |
//! | `patches` | unfold, fold |
//!
//! `onnx` does the same for a network in an ONNX file, whose graph it reads anew.

mod convolution;
mod evaluator;
mod join;
mod linear;
mod norm;
mod onnx;
mod patches;
mod pointwise;
mod pool;
mod tokens;
mod value;

use network::Model;

use crate::{Inequality, RepairError, RepairSet};

pub use evaluator::Evaluator;
pub use onnx::{OnnxError, OnnxEvaluator, OnnxInput};

/// What the saved weights do on the repair set.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Slack of the tightest inequality of each point.
    pub slacks: Vec<f64>,
    /// Outputs, `points x classes`.
    pub outputs: Vec<f64>,
}

impl Verification {
    /// The least slack over all points.
    pub fn least_slack(&self) -> f64 {
        least(self.slacks.iter().copied())
    }

    /// Share of the points that are right, in percent: those whose every
    /// inequality holds with bound zero (the label wins) or, for specifications
    /// without labels and protected points, with its own bound.
    pub fn efficacy(&self, set: &RepairSet) -> f64 {
        let classes = self.outputs.len() / set.len().max(1);
        let outputs = self.outputs.chunks_exact(classes.max(1));
        let points = set.points.iter().enumerate();
        let right = outputs
            .zip(points)
            .filter(|(outputs, (point, inequalities))| {
                inequalities.iter().all(|inequality| {
                    let slack = inequality.slack(outputs);
                    if set.labels.is_some() && *point < set.repaired() {
                        slack + inequality.bound > 0.0
                    } else {
                        slack >= 0.0
                    }
                })
            });
        100.0 * right.count() as f64 / set.len().max(1) as f64
    }
}

/// Evaluates a checkpoint on every point of a repair set.
///
/// # Errors
/// [`RepairError::Network`] when the bytes do not load or the network cannot read inputs of the
/// set's shape; [`RepairError::Shape`] when the set does not fit the network.
pub fn verify(checkpoint: &Model, set: &RepairSet) -> Result<Verification, RepairError> {
    let evaluator = Evaluator::new(&checkpoint.parsed_again()?)?.with_input_shape(&set.shape);
    let shape = |what, expected, got| RepairError::Shape {
        what,
        expected,
        got,
    };
    let expected = set.example() * set.len();
    if set.inputs.len() != expected {
        let what = "numbers in all repair inputs";
        return Err(shape(what, expected, set.inputs.len()));
    }
    let outputs = evaluator.outputs_of_all(&set.inputs, set.example())?;
    let mut slacks = Vec::with_capacity(set.len());
    for (outputs, inequalities) in outputs.iter().zip(&set.points) {
        let reads = inequalities.iter().flat_map(|i| &i.terms).map(|&(c, _)| c);
        if let Some(beyond) = reads.max().filter(|&c| c >= outputs.len()) {
            return Err(shape("outputs", beyond + 1, outputs.len()));
        }
        let slack = |inequality: &Inequality| inequality.slack(outputs);
        slacks.push(least(inequalities.iter().map(slack)));
    }
    Ok(Verification {
        slacks,
        outputs: outputs.concat(),
    })
}

/// The least slack; NaN counts as the worst.
fn least(slacks: impl Iterator<Item = f64>) -> f64 {
    slacks.fold(f64::INFINITY, |least, slack| {
        if slack.is_nan() {
            f64::NEG_INFINITY
        } else {
            least.min(slack)
        }
    })
}
