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

mod control;

use std::collections::BTreeSet;
use std::time::Instant;

pub(crate) use self::control::LARGEST_OVERSHOOT;
use self::control::{Control, FIRST_TRUST};
use crate::linearised::{Iterate, Linearised, Rows, Settings, Step};
use crate::metric::Metric;
use crate::suffix::Suffix;
use crate::{Change, RepairError, RepairSet};

/// Share of the predicted fall of the merit that a step must achieve.
const SUFFICIENT: f64 = 0.05;
/// Fractions of a step that are taken one after the other where no step lowers the merit or a
/// repair crawls: kinks meet there, and the merit falls again behind them.
const LEAPS: [f64; 8] = [0.2, 0.5, 1.0, 0.2, 0.5, 1.0, 0.5, 1.0];
/// What is tried of a leap, one after the other, where the network overflows.
const SHORTER_LEAPS: [f64; 3] = [1.0, 0.1, 0.01];
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
    /// The rounds are spent.
    Rounds,
    /// No step lowers the merit.
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
    let mut walk = Walk::new(&problem, settings, deadline)?;
    while walk.goes_on() {
        if walk.rounds == max_rounds {
            return walk.end(Some(SequenceStop::Rounds));
        }
        if deadline.is_some_and(|end| Instant::now() >= end) {
            return walk.end(Some(SequenceStop::Time));
        }
        if let Turn::End(why) = walk.round()? {
            return walk.end(why);
        }
    }
    walk.end(None)
}

/// Whether there is another round, and why not if that is no success.
enum Turn {
    GoOn,
    End(Option<SequenceStop>),
}

/// A sequence on its way.
struct Walk<'a, 'p> {
    problem: &'a Linearised<'p>,
    safety: f64,
    deadline: Option<Instant>,
    /// Δ
    current: Iterate,
    /// The cheapest iterate that satisfies everything.
    best: Option<Iterate>,
    /// Dual prices of the step that led there.
    prices: Vec<f64>,
    /// The iterate that violated least of those that were leapt from.
    nearest: Option<Iterate>,
    /// Inequalities with a row.
    kept: BTreeSet<usize>,
    control: Control,
    rounds: usize,
    leaps: usize,
    /// Rounds since the first success, and those without a step.
    polished: usize,
    refused: usize,
    /// Bytes of the largest set of rows.
    bytes: usize,
}

impl<'a, 'p> Walk<'a, 'p> {
    fn new(
        problem: &'a Linearised<'p>,
        settings: Settings<'_>,
        deadline: Option<Instant>,
    ) -> Result<Self, RepairError> {
        let current = problem.start()?;
        Ok(Self {
            problem,
            safety: settings.safety,
            deadline,
            // What holds already needs no change.
            best: current.satisfied().then(|| current.clone()),
            prices: vec![0.0; problem.points()],
            nearest: None,
            kept: BTreeSet::new(),
            control: Control::new(settings.unit),
            rounds: 0,
            leaps: 0,
            polished: 0,
            refused: 0,
            bytes: 0,
            current,
        })
    }

    /// Whether there is something left to repair or to save.
    fn goes_on(&self) -> bool {
        self.polished < POLISHING
            && self
                .best
                .as_ref()
                .is_none_or(|best| best.norm_squared() > 0.0)
    }

    /// Linearises the slacks and takes a step, or leaps.
    fn round(&mut self) -> Result<Turn, RepairError> {
        self.rounds += 1;
        self.polished += usize::from(self.best.is_some());
        self.problem.choose(&self.current, &mut self.kept);
        let rows = self.rows(&self.kept)?;
        if rows.rhs.iter().any(|b| !b.is_finite()) {
            // The gradients overflow although the outputs do not.
            return Ok(Turn::End(Some(SequenceStop::Solver(
                "gradients of the outputs are no finite numbers".into(),
            ))));
        }
        self.measure(&rows);
        let step = match self.subproblem(&rows, self.control.trust)? {
            Ok(step) => step,
            Err(why) => return Ok(Turn::End(Some(why))),
        };
        if self.has_little_to_gain(&step) {
            // A step that the trust term shortens says nothing about the optimum.
            return Ok(match self.refused == 0 && self.control.relax() {
                true => Turn::GoOn,
                false => Turn::End(None),
            });
        }
        self.control.penalty = f64::max(self.control.penalty, 2.0 * step.largest_multiplier());
        let crawls = self.best.is_none() && self.leaps < LEAPS.len() && self.control.crawls();
        let found = match crawls {
            true => None,
            false => search(self.problem, &self.current, &step, &self.control)?,
        };
        tracing::debug!(
            rounds = self.rounds,
            rows = self.kept.len(),
            violation = self.current.violation(),
            objective = 0.5 * self.current.norm_squared(),
            trust = self.control.trust,
            fraction = found.as_ref().map(|(_, fraction)| fraction),
            "sequential step"
        );
        match found {
            Some((next, fraction)) => Ok(self.advance(next, fraction, step)),
            None if self.shortens(crawls) => Ok(Turn::GoOn),
            None => self.leap(rows),
        }
    }

