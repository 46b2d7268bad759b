//! The entry point: one repair problem, one outcome.

use std::collections::BTreeSet;
use std::time::Instant;

use network::{Mode, ModelError, NetworkError, Precision};
use optim::generate::minimise_norm;
use optim::lp::{Clarabel, LpStop, Microlp};
use optim::norms::Norm;
use optim::{Farkas, Limits, Multiplier, Solution, minimise_l2};

use crate::frozen::{FrozenRows, Safety};
use crate::full::{FullOutcome, FullProgram};
use crate::linearised::Settings;
use crate::metric::Metric;
use crate::outcome::{Conflict, Outcome, Repair, Report, StopReason, Unfinished};
use crate::problem::{Options, Problem, check_belonging, check_options, check_start, metric};
use crate::sequential::{self, SequenceStop};
use crate::suffix::Suffix;
use crate::verify::verify;
use crate::{Change, Method, Objective, RepairError, RepairSet};

/// How far beyond their bounds specifications are pushed and signs kept, and how
/// exactly rows are solved, by the precision in which they are evaluated.
///
/// Rounding f32 parameters moves margins by up to 2e-7. In f32 two orders of
/// summation differ by up to 1e-5 on logits of size 50, so rows can neither be
/// solved nor trusted more exactly than that.
fn tolerances(precision: Precision) -> (Safety, f64) {
    let (specification, sign, tolerance) = match precision {
        Precision::F64 => (1e-4, 1e-5, 1e-7),
        Precision::F32 => (5e-4, 2e-4, 1e-4),
    };
    (
        Safety {
            specification,
            sign,
        },
        tolerance,
    )
}

/// A safety below zero by what rows cannot be trusted: what contradicts itself even then does so
/// for certain.
fn confirming(precision: Precision) -> Safety {
    let (_, tolerance) = tolerances(precision);
    Safety {
        specification: -tolerance,
        sign: -tolerance,
    }
}

/// Attempts to outrun the rounding error by a larger safety.
const ROUNDING_ATTEMPTS: usize = 4;

/// Repairs one layer.
///
/// # Errors
/// [`RepairError`] when the problem makes no sense or something outside the
/// mathematics fails. Infeasibility and spent limits are outcomes.
pub fn repair(problem: &Problem<'_>, options: &Options) -> Result<Outcome, RepairError> {
    let mut run = Run::new(problem, options)?;
    let outcome = run.outcome()?;
    Ok(outcome.reported(run.report))
}

struct Run<'a> {
    problem: &'a Problem<'a>,
    options: &'a Options,
    suffix: Suffix<'a>,
    metric: Metric,
    deadline: Option<Instant>,
    report: Report,
}

/// A change that a solver proposes, before rounding.
struct Candidate {
    change: Change,
    prices: Vec<f64>,
    /// Why it is known to be no answer, if it is.
    shortfall: Option<StopReason>,
}

impl<'a> Run<'a> {
    fn new(problem: &'a Problem<'a>, options: &'a Options) -> Result<Self, RepairError> {
        let start = Instant::now();
        check_options(options)?;
        check_belonging(problem)?;
        check_start(problem, options)?;
        problem
            .set
            .validate(problem.network, problem.network.classes())?;
        let later_biases = options.moves_later_biases();
        let mut suffix = Suffix::new(problem.network, problem.layers, problem.set, later_biases)?;
        if options.method == Method::Sequential {
            // Frozen rows are affine in the change, which they would not be after rounding.
            suffix = suffix.rounded_as(problem.checkpoint);
        }
        let outputs = suffix.outputs(&suffix.at(None)?, Mode::Free)?;
        let classes = problem.network.classes();
        if let Some(at) = outputs.iter().position(|y| !y.is_finite()) {
            return Err(RepairError::Overflow {
                point: at / classes,
                output: at % classes,
            });
        }
        let metric = metric(problem, options, suffix.layers())?;
        Ok(Self {
            problem,
            options,
            suffix,
            metric,
            deadline: options
                .time_limit
                .and_then(|limit| start.checked_add(limit)),
            report: Report {
                prepare_seconds: start.elapsed().as_secs_f64(),
                ..Report::default()
            },
        })
    }

