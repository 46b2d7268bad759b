//! All points, in several ways.

use std::time::{Duration, Instant};

use data::Dataset;
use network::{Layer, Network};
use repair::{GuardMoments, Method, Objective, Options, Problem, RepairError, RepairSet};

use crate::HeuristicError;
use crate::auto::{Clock, Pilot, PilotEnd, Question};
use crate::effects::Effects;
use crate::probe::{Trial, loaded};

/// Layers at which all points are repaired, if there is time.
const ATTEMPTS: usize = 3;
/// How much longer than the best attempt another one may take.
const PATIENCE: f64 = 3.0;
/// Share of the budget that any attempt may take.
const LEAST_SHARE: f64 = 0.05;

/// All points repaired in one way.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Indices of the edited layers.
    pub layers: Vec<usize>,
    /// The method.
    pub method: Method,
    /// The margin.
    pub margin: f64,
    /// The repair and its effects on the clean examples.
    pub trial: Trial,
    /// Effects on the similar examples.
    pub similar: Option<Effects>,
    /// Seconds of it all, the guard moments of the layers included where they were not known.
    pub seconds: f64,
}

/// All points at the layers in their order, and in other ways at the best one.
pub(super) fn run(
    question: &Question<'_>,
    ranking: &[usize],
    pilots: &[Pilot],
    clock: &Clock,
) -> Result<Vec<Attempt>, HeuristicError> {
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut guard = Guard::new(question);
    for &layer in ranking {
        let repaired = attempts.iter().filter(|a| a.trial.effects.is_some());
        let is_settled = match question.best(&attempts) {
            Some(best) => {
                repaired.count() == ATTEMPTS || clock.left().as_secs_f64() < attempts[best].seconds
            }
            None if question.options.time_limit.is_some() => {
                clock.is_over() && attempts.len() >= ATTEMPTS
            }
            None => clock.is_over() && !attempts.is_empty(),
        };
        if is_settled {
            break;
        }
        let way = Way::sequential(&[layer], question.margin);
        let time = match question.best(&attempts) {
            Some(_) => question.time(&attempts, clock),
            None => Time {
                all: clock.left(),
                repair: question.first_limit(layer, pilots),
            },
        };
        attempts.extend(question.attempt(&way, &mut guard, time)?);
    }
    question.vary(&mut attempts, &mut guard, clock)?;
    Ok(attempts)
}

/// Time for an attempt.
struct Time {
    /// Guard moments and repair.
    all: Duration,
    /// What is left for the repair in any case.
    repair: Duration,
}

/// How a repair is made.
struct Way {
    layers: Vec<usize>,
    method: Method,
    margin: f64,
}

impl Way {
    fn sequential(layers: &[usize], margin: f64) -> Self {
        Self {
            layers: layers.to_vec(),
            method: Method::Sequential,
            margin,
        }
    }
}

/// The guard set, with the moments of the layers that were last asked for: a wider margin edits
/// the same layers.
struct Guard<'a> {
    network: &'a Network,
    set: &'a Dataset,
    last: Option<(Vec<usize>, GuardMoments)>,
}

impl<'a> Guard<'a> {
    fn new(question: &Question<'a>) -> Self {
        Self {
            network: question.network,
            set: question.guard,
            last: None,
        }
    }

    fn moments(&mut self, layers: &[Layer]) -> Result<&GuardMoments, HeuristicError> {
        let indices: Vec<usize> = layers.iter().map(|layer| layer.index).collect();
        let last = self.last.take().filter(|(known, _)| *known == indices);
        let moments = match last {
            Some((_, moments)) => moments,
            None => {
                let Dataset { inputs, shape, .. } = self.set;
                GuardMoments::collect(self.network, inputs, shape, layers)?
            }
        };
        Ok(&self.last.insert((indices, moments)).1)
    }
}