    fn rows(&self, kept: &BTreeSet<usize>) -> Result<Rows, RepairError> {
        self.problem
            .rows(&self.current, kept, self.control.overshoot)
    }

    fn subproblem(
        &self,
        rows: &Rows,
        trust: f64,
    ) -> Result<Result<Step, SequenceStop>, RepairError> {
        self.problem
            .subproblem(&self.current, rows, trust, self.deadline)
    }

    /// Keeps count of the memory that rows take.
    fn measure(&mut self, rows: &Rows) {
        let bytes = self.problem.bytes(rows);
        if self.bytes == 0 {
            tracing::info!(
                rows = self.kept.len(),
                rows_total = self.problem.inequalities(),
                columns = self.problem.columns(),
                bytes,
                "sequential repair"
            );
        }
        self.bytes = self.bytes.max(bytes);
    }

    /// Whether not even the linearised problem saves much of the best objective.
    fn has_little_to_gain(&self, step: &Step) -> bool {
        let best = self.best.as_ref();
        best.is_some_and(|best| step.norm_squared() > (1.0 - PROGRESS) * best.norm_squared())
    }

    /// Takes a step that lowers the merit.
    fn advance(&mut self, next: Iterate, fraction: f64, step: Step) -> Turn {
        self.current = next;
        self.control
            .accept(fraction, self.current.violation(), self.safety);
        if !self.current.satisfied() {
            return Turn::GoOn;
        }
        let norm = self.current.norm_squared();
        let before = self.best.as_ref().map(Iterate::norm_squared);
        if before.is_none_or(|before| norm < before) {
            self.keep(step);
        }
        match before {
            Some(before) if norm > before * (1.0 - PROGRESS) => Turn::End(None),
            _ => Turn::GoOn,
        }
    }

    /// Keeps the current iterate, to which this step led, as the best one.
    fn keep(&mut self, step: Step) {
        self.best = Some(self.current.clone());
        self.prices = step.prices;
    }

    /// Whether a shorter step may lower the merit where this one does not.
    fn shortens(&mut self, crawls: bool) -> bool {
        self.refused += usize::from(self.best.is_some());
        !crawls && self.refused <= REFUSALS && self.control.shorten()
    }

    /// Leaps over the kinks that no step gets past, if it may.
    fn leap(&mut self, rows: Rows) -> Result<Turn, RepairError> {
        let Some(&fraction) = LEAPS.get(self.leaps).filter(|_| self.best.is_none()) else {
            return Ok(Turn::End(None));
        };
        self.leaps += 1;
        let nearest = self.nearest.as_ref();
        if nearest.is_none_or(|nearest| closer(&self.current, nearest)) {
            self.nearest = Some(self.current.clone());
        }
        // Every other leap minds only what is violated: the rest is mended behind the kinks.
        let mut violated = self.kept.clone();
        violated.retain(|&r| self.current.slacks[r] < 0.0);
        let rows = match self.leaps.is_multiple_of(2) && !violated.is_empty() {
            true => self.rows(&violated)?,
            false => rows,
        };
        let step = match self.subproblem(&rows, FIRST_TRUST)? {
            Ok(step) => step,
            Err(why) => return Ok(Turn::End(Some(why))),
        };
        let Some(landed) = land(self.problem, &self.current, &step, fraction)? else {
            return Ok(Turn::End(None));
        };
        self.current = landed;
        self.control.restart();
        if self.current.satisfied() {
            self.keep(step);
        }
        Ok(Turn::GoOn)
    }

