//! The entry point: one repair problem, one outcome.

use std::time::{Duration, Instant};

use network::{Checkpoint, Layer, Mode, Network, NetworkError, Precision};
use optim::generate::minimise_norm;
use optim::lp::{Clarabel, LpStop, Microlp};
use optim::norms::Norm;
use optim::{Farkas, Limits, Multiplier, Solution, minimise_l2};

use crate::frozen::{FrozenRows, Safety};
use crate::full::{FullOutcome, FullProgram};
use crate::guard::{GuardMoments, LayerMoments};
use crate::metric::{DAMPING, Metric};
use crate::outcome::{Conflict, Outcome, Repair, Report, StopReason, Unfinished};
use crate::sequential::{self, SequenceStop};
use crate::suffix::Suffix;
use crate::verify::verify;
use crate::{Change, Method, Objective, RepairError, RepairSet};

/// What is to be repaired, and where.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// The network that computes.
    pub network: &'a Network,
    /// The file that the network was loaded from and that is edited.
    pub checkpoint: &'a Checkpoint,
    /// The start layer.
    pub layer: &'a Layer,
    /// What must hold.
    pub set: &'a RepairSet,
    /// Guard moments, for the guarded objective.
    pub guard: Option<&'a GuardMoments>,
}

/// How it is to be repaired.
#[derive(Clone, Debug)]
pub struct Options {
    /// Frozen pattern or sequential. Default sequential.
    pub method: Method,
    /// What is minimised. Default guarded.
    pub objective: Objective,
    /// Whether biases behind the start layer may change too. Default: for frozen
    /// patterns only, as in APRNN.
    pub later_biases: Option<bool>,
    /// Largest absolute change of any entry before rounding (frozen only). Default none.
    pub box_bound: Option<f64>,
    /// Damping ε of the guard metric. Default [`DAMPING`].
    pub damping: f64,
    /// Time for the whole repair. Default none.
    pub time_limit: Option<Duration>,
    /// Steps of a sequential repair. Default 100.
    pub max_rounds: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            method: Method::default(),
            objective: Objective::default(),
            later_biases: None,
            box_bound: None,
            damping: DAMPING,
            time_limit: None,
            max_rounds: 100,
        }
    }
}

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

/// Attempts to outrun the rounding error by a larger safety.
const ROUNDING_ATTEMPTS: usize = 4;

/// Repairs one layer.
///
/// # Errors
/// [`RepairError`] when the problem makes no sense or something outside the
/// mathematics fails. Infeasibility and spent limits are outcomes.
pub fn repair(problem: &Problem<'_>, options: &Options) -> Result<Outcome, RepairError> {
    Run::new(problem, options)?.outcome()
}

