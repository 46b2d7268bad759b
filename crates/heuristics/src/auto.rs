//! Which layer, decided within a budget of time.
//!
//! ```text
//! order the layers by a prior score
//! pilot:    repair a few of the points at one layer after the other
//! attempt:  repair all points at the layers whose pilots did least harm
//! vary:     the other method, the two best layers together, wider margins
//! keep what does least harm on the selection split
//! ```
//!
//! Harm is the divergence of the predictions on clean selection examples ([`Effects`]). Pilots are
//! one rung of successive halving (Jamieson & Talwalkar, AISTATS 2016): few points rank layers
//! almost as all of them do, at a fraction of the time. With examples like the repaired ones the
//! attempt with the most `G - worth · D` is kept: accuracy gained on them, less what is lost on
//! clean ones.

use std::time::{Duration, Instant};

use data::Dataset;
use network::{Checkpoint, Layer, Network};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use repair::{
    GuardMoments, MARGINS, Method, Objective, Options, Problem, RepairError, RepairSet, supported,
};

use crate::HeuristicError;
use crate::effects::Effects;
use crate::probe::{Probe, Trial, loaded};
use crate::scores::pick;

/// Resamples of the selection examples.
const RESAMPLES: usize = 1000;
/// Default of [`Question::worth`]: inputs like the repaired ones are taken to be one in ten.
pub const WORTH: f64 = 10.0;
/// Points of a pilot.
pub const PILOT_POINTS: usize = 5;
/// Clean examples that a pilot is compared on.
const PILOT_EXAMPLES: usize = 100;
/// Share of the budget after which no pilot starts.
const PILOT_SHARE: f64 = 0.4;
/// How much longer than the best attempt another one may take.
const PATIENCE: f64 = 3.0;
/// Share of the budget that any attempt may take.
const LEAST_SHARE: f64 = 0.05;
/// Pilots that the time for pilots is enough for, if each takes all it may.
const FULL_ROUND: u32 = 10;
/// Layers at which all points are repaired, if there is time.
const ATTEMPTS: usize = 3;

/// What is to be decided.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The network that computes.
    pub network: &'a Network,
    /// The file that it was loaded from.
    pub checkpoint: &'a Checkpoint,
    /// What is to be repaired.
    pub points: &'a Dataset,
    /// The margin to begin with.
    pub margin: f64,
    /// Moments of every layer that may be chosen.
    pub moments: &'a GuardMoments,
    /// Clean examples that decide; neither repaired nor used as guard, nor to score the result.
    pub clean: &'a Probe<'a>,
    /// Examples like the repaired ones that decide too.
    pub similar: Option<&'a Probe<'a>>,
    /// Accuracy on similar examples that one point lost on clean ones is worth, in points.
    pub worth: f64,
    /// How repairs are made; method, margin and layers are chosen here.
    pub options: &'a Options,
    /// Time for everything.
    pub budget: Duration,
}

/// A few points repaired at one layer.
#[derive(Clone, Debug)]
pub struct Pilot {
    /// Index of the layer in the network.
    pub layer: usize,
    /// Whether all of them are right.
    pub repaired: bool,
    /// Share that is right, in percent.
    pub efficacy: f64,
    /// Divergence on some of the clean examples; infinite unless repaired.
    pub harm: f64,
    /// Seconds.
    pub seconds: f64,
}

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
}

/// The decision.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Indices of the layers in the order in which they are to be attempted.
    pub ranking: Vec<usize>,
    /// The pilots, in the order in which they ran.
    pub pilots: Vec<Pilot>,
    /// The attempts, in the order in which they ran.
    pub attempts: Vec<Attempt>,
    /// The attempt that is kept; `None` when no attempt repairs all points.
    pub best: Option<usize>,
}

impl Choice {
    /// How sure it is that the kept layers do less harm than the next best ones: the share of
    /// bootstrap resamples of the selection examples in which they do. `None` without a second.
    pub fn confidence(&self) -> Option<f64> {
        let best = &self.attempts[self.best?];
        let others = self
            .attempts
            .iter()
            .filter(|other| other.trial.effects.is_some() && other.layers != best.layers);
        let second = others.min_by(|a, b| a.trial.harm().total_cmp(&b.trial.harm()))?;
        let pairs = best.trial.divergences.iter().zip(&second.trial.divergences);
        let saved: Vec<f64> = pairs.map(|(best, second)| second - best).collect();
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let count = saved.len() as u64;
        let wins = (0..RESAMPLES).filter(|_| {
            let draws = (0..count).map(|_| saved[random.random_range(0..count) as usize]);
            draws.sum::<f64>() > 0.0
        });
        Some(wins.count() as f64 / RESAMPLES as f64)
    }
}

