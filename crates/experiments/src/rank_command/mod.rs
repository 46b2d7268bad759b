//! `experiments rank-layers`: which layer to repair.
//!
//! | module | holds |
//! |---|---|
//! | `arguments` | the flags |
//! | `summary` | what is printed and written |
//!
//! Exit codes: 0 ranked; 1 an error while running; 2 bad usage; 4 no layer repairs all points within the budget.

mod arguments;
mod summary;

use std::time::Instant;

use data::Dataset;
use heuristics::{Choice, Combination, HeuristicError, Prior, Probe, Question, auto};
use repair::Options;

pub use arguments::RankArguments;

use crate::error::{ExperimentError, Result, analysis, prepare};
use crate::progress::Progress;
use crate::repair_command::sets::PointSet;
use crate::repair_command::subject::Subject;
use crate::store::write_json;
use summary::Ranking;

/// What a ranking came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// What to print.
    pub text: String,
    /// Whether a layer repairs all points, or no repair was asked for.
    pub is_settled: bool,
}

/// Ranks as the flags say, writes what they name and returns the text to print.
///
/// # Errors
/// Whatever stops it.
pub fn execute(arguments: &RankArguments, progress: &Progress) -> Result<Ranked> {
    arguments.check()?;
    let start = Instant::now();
    let subject = Subject::open(&arguments.source, [])?;
    progress.say(&subject.to_string());
    let points = PointSet::read_repair(&arguments.source, &subject, progress)?;
    let limit = arguments.guard_limit as usize;
    let guard = PointSet::read_guard(&arguments.guard, limit, &subject, &points, progress)?;
    // What decides is neither repaired nor guarded.
    let others = [&points, &guard];
    let read =
        |path, what| PointSet::read_selection(path, limit, what, &subject, &others, progress);
    let clean = arguments.clean.as_deref();
    let clean = clean.map(|path| read(path, "clean inputs")).transpose()?;
    let similar = arguments.similar.as_deref();
    let similar = similar
        .map(|path| read(path, "similar inputs"))
        .transpose()?;
    let (guard, clean) = match clean {
        Some(clean) => (guard.set.dataset, clean.set.dataset),
        None => halves(&guard.set.dataset)?,
    };
    let set = &points.set.dataset;
    let selection = Selection {
        clean: &clean,
        similar: similar.as_ref().map(|similar| &similar.set.dataset),
    };
    let answer = answer(arguments, &subject, set, &guard, selection);
    let (prior, choice) = answer.map_err(analysis(|| "the layers".to_owned()))?;
    let ranking = Ranking {
        network: subject.path.display().to_string(),
        repair: points.path.display().to_string(),
        points: set.len(),
        guard: guard.len(),
        selection: clean.len(),
        moments_seconds: prior.moments_seconds,
        score_seconds: prior.score_seconds,
        layers: summary::scored(&prior),
        choice: choice
            .as_ref()
            .map(|choice| summary::chosen(&subject.network, choice)),
        seconds: start.elapsed().as_secs_f64(),
    };
    if let Some(path) = &arguments.report {
        write_json(path, &ranking)?;
    }
    let kept = choice.as_ref().and_then(Choice::kept);
    let best = kept.and_then(|attempt| attempt.trial.repair());
    if let (Some(path), Some(repair)) = (&arguments.out, best) {
        let what = || format!("repaired network {}", path.display());
        repair.checkpoint.write(path).map_err(prepare(what))?;
    }
    Ok(Ranked {
        text: ranking.text(arguments.top as usize),
        is_settled: choice.is_none() || best.is_some(),
    })
}

/// Every other input for either.
fn halves(set: &Dataset) -> Result<(Dataset, Dataset)> {
    let half = |first: usize| {
        let positions: Vec<usize> = (first..set.len()).step_by(2).collect();
        set.subset(&positions)
            .map_err(prepare(|| "the guard set".into()))
    };
    if set.len() < 2 {
        return Err(ExperimentError::Usage {
            problem: format!("--guard: expected at least 2 inputs, got {}", set.len()),
        });
    }
    Ok((half(0)?, half(1)?))
}

/// The examples that decide.
struct Selection<'a> {
    clean: &'a Dataset,
    similar: Option<&'a Dataset>,
}

/// The layers by their scores, and after repairs within the budget, if there is one.
fn answer(
    arguments: &RankArguments,
    subject: &Subject,
    points: &Dataset,
    guard: &Dataset,
    Selection { clean, similar }: Selection<'_>,
) -> Result<(Prior, Option<Choice>), HeuristicError> {
    let network = &subject.network;
    let similar = similar.map(|set| Probe::new(network, set)).transpose()?;
    let question = Question {
        network,
        checkpoint: &subject.checkpoint,
        points,
        margin: arguments.margin,
        guard,
        clean: &Probe::new(network, clean)?,
        similar: similar.as_ref(),
        worth: arguments.worth,
        prior: &match arguments.all_scores {
            true => Combination::shipped().beside(heuristics::ALL.iter().map(|h| h.name())),
            false => Combination::shipped(),
        },
        options: &Options::default(),
        budget: arguments.budget,
    };
    if arguments.budget.is_zero() {
        return Ok((Prior::new(&question)?, None));
    }
    let choice = auto(&question)?;
    Ok((choice.prior.clone(), Some(choice)))
}
