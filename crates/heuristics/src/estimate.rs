//! The first-order repair of a layer: what it costs, breaks and moves.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};
use network::{Activation, Layer, Mode, NodeId, Op};
use repair::{Change, GuardMoments, Metric, Suffix, first_order};

use crate::HeuristicError;
use crate::collect::Stopwatch;
use crate::statistics::{FirstOrderStatistics, Phase, Subject};

/// Size of an eigenvalue, relative to the largest, below which it counts as this.
const EIGENVALUE_FLOOR: f64 = 1e-15;

/// The first-order repair of `layer`, if it has a finite cost, and log₁₀ cond(K).
pub(crate) fn estimate(
    subject: &Subject<'_>,
    layer: &Layer,
    watch: &mut Stopwatch,
) -> Result<(Option<FirstOrderStatistics>, f64), HeuristicError> {
    let suffix = Suffix::new(subject.network, layer, &subject.set.inputs, false)?;
    let metric = Metric::guarded(layer, &[], subject.moments, subject.damping)?;
    let found = first_order(&suffix, &metric, subject.set)?;
    let guard_change = guard_change(subject.moments, layer, &found.change);
    watch.lap(Phase::FirstOrder);
    // An infinite cost comes with no change: its other numbers would look like the best.
    let statistics = if found.cost.is_finite() {
        let broken_pieces = broken_pieces(&suffix, &found.change)?;
        Some(FirstOrderStatistics {
            cost: found.cost,
            guard_change,
            broken_pieces,
        })
    } else {
        None
    };
    watch.lap(Phase::Pattern);
    let log_condition = log_condition(&found.kernel, layer)?;
    watch.lap(Phase::Conditioning);
    Ok((statistics, log_condition))
}

/// tr(G Δ A Δᵀ), the undamped guard metric of a change.
fn guard_change(moments: &GuardMoments, layer: &Layer, change: &Change) -> f64 {
    let moments = &moments.layers[layer.index];
    let (p, m) = (layer.outputs, layer.inputs + 1);
    let entries: Vec<f64> = change.interleaved().take(p * m).collect();
    let delta = MatRef::from_row_major_slice(&entries, p, m);
    let mut product = vec![0.0; p * m];
    let mut right = MatMut::from_row_major_slice_mut(&mut product, p, m);
    matmul(
        right.as_mut(),
        Accum::Replace,
        delta,
        moments.inputs.as_ref(),
        1.0,
        Par::Seq,
    );
    let mut inner = Mat::<f64>::zeros(p, p);
    matmul(
        inner.as_mut(),
        Accum::Replace,
        right.as_ref(),
        delta.transpose(),
        1.0,
        Par::Seq,
    );
    (0..p)
        .map(|i| {
            (0..p)
                .map(|j| moments.outputs[(i, j)] * inner[(j, i)])
                .sum::<f64>()
        })
        .sum()
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
    let before = suffix.evaluate(None, Mode::Free, &sources)?;
    let after = suffix.evaluate(Some(change), Mode::Free, &sources)?;
    let (mut units, mut broken) = (0usize, 0usize);
    for (source, activation) in behind {
        for (&z, &moved) in before[&source].iter().zip(&after[&source]) {
            let piece = activation.piece(z);
            units += 1;
            broken += usize::from(piece.is_none() || piece != activation.piece(moved));
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
