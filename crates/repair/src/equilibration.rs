//! Metrics in which features and sensitivities have similar sizes.
//!
//! A row Σ_t δ_t ⊗ φ_t whose features or outputs differ by orders of magnitude makes kernel
//! matrices in which the large ones drown the small ones. With the sizes
//!
//! ```text
//! a_j² = Σ φ_j² over the points' positions        g_o² = Σ δ_o² over the points' positions
//! ```
//!
//! in the coordinates of a metric A ⊗ G, and D_j = max(1, a_j / (a_max / ρ)), E_o likewise from g,
//! the factors L_A D and L_G E leave no feature above a share 1/ρ of what the largest was. An entry of
//! the change that a large feature multiplies costs next to nothing before and after, so that the
//! minimum hardly moves, while ρ² fewer digits of the others are lost.
//!
//! With D = diag(a) and E = diag(g) in the Euclidean metric all sizes are equal: the rows are those of
//! the same problem in ordinary units. Its columns are entries of the tensors, each scaled by
//! itself: whether rows contradict each other can be told in it whatever is to be minimised.

use crate::affine::Affine;
use crate::metric::{Block, Metric};
use crate::suffix::{PointTarget, State, Suffix};
use crate::{RepairError, RepairSet};

/// Share of the memory for the sensitivities of one pass.
const SENSITIVITY_SHARE: f64 = 0.25;
/// Positions of a point that are whitened: sizes are wanted, not sums.
const LOOKED_AT: usize = 8;

/// Sizes per group of one layer: of its features and of its outputs' sensitivities.
type Sizes = Vec<[Vec<f64>; 2]>;

/// The sizes of features and sensitivities of every edited layer, in the coordinates of a metric.
#[derive(Clone, Debug)]
pub(crate) struct Equilibration {
    metric: Metric,
    layers: Vec<Sizes>,
}

impl Equilibration {
    /// Measures the layers of a suffix at the original weights, with the sensitivities of the
    /// tightest inequality of each point.
    ///
    /// # Errors
    /// [`RepairError::Network`].
    pub(crate) fn new(
        suffix: &Suffix<'_>,
        metric: Metric,
        set: &RepairSet,
        outputs: &[f64],
        max_memory: usize,
    ) -> Result<Self, RepairError> {
        let state = suffix.at(None)?;
        let zeros = |affine: &Affine| {
            let group = [affine.width(), affine.group_outputs()].map(|n| vec![0.0; n]);
            vec![group; affine.groups()]
        };
        let mut layers: Vec<Sizes> = suffix.layers().iter().map(zeros).collect();
        let targets = tightest(suffix, set, outputs);
        let numbers = 8 * suffix.sensitivity_numbers(&state).max(1);
        let chunk = SENSITIVITY_SHARE * max_memory as f64 / numbers as f64;
        for targets in targets.chunks((chunk as usize).clamp(1, 2048)) {
            add(suffix, &state, &metric, targets, &mut layers)?;
        }
        for sum in layers.iter_mut().flatten().flatten().flatten() {
            *sum = match sum.sqrt() {
                root if root.is_normal() => root,
                // Nothing was seen that could be large.
                _ => 0.0,
            };
        }
        Ok(Self { metric, layers })
    }

    /// The metric in which no size exceeds a share 1/`ratio` of the largest one, where they
    /// differ by more than that.
    pub(crate) fn capped(&self, ratio: f64) -> Metric {
        self.scaled(|sizes| {
            let cap = match spread(sizes) > ratio {
                true => largest(sizes) / ratio,
                false => f64::INFINITY,
            };
            let factors = sizes.iter().map(|&size| size / cap);
            factors
                .map(|factor| if factor > 1.0 { factor } else { 1.0 })
                .collect()
        })
    }

    /// The metric in which all sizes are equal.
    pub(crate) fn equal(&self) -> Metric {
        self.scaled(|sizes| {
            let sizes = sizes.iter();
            sizes
                .map(|&size| if size > 0.0 { size } else { 1.0 })
                .collect()
        })
    }

