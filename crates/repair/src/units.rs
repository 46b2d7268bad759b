//! The unit of every row: the size of what it compares.
//!
//! How far beyond its bound a row is kept, and how exactly it is solved, make sense relative to
//! the numbers that it compares: a unit whose values are 1e-8 is not moved by 1e-5 for safety's
//! sake, and logits of 1e6 are not known to 1e-7. Rows are therefore divided by a unit, 1 for
//! ordinary sizes, so that the solver's tolerances mean the same for all of them.

use std::collections::BTreeMap;
use std::ops::Range;

use network::{LayerKind, Mode, NodeId, Pattern};

use crate::suffix::{State, Suffix};
use crate::{RepairError, RepairSet};

/// The size up to which safety and tolerance are absolute: they were tuned on logits and
/// pre-activations between 1 and 50.
const LARGEST_ORDINARY: f64 = 50.0;

/// The unit of a row that compares numbers of this size.
pub(crate) fn unit(size: f64) -> f64 {
    match size {
        size if size > LARGEST_ORDINARY => size / LARGEST_ORDINARY,
        // Zeros tell no size, and the reciprocal of a subnormal number may overflow.
        size if size > f64::MIN_POSITIVE && size < 1.0 => size,
        _ => 1.0,
    }
}

/// The size of the outputs and of what they are compared with.
pub(crate) fn output_size(outputs: &[f64], set: &RepairSet) -> f64 {
    let bounds = set.points.iter().flatten().map(|row| row.bound);
    largest(outputs.iter().copied().chain(bounds))
}

fn largest(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.map(f64::abs).fold(0.0, f64::max)
}

/// The units of all rows of a frozen pattern.
#[derive(Clone, Debug, Default)]
pub(crate) struct Units {
    /// Of specification rows.
    pub(crate) specification: f64,
    /// Of the sign rows of each unit of one point, per activation.
    pub(crate) signs: BTreeMap<NodeId, Vec<f64>>,
    /// Of the window rows of each max-pool.
    pub(crate) windows: BTreeMap<NodeId, f64>,
}

impl Units {
    /// Measures the network at a state, some points at a time.
    ///
    /// # Errors
    /// [`RepairError::Network`].
    pub(crate) fn new(
        suffix: &Suffix<'_>,
        state: &State,
        pattern: &Pattern,
        set: &RepairSet,
        chunks: impl Iterator<Item = Range<usize>>,
    ) -> Result<Self, RepairError> {
        let nodes = suffix.network().graph().nodes();
        let source = |node: &NodeId| nodes[*node].sources[0];
        let output = suffix.network().graph().output();
        let frozen = pattern.pieces().keys().chain(pattern.pools().keys());
        let mut wanted: Vec<NodeId> = frozen.map(source).chain([output]).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let lengths = wanted
            .iter()
            .map(|&node| Ok((node, Lengths::of(suffix, node)?)))
            .collect::<Result<BTreeMap<NodeId, Lengths>, RepairError>>()?;
        // The largest value of each node, and the largest relative to its weights.
        let mut sizes: BTreeMap<NodeId, [f64; 2]> = BTreeMap::new();
        let mut widths: BTreeMap<NodeId, usize> = BTreeMap::new();
        for points in chunks {
            let count = points.len();
            for (node, values) in suffix.evaluate(state, Some(points), Mode::Free, &wanted)? {
                let width = values.len() / count.max(1);
                let [size, share] = sizes.entry(node).or_default();
                *size = size.max(largest(values.iter().copied()));
                let of_weights = values.chunks_exact(width.max(1)).flat_map(|point| {
                    let units = point.iter().zip(lengths[&node].of_units(width));
                    units.filter(|(_, length)| *length > 0.0)
                });
                *share = share.max(largest(of_weights.map(|(z, length)| z / length)));
                widths.insert(node, width);
            }
        }
        let size = |node: NodeId| sizes.get(&node).copied().unwrap_or_default();
        let of_units = |node: &NodeId| {
            let source = source(node);
            let width = widths.get(&source).copied().unwrap_or_default();
            let [size, share] = size(source);
            let units = match lengths[&source].channels.is_empty() {
                true => vec![unit(size); width],
                false => {
                    let units = lengths[&source].of_units(width);
                    units.map(|length| unit(length * share)).collect()
                }
            };
            (*node, units)
        };
        Ok(Self {
            specification: unit(output_size(&[size(output)[0]], set)),
            signs: pattern.pieces().keys().map(of_units).collect(),
            windows: pattern
                .pools()
                .keys()
                .map(|node| (*node, unit(size(source(node))[0])))
                .collect(),
        })
    }
}

/// The Euclidean norm of the weights and the bias that make each channel of a node; empty for
/// what is no weight-bearing sum. A unit that is scaled has weights that are scaled as it is,
/// while a single value may be near zero by chance.
#[derive(Clone, Debug, Default)]
struct Lengths {
    channels: Vec<f64>,
    /// Whether channels are the last axis of a value, not the first.
    last: bool,
}

impl Lengths {
    fn of(suffix: &Suffix<'_>, node: NodeId) -> Result<Self, RepairError> {
        let network = suffix.network();
        let sums = [LayerKind::Linear, LayerKind::Conv2d];
        let mut layers = network.layers().iter();
        let found = layers.find(|layer| layer.node == node && sums.contains(&layer.kind));
        let Some(layer) = found else {
            return Ok(Self::default());
        };
        let weight = network.tensor(&layer.weight)?;
        let reads = (weight.len() / layer.outputs.max(1)).max(1);
        let mut squares: Vec<f64> = weight
            .chunks_exact(reads)
            .map(|row| row.iter().map(|w| w * w).sum())
            .collect();
        if let Some(bias) = &layer.bias {
            let bias = network.tensor(bias)?;
            let sums = squares.iter_mut().zip(bias);
            sums.for_each(|(sum, b)| *sum += b * b);
        }
        Ok(Self {
            channels: squares.into_iter().map(f64::sqrt).collect(),
            last: layer.kind == LayerKind::Linear,
        })
    }

    /// The length of each of `width` units of a point.
    fn of_units(&self, width: usize) -> impl Iterator<Item = f64> + '_ {
        let channels = self.channels.len().max(1);
        let positions = (width / channels).max(1);
        (0..width).filter_map(move |unit| {
            let channel = match self.last {
                true => unit % channels,
                false => unit / positions,
            };
            self.channels.get(channel).copied()
        })
    }
}
