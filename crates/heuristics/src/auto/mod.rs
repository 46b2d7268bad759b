//! Which layer, decided within a budget of time.
//!
//! ```text
//! prior:    order the layers by scores from a few points and a few guard examples
//! pilot:    repair a few of the points at one layer after the other
//! attempt:  repair all points at the layers whose pilots did least harm
//! vary:     the other method, the two best layers together, wider margins
//! keep what does least harm on the selection split
//! ```
//!
//! Harm is the divergence of the predictions on clean selection examples
//! ([`Effects`](crate::Effects)). Prior and pilots are rungs of successive halving (Jamieson &
//! Talwalkar, AISTATS 2016): few points and guard examples rank layers almost as all of them do, at
//! a fraction of the time. With examples like the repaired ones the attempt with the most
//! `G - worth · D` is kept: accuracy gained on them, less what is lost on clean ones.
//!
//! | module | holds |
//! |---|---|
//! | `prior` | the layers before any is tried |
//! | `pilots` | a few points at one layer |
//! | `attempts` | all points, in several ways |
//! | `choice` | what came of it, and how sure it is |

mod attempts;
mod choice;
mod pilots;
mod prior;

use std::time::{Duration, Instant};

use data::Dataset;
use network::{Model, Network};
use repair::Options;

use crate::HeuristicError;
use crate::combined::Combination;
use crate::probe::Probe;

pub use attempts::Attempt;
pub use choice::Choice;
pub use pilots::{Pilot, PilotEnd};
pub use prior::{PRIOR_GUARD, PRIOR_POINTS, Prior};

/// Default of [`Question::worth`]: inputs like the repaired ones are taken to be one in ten.
pub const WORTH: f64 = 10.0;

/// What is to be decided.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The network that computes.
    pub network: &'a Network,
    /// The file that it was loaded from.
    pub checkpoint: &'a Model,
    /// What is to be repaired.
    pub points: &'a Dataset,
    /// The margin to begin with.
    pub margin: f64,
    /// Clean examples that the metric is taken from.
    pub guard: &'a Dataset,
    /// Clean examples that decide; neither repaired nor used as guard, nor to score the result.
    pub clean: &'a Probe<'a>,
    /// Examples like the repaired ones that decide too.
    pub similar: Option<&'a Probe<'a>>,
    /// Accuracy on similar examples that one point lost on clean ones is worth, in points.
    pub worth: f64,
    /// What orders the layers before any is tried.
    pub prior: &'a Combination,
    /// How repairs are made; method, margin and layers are chosen here. Its time limit is what a
    /// repair of all points may take even when the budget is spent, as long as none succeeds.
    pub options: &'a Options,
    /// Time for everything: nothing but the first attempts begins after it. The scores are made
    /// whatever they take.
    pub budget: Duration,
}

/// Decides.
///
/// # Errors
/// As [`repair::repair`] and [`Statistics::collect`](crate::Statistics::collect).
pub fn auto(question: &Question<'_>) -> Result<Choice, HeuristicError> {
    let clock = Clock::new(question.budget);
    let (prior, sketch) = Prior::with_sketch(question)?;
    let order = prior.order();
    let pilots = pilots::run(question, &sketch, &order, &clock)?;
    drop(sketch);
    let ranking = pilots::ranking(&order, &pilots);
    let attempts = attempts::run(question, &ranking, &pilots, &clock)?;
    Ok(Choice {
        best: question.best(&attempts),
        prior,
        ranking,
        pilots,
        attempts,
        seconds: clock.start.elapsed().as_secs_f64(),
    })
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