    /// The end of the sequence.
    fn end(mut self, stop: Option<SequenceStop>) -> Result<Sequence, RepairError> {
        let stop = match self.best {
            Some(_) => None,
            None => stop.or(Some(SequenceStop::Stalled)),
        };
        if let Some(nearest) = self.nearest.take_if(|_| self.best.is_none())
            && closer(&nearest, &self.current)
        {
            // A leap led away from it.
            self.current = nearest;
        }
        let conflict = match stop {
            Some(SequenceStop::Stalled) => self.conflict()?,
            _ => Vec::new(),
        };
        let last = self.best.unwrap_or(self.current);
        Ok(Sequence {
            objective: 0.5 * last.norm_squared(),
            change: last.change,
            slacks: last.slacks,
            prices: self.prices,
            rounds: self.rounds,
            rows: self.kept.len(),
            columns: self.problem.columns(),
            bytes: self.bytes,
            stop,
            conflict,
        })
    }

    /// Points that no step from the current iterate serves together.
    fn conflict(&mut self) -> Result<Vec<usize>, RepairError> {
        self.problem.choose(&self.current, &mut self.kept);
        let rows = self.problem.rows(&self.current, &self.kept, 0.0)?;
        match self.subproblem(&rows, 0.0)? {
            Ok(step) => self.problem.conflict(&rows, &step.prices, self.deadline),
            Err(_) => Ok(Vec::new()),
        }
    }
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
fn land(
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use network::{Activation, DeviceChoice, Network, Precision, mlp};

    use super::*;
    use crate::specification::Inequality;

    /// What a leap over this fraction of a change by `change` of the first weight, and of its bias,
    /// comes to, where eight layers behind it multiply by 10³⁸ each.
    fn landed(change: f64, fraction: f64) -> Option<f64> {
        let sizes = [&[1; 9], &[2][..]].concat();
        let random = mlp::random(&sizes, Activation::Relu, 1).unwrap();
        let names: Vec<String> = random.names().map(str::to_owned).collect();
        let numbers = |name: &str| match name {
            "0.weight" => vec![1.0],
            "16.weight" => vec![1e38, 0.0],
            "16.bias" => vec![0.0, 0.0],
            weight if weight.ends_with("weight") => vec![1e38],
            _ => vec![0.0],
        };
        let numbers: BTreeMap<String, Vec<f64>> = names
            .into_iter()
            .map(|name| (name.clone(), numbers(&name)))
            .collect();
        let checkpoint = random.with_tensors(&numbers).unwrap();
        let device = DeviceChoice::Flex.open().unwrap();
        let network = Network::load(&checkpoint, &device, Precision::F64).unwrap();
        let positive = Inequality {
            terms: vec![(0, 1.0)],
            bound: 0.0,
        };
        let set = RepairSet::linear(vec![1.0], &[1], vec![vec![positive]]);
        let suffix = Suffix::new(&network, &network.layers()[..1], &set, false).unwrap();
        let metric = Metric::euclidean(suffix.layers());
        let mut target = Change::default();
        target.set("0.weight", vec![change]);
        target.set("0.bias", vec![change]);
        let settings = Settings {
            safety: 0.0,
            unit: 1.0,
            max_memory: 1 << 20,
            keep_zeros: false,
            start: Some(&target),
        };
        let problem = Linearised::new(&suffix, &metric, &set, settings).unwrap();
        let from = problem.iterate(vec![0.0; problem.columns()]).unwrap();
        let step = Step {
            target: problem.start().unwrap().x,
            multipliers: Vec::new(),
            violation: 0.0,
            prices: Vec::new(),
        };
        let landed = land(&problem, &from, &step, fraction).unwrap()?;
        Some(landed.change.get("0.weight").unwrap()[0])
    }

    #[test]
    fn a_leap_stops_short_of_where_the_network_overflows() {
        // The output is 10³⁰⁴ times what the first layer gives, and 1.8 10³⁰⁸ the largest number.
        for (change, fraction, expected) in [
            (1e3, 1.0, Some(1e3)),
            (1e5, 0.5, Some(5e3)),
            (1e5, 1.0, Some(1e3)),
            (1e8, 1.0, None),
        ] {
            let landed = landed(change, fraction);
            let is_close = match (landed, expected) {
                (Some(landed), Some(expected)) => (landed / expected - 1.0).abs() < 1e-9,
                _ => landed == expected,
            };
            assert!(is_close, "{landed:?} for {expected:?}");
        }
    }
}
