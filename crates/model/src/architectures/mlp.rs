//! Multilayer perceptrons in the layout of PyTorch's `nn.Sequential`.
//!
//! Layers are named `0`, `2`, `4`, ...; the activations between them `1`, `3`,
//! ... hold no tensors. Widths come from the tensors, the activation from the
//! checkpoint's metadata key `activation` (ReLU when it is absent, as in the
//! networks of the verification literature; `negative_slope` is LeakyReLU's); the last layer has none. The
//! metadata key `output` = `softmax` appends one.
//!
//! A checkpoint with the tensors `input_means` and `input_ranges` (ACAS Xu; Katz et al. 2017)
//! reads inputs in their own units: `(x - mean) / range` comes first, and `output_mean` and
//! `output_range` give the outputs' units back. Inputs are not clipped to `input_mins` and
//! `input_maxes`.
//!
//! Parity: `tests/parity.rs`.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::distr::{Distribution, Uniform};
use rand_chacha::ChaCha8Rng;

use crate::architectures::extents;
use crate::graph::NodeId;
use crate::ops::scaling::{Direction, Scaling};
use crate::ops::{Linear, Op};
use crate::{Activation, Checkpoint, Graph, Model, ModelError};

/// The graph of a checkpoint.
///
/// # Errors
/// [`ModelError::Architecture`] when there is no tensor `<n>.weight`, when one
/// is not a matrix or is empty, or when consecutive widths do not chain;
/// [`ModelError::Unknown`] for an activation or output function that is not known.
pub fn graph(checkpoint: &Checkpoint) -> Result<Graph, ModelError> {
    let unclear = |reason: String| ModelError::Architecture {
        origin: checkpoint.origin().to_owned(),
        reason,
    };
    let mut positions: Vec<usize> = checkpoint
        .names()
        .filter_map(|name| name.strip_suffix(".weight")?.parse().ok())
        .collect();
    positions.sort_unstable();
    let mut sizes = Vec::new();
    for position in &positions {
        let name = format!("{position}.weight");
        let &[outputs, inputs] = checkpoint.shape(&name)? else {
            return Err(unclear(format!("tensor `{name}` is no matrix")));
        };
        if outputs == 0 || inputs == 0 {
            return Err(unclear(format!(
                "tensor `{name}` of shape [{outputs}, {inputs}] is empty"
            )));
        }
        match sizes.last() {
            None => sizes.push(inputs),
            Some(&width) if width == inputs => {}
            Some(width) => {
                return Err(unclear(format!(
                    "tensor `{name}` reads {inputs} features, the layer before it gives {width}"
                )));
            }
        }
        sizes.push(outputs);
    }
    if sizes.is_empty() {
        return Err(unclear(
            "there is no tensor named `<number>.weight`".to_owned(),
        ));
    }
    let activation = match checkpoint.metadata().get(ACTIVATION) {
        Some(name) => with_slope(name.parse()?, checkpoint)?,
        None => Activation::Relu,
    };
    let softmax = match checkpoint.metadata().get("output").map(String::as_str) {
        None => false,
        Some("softmax") => true,
        Some(other) => {
            return Err(ModelError::Unknown {
                kind: "output function",
                name: other.to_owned(),
                known: vec!["softmax".to_owned()],
            });
        }
    };
    let mut graph = Graph::new(&sizes[..1]);
    let mut last = 0;
    if let Some(op) = scaling(checkpoint, INPUT, Direction::Normalise)? {
        last = graph.push("input.normalised", op, &[last])?;
    }
    last = layers(&mut graph, last, &positions, &sizes, activation)?;
    if let Some(op) = scaling(checkpoint, OUTPUT, Direction::Restore)? {
        last = graph.push("output.restored", op, &[last])?;
    }
    if softmax {
        graph.push("softmax", Op::Softmax, &[last])?;
    }
    if checkpoint.shape(INPUT[0]).is_ok() {
        let stored = checkpoint.names().filter(|name| {
            name.starts_with("ref.") || ["input_mins", "input_maxes"].contains(name)
        });
        graph.accompany(stored);
    }
    Ok(graph)
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

/// Appends the linear layers and the activations between them.
fn layers(
    graph: &mut Graph,
    source: NodeId,
    positions: &[usize],
    sizes: &[usize],
    activation: Activation,
) -> Result<NodeId, ModelError> {
    let mut last = source;
    for (i, position) in positions.iter().enumerate() {
        let linear = Linear {
            weight: format!("{position}.weight"),
            bias: Some(format!("{position}.bias")),
            inputs: sizes[i],
            outputs: sizes[i + 1],
        };
        last = graph.push(position.to_string(), Op::Linear(linear), &[last])?;
        if i + 1 < positions.len() {
            last = graph.push(
                (position + 1).to_string(),
                Op::Activation(activation),
                &[last],
            )?;
        }
    }
    Ok(last)
}

/// Metadata key of the activation.
pub(crate) const ACTIVATION: &str = "activation";

/// Metadata key of LeakyReLU's slope.
const SLOPE: &str = "negative_slope";

/// LeakyReLU with the slope that the metadata states, PyTorch's default otherwise.
fn with_slope(activation: Activation, checkpoint: &Checkpoint) -> Result<Activation, ModelError> {
    let (Activation::LeakyRelu { .. }, Some(text)) = (activation, checkpoint.metadata().get(SLOPE))
    else {
        return Ok(activation);
    };
    match text.parse() {
        Ok(slope) if (0.0..=1.0).contains(&slope) => Ok(Activation::LeakyRelu { slope }),
        _ => Err(ModelError::Architecture {
            origin: checkpoint.origin().to_owned(),
            reason: format!("metadata `{SLOPE}`: expected a number from 0 to 1, got `{text}`"),
        }),
    }
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
    let mut metadata = BTreeMap::from([("activation".to_owned(), activation.name().to_owned())]);
    if let Activation::LeakyRelu { slope } = activation {
        metadata.insert(SLOPE.to_owned(), slope.to_string());
    }
    Model::from_f32(&tensors, &metadata, "random perceptron")
}
