//! The dual of the quadratic program by an interior-point method.
//!
//! ```text
//! minimise 1/2 l^T K l - b . l    subject to    l >= 0
//! ```
//!
//! It needs no factor of K_AA, so dependent rows do not disturb it; its answer is accurate to
//! about 1e-8 and starts the active-set method again from the right rows. If the rows
//! contradict each other the program is unbounded, and the ray that shows it is a candidate
//! Farkas vector.

use std::time::Instant;

use clarabel::algebra::CscMatrix;
use clarabel::solver::{DefaultSettings, DefaultSolver, IPSolver, NonnegativeConeT, SolverStatus};
use faer::MatRef;

use crate::error::OptimError;

/// Largest number of rows, whose dense kernel matrix is factored in every iteration.
pub(crate) const MAX_ROWS: usize = 4_000;

/// Bytes of the dual over this many rows: the kernel matrix, its triangle as a sparse matrix with
/// indices, and the solver's copy and factor of it.
pub(crate) fn dual_bytes(rows: usize) -> usize {
    40 * rows * rows
}

/// What the interior-point method found.
pub(crate) enum Fallback {
    /// Multipliers near the optimum.
    Multipliers(Vec<f64>),
    /// A direction along which the dual grows without bound.
    Ray(Vec<f64>),
    /// Neither; the solver's own status.
    Failed(String),
}

/// Solves the dual for a symmetric K.
pub(crate) fn solve_dual(
    kernel: MatRef<'_, f64>,
    rhs: &[f64],
    deadline: Option<Instant>,
) -> Result<Fallback, OptimError> {
    let n = rhs.len();
    let columns = (0..n).map(|c| (0..=c).map(move |r| (r, c)));
    let mut colptr = vec![0];
    let (mut rowval, mut nzval) = (Vec::new(), Vec::new());
    for column in columns {
        for (r, c) in column {
            rowval.push(r);
            nzval.push(kernel[(r, c)]);
        }
        colptr.push(rowval.len());
    }
    let quadratic = CscMatrix::new(n, n, colptr, rowval, nzval);
    let linear: Vec<f64> = rhs.iter().map(|b| -b).collect();
    // -l + slack = 0 with slack >= 0.
    let sides = CscMatrix::new(n, n, (0..=n).collect(), (0..n).collect(), vec![-1.0; n]);
    let settings = DefaultSettings {
        verbose: false,
        max_threads: 1,
        time_limit: deadline.map_or(f64::INFINITY, |end| {
            end.saturating_duration_since(Instant::now()).as_secs_f64()
        }),
        ..DefaultSettings::default()
    };
    let cones = [NonnegativeConeT(n)];
    let mut solver =
        DefaultSolver::new(&quadratic, &linear, &sides, &vec![0.0; n], &cones, settings).map_err(
            |error| OptimError::Solver {
                solver: "clarabel",
                reason: error.to_string(),
            },
        )?;
    solver.solve();
    let solution = &solver.solution;
    Ok(match solution.status {
        SolverStatus::Solved | SolverStatus::AlmostSolved => {
            Fallback::Multipliers(solution.x.clone())
        }
        SolverStatus::DualInfeasible | SolverStatus::AlmostDualInfeasible => {
            Fallback::Ray(solution.x.clone())
        }
        status => Fallback::Failed(status.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::mat;

    #[test]
    fn multipliers_satisfy_the_optimality_conditions() {
        // Row 1 is idle at lambda = (1/2, 0): K lambda = (1, 1/2) >= b.
        let kernel = mat![[2.0, 1.0], [1.0, 2.0_f64]];
        match solve_dual(kernel.as_ref(), &[1.0, 0.25], None).unwrap() {
            Fallback::Multipliers(lambda) => {
                assert!((lambda[0] - 0.5).abs() < 1e-6 && lambda[1].abs() < 1e-6);
            }
            _ => panic!("the dual is bounded"),
        }
    }

    #[test]
    fn contradicting_rows_give_a_ray() {
        let kernel = mat![[1.0, -2.0], [-2.0, 4.0_f64]];
        match solve_dual(kernel.as_ref(), &[1.0, 1.0], None).unwrap() {
            Fallback::Ray(y) => {
                assert!(y[0] > 0.0 && (y[0] - 2.0 * y[1]).abs() < 1e-4 * y[0]);
            }
            _ => panic!("the dual is unbounded"),
        }
    }
}
