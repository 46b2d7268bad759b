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
//! The smaller of two equals wins. Each repair starts from the one before; the ladder ends where a
//! margin is not reached or two in a row were no better.

use data::Dataset;
use network::Network;

use crate::predict::{accuracy, classify};
use crate::{Change, Method, Options, Outcome, Problem, Repair, RepairError, RepairSet, repair};

/// The margins that are tried, ascending.
pub const MARGINS: [f64; 6] = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
/// Margins in a row that may be no better before the ladder ends.
const PATIENCE: usize = 2;
/// Default accuracy that may be lost, in points.
pub const TOLERANCE: f64 = 0.1;

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
        match (self.drawdown <= tolerance, other.drawdown <= tolerance) {
            (true, true) if self.generalization != other.generalization => {
                self.generalization > other.generalization
            }
            (true, false) => true,
            (false, true) => false,
            _ => self.drawdown < other.drawdown,
        }
    }
}

/// The repair with the margin that was kept.
#[derive(Clone, Debug)]
pub struct MarginChoice {
    /// The margin.
    pub margin: f64,
    /// Its outcome; that of the smallest margin when none was reached.
    pub outcome: Outcome,
    /// Every margin that was reached.
    pub trials: Vec<MarginTrial>,
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
    let before = Accuracies::measure(problem.network, selection)?;
    let mut best: Option<(MarginTrial, MarginChoice)> = None;
    let mut unreached = None;
    let (mut trials, mut fallen) = (Vec::new(), 0);
    let mut start: Option<Change> = problem.start.cloned();
    for margin in MARGINS {
        let set = RepairSet::argmax(points, margin)?;
        let attempt = Problem {
            set: &set,
            start: start.as_ref(),
            ..*problem
        };
        let outcome = repair(&attempt, options)?;
        let Outcome::Repaired(found) = &outcome else {
            unreached = Some((margin, outcome));
            break;
        };
        let trial = before.compare(margin, &repaired(problem, found)?, selection)?;
        if options.method == Method::Sequential {
            start = Some(found.change.clone());
        }
        tracing::info!(
            margin,
            generalization = trial.generalization,
            drawdown = trial.drawdown,
            "margin tried"
        );
        trials.push(trial.clone());
        let better = |(known, _): &(MarginTrial, _)| trial.beats(known, selection.tolerance);
        if best.as_ref().is_none_or(better) {
            let choice = MarginChoice {
                margin,
                outcome,
                trials: Vec::new(),
            };
            best = Some((trial, choice));
            fallen = 0;
        } else {
            fallen += 1;
            if fallen == PATIENCE {
                break;
            }
        }
    }
    match (best, unreached) {
        (Some((_, choice)), _) => Ok(MarginChoice { trials, ..choice }),
        (None, Some((margin, outcome))) => Ok(MarginChoice {
            margin,
            outcome,
            trials,
        }),
        (None, None) => Err(RepairError::EmptySet),
    }
}

fn repaired(problem: &Problem<'_>, repair: &Repair) -> Result<Network, RepairError> {
    let network = problem.network;
    let (device, precision) = (network.device(), network.precision());
    Ok(Network::load(&repair.checkpoint, device, precision)?)
}

/// Accuracies on the selection split, in percent.
struct Accuracies {
    similar: f64,
    clean: f64,
}

impl Accuracies {
    fn measure(network: &Network, selection: Selection<'_>) -> Result<Self, RepairError> {
        let of = |set: &Dataset| {
            let answers = classify(network, &set.inputs, &set.shape)?;
            Ok::<_, RepairError>(accuracy(&answers, &set.labels))
        };
        Ok(Self {
            similar: selection.similar.map_or(Ok(0.0), of)?,
            clean: of(selection.clean)?,
        })
    }

    fn compare(
        &self,
        margin: f64,
        repaired: &Network,
        selection: Selection<'_>,
    ) -> Result<MarginTrial, RepairError> {
        let after = Self::measure(repaired, selection)?;
        Ok(MarginTrial {
            margin,
            generalization: after.similar - self.similar,
            drawdown: self.clean - after.clean,
        })
    }
}
