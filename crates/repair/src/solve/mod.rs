//! The entry point: one repair problem, one outcome.
//!
//! `propose` finds a change that satisfies the encoded rows, by one of the methods; `refute` says when
//! there is none; what is decided here is decided on the file as it would be saved.

mod propose;
mod refute;

use std::time::Instant;

use network::{Dtype, Mode, ModelError, NetworkError, Precision};
use optim::Limits;

use self::propose::{Candidate, Proposal};
use crate::equilibration::Equilibration;
use crate::frozen::Safety;
use crate::metric::Metric;
use crate::outcome::{Outcome, Repair, Report, StopReason, Unfinished};
use crate::problem::{Options, Problem, check_belonging, check_options, check_start, metric};
use crate::suffix::Suffix;
use crate::units::{output_size, unit};
use crate::verify::verify;
use crate::{Change, Method, RepairError};

/// How far beyond their bounds specifications are pushed and signs kept, and how
/// exactly rows are solved, by the precision in which they are evaluated; in units of the rows.
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
/// Rounding of the weights moves an output by at most about this many roundings of a number of
/// its size.
const ROUNDINGS: f64 = 4.0;
/// Share of the memory for the solver's factor or program; the rest is for values, sensitivities
/// and rows.
const SOLVER_SHARE: f64 = 0.5;

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
    /// Whether the problem is one quadratic program, whatever the method.
    is_one_program: bool,
    /// The network's outputs at the points before the repair, points x classes.
    outputs: Vec<f64>,
    deadline: Option<Instant>,
    report: Report,
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
        let is_one_program = is_one_program(problem, options, &suffix);
        if options.method == Method::Sequential && !is_one_program {
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
            is_one_program,
            outputs,
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
        let mut stalled = Vec::new();
        for _ in 0..ROUNDING_ATTEMPTS {
            let candidate = match self.candidate(safety) {
                Ok(Proposal::Change(candidate)) => candidate,
                Ok(Proposal::Infeasible) => return self.confirm_infeasible(),
                Ok(Proposal::Stopped(reason)) => return Ok(unfinished(reason, rounded)),
                Err(RepairError::Network(error @ NetworkError::NoLinearPiece { .. })) => {
                    return Ok(unfinished(
                        StopReason::NoLinearPiece(error.to_string()),
                        None,
                    ));
                }
                Err(error) => return Err(error),
            };
            let missing = match self.judge(candidate)? {
                Judgement::Final(outcome) => return Ok(outcome),
                // What is missing, doubled, is what the next attempt adds.
                Judgement::Lost(repair, shortfall) => {
                    let missing = -2.0 * repair.least_slack / self.output_unit();
                    rounded = Some(*repair);
                    stalled.extend(shortfall);
                    missing.max(safety.specification)
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
        // What stalled each time has stalled, and was not lost in rounding.
        let each_time = stalled.len() == ROUNDING_ATTEMPTS;
        Ok(match stalled.pop().filter(|_| each_time) {
            Some(reason) => unfinished(reason, rounded),
            None => self.lost_in_rounding(rounded),
        })
    }

    /// What a candidate comes to once it is saved: the file decides, not what the solver thinks of
    /// it.
    fn judge(&mut self, candidate: Candidate) -> Result<Judgement, RepairError> {
        let Some(repair) = self.round(candidate.change, candidate.prices)? else {
            return Ok(Judgement::Final(unfinished(StopReason::Overflow, None)));
        };
        if self.holds(&repair) {
            return Ok(Judgement::Final(Outcome::Repaired(Box::new(repair))));
        }
        Ok(match candidate.shortfall {
            // A sequence that stalls no farther from its bounds than rounding moves the outputs
            // would get there if it aimed beyond them.
            Some(StopReason::Stalled { worst_slack, .. })
                if -worst_slack <= self.rounding_size()? =>
            {
                Judgement::Lost(Box::new(repair), candidate.shortfall)
            }
            Some(reason) => Judgement::Final(unfinished(reason, Some(repair))),
            None => Judgement::Lost(Box::new(repair), None),
        })
    }

    fn lost_in_rounding(&self, best: Option<Repair>) -> Outcome {
        let worst_slack = best.as_ref().map_or(f64::NAN, |repair| repair.least_slack);
        unfinished(StopReason::Rounding { worst_slack }, best)
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

    /// The unit in which specifications are kept and solved.
    fn output_unit(&self) -> f64 {
        unit(output_size(&self.outputs, self.problem.set))
    }

    /// What rounding the edited tensors to their dtypes moves the outputs by.
    fn rounding_size(&self) -> Result<f64, RepairError> {
        let mut precision = 0.0_f64;
        for layer in self.problem.layers {
            let half_step = match self.problem.checkpoint.dtype(&layer.weight)? {
                Dtype::BF16 => 2f64.powi(-9),
                Dtype::F16 => 2f64.powi(-12),
                _ => 2f64.powi(-25),
            };
            precision = precision.max(half_step);
        }
        Ok(ROUNDINGS * precision * output_size(&self.outputs, self.problem.set))
    }

    /// The sizes of features and sensitivities in the coordinates of a metric.
    fn equilibration(&self, metric: Metric) -> Result<Equilibration, RepairError> {
        let (set, memory) = (self.problem.set, self.options.max_memory);
        Equilibration::new(&self.suffix, metric, set, &self.outputs, memory)
    }

    /// The Euclidean metric in units in which all features and sensitivities have equal sizes.
    fn ordinary_units(&self) -> Result<Metric, RepairError> {
        let plain = Metric::euclidean(self.suffix.layers());
        Ok(self.equilibration(plain)?.equal())
    }

    fn limits(&self) -> Limits {
        Limits {
            deadline: self.deadline,
            tolerance: tolerances(self.problem.network.precision()).1,
            max_bytes: (SOLVER_SHARE * self.options.max_memory as f64) as usize,
            ..Limits::default()
        }
    }

    fn expired(&self) -> bool {
        self.deadline.is_some_and(|end| Instant::now() >= end)
    }
}

/// What a candidate is worth.
enum Judgement {
    /// The answer.
    Final(Outcome),
    /// Rounding alone has broken it: more safety may help. With the reason, if it had stalled.
    Lost(Box<Repair>, Option<StopReason>),
}

/// Whether outputs are affine in the change, so that all that can be asked of it is a quadratic
/// program which no sequence solves better.
fn is_one_program(problem: &Problem<'_>, options: &Options, suffix: &Suffix<'_>) -> bool {
    let [only] = suffix.layers() else {
        return false;
    };
    let is_plain = problem.start.is_none() && !options.keep_zeros && only.groups() == 1;
    // Frozen patterns are taken of all nodes behind the layer, whether they depend on it or not.
    let nodes = problem.network.graph().nodes().iter();
    is_plain
        && nodes
            .skip(only.layer().node + 1)
            .all(|node| node.op.is_affine())
}

fn unfinished(reason: StopReason, best: Option<Repair>) -> Outcome {
    Outcome::Unknown(Box::new(Unfinished {
        reason,
        best,
        report: Report::default(),
    }))
}
