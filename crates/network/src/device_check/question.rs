//! What a device is asked: the distinct operator shapes of a network.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use burn::tensor::Device;
use model::ops::embedding::Key;
use model::ops::scaling::Direction;

use super::seeded::Numbers;
use crate::forward::{Keep, Mode};
use crate::{
    Activation, Checkpoint, Graph, Network, NetworkError, Op, ParameterSpec, Precision, Value,
};

/// Seeds of one operator shape: operands and tensors count from the first.
const SEEDS: u64 = 64;
/// The seed of the weights of the outputs, among those of one operator shape.
const SELECTOR: u64 = SEEDS - 1;

/// What a device and the reference are both asked.
pub(super) enum Question<'a> {
    /// An operator alone, forward and backward.
    Operator(OperatorShape),
    /// The network as a whole, forward, with its own weights.
    Network {
        graph: &'a Graph,
        checkpoint: &'a Checkpoint,
        /// Extents of the input, batch first.
        shape: Vec<usize>,
        input: Numbers,
    },
}

impl Question<'_> {
    /// The operator with its parameters and shapes.
    pub(super) fn title(&self) -> &str {
        match self {
            Self::Operator(operator) => &operator.title,
            Self::Network { .. } => "the whole network",
        }
    }

    /// The nodes that ask it.
    pub(super) fn nodes(&self) -> &[String] {
        match self {
            Self::Operator(operator) => &operator.nodes,
            Self::Network { .. } => &[],
        }
    }
}

/// An operator and what is put into it.
pub(super) struct OperatorShape {
    title: String,
    nodes: Vec<String>,
    op: Op,
    operands: Vec<Operand>,
    /// Whether it runs as the linear piece that it is at its operand.
    pub(super) frozen: bool,
    seed: u64,
}

struct Operand {
    shape: Vec<usize>,
    numbers: Numbers,
}

impl OperatorShape {
    /// The operator as a network of one node, with seeded tensors.
    pub(super) fn network(
        &self,
        device: &Device,
        precision: Precision,
    ) -> Result<Network, NetworkError> {
        let example = self.operands.first().map(|operand| &operand.shape[1..]);
        let mut graph = Graph::new(example.unwrap_or_default());
        graph.push(&self.title, self.op.clone(), &vec![0; self.operands.len()])?;
        let specs = graph.parameters().into_iter().enumerate();
        let tensors: Vec<_> = specs
            .map(|(position, spec)| {
                let seed = self.seed + SEEDS / 2 + position as u64;
                let numbers = self.tensor(&spec).draw(&spec.shape, seed);
                (spec.name, spec.shape, numbers)
            })
            .collect();
        let checkpoint = Checkpoint::from_f32(&tensors, &BTreeMap::new(), "seeded")?;
        Network::of_graph(graph, &checkpoint, device, precision)
    }

    /// What a tensor of the operator holds.
    fn tensor(&self, spec: &ParameterSpec) -> Numbers {
        match (spec.trained, &self.op, spec.shape.len()) {
            (false, ..) => Numbers::Positive,
            (true, Op::Linear(_) | Op::Conv2d(_), 2..) => Numbers::Weights {
                reads: spec.shape[1..].iter().product(),
            },
            (true, ..) => Numbers::Ordinary,
        }
    }

    /// The operands, each in memory of its own, and whether it is differentiated.
    pub(super) fn operands(
        &self,
        device: &Device,
        precision: Precision,
    ) -> Result<Vec<(Value, bool)>, NetworkError> {
        let operands = self.operands.iter().zip(self.seed..);
        operands
            .map(|(Operand { shape, numbers }, seed)| {
                let drawn = numbers.draw(shape, seed);
                let value = Value::from_numbers(drawn, shape, device, precision)?;
                Ok((value, numbers.is_differentiated()))
            })
            .collect()
    }