    fn scaled(&self, factors: impl Fn(&[f64]) -> Vec<f64>) -> Metric {
        let blocks = self.metric.blocks().iter().zip(&self.layers);
        let scaled = blocks.map(|(block, groups)| {
            let diagonals = groups.iter();
            let diagonals = diagonals.map(|sizes| sizes.each_ref().map(|sizes| factors(sizes)));
            block.scaled(&diagonals.collect::<Vec<_>>())
        });
        Metric::of_blocks(scaled.collect())
    }

    /// The largest ratio of a feature to the median one, or of sensitivities, of one group.
    pub(crate) fn spread(&self) -> f64 {
        let sizes = self.layers.iter().flatten().flatten();
        sizes.map(|sizes| spread(sizes)).fold(1.0, f64::max)
    }
}

/// The ratio of the largest size to the median of those that were seen: large ones drown others,
/// a few small ones do no harm.
fn spread(sizes: &[f64]) -> f64 {
    let mut seen: Vec<f64> = sizes.iter().copied().filter(|&size| size > 0.0).collect();
    seen.sort_by(f64::total_cmp);
    let lower = seen.len().saturating_sub(1) / 2;
    seen.get(lower)
        .map_or(1.0, |median| largest(sizes) / median)
}

fn largest(sizes: &[f64]) -> f64 {
    sizes.iter().copied().fold(0.0, f64::max)
}

/// The scalar of each point that is farthest from its bound.
fn tightest(suffix: &Suffix<'_>, set: &RepairSet, outputs: &[f64]) -> Vec<PointTarget> {
    let output = suffix.network().graph().output();
    let classes = outputs.len() / set.len().max(1);
    let points = set.points.iter().enumerate();
    let targets = points.filter_map(|(point, inequalities)| {
        let values = &outputs[point * classes..(point + 1) * classes];
        let slack = |index: &usize| inequalities[*index].slack(values);
        let worst = (0..inequalities.len()).min_by(|a, b| slack(a).total_cmp(&slack(b)))?;
        Some(PointTarget {
            point,
            target: network::Target {
                node: output,
                selector: inequalities[worst].terms.clone(),
            },
        })
    });
    targets.collect()
}

/// Adds the squares of some points' features and sensitivities.
fn add(
    suffix: &Suffix<'_>,
    state: &State,
    metric: &Metric,
    targets: &[PointTarget],
    layers: &mut [Sizes],
) -> Result<(), RepairError> {
    let sensitivities = suffix.sensitivities(state, targets, None)?;
    for (target, deltas) in targets.iter().zip(sensitivities) {
        let features = suffix.features(state, target.point)?;
        let parts = suffix.layers().iter().zip(metric.blocks());
        let numbers = features.iter().zip(&deltas);
        for (((affine, block), (features, delta)), sums) in parts.zip(numbers).zip(&mut *layers) {
            for (group, [inputs, outputs]) in sums.iter_mut().enumerate() {
                let rows = features.group(group);
                for row in rows.row_iter().step_by(step(block, rows.nrows())) {
                    let mut row: Vec<f64> = row.iter().copied().collect();
                    block.whiten_inputs(group, &mut row);
                    add_squares(inputs, &row);
                }
                let positions = affine.sensitivity(delta, group);
                let step = step(block, positions.ncols());
                for position in positions.col_iter().step_by(step) {
                    let mut position: Vec<f64> = position.iter().copied().collect();
                    block.whiten_sensitivities(group, &mut position);
                    add_squares(outputs, &position);
                }
            }
        }
    }
    Ok(())
}

/// Of how many positions one is looked at: of all where that costs nothing, else of a few.
fn step(block: &Block, positions: usize) -> usize {
    match block.is_euclidean() {
        true => 1,
        false => positions.div_ceil(LOOKED_AT).max(1),
    }
}

fn add_squares(sums: &mut [f64], numbers: &[f64]) {
    let pairs = sums.iter_mut().zip(numbers);
    pairs.for_each(|(sum, x)| *sum += x * x);
}
