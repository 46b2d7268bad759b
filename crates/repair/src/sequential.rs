//! Sequential repair with free patterns.
//!
//! ```text
//! Δ <- 0
//! repeat
//!     linearise the slacks at Δ                   slack_r(Δ) + a_r·(Δ' - Δ)
//!     Δ' <- argmin ½‖Δ'‖² + ρ/2 σ⁻² Σ_i ‖(Δ' - Δ) h̃_i‖²    under the linearised rows
//!     step towards Δ' while the merit of the real network falls
//!     the trust weight ρ rises when no step does, and falls otherwise
//!     leap where no step lowers the merit, or many lower it by next to nothing
//! until every real slack holds and the objective stops falling
//! ```
//!
//! The trust term (σ² is the mean squared singular value of the features h̃) measures how far a
//! step moves the layer's outputs *at the repair points*, which is what flips their patterns; the objective alone would call a
//! direction that no guard input uses free. As ρ grows, each point is moved as
//! little as its own rows need, independently of the others.
//!
//! The merit is the exact penalty `½‖Δ‖² + ν Σ_r max(0, -slack_r)` evaluated on
//! the real network, so only real progress is accepted (Nocedal & Wright,
//! Numerical Optimization, chapter 18). Inequalities that were violated once and
//! the tightest few of each point keep their rows, or the next step would break
//! them. The result is verified like any other; there is no optimality claim.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::linearised::{Iterate, Linearised, Settings, Step};
use crate::metric::Metric;
use crate::suffix::Suffix;
use crate::{Change, RepairError, RepairSet};

/// Share of the predicted fall of the merit that a step must achieve.
const SUFFICIENT: f64 = 0.05;
/// Fractions of the step that are tried.
const FRACTIONS: [f64; 3] = [1.0, 0.5, 0.2];
/// Those that are tried too beyond a trust weight: no other direction will do better, and
/// kinks may lie close.
const SMALL_FRACTIONS: [f64; 3] = [0.1, 0.03, 0.005];
const SMALL_FROM: f64 = 100.0;
/// The first trust weight, the one below which there is none, and the one beyond
/// which no step is worth taking; relative to the objective's own curvature.
const FIRST_TRUST: f64 = 1.0;
const LEAST_TRUST: f64 = 1e-3;
const LARGEST_TRUST: f64 = 1e9;
/// How far rows aim beyond the safety, relative to the worst violation: elastic rows and kinks
/// leave some of it.
const OVERSHOOT: f64 = 5.0;
/// The most that rows aim beyond the safety.
const LARGEST_OVERSHOOT: f64 = 0.05;
/// Fractions of a step that are taken one after the other where no step lowers the merit or a
/// repair crawls: kinks meet there, and the merit falls again behind them.
const LEAPS: [f64; 8] = [0.2, 0.5, 1.0, 0.2, 0.5, 1.0, 0.5, 1.0];
/// What is tried of a leap, one after the other, where the network overflows.
const SHORTER_LEAPS: [f64; 3] = [1.0, 0.1, 0.01];
/// A repair crawls when its trust weight stays beyond the first number for as many steps as the
/// second, and they leave more than the third of the violation: it follows kinks, and leaps are
/// worth more than further such steps.
const CRAWL_TRUST: f64 = 1e5;
const CRAWL_STEPS: usize = 8;
const CRAWL_SHARE: f64 = 0.8;
/// Steps after the first success, spent on lowering the objective.
const POLISHING: usize = 12;
/// Polishing steps that may fail.
const REFUSALS: usize = 2;
/// Relative fall of the objective below which polishing stops.
const PROGRESS: f64 = 1e-2;