    fn outcome(&mut self) -> Result<Outcome, RepairError> {
        let (mut safety, _) = tolerances(self.problem.network.precision());
        let mut rounded: Option<Repair> = None;
        for _ in 0..ROUNDING_ATTEMPTS {
            let candidate = match self.candidate(safety) {
                Ok(Ok(candidate)) => candidate,
                Ok(Err(Outcome::Infeasible(_))) => return self.confirm_infeasible(),
                Ok(Err(outcome)) => return Ok(outcome),
                Err(RepairError::Network(error @ NetworkError::NoLinearPiece { .. })) => {
                    return Ok(unfinished(
                        StopReason::NoLinearPiece(error.to_string()),
                        None,
                    ));
                }
                Err(error) => return Err(error),
            };
            let missing = match self.judge(candidate)? {
                Ok(outcome) => return Ok(outcome),
                // What is missing, doubled, is what the next attempt adds.
                Err(repair) => {
                    let missing = (-2.0 * repair.least_slack).max(safety.specification);
                    rounded = Some(repair);
                    missing
                }
            };
            safety = Safety {
                specification: safety.specification + missing,
                sign: safety.sign + missing,
            };
            if self.expired() {
                return Ok(unfinished(self.out_of_time(), rounded));
            }
        }
        Ok(self.lost_in_rounding(rounded))
    }

    /// What a candidate comes to once it is saved: the file decides, not what the solver thinks of
    /// it. An error is one that rounding alone has broken.
    fn judge(&mut self, candidate: Candidate) -> Result<Result<Outcome, Repair>, RepairError> {
        let Some(repair) = self.round(candidate.change, candidate.prices)? else {
            return Ok(Ok(unfinished(StopReason::Overflow, None)));
        };
        if self.holds(&repair) {
            return Ok(Ok(Outcome::Repaired(Box::new(repair))));
        }
        Ok(match candidate.shortfall {
            Some(reason) => Ok(unfinished(reason, Some(repair))),
            None => Err(repair),
        })
    }

    /// Rows are encoded with a safety that the specification does not ask for: only
    /// what is infeasible without it is infeasible.
    fn confirm_infeasible(&mut self) -> Result<Outcome, RepairError> {
        let precision = self.problem.network.precision();
        let exact = Safety {
            specification: 0.0,
            sign: 0.0,
        };
        if let Err(outcome) = self.candidate(confirming(precision))? {
            return Ok(outcome);
        }
        let candidate = match self.candidate(exact)? {
            Ok(candidate) => candidate,
            Err(Outcome::Infeasible(_)) => return Ok(unfinished(StopReason::Undecided, None)),
            Err(outcome) => return Ok(outcome),
        };
        Ok(match self.judge(candidate)? {
            Ok(outcome) => outcome,
            Err(repair) => self.lost_in_rounding(Some(repair)),
        })
    }

    fn lost_in_rounding(&self, best: Option<Repair>) -> Outcome {
        let worst_slack = best.as_ref().map_or(f64::NAN, |repair| repair.least_slack);
        unfinished(StopReason::Rounding { worst_slack }, best)
    }

    /// A change that satisfies the encoded rows, or the outcome that there is none.
    fn candidate(&mut self, safety: Safety) -> Result<Result<Candidate, Outcome>, RepairError> {
        let start = Instant::now();
        let candidate = match (self.options.method, self.options.objective) {
            (Method::Sequential, _) => self.sequential(safety),
            (Method::Frozen, Objective::Aprnn) => self.full(safety),
            (Method::Frozen, _) => self.frozen(safety),
        };
        self.report.solve_seconds += start.elapsed().as_secs_f64();
        candidate
    }

    fn frozen(&mut self, safety: Safety) -> Result<Result<Candidate, Outcome>, RepairError> {
        let set = self.problem.set;
        let mut rows = FrozenRows::new(
            &self.suffix,
            &self.metric,
            set,
            safety,
            self.options.box_bound,
            self.options.max_memory,
        )?;
        let limits = self.limits();
        let solution = match self.options.objective.norm() {
            None => minimise_l2(&mut rows, &limits)?,
            Some(norm) => minimise_by_lp(norm, &mut rows, &limits)?,
        };
        match solution {
            Solution::Optimal(optimum) => {
                self.report.rows = optimum.rows_used;
                self.report.rows_total = optimum.rows_total;
                self.report.rounds = optimum.rounds;
                self.report.objective = optimum.objective;
                self.report.lower_bound = Some(optimum.lower_bound);
                self.report.worst_violation = optimum.worst_violation;
                Ok(Ok(Candidate {
                    prices: self.prices(&rows, &optimum.multipliers),
                    change: rows.change(&optimum.x),
                    shortfall: None,
                }))
            }
            Solution::Infeasible(proof) => {
                self.report.rows = proof.rows_used;
                self.report.rows_total = optim::Constraints::total(&rows);
                self.report.rounds = proof.rounds;
                Ok(Err(self.infeasible(&mut rows, &proof, safety)?))
            }
            Solution::Stopped(stop) => {
                self.report.rows = stop.rows_used;
                self.report.rows_total = stop.rows_total;
                self.report.rounds = stop.rounds;
                self.report.lower_bound = Some(stop.lower_bound);
                self.report.worst_violation = stop.worst_violation.unwrap_or(f64::NAN);
                let reason = self.stop_reason(&stop.reason);
                // A norm that stopped may have a point that satisfies every row; how far it
                // is from the optimum, objective and lower bound tell.
                match stop.best {
                    Some(x) => {
                        self.report.objective = match self.options.objective.norm() {
                            None => 0.5 * x.norm_squared(),
                            Some(norm) => norm.value(&optim::Constraints::shape(&rows), &x),
                        };
                        Ok(Ok(Candidate {
                            change: rows.change(&x),
                            prices: vec![0.0; set.len()],
                            shortfall: Some(reason),
                        }))
                    }
                    None => Ok(Err(unfinished(reason, None))),
                }
            }
        }
    }

