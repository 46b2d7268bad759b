//! Multilayer perceptrons: chains of linear layers with elementwise functions between them.
//!
//! A layer `NAME` has the tensor `NAME.weight`, a matrix `[outputs, inputs]`, and `NAME.bias` or none.
//! What is computed with them is told, in this order, by
//!
//! 1. the metadata key `layers`: the steps in JSON, `[{"linear": "0"}, "relu", {"linear": "2"}]`;
//! 2. the classes of a module that PyTorch saved whole;
//! 3. the names: layers in the order of their numbers, or the only order in which their widths fit, or
//!    the order in which a PyTorch file has them; one activation between any two, which the metadata key
//!    `activation`, the user ([`OpenOptions::activation`](crate::OpenOptions)) or the configuration names. A
//!    file of several layers without one is refused: no activation is the usual one.
//!
//! `negative_slope` and `alpha` are the numbers of LeakyReLU and ELU; `output` = `softmax` appends one.
//! What only the user, a module or the configuration says is written into the metadata when the checkpoint
//! is opened ([`resolved`]), so that a file that is written of it says it by itself.
//!
//! A checkpoint with the tensors `input_means` and `input_ranges` (ACAS Xu; Katz et al. 2017)
//! reads inputs in their own units: `(x - mean) / range` comes first, and `output_mean` and
//! `output_range` give the outputs' units back. Inputs are not clipped to `input_mins` and
//! `input_maxes`.
//!
//! Parity: `tests/parity.rs`.

mod order;
mod plan;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand::distr::{Distribution, Uniform};
use rand_chacha::ChaCha8Rng;

pub(crate) use self::plan::{recognises, resolved};
pub(crate) use self::steps::{Forward, Step};
use self::steps::{bias_of, linears, weight_of};
use crate::architectures::extents;
use crate::graph::NodeId;
use crate::ops::scaling::{Direction, Scaling};
use crate::ops::{Linear, Op};
use crate::{Activation, Checkpoint, Graph, Model, ModelError};

/// The graph of a checkpoint.
///
/// # Errors
/// [`ModelError::Architecture`] when there is no tensor `<name>.weight`, when one
/// is not a matrix or is empty, when consecutive widths do not chain, or when nothing tells the order of
/// the layers; [`ModelError::Activation`] when nothing tells the activation between them;
/// [`ModelError::Unknown`] for an activation or output function that is not known.
pub fn graph(checkpoint: &Checkpoint) -> Result<Graph, ModelError> {
    let steps = plan::plan(checkpoint, None)?.steps;
    let first = linears(&steps).next().unwrap_or_default();
    let [_, inputs] = extents(checkpoint, &weight_of(first))?;
    let mut graph = Graph::new(&[inputs]);
    let mut last = 0;
    if let Some(op) = scaling(checkpoint, INPUT, Direction::Normalise)? {
        last = graph.push("input.normalised", op, &[last])?;
    }
    let (softmax, steps) = match steps.split_last() {
        Some((Step::Softmax, before)) => (true, before),
        _ => (false, &steps[..]),
    };
    last = layers(&mut graph, last, steps, checkpoint)?;
    if let Some(op) = scaling(checkpoint, OUTPUT, Direction::Restore)? {
        last = graph.push("output.restored", op, &[last])?;
    }
    if softmax {
        graph.push("softmax", Op::Softmax, &[last])?;
    }
    graph.accompany(companions(checkpoint));
    Ok(graph)
}

/// Tensors that networks of ACAS Xu have beside those of the graph.
fn companions(checkpoint: &Checkpoint) -> impl Iterator<Item = &str> {
    let has_units = checkpoint.shape(INPUT[0]).is_ok();
    checkpoint.names().filter(move |name| {
        has_units && (name.starts_with("ref.") || ["input_mins", "input_maxes"].contains(name))
    })
}

/// Tensors with the units of the inputs: mean and range.
const INPUT: [&str; 2] = ["input_means", "input_ranges"];
/// Tensors with the units of the outputs.
const OUTPUT: [&str; 2] = ["output_mean", "output_range"];