/// The end of a sequential repair.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    /// The cheapest change found that satisfies everything, else the last one.
    pub change: Change,
    /// Slack of every inequality at `change`, beyond the safety asked for.
    pub slacks: Vec<f64>,
    /// ½‖Δ‖² in the metric.
    pub objective: f64,
    /// Dual price of each point, from the subproblem that led to `change`; zero without success.
    pub prices: Vec<f64>,
    /// Steps.
    pub rounds: usize,
    /// Distinct inequalities that ever had a row.
    pub rows: usize,
    /// Numbers of the unknown.
    pub columns: usize,
    /// Bytes of the largest set of rows.
    pub bytes: usize,
    /// Why it ended without satisfying everything, if it did.
    pub stop: Option<SequenceStop>,
    /// Points that no step serves together, if it stalled for that.
    pub conflict: Vec<usize>,
}

/// Why a sequence ended early.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SequenceStop {
    /// The deadline passed.
    Time,
    /// No step lowers the merit, or the steps are spent.
    Stalled,
    /// The subproblem could not be solved.
    Solver(String),
}

/// Runs the sequence.
///
/// # Errors
/// [`RepairError::Network`] and [`RepairError::Optim`].
pub(crate) fn run(
    suffix: &Suffix<'_>,
    metric: &Metric,
    set: &RepairSet,
    settings: Settings<'_>,
    max_rounds: usize,
    deadline: Option<Instant>,
) -> Result<Sequence, RepairError> {
    let problem = Linearised::new(suffix, metric, set, settings)?;
    let mut current = problem.start()?;
    // What holds already needs no change.
    let mut best = current.satisfied().then(|| current.clone());
    let mut prices = vec![0.0; set.len()];
    let mut kept = BTreeSet::new();
    let mut control = Control::new();
    let (mut rounds, mut polished, mut refused, mut bytes) = (0, 0, 0, 0);
    let (mut leaps, mut nearest): (usize, Option<Iterate>) = (0, None);
    let mut stop = None;
    while best.as_ref().is_none_or(|best| best.norm_squared() > 0.0)
        && rounds < max_rounds
        && polished < POLISHING
    {
        if deadline.is_some_and(|end| Instant::now() >= end) {
            stop = Some(SequenceStop::Time);
            break;
        }
        rounds += 1;
        polished += usize::from(best.is_some());
        problem.choose(&current, &mut kept);
        let rows = problem.rows(&current, &kept, control.overshoot)?;
        if rows.rhs.iter().any(|b| !b.is_finite()) {
            // The gradients overflow although the outputs do not.
            stop = Some(SequenceStop::Solver(
                "gradients of the outputs are no finite numbers".into(),
            ));
            break;
        }
        if bytes == 0 {
            tracing::info!(
                rows = kept.len(),
                rows_total = set.inequalities(),
                columns = problem.columns(),
                bytes = problem.bytes(&rows),
                "sequential repair"
            );
        }
        bytes = bytes.max(problem.bytes(&rows));
        let step = match problem.subproblem(&current, &rows, control.trust, deadline)? {
            Ok(step) => step,
            Err(why) => {
                stop = Some(why);
                break;
            }
        };
        if let Some(best) = &best
            && step.norm_squared() > (1.0 - PROGRESS) * best.norm_squared()
        {
            // Even the linearised problem has little to gain.
            break;
        }
        control.penalty = f64::max(control.penalty, 2.0 * step.largest_multiplier());
        let crawls = best.is_none() && leaps < LEAPS.len() && control.crawls();
        let found = match crawls {
            true => None,
            false => search(&problem, &current, &step, &control)?,
        };
        tracing::debug!(
            rounds,
            rows = kept.len(),
            violation = current.violation(),
            objective = 0.5 * current.norm_squared(),
            trust = control.trust,
            fraction = found.as_ref().map(|(_, fraction)| fraction),
            "sequential step"
        );
        let Some((next, fraction)) = found else {
            refused += usize::from(best.is_some());
            if !crawls && refused <= REFUSALS && control.shorten() {
                continue;
            }
            let Some(&fraction) = LEAPS.get(leaps).filter(|_| best.is_none()) else {
                break;
            };
            leaps += 1;
            if nearest.as_ref().is_none_or(|known| closer(&current, known)) {
                nearest = Some(current.clone());
            }
            // Every other leap minds only what is violated: the rest is mended behind the kinks.
            let violated = kept.iter().copied().filter(|&r| current.slacks[r] < 0.0);
            let violated: BTreeSet<usize> = violated.collect();
            let rows = match leaps % 2 == 0 && !violated.is_empty() {
                true => problem.rows(&current, &violated, control.overshoot)?,
                false => rows,
            };
            let step = match problem.subproblem(&current, &rows, FIRST_TRUST, deadline)? {
                Ok(step) => step,
                Err(why) => {
                    stop = Some(why);
                    break;
                }
            };
            let Some(landed) = leap(&problem, &current, &step, fraction)? else {
                break;
            };
            current = landed;
            control.trust = FIRST_TRUST;
            control.slow.clear();
            if current.satisfied() {
                best = Some(current.clone());
                prices = step.prices;
            }
            continue;
        };
        current = next;
        control.accept(fraction, current.violation(), settings.safety);
        if current.satisfied() {
            let before = best.as_ref().map(Iterate::norm_squared);
            if before.is_none_or(|norm| current.norm_squared() < norm) {
                best = Some(current.clone());
                prices = step.prices;
            }
            if before.is_some_and(|norm| current.norm_squared() > norm * (1.0 - PROGRESS)) {
                break;
            }
        }
    }
    if best.is_some() {
        stop = None;
    } else {
        stop = stop.or(Some(SequenceStop::Stalled));
        // A leap may have led away from the best that was reached.
        if let Some(nearest) = nearest.filter(|nearest| closer(nearest, &current)) {
            current = nearest;
        }
    }
    let conflict = match stop {
        Some(SequenceStop::Stalled) => conflict(&problem, &current, &mut kept, deadline)?,
        _ => Vec::new(),
    };
    let last = best.unwrap_or(current);
    Ok(Sequence {
        objective: 0.5 * last.norm_squared(),
        change: last.change,
        slacks: last.slacks,
        prices,
        rounds,
        rows: kept.len(),
        columns: problem.columns(),
        bytes,
        stop,
        conflict,
    })
}

