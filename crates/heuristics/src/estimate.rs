//! The first-order repair of a layer: what it costs, breaks and moves.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par, Side};
use network::{Activation, Layer, Mode, NodeId, Op};
use repair::{
    Affine, Change, GuardMoments, MAX_MEMORY, Metric, RepairError, RepairSet, State, Suffix,
    first_order,
};

use crate::HeuristicError;
use crate::collect::Stopwatch;
use crate::probe::Probe;
use crate::statistics::{FirstOrderStatistics, Measured, Phase, Subject};

/// How far from its bound an inequality may land to count as met.
const LANDING: f64 = 1e-2;
/// Points whose activations behind a layer are compared at once.
const CHUNK: usize = 4;
/// Size of an eigenvalue, relative to the largest, below which it counts as this.
const EIGENVALUE_FLOOR: f64 = 1e-15;

/// The guard inputs at which repairs are measured, if that is wanted.
pub(crate) fn guard_probe<'a>(subject: &Subject<'a>) -> Result<Option<Probe<'a>>, HeuristicError> {
    if !subject.wants(Phase::Measured) {
        return Ok(None);
    }
    let (inputs, labels) = subject.measured_guard();
    Probe::of(subject.network, inputs, subject.guard_shape, labels).map(Some)
}

/// The first-order repair of `layer`, if it has a finite cost, and log₁₀ cond(K).
pub(crate) fn estimate(
    subject: &Subject<'_>,
    layer: &Layer,
    guard: Option<&Probe<'_>>,
    watch: &mut Stopwatch,
) -> Result<(Option<FirstOrderStatistics>, f64), HeuristicError> {
    let layers = std::slice::from_ref(layer);
    let suffix = Suffix::new(subject.network, layers, subject.set, false)?;
    let metric = match Metric::guarded(suffix.layers(), subject.moments, subject.damping) {
        // Without a metric there is no repair to first order.
        Err(RepairError::Metric { .. }) => {
            watch.lap(Phase::FirstOrder);
            return Ok((None, -EIGENVALUE_FLOOR.log10()));
        }
        metric => metric?,
    };
    let found = first_order(&suffix, &metric, subject.set, MAX_MEMORY)?;
    let guard_change = guard_change(subject.moments, &suffix.layers()[0], &found.change)?;
    watch.lap(Phase::FirstOrder);
    // An infinite cost comes with no change: its other numbers would look like the best.
    let statistics = if found.cost.is_finite() {
        let broken_pieces = match subject.wants(Phase::Pattern) {
            true => broken_pieces(&suffix, &found.change)?,
            false => None,
        };
        watch.lap(Phase::Pattern);
        let measure = |guard| measure(&suffix, &found.change, subject.set, guard);
        let measured = guard.map(measure).transpose()?;
        Some(FirstOrderStatistics {
            cost: found.cost,
            typical_cost: median(found.alone),
            guard_change,
            broken_pieces,
            measured,
        })
    } else {
        None
    };
    watch.lap(Phase::Measured);
    let log_condition = log_condition(&found.kernel, layer)?;
    watch.lap(Phase::Conditioning);
    Ok((statistics, log_condition))
}

/// The network with a change in place, at guard inputs and at the repair points.
fn measure(
    suffix: &Suffix<'_>,
    change: &Change,
    set: &RepairSet,
    guard: &Probe<'_>,
) -> Result<Measured, HeuristicError> {
    let moved = suffix.at(Some(change))?;
    let violations = |state: &State| -> Result<Vec<f64>, HeuristicError> {
        Ok(set.violations(&suffix.outputs(state, Mode::Free)?))
    };
    let (before, after) = (violations(&suffix.at(None)?)?, violations(&moved)?);
    // A step that the network follows to first order lands on the bound.
    let met = after.iter().filter(|&&violation| violation <= LANDING);
    let [sum_before, sum_after] = [&before, &after].map(|v| v.iter().sum::<f64>());
    Ok(Measured {
        guard: guard.effects(moved.network())?,
        efficacy: met.count() as f64 / set.len().max(1) as f64,
        progress: 1.0 - sum_after / sum_before.max(f64::MIN_POSITIVE),
    })
}

/// The middle one of some numbers, the larger of two; 0 without any.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

/// Σ tr(G Δ A Δᵀ) over the groups, the undamped guard metric of a change.
fn guard_change(
    moments: &GuardMoments,
    affine: &Affine,
    change: &Change,
) -> Result<f64, HeuristicError> {
    let (p, width) = (affine.group_outputs(), affine.width());
    let matrix = affine.matrix(change);
    let groups = matrix.chunks_exact((p * width).max(1));
    let found = moments.layer(affine.layer())?.groups.iter().zip(groups);
    let sum = found.map(|(moments, entries)| {
        let delta = MatRef::from_row_major_slice(entries, p, width);
        let moved = product(delta, moments.inputs.as_ref());
        let inner = product(moved.as_ref(), delta.transpose());
        product(moments.outputs.as_ref(), inner.as_ref())
            .diagonal()
            .column_vector()
            .sum()
    });
    Ok(sum.sum())
}

fn product(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let mut product = Mat::zeros(left.nrows(), right.ncols());
    matmul(product.as_mut(), Accum::Replace, left, right, 1.0, Par::Seq);
    product
}

/// Share of the units behind the layer, over the repair points, whose linear
/// piece the change leaves; a point between pieces (Hardswish) has left them.
/// `None` when an activation has no pieces.
fn broken_pieces(suffix: &Suffix<'_>, change: &Change) -> Result<Option<f64>, HeuristicError> {
    let nodes = &suffix.network().graph().nodes()[suffix.layer().node + 1..];
    let behind: Vec<(NodeId, Activation)> = nodes
        .iter()
        .filter_map(|node| match node.op {
            Op::Activation(activation) => Some((node.sources[0], activation)),
            _ => None,
        })
        .collect();
    if behind
        .iter()
        .any(|(_, activation)| !activation.has_linear_pieces())
    {
        return Ok(None);
    }
    let sources: Vec<NodeId> = behind.iter().map(|&(source, _)| source).collect();
    let [before, after] = [suffix.at(None)?, suffix.at(Some(change))?];
    let (mut units, mut broken) = (0usize, 0usize);
    for first in (0..suffix.points()).step_by(CHUNK) {
        let points = first..(first + CHUNK).min(suffix.points());
        let values = |state| suffix.evaluate(state, Some(points.clone()), Mode::Free, &sources);
        let (before, after) = (values(&before)?, values(&after)?);
        for (source, activation) in &behind {
            for (&z, &moved) in before[source].iter().zip(&after[source]) {
                let piece = activation.piece(z);
                units += 1;
                broken += usize::from(piece.is_none() || piece != activation.piece(moved));
            }
        }
    }
    Ok(Some(broken as f64 / units.max(1) as f64))
}

/// log₁₀ of the condition number of a kernel, at most -log₁₀ of the floor.
fn log_condition(kernel: &[f64], layer: &Layer) -> Result<f64, HeuristicError> {
    let rows = kernel.len().isqrt();
    let kernel = MatRef::from_row_major_slice(kernel, rows, rows);
    let values =
        kernel
            .self_adjoint_eigenvalues(Side::Lower)
            .map_err(|_| HeuristicError::Eigenvalues {
                matrix: "kernel",
                layer: layer.name.clone(),
            })?;
    let largest = values.iter().copied().fold(0.0, f64::max);
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    // A zero kernel is as singular as one can be.
    let ratio = if largest > 0.0 { least / largest } else { 0.0 };
    Ok(-ratio.max(EIGENVALUE_FLOOR).log10())
}
