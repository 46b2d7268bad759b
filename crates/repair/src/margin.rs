//! The margin by a rule.
//!
//! A larger margin carries a repair further to inputs like the repaired ones and costs more
//! elsewhere. Both are measured on a selection split that neither the repair nor its scores use:
//!
//! ```text
//! G = accuracy gained on inputs like the repaired ones,   D = accuracy lost on clean inputs
//! ```
//!
//! Of a ladder of margins the one with the largest G is kept among those with D within a
//! tolerance; the one with the least D where none is, or where there are no inputs to measure G.
//! The smaller of two equals wins.
//!
//! The search begins in the middle of the ladder and goes up while margins get better; where the
//! first step up is no better, it goes down instead. Where the middle costs too much, or G is not
//! measured, it looks down first. Each repair starts from that of the neighbouring margin. The
//! selection split is run up to the first edited layer once, and from there on for every margin.

use std::time::Instant;

use data::Dataset;
use network::{Layer, Network};

use crate::behind::Behind;
use crate::predict::classes;
use crate::problem::check_belonging;
use crate::{Change, Method, Options, Outcome, Problem, RepairError, RepairSet, repair};

/// The margins that are tried, ascending.
pub const MARGINS: [f64; 6] = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
/// Default accuracy that may be lost, in points.
pub const TOLERANCE: f64 = 0.1;
/// Share of [`Options::max_memory`] that the selection split may take at the edited layer; what
/// does not fit is run through the whole network for every margin.
const PREFIX_SHARE: f64 = 0.25;

/// Inputs on which margins are compared; neither may share an input with the sets that score the
/// repair.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// Inputs like those of the repair set.
    pub similar: Option<&'a Dataset>,
    /// Clean inputs.
    pub clean: &'a Dataset,
    /// Accuracy on them that may be lost, in points; [`TOLERANCE`] by default.
    pub tolerance: f64,
}

/// One margin that was tried.
#[derive(Clone, Debug)]
pub struct MarginTrial {
    /// The margin.
    pub margin: f64,
    /// Accuracy gained on the similar inputs, in points; 0 without any.
    pub generalization: f64,
    /// Accuracy lost on the clean inputs, in points.
    pub drawdown: f64,
}

impl MarginTrial {
    /// Whether this margin is to be preferred.
    fn beats(&self, other: &Self, tolerance: f64) -> bool {
        let fits = |trial: &Self| trial.drawdown <= tolerance;
        let gain = self.generalization.total_cmp(&other.generalization);
        let loss = other.drawdown.total_cmp(&self.drawdown);
        let smaller = other.margin.total_cmp(&self.margin);
        let order = match (fits(self), fits(other)) {
            (true, true) => gain.then(loss),
            (false, false) => loss,
            (fits, _) => return fits,
        };
        order.then(smaller).is_gt()
    }
}

/// The repair with the margin that was kept.
#[derive(Clone, Debug)]
pub struct MarginChoice {
    /// The margin.
    pub margin: f64,
    /// Its outcome; that of the smallest margin when none was reached.
    pub outcome: Outcome,
    /// Every margin that was reached, ascending.
    pub trials: Vec<MarginTrial>,
}

/// The margins that a network can reach: probabilities differ by less than 1.
pub fn margins(network: &Network) -> impl Iterator<Item = f64> {
    let most = match network.ends_in_softmax() {
        true => 1.0,
        false => f64::INFINITY,
    };
    MARGINS.into_iter().filter(move |&margin| margin < most)
}