/// Whether one iterate violates less than another.
fn closer(iterate: &Iterate, than: &Iterate) -> bool {
    let violated = |at: &Iterate| at.slacks.iter().filter(|&&slack| slack < 0.0).count();
    let total = |at: &Iterate| at.slacks.iter().map(|slack| (-slack).max(0.0)).sum::<f64>();
    (violated(iterate), total(iterate)) < (violated(than), total(than))
}

/// Part of the way to the target of a step.
fn towards(from: &Iterate, step: &Step, fraction: f64) -> Vec<f64> {
    let pairs = from.x.iter().zip(&step.target);
    pairs
        .map(|(from, to)| from + fraction * (to - from))
        .collect()
}

/// Part of the way to the target of a step, whatever it does to the merit, but not so far that the
/// network overflows; `None` where any part of it does.
fn leap(
    problem: &Linearised<'_>,
    from: &Iterate,
    step: &Step,
    fraction: f64,
) -> Result<Option<Iterate>, RepairError> {
    for shorter in SHORTER_LEAPS {
        let landed = problem.iterate(towards(from, step, shorter * fraction))?;
        if landed.slacks.iter().all(|slack| slack.is_finite()) {
            return Ok(Some(landed));
        }
    }
    Ok(None)
}

/// Points that no step from `at` serves together.
fn conflict(
    problem: &Linearised<'_>,
    at: &Iterate,
    kept: &mut BTreeSet<usize>,
    deadline: Option<Instant>,
) -> Result<Vec<usize>, RepairError> {
    problem.choose(at, kept);
    let rows = problem.rows(at, kept, 0.0)?;
    match problem.subproblem(at, &rows, 0.0, deadline)? {
        Ok(step) => problem.conflict(&rows, &step.prices, deadline),
        Err(_) => Ok(Vec::new()),
    }
}