/// Decides; `prior` orders the layers of the network, as a heuristic's scores do.
///
/// # Errors
/// As [`repair::repair`]; [`HeuristicError::Count`] unless there is one prior score per layer.
pub fn auto(question: &Question<'_>, prior: &[Option<f64>]) -> Result<Choice, HeuristicError> {
    let layers = question.network.layers();
    if prior.len() != layers.len() {
        return Err(HeuristicError::Count {
            what: "prior scores of layers",
            expected: layers.len(),
            got: prior.len(),
        });
    }
    let clock = Clock::new(question.budget);
    let order = order(layers, prior);
    let pilots = pilots(question, &order, &clock)?;
    let ranking = ranking(&order, &pilots);
    let mut attempts = Vec::new();
    for &layer in &ranking {
        // The first success may take all the time that there is.
        let repaired = attempts
            .iter()
            .filter(|a: &&Attempt| a.trial.effects.is_some());
        if repaired.count() == ATTEMPTS || (clock.is_over() && !attempts.is_empty()) {
            break;
        }
        let way = Way::sequential(&[layer], question.margin);
        let limit = question.limit(&attempts, &clock);
        attempts.extend(question.attempt(&way, limit)?);
    }
    question.vary(&mut attempts, &clock)?;
    Ok(Choice {
        best: question.best(&attempts),
        ranking,
        pilots,
        attempts,
    })
}

/// The layers that can be repaired, those of the highest prior first.
fn order(layers: &[Layer], prior: &[Option<f64>]) -> Vec<usize> {
    let mut open: Vec<Option<f64>> = layers
        .iter()
        .zip(prior)
        .map(|(layer, score)| {
            supported(layer)
                .is_ok()
                .then_some(score.unwrap_or(f64::NEG_INFINITY))
        })
        .collect();
    let mut order = Vec::new();
    while let Some(next) = pick(&open) {
        open[next] = None;
        order.push(next);
    }
    order
}

/// Few points, one layer after the other, while there is time.
fn pilots(
    question: &Question<'_>,
    order: &[usize],
    clock: &Clock,
) -> Result<Vec<Pilot>, HeuristicError> {
    let set = RepairSet::argmax(question.points, question.margin)?.thinned(PILOT_POINTS)?;
    let mut pilots = Vec::new();
    for &layer in order {
        if clock.share() > PILOT_SHARE {
            break;
        }
        // A layer that is hopeless must not take the time of the others.
        let limit = clock.budget.mul_f64(PILOT_SHARE) / FULL_ROUND;
        pilots.push(question.pilot(&set, layer, limit.min(clock.left()))?);
    }
    Ok(pilots)
}

