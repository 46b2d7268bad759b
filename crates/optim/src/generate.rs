//! Minimising a norm with rows *and* columns generated.
//!
//! With `||x|| = alpha ||x||_1 + beta ||x||_inf` (module [`norms`](crate::norms)) the problem and
//! its dual are
//!
//! ```text
//! minimise ||x||  subject to  J x >= b
//! maximise b.y    subject to  y >= 0,   f(J^T y) <= beta,
//!
//! f(c) = sum_j max(|c_j| - alpha, 0)       (beta = 0: every |c_j| <= alpha)
//! ```
//!
//! The dual constraint is a *sum over the entries* j, so each entry can be modelled on its own.
//! The master problem splits the entries in two:
//!
//! - a **free** entry has its own columns, x_j = p_j - q_j with p_j + q_j <= t;
//! - all others move together, along **atoms**: x_j = sum_k s^k_j tau_k with states s^k_j in
//!   {-1, 0, 1} and sum_k tau_k = t.
//!
//! In the dual, an atom is one supporting plane of the whole remaining sum, while a free entry has
//! its term of the sum exactly. With atoms alone (one cutting plane a round) linf needs as many
//! rounds as there are active rows, and the multipliers jump about; freeing the entries whose
//! state the multipliers contradict needs about ten. For l1 there is no t, the other entries are
//! 0 and there are no atoms: this is plain column generation.
//!
//! Every round solves the master over the rows and columns so far, prices all entries at its
//! multipliers y and evaluates all rows at its x. The Euclidean problem goes first: it decides
//! feasibility, its active rows are the first rows, its x = J^T y tells which entries to free, and
//! its multipliers the size of the penalty that keeps those of the master from jumping. y divided
//! by the dual norm of J^T y is feasible for the whole dual, so each round gives a lower bound.
//!
//! Masters are denser and more degenerate than linear programs usually are: the interior point
//! method serves all norms; the simplex keeps up for l1 alone, because for the others each free
//! entry is a row of its basis.

use std::collections::HashSet;
use std::time::Instant;

use crate::constraints::{Constraints, Quota, Separation};
use crate::error::{BoxError, OptimError};
use crate::lazy::minimise_l2;
use crate::lp::{
    BYTES_PER_NONZERO, Clarabel, LinearProgram, LpOutcome, LpSolution, LpSolver, LpStop,
};
use crate::norms::Norm;
use crate::restricted::Restricted;
use crate::rows::{Inputs, Row, Shape, Unknown, adjoint};
use crate::solution::{Limits, Multiplier, Optimum, Solution, Stop, StopReason};

/// Relative difference of the objective and the lower bound at which the answer counts as optimal.
pub const GAP: f64 = 1e-6;

/// The same difference that counts as none at all: what interior-point masters leave.
pub const ABSOLUTE_GAP: f64 = 1e-8;

/// First price of a slack, in units of the largest multiplier of the Euclidean problem scaled to
/// dual norm 1.
const PENALTY: f64 = 10.0;

/// Multipliers below this fraction of the largest one are rounding.
const NEGLIGIBLE: f64 = 1e-7;

/// Entries freed per round, at least.
const ENTRIES_PER_ROUND: usize = 200;

/// Minimises `norm` over all rows of `constraints`, solving the masters with `solver`.
///
/// An [`Optimum`] has the norm of x as objective; its multipliers solve the norm's dual problem, so
/// their value is the lower bound up to rounding. A [`Stop`] carries the best point known to
/// satisfy *every* row and the largest lower bound found. Infeasibility is proved by
/// [`minimise_l2`], which runs first. A master on which `solver` runs out of digits goes to
/// Clarabel.
///
/// # Errors
/// A malformed row, a softness other than 0 (a norm has no room for it), and what `constraints`
/// returns.
pub fn minimise_norm(
    norm: Norm,
    constraints: &mut dyn Constraints,
    solver: &dyn LpSolver,
    limits: &Limits,
) -> Result<Solution, OptimError> {
    let mut recorder = Recorder {
        inner: constraints,
        seen: Vec::new(),
        ids: HashSet::new(),
    };
    let euclidean = match minimise_l2(&mut recorder, limits)? {
        Solution::Optimal(optimum) => optimum,
        // A bound of the Euclidean objective says nothing about the norm.
        Solution::Stopped(stop) => {
            return Ok(Solution::Stopped(Stop {
                lower_bound: 0.0,
                ..stop
            }));
        }
        infeasible => return Ok(infeasible),
    };
    if euclidean.x.norm_squared() == 0.0 {
        return Ok(Solution::Optimal(euclidean));
    }
    let rows = recorder.active(&euclidean);
    Generation::new(norm, constraints, solver, limits, rows, euclidean).run()
}

/// Constraints that remember the rows they handed out.
struct Recorder<'c> {
    inner: &'c mut dyn Constraints,
    seen: Vec<Row>,
    ids: HashSet<usize>,
}

