//! `clarabel`: an interior-point method with a sparse factorisation. Its
//! solutions are central: where the optimum is not unique, all of its entries
//! share it.
//!
//! Besides linear programs it takes a convex quadratic term:
//!
//! ```text
//! minimise 1/2 x' P x + c.x   subject to   lo <= A x <= hi,   l <= x <= u
//! ```

use std::time::Duration;

use ::clarabel::algebra::CscMatrix;
use ::clarabel::solver::SupportedConeT::{NonnegativeConeT, ZeroConeT};
use ::clarabel::solver::{DefaultSettingsBuilder, DefaultSolver, IPSolver, SolverStatus};

use super::{LinearProgram, LpOutcome, LpSolution, LpSolver, LpStop};
use crate::OptimError;
use crate::rows::dot;

/// Bytes that solving a program takes per entry of its matrix, the matrix and the factor included:
/// 171 and 172 were measured on programs of 27 and 9 million entries (the full program of 300 and
/// of 100 points at the first layer of a 3x100 perceptron).
pub const BYTES_PER_NONZERO: usize = 180;

/// The interior-point method of the `clarabel` crate, on one thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clarabel;

impl LpSolver for Clarabel {
    fn name(&self) -> &'static str {
        "clarabel"
    }

    fn solve(&self, lp: &LinearProgram, limit: Option<Duration>) -> Result<LpOutcome, OptimError> {
        lp.check()?;
        Ok(solve(lp, &[], limit))
    }
}

/// A linear program with a sparse quadratic term in its objective.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConvexProgram {
    /// Costs, bounds and rows.
    pub linear: LinearProgram,
    /// The upper triangle of `P` as `(row, column, value)`, `row <= column`;
    /// repeated entries are summed. `P` must be positive semidefinite.
    pub quadratic: Vec<(usize, usize, f64)>,
}

impl ConvexProgram {
    /// Solves the program with Clarabel, for at most `limit` of wall time.
    ///
    /// # Errors
    /// [`OptimError::Program`] when the linear part is malformed or an entry of
    /// `P` is not finite, not in the upper triangle or outside the program.
    pub fn solve(&self, limit: Option<Duration>) -> Result<LpOutcome, OptimError> {
        self.linear.check()?;
        for &(i, j, value) in &self.quadratic {
            let expected = "a finite entry with row <= column < variables";
            if i > j || j >= self.linear.variables() || !value.is_finite() {
                return Err(OptimError::Program {
                    at: format!("quadratic term ({i}, {j})"),
                    expected,
                    got: value.to_string(),
                });
            }
        }
        Ok(solve(&self.linear, &self.quadratic, limit))
    }
}

fn solve(
    lp: &LinearProgram,
    quadratic: &[(usize, usize, f64)],
    limit: Option<Duration>,
) -> LpOutcome {
    let failed = |reason: String| LpOutcome::Stopped(LpStop::Numerical(reason));
    let standard = StandardForm::of(lp);
    let settings = DefaultSettingsBuilder::default()
        .verbose(false)
        .max_threads(1)
        .time_limit(limit.map_or(f64::INFINITY, |limit| limit.as_secs_f64()))
        .presolve_enable(false)
        .build();
    let cones = [
        ZeroConeT(standard.equalities),
        NonnegativeConeT(standard.rows.len() - standard.equalities),
    ];
    let rhs: Vec<f64> = standard.rows.iter().map(|row| row.rhs).collect();
    let solver = settings
        .map_err(|error| error.to_string())
        .and_then(|settings| {
            let matrix = standard.matrix(lp);
            DefaultSolver::new(
                &upper_triangle(lp, quadratic),
                lp.costs(),
                &matrix,
                &rhs,
                &cones,
                settings,
            )
            .map_err(|error| error.to_string())
        });
    let mut solver = match solver {
        Ok(solver) => solver,
        Err(reason) => return failed(reason),
    };
    solver.solve();

    let status = solver.solution.status;
    let duals = standard.duals(lp, &solver.solution.z);
    match status {
        SolverStatus::PrimalInfeasible => LpOutcome::Infeasible,
        SolverStatus::DualInfeasible => LpOutcome::Unbounded,
        SolverStatus::MaxTime => LpOutcome::Stopped(LpStop::Time),
        // The point decides, not the solver's word: a reduced-accuracy stop is
        // an optimum when its own check says so.
        _ => match verified(lp, quadratic, std::mem::take(&mut solver.solution.x), duals) {
            Some(solution) => LpOutcome::Optimal(solution),
            // Out of time with a nearly optimal point, Clarabel reports the point.
            None if limit
                .is_some_and(|limit| solver.solution.solve_time >= limit.as_secs_f64()) =>
            {
                LpOutcome::Stopped(LpStop::Time)
            }
            None => failed(status.to_string()),
        },
    }
}