/// Layers by what their pilots did: repaired ones by harm, then those without a pilot, then those
/// that it failed at, by efficacy.
fn ranking(order: &[usize], pilots: &[Pilot]) -> Vec<usize> {
    let mut ranked: Vec<&Pilot> = pilots.iter().collect();
    ranked.sort_by(|a, b| {
        let by_harm = a.harm.total_cmp(&b.harm);
        by_harm.then(b.efficacy.total_cmp(&a.efficacy))
    });
    let piloted = ranked.iter().map(|pilot| pilot.layer);
    let rest = order.iter().copied();
    let rest = rest.filter(|layer| pilots.iter().all(|pilot| pilot.layer != *layer));
    // What a pilot could not repair comes behind what was not tried.
    let failed = ranked.iter().filter(|pilot| !pilot.repaired).count();
    let repaired = ranked.len() - failed;
    let mut ranking: Vec<usize> = piloted.clone().take(repaired).collect();
    ranking.extend(rest);
    ranking.extend(piloted.skip(repaired));
    ranking
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

impl Question<'_> {
    /// Repairs a few points at one layer.
    ///
    /// # Errors
    /// As [`auto`].
    pub fn pilot(
        &self,
        set: &RepairSet,
        layer: usize,
        limit: Duration,
    ) -> Result<Pilot, HeuristicError> {
        let options = Options {
            time_limit: Some(limit),
            method: Method::Sequential,
            ..self.options.clone()
        };
        let layers = std::slice::from_ref(&self.network.layers()[layer]);
        let probe = self.clean.first(PILOT_EXAMPLES);
        let trial = Trial::run(&self.problem(layers, set), &options, &probe)?;
        tracing::info!(
            layer = layers[0].name,
            efficacy = trial.efficacy(),
            harm = trial.harm(),
            seconds = trial.seconds,
            "pilot"
        );
        Ok(Pilot {
            layer,
            repaired: trial.effects.is_some(),
            efficacy: trial.efficacy(),
            harm: trial.harm(),
            seconds: trial.seconds,
        })
    }

    fn problem<'a>(&'a self, layers: &'a [Layer], set: &'a RepairSet) -> Problem<'a> {
        Problem {
            network: self.network,
            checkpoint: self.checkpoint,
            layers,
            set,
            guard: Some(self.moments),
            start: None,
        }
    }

    /// Time for the next attempt: all that is left, or a few times that of the best one and some.
    fn limit(&self, attempts: &[Attempt], clock: &Clock) -> Duration {
        match self.best(attempts) {
            None => clock.left(),
            Some(best) => {
                let seconds = Duration::from_secs_f64(PATIENCE * attempts[best].trial.seconds);
                clock
                    .left()
                    .min(seconds.max(self.budget.mul_f64(LEAST_SHARE)))
            }
        }
    }

    /// Repairs all points; `None` when the method does not apply to the layers.
    fn attempt(&self, way: &Way, limit: Duration) -> Result<Option<Attempt>, HeuristicError> {
        let set = RepairSet::argmax(self.points, way.margin)?;
        let chosen: Vec<Layer> = way
            .layers
            .iter()
            .map(|&layer| self.network.layers()[layer].clone())
            .collect();
        let options = Options {
            time_limit: Some(limit),
            method: way.method,
            ..self.options.clone()
        };
        let trial = match Trial::run(&self.problem(&chosen, &set), &options, self.clean) {
            Err(HeuristicError::Repair(error)) if way.method == Method::Frozen => match error {
                RepairError::Unsupported { .. } | RepairError::Option { .. } => return Ok(None),
                error => return Err(error.into()),
            },
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
        }))
    }

    /// Other ways to repair where the best attempt did, while there is time for as long a repair.
    fn vary(&self, attempts: &mut Vec<Attempt>, clock: &Clock) -> Result<(), HeuristicError> {
        let Some(best) = self.best(attempts) else {
            return Ok(());
        };
        let (layers, seconds) = (attempts[best].layers.clone(), attempts[best].trial.seconds);
        let mut ways = Vec::new();
        if self.similar.is_some() {
            let wider = MARGINS.into_iter().filter(|&margin| margin > self.margin);
            ways.extend(wider.map(|margin| Way::sequential(&layers, margin)));
        }
        let second = attempts.iter().enumerate();
        let mut second = second.filter(|(i, a)| *i != best && a.trial.effects.is_some());
        if let Some((_, other)) = second.next() {
            let both = [layers.as_slice(), &other.layers].concat();
            ways.push(Way::sequential(&both, self.margin));
        }
        if self.is_piecewise_linear() && self.options.objective == Objective::Guarded {
            ways.push(Way {
                method: Method::Frozen,
                ..Way::sequential(&layers, self.margin)
            });
        }
        for way in ways {
            if clock.left().as_secs_f64() < seconds {
                break;
            }
            let limit = self.limit(attempts, clock);
            attempts.extend(self.attempt(&way, limit)?);
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
    fn best(&self, attempts: &[Attempt]) -> Option<usize> {
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

/// How much of the budget is gone.
struct Clock {
    start: Instant,
    budget: Duration,
}

impl Clock {
    fn new(budget: Duration) -> Self {
        Self {
            start: Instant::now(),
            budget,
        }
    }

    fn share(&self) -> f64 {
        self.start.elapsed().as_secs_f64() / self.budget.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn left(&self) -> Duration {
        self.budget.saturating_sub(self.start.elapsed())
    }

    fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}
