//! The quadratic program over exactly the rows given, as sequential repair solves it per step.

use faer::linalg::solvers::Llt;
use faer::{Mat, Side};

use crate::error::{OptimError, check_finite, check_len};
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

/// The same program given by its kernel matrix `K = J J^T + diag(s)`, symmetric, and the
/// right-hand sides: [`RowOptimum::x`] are coordinates in which K is the Gram matrix of the rows,
/// of use for their norm alone; the caller forms J^T lambda.
///
/// # Errors
/// [`OptimError::Shape`] unless there is one right-hand side per row; numbers that are not finite.
pub fn solve_kernel(
    kernel: Mat<f64>,
    rhs: &[f64],
    limits: &Limits,
) -> Result<RowSolution, OptimError> {
    let n = rhs.len();
    check_len(n, kernel.nrows(), || "rows of the kernel matrix".into())?;
    check_finite(rhs, || "right-hand sides".into())?;
    // Rows of the Cholesky factor have K as their Gram matrix.
    let Ok(factor) = Llt::new(kernel.as_ref(), Side::Lower) else {
        return Ok(RowSolution::Stopped {
            reason: StopReason::Numerical {
                what: "factor of a kernel matrix".into(),
                residual: f64::INFINITY,
            },
            multipliers: vec![0.0; n],
        });
    };
    let shape = Shape {
        outputs: 1,
        inputs: n,
        tail: 0,
    };
    let mut inputs = Inputs::new(n);
    let rows: Vec<Row> = (0..n)
        .map(|id| Row {
            id,
            input: inputs.push(factor.L().row(id).iter().copied().collect()),
            sensitivity: vec![1.0],
            tail: Vec::new(),
            rhs: rhs[id],
            softness: 0.0,
        })
        .collect();
    solve_rows(&shape, &inputs, &rows, None, limits)
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