    /// The weights of the outputs in the scalar that is differentiated.
    pub(super) fn selector(
        &self,
        shape: &[usize],
        device: &Device,
        precision: Precision,
    ) -> Result<Value, NetworkError> {
        let numbers = Numbers::Ordinary.draw(shape, self.seed + SELECTOR);
        Value::from_numbers(numbers, shape, device, precision)
    }
}

/// The questions of a network for batches of `batch` examples of `shape`, in its order.
///
/// # Errors
/// As [`Network::forward`] when the network cannot take such examples.
pub(super) fn questions<'a>(
    graph: &'a Graph,
    checkpoint: &'a Checkpoint,
    precision: Precision,
    batch: usize,
    shape: &[usize],
) -> Result<Vec<Question<'a>>, NetworkError> {
    let input = input_of(graph);
    let network = Network::of_graph(graph.clone(), checkpoint, &Device::flex(), precision)?;
    let shapes = shapes(&network, input, batch, shape)?;
    let mut asked = Asked::default();
    for node in graph.nodes().iter().skip(1) {
        let operand = |&source: &usize| Operand {
            shape: shapes[source].clone(),
            numbers: match source {
                0 if input != Numbers::Ordinary => input,
                _ => numbers_for(&node.op),
            },
        };
        let operands = || node.sources.iter().map(operand).collect::<Vec<_>>();
        asked.ask(&node.name, &node.op, operands(), false);
        if node.op.is_piecewise_linear() && !node.op.is_affine() {
            asked.ask(&node.name, &node.op, operands(), true);
        }
    }
    if let [_, _] = shapes[graph.output()][..] {
        let logits = Operand {
            shape: shapes[graph.output()].clone(),
            numbers: Numbers::Wide,
        };
        asked.ask("the loss", &Op::LogSoftmax, vec![logits], false);
    }
    let operators = asked.operators.into_iter().map(Question::Operator);
    let whole = Question::Network {
        graph,
        checkpoint,
        shape: shapes[0].clone(),
        input,
    };
    Ok(operators.chain([whole]).collect())
}

/// The operator shapes so far, each under its title.
#[derive(Default)]
struct Asked {
    operators: Vec<OperatorShape>,
    known: HashMap<String, usize>,
}

impl Asked {
    fn ask(&mut self, node: &str, op: &Op, operands: Vec<Operand>, frozen: bool) {
        let title = title(op, &operands, frozen);
        let next = self.operators.len();
        let position = *self.known.entry(title.clone()).or_insert(next);
        if position == next {
            self.operators.push(OperatorShape {
                title,
                nodes: Vec::new(),
                op: op.clone(),
                operands,
                frozen,
                seed: next as u64 * SEEDS,
            });
        }
        self.operators[position].nodes.push(node.to_owned());
    }
}

/// What the network itself reads.
fn input_of(graph: &Graph) -> Numbers {
    let mut words: Option<usize> = None;
    let mut reads_tokens = false;
    for node in graph.nodes() {
        match &node.op {
            Op::Embedding(table) if table.key == Key::Word => {
                words = Some(words.unwrap_or(usize::MAX).min(table.rows));
            }
            Op::Embedding(_) | Op::TokenMask => reads_tokens = true,
            _ => {}
        }
    }
    match (words, reads_tokens) {
        (None, false) => Numbers::Ordinary,
        (words, _) => Numbers::Tokens {
            words: words.unwrap_or(1),
        },
    }
}

/// What suits an operator's operands.
fn numbers_for(op: &Op) -> Numbers {
    match op {
        Op::Activation(
            Activation::Log | Activation::Sqrt | Activation::Reciprocal | Activation::Power { .. },
        ) => Numbers::Positive,
        Op::Activation(_) => Numbers::Wide,
        Op::Softmax => Numbers::Scores,
        Op::MaxPool(_) => Numbers::Distinct,
        _ => Numbers::Ordinary,
    }
}