impl Question<'_> {
    /// A few of the points, or all, at some layers.
    pub(super) fn problem<'a>(
        &'a self,
        layers: &'a [Layer],
        set: &'a RepairSet,
        moments: &'a GuardMoments,
    ) -> Problem<'a> {
        Problem {
            network: self.network,
            checkpoint: self.checkpoint,
            layers,
            set,
            guard: Some(moments),
            start: None,
        }
    }

    /// What an attempt may take when none has succeeded and the budget is spent: the time limit of
    /// a repair, or a few times what the pilot took for each point.
    fn first_limit(&self, layer: usize, pilots: &[Pilot]) -> Duration {
        let most = self.options.time_limit.unwrap_or_default();
        let pilot = pilots.iter().find(|pilot| pilot.layer == layer);
        match pilot.filter(|pilot| pilot.end == PilotEnd::Repaired) {
            Some(pilot) => {
                let each = pilot.seconds / pilot.points.max(1) as f64;
                let seconds = PATIENCE * each * self.points.len() as f64;
                most.min(Duration::from_secs_f64(seconds))
            }
            None => most,
        }
    }

    /// Time for another attempt after the best one: a few times as much and some.
    fn time(&self, attempts: &[Attempt], clock: &Clock) -> Time {
        let seconds = self
            .best(attempts)
            .map_or(0.0, |best| attempts[best].seconds);
        let seconds = Duration::from_secs_f64(PATIENCE * seconds);
        let least = self.budget.mul_f64(LEAST_SHARE);
        Time {
            all: clock.left().min(seconds.max(least)),
            repair: Duration::ZERO,
        }
    }

    /// Repairs all points; `None` when the method or the metric does not apply to the layers.
    fn attempt(
        &self,
        way: &Way,
        guard: &mut Guard<'_>,
        time: Time,
    ) -> Result<Option<Attempt>, HeuristicError> {
        let start = Instant::now();
        let set = RepairSet::argmax(self.points, way.margin)?;
        let chosen: Vec<Layer> = way
            .layers
            .iter()
            .map(|&layer| self.network.layers()[layer].clone())
            .collect();
        let mut options = Options {
            method: way.method,
            ..self.options.clone()
        };
        let moved = options.moved_layers(self.network, &chosen);
        let problem = self.problem(&chosen, &set, guard.moments(&moved)?);
        let left = time.all.saturating_sub(start.elapsed());
        options.time_limit = Some(left.max(time.repair));
        let trial = match Trial::run(&problem, &options, self.clean) {
            Err(HeuristicError::Repair(RepairError::Unsupported { .. }))
                if way.method == Method::Frozen =>
            {
                return Ok(None);
            }
            // The moments of these layers make no metric.
            Err(HeuristicError::Repair(RepairError::Metric { .. })) => return Ok(None),
            trial => trial?,
        };
        let similar = match (self.similar, trial.repair()) {
            (Some(probe), Some(repair)) => Some(probe.effects(&loaded(self.network, repair)?)?),
            _ => None,
        };
        tracing::info!(
            layers = ?way.layers,
            method = %way.method,
            margin = way.margin,
            efficacy = trial.efficacy(),
            harm = trial.harm(),
            drawdown = trial.effects.map(|e| e.drawdown),
            generalization = similar.map(|e| -e.drawdown),
            seconds = trial.seconds,
            "attempt"
        );
        Ok(Some(Attempt {
            layers: way.layers.clone(),
            method: way.method,
            margin: way.margin,
            trial,
            similar,
            seconds: start.elapsed().as_secs_f64(),
        }))
    }

    /// Other ways to repair where the best attempt did, while there is time for as long a repair.
    fn vary(
        &self,
        attempts: &mut Vec<Attempt>,
        guard: &mut Guard<'_>,
        clock: &Clock,
    ) -> Result<(), HeuristicError> {
        let Some(best) = self.best(attempts) else {
            return Ok(());
        };
        let (layers, seconds) = (attempts[best].layers.clone(), attempts[best].seconds);
        let mut ways = Vec::new();
        if self.similar.is_some() {
            let wider = repair::margins(self.network).filter(|&margin| margin > self.margin);
            ways.extend(wider.map(|margin| Way::sequential(&layers, margin)));
        }
        let others = attempts.iter().enumerate();
        let others = others.filter(|(i, a)| *i != best && a.trial.effects.is_some());
        let runner_up = others.min_by(|(_, a), (_, b)| a.trial.harm().total_cmp(&b.trial.harm()));
        if let Some((_, other)) = runner_up {
            let both = [layers.as_slice(), &other.layers].concat();
            ways.push(Way::sequential(&both, self.margin));
        }
        let Options {
            objective,
            keep_zeros,
            ..
        } = self.options;
        if self.is_piecewise_linear() && *objective == Objective::Guarded && !keep_zeros {
            ways.push(Way {
                method: Method::Frozen,
                ..Way::sequential(&layers, self.margin)
            });
        }
        for way in ways {
            if clock.left().as_secs_f64() < seconds {
                break;
            }
            let time = self.time(attempts, clock);
            attempts.extend(self.attempt(&way, guard, time)?);
        }
        Ok(())
    }

    /// Whether every activation of the network has linear pieces.
    fn is_piecewise_linear(&self) -> bool {
        let nodes = self.network.graph().nodes().iter();
        let mut activations = nodes.filter_map(|node| match node.op {
            network::Op::Activation(activation) => Some(activation),
            _ => None,
        });
        activations.all(|activation| activation.has_linear_pieces())
    }

    /// The attempt to keep.
    pub(super) fn best(&self, attempts: &[Attempt]) -> Option<usize> {
        let repaired = attempts.iter().enumerate();
        let repaired = repaired.filter(|(_, attempt)| attempt.trial.effects.is_some());
        repaired
            .reduce(|best, next| {
                if self.prefers(next.1, best.1) {
                    next
                } else {
                    best
                }
            })
            .map(|(i, _)| i)
    }

    fn prefers(&self, next: &Attempt, best: &Attempt) -> bool {
        let merit = |attempt: &Attempt| {
            let gained = 0.0 - attempt.similar?.drawdown;
            Some(gained - self.worth * attempt.trial.effects?.drawdown)
        };
        match (merit(next), merit(best)) {
            (Some(a), Some(b)) if a != b => a > b,
            _ => next.trial.harm() < best.trial.harm(),
        }
    }
}
