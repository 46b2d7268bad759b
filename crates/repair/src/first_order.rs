//! The first-order repair: specification rows alone, linearised at the original
//! weights.
//!
//! It predicts what a repair of the layer costs without running one:
//!
//! ```text
//! min ½‖Δ‖²   subject to   slack_r(0) + a_r · Δ >= 0   for every inequality r
//! ```

use optim::{Inputs, Limits, Row, RowSolution, Unknown, solve_rows};

use crate::metric::Metric;
use crate::suffix::{PointTarget, Suffix};
use crate::{Change, RepairError, RepairSet};
use network::{Mode, Target};

/// Elasticity of the rows relative to their mean curvature: dead points, whose
/// rows vanish, must not make the estimate infinite.
const SOFTNESS: f64 = 1e-6;

/// The first-order repair of one layer.
#[derive(Clone, Debug)]
pub struct FirstOrder {
    /// ½‖Δ‖² in the metric, with the penalty of elastic rows; infinite, with Δ = 0,
    /// when the rows could not be solved.
    pub cost: f64,
    /// Δ.
    pub change: Change,
    /// Price of each point.
    pub prices: Vec<f64>,
    /// The kernel `K = J M⁻¹ Jᵀ` of the tightest inequality of each point, points x points.
    pub kernel: Vec<f64>,
}

/// Solves the first-order problem of a layer in a metric.
///
/// # Errors
/// [`RepairError::Network`] and [`RepairError::Optim`].
pub fn first_order(
    suffix: &Suffix<'_>,
    metric: &Metric,
    set: &RepairSet,
) -> Result<FirstOrder, RepairError> {
    let shape = metric.shape();
    let outputs = suffix.outputs(None, Mode::Free)?;
    let classes = outputs.len() / set.len();
    let inputs = metric.inputs(suffix);
    let (mut targets, mut slacks, mut tightest) = (Vec::new(), Vec::new(), Vec::new());
    for (point, inequalities) in set.points.iter().enumerate() {
        let at = &outputs[point * classes..(point + 1) * classes];
        let first = slacks.len();
        for inequality in inequalities {
            slacks.push(inequality.slack(at));
            targets.push(PointTarget {
                point,
                target: Target {
                    node: suffix.network().graph().output(),
                    selector: inequality.terms.clone(),
                },
            });
        }
        tightest.extend((first..slacks.len()).min_by(|&r, &s| slacks[r].total_cmp(&slacks[s])));
    }
    let mut rows = Vec::with_capacity(targets.len());
    for (id, mut sensitivity) in suffix
        .sensitivities(None, &targets, None)?
        .into_iter()
        .enumerate()
    {
        metric.whiten(&mut sensitivity);
        rows.push(Row {
            id,
            input: targets[id].point,
            sensitivity: sensitivity.output,
            tail: sensitivity.later,
            rhs: -slacks[id],
            softness: 0.0,
        });
    }
    let kernel = kernel(
        &inputs,
        &tightest.iter().map(|&r| &rows[r]).collect::<Vec<_>>(),
    );
    let count = tightest.len();
    let mean = (0..count).map(|i| kernel[i * count + i]).sum::<f64>() / count.max(1) as f64;
    let unsolved = |kernel| FirstOrder {
        cost: f64::INFINITY,
        change: metric.change(&Unknown::zeros(&shape)),
        prices: vec![0.0; set.len()],
        kernel,
    };
    if mean <= 0.0 && slacks.iter().any(|&slack| slack < 0.0) {
        // No change of the layer reaches an output.
        return Ok(unsolved(kernel));
    }
    let softness = SOFTNESS * if mean > 0.0 { mean } else { 1.0 };
    rows.iter_mut().for_each(|row| row.softness = softness);
    match solve_rows(&shape, &inputs, &rows, None, &Limits::default())? {
        RowSolution::Optimal(solution) => {
            let mut prices = vec![0.0; set.len()];
            for (row, multiplier) in rows.iter().zip(&solution.multipliers) {
                prices[row.input] += multiplier;
            }
            // The dual value, which equals the primal one at the optimum.
            let linear: f64 = rows
                .iter()
                .zip(&solution.multipliers)
                .map(|(row, y)| row.rhs * y)
                .sum();
            Ok(FirstOrder {
                cost: 0.5 * linear,
                change: metric.change(&solution.x),
                prices,
                kernel,
            })
        }
        RowSolution::Infeasible(_) | RowSolution::Stopped { .. } => Ok(unsolved(kernel)),
    }
}

/// `K_rs = (h_r · h_s)(g_r · g_s) + tail_r · tail_s`
fn kernel(inputs: &Inputs, rows: &[&Row]) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let entry = |r: &Row, s: &Row| {
        let gram = dot(inputs.get(r.input), inputs.get(s.input));
        gram * dot(&r.sensitivity, &s.sensitivity) + dot(&r.tail, &s.tail)
    };
    rows.iter()
        .flat_map(|r| rows.iter().map(move |s| entry(r, s)))
        .collect()
}