impl Recorder<'_> {
    /// The rows with a positive multiplier.
    fn active(self, optimum: &Optimum) -> Vec<Row> {
        let active: HashSet<usize> = optimum.multipliers.iter().map(|m| m.row).collect();
        let mut rows = self.seen;
        rows.retain(|row| active.contains(&row.id));
        rows
    }
}

impl Constraints for Recorder<'_> {
    fn shape(&self) -> Shape {
        self.inner.shape()
    }

    fn inputs(&self) -> &Inputs {
        self.inner.inputs()
    }

    fn total(&self) -> usize {
        self.inner.total()
    }

    fn separate(&mut self, x: &Unknown, quota: &Quota) -> Result<Separation, BoxError> {
        let separation = self.inner.separate(x, quota)?;
        for row in &separation.rows {
            if self.ids.insert(row.id) {
                self.seen.push(row.clone());
            }
        }
        Ok(separation)
    }
}

struct Generation<'a> {
    norm: Norm,
    shape: Shape,
    constraints: &'a mut dyn Constraints,
    solver: &'a dyn LpSolver,
    limits: &'a Limits,
    master: Restricted,
    /// The best point known to satisfy every row, and its largest violation.
    incumbent: (Unknown, f64),
    lower_bound: f64,
    rounds: usize,
}

/// What one master problem says.
struct Round {
    x: Unknown,
    objective: f64,
    /// The largest slack left.
    slack: f64,
    /// Objective of the master, penalties included.
    master_objective: f64,
    /// Multipliers of the written rows.
    y: Vec<f64>,
    /// J^T y, and its dual norm.
    c: Unknown,
    dual_norm: f64,
    /// What y proves.
    bound: f64,
    active: usize,
}

impl<'a> Generation<'a> {
    fn new(
        norm: Norm,
        constraints: &'a mut dyn Constraints,
        solver: &'a dyn LpSolver,
        limits: &'a Limits,
        rows: Vec<Row>,
        euclidean: Optimum,
    ) -> Self {
        let shape = constraints.shape();
        let largest = euclidean.multipliers.iter().map(|m| m.value);
        let penalty = PENALTY * largest.fold(0.0, f64::max) / norm.dual(&shape, &euclidean.x);
        // An optimum has as many entries off 0 and off the bound as active rows; without a bound
        // the guess of which is better.
        let freed = match norm {
            Norm::L1 => rows.len(),
            Norm::LInf | Norm::L1PlusLInf => 4 * rows.len(),
        };
        Self {
            norm,
            shape,
            constraints,
            solver,
            limits,
            master: Restricted::new(norm, shape, rows, &euclidean.x, freed, penalty),
            incumbent: (euclidean.x, euclidean.worst_violation),
            lower_bound: 0.0,
            rounds: 0,
        }
    }

    fn run(mut self) -> Result<Solution, OptimError> {
        let tolerance = self.limits.tolerance;
        while self.rounds < self.limits.max_rounds {
            self.rounds += 1;
            let round = match self.solve_master()? {
                Ok(round) => round,
                Err(reason) => return Ok(self.stop(reason)),
            };
            self.lower_bound = self.lower_bound.max(round.bound);
            let entries = self.price(&round);
            let (worst, rows) = self.separate(&round)?;
            tracing::debug!(
                round = self.rounds,
                objective = round.objective,
                lower_bound = self.lower_bound,
                slack = round.slack,
                worst,
                rows = self.master.rows().len(),
                free = self.master.free(),
                "norm master solved"
            );

            let optimal =
                round.objective - self.lower_bound <= GAP * round.objective + ABSOLUTE_GAP;
            if worst <= tolerance {
                if optimal {
                    return Ok(self.optimum(round, worst));
                }
                if round.objective < self.norm.value(&self.shape, &self.incumbent.0) {
                    self.incumbent = (round.x, worst);
                }
            } else if round.slack > tolerance {
                // The penalised problem is solved, and still prefers to pay.
                let priced = round.bound >= 0.99 * round.master_objective;
                if priced || (entries == 0 && rows == 0) {
                    self.master.raise_penalty();
                }
                continue;
            } else if rows == 0 && (optimal || entries == 0) {
                // Only written rows are violated: by the solver's tolerance.
                self.master.tighten(self.constraints.inputs(), &round.x);
                continue;
            }
            if entries == 0 && rows == 0 {
                let what = format!("gap of the {} masters", self.solver.name());
                let residual = round.objective - self.lower_bound;
                return Ok(self.stop(StopReason::Numerical { what, residual }));
            }
        }
        Ok(self.stop(StopReason::Rounds))
    }

