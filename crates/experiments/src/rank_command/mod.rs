//! `experiments rank-layers`: which layer to repair.
//!
//! | module | holds |
//! |---|---|
//! | `arguments` | the flags |
//! | `summary` | what is printed and written |
//!
//! Exit codes: 0 ranked; 1 an error while running; 2 bad usage; 3 one input has two labels; 4 no layer repairs
//! all points within the budget.

mod arguments;
mod summary;

use std::borrow::Cow;
use std::time::Instant;

use data::Dataset;
use heuristics::{Attempt, Choice, Combination, HeuristicError, Prior, Probe, Question, auto};
use network::Output;
use repair::{Options, RepairError};

pub use arguments::RankArguments;

use crate::error::{ExperimentError, Result, analysis, prepare};
use crate::progress::Progress;
use crate::repair_command::Verdict;
use crate::repair_command::doubts;
use crate::repair_command::open_sets::{Files, OpenSets, Reading, Understood};
use crate::repair_command::provenance::{FileRecord, write_report};
use crate::repair_command::sets::{HeldOut, PointSet};
use crate::repair_command::subject::Subject;
use crate::repair_command::written::{Written, check_name};
use summary::Ranking;

/// What a ranking came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// What to print.
    pub text: String,
    /// What the repairs came to; `None` where none was asked for.
    pub verdict: Option<Verdict>,
}

impl Ranked {
    /// The exit code of the command.
    pub fn exit_code(&self) -> u8 {
        self.verdict.map_or(0, Verdict::exit_code)
    }
}

/// Ranks as the flags say, writes what they name and returns the text to print.
///
/// # Errors
/// Whatever stops it.
pub fn execute(arguments: &RankArguments, progress: &Progress) -> Result<Ranked> {
    arguments.check()?;
    let start = Instant::now();
    let subject = Subject::open(&arguments.source, [], progress)?;
    arguments
        .outputs()
        .check_model("--network", &subject.checkpoint)?;
    if let Some(out) = &arguments.out {
        check_name(out, &subject.checkpoint, None)?;
    }
    let files = Files {
        guard: Some(&arguments.guard),
        clean: arguments.clean.as_deref(),
        similar: arguments.similar.as_deref(),
    };
    let open = OpenSets::open(&arguments.source, files, &subject)?.understood(progress)?;
    let points = open.read_repair(progress)?;
    match points.specification(&subject.network, arguments.margin) {
        Err(RepairError::Contradiction { first, second, .. }) => {
            return contradictory(
                arguments,
                &subject,
                &open.reading(),
                &points,
                [first, second],
            );
        }
        specified => specified.map_err(analysis(|| "the repair set".to_owned()))?,
    };
    let sets = Sets::read(arguments, &subject, &open, points, progress)?;
    let [guard, clean] = sets.clean()?;
    let set = &sets.points.set.dataset;
    let similar = sets.held_out.similar.as_ref();
    let selection = Selection {
        clean: &clean,
        similar: similar.map(|similar| &similar.set.dataset),
    };
    let answer = answer(arguments, &subject, set, &guard, selection);
    let (prior, choice) = answer.map_err(analysis(|| "the layers".to_owned()))?;
    let kept = choice.as_ref().and_then(Choice::kept);
    let written = match (&arguments.out, kept) {
        (Some(out), Some(attempt)) => {
            write_and_check(arguments.outputs().to(out), &subject, &sets.points, attempt)?
        }
        _ => None,
    };
    let ranking = Ranking {
        network: subject.path.display().to_string(),
        repair: sets.points.path.display().to_string(),
        points: set.len(),
        guard: guard.len(),
        selection: clean.len(),
        moments_seconds: prior.moments_seconds,
        score_seconds: prior.score_seconds,
        layers: summary::scored(&prior),
        choice: choice
            .as_ref()
            .map(|choice| summary::chosen(&subject.network, choice)),
        self_check: written.as_ref().map(|written| written.check),
        seconds: start.elapsed().as_secs_f64(),
    };
    if let Some(path) = &arguments.report {
        let out = arguments.out.as_deref().zip(written.as_ref());
        let out = out.map(|(out, written)| FileRecord::network("out", out, &written.checkpoint));
        let files = sets.files().chain(out);
        let to = arguments.outputs().to(path);
        write_report(&to, &ranking, &subject, &open.reading(), arguments, files)?;
    }
    let mut text = ranking.text(arguments.top as usize);
    if let Some(written) = written {
        let points = &sets.points;
        let right_before = points.before.len() - points.wrong(&points.before);
        text += &written.line(right_before);
    }
    Ok(Ranked {
        text,
        verdict: choice.as_ref().map(|choice| match choice.best {
            Some(_) => Verdict::Repaired,
            None => Verdict::Unknown,
        }),
    })
}

