//! Activation patterns: one linear piece of the network per example.
//!
//! A pattern holds, behind a layer and for every example, on which of its two
//! linear pieces every unit of an activation lies, and which member wins every
//! window of a max-pool. With the pattern frozen the network is
//!
//! ```text
//! activation   y_u = slope_u · z_u         while side_u · z_u >= bound_u
//! max-pool     y_w = z_winner(w)           while z_winner(w) >= z_t for every loser t of w
//! ```
//!
//! so every value is affine in the layer's output, and is the network's as long
//! as the conditions on the right hold (Tao, Nawas, Mitchell & Thakur, PLDI 2023,
//! section 4). A unit takes one byte, a window four.

use std::collections::BTreeMap;
use std::ops::Index;
use std::sync::Arc;

use crate::forward::{Cut, Keep, Mode};
use crate::network::Network;
use crate::ops::pool;
use crate::{Device, NetworkError, Node, NodeId, Op, Piece, Precision, Value};
use model::MaxPool;

/// The linear piece of every activation and the winner of every max-pool window
/// behind a layer, per example.
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    pieces: BTreeMap<NodeId, Pieces>,
    pools: BTreeMap<NodeId, Winners>,
}

/// The linear pieces of an activation node, example-major: entry
/// `example · width + unit` belongs to that unit of the node's source.
#[derive(Clone, Debug)]
pub struct Pieces {
    /// The left piece and the right one.
    sides: [Piece; 2],
    /// Per example, whether a unit is on the right one.
    right: Vec<Arc<[bool]>>,
    /// Extents of one example.
    shape: Vec<usize>,
}

/// The winners of a max-pool node, example-major: entry `example · width + window`
/// belongs to that window, windows in the order of the node's output
/// `[channels, h', w']`.
#[derive(Clone, Debug)]
pub struct Winners {
    pool: MaxPool,
    /// Per example, positions in their planes.
    positions: Vec<Arc<[u32]>>,
    channels: usize,
    /// Height and width of a plane.
    input: [usize; 2],
}

impl Pattern {
    /// The activation nodes with their pieces.
    pub fn pieces(&self) -> &BTreeMap<NodeId, Pieces> {
        &self.pieces
    }

    /// The max-pool nodes with their winners.
    pub fn pools(&self) -> &BTreeMap<NodeId, Winners> {
        &self.pools
    }

    /// The pattern of the examples at `indices` (repeats allowed), in that order; it shares
    /// their memory with this one.
    pub fn select(&self, indices: &[usize]) -> Self {
        let pieces = self.pieces.iter().map(|(&id, pieces)| {
            let chosen = Pieces {
                sides: pieces.sides,
                right: indices.iter().map(|&i| pieces.right[i].clone()).collect(),
                shape: pieces.shape.clone(),
            };
            (id, chosen)
        });
        let pools = self.pools.iter().map(|(&id, winners)| {
            let positions = indices.iter().map(|&i| winners.positions[i].clone());
            let chosen = Winners {
                pool: winners.pool,
                positions: positions.collect(),
                channels: winners.channels,
                input: winners.input,
            };
            (id, chosen)
        });
        Self {
            pieces: pieces.collect(),
            pools: pools.collect(),
        }
    }

    /// The number of examples; `None` of a pattern without activations and max-pools, which is
    /// that of every batch.
    pub(crate) fn examples(&self) -> Option<usize> {
        let pieces = self.pieces.values().map(|pieces| pieces.right.len());
        let pools = self.pools.values().map(|winners| winners.positions.len());
        pieces.chain(pools).next()
    }

    /// The frozen value of a node from that of its source; `None` for a node that is not frozen.
    pub(crate) fn forward(
        &self,
        node: NodeId,
        x: Value,
        device: &Device,
        precision: Precision,
        at: &str,
    ) -> Option<Result<Value, NetworkError>> {
        if let Some(pieces) = self.pieces.get(&node) {
            let slopes = pieces.slopes(device, precision);
            return Some(slopes.and_then(|slopes| x.mul(slopes, at)));
        }
        let winners = self.pools.get(&node)?;
        let positions = winners.positions.iter().flat_map(|example| example.iter());
        let positions = positions.map(|&position| i64::from(position)).collect();
        Some(pool::gather(&winners.pool, x, positions, at))
    }

    /// Freezes a node where its source has the value `z`; `first` is the first example's index.
    pub(crate) fn freeze(
        &mut self,
        id: NodeId,
        node: &Node,
        z: &Value,
        first: usize,
    ) -> Result<(), NetworkError> {
        let shape = z.shape();
        match &node.op {
            Op::Activation(activation) => {
                let sides = activation.pieces().ok_or_else(|| no_piece(node, first))?;
                let numbers = z.to_vec()?;
                let width: usize = shape[1..].iter().product();
                let side = |(unit, &z): (usize, &f64)| match sides.map(|piece| piece.holds(z)) {
                    [_, true] => Ok(true),
                    [true, false] => Ok(false),
                    [false, false] => Err(no_piece(node, first + unit / width)),
                };
                let right = numbers.iter().enumerate().map(side);
                let right: Vec<bool> = right.collect::<Result<_, _>>()?;
                let pieces = Pieces {
                    sides,
                    right: right.chunks(width.max(1)).map(Arc::from).collect(),
                    shape: shape[1..].to_vec(),
                };
                self.pieces.insert(id, pieces);
            }
            Op::MaxPool(op) => {
                let positions = pool::winners(op, z, &node.name)?;
                let width = positions.len() / shape[0].max(1);
                let winners = Winners {
                    pool: *op,
                    positions: positions.chunks(width.max(1)).map(Arc::from).collect(),
                    channels: shape[1],
                    input: [shape[2], shape[3]],
                };
                self.pools.insert(id, winners);
            }
            _ => {}
        }
        Ok(())
    }