/// Repairs `points` with the margin that the selection split favours; the set of `problem` is
/// not used.
///
/// # Errors
/// As [`repair`]; [`RepairError::Network`] when the selection does not fit the network.
pub fn choose_margin(
    problem: &Problem<'_>,
    points: &Dataset,
    options: &Options,
    selection: Selection<'_>,
) -> Result<MarginChoice, RepairError> {
    let mut ladder = Ladder::new(problem, points, options, selection)?;
    let margins: Vec<f64> = margins(problem.network).collect();
    let (lower, upper) = margins.split_at(margins.len() / 2);
    let mut down: Vec<f64> = lower.iter().rev().copied().collect();
    let (middle, up) = upper.split_first().ok_or(RepairError::EmptySet)?;
    let mut up = up.to_vec();
    let mut first = ladder.attempt(*middle, problem.start)?;
    while matches!(first, Attempt::Unreached) && !down.is_empty() {
        // What lies above a margin that is not reached is not reached either.
        up.clear();
        first = ladder.attempt(down.remove(0), problem.start)?;
    }
    if let Attempt::Better(change) = first {
        let mut directions = [up, down];
        if !ladder.may_rise() {
            directions.reverse();
        }
        for margins in directions {
            let mut from = change.clone();
            let mut rose = false;
            for margin in margins {
                let Attempt::Better(change) = ladder.attempt(margin, from.as_ref())? else {
                    break;
                };
                (from, rose) = (change, true);
            }
            if rose {
                break;
            }
        }
    }
    ladder.choice()
}

/// What came of a margin.
enum Attempt {
    /// It is the best so far; the change to start a neighbour from.
    Better(Option<Change>),
    /// It is reached and not the best.
    Worse,
    /// The repair ends without an answer or with a conflict.
    Unreached,
}

/// The margins tried so far.
struct Ladder<'a> {
    problem: &'a Problem<'a>,
    points: &'a Dataset,
    options: &'a Options,
    tolerance: f64,
    similar: Option<Side<'a>>,
    clean: Side<'a>,
    best: Option<(MarginTrial, Outcome)>,
    /// When the first margin was tried: all of them share the time limit.
    begun: Instant,
    /// The last margin that was not reached.
    unreached: Option<(f64, Outcome)>,
    trials: Vec<MarginTrial>,
}

impl<'a> Ladder<'a> {
    fn new(
        problem: &'a Problem<'a>,
        points: &'a Dataset,
        options: &'a Options,
        selection: Selection<'a>,
    ) -> Result<Self, RepairError> {
        check_belonging(problem)?;
        let layers = problem.layers.iter();
        let layer = layers.min_by_key(|layer| layer.index);
        let layer = layer.ok_or(RepairError::EmptySet)?;
        let mut memory = (PREFIX_SHARE * options.max_memory as f64) as usize;
        let mut side = |set| Side::new(problem.network, layer, set, &mut memory);
        Ok(Self {
            similar: selection.similar.map(&mut side).transpose()?,
            clean: side(selection.clean)?,
            problem,
            points,
            options,
            tolerance: selection.tolerance,
            best: None,
            begun: Instant::now(),
            unreached: None,
            trials: Vec::new(),
        })
    }

    /// Repairs with a margin and compares.
    fn attempt(&mut self, margin: f64, start: Option<&Change>) -> Result<Attempt, RepairError> {
        let trial = self.trials.len() + 1;
        let span = tracing::info_span!("trial", margin, trial);
        let _entered = span.entered();
        let set = RepairSet::argmax(self.points, margin)?;
        let attempt = Problem {
            set: &set,
            start,
            ..*self.problem
        };
        let mut options = self.options.clone();
        let spent = self.begun.elapsed();
        options.time_limit = options.time_limit.map(|all| all.saturating_sub(spent));
        let outcome = repair(&attempt, &options)?;
        let Outcome::Repaired(found) = &outcome else {
            self.unreached = Some((margin, outcome));
            return Ok(Attempt::Unreached);
        };
        let network = self.problem.network;
        let repaired = Network::load(&found.checkpoint, network.device(), network.precision())?;
        let similar = self.similar.as_ref();
        let gained = similar.map(|set| set.gained(&repaired)).transpose()?;
        let trial = MarginTrial {
            margin,
            generalization: gained.unwrap_or(0.0),
            drawdown: 0.0 - self.clean.gained(&repaired)?,
        };
        tracing::info!(
            generalization = trial.generalization,
            drawdown = trial.drawdown,
            "margin tried"
        );
        self.trials.push(trial.clone());
        let better = |(known, _): &(MarginTrial, _)| trial.beats(known, self.tolerance);
        if !self.best.as_ref().is_none_or(better) {
            return Ok(Attempt::Worse);
        }
        let sequential = self.options.method == Method::Sequential;
        let change = sequential.then(|| found.change.clone());
        self.best = Some((trial, outcome));
        Ok(Attempt::Better(change))
    }