    /// The conflict of a proof, made smaller if it is no longer one of the safety.
    fn infeasible(
        &self,
        rows: &mut FrozenRows<'_>,
        proof: &Farkas,
        safety: Safety,
    ) -> Result<Outcome, RepairError> {
        let named = conflicting(rows, &proof.multipliers);
        let (points, minimal) = match safety.specification < 0.0 {
            true => self.shrink(rows, named)?,
            false => (named, false),
        };
        Ok(Outcome::Infeasible(Conflict {
            points,
            minimal,
            radius: proof.radius(),
            report: Report::default(),
        }))
    }

    /// Drops points from a conflict while the rest still conflicts.
    fn shrink(
        &self,
        rows: &mut FrozenRows<'_>,
        mut points: Vec<usize>,
    ) -> Result<(Vec<usize>, bool), RepairError> {
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
                Solution::Infeasible(proof) => {
                    let named = conflicting(rows, &proof.multipliers);
                    points = rest
                        .into_iter()
                        .filter(|point| named.contains(point))
                        .collect();
                }
                Solution::Optimal(_) => {}
                Solution::Stopped(_) => minimal = false,
            }
        }
        Ok((points, minimal))
    }

    fn full(&mut self, safety: Safety) -> Result<Result<Candidate, Outcome>, RepairError> {
        let set = self.problem.set;
        let program = FullProgram::new(
            &self.suffix,
            set,
            self.options.objective,
            safety,
            self.options.box_bound,
        )?;
        let (rows, ..) = program.size();
        self.report.rows = rows;
        self.report.rows_total = rows;
        self.report.rounds = 1;
        let limit = self
            .deadline
            .map(|end| end.saturating_duration_since(Instant::now()));
        match program.solve(limit)? {
            FullOutcome::Optimal(change, objective, violation) => {
                self.report.objective = objective;
                self.report.worst_violation = violation;
                Ok(Ok(Candidate {
                    change,
                    prices: vec![0.0; set.len()],
                    shortfall: None,
                }))
            }
            FullOutcome::Infeasible => {
                // The kernel form proves it again and names the points.
                let mut rows = FrozenRows::new(
                    &self.suffix,
                    &self.metric,
                    set,
                    safety,
                    self.options.box_bound,
                    self.options.max_memory,
                )?;
                match minimise_l2(&mut rows, &self.limits())? {
                    Solution::Infeasible(proof) => {
                        Ok(Err(self.infeasible(&mut rows, &proof, safety)?))
                    }
                    _ => {
                        let reason =
                            StopReason::Solver("infeasibility is claimed but not proved".into());
                        Ok(Err(unfinished(reason, None)))
                    }
                }
            }
            FullOutcome::Stopped(LpStop::Time) => Ok(Err(unfinished(self.out_of_time(), None))),
            FullOutcome::Stopped(stop) => Ok(Err(unfinished(
                StopReason::Solver(format!("{stop:?}")),
                None,
            ))),
        }
    }

    fn sequential(&mut self, safety: Safety) -> Result<Result<Candidate, Outcome>, RepairError> {
        let set = self.problem.set;
        let sequence = sequential::run(
            &self.suffix,
            &self.metric,
            set,
            Settings {
                safety: safety.specification,
                max_memory: self.options.max_memory,
                keep_zeros: self.options.keep_zeros,
                start: self.problem.start,
            },
            self.options.max_rounds,
            self.deadline,
        )?;
        self.report.rows = sequence.rows;
        self.report.columns = sequence.columns;
        self.report.bytes = sequence.bytes;
        self.report.rows_total = set.inequalities();
        self.report.rounds += sequence.rounds;
        self.report.objective = sequence.objective;
        let worst_slack = sequence
            .slacks
            .iter()
            .copied()
            .fold(f64::INFINITY, f64::min);
        self.report.worst_violation = -worst_slack;
        let shortfall = sequence.stop.map(|stop| match stop {
            SequenceStop::Time => self.out_of_time(),
            SequenceStop::Rounds => StopReason::Rounds {
                rounds: sequence.rounds,
                worst_slack: worst_slack + safety.specification,
            },
            SequenceStop::Solver(message) => StopReason::Solver(message),
            SequenceStop::Stalled => StopReason::Stalled {
                points: wrong_points(set, &sequence.slacks),
                worst_slack: worst_slack + safety.specification,
                conflict: sequence.conflict,
            },
        });
        Ok(Ok(Candidate {
            change: sequence.change,
            prices: sequence.prices,
            shortfall,
        }))
    }

    /// Rounds a change into the file and evaluates what is saved; `None` when a
    /// number overflows its dtype.
    fn round(&mut self, change: Change, prices: Vec<f64>) -> Result<Option<Repair>, RepairError> {
        let start = Instant::now();
        let Problem {
            checkpoint, set, ..
        } = *self.problem;
        let edited = change.edited(checkpoint)?;
        let checkpoint = match checkpoint.with_tensors(&edited) {
            Ok(checkpoint) => checkpoint,
            Err(ModelError::NotFinite { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let verification = verify(&checkpoint, set)?;
        self.report.verify_seconds += start.elapsed().as_secs_f64();
        Ok(Some(Repair {
            checkpoint,
            change,
            least_slack: verification.least_slack(),
            efficacy: verification.efficacy(set),
            prices,
            report: Report::default(),
        }))
    }

    /// Every specification holds on the saved weights, every label wins, and the change keeps
    /// within its box as far as rows are solved.
    fn holds(&self, repair: &Repair) -> bool {
        let tolerance = tolerances(self.problem.network.precision()).1;
        let is_within = |bound: f64| repair.change.norm_linf() <= bound + tolerance;
        repair.least_slack >= 0.0
            && repair.efficacy == 100.0
            && self.options.box_bound.is_none_or(is_within)
    }

    fn out_of_time(&self) -> StopReason {
        StopReason::Time(self.options.time_limit.unwrap_or_default())
    }

    fn stop_reason(&self, reason: &optim::StopReason) -> StopReason {
        match reason {
            optim::StopReason::Time => self.out_of_time(),
            other => StopReason::Solver(format!("{other:?}")),
        }
    }

    fn prices(&self, rows: &FrozenRows<'_>, multipliers: &[Multiplier]) -> Vec<f64> {
        let mut prices = vec![0.0; self.problem.set.len()];
        for multiplier in multipliers {
            // Box rows belong to no point.
            if let Some(point) = rows.point_of(multiplier.row) {
                prices[point] += multiplier.value;
            }
        }
        prices
    }

    fn limits(&self) -> Limits {
        Limits {
            deadline: self.deadline,
            tolerance: tolerances(self.problem.network.precision()).1,
            ..Limits::default()
        }
    }

    fn expired(&self) -> bool {
        self.deadline.is_some_and(|end| Instant::now() >= end)
    }
}

/// Clarabel is the faster engine for these masters; where its digits do not suffice, a simplex
/// basis does, which keeps up for ‖Δ‖₁ alone. What the first one reached is kept if the second
/// gets no further.
fn minimise_by_lp(
    norm: Norm,
    rows: &mut FrozenRows<'_>,
    limits: &Limits,
) -> Result<Solution, RepairError> {
    match minimise_norm(norm, rows, &Clarabel, limits)? {
        Solution::Stopped(stop)
            if norm == Norm::L1 && matches!(stop.reason, optim::StopReason::Numerical { .. }) =>
        {
            Ok(match minimise_norm(norm, rows, &Microlp, limits)? {
                Solution::Stopped(second) if second.best.is_none() => Solution::Stopped(stop),
                solution => solution,
            })
        }
        solution => Ok(solution),
    }
}

fn unfinished(reason: StopReason, best: Option<Repair>) -> Outcome {
    Outcome::Unknown(Box::new(Unfinished {
        reason,
        best,
        report: Report::default(),
    }))
}

/// The points that a proof names, in ascending order.
fn conflicting(rows: &FrozenRows<'_>, multipliers: &[Multiplier]) -> Vec<usize> {
    let points = multipliers.iter().filter_map(|m| rows.point_of(m.row));
    points.collect::<BTreeSet<usize>>().into_iter().collect()
}

fn wrong_points(set: &RepairSet, slacks: &[f64]) -> Vec<usize> {
    let mut first = 0;
    let mut wrong = Vec::new();
    for (point, inequalities) in set.points.iter().enumerate() {
        if slacks[first..first + inequalities.len()]
            .iter()
            .any(|&slack| slack < 0.0)
        {
            wrong.push(point);
        }
        first += inequalities.len();
    }
    wrong
}