/// The shape of every node's value: that of one example, with the batch in front.
fn shapes(
    network: &Network,
    input: Numbers,
    batch: usize,
    shape: &[usize],
) -> Result<Vec<Vec<usize>>, NetworkError> {
    let one: Vec<usize> = [1].into_iter().chain(shape.iter().copied()).collect();
    let x = input.draw(&one, 0);
    let x = Value::from_numbers(x, &one, network.device(), network.precision())?;
    let mut shapes = vec![one];
    let start = BTreeMap::from([(0, x)]);
    let nodes = 1..network.graph().nodes().len();
    network.evaluate_nodes(start, nodes, Mode::Free, &Keep::new(), |_, value| {
        shapes.push(value.shape());
        Ok(value)
    })?;
    for shape in &mut shapes {
        shape[0] = batch;
    }
    Ok(shapes)
}

/// The operator, the parameters that its kernels may depend on, and its operands' shapes.
fn title(op: &Op, operands: &[Operand], frozen: bool) -> String {
    let shapes = operands
        .iter()
        .map(|operand| format!("{:?}", operand.shape));
    let shapes = shapes.collect::<Vec<_>>().join(", ");
    let frozen = if frozen { " frozen" } else { "" };
    format!("{}{frozen} on {shapes}", named(op))
}

/// The operator and its parameters, without the names of its tensors.
fn named(op: &Op) -> String {
    let name = op.name();
    let bias = |bias: &Option<String>| if bias.is_some() { " + bias" } else { "" };
    let pair = |[rows, columns]: [usize; 2]| format!("{rows}x{columns}");
    match op {
        Op::Linear(op) => format!("{name} {} -> {}{}", op.inputs, op.outputs, bias(&op.bias)),
        Op::Conv2d(op) => format!(
            "{name} {} of {} -> {}{}, stride {}, padding {}, dilation {}, groups {}",
            pair(op.kernel),
            op.inputs,
            op.outputs,
            bias(&op.bias),
            pair(op.stride),
            pair(op.padding),
            pair(op.dilation),
            op.groups
        ),
        Op::BatchNorm(op) => format!("{name}, epsilon {:e}", op.epsilon),
        Op::LayerNorm(op) => format!("{name}, epsilon {:e}", op.epsilon),
        Op::Embedding(op) => {
            let key = match op.key {
                Key::Word => "words",
                Key::Position => "positions",
            };
            format!("{name} of {} {key} in {}", op.rows, op.features)
        }
        Op::Scaling(op) => match op.direction {
            Direction::Normalise => format!("{name} by {} units", op.features),
            Direction::Restore => format!("{name} back by {} units", op.features),
        },
        Op::MaxPool(op) => {
            let ceil = if op.ceil { ", ceil" } else { "" };
            let [before, after] = [op.before, op.after].map(pair);
            let (kernel, stride) = (pair(op.kernel), pair(op.stride));
            format!("{name} {kernel}, stride {stride}, padding {before} and {after}{ceil}")
        }
        Op::AveragePool(op) => format!("{name} {}, stride {}", pair(op.kernel), pair(op.stride)),
        Op::AddConstants(_) | Op::MultiplyConstants(_) => name.to_owned(),
        Op::Rearrange(op) if op.sources.is_none() => format!("{name} as {:?}", op.shape),
        Op::Rearrange(op) => format!("{name} numbers to {:?}", op.shape),
        Op::Activation(activation) => format!("{name}{}", parameters(activation)),
        other => format!("{name}{}", parameters(other)),
    }
}

/// What the debug format of a variant says behind its name.
fn parameters(variant: &impl fmt::Debug) -> String {
    let text = format!("{variant:?}");
    let inside = text.split_once(['(', '{']).map(|(_, inside)| inside);
    let inside = inside.map(|inside| inside.trim_matches([' ', ')', '}']));
    inside.map_or_else(String::new, |inside| format!(" {inside}"))
}
