//! Forward passes: whole, up to a layer, from a layer on, with frozen pattern.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rayon::prelude::*;

use crate::network::Network;
use crate::ops::{
    activation, attention, conv2d, elementwise, embedding, join, linear, norm, patches, pool,
    rearrange, scaling, softmax,
};
use crate::pattern::no_piece;
use crate::surrogate::{self, Surrogate};
use crate::{Layer, NetworkError, NodeId, Op, Pattern, Value};

/// The values with which a run can be resumed at a layer: those of the nodes in
/// front of it that it or a later node reads.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The node in front of which the run stopped.
    pub node: NodeId,
    /// The layer's input h, `[batch, .., m]`.
    pub input: Value,
    live: BTreeMap<NodeId, Value>,
}

impl Cut {
    /// The values behind the layer, with `z` as its output.
    pub(crate) fn resumed(&self, z: Value) -> BTreeMap<NodeId, Value> {
        let mut values = self.live.clone();
        values.insert(self.node, z);
        values
    }

    /// How many numbers it holds.
    pub fn numbers(&self) -> usize {
        let sizes = self
            .live
            .values()
            .map(|value| value.shape().iter().product::<usize>());
        sizes.sum()
    }

    /// The cut of the examples at `indices` (repeats allowed), in that order.
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            node: self.node,
            input: self.input.select(indices),
            live: self
                .live
                .iter()
                .map(|(&id, value)| (id, value.select(indices)))
                .collect(),
        }
    }
}

/// The nodes whose values are asked for; the others are dropped after their last reader.
pub(crate) type Keep = BTreeSet<NodeId>;

