//! The quadratic program over exactly the rows given, as sequential repair solves it per step.

use crate::error::OptimError;
use crate::master::{Master, MasterOutcome};
use crate::rows::{Inputs, Row, Shape, Unknown};
use crate::solution::{Farkas, Limits, StopReason};

/// Outcome of [`solve_rows`].
#[derive(Clone, Debug)]
pub enum RowSolution {
    /// The optimum.
    Optimal(RowOptimum),
    /// The hard rows contradict each other.
    Infeasible(Farkas),
    /// Neither; the multipliers reached so far, one per row, can start another solve.
    Stopped {
        /// Why it stopped.
        reason: StopReason,
        /// Multipliers >= 0.
        multipliers: Vec<f64>,
    },
}

/// The optimum over listed rows.
#[derive(Clone, Debug)]
pub struct RowOptimum {
    /// The minimiser.
    pub x: Unknown,
    /// One multiplier per row, in the order given; the start of the next, similar solve.
    pub multipliers: Vec<f64>,
    /// One slack xi_r = s_r lambda_r per row; 0 for hard rows.
    pub slacks: Vec<f64>,
    /// 1/2 ||x||^2 + sum_r xi_r^2 / (2 s_r).
    pub objective: f64,
    /// Value of the dual solution.
    pub lower_bound: f64,
    /// Largest b_r - a_r . x - xi_r, re-checked at the end.
    pub worst_violation: f64,
    /// Rows with a positive multiplier.
    pub active: usize,
}

/// Minimises 1/2 ||x||^2 + sum_r xi_r^2 / (2 s_r) subject to a_r . x + xi_r >= b_r over `rows`,
/// starting from the multipliers `warm` (one per row) if given.
///
/// # Errors
/// A row that does not fit, or two with one identifier ([`OptimError::DuplicateRow`]); a warm
/// start of another length.
pub fn solve_rows(
    shape: &Shape,
    inputs: &Inputs,
    rows: &[Row],
    warm: Option<&[f64]>,
    limits: &Limits,
) -> Result<RowSolution, OptimError> {
    let mut master = Master::new(*shape, inputs.clone());
    for row in rows {
        if !master.push(row.clone())? {
            return Err(OptimError::DuplicateRow { row: row.id });
        }
    }
    if let Some(multipliers) = warm {
        master.warm_start(multipliers)?;
    }
    Ok(match master.solve(limits)? {
        MasterOutcome::Optimal => RowSolution::Optimal(optimum(&master)),
        MasterOutcome::Rounded { residual } => RowSolution::Stopped {
            reason: StopReason::Numerical {
                what: "violation that rounding leaves".into(),
                residual,
            },
            multipliers: master.lambda(),
        },
        MasterOutcome::Infeasible(proof) => RowSolution::Infeasible(proof),
        MasterOutcome::Stopped(reason) => RowSolution::Stopped {
            reason,
            multipliers: master.lambda(),
        },
    })
}

fn optimum(master: &Master) -> RowOptimum {
    let multipliers = master.lambda();
    let slacks = master.rows().iter().zip(&multipliers);
    let slacks = slacks.map(|(row, lambda)| row.softness * lambda).collect();
    let violations = master.violations().into_iter();
    RowOptimum {
        x: master.x(),
        slacks,
        objective: master.objective(),
        lower_bound: master.lower_bound(),
        worst_violation: violations.fold(f64::NEG_INFINITY, f64::max),
        active: master.active(),
        multipliers,
    }
}
