//! Changes that satisfy the encoded rows, by one of the methods.

use std::time::Instant;

use optim::generate::minimise_norm;
use optim::lp::{Clarabel, LpStop, Microlp};
use optim::norms::Norm;
use optim::{Farkas, Limits, Multiplier, Optimum, Solution, Stop, minimise_l2};

use super::Run;
use crate::affine::Affine;
use crate::frozen::{FrozenRows, Safety};
use crate::full::{FullOutcome, FullProgram};
use crate::linearised::Settings;
use crate::metric::Metric;
use crate::outcome::StopReason;
use crate::sequential::{self, Sequence, SequenceStop};
use crate::{Change, Method, Objective, RepairError, RepairSet};

/// Largest ratio of two features, or of two outputs' sensitivities, that needs no other units.
/// Squares of it, against an elasticity of 1e-6, are where directions that tell points apart drown
/// (a linear layer with one feature K times the others is repaired by a sequence at K = 3e4 and not
/// at 1e5).
const BADLY_SCALED: f64 = 1e4;
/// Shares of the largest size to which sizes are capped, one after the other, where the objective's
/// own units get no answer: the least that helps leaves most of the objective.
const CAPS: [f64; 9] = [1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e8, 1e10, 1e12];
/// The same for a sequence, which takes longer.
const SEQUENCE_CAPS: [f64; 3] = [1e2, 1e4, 1e6];

/// A change that a solver proposes, before rounding.
pub(super) struct Candidate {
    pub(super) change: Change,
    pub(super) prices: Vec<f64>,
    /// Why it is known to be no answer, if it is.
    pub(super) shortfall: Option<StopReason>,
}

/// What a method comes to.
pub(super) enum Proposal {
    /// A change.
    Change(Candidate),
    /// The rows contradict each other, safety included.
    Infeasible,
    /// Neither.
    Stopped(StopReason),
}

/// The rows of a frozen pattern, solved.
enum Frozen {
    /// The optimum, as a change of tensors, with the price of every point.
    Optimal {
        optimum: Optimum,
        change: Change,
        prices: Vec<f64>,
    },
    /// No answer, and the change that was reached.
    Stopped { stop: Stop, best: Option<Change> },
    /// A proof that there is none.
    Infeasible(Farkas),
}

impl<'a> Run<'a> {
    /// A change that satisfies the encoded rows, or that there is none.
    pub(super) fn candidate(&mut self, safety: Safety) -> Result<Proposal, RepairError> {
        let start = Instant::now();
        let proposal = match (self.options.method, self.options.objective) {
            (Method::Sequential, _) if !self.is_one_program => self.sequential(safety),
            (_, Objective::Aprnn) => self.full(safety),
            _ => self.frozen(safety),
        };
        self.report.solve_seconds += start.elapsed().as_secs_f64();
        proposal
    }

