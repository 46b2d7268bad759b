//! The first-order repair: specification rows alone, linearised at the original
//! weights.
//!
//! It predicts what a repair of the layer costs without running one:
//!
//! ```text
//! min ½‖Δ‖²   subject to   slack_r(0) + a_r · Δ >= 0   for every inequality r within reach
//! ```

use std::collections::BTreeSet;

use crate::linearised::{Linearised, Settings};
use crate::metric::Metric;
use crate::suffix::Suffix;
use crate::{Change, RepairError, RepairSet};

/// The first-order repair of one layer.
#[derive(Clone, Debug)]
pub struct FirstOrder {
    /// ½‖Δ‖² in the metric, with the penalty of elastic rows; infinite, with Δ = 0,
    /// when the rows could not be solved.
    pub cost: f64,
    /// Δ.
    pub change: Change,
    /// Price of each point: the sum of the multipliers of its rows.
    pub prices: Vec<f64>,
    /// Share of each point in the cost, `½ Σ b_r λ_r` over its rows; they sum to the cost.
    pub shares: Vec<f64>,
    /// The kernel `K = J M⁻¹ Jᵀ` of the tightest inequality of each point, points x points.
    pub kernel: Vec<f64>,
    /// The cost of each point's tightest inequality alone, `½ b² / K_ii`; infinite where no change
    /// of the layer reaches it.
    pub alone: Vec<f64>,
}

/// Solves the first-order problem of the layers of `suffix` in a metric.
///
/// # Errors
/// [`RepairError::Network`] and [`RepairError::Optim`].
pub fn first_order(
    suffix: &Suffix<'_>,
    metric: &Metric,
    set: &RepairSet,
    max_memory: usize,
) -> Result<FirstOrder, RepairError> {
    let settings = Settings {
        safety: 0.0,
        unit: 1.0,
        max_memory,
        keep_zeros: false,
        start: None,
    };
    let problem = Linearised::new(suffix, metric, set, settings)?;
    let start = problem.start()?;
    let mut kept = BTreeSet::new();
    problem.choose(&start, &mut kept);
    let rows = problem.rows(&start, &kept, 0.0)?;
    let (kernel, rhs) = problem.tightest_kernel(&rows);
    let alone = |(i, &b): (usize, &f64)| match kernel[i * rhs.len() + i] {
        _ if b <= 0.0 => 0.0,
        k if k > 0.0 => 0.5 * b * b / k,
        _ => f64::INFINITY,
    };
    let alone: Vec<f64> = rhs.iter().enumerate().map(alone).collect();
    let reaches = kernel.iter().any(|&entry| entry != 0.0);
    let unsolved = FirstOrder {
        cost: f64::INFINITY,
        change: problem.change(&vec![0.0; problem.columns()]),
        prices: vec![0.0; set.len()],
        shares: vec![0.0; set.len()],
        kernel: kernel.clone(),
        alone: alone.clone(),
    };
    if !reaches && !start.satisfied() {
        // No change of the layer reaches an output.
        return Ok(unsolved);
    }
    let Ok(step) = problem.subproblem(&start, &rows, 0.0, None)? else {
        return Ok(unsolved);
    };
    // The dual value, which equals the primal one at the optimum, by points.
    let mut shares = vec![0.0; set.len()];
    let terms = rows.rhs.iter().zip(&step.multipliers);
    for (&point, (b, y)) in rows.points.iter().zip(terms) {
        shares[point] += 0.5 * b * y;
    }
    Ok(FirstOrder {
        cost: shares.iter().sum(),
        change: problem.change(&step.target),
        prices: step.prices,
        shares,
        kernel,
        alone,
    })
}
