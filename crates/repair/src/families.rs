//! The rows of a frozen-pattern repair: their families, how their identifiers are laid out, and what is
//! known of one.

use network::{Network, NodeId, Pattern};
use optim::Shape;

use crate::RepairSet;

/// Where the identifiers of each family of rows begin.
pub(crate) struct Families {
    /// First inequality of each point.
    pub(crate) specification: Vec<usize>,
    /// One family per frozen activation.
    pub(crate) signs: Vec<Family>,
    /// One family per frozen max-pool.
    pub(crate) windows: Vec<Family>,
    /// First box row; two per entry of the unknown.
    pub(crate) boxes: usize,
    /// Number of rows.
    pub(crate) total: usize,
    /// Values of one point that the rows read.
    pub(crate) units: usize,
}

/// The rows of one frozen node.
pub(crate) struct Family {
    /// The activation or max-pool.
    pub(crate) node: NodeId,
    /// What it reads.
    pub(crate) source: NodeId,
    /// First identifier.
    pub(crate) first: usize,
    /// Units or windows of one point.
    pub(crate) width: usize,
    /// Identifiers per unit or window.
    pub(crate) members: usize,
}

/// Which row it is.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Specification {
        point: usize,
        inequality: usize,
    },
    Sign {
        point: usize,
        family: usize,
        unit: usize,
    },
    Window {
        point: usize,
        family: usize,
        /// The winner and the loser.
        units: [usize; 2],
    },
    Box {
        entry: usize,
        upper: bool,
    },
}

impl Kind {
    /// The point that the row belongs to; a box row belongs to none.
    pub(crate) fn point(self) -> Option<usize> {
        match self {
            Self::Specification { point, .. }
            | Self::Sign { point, .. }
            | Self::Window { point, .. } => Some(point),
            Self::Box { .. } => None,
        }
    }
}

/// The factors of a row: its input, sensitivity and tail.
#[derive(Clone)]
pub(crate) struct Factors {
    pub(crate) input: usize,
    pub(crate) sensitivity: Vec<f64>,
    pub(crate) tail: Vec<f64>,
    /// What both are divided by.
    pub(crate) unit: f64,
}

impl Factors {
    pub(crate) fn divided_by(mut self, unit: f64) -> Self {
        let numbers = self.sensitivity.iter_mut().chain(&mut self.tail);
        numbers.for_each(|number| *number /= unit);
        self.unit = unit;
        self
    }
}

/// A violated row before its factors are known.
pub(crate) struct Violation {
    pub(crate) id: usize,
    /// Of the row, in its unit.
    pub(crate) amount: f64,
    pub(crate) kind: Kind,
    /// What the row is divided by.
    pub(crate) unit: f64,
    /// The left side at the candidate, divided.
    pub(crate) value: f64,
    /// The right side, divided, safety included.
    pub(crate) bound: f64,
}

impl Violation {
    /// The row `value >= bound` in a unit, kept `safety` units inside its half-space.
    pub(crate) fn new(
        id: usize,
        kind: Kind,
        [value, bound]: [f64; 2],
        unit: f64,
        safety: f64,
    ) -> Self {
        let (value, bound) = (value / unit, bound / unit + safety);
        Self {
            id,
            amount: bound - value,
            kind,
            unit,
            value,
            bound,
        }
    }
}

impl Families {
    pub(crate) fn new(
        network: &Network,
        set: &RepairSet,
        pattern: &Pattern,
        box_bound: Option<f64>,
        shape: Shape,
    ) -> Self {
        let mut next = 0;
        let mut take = |count: usize| {
            next += count;
            next - count
        };
        let specification = set
            .points
            .iter()
            .map(|inequalities| take(inequalities.len()))
            .collect();
        let nodes = network.graph().nodes();
        let mut units = network.classes();
        let mut family = |node: NodeId, entries: usize, members: usize, read: usize| {
            units += read / set.len();
            Family {
                node,
                source: nodes[node].sources[0],
                first: take(entries * members),
                width: entries / set.len(),
                members,
            }
        };
        let signs = pattern
            .pieces()
            .iter()
            .map(|(&node, pieces)| family(node, pieces.len(), 1, pieces.len()))
            .collect();
        let windows = pattern
            .pools()
            .iter()
            .map(|(&node, winners)| {
                let losers = winners.members().saturating_sub(1);
                family(node, winners.len(), losers, winners.len() * (losers + 1))
            })
            .collect();
        let boxes = take(match box_bound {
            Some(_) => 2 * shape.entries(),
            None => 0,
        });
        Self {
            specification,
            signs,
            windows,
            boxes,
            total: next,
            units,
        }
    }

    /// The nodes that some row reads.
    pub(crate) fn wanted(&self, network: &Network) -> Vec<NodeId> {
        let families = self.signs.iter().chain(&self.windows);
        let mut wanted: Vec<NodeId> = families.map(|family| family.source).collect();
        wanted.push(network.graph().output());
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// The point of a row; `None` for a box row.
    pub(crate) fn point_of(&self, row: usize) -> Option<usize> {
        let families = self.signs.iter().chain(&self.windows);
        let first = families.clone().map(|family| family.first).min();
        if row < first.unwrap_or(self.boxes) {
            let after = self.specification.partition_point(|&first| first <= row);
            return after.checked_sub(1);
        }
        if row >= self.boxes {
            return None;
        }
        let family = families
            .filter(|family| family.first <= row)
            .max_by_key(|family| family.first)?;
        Some((row - family.first) / (family.width * family.members).max(1))
    }
}