    /// The rows of a frozen pattern in a metric.
    pub(super) fn frozen_rows<'r>(
        &'r self,
        metric: &Metric,
        safety: Safety,
    ) -> Result<FrozenRows<'r>, RepairError> {
        FrozenRows::new(
            &self.suffix,
            metric,
            self.problem.set,
            safety,
            self.options.box_bound,
            self.options.max_memory,
        )
    }

    /// The rows of a frozen pattern, solved in a metric; with a norm, which has none, in the Euclidean
    /// one.
    fn solved(
        &self,
        metric: &Metric,
        safety: Safety,
        norm: Option<Norm>,
    ) -> Result<Frozen, RepairError> {
        let mut rows = self.frozen_rows(metric, safety)?;
        let limits = self.limits();
        let solution = match norm {
            None => minimise_l2(&mut rows, &limits)?,
            Some(norm) => minimise_by_lp(norm, &mut rows, &limits)?,
        };
        Ok(match solution {
            Solution::Optimal(optimum) => Frozen::Optimal {
                change: rows.change(&optimum.x),
                prices: self.prices(&rows, &optimum.multipliers),
                optimum,
            },
            Solution::Stopped(stop) => Frozen::Stopped {
                best: stop.best.as_ref().map(|x| rows.change(x)),
                stop,
            },
            Solution::Infeasible(proof) => Frozen::Infeasible(proof),
        })
    }

    fn frozen(&mut self, safety: Safety) -> Result<Proposal, RepairError> {
        let layers = self.suffix.layers().iter();
        self.report.columns = layers.map(Affine::entries).sum();
        match self.solved(&self.metric, safety, self.options.objective.norm())? {
            Frozen::Optimal {
                optimum,
                change,
                prices,
            } => {
                self.record_optimum(&optimum);
                Ok(Proposal::Change(Candidate {
                    change,
                    prices,
                    shortfall: None,
                }))
            }
            Frozen::Infeasible(_) => self.rescaled(safety),
            Frozen::Stopped { stop, best } => {
                self.record_stop(&stop);
                let reason = self.stop_reason(&stop.reason);
                let reached = best.map(|change| Candidate {
                    change,
                    prices: vec![0.0; self.problem.set.len()],
                    shortfall: Some(reason.clone()),
                });
                match (stop.reason, reached) {
                    (optim::StopReason::Numerical { .. }, reached) => {
                        self.rescaled_or(safety, reached)
                    }
                    (_, Some(reached)) => self.reached(reached),
                    (_, None) => Ok(Proposal::Stopped(reason)),
                }
            }
        }
    }

    /// A change at which a solver stopped; how far it is from the optimum, objective and lower bound
    /// tell.
    fn reached(&mut self, candidate: Candidate) -> Result<Proposal, RepairError> {
        self.report.objective = self.objective(&candidate.change)?;
        Ok(Proposal::Change(candidate))
    }

    /// What a solver that ran out of digits has reached, if that holds once it is saved; else the
    /// repair in other units.
    fn rescaled_or(
        &mut self,
        safety: Safety,
        mut reached: Option<Candidate>,
    ) -> Result<Proposal, RepairError> {
        // Violations of a solver that ran out of digits may be less than the safety.
        let holds = match &reached {
            Some(candidate) => self
                .round(candidate.change.clone(), Vec::new())?
                .is_some_and(|repair| self.holds(&repair)),
            None => false,
        };
        if let Some(candidate) = reached.take_if(|_| holds) {
            return self.reached(candidate);
        }
        Ok(match (self.rescaled(safety)?, reached) {
            // Nothing better was found than what there was.
            (Proposal::Stopped(_), Some(reached)) => Proposal::Change(reached),
            (proposal, _) => proposal,
        })
    }

    /// Solves the rows of the frozen pattern in other units than the objective's: rounding says
    /// less, and the change need not be the cheapest.
    pub(super) fn rescaled(&mut self, safety: Safety) -> Result<Proposal, RepairError> {
        if self.expired() {
            return Ok(Proposal::Stopped(self.out_of_time()));
        }
        let ordinary = self.frozen_in(&self.ordinary_units()?, safety)?;
        if !matches!(ordinary, Proposal::Change(_)) {
            return Ok(ordinary);
        }
        let sizes = self.equilibration(self.metric.clone())?;
        let spread = sizes.spread();
        if spread <= BADLY_SCALED {
            return Ok(ordinary);
        }
        let found = self.report.clone();
        for cap in CAPS.into_iter().take_while(|&cap| cap < spread) {
            tracing::debug!(spread, cap, "the frozen rows in capped units");
            let cheaper = self.frozen_in(&sizes.capped(cap), safety)?;
            if matches!(cheaper, Proposal::Change(_)) {
                return Ok(cheaper);
            }
            if self.expired() {
                break;
            }
        }
        self.report = found;
        Ok(ordinary)
    }

    /// Solves the rows of the frozen pattern, minimising the norm of another metric than the
    /// objective's.
    fn frozen_in(&mut self, metric: &Metric, safety: Safety) -> Result<Proposal, RepairError> {
        let solved = self.solved(metric, safety, None)?;
        let proposal = match solved {
            Frozen::Optimal {
                optimum, change, ..
            } => {
                self.record_optimum(&optimum);
                self.report.rescaled = true;
                self.report.objective = self.objective(&change)?;
                Proposal::Change(Candidate {
                    change,
                    prices: vec![0.0; self.problem.set.len()],
                    shortfall: None,
                })
            }
            Frozen::Stopped { stop, .. } => {
                self.record_stop(&stop);
                Proposal::Stopped(match stop.reason {
                    // Neither a change nor a proof.
                    optim::StopReason::Numerical { .. } => StopReason::Undecided,
                    reason => self.stop_reason(&reason),
                })
            }
            Frozen::Infeasible(proof) => {
                self.report.rows = proof.rows_used;
                self.report.rounds = proof.rounds;
                Proposal::Infeasible
            }
        };
        // What the dual bounds is not what was asked for.
        self.report.lower_bound = None;
        Ok(proposal)
    }

    fn record_optimum(&mut self, optimum: &Optimum) {
        self.report.rows = optimum.rows_used;
        self.report.rows_total = optimum.rows_total;
        self.report.rounds = optimum.rounds;
        self.report.objective = optimum.objective;
        self.report.lower_bound = Some(optimum.lower_bound);
        self.report.worst_violation = optimum.worst_violation;
        self.report.rescaled = false;
    }

    fn record_stop(&mut self, stop: &Stop) {
        self.report.rows = stop.rows_used;
        self.report.rows_total = stop.rows_total;
        self.report.rounds = stop.rounds;
        self.report.lower_bound = Some(stop.lower_bound);
        self.report.worst_violation = stop.worst_violation.unwrap_or(f64::NAN);
        self.report.rescaled = false;
    }

    /// The value of the objective at a change.
    fn objective(&self, change: &Change) -> Result<f64, RepairError> {
        Ok(match self.options.objective {
            Objective::L2 | Objective::Guarded => {
                self.metric.half_square(self.suffix.layers(), change)
            }
            Objective::L1 => change.norm_l1(),
            Objective::LInf => change.norm_linf(),
            Objective::L1PlusLInf => {
                change.norm_l1() / change.len().max(1) as f64 + change.norm_linf()
            }
            Objective::Aprnn => {
                let state = self.suffix.at(Some(change))?;
                let outputs = self.suffix.outputs(&state, network::Mode::Free)?;
                let moved = outputs
                    .iter()
                    .zip(&self.outputs)
                    .map(|(a, b)| (a - b).abs());
                let (sum, largest) = moved.fold((0.0, 0.0), |(sum, largest), d| {
                    (sum + d, f64::max(largest, d))
                });
                let count = (change.len() + outputs.len()).max(1) as f64;
                (change.norm_l1() + sum) / count + change.norm_linf().max(largest)
            }
        })
    }

    fn full(&mut self, safety: Safety) -> Result<Proposal, RepairError> {
        let set = self.problem.set;
        let bytes = FullProgram::estimated_bytes(&self.suffix, set);
        if bytes > self.options.max_memory {
            return Ok(Proposal::Stopped(self.out_of_memory(bytes)));
        }
        let Some(program) = FullProgram::new(
            &self.suffix,
            set,
            self.options.objective,
            safety,
            self.options.box_bound,
            self.deadline,
        )?
        else {
            return Ok(Proposal::Stopped(self.out_of_time()));
        };
        let (rows, columns, _) = program.size();
        self.report.rows = rows;
        self.report.columns = columns;
        self.report.rows_total = rows;
        self.report.rounds = 1;
        let limit = self
            .deadline
            .map(|end| end.saturating_duration_since(Instant::now()));
        match program.solve(limit)? {
            FullOutcome::Optimal(change, objective, violation) => {
                self.report.objective = objective;
                self.report.worst_violation = violation;
                self.report.rescaled = false;
                Ok(Proposal::Change(Candidate {
                    change,
                    prices: vec![0.0; set.len()],
                    shortfall: None,
                }))
            }
            FullOutcome::Stopped(LpStop::Time) => Ok(Proposal::Stopped(self.out_of_time())),
            // The kernel form proves it again and names the points, or finds a repair.
            FullOutcome::Infeasible | FullOutcome::Stopped(_) => self.rescaled(safety),
        }
    }

    fn sequential(&mut self, safety: Safety) -> Result<Proposal, RepairError> {
        let mut sequence = self.sequence(&self.metric, safety, self.problem.start)?;
        self.record_sequence(&sequence);
        let gave_up = !matches!(sequence.stop, None | Some(SequenceStop::Time));
        let is_plain = self.problem.start.is_none() && !self.options.keep_zeros;
        if gave_up
            && is_plain
            && let Some(second) = self.rescaled_sequence(safety)?
        {
            self.record_sequence(&second);
            self.report.rescaled = true;
            self.report.objective = self.objective(&second.change)?;
            sequence = second;
            sequence.prices.fill(0.0);
        }
        let worst_slack = sequence
            .slacks
            .iter()
            .copied()
            .fold(f64::INFINITY, f64::min);
        let aim = safety.specification * self.output_unit();
        let shortfall = sequence.stop.map(|stop| match stop {
            SequenceStop::Time => self.out_of_time(),
            SequenceStop::Rounds => StopReason::Rounds {
                rounds: sequence.rounds,
                worst_slack: worst_slack + aim,
            },
            SequenceStop::Solver(message) => StopReason::Solver(message),
            SequenceStop::Stalled => StopReason::Stalled {
                points: wrong_points(self.problem.set, &sequence.slacks),
                worst_slack: worst_slack + aim,
                conflict: sequence.conflict,
            },
        });
        Ok(Proposal::Change(Candidate {
            change: sequence.change,
            prices: sequence.prices,
            shortfall,
        }))
    }

    /// A sequence that gets there in other units than the objective's, where sizes differ by enough
    /// to be the reason why none did in those; from there on in the objective's.
    fn rescaled_sequence(&self, safety: Safety) -> Result<Option<Sequence>, RepairError> {
        if self.expired() {
            return Ok(None);
        }
        let sizes = self.equilibration(self.metric.clone())?;
        let spread = sizes.spread();
        if spread <= BADLY_SCALED {
            return Ok(None);
        }
        let caps = SEQUENCE_CAPS.into_iter().filter(|&cap| cap < spread);
        let capped = caps.map(|cap| Ok(sizes.capped(cap)));
        let all = capped.chain(std::iter::once_with(|| self.ordinary_units()));
        for metric in all {
            let found = self.sequence(&metric?, safety, None)?;
            if found.stop.is_some() {
                if self.expired() {
                    break;
                }
                continue;
            }
            let cheaper = self.sequence(&self.metric, safety, Some(&found.change))?;
            let is_cheaper = cheaper.stop.is_none()
                && self.objective(&cheaper.change)? < self.objective(&found.change)?;
            return Ok(Some(if is_cheaper { cheaper } else { found }));
        }
        Ok(None)
    }

    fn sequence(
        &self,
        metric: &Metric,
        safety: Safety,
        start: Option<&Change>,
    ) -> Result<Sequence, RepairError> {
        let unit = self.output_unit();
        sequential::run(
            &self.suffix,
            metric,
            self.problem.set,
            Settings {
                safety: safety.specification * unit,
                unit: unit.max(self.rounding_size()? / sequential::LARGEST_OVERSHOOT),
                max_memory: self.options.max_memory,
                keep_zeros: self.options.keep_zeros,
                start,
            },
            self.options.max_rounds,
            self.deadline,
        )
    }

    fn record_sequence(&mut self, sequence: &Sequence) {
        self.report.rows = sequence.rows;
        self.report.columns = sequence.columns;
        self.report.bytes = self.report.bytes.max(sequence.bytes);
        self.report.rows_total = self.problem.set.inequalities();
        self.report.rounds += sequence.rounds;
        self.report.objective = sequence.objective;
        self.report.rescaled = false;
        let slacks = sequence.slacks.iter().copied();
        self.report.worst_violation = -slacks.fold(f64::INFINITY, f64::min);
    }

    pub(super) fn out_of_time(&self) -> StopReason {
        StopReason::Time(self.options.time_limit.unwrap_or_default())
    }

    fn out_of_memory(&self, needed: usize) -> StopReason {
        StopReason::Memory {
            needed,
            limit: self.options.max_memory,
        }
    }

    pub(super) fn stop_reason(&self, reason: &optim::StopReason) -> StopReason {
        match reason {
            optim::StopReason::Time => self.out_of_time(),
            optim::StopReason::Memory { bytes } => self.out_of_memory(*bytes),
            other => StopReason::Solver(other.to_string()),
        }
    }

    fn prices(&self, rows: &FrozenRows<'_>, multipliers: &[Multiplier]) -> Vec<f64> {
        let mut prices = vec![0.0; self.problem.set.len()];
        for multiplier in multipliers {
            // Box rows belong to no point.
            if let Some(point) = rows.point_of(multiplier.row) {
                // A row in its unit has a bound in its unit.
                prices[point] += multiplier.value / rows.unit_of(multiplier.row);
            }
        }
        prices
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