/// The metric of a problem under some options.
///
/// # Errors
/// [`RepairError::NoGuard`] for the guarded objective without moments;
/// [`RepairError::Metric`].
pub fn metric(
    problem: &Problem<'_>,
    options: &Options,
    later: &[Layer],
) -> Result<Metric, RepairError> {
    if options.objective == Objective::Guarded {
        let guard = problem.guard.ok_or(RepairError::NoGuard)?;
        Metric::guarded(problem.layer, later, guard, options.damping)
    } else {
        Ok(Metric::euclidean(problem.layer, later))
    }
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
        problem
            .set
            .validate(problem.network, problem.network.classes())?;
        let later_biases = options
            .later_biases
            .unwrap_or(options.method == Method::Frozen);
        let suffix = Suffix::new(
            problem.network,
            problem.layer,
            &problem.set.inputs,
            later_biases,
        )?;
        let outputs = suffix.outputs(None, Mode::Free)?;
        let classes = problem.network.classes();
        if let Some(at) = outputs.iter().position(|y| !y.is_finite()) {
            return Err(RepairError::Overflow {
                point: at / classes,
                output: at % classes,
            });
        }
        let metric = metric(problem, options, suffix.later())?;
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

    fn outcome(mut self) -> Result<Outcome, RepairError> {
        let (mut safety, _) = tolerances(self.problem.network.precision());
        let mut rounded = None;
        for _ in 0..ROUNDING_ATTEMPTS {
            let start = Instant::now();
            let candidate = self.candidate(safety);
            self.report.solve_seconds += start.elapsed().as_secs_f64();
            let candidate = match candidate {
                Ok(Ok(candidate)) => candidate,
                Ok(Err(Outcome::Infeasible(_))) => return self.confirm_infeasible(),
                Ok(Err(outcome)) => return Ok(outcome),
                Err(RepairError::Network(error @ NetworkError::NoLinearPiece { .. })) => {
                    return Ok(self.unfinished(StopReason::NoLinearPiece(error.to_string()), None));
                }
                Err(error) => return Err(error),
            };
            let Some(repair) = self.round(candidate.change, candidate.prices)? else {
                return Ok(self.unfinished(StopReason::Overflow, None));
            };
            // The file decides, not what the solver thinks of it.
            if holds(&repair) {
                return Ok(Outcome::Repaired(Box::new(repair)));
            }
            if let Some(reason) = candidate.shortfall {
                return Ok(self.unfinished(reason, Some(repair)));
            }
            // What is missing, doubled, is what the next attempt adds.
            let missing = (-2.0 * repair.least_slack).max(safety.specification);
            safety = Safety {
                specification: safety.specification + missing,
                sign: safety.sign + missing,
            };
            rounded = Some(repair);
            if self.expired() {
                break;
            }
        }
        let worst_slack = rounded
            .as_ref()
            .map_or(f64::NAN, |repair| repair.least_slack);
        Ok(self.unfinished(StopReason::Rounding { worst_slack }, rounded))
    }

    /// Rows are encoded with a safety that the specification does not ask for: only
    /// what is infeasible without it is infeasible.
    fn confirm_infeasible(mut self) -> Result<Outcome, RepairError> {
        let exact = Safety {
            specification: 0.0,
            sign: 0.0,
        };
        let candidate = match self.candidate(exact)? {
            Ok(candidate) => candidate,
            Err(outcome) => return Ok(outcome),
        };
        let Some(repair) = self.round(candidate.change, candidate.prices)? else {
            return Ok(self.unfinished(StopReason::Overflow, None));
        };
        if holds(&repair) {
            return Ok(Outcome::Repaired(Box::new(repair)));
        }
        let worst_slack = repair.least_slack;
        let reason = candidate
            .shortfall
            .unwrap_or(StopReason::Rounding { worst_slack });
        Ok(self.unfinished(reason, Some(repair)))
    }

    /// A change that satisfies the encoded rows, or the outcome that there is none.
    fn candidate(&mut self, safety: Safety) -> Result<Result<Candidate, Outcome>, RepairError> {
        match (self.options.method, self.options.objective) {
            (Method::Sequential, _) => self.sequential(safety),
            (Method::Frozen, Objective::Aprnn) => self.full(safety),
            (Method::Frozen, _) => self.frozen(safety),
        }
    }

    fn frozen(&mut self, safety: Safety) -> Result<Result<Candidate, Outcome>, RepairError> {
        let set = self.problem.set;
        let mut rows = FrozenRows::new(
            &self.suffix,
            &self.metric,
            set,
            safety,
            self.options.box_bound,
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
                    prices: self.prices(&optimum.multipliers),
                    change: self.metric.change(&optimum.x),
                    shortfall: None,
                }))
            }
            Solution::Infeasible(proof) => {
                self.report.rows = proof.rows_used;
                self.report.rows_total = optim::Constraints::total(&rows);
                self.report.rounds = proof.rounds;
                Ok(Err(self.infeasible(&mut rows, &proof)?))
            }
            Solution::Stopped(stop) => {
                self.report.rows = stop.rows_used;
                self.report.rows_total = stop.rows_total;
                self.report.rounds = stop.rounds;
                self.report.lower_bound = Some(stop.lower_bound);
                self.report.worst_violation = stop.worst_violation.unwrap_or(f64::NAN);
                let reason = self.stop_reason(&stop.reason);
                // A norm that ran out of time may have a point that satisfies every row.
                match stop.best {
                    Some(x) => Ok(Ok(Candidate {
                        change: self.metric.change(&x),
                        prices: vec![0.0; set.len()],
                        shortfall: Some(reason),
                    })),
                    None => Ok(Err(self.unfinished(reason, None))),
                }
            }
        }
    }

    /// The conflict of a proof, made smaller.
    fn infeasible(
        &self,
        rows: &mut FrozenRows<'_>,
        proof: &Farkas,
    ) -> Result<Outcome, RepairError> {
        let named = conflicting(&proof.multipliers, self.problem.set.len());
        let (points, minimal) = self.shrink(rows, named)?;
        Ok(Outcome::Infeasible(Conflict {
            points,
            minimal,
            radius: proof.radius(),
            report: self.report.clone(),
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
                    let named = conflicting(&proof.multipliers, self.problem.set.len());
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
                )?;
                match minimise_l2(&mut rows, &self.limits())? {
                    Solution::Infeasible(proof) => Ok(Err(self.infeasible(&mut rows, &proof)?)),
                    _ => {
                        let reason =
                            StopReason::Solver("infeasibility is claimed but not proved".into());
                        Ok(Err(self.unfinished(reason, None)))
                    }
                }
            }
            FullOutcome::Stopped(LpStop::Time) => {
                let reason = StopReason::Time(self.options.time_limit.unwrap_or_default());
                Ok(Err(self.unfinished(reason, None)))
            }
            FullOutcome::Stopped(stop) => Ok(Err(
                self.unfinished(StopReason::Solver(format!("{stop:?}")), None)
            )),
        }
    }

    fn sequential(&mut self, safety: Safety) -> Result<Result<Candidate, Outcome>, RepairError> {
        let set = self.problem.set;
        let sequence = sequential::run(
            &self.suffix,
            &self.metric,
            set,
            safety.specification,
            self.options.max_rounds,
            self.deadline,
        )?;
        self.report.rows = sequence.rows;
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
            SequenceStop::Time => StopReason::Time(self.options.time_limit.unwrap_or_default()),
            SequenceStop::Solver(message) => StopReason::Solver(message),
            SequenceStop::Stalled => StopReason::Stalled {
                points: wrong_points(set, &sequence.slacks),
                worst_slack: worst_slack + safety.specification,
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
            checkpoint,
            layer,
            set,
            ..
        } = *self.problem;
        let edited = change.edited(checkpoint, layer, self.suffix.later())?;
        let checkpoint = match checkpoint.with_tensors(&edited) {
            Ok(checkpoint) => checkpoint,
            Err(NetworkError::NotFinite { .. }) => return Ok(None),
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
            report: self.report.clone(),
        }))
    }

    fn unfinished(&self, reason: StopReason, best: Option<Repair>) -> Outcome {
        Outcome::Unknown(Box::new(Unfinished {
            reason,
            best,
            report: self.report.clone(),
        }))
    }

    fn stop_reason(&self, reason: &optim::StopReason) -> StopReason {
        match reason {
            optim::StopReason::Time => {
                StopReason::Time(self.options.time_limit.unwrap_or_default())
            }
            other => StopReason::Solver(format!("{other:?}")),
        }
    }

    fn prices(&self, multipliers: &[Multiplier]) -> Vec<f64> {
        let mut prices = vec![0.0; self.problem.set.len()];
        for multiplier in multipliers {
            // Box rows belong to no point.
            if let Some(price) = prices.get_mut(multiplier.input) {
                *price += multiplier.value;
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

/// Clarabel is the faster engine for these masters; where its digits do not
/// suffice, a simplex basis does.
fn minimise_by_lp(
    norm: Norm,
    rows: &mut FrozenRows<'_>,
    limits: &Limits,
) -> Result<Solution, RepairError> {
    match minimise_norm(norm, rows, &Clarabel, limits)? {
        Solution::Stopped(stop) if matches!(stop.reason, optim::StopReason::Numerical { .. }) => {
            Ok(minimise_norm(norm, rows, &Microlp, limits)?)
        }
        solution => Ok(solution),
    }
}

/// Every specification holds on the saved weights, and every label wins.
fn holds(repair: &Repair) -> bool {
    repair.least_slack >= 0.0 && repair.efficacy == 100.0
}

/// The points that a proof names, in ascending order.
fn conflicting(multipliers: &[Multiplier], points: usize) -> Vec<usize> {
    let mut named: Vec<usize> = multipliers
        .iter()
        .map(|m| m.input)
        .filter(|&input| input < points)
        .collect();
    named.sort_unstable();
    named.dedup();
    named
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

/// The layer and the guard moments must be those of the network.
fn check_belonging(problem: &Problem<'_>) -> Result<(), RepairError> {
    let layers = problem.network.layers();
    if layers.get(problem.layer.index) != Some(problem.layer) {
        return Err(RepairError::Option {
            option: "layer",
            expected: "a layer of the network to repair".into(),
            got: format!("{} of another network", problem.layer.name),
        });
    }
    let Some(guard) = problem.guard else {
        return Ok(());
    };
    let fits = |(layer, moments): (&Layer, &LayerMoments)| {
        moments.inputs.nrows() == layer.inputs + 1 && moments.outputs.nrows() == layer.outputs
    };
    if guard.layers.len() != layers.len() || !layers.iter().zip(&guard.layers).all(fits) {
        return Err(RepairError::Option {
            option: "guard",
            expected: "moments of the network to repair".into(),
            got: "moments of another network".into(),
        });
    }
    Ok(())
}

fn check_options(options: &Options) -> Result<(), RepairError> {
    let wrong = |option, expected: &str, got: String| {
        Err(RepairError::Option {
            option,
            expected: expected.to_owned(),
            got,
        })
    };
    if options.method == Method::Sequential && !options.objective.is_quadratic() {
        return wrong(
            "objective",
            "guarded or l2 for a sequential repair",
            options.objective.to_string(),
        );
    }
    if options.method == Method::Sequential && options.box_bound.is_some() {
        return wrong(
            "box_bound",
            "none for a sequential repair",
            format!("{:?}", options.box_bound),
        );
    }
    if let Some(bound) = options.box_bound
        && !(bound > 0.0 && bound.is_finite())
    {
        return wrong("box_bound", "a finite number > 0", bound.to_string());
    }
    if !(options.damping > 0.0 && options.damping.is_finite()) {
        return wrong(
            "damping",
            "a finite number > 0",
            options.damping.to_string(),
        );
    }
    if options.max_rounds == 0 {
        return wrong("max_rounds", "at least 1", "0".into());
    }
    Ok(())
}