    /// Whether a larger margin than the best may be better.
    fn may_rise(&self) -> bool {
        let fits = |(trial, _): &(MarginTrial, _)| trial.drawdown <= self.tolerance;
        self.similar.is_some() && self.best.as_ref().is_some_and(fits)
    }

    fn choice(mut self) -> Result<MarginChoice, RepairError> {
        self.trials.sort_by(|a, b| a.margin.total_cmp(&b.margin));
        let best = self.best.map(|(trial, outcome)| (trial.margin, outcome));
        let kept = best.or(self.unreached);
        let (margin, outcome) = kept.ok_or(RepairError::EmptySet)?;
        Ok(MarginChoice {
            margin,
            outcome,
            trials: self.trials,
        })
    }
}

/// A labelled set, run up to the first edited layer.
struct Side<'a> {
    labels: &'a [usize],
    behind: Behind<'a>,
    /// How many of its examples the original network gets right.
    right: usize,
}

impl<'a> Side<'a> {
    /// Keeps what fits into `memory` bytes, of which it takes its share.
    fn new(
        network: &Network,
        layer: &Layer,
        set: &'a Dataset,
        memory: &mut usize,
    ) -> Result<Self, RepairError> {
        let mut behind = Behind::new(network, &set.inputs, &set.shape)?;
        *memory = behind.advance(network, layer, *memory)?;
        let mut side = Self {
            labels: &set.labels,
            behind,
            right: 0,
        };
        side.right = side.right(network)?;
        Ok(side)
    }

    /// How many examples a network gets right that differs from the original from the layer on.
    fn right(&self, network: &Network) -> Result<usize, RepairError> {
        let outputs = self.behind.outputs(network)?;
        let pairs = classes(&outputs, network.classes()).zip(self.labels);
        Ok(pairs.filter(|(answer, label)| answer == *label).count())
    }

    /// Accuracy that a repaired network gains on the set, in points. One quotient of counts: a
    /// difference of percentages can miss a tolerance that it equals.
    fn gained(&self, repaired: &Network) -> Result<f64, RepairError> {
        let gained = self.right(repaired)? as f64 - self.right as f64;
        Ok(100.0 * gained / self.labels.len().max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(margin: f64, generalization: f64, drawdown: f64) -> MarginTrial {
        MarginTrial {
            margin,
            generalization,
            drawdown,
        }
    }

    #[test]
    fn the_largest_gain_within_the_tolerance_wins_and_the_smaller_of_equals() {
        let best = trial(1.0, 2.0, 0.1);
        for worse in [
            trial(0.3, 1.9, -1.0),
            trial(3.0, 2.0, 0.1),
            trial(0.3, 2.0, 0.11),
            trial(0.3, 9.0, 0.11),
            trial(0.3, 2.0, 0.105),
        ] {
            assert!(best.beats(&worse, 0.1) && !worse.beats(&best, 0.1));
        }
        assert!(trial(0.3, 2.0, 0.1).beats(&best, 0.1));
        assert!(!best.beats(&best, 0.1));
        // Beyond the tolerance only the loss counts.
        assert!(trial(0.3, 0.0, 0.2).beats(&trial(0.1, 9.0, 0.3), 0.1));
    }
}