/// The scaling whose tensors the checkpoint has.
fn scaling(
    checkpoint: &Checkpoint,
    [mean, range]: [&str; 2],
    direction: Direction,
) -> Result<Option<Op>, ModelError> {
    if checkpoint.shape(mean).is_err() && checkpoint.shape(range).is_err() {
        return Ok(None);
    }
    let [features] = extents(checkpoint, mean)?;
    let ranges = checkpoint.tensor(range)?;
    if let Some(position) = ranges.iter().position(|&range| range == 0.0) {
        return Err(ModelError::Architecture {
            origin: checkpoint.origin().to_owned(),
            reason: format!("tensor `{range}`: expected ranges other than 0, got 0 at {position}"),
        });
    }
    Ok(Some(Op::Scaling(Scaling {
        mean: mean.to_owned(),
        range: range.to_owned(),
        features,
        direction,
    })))
}

/// Appends the linear layers and the functions between them.
fn layers(
    graph: &mut Graph,
    source: NodeId,
    steps: &[Step],
    checkpoint: &Checkpoint,
) -> Result<NodeId, ModelError> {
    let mut taken: BTreeSet<String> = linears(steps).map(str::to_owned).collect();
    let mut last = source;
    let mut layer = "";
    for step in steps {
        last = match step {
            Step::Linear(name) => {
                layer = name;
                let weight = weight_of(name);
                let [outputs, inputs] = extents(checkpoint, &weight)?;
                let bias = Some(bias_of(name)).filter(|bias| checkpoint.shape(bias).is_ok());
                let linear = Linear {
                    weight,
                    bias,
                    inputs,
                    outputs,
                };
                let node = if name.is_empty() { "linear" } else { name };
                graph.push(node, Op::Linear(linear), &[last])?
            }
            Step::Activation(activation) => {
                let name = function_name(layer, activation.name(), &mut taken);
                graph.push(name, Op::Activation(*activation), &[last])?
            }
            Step::Softmax => graph.push("softmax", Op::Softmax, &[last])?,
        };
    }
    Ok(last)
}

/// The name of a function behind a layer: the next number, as in `nn.Sequential`, or what it is.
fn function_name(layer: &str, kind: &str, taken: &mut BTreeSet<String>) -> String {
    let number = layer.parse::<u64>().ok().and_then(|n| n.checked_add(1));
    let mut name = match number {
        Some(number) => number.to_string(),
        None if layer.is_empty() => kind.to_owned(),
        None => format!("{layer}.{kind}"),
    };
    while !taken.insert(name.clone()) {
        name = format!("{name}.{kind}");
    }
    name
}

/// A randomly initialised perceptron with the given widths, input first:
/// uniform in ±1/√inputs (PyTorch's default), the same for the same seed.
///
/// # Errors
/// [`ModelError::Shape`] for fewer than two widths or a width of zero.
pub fn random(sizes: &[usize], activation: Activation, seed: u64) -> Result<Model, ModelError> {
    if sizes.len() < 2 || sizes.contains(&0) {
        return Err(ModelError::shape(
            "perceptron widths",
            "two or more, all positive",
            sizes,
        ));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut tensors = Vec::new();
    for (i, pair) in sizes.windows(2).enumerate() {
        let (inputs, outputs) = (pair[0], pair[1]);
        let bound = 1.0 / (inputs as f32).sqrt();
        let uniform = Uniform::new_inclusive(-bound, bound)
            .map_err(|_| ModelError::shape("perceptron widths", "finite bound", sizes))?;
        let mut draw =
            |count: usize| -> Vec<f32> { (0..count).map(|_| uniform.sample(&mut rng)).collect() };
        tensors.push((
            format!("{}.weight", 2 * i),
            vec![outputs, inputs],
            draw(outputs * inputs),
        ));
        tensors.push((format!("{}.bias", 2 * i), vec![outputs], draw(outputs)));
    }
    let metadata = BTreeMap::from_iter(plan::metadata_of(activation));
    Model::from_f32(&tensors, &metadata, "random perceptron")
}