/// What is to be said where one input has two labels.
fn contradictory(
    arguments: &RankArguments,
    subject: &Subject,
    reading: &Reading,
    points: &PointSet,
    pair: [usize; 2],
) -> Result<Ranked> {
    let found = points.contradiction(pair);
    if let Some(path) = &arguments.report {
        let files = [FileRecord::set("repair", points)];
        let to = arguments.outputs().to(path);
        write_report(&to, &found, subject, reading, arguments, files)?;
    }
    Ok(Ranked {
        text: found.lines().join("\n"),
        verdict: Some(found.outcome),
    })
}

/// Writes the network of an attempt, reads it back and evaluates what was read.
fn write_and_check(
    out: Output<'_>,
    subject: &Subject,
    points: &PointSet,
    attempt: &Attempt,
) -> Result<Option<Written>> {
    let Some(repair) = attempt.trial.repair() else {
        return Ok(None);
    };
    let network = &subject.network;
    let set = points.specification(network, attempt.margin);
    let set = set.map_err(analysis(|| "the repair set".to_owned()))?;
    let written = Written::new(out, &repair.checkpoint, network, &set, attempt.margin)?;
    written.confirm()?;
    Ok(Some(written))
}

/// The examples that a ranking reads; no two sets share an input.
struct Sets {
    points: PointSet,
    guard: PointSet,
    /// What decides.
    held_out: HeldOut,
}

impl Sets {
    fn read(
        arguments: &RankArguments,
        subject: &Subject,
        open: &Understood<'_>,
        points: PointSet,
        progress: &Progress,
    ) -> Result<Self> {
        let limit = arguments.guard_limit as usize;
        let guard = open.read_guard(limit, &points, progress)?;
        let guard = guard.ok_or_else(|| ExperimentError::Usage {
            problem: "expected --guard, got none".to_owned(),
        })?;
        let held_out = open.read_held_out(limit, &[&points, &guard], progress)?;
        for set in [&guard].into_iter().chain(&held_out.clean) {
            doubts::check(set, subject, &arguments.source)?;
        }
        Ok(Self {
            points,
            guard,
            held_out,
        })
    }

    /// Clean examples that the metric is taken from, and others that decide.
    fn clean(&self) -> Result<[Cow<'_, Dataset>; 2]> {
        let guard = &self.guard.set.dataset;
        match &self.held_out.clean {
            Some(clean) => Ok([guard, &clean.set.dataset].map(Cow::Borrowed)),
            None => Ok(halves(guard)?.map(Cow::Owned)),
        }
    }

    fn files(&self) -> impl Iterator<Item = FileRecord> {
        [("repair", &self.points), ("guard", &self.guard)]
            .into_iter()
            .chain(self.held_out.named())
            .map(|(role, set)| FileRecord::set(role, set))
    }
}

/// Every other input for either.
fn halves(set: &Dataset) -> Result<[Dataset; 2]> {
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
    Ok([half(0)?, half(1)?])
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
