//! `microlp`: a sparse simplex. Its solutions are vertices.

use std::time::{Duration, Instant};

use microlp::{ComparisonOp, OptimizationDirection, Problem, SolveOptions, SolveOutcome, Variable};

use super::{LinearProgram, LpOutcome, LpSolution, LpSolver, LpStop, duals};
use crate::OptimError;

/// The simplex of the `microlp` crate. It reports no duals: they are recovered
/// from complementary slackness and checked against the primal objective.
#[derive(Debug, Clone, Copy, Default)]
pub struct Microlp;

impl LpSolver for Microlp {
    fn name(&self) -> &'static str {
        "microlp"
    }

    fn solve(&self, lp: &LinearProgram, limit: Option<Duration>) -> Result<LpOutcome, OptimError> {
        lp.check()?;
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let x = match vertex(lp, deadline) {
            Vertex::Optimal(x) => x,
            Vertex::Ended(outcome) => return Ok(outcome),
        };
        let y = match duals::recover(lp, &x, |dual| vertex(dual, deadline)) {
            Vertex::Optimal(y) => y,
            Vertex::Ended(LpOutcome::Stopped(stop)) => return Ok(LpOutcome::Stopped(stop)),
            Vertex::Ended(_) => return Ok(no_proof()),
        };
        Ok(LpSolution::verified(lp, x, y).map_or_else(no_proof, LpOutcome::Optimal))
    }
}

/// A primal optimum without its dual, or how the solve ended instead.
pub(super) enum Vertex {
    Optimal(Vec<f64>),
    Ended(LpOutcome),
}

fn no_proof() -> LpOutcome {
    let reason = "no multipliers prove the vertex optimal".to_owned();
    LpOutcome::Stopped(LpStop::Numerical(reason))
}

fn vertex(lp: &LinearProgram, deadline: Option<Instant>) -> Vertex {
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    let variables: Vec<Variable> = lp
        .costs()
        .iter()
        .zip(lp.bounds())
        .map(|(&cost, &bounds)| problem.add_var(cost, bounds))
        .collect();
    for (r, &(lower, upper)) in lp.sides().iter().enumerate() {
        let mut constrain = |op, side: f64| {
            let terms = lp.terms(r).map(|(j, a)| (variables[j], a));
            problem.add_constraint(terms, op, side);
        };
        if lower == upper {
            constrain(ComparisonOp::Eq, lower);
            continue;
        }
        if lower.is_finite() {
            constrain(ComparisonOp::Ge, lower);
        }
        if upper.is_finite() {
            constrain(ComparisonOp::Le, upper);
        }
    }
    let mut options = SolveOptions::default();
    options.time_limit = deadline.map(|end| end.saturating_duration_since(Instant::now()));
    // Tight, so that the tight rows are told from the slack ones afterwards.
    options.tolerances.feasibility = 1e-9;
    Vertex::Ended(match problem.solve_with(options) {
        Ok(outcome) if outcome.is_optimal() => {
            return Vertex::Optimal(values(&outcome, &variables));
        }
        Ok(_) => LpOutcome::Stopped(LpStop::Time),
        Err(microlp::Error::Infeasible) => LpOutcome::Infeasible,
        Err(microlp::Error::Unbounded) => LpOutcome::Unbounded,
        Err(error) => LpOutcome::Stopped(LpStop::Numerical(error.to_string())),
    })
}

fn values(outcome: &SolveOutcome, variables: &[Variable]) -> Vec<f64> {
    let solution = outcome.solution();
    variables
        .iter()
        .filter_map(|&v| Some(solution?.var_value(v)))
        .collect()
}
