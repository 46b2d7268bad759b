//! What is said where there is no repair.

use std::collections::BTreeSet;

use network::Precision;
use optim::{CANCELLATION, Farkas, Multiplier, Solution, minimise_l2};

use super::propose::Proposal;
use super::{Judgement, Run, tolerances, unfinished};
use crate::RepairError;
use crate::frozen::{FrozenRows, Safety};
use crate::outcome::{Conflict, Outcome, Report, StopReason};

/// A safety below zero by what rows cannot be trusted: what contradicts itself even then does so
/// for certain.
fn confirming(precision: Precision) -> Safety {
    let (_, tolerance) = tolerances(precision);
    Safety {
        specification: -tolerance,
        sign: -tolerance,
    }
}

impl Run<'_> {
    /// Rows are encoded with a safety that the specification does not ask for: only what is
    /// infeasible without it is infeasible. That is decided in equilibrated units, whose columns are
    /// the entries of the tensors, so that the verdict depends on no objective and no guard set.
    pub(super) fn confirm_infeasible(&mut self) -> Result<Outcome, RepairError> {
        let precision = self.problem.network.precision();
        if let Some(conflict) = self.conflict(confirming(precision))? {
            return Ok(Outcome::Infeasible(conflict));
        }
        let exact = Safety {
            specification: 0.0,
            sign: 0.0,
        };
        let candidate = match self.candidate(exact)? {
            Proposal::Change(candidate) => candidate,
            Proposal::Infeasible => return Ok(unfinished(StopReason::Undecided, None)),
            Proposal::Stopped(reason) => return Ok(unfinished(reason, None)),
        };
        Ok(match self.judge(candidate)? {
            Judgement::Final(outcome) => outcome,
            Judgement::Lost(repair, _) => self.lost_in_rounding(Some(*repair)),
        })
    }

    /// The conflict that proves the rows infeasible, made smaller; `None` without a proof.
    fn conflict(&mut self, safety: Safety) -> Result<Option<Conflict>, RepairError> {
        if self.expired() {
            return Ok(None);
        }
        let metric = self.ordinary_units()?;
        let mut rows = self.frozen_rows(&metric, safety)?;
        let Solution::Infeasible(proof) = minimise_l2(&mut rows, &self.limits())? else {
            return Ok(None);
        };
        let named = conflicting(&rows, &proof.multipliers);
        let (proof, points, minimal) = self.shrink(&mut rows, proof, named)?;
        rows.restrict(&points);
        if rows.share_at_zero(&proof.multipliers)? <= CANCELLATION {
            // Right-hand sides are known to the rounding of the point at which they were taken, and
            // candidates of rows that contradict each other lie far away.
            return Ok(None);
        }
        let radius = proof.value / rows.gradient_norm(&proof.multipliers);
        let rows_total = optim::Constraints::total(&rows);
        drop(rows);
        self.report.rows = proof.rows_used;
        self.report.rows_total = rows_total;
        self.report.rounds = proof.rounds;
        Ok(Some(Conflict {
            points,
            minimal,
            radius,
            report: Report::default(),
        }))
    }

    /// Drops points from a conflict while the rest still conflicts.
    fn shrink(
        &self,
        rows: &mut FrozenRows<'_>,
        mut proof: Farkas,
        mut points: Vec<usize>,
    ) -> Result<(Farkas, Vec<usize>, bool), RepairError> {
        let limits = self.limits();
        let mut minimal = true;
        for point in points.clone() {
            if !points.contains(&point) {
                continue;
            }
            if points.len() == 1 || limits.expired() {
                minimal = points.len() == 1;
                break;
            }
            let rest: Vec<usize> = points
                .iter()
                .copied()
                .filter(|&other| other != point)
                .collect();
            rows.restrict(&rest);
            match minimise_l2(rows, &limits)? {
                Solution::Infeasible(smaller) => {
                    let named = conflicting(rows, &smaller.multipliers);
                    proof = smaller;
                    points = rest
                        .into_iter()
                        .filter(|point| named.contains(point))
                        .collect();
                }
                Solution::Optimal(_) => {}
                Solution::Stopped(_) => minimal = false,
            }
        }
        Ok((proof, points, minimal))
    }
}

/// The points that a proof names, in ascending order.
fn conflicting(rows: &FrozenRows<'_>, multipliers: &[Multiplier]) -> Vec<usize> {
    let points = multipliers.iter().filter_map(|m| rows.point_of(m.row));
    points.collect::<BTreeSet<usize>>().into_iter().collect()
}
