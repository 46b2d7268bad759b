//! Forward passes: whole, up to a layer, from a layer on, with frozen pattern.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rayon::prelude::*;

use crate::graph::{Layer, NodeId};
use crate::network::Network;
use crate::ops::{Op, attention, join, linear, patches, pool, softmax};
use crate::{NetworkError, Piece, Value};

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
    pub(crate) fn values(&self) -> BTreeMap<NodeId, Value> {
        self.live.clone()
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

/// An activation pattern: the slope of every activation after a layer, per
/// example. It picks one linear piece of the network per example.
#[derive(Clone, Debug)]
pub struct Pattern {
    slopes: BTreeMap<NodeId, Value>,
    pieces: BTreeMap<NodeId, Vec<Piece>>,
}

impl Pattern {
    /// The activation nodes with their pieces, example-major: entry
    /// `example * width + unit` belongs to that unit of that node's source.
    pub fn pieces(&self) -> &BTreeMap<NodeId, Vec<Piece>> {
        &self.pieces
    }

    /// The pattern of the examples at `indices`.
    pub fn select(&self, indices: &[usize]) -> Self {
        let pieces = self.pieces.iter().map(|(&id, pieces)| {
            let batch = self.slopes[&id].batch();
            let width = pieces.len() / batch.max(1);
            let chosen = indices
                .iter()
                .flat_map(|&i| pieces[i * width..(i + 1) * width].iter().copied());
            (id, chosen.collect())
        });
        Self {
            slopes: self
                .slopes
                .iter()
                .map(|(&id, value)| (id, value.select(indices)))
                .collect(),
            pieces: pieces.collect(),
        }
    }
}

/// Which values of a pass are asked for; the others are dropped after their last reader.
#[derive(Debug)]
pub(crate) enum Keep {
    /// Every node's.
    All,
    /// Those of some nodes.
    Only(BTreeSet<NodeId>),
}

impl Keep {
    pub(crate) fn only(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        Self::Only(nodes.into_iter().collect())
    }

    fn contains(&self, node: NodeId) -> bool {
        match self {
            Self::All => true,
            Self::Only(nodes) => nodes.contains(&node),
        }
    }
}

/// How activations are evaluated.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// As the functions they are.
    Free,
    /// As the linear pieces of a pattern.
    Frozen(&'a Pattern),
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
        let start = BTreeMap::from([(0, x)]);
        let nodes = 1..self.graph().nodes().len();
        let mut values = self.evaluate_plain(start, nodes, &Keep::only([output]))?;
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
        let keep = Keep::only(seen.chain([output]));
        let start = BTreeMap::from([(0, x)]);
        let nodes = 1..self.graph().nodes().len();
        let mut values = self.evaluate_plain(start, nodes, &keep)?;
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
        let live = self.graph().frontier(layer.node);
        let input = self.graph().nodes()[layer.node].sources[0];
        let keep = Keep::only(live.iter().copied().chain([input]));
        let start = BTreeMap::from([(0, x)]);
        let values = self.evaluate_plain(start, 1..layer.node, &keep)?;
        Ok(Cut {
            node: layer.node,
            input: get(&values, input)?.clone(),
            live: live
                .into_iter()
                .map(|id| Ok((id, get(&values, id)?.clone())))
                .collect::<Result<_, NetworkError>>()?,
        })
    }

    /// Resumes a run in front of the layer at which it was cut.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn resume(&self, cut: &Cut) -> Result<Value, NetworkError> {
        let output = self.graph().output();
        let nodes = cut.node..self.graph().nodes().len();
        let mut values = self.evaluate_plain(cut.live.clone(), nodes, &Keep::only([output]))?;
        take(&mut values, output)
    }

    /// Resumes a run behind the layer at which it was cut, with `z` as the
    /// layer's output. Returns the values of `wanted` nodes; `offsets` are added
    /// to the outputs of later layers (a changed bias).
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn resume_with(
        &self,
        cut: &Cut,
        z: Value,
        offsets: &BTreeMap<NodeId, Value>,
        mode: Mode<'_>,
        wanted: &[NodeId],
    ) -> Result<BTreeMap<NodeId, Value>, NetworkError> {
        let mut start = cut.live.clone();
        start.insert(cut.node, z);
        let keep = Keep::only(wanted.iter().copied());
        let mut values = self.evaluate(start, cut.node + 1, mode, &keep, |id, value| {
            shifted(id, value, offsets)
        })?;
        wanted
            .iter()
            .map(|&id| Ok((id, take(&mut values, id)?)))
            .collect()
    }

    /// The activation pattern behind the cut, with `z` as the layer's output.
    ///
    /// # Errors
    /// [`NetworkError::NoLinearPiece`] when an activation has none there;
    /// [`NetworkError::Shape`] as [`Network::forward`].
    pub fn pattern(&self, cut: &Cut, z: Value) -> Result<Pattern, NetworkError> {
        let mut start = cut.live.clone();
        start.insert(cut.node, z);
        let values = self.evaluate(start, cut.node + 1, Mode::Free, &Keep::All, |_, value| {
            Ok(value)
        })?;
        let (mut slopes, mut pieces) = (BTreeMap::new(), BTreeMap::new());
        for (id, node) in self.graph().nodes().iter().enumerate().skip(cut.node + 1) {
            let no_piece = |example| NetworkError::NoLinearPiece {
                node: node.name.clone(),
                op: node.op.name().to_owned(),
                example,
            };
            match &node.op {
                op if op.is_affine() => {}
                Op::Activation(activation) => {
                    let source = get(&values, node.sources[0])?;
                    let z = source.to_vec()?;
                    let width = z.len() / source.batch().max(1);
                    let found = z
                        .iter()
                        .enumerate()
                        .map(|(i, &z)| activation.piece(z).ok_or_else(|| no_piece(i / width)))
                        .collect::<Result<Vec<Piece>, _>>()?;
                    let slope: Vec<f64> = found.iter().map(|piece| piece.slope).collect();
                    slopes.insert(
                        id,
                        Value::from_f64(&slope, &source.shape(), self.device(), self.precision())?,
                    );
                    pieces.insert(id, found);
                }
                _ => return Err(no_piece(0)),
            }
        }
        Ok(Pattern { slopes, pieces })
    }

    /// Evaluates a range of nodes as the functions they are. On the CPU images and token
    /// sequences are evaluated one by one, on all threads: an example's values stay in the
    /// caches, and no thread waits for another between two nodes.
    fn evaluate_plain(
        &self,
        values: BTreeMap<NodeId, Value>,
        nodes: Range<NodeId>,
        keep: &Keep,
    ) -> Result<BTreeMap<NodeId, Value>, NetworkError> {
        let batch = values.values().next().map_or(0, Value::batch);
        let flat = self.graph().input_shape().len() == 1;
        let on_cpu = values.values().all(Value::is_plain_flex);
        if flat || batch < 2 || !on_cpu {
            return self.evaluate_nodes(values, nodes, Mode::Free, keep, |_, value| Ok(value));
        }
        let examples = (0..batch)
            .into_par_iter()
            .map(|example| {
                let one = values
                    .iter()
                    .map(|(&id, value)| (id, value.example(example)));
                self.evaluate_nodes(one.collect(), nodes.clone(), Mode::Free, keep, |_, v| Ok(v))
            })
            .collect::<Result<Vec<_>, NetworkError>>()?;
        let mut columns: BTreeMap<NodeId, Vec<Value>> = BTreeMap::new();
        for (id, value) in examples.into_iter().flatten() {
            columns.entry(id).or_default().push(value);
        }
        columns
            .into_iter()
            .map(|(id, values)| Ok((id, Value::concat(values, "examples")?)))
            .collect()
    }

    /// Evaluates the nodes from `first` on; `visit` may replace each value.
    pub(crate) fn evaluate(
        &self,
        values: BTreeMap<NodeId, Value>,
        first: NodeId,
        mode: Mode<'_>,
        keep: &Keep,
        visit: impl FnMut(NodeId, Value) -> Result<Value, NetworkError>,
    ) -> Result<BTreeMap<NodeId, Value>, NetworkError> {
        self.evaluate_nodes(values, first..self.graph().nodes().len(), mode, keep, visit)
    }

    /// Evaluates a range of nodes. A value that is not kept is given up to its last reader, so
    /// that memory stays bounded and the reader may work in place.
    fn evaluate_nodes(
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
                let last = !again && self.is_last_reader(id, source) && !keep.contains(source);
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
    fn apply(
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
        if let (Op::Activation(_), Mode::Frozen(pattern)) = (&node.op, mode) {
            return operand()?.mul(get(&pattern.slopes, id)?.clone(), at);
        }
        if matches!(mode, Mode::Frozen(_)) && !node.op.is_affine() {
            return Err(NetworkError::NoLinearPiece {
                node: node.name.clone(),
                op: node.op.name().to_owned(),
                example: 0,
            });
        }
        match &node.op {
            Op::Input => operand(),
            Op::Linear(op) => {
                linear::forward(operand()?, self.matrix(&op.weight)?, bias(&op.bias)?, at)
            }
            Op::Conv2d(op) => op.forward(operand()?, self.kernel(&op.weight)?, bias(&op.bias)?, at),
            Op::BatchNorm(op) => {
                let [weight, shift] = [self.vector(&op.weight)?, self.vector(&op.bias)?];
                let [mean, variance] = [self.vector(&op.mean)?, self.vector(&op.variance)?];
                op.forward(operand()?, [weight, shift, mean, variance], at)
            }
            Op::LayerNorm(op) => op.forward(
                operand()?,
                self.vector(&op.weight)?,
                self.vector(&op.bias)?,
                at,
            ),
            Op::Embedding(op) => op.forward(&operand()?, self.matrix(&op.weight)?, at),
            Op::Scaling(op) => op.forward(
                operand()?,
                self.vector(&op.mean)?,
                self.vector(&op.range)?,
                at,
            ),
            Op::Activation(activation) => Ok(activation.forward(operand()?)),
            Op::Softmax => Ok(softmax::forward(operand()?)),
            Op::MaxPool(op) => op.forward(operand()?, at),
            Op::GlobalAveragePool => pool::global_average(operand()?, at),
            Op::Concat => join::concat(operands.collect(), at),
            Op::Add => operand()?.add(operand()?, at),
            Op::Slice { start, len } => join::slice(operand()?, *start, *len, at),
            Op::Scale(factor) => Ok(join::scale(operand()?, *factor)),
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

/// The value of a node plus the offset of its features, if it has one.
pub(crate) fn shifted(
    id: NodeId,
    value: Value,
    offsets: &BTreeMap<NodeId, Value>,
) -> Result<Value, NetworkError> {
    match offsets.get(&id) {
        Some(Value::R1(offset)) => value.add_to_features(offset),
        Some(other) => Err(NetworkError::shape("bias offset", "[*]", &other.shape())),
        None => Ok(value),
    }
}

pub(crate) fn get(values: &BTreeMap<NodeId, Value>, id: NodeId) -> Result<&Value, NetworkError> {
    values.get(&id).ok_or_else(|| missing(id))
}

fn take(values: &mut BTreeMap<NodeId, Value>, id: NodeId) -> Result<Value, NetworkError> {
    values.remove(&id).ok_or_else(|| missing(id))
}

fn missing(id: NodeId) -> NetworkError {
    NetworkError::Unknown {
        kind: "node value",
        name: id.to_string(),
        known: Vec::new(),
    }
}
