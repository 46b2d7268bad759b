//! Forward passes: whole, up to a layer, from a layer on, with frozen pattern.

use std::collections::BTreeMap;

use crate::graph::{Layer, NodeId};
use crate::network::Network;
use crate::ops::{Op, linear, softmax};
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
        let mut values = self.evaluate(BTreeMap::from([(0, x)]), 1, Mode::Free, |_, value| {
            Ok(value)
        })?;
        take(&mut values, self.graph().output())
    }

    /// Inputs and outputs of all layers in one pass, in layer order, and the
    /// network's outputs.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn activations(&self, x: Value) -> Result<(Vec<LayerTrace>, Value), NetworkError> {
        let mut values = self.evaluate(BTreeMap::from([(0, x)]), 1, Mode::Free, |_, value| {
            Ok(value)
        })?;
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
        Ok((traces, take(&mut values, self.graph().output())?))
    }

    /// Runs up to, and not including, a layer.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn run_until(&self, layer: &Layer, x: Value) -> Result<Cut, NetworkError> {
        let values = self.evaluate_until(
            BTreeMap::from([(0, x)]),
            1,
            layer.node,
            Mode::Free,
            |_, v| Ok(v),
        )?;
        let live = self.graph().frontier(layer.node);
        let input = self.graph().nodes()[layer.node].sources[0];
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
        let mut values =
            self.evaluate(cut.live.clone(), cut.node, Mode::Free, |_, value| Ok(value))?;
        take(&mut values, self.graph().output())
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
        let mut values = self.evaluate(start, cut.node + 1, mode, |id, value| {
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
        let values = self.evaluate(start, cut.node + 1, Mode::Free, |_, value| Ok(value))?;
        let (mut slopes, mut pieces) = (BTreeMap::new(), BTreeMap::new());
        for (id, node) in self.graph().nodes().iter().enumerate().skip(cut.node + 1) {
            let no_piece = |example| NetworkError::NoLinearPiece {
                node: node.name.clone(),
                op: node.op.name().to_owned(),
                example,
            };
            match &node.op {
                Op::Input | Op::Linear(_) => {}
                Op::Softmax => return Err(no_piece(0)),
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
            }
        }
        Ok(Pattern { slopes, pieces })
    }

    /// Evaluates the nodes from `first` on; `visit` may replace each value.
    pub(crate) fn evaluate(
        &self,
        values: BTreeMap<NodeId, Value>,
        first: NodeId,
        mode: Mode<'_>,
        visit: impl FnMut(NodeId, Value) -> Result<Value, NetworkError>,
    ) -> Result<BTreeMap<NodeId, Value>, NetworkError> {
        self.evaluate_until(values, first, self.graph().nodes().len(), mode, visit)
    }

    fn evaluate_until(
        &self,
        mut values: BTreeMap<NodeId, Value>,
        first: NodeId,
        end: NodeId,
        mode: Mode<'_>,
        mut visit: impl FnMut(NodeId, Value) -> Result<Value, NetworkError>,
    ) -> Result<BTreeMap<NodeId, Value>, NetworkError> {
        for id in first..end {
            let value = self.apply(id, &values, mode)?;
            values.insert(id, visit(id, value)?);
        }
        Ok(values)
    }

    fn apply(
        &self,
        id: NodeId,
        values: &BTreeMap<NodeId, Value>,
        mode: Mode<'_>,
    ) -> Result<Value, NetworkError> {
        let node = &self.graph().nodes()[id];
        let source = |position: usize| get(values, node.sources[position]);
        match (&node.op, mode) {
            (Op::Input, _) => get(values, id).cloned(),
            (Op::Linear(op), _) => {
                let (weight, bias) = self.weights(&op.weight, &op.bias)?;
                linear::forward(source(0)?, weight, bias, &node.name)
            }
            (Op::Activation(_), Mode::Frozen(pattern)) => {
                let slopes = get(&pattern.slopes, id)?;
                source(0)?.clone().mul(slopes.clone(), &node.name)
            }
            (Op::Activation(activation), Mode::Free) => Ok(activation.forward(source(0)?)),
            (Op::Softmax, Mode::Free) => Ok(softmax::forward(source(0)?)),
            (Op::Softmax, Mode::Frozen(_)) => Err(NetworkError::NoLinearPiece {
                node: node.name.clone(),
                op: node.op.name().to_owned(),
                example: 0,
            }),
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