/// How activations and max-pools are evaluated.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// As the functions they are.
    Free,
    /// As the linear pieces of a pattern.
    Frozen(&'a Pattern),
    /// As the functions they are, but for each row's dead output, which its surrogate replaces.
    Woken(&'a [Option<Surrogate>]),
}

impl Mode<'_> {
    /// The number of examples that it is for; `None` when it fits all batches.
    fn examples(&self) -> Option<usize> {
        match self {
            Self::Free => None,
            Self::Frozen(pattern) => pattern.examples(),
            Self::Woken(surrogates) => Some(surrogates.len()),
        }
    }

    /// Runs something in the mode of some of the examples.
    fn narrowed<T>(self, rows: Range<usize>, run: impl FnOnce(Mode<'_>) -> T) -> T {
        match self {
            Self::Free => run(Mode::Free),
            Self::Frozen(pattern) => {
                let rows: Vec<usize> = rows.collect();
                run(Mode::Frozen(&pattern.select(&rows)))
            }
            Self::Woken(surrogates) => run(Mode::Woken(&surrogates[rows])),
        }
    }
}

/// What a layer reads and writes for a batch.
#[derive(Clone, Debug)]
pub struct LayerTrace {
    /// The layer's input h, `[batch, .., m]`.
    pub input: Value,
    /// The layer's output z, `[batch, .., p]`.
    pub output: Value,
}

impl Network {
    /// The outputs y, `[batch, classes]`.
    ///
    /// # Errors
    /// [`NetworkError::Shape`] when `x` does not fit the network.
    pub fn forward(&self, x: Value) -> Result<Value, NetworkError> {
        let output = self.graph().output();
        let mut values = self.evaluate_free(self.started(x)?, 1..output + 1, [output])?;
        take(&mut values, output)
    }

    /// Inputs and outputs of all layers in one pass, in layer order, and the
    /// network's outputs.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn activations(&self, x: Value) -> Result<(Vec<LayerTrace>, Value), NetworkError> {
        let output = self.graph().output();
        let seen = self.layers().iter().flat_map(|layer| {
            let input = self.graph().nodes()[layer.node].sources[0];
            [input, layer.node]
        });
        let start = self.started(x)?;
        let mut values = self.evaluate_free(start, 1..output + 1, seen.chain([output]))?;
        let traces = self
            .layers()
            .iter()
            .map(|layer| {
                let input = self.graph().nodes()[layer.node].sources[0];
                Ok(LayerTrace {
                    input: get(&values, input)?.clone(),
                    output: get(&values, layer.node)?.clone(),
                })
            })
            .collect::<Result<_, NetworkError>>()?;
        Ok((traces, take(&mut values, output)?))
    }

    /// Runs up to, and not including, a layer.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn run_until(&self, layer: &Layer, x: Value) -> Result<Cut, NetworkError> {
        self.cut_at(layer, self.started(x)?, 1)
    }

    /// Runs on from a cut up to, and not including, a later layer.
    ///
    /// # Errors
    /// As [`Network::forward`]; [`NetworkError::Shape`] when the layer lies in front of the cut.
    pub fn advance(&self, cut: Cut, layer: &Layer) -> Result<Cut, NetworkError> {
        if layer.node < cut.node {
            let expected = format!("a layer at node {} or behind it", cut.node);
            return Err(NetworkError::shape(&layer.name, expected, &[layer.node]));
        }
        self.cut_at(layer, cut.live, cut.node)
    }

    /// The value of the input node, once the extents of all values behind it are known to be ones that can
    /// be computed: the backend multiplies them unchecked.
    ///
    /// # Errors
    /// [`NetworkError::Shape`] for inputs of which some value would be too large.
    pub(crate) fn started(&self, x: Value) -> Result<BTreeMap<NodeId, Value>, NetworkError> {
        let shape = x.shape();
        let check = self.graph().check_sizes(shape.get(1..).unwrap_or_default());
        check.map_err(|model::TooLarge { node, shape: value }| {
            let expected = format!(
                "inputs for which no value of an example has more than {} numbers (`{node}` would have {value:?})",
                model::MOST_NUMBERS
            );
            NetworkError::shape("network input", expected, &shape)
        })?;
        Ok(BTreeMap::from([(0, x)]))
    }

    /// The cut at a layer, from values of which the nodes from `first` on can be evaluated.
    fn cut_at(
        &self,
        layer: &Layer,
        values: BTreeMap<NodeId, Value>,
        first: NodeId,
    ) -> Result<Cut, NetworkError> {
        let live = self.graph().frontier(layer.node);
        let input = self.graph().nodes()[layer.node].sources[0];
        let keep = live.iter().copied().chain([input]);
        let values = self.evaluate_free(values, first..layer.node, keep)?;
        Ok(Cut {
            node: layer.node,
            input: get(&values, input)?.clone(),
            live: live
                .into_iter()
                .map(|id| Ok((id, get(&values, id)?.clone())))
                .collect::<Result<_, NetworkError>>()?,
        })
    }

    /// The output z of the layer at the cut, `[batch, .., p]`.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn layer_output(&self, cut: &Cut) -> Result<Value, NetworkError> {
        let nodes = cut.node..cut.node + 1;
        let mut values = self.evaluate_free(cut.live.clone(), nodes, [cut.node])?;
        take(&mut values, cut.node)
    }

    /// Resumes a run in front of the layer at which it was cut.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn resume(&self, cut: &Cut) -> Result<Value, NetworkError> {
        let output = self.graph().output();
        let mut values = self.evaluate_free(cut.live.clone(), cut.node..output + 1, [output])?;
        take(&mut values, output)
    }

    /// Resumes a run behind the layer at which it was cut, with `z` as the
    /// layer's output. Returns the values of `wanted` nodes; `offsets` are added
    /// to the outputs of later layers (a changed bias): to the channels of
    /// convolutions and batch norms, to the features of other nodes.
    ///
    /// # Errors
    /// [`NetworkError::Shape`] as [`Network::forward`], and when a pattern or surrogates are
    /// those of another number of examples; [`NetworkError::Unknown`] when a wanted node lies
    /// in front of the cut and nothing behind it reads it.
    pub fn resume_with(
        &self,
        cut: &Cut,
        z: Value,
        offsets: &BTreeMap<NodeId, Value>,
        mode: Mode<'_>,
        wanted: &[NodeId],
    ) -> Result<BTreeMap<NodeId, Value>, NetworkError> {
        let last = wanted.iter().copied().max().unwrap_or_default();
        let (nodes, keep) = (self.behind(cut, last), wanted.iter().copied().collect());
        self.evaluate(cut.resumed(z), nodes, mode, offsets, &keep)
    }

    /// The nodes behind a cut, up to `last` where that is a node.
    pub(crate) fn behind(&self, cut: &Cut, last: NodeId) -> Range<NodeId> {
        cut.node + 1..last.min(self.graph().output()) + 1
    }

    /// The inputs h of `layers` behind the cut, in their order, with `z` as the output of the
    /// layer at the cut.
    ///
    /// # Errors
    /// As [`Network::resume_with`].
    pub fn inputs_behind(
        &self,
        cut: &Cut,
        z: Value,
        layers: &[Layer],
    ) -> Result<Vec<Value>, NetworkError> {
        let source = |layer: &Layer| self.graph().nodes()[layer.node].sources[0];
        let wanted: Vec<NodeId> = layers.iter().map(source).collect();
        let values = self.resume_with(cut, z, &BTreeMap::new(), Mode::Free, &wanted)?;
        wanted.iter().map(|&id| get(&values, id).cloned()).collect()
    }

    /// Evaluates a range of nodes as the functions they are; the values of those in `keep`.
    fn evaluate_free(
        &self,
        values: BTreeMap<NodeId, Value>,
        nodes: Range<NodeId>,
        keep: impl IntoIterator<Item = NodeId>,
    ) -> Result<BTreeMap<NodeId, Value>, NetworkError> {
        let keep = keep.into_iter().collect();
        self.evaluate(values, nodes, Mode::Free, &BTreeMap::new(), &keep)
    }

    /// Evaluates a range of nodes; the values of those in `keep`.
    fn evaluate(
        &self,
        values: BTreeMap<NodeId, Value>,
        nodes: Range<NodeId>,
        mode: Mode<'_>,
        offsets: &BTreeMap<NodeId, Value>,
        keep: &Keep,
    ) -> Result<BTreeMap<NodeId, Value>, NetworkError> {
        let parts = self.in_parts(1, values, mode, |_, values, mode| {
            let shift = |id, value| self.shifted(id, value, offsets);
            let mut values = self.evaluate_nodes(values, nodes.clone(), mode, keep, shift)?;
            keep.iter()
                .map(|&id| Ok((id, take(&mut values, id)?)))
                .collect::<Result<BTreeMap<_, _>, NetworkError>>()
        })?;
        concat(parts)
    }

    /// Runs something on parts of a batch, or on the whole: on the CPU images and token sequences
    /// in parts of `size` examples, on all threads, since the values of few examples stay in the
    /// caches, and no thread waits for another between two nodes. `run` is given the examples'
    /// indices, their values and their mode; the results come in the order of the examples.
    pub(crate) fn in_parts<T: Send>(
        &self,
        size: usize,
        values: BTreeMap<NodeId, Value>,
        mode: Mode<'_>,
        run: impl Fn(Range<usize>, BTreeMap<NodeId, Value>, Mode<'_>) -> Result<T, NetworkError> + Sync,
    ) -> Result<Vec<T>, NetworkError> {
        let batch = values.values().next().map_or(0, Value::batch);
        if let Some(examples) = mode.examples().filter(|&examples| examples != batch) {
            let expected = format!("{batch} examples");
            return Err(NetworkError::shape("mode", expected, &[examples]));
        }
        let flat = self.graph().input_shape().len() == 1;
        let separable = |value: &Value| value.is_plain_flex() && value.batch() == batch;
        let on_cpu = !self.device().is_autodiff() && values.values().all(separable);
        if flat || batch <= size || !on_cpu {
            return Ok(vec![run(0..batch, values, mode)?]);
        }
        (0..batch.div_ceil(size))
            .into_par_iter()
            .map(|part| {
                let rows = part * size..(part * size + size).min(batch);
                let values = values
                    .iter()
                    .map(|(&id, value)| (id, value.rows(rows.clone())))
                    .collect();
                mode.narrowed(rows.clone(), |mode| run(rows, values, mode))
            })
            .collect()
    }

    /// The value of a node plus the offset of its features or channels, if it has one.
    pub(crate) fn shifted(
        &self,
        id: NodeId,
        value: Value,
        offsets: &BTreeMap<NodeId, Value>,
    ) -> Result<Value, NetworkError> {
        match (offsets.get(&id), &self.graph().nodes()[id].op) {
            (Some(Value::R1(offset)), Op::Conv2d(_) | Op::BatchNorm(_)) => {
                value.add_to_channels(offset)
            }
            (Some(Value::R1(offset)), _) => value.add_to_features(offset),
            (Some(other), _) => Err(NetworkError::shape("bias offset", "[*]", &other.shape())),
            (None, _) => Ok(value),
        }
    }

    /// Evaluates a range of nodes. A value that is not kept is given up to its last reader, so
    /// that memory stays bounded and the reader may work in place.
    pub(crate) fn evaluate_nodes(
        &self,
        mut values: BTreeMap<NodeId, Value>,
        nodes: Range<NodeId>,
        mode: Mode<'_>,
        keep: &Keep,
        mut visit: impl FnMut(NodeId, Value) -> Result<Value, NetworkError>,
    ) -> Result<BTreeMap<NodeId, Value>, NetworkError> {
        for id in nodes {
            let sources = &self.graph().nodes()[id].sources;
            let mut operands = Vec::with_capacity(sources.len());
            for (position, &source) in sources.iter().enumerate() {
                let again = sources[position + 1..].contains(&source);
                let last = !again && self.is_last_reader(id, source) && !keep.contains(&source);
                operands.push(match last {
                    true => take(&mut values, source)?,
                    false => get(&values, source)?.clone(),
                });
            }
            let value = self.apply(id, operands, mode)?;
            values.insert(id, visit(id, value)?);
        }
        Ok(values)
    }

    /// The value of a node from those of its sources.
    pub(crate) fn apply(
        &self,
        id: NodeId,
        operands: Vec<Value>,
        mode: Mode<'_>,
    ) -> Result<Value, NetworkError> {
        let node = &self.graph().nodes()[id];
        let at = node.name.as_str();
        let bias = |name: &Option<String>| name.as_ref().map(|n| self.vector(n)).transpose();
        let found = operands.len();
        let mut operands = operands.into_iter();
        let mut operand = || {
            operands.next().ok_or_else(|| {
                NetworkError::shape(at, format!("an operand for {}", node.op.name()), &[found])
            })
        };
        if let (Mode::Frozen(pattern), false) = (mode, node.op.is_affine()) {
            return pattern
                .forward(id, operand()?, self.device(), self.precision(), at)
                .unwrap_or_else(|| Err(no_piece(node, 0)));
        }
        let (device, precision) = (self.device(), self.precision());
        match &node.op {
            Op::Input => operand(),
            Op::Linear(op) => {
                linear::forward(operand()?, self.matrix(&op.weight)?, bias(&op.bias)?, at)
            }
            Op::Conv2d(op) => {
                let weight = self.kernel(&op.weight)?;
                conv2d::forward(op, operand()?, weight, bias(&op.bias)?, at)
            }
            Op::BatchNorm(op) => {
                let [weight, shift] = [self.vector(&op.weight)?, self.vector(&op.bias)?];
                let [mean, variance] = [self.vector(&op.mean)?, self.vector(&op.variance)?];
                norm::batch_norm(op, operand()?, [weight, shift, mean, variance], at)
            }
            Op::LayerNorm(op) => {
                let [weight, shift] = [self.vector(&op.weight)?, self.vector(&op.bias)?];
                norm::layer(op, operand()?, weight, shift, at)
            }
            Op::Embedding(op) => embedding::forward(op, &operand()?, self.matrix(&op.weight)?, at),
            Op::Scaling(op) => {
                let [mean, range] = [self.vector(&op.mean)?, self.vector(&op.range)?];
                scaling::forward(op, operand()?, mean, range, at)
            }
            Op::Activation(activation) => match mode {
                Mode::Woken(surrogates) if surrogate::wakes(surrogates, id) => {
                    self.wake(id, operand()?, surrogates)
                }
                _ => Ok(activation::forward(*activation, operand()?)),
            },
            Op::Softmax => Ok(softmax::forward(operand()?)),
            Op::LogSoftmax => Ok(softmax::logarithm(operand()?)),
            Op::Standardise { epsilon } => Ok(norm::standardise(operand()?, *epsilon)),
            Op::Mean => Ok(norm::mean(operand()?)),
            Op::MaxPool(op) => pool::max(op, operand()?, at),
            Op::AveragePool(op) => pool::average(op, operand()?, at),
            Op::GlobalAveragePool => pool::global_average(operand()?, at),
            Op::Concat => join::concat(operands.collect(), at),
            Op::Add => operand()?.add(operand()?, at),
            Op::Multiply => operand()?.mul(operand()?, at),
            Op::AddConstants(constants) => {
                elementwise::add(constants, operand()?, device, precision, at)
            }
            Op::MultiplyConstants(constants) => {
                elementwise::multiply(constants, operand()?, device, precision, at)
            }
            Op::Rearrange(op) => rearrange::forward(op, operand()?, device, precision, at),
            Op::Slice { start, len } => join::slice(operand()?, *start, *len, at),
            Op::Scale(factor) => Ok(elementwise::scale(operand()?, *factor)),
            Op::MatMul { transposed } => attention::matmul(operand()?, operand()?, *transposed, at),
            Op::SplitHeads { heads } => attention::split_heads(operand()?, *heads, at),
            Op::MergeHeads { heads, sequences } => {
                attention::merge_heads(operand()?, *heads, *sequences, at)
            }
            Op::TokenMask => attention::token_mask(&operand()?, at),
            Op::SelectToken(index) => attention::select_token(operand()?, *index, at),
            Op::Unfold { patch } => patches::unfold(operand()?, *patch, at),
            Op::Fold { patch } => {
                let (tokens, like) = (operand()?, operand()?);
                patches::fold(tokens, &like, *patch, at)
            }
        }
    }
}

/// The values of all parts of a batch, one part after the other.
pub(crate) fn concat(
    parts: Vec<BTreeMap<NodeId, Value>>,
) -> Result<BTreeMap<NodeId, Value>, NetworkError> {
    let mut columns: BTreeMap<NodeId, Vec<Value>> = BTreeMap::new();
    for (id, value) in parts.into_iter().flatten() {
        columns.entry(id).or_default().push(value);
    }
    columns
        .into_iter()
        .map(|(id, values)| Ok((id, Value::concat(values, "examples")?)))
        .collect()
}

pub(crate) fn get(values: &BTreeMap<NodeId, Value>, id: NodeId) -> Result<&Value, NetworkError> {
    values.get(&id).ok_or_else(|| missing(id))
}

pub(crate) fn take(
    values: &mut BTreeMap<NodeId, Value>,
    id: NodeId,
) -> Result<Value, NetworkError> {
    values.remove(&id).ok_or_else(|| missing(id))
}

fn missing(id: NodeId) -> NetworkError {
    NetworkError::Unknown {
        kind: "node value",
        name: id.to_string(),
        known: Vec::new(),
    }
}