/// The check of a quadratic optimum: with the gradient `P x + c` in place of the
/// costs, the dual value is `dual_value - 1/2 x' P x`.
fn verified(
    lp: &LinearProgram,
    quadratic: &[(usize, usize, f64)],
    x: Vec<f64>,
    duals: Vec<f64>,
) -> Option<LpSolution> {
    if quadratic.is_empty() {
        return LpSolution::verified(lp, x, duals);
    }
    let mut product = vec![0.0; x.len()];
    for &(i, j, value) in quadratic {
        product[i] += value * x[j];
        if i != j {
            product[j] += value * x[i];
        }
    }
    let curved = 0.5 * dot(&product, &x);
    let gradient: Vec<f64> = lp
        .costs()
        .iter()
        .zip(&product)
        .map(|(c, p)| c + p)
        .collect();
    let value = lp.dual_value(&gradient, &duals);
    let solution = LpSolution {
        objective: lp.objective_at(&x) + curved,
        dual_objective: value.objective - curved,
        violation: lp.violation(&x),
        dual_infeasibility: value.infeasibility,
        x,
        duals,
    };
    solution.within(super::SELF_CHECK, lp).then_some(solution)
}

/// `A x + s = b`, `s` zero on the equalities (which come first), else `s >= 0`.
struct StandardForm {
    rows: Vec<StandardRow>,
    equalities: usize,
}

/// `sign` times a row or a variable of the program, `<= rhs`.
struct StandardRow {
    source: Source,
    sign: f64,
    rhs: f64,
}

#[derive(Clone, Copy)]
enum Source {
    Row(usize),
    Variable(usize),
}

impl StandardForm {
    fn of(lp: &LinearProgram) -> Self {
        let sources = || {
            let rows = lp
                .sides()
                .iter()
                .enumerate()
                .map(|(r, &s)| (Source::Row(r), s));
            let bounds = lp.bounds().iter().enumerate();
            rows.chain(bounds.map(|(j, &b)| (Source::Variable(j), b)))
        };
        let mut rows = Vec::new();
        let mut push = |source, sign: f64, rhs: f64| {
            if rhs.is_finite() {
                rows.push(StandardRow { source, sign, rhs });
            }
        };
        let mut equalities = 0;
        for (source, (lower, _)) in sources().filter(|(_, (lower, upper))| lower == upper) {
            push(source, 1.0, lower);
            equalities += 1;
        }
        for (source, (lower, upper)) in sources().filter(|(_, (lower, upper))| lower < upper) {
            push(source, -1.0, -lower);
            push(source, 1.0, upper);
        }
        Self { rows, equalities }
    }

    fn matrix(&self, lp: &LinearProgram) -> CscMatrix<f64> {
        let mut columns: Vec<Vec<(usize, f64)>> = vec![Vec::new(); lp.variables()];
        for (i, row) in self.rows.iter().enumerate() {
            match row.source {
                Source::Row(r) => {
                    for (j, a) in lp.terms(r) {
                        columns[j].push((i, row.sign * a));
                    }
                }
                Source::Variable(j) => columns[j].push((i, row.sign)),
            }
        }
        compressed(self.rows.len(), columns)
    }

    /// Multipliers of the program's rows from those of the standard form:
    /// stationarity is `c + A' z = 0` there and `c - A' y - d = 0` here.
    fn duals(&self, lp: &LinearProgram, z: &[f64]) -> Vec<f64> {
        let mut duals = vec![0.0; lp.rows()];
        for (row, &multiplier) in self.rows.iter().zip(z) {
            if let Source::Row(r) = row.source {
                duals[r] -= row.sign * multiplier;
            }
        }
        duals
    }
}

fn upper_triangle(lp: &LinearProgram, quadratic: &[(usize, usize, f64)]) -> CscMatrix<f64> {
    let mut columns: Vec<Vec<(usize, f64)>> = vec![Vec::new(); lp.variables()];
    for &(i, j, value) in quadratic {
        columns[j].push((i, value));
    }
    for column in &mut columns {
        column.sort_by_key(|&(i, _)| i);
        column.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
    }
    compressed(lp.variables(), columns)
}

/// Compressed sparse columns from `(row, value)` lists in increasing row order.
fn compressed(rows: usize, columns: Vec<Vec<(usize, f64)>>) -> CscMatrix<f64> {
    let width = columns.len();
    let entries: usize = columns.iter().map(Vec::len).sum();
    let mut starts = Vec::with_capacity(width + 1);
    let (mut indices, mut values) = (Vec::with_capacity(entries), Vec::with_capacity(entries));
    starts.push(0);
    for column in columns {
        for (i, value) in column {
            indices.push(i);
            values.push(value);
        }
        starts.push(indices.len());
    }
    CscMatrix::new(rows, width, starts, indices, values)
}
