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

use network::{Model, Network};

use crate::{Inequality, RepairError, RepairSet, predict};

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

/// Evaluates a model on every point of a repair set: a model that came as ONNX by the second reading of
/// the file as it would be written ([`OnnxEvaluator`]), others by their graph on their bytes.
///
/// # Errors
/// [`RepairError::Network`] when the bytes do not load or the network cannot read inputs of the
/// set's shape; [`RepairError::Shape`] when the set does not fit the network.
pub fn verify(model: &Model, set: &RepairSet) -> Result<Verification, RepairError> {
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
    let outputs = scores(model, &set.inputs, &set.shape)?;
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

/// The scores of the answers for each of `inputs` (`n x shape`, row-major), from the bytes.
fn scores(model: &Model, inputs: &[f32], shape: &[usize]) -> Result<Vec<Vec<f64>>, RepairError> {
    if let Some(outputs) = onnx_outputs(model, inputs, shape)? {
        let score = |outputs: &Vec<f64>| model.answer().scores(outputs);
        return Ok(outputs.iter().map(score).collect());
    }
    let evaluator = Evaluator::new(&model.parsed_again()?)?.with_input_shape(shape);
    evaluator.outputs_of_all(inputs, shape.iter().product())
}

/// The outputs of a model that came as ONNX, by the second reading of its file; `None` for other models,
/// and for a file that ends in the answer itself, which tells no margins.
fn onnx_outputs(
    model: &Model,
    inputs: &[f32],
    shape: &[usize],
) -> Result<Option<Vec<Vec<f64>>>, RepairError> {
    let Some(written) = model.onnx_bytes()? else {
        return Ok(None);
    };
    let external = |name: &str| {
        let found = written.external.iter().find(|(own, _)| own == name);
        let missing = || std::io::Error::new(std::io::ErrorKind::NotFound, name.to_owned());
        found.map(|(_, bytes)| bytes.clone()).ok_or_else(missing)
    };
    let evaluator = OnnxEvaluator::new(&written.model, &external, model.origin())?;
    let outputs = evaluator.outputs_of_all(inputs, shape)?;
    let classes = model.output_graph().classes();
    Ok(Some(outputs).filter(|all| all.iter().all(|outputs| outputs.len() == classes)))
}

/// By how much of their scale the outputs of two readings of a file may differ: the network computes in f32.
const READINGS: f64 = 1e-3;

/// Checks, on the given inputs, that a network computes what the second reading of its ONNX file says. Models
/// of other formats have one reading.
///
/// # Errors
/// [`RepairError::Readings`] where they differ.
pub fn readings_agree(
    model: &Model,
    network: &Network,
    inputs: &[f32],
    shape: &[usize],
) -> Result<(), RepairError> {
    let Some(outputs) = onnx_outputs(model, inputs, shape)? else {
        return Ok(());
    };
    let expected = outputs
        .iter()
        .flat_map(|outputs| model.answer().scores(outputs));
    let expected: Vec<f64> = expected.collect();
    let got = predict::outputs(network, inputs, shape)?;
    let scale = expected
        .iter()
        .fold(1.0, |scale: f64, y| scale.max(y.abs()));
    let pairs = expected.iter().zip(&got);
    let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    // NaN is no agreement.
    if got.len() == expected.len() && difference <= READINGS * scale {
        return Ok(());
    }
    Err(RepairError::Readings {
        origin: model.origin().to_owned(),
        difference,
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