    fn solve_master(&mut self) -> Result<Result<Round, StopReason>, OptimError> {
        let program = self.master.program(self.constraints.inputs());
        let bytes = program.nonzeros().saturating_mul(BYTES_PER_NONZERO);
        if bytes > self.limits.max_bytes {
            return Ok(Err(StopReason::Memory { bytes }));
        }
        let solution = match self.solve(&program)? {
            LpOutcome::Optimal(solution) => solution,
            LpOutcome::Stopped(LpStop::Time) => return Ok(Err(StopReason::Time)),
            // The slacks make a master feasible and its costs bound it.
            ended => {
                let solver = self.solver.name();
                let ended = match ended {
                    LpOutcome::Stopped(stop) => stop.to_string(),
                    LpOutcome::Unbounded => "called unbounded".to_owned(),
                    _ => "called infeasible".to_owned(),
                };
                let what = format!("{solver} on a feasible bounded master: {ended}");
                let residual = f64::INFINITY;
                return Ok(Err(StopReason::Numerical { what, residual }));
            }
        };
        Ok(Ok(self.evaluate(solution)))
    }

    fn solve(&self, program: &LinearProgram) -> Result<LpOutcome, OptimError> {
        let remaining = || {
            let deadline = self.limits.deadline;
            deadline.map(|end| end.saturating_duration_since(Instant::now()))
        };
        match self.solver.solve(program, remaining())? {
            LpOutcome::Stopped(LpStop::Numerical(reason)) => {
                tracing::debug!(
                    solver = self.solver.name(),
                    reason,
                    "master goes to clarabel"
                );
                Clarabel.solve(program, remaining())
            }
            outcome => Ok(outcome),
        }
    }

    fn evaluate(&mut self, solution: LpSolution) -> Round {
        let reading = self.master.read(&solution.x);
        let rows = self.master.rows();
        let mut y = solution.duals;
        y.truncate(rows.len());
        let negligible = NEGLIGIBLE * y.iter().copied().fold(0.0, f64::max);
        for value in y.iter_mut().filter(|value| **value <= negligible) {
            *value = 0.0;
        }
        let weighted = rows.iter().zip(y.iter().copied());
        let value: f64 = weighted.clone().map(|(row, y)| row.rhs * y).sum();
        let c = adjoint(&self.shape, self.constraints.inputs(), weighted);
        let dual_norm = self.norm.dual(&self.shape, &c);
        Round {
            objective: self.norm.value(&self.shape, &reading.x),
            x: reading.x,
            slack: reading.slack,
            master_objective: solution.objective,
            active: y.iter().filter(|value| **value > 0.0).count(),
            y,
            c,
            dual_norm,
            bound: if dual_norm > 0.0 {
                value / dual_norm
            } else {
                0.0
            },
        }
    }

    /// Rearranges the columns at the round's multipliers; returns how many entries were freed.
    fn price(&mut self, round: &Round) -> usize {
        let quota = match self.norm {
            Norm::L1 => round.active / 2,
            Norm::LInf | Norm::L1PlusLInf => 2 * self.master.rows().len(),
        };
        self.master.join(&round.x, &round.c, 4 * round.active);
        self.master.price(&round.c, quota.max(ENTRIES_PER_ROUND))
    }

    /// Evaluates all rows; returns the worst violation and how many rows were added.
    fn separate(&mut self, round: &Round) -> Result<(f64, usize), OptimError> {
        let quota = Quota {
            total: self.limits.quota.total.max(round.active / 2),
            ..self.limits.quota
        };
        let separation = self.constraints.separate(&round.x, &quota);
        let separation = separation.map_err(OptimError::Constraints)?;
        for row in &separation.rows {
            row.check(&self.shape, self.constraints.inputs())?;
            check_hard(row)?;
        }
        Ok((separation.worst, self.master.add_rows(separation.rows)))
    }

    fn optimum(self, round: Round, worst_violation: f64) -> Solution {
        let multipliers: Vec<Multiplier> = self
            .master
            .rows()
            .iter()
            .zip(&round.y)
            .filter(|(_, y)| **y > 0.0)
            .map(|(row, y)| Multiplier {
                row: row.id,
                input: row.input,
                value: y / round.dual_norm,
            })
            .collect();
        Solution::Optimal(Optimum {
            x: round.x,
            active: multipliers.len(),
            multipliers,
            objective: round.objective,
            lower_bound: self.lower_bound.min(round.objective),
            worst_violation,
            rows_used: self.master.rows().len(),
            rows_total: self.constraints.total(),
            rounds: self.rounds,
        })
    }

    fn stop(self, reason: StopReason) -> Solution {
        Solution::Stopped(Stop {
            reason,
            best: Some(self.incumbent.0),
            worst_violation: Some(self.incumbent.1),
            lower_bound: self.lower_bound,
            rows_used: self.master.rows().len(),
            rows_total: self.constraints.total(),
            rounds: self.rounds,
        })
    }
}

fn check_hard(row: &Row) -> Result<(), OptimError> {
    if row.softness == 0.0 {
        return Ok(());
    }
    Err(OptimError::Softness {
        row: row.id,
        expected: "a hard row, as a norm has no price for slack",
        got: row.softness,
    })
}