    /// Appends the examples of another batch.
    fn append(&mut self, other: Self) {
        for (id, pieces) in other.pieces {
            match self.pieces.get_mut(&id) {
                Some(own) => own.right.extend(pieces.right),
                None => drop(self.pieces.insert(id, pieces)),
            }
        }
        for (id, winners) in other.pools {
            match self.pools.get_mut(&id) {
                Some(own) => own.positions.extend(winners.positions),
                None => drop(self.pools.insert(id, winners)),
            }
        }
    }
}

impl Pieces {
    /// Units per example.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// Units of all examples.
    pub fn len(&self) -> usize {
        self.right.len() * self.width()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces, example after example.
    pub fn iter(&self) -> impl Iterator<Item = &Piece> {
        let sides = self.right.iter().flat_map(|example| example.iter());
        sides.map(|&right| &self.sides[usize::from(right)])
    }

    /// The slopes, `[examples, ..]`.
    fn slopes(&self, device: &Device, precision: Precision) -> Result<Value, NetworkError> {
        let slopes: Vec<f64> = self.iter().map(|piece| piece.slope).collect();
        let mut shape = vec![self.right.len()];
        shape.extend(&self.shape);
        Value::from_numbers(slopes, &shape, device, precision)
    }
}

impl Index<usize> for Pieces {
    type Output = Piece;

    fn index(&self, entry: usize) -> &Piece {
        let width = self.width();
        &self.sides[usize::from(self.right[entry / width][entry % width])]
    }
}

impl Winners {
    /// Windows per example, over all channels.
    pub fn width(&self) -> usize {
        self.channels * self.windows()
    }

    /// Windows of all examples.
    pub fn len(&self) -> usize {
        self.positions.len() * self.width()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Members of the largest window.
    pub fn members(&self) -> usize {
        self.pool.window_members(0, self.input).count()
    }

    /// The unit of the source, `channel · h · w + row · w + column`, that wins the window of an
    /// entry.
    pub fn winner(&self, entry: usize) -> usize {
        let (example, window) = (entry / self.width(), entry % self.width());
        self.plane(window) + self.positions[example][window] as usize
    }

    /// The other units of the source in the window of an entry, ascending. In ceil mode a window
    /// at the border has fewer.
    pub fn losers(&self, entry: usize) -> impl Iterator<Item = usize> + use<> {
        let window = entry % self.width();
        let (winner, plane) = (self.winner(entry), self.plane(window));
        self.pool
            .window_members(window % self.windows(), self.input)
            .map(move |member| plane + member)
            .filter(move |&unit| unit != winner)
    }

    /// Windows of a plane.
    fn windows(&self) -> usize {
        let output = self.pool.output_size(self.input).unwrap_or_default();
        output.iter().product()
    }

    /// The first unit of the plane of a window.
    fn plane(&self, window: usize) -> usize {
        window / self.windows() * self.input.iter().product::<usize>()
    }
}

impl Network {
    /// The activation pattern behind the cut, with `z` as the layer's output.
    ///
    /// # Errors
    /// [`NetworkError::NoLinearPiece`] when an activation has none there;
    /// [`NetworkError::Shape`] as [`Network::forward`].
    pub fn pattern(&self, cut: &Cut, z: Value) -> Result<Pattern, NetworkError> {
        let readers = self.frozen_readers(cut.node)?;
        let start = cut.resumed(z);
        let nodes = cut.node + 1..self.graph().nodes().len();
        let parts = self.in_parts(1, start, Mode::Free, |rows, start, mode| {
            let mut pattern = Pattern::default();
            let mut freeze = |source: NodeId, z: &Value| {
                let mut readers = readers.get(&source).into_iter().flatten();
                readers.try_for_each(|&id| {
                    pattern.freeze(id, &self.graph().nodes()[id], z, rows.start)
                })
            };
            for (&source, z) in &start {
                freeze(source, z)?;
            }
            self.evaluate_nodes(start, nodes.clone(), mode, &Keep::new(), |id, value| {
                freeze(id, &value)?;
                Ok(value)
            })?;
            Ok(pattern)
        })?;
        let mut whole = Pattern::default();
        parts.into_iter().for_each(|part| whole.append(part));
        Ok(whole)
    }

    /// The activations and max-pools behind a node, under the node that they read.
    fn frozen_readers(&self, node: NodeId) -> Result<BTreeMap<NodeId, Vec<NodeId>>, NetworkError> {
        let mut readers: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
        for (id, node) in self.graph().nodes().iter().enumerate().skip(node + 1) {
            match &node.op {
                op if op.is_affine() => {}
                Op::MaxPool(_) | Op::Activation(_) => {
                    readers.entry(node.sources[0]).or_default().push(id);
                }
                _ => return Err(no_piece(node, 0)),
            }
        }
        Ok(readers)
    }
}

/// The error for a node that has no linear piece at an example.
pub(crate) fn no_piece(node: &Node, example: usize) -> NetworkError {
    NetworkError::NoLinearPiece {
        node: node.name.clone(),
        op: node.op.name().to_owned(),
        example,
    }
}
