//! Evaluation of a checkpoint by plain loops in f64.
//!
//! `Repaired` is decided here, on the bytes as they are saved. This file shares
//! nothing with the encoders, the solvers or burn: it parses the checkpoint
//! again and computes every node with ordinary arithmetic on slices.

use network::{Activation, Checkpoint, Graph, Op, architectures};

use crate::{Inequality, RepairError, RepairSet};

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
    /// without labels, with its own bound.
    pub fn efficacy(&self, set: &RepairSet) -> f64 {
        let classes = self.outputs.len() / set.len().max(1);
        let outputs = self.outputs.chunks_exact(classes.max(1));
        let right = outputs.zip(&set.points).filter(|(outputs, inequalities)| {
            inequalities.iter().all(|inequality| {
                let slack = inequality.slack(outputs);
                if set.labels.is_some() {
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
/// [`RepairError::Network`] when the bytes do not load; [`RepairError::Shape`] when the
/// set does not fit the network.
pub fn verify(checkpoint: &Checkpoint, set: &RepairSet) -> Result<Verification, RepairError> {
    let reloaded = Checkpoint::from_bytes(checkpoint.bytes().to_vec(), checkpoint.origin())?;
    let evaluator = Evaluator::new(&reloaded)?;
    let shape = |what, expected, got| RepairError::Shape {
        what,
        expected,
        got,
    };
    let expected = set.example * set.len();
    if set.inputs.len() != expected {
        return Err(shape(
            "numbers in all repair inputs",
            expected,
            set.inputs.len(),
        ));
    }
    let mut verification = Verification {
        slacks: Vec::with_capacity(set.len()),
        outputs: Vec::new(),
    };
    for (input, inequalities) in set.inputs.chunks_exact(set.example.max(1)).zip(&set.points) {
        let input: Vec<f64> = input.iter().map(|&x| f64::from(x)).collect();
        let outputs = evaluator.outputs(&input)?;
        let reads = inequalities.iter().flat_map(|i| &i.terms).map(|&(c, _)| c);
        if let Some(beyond) = reads.max().filter(|&c| c >= outputs.len()) {
            return Err(shape("outputs", beyond + 1, outputs.len()));
        }
        let slack = |inequality: &Inequality| inequality.slack(&outputs);
        verification
            .slacks
            .push(least(inequalities.iter().map(slack)));
        verification.outputs.extend(outputs);
    }
    Ok(verification)
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

/// A checkpoint's graph with its tensors in f64.
pub struct Evaluator {
    graph: Graph,
    weights: Vec<Option<(Vec<f64>, Vec<f64>)>>,
}

impl Evaluator {
    /// Reads the tensors of every layer.
    ///
    /// # Errors
    /// [`RepairError::Network`] when a tensor is missing or the architecture unclear.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, RepairError> {
        let graph = architectures::graph(checkpoint)?;
        let weights = graph
            .nodes()
            .iter()
            .map(|node| match &node.op {
                Op::Linear(linear) => Ok(Some((
                    checkpoint.tensor(&linear.weight)?,
                    match &linear.bias {
                        Some(bias) => checkpoint.tensor(bias)?,
                        None => vec![0.0; linear.outputs],
                    },
                ))),
                _ => Ok(None),
            })
            .collect::<Result<_, RepairError>>()?;
        Ok(Self { graph, weights })
    }

    /// The outputs for one input.
    ///
    /// # Errors
    /// [`RepairError::Shape`] when the input has the wrong size.
    pub fn outputs(&self, input: &[f64]) -> Result<Vec<f64>, RepairError> {
        let expected: usize = self.graph.input_shape().iter().product();
        if input.len() != expected {
            return Err(RepairError::Shape {
                what: "numbers in an input",
                expected,
                got: input.len(),
            });
        }
        let mut values: Vec<Vec<f64>> = Vec::with_capacity(self.graph.nodes().len());
        for (node, weights) in self.graph.nodes().iter().zip(&self.weights) {
            let value = match (&node.op, weights) {
                (Op::Input, _) => input.to_vec(),
                (Op::Linear(_), Some((weight, bias))) => {
                    affine(weight, bias, &values[node.sources[0]])
                }
                (Op::Activation(activation), _) => values[node.sources[0]]
                    .iter()
                    .map(|&z| activate(*activation, z))
                    .collect(),
                (Op::Softmax, _) => softmax(&values[node.sources[0]]),
                _ => {
                    return Err(RepairError::Unsupported {
                        node: node.name.clone(),
                        op: node.op.name().to_owned(),
                        encoding: "verification",
                    });
                }
            };
            values.push(value);
        }
        Ok(values.pop().unwrap_or_default())
    }
}

fn affine(weight: &[f64], bias: &[f64], x: &[f64]) -> Vec<f64> {
    weight
        .chunks_exact(x.len().max(1))
        .zip(bias)
        .map(|(row, b)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + b)
        .collect()
}

fn activate(activation: Activation, z: f64) -> f64 {
    match activation {
        // `max` would turn NaN into 0.
        Activation::Relu if z < 0.0 => 0.0,
        Activation::Relu => z,
        Activation::LeakyRelu { slope } => z.max(slope * z),
        Activation::Hardswish => z * (z + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Tanh => z.tanh(),
        Activation::Sigmoid => 1.0 / (1.0 + (-z).exp()),
        Activation::Gelu => 0.5 * z * (1.0 + libm::erf(z / std::f64::consts::SQRT_2)),
        Activation::Silu => z / (1.0 + (-z).exp()),
    }
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = x.iter().map(|x| (x - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
