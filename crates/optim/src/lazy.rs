//! Least-squares minimisation over rows that are generated as they are violated.

use crate::constraints::{Constraints, Quota, Separation};
use crate::error::OptimError;
use crate::master::{Master, MasterOutcome};
use crate::rows::Unknown;
use crate::solution::{Farkas, Limits, Optimum, Solution, Stop, StopReason};

/// Share of the tolerance that the master keeps, so that its own rows pass the separation.
const MASTER_SHARE: f64 = 0.5;

/// Minimises 1/2 ||x||^2 subject to all rows of `constraints`.
///
/// Every master problem is a relaxation: its optimum bounds the optimum from below, its
/// infeasibility is that of the whole, and the last iterate, which violates no row, is the
/// optimum of the full problem.
///
/// # Errors
/// A row that does not fit ([`OptimError::Shape`] and the like), a soft row
/// ([`OptimError::Softness`]), or the error of a separation.
pub fn minimise_l2(
    constraints: &mut dyn Constraints,
    limits: &Limits,
) -> Result<Solution, OptimError> {
    let shape = constraints.shape();
    let mut master = Master::new(shape, constraints.inputs().clone());
    let master_limits = Limits {
        tolerance: MASTER_SHARE * limits.tolerance,
        ..limits.clone()
    };
    let mut x = Unknown::zeros(&shape);
    let mut rounds = 0;
    loop {
        let separation = constraints
            .separate(&x, &quota(limits, master.active()))
            .map_err(OptimError::Constraints)?;
        rounds += 1;
        tracing::debug!(
            rounds,
            worst = separation.worst,
            violated = separation.violated,
            rows = master.rows().len(),
            active = master.active(),
            "separated"
        );
        let record = Record {
            rounds,
            rows_total: constraints.total(),
            worst: separation.worst,
        };
        if separation.worst <= limits.tolerance {
            return Ok(Solution::Optimal(record.optimum(&master, x)));
        }
        if limits.expired() {
            return Ok(Solution::Stopped(record.stop(
                &master,
                Some(x),
                StopReason::Time,
            )));
        }
        if rounds >= limits.max_rounds {
            return Ok(Solution::Stopped(record.stop(
                &master,
                Some(x),
                StopReason::Rounds,
            )));
        }
        master.set_inputs(constraints.inputs().clone());
        let worst = separation.worst;
        if add_rows(&mut master, separation)? == 0 {
            let reason = StopReason::Numerical {
                what: "violation of rows that the master satisfies".into(),
                residual: worst,
            };
            return Ok(Solution::Stopped(record.stop(&master, Some(x), reason)));
        }
        match master.solve(&master_limits)? {
            // The separation, which decides in the end, judges what rounding has left.
            MasterOutcome::Optimal | MasterOutcome::Rounded { .. } => x = master.x(),
            MasterOutcome::Infeasible(proof) => {
                return Ok(Solution::Infeasible(Farkas {
                    rows_used: master.rows().len(),
                    rounds,
                    ..proof
                }));
            }
            MasterOutcome::Stopped(reason) => {
                return Ok(Solution::Stopped(record.stop(&master, Some(x), reason)));
            }
        }
    }
}

fn quota(limits: &Limits, active: usize) -> Quota {
    Quota {
        per_input: limits.quota.per_input,
        total: limits.quota.total.max(active / 2),
    }
}

/// Adds the rows that are not there yet and returns how many.
fn add_rows(master: &mut Master, separation: Separation) -> Result<usize, OptimError> {
    let mut added = 0;
    for row in separation.rows {
        if row.softness != 0.0 {
            return Err(OptimError::Softness {
                row: row.id,
                expected: "a hard row, softness 0",
                got: row.softness,
            });
        }
        added += usize::from(master.push(row)?);
    }
    Ok(added)
}

/// Numbers that every outcome reports.
struct Record {
    rounds: usize,
    rows_total: usize,
    worst: f64,
}

impl Record {
    fn optimum(self, master: &Master, x: Unknown) -> Optimum {
        Optimum {
            objective: master.objective(),
            lower_bound: master.lower_bound(),
            multipliers: master.multipliers(),
            worst_violation: self.worst,
            rows_used: master.rows().len(),
            rows_total: self.rows_total,
            active: master.active(),
            rounds: self.rounds,
            x,
        }
    }

    fn stop(self, master: &Master, best: Option<Unknown>, reason: StopReason) -> Stop {
        Stop {
            reason,
            best,
            worst_violation: Some(self.worst),
            lower_bound: master.lower_bound(),
            rows_used: master.rows().len(),
            rows_total: self.rows_total,
            rounds: self.rounds,
        }
    }
}