/// The longest step towards its target that lowers the merit enough, with its fraction.
fn search(
    problem: &Linearised<'_>,
    from: &Iterate,
    step: &Step,
    control: &Control,
) -> Result<Option<(Iterate, f64)>, RepairError> {
    let penalty = control.penalty;
    let merit = from.merit(penalty);
    let predicted = merit - 0.5 * step.norm_squared() - penalty * step.violation;
    for fraction in control.fractions() {
        let next = problem.iterate(towards(from, step, fraction))?;
        if merit - next.merit(penalty) > SUFFICIENT * fraction * predicted.max(0.0) {
            return Ok(Some((next, fraction)));
        }
    }
    Ok(None)
}

/// The knobs that one step sets for the next.
struct Control {
    /// ρ
    trust: f64,
    /// ν of the merit.
    penalty: f64,
    /// How far beyond the safety the rows aim: kinks between here and there eat some of it.
    overshoot: f64,
    /// Violations after the last steps, while the trust weight is that of a crawl.
    slow: Vec<f64>,
}

impl Control {
    fn new() -> Self {
        Self {
            trust: 0.0,
            penalty: 0.0,
            overshoot: 0.0,
            slow: Vec::new(),
        }
    }

    /// Whether the last steps went nowhere.
    fn crawls(&self) -> bool {
        match self.slow.as_slice() {
            [.., last] if self.slow.len() > CRAWL_STEPS => {
                let before = self.slow[self.slow.len() - 1 - CRAWL_STEPS];
                *last > CRAWL_SHARE * before
            }
            _ => false,
        }
    }

    /// Fractions of a step that are tried, the longest first.
    fn fractions(&self) -> impl Iterator<Item = f64> + use<> {
        let small = match self.trust >= SMALL_FROM {
            true => &SMALL_FRACTIONS[..],
            false => &[],
        };
        FRACTIONS.iter().chain(small).copied()
    }

    fn accept(&mut self, fraction: f64, violation: f64, safety: f64) {
        // Rounding moves slacks by about as much as the safety allows for.
        self.overshoot = (OVERSHOOT * violation).clamp(safety, LARGEST_OVERSHOOT.max(safety));
        if violation == 0.0 {
            self.trust *= 0.1;
        } else if fraction == 1.0 {
            self.trust *= 0.3;
        } else if fraction < 0.5 {
            self.trust = (self.trust * 3.0).clamp(FIRST_TRUST, LARGEST_TRUST);
        }
        if self.trust < LEAST_TRUST {
            self.trust = 0.0;
        }
        match self.trust > CRAWL_TRUST {
            true => self.slow.push(violation),
            false => self.slow.clear(),
        }
    }

    /// Asks for a shorter step; `false` when no shorter one makes sense.
    fn shorten(&mut self) -> bool {
        self.trust = (self.trust * 10.0).max(FIRST_TRUST);
        self.trust <= LARGEST_TRUST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A control at a trust weight after steps that left these violations.
    fn after(trust: f64, violations: impl IntoIterator<Item = f64>) -> Control {
        let mut control = Control {
            trust,
            ..Control::new()
        };
        for violation in violations {
            // Halved steps leave the trust weight as it is.
            control.accept(0.5, violation, 1e-4);
        }
        control
    }

    #[test]
    fn a_repair_crawls_when_many_steps_at_a_large_trust_weight_leave_most_of_the_violation() {
        let slow = |step: usize| 1.0 - 0.01 * step as f64;
        assert!(after(10.0 * CRAWL_TRUST, (0..=CRAWL_STEPS).map(slow)).crawls());
        assert!(!after(10.0 * CRAWL_TRUST, (0..CRAWL_STEPS).map(slow)).crawls());
        assert!(!after(0.1 * CRAWL_TRUST, (0..=CRAWL_STEPS).map(slow)).crawls());
        let fast = |step: usize| 0.9f64.powi(step as i32);
        assert!(!after(10.0 * CRAWL_TRUST, (0..=CRAWL_STEPS).map(fast)).crawls());
    }
}
