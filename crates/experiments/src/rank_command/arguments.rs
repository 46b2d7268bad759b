//! The flags of `experiments rank-layers`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use heuristics::WORTH;
use serde::Serialize;

use crate::error::{ExperimentError, Result};
use crate::outputs::{Input, Outputs};
use crate::repair_command::SourceArguments;
use crate::repair_command::arguments::{in_seconds, non_negative};

/// Say which layer of a network to repair, and how sure that is.
///
/// All layers are scored in one pass. Then, within --budget, a few points are repaired at one layer after
/// the other, all points at the best of them, and there in other ways: frozen, two layers at once, wider
/// margins. What changes the predictions on clean inputs least is recommended.
///
/// Exit codes: 0 ranked; 1 an error while running; 2 bad usage; 3 one input has two labels, which no repair
/// satisfies; 4 no layer repairs all points within the budget.
#[derive(Clone, Debug, Args, Serialize)]
pub struct RankArguments {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub source: SourceArguments,
    /// Clean labelled inputs whose outputs should stay
    #[arg(long, value_name = "PATH")]
    pub guard: PathBuf,
    /// The most inputs to use of each of --guard, --clean and --similar, spread evenly over the set
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(2..))]
    pub guard_limit: u32,
    /// Clean labelled inputs on which layers are compared [default: every other input of --guard]
    #[arg(long, value_name = "PATH")]
    pub clean: Option<PathBuf>,
    /// Labelled inputs like those of the repair set, on which layers and margins are compared too
    #[arg(long, value_name = "PATH")]
    pub similar: Option<PathBuf>,
    /// Accuracy on --similar that one point lost on --clean is worth, in points
    #[arg(long, value_name = "POINTS", default_value_t = WORTH, value_parser = non_negative, requires = "similar")]
    pub worth: f64,
    /// Time for scores and repairs, e.g. 90s or 2m; 0 for scores alone
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = budget)]
    #[serde(serialize_with = "in_seconds")]
    pub budget: Duration,
    /// By how much the right output must exceed every other one
    #[arg(long, value_name = "NUMBER", default_value = "0.1", value_parser = non_negative)]
    pub margin: f64,
    /// Compute every heuristic, not only those that the recommendation reads
    #[arg(long)]
    pub all_scores: bool,
    /// The most layers that the tables show
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub top: u32,
    /// File for the network that the recommended repair makes
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// File for everything as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write over files that exist
    #[arg(long)]
    pub force: bool,
}

impl RankArguments {
    /// Finds what cannot work before anything is read.
    ///
    /// # Errors
    /// [`ExperimentError::Usage`].
    pub fn check(&self) -> Result<()> {
        if self.out.is_some() && self.budget.is_zero() {
            return Err(ExperimentError::Usage {
                problem: "--out needs a --budget above 0: scores alone repair nothing".to_owned(),
            });
        }
        let optional = [("--clean", &self.clean), ("--similar", &self.similar)].into_iter();
        let sets = optional.filter_map(|(flag, set)| Some(Input::Set(flag, set.as_deref()?)));
        let sets = sets.chain([Input::Set("--guard", &self.guard)]);
        self.outputs()
            .check(self.source.inputs().into_iter().chain(sets))
    }

    /// What is written.
    pub(super) fn outputs(&self) -> Outputs<'_> {
        Outputs {
            out: self.out.as_deref(),
            report: self.report.as_deref(),
            force: self.force,
        }
    }
}

/// Seconds, or minutes with an `m`.
fn budget(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60.0),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let seconds = number.trim().parse().ok().filter(|n: &f64| *n >= 0.0);
    seconds
        .and_then(|n| Duration::try_from_secs_f64(n * unit).ok())
        .ok_or_else(|| "expected a time such as 90s or 2m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_seconds_or_minutes() {
        assert_eq!(budget("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(budget("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(budget("0"), Ok(Duration::ZERO));
        assert!(budget("-1s").is_err() && budget("soon").is_err() && budget("infm").is_err());
    }
}
