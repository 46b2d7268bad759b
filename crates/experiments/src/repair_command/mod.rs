//! `experiments repair`: one layer of a network in a file, repaired on sets in files.
//!
//! | module | holds |
//! |---|---|
//! | `arguments` | the flags |
//! | `subject` | the network |
//! | `intake` | what it takes |
//! | `open_sets` | the files of all sets, and the one reading of their labels |
//! | `doubts` | whether the labels are those that the network means |
//! | `sets` | the repair set, the guard set, and those on which a repair is measured |
//! | `deadline` | the time that all of it may take |
//! | `written` | the repaired network, read back and evaluated |
//! | `attributed` | what the repair did to weights and answers |
//! | `summary` | what is printed and written about the result |
//! | `provenance` | what reproduces it |
//!
//! Exit codes: 0 repaired and written; 1 an error while running; 2 bad usage; 3 infeasible; 4 unknown.

pub(crate) mod arguments;
mod attributed;
mod deadline;
pub(crate) mod doubts;
pub(crate) mod intake;
pub(crate) mod open_sets;
pub(crate) mod provenance;
pub(crate) mod sets;
pub(crate) mod subject;
mod summary;
pub(crate) mod written;

use std::sync::Arc;
use std::time::Duration;

use network::Model;
use repair::{
    Answers, Attribution, Change, GuardMoments, MARGINS, MarginTrial, Options, Outcome, Problem,
    Repair, RepairError, RepairSet, Report, Selection, StopReason, Unfinished, choose_margin,
};

pub use arguments::{Margin, PREPROCESSINGS, Preset, RepairArguments, SourceArguments};
pub use summary::Verdict;

use crate::error::{ExperimentError, Result, prepare};
use crate::progress::Progress;
use crate::table::{as_typed, counted, counted_as};
use attributed::Attributed;
use deadline::Deadline;
use provenance::{FileRecord, write_report};
use sets::{HeldOut, PointSet, Sets};
use subject::Subject;
use summary::{Compared, Draft, Evidence, Summary};
use written::Written;

/// What a repair came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What to print.
    pub text: String,
    /// In a word.
    pub verdict: Verdict,
}

/// What is repaired, and with what.
struct Task {
    arguments: RepairArguments,
    subject: Subject,
    sets: Sets,
    /// What an earlier repair wrote, to go on from.
    earlier: Option<Model>,
}

/// Repairs as the flags say and writes the repaired network, all within the time limit.
///
/// # Errors
/// Whatever stops it before there is an answer; infeasible and unknown are answers.
pub fn execute(arguments: &RepairArguments, progress: &Progress) -> Result<Answer> {
    arguments.check()?;
    let deadline = Deadline::from_now(arguments.time_limit);
    let (owned, told) = (arguments.clone(), progress.clone());
    let Some(task) = deadline.within(move || Task::read(owned, &told)) else {
        return Ok(summary::unread(&deadline));
    };
    let task = Arc::new(task?);
    let (asked, told) = (Arc::clone(&task), progress.clone());
    let left = deadline.remaining();
    let solved = match deadline.within(move || solve(&asked, left, &told)) {
        Some(Ok(solved)) => solved.limited(&deadline),
        // One input with two labels: no network at all satisfies both.
        Some(Err(RepairError::Contradiction { first, second, .. })) => {
            let draft = summary::contradiction(&task.sets.repair, [first, second]);
            return task.finish(draft, None);
        }
        Some(Err(source)) => return Err(failed(&task.subject, source)),
        None => Solved::abandoned(&task, &deadline)?,
    };
    let keeps = match &solved.outcome {
        Outcome::Repaired(repair) => Some(repair.as_ref()),
        Outcome::Unknown(unfinished) => unfinished
            .best
            .as_ref()
            .filter(|_| arguments.keep_unfinished),
        Outcome::Infeasible(_) => None,
    };
    let evidence = keeps
        .map(|repair| write_and_check(&task, &solved, repair, &deadline))
        .transpose()?;
    let summary = Summary {
        task: &task,
        solved: &solved,
        evidence: evidence.as_ref(),
        seconds: deadline.elapsed().as_secs_f64(),
    };
    task.finish(summary.answer(), evidence.as_ref())
}

impl Task {
    /// Reads everything and says what it is.
    fn read(arguments: RepairArguments, progress: &Progress) -> Result<Self> {
        let subject = Subject::open(&arguments.source, arguments.layer.split(','), progress)?;
        let outputs = arguments.outputs();
        outputs.check_model("--network", &subject.checkpoint)?;
        let format = arguments.format.as_deref();
        written::check_name(&arguments.out, &subject.checkpoint, format)?;
        let earlier = arguments.start.as_deref();
        let earlier = earlier.map(|path| {
            let what = || format!("earlier repair {}", path.display());
            Model::open(path).map_err(prepare(what))
        });
        let earlier = earlier.transpose()?;
        if let Some(earlier) = &earlier {
            outputs.check_model("--start", earlier)?;
        }
        let sets = Sets::read(&arguments, &subject, progress)?;
        sets.say_near_duplicates(&subject, progress);
        progress.say(&size(&subject, &sets.repair));
        Ok(Self {
            arguments,
            subject,
            sets,
            earlier,
        })
    }

    /// Writes the report, if one is asked for.
    fn finish(&self, draft: Draft, evidence: Option<&Evidence>) -> Result<Answer> {
        let Self {
            arguments,
            subject,
            sets,
            earlier,
        } = self;
        if let Some(path) = &arguments.report {
            let read = sets.named().into_iter();
            let read = read.map(|(role, set)| FileRecord::set(role, set));
            let earlier = arguments.start.as_deref().zip(earlier.as_ref());
            let earlier =
                earlier.map(|(path, network)| FileRecord::network("start", path, network));
            let written = evidence.map(|evidence| &evidence.written.checkpoint);
            let written =
                written.map(|network| FileRecord::network("out", &arguments.out, network));
            let files = read.chain(earlier).chain(written);
            write_report(
                &arguments.outputs().to(path),
                &draft.report,
                subject,
                &sets.reading,
                arguments,
                files,
            )?;
        }
        Ok(draft.answer())
    }
}

/// What the library answered, and what was asked of it.
struct Solved {
    outcome: Outcome,
    margin: f64,
    set: RepairSet,
    /// The margins that were tried, where one was to be picked.
    trials: Vec<MarginTrial>,
}

impl Solved {
    /// The same, with the limit that was given where time is the reason.
    fn limited(mut self, deadline: &Deadline) -> Self {
        if let Outcome::Unknown(unfinished) = &mut self.outcome
            && let (StopReason::Time(limit), Some(given)) =
                (&mut unfinished.reason, deadline.limit())
        {
            *limit = given;
        }
        self
    }

    /// What a solver that did not end in time came to.
    fn abandoned(task: &Task, deadline: &Deadline) -> Result<Self> {
        let margin = match task.arguments.margin {
            Margin::Fixed(margin) => margin,
            Margin::Auto => MARGINS[0],
        };
        let set = task
            .sets
            .repair
            .specification(&task.subject.network, margin);
        Ok(Self {
            outcome: Outcome::Unknown(Box::new(Unfinished {
                reason: StopReason::Time(deadline.limit().unwrap_or_default()),
                best: None,
                report: Report::default(),
            })),
            margin,
            set: set.map_err(|source| failed(&task.subject, source))?,
            trials: Vec::new(),
        })
    }
}

/// The call of the library, with so much time left.
fn solve(
    task: &Task,
    time_limit: Option<Duration>,
    progress: &Progress,
) -> Result<Solved, RepairError> {
    let Task {
        arguments,
        subject,
        sets,
        earlier,
    } = task;
    let network = &subject.network;
    let margin = match arguments.margin {
        Margin::Fixed(margin) => margin,
        Margin::Auto => MARGINS[0],
    };
    let mut set = sets.repair.specification(network, margin)?;
    if let (Some(guard), Some(protection)) = (&sets.guard, arguments.protect) {
        set = set.protect(network, &guard.set.dataset.inputs, protection)?;
    }
    let options = Options {
        time_limit,
        ..arguments.options()
    };
    let guard = match &sets.guard {
        Some(guard) if arguments.needs_guard() => Some(GuardMoments::collect(
            network,
            &guard.set.dataset.inputs,
            &guard.set.dataset.shape,
            &options.moved_layers(network, &subject.layers),
        )?),
        _ => None,
    };
    let start = earlier.as_ref();
    let start = start.map(|earlier| Change::between(&subject.checkpoint, earlier));
    let start = start.transpose()?;
    let problem = Problem {
        network,
        checkpoint: &subject.checkpoint,
        layers: &subject.layers,
        set: &set,
        guard: guard.as_ref(),
        start: start.as_ref(),
    };
    let HeldOut { clean, similar } = &sets.held_out;
    let clean = clean.as_ref().filter(|_| arguments.margin == Margin::Auto);
    let Some(clean) = clean else {
        return Ok(Solved {
            outcome: repair::repair(&problem, &options)?,
            margin,
            set,
            trials: Vec::new(),
        });
    };
    let selection = Selection {
        similar: similar.as_ref().map(|set| &set.set.dataset),
        clean: &clean.set.dataset,
        tolerance: arguments.tolerance(),
    };
    let choice = choose_margin(&problem, &sets.repair.set.dataset, &options, selection)?;
    for trial in &choice.trials {
        progress.say(&format!(
            "margin {}: {:+.2} points on similar inputs, {:+.2} on clean ones",
            as_typed(trial.margin),
            trial.generalization,
            0.0 - trial.drawdown
        ));
    }
    Ok(Solved {
        set: sets.repair.specification(network, choice.margin)?,
        outcome: choice.outcome,
        margin: choice.margin,
        trials: choice.trials,
    })
}

fn failed(subject: &Subject, source: RepairError) -> ExperimentError {
    match source {
        RepairError::Option { .. } => ExperimentError::Usage {
            problem: source.to_string(),
        },
        source => ExperimentError::Repair {
            layer: subject.layer_names(),
            source: source.into(),
        },
    }
}

/// How large the problem is before it is solved.
fn size(subject: &Subject, points: &PointSet) -> String {
    let others = subject.network.classes().saturating_sub(1);
    let rows = points.set.dataset.len() * others;
    let count = |tensor: &str| {
        let shape = subject.checkpoint.shape(tensor).unwrap_or_default();
        shape.iter().product::<usize>()
    };
    let tensors = subject.layers.iter();
    let columns = tensors
        .map(|layer| count(&layer.weight) + layer.bias.as_deref().map_or(0, count))
        .sum::<usize>();
    format!(
        "problem: {} ({} x {}), {} (layer {}); {} if it were written out",
        counted(rows, "specification row"),
        counted(points.set.dataset.len(), "point"),
        counted_as(others, "other class", "other classes"),
        counted(columns, "column"),
        subject.layer_names(),
        arguments::bytes(rows.saturating_mul(columns).saturating_mul(8)),
    )
}

/// Writes the network, reads it back and measures what was read, as far as there is time.
fn write_and_check(
    task: &Arc<Task>,
    solved: &Solved,
    repair: &Repair,
    deadline: &Deadline,
) -> Result<Evidence> {
    let Task {
        arguments,
        subject,
        sets,
        ..
    } = task.as_ref();
    let what = || format!("repaired network {}", arguments.out.display());
    let written = Written::new(
        arguments.outputs().to(&arguments.out),
        &repair.checkpoint,
        &subject.network,
        &solved.set,
        solved.margin,
    )?;
    if matches!(solved.outcome, Outcome::Repaired(_)) {
        written.confirm()?;
    }
    // What the written network answers on a set of the task; `None` when there is no time for it.
    let answers = |choose: fn(&Sets) -> Option<&PointSet>| -> Result<Option<Vec<usize>>> {
        if deadline.passed() {
            return Ok(None);
        }
        let (task, network) = (Arc::clone(task), written.network.clone());
        let found = deadline.within(move || choose(&task.sets).map(|set| set.answers(&network)));
        found.flatten().transpose().map_err(prepare(what))
    };
    let mut unmeasured = Vec::new();
    let mut compared = |name: &'static str, choose: fn(&Sets) -> Option<&PointSet>| {
        let Some(set) = choose(sets) else {
            return Ok::<_, ExperimentError>((None, None));
        };
        let after = answers(choose)?;
        if after.is_none() {
            unmeasured.push(name);
        }
        let compared = after.as_deref().map(|after| Compared::new(set, after));
        Ok((compared, after))
    };
    let (_, after) = compared("the repair set", |sets| Some(&sets.repair))?;
    let (guard, guard_after) = compared("the guard set", |sets| sets.guard.as_ref())?;
    // Sets by which the margin was picked are no evidence.
    let is_held_out = arguments.margin != Margin::Auto;
    let (mut clean, mut similar) = (None, None);
    if is_held_out {
        clean = compared("clean inputs", |sets| sets.held_out.clean.as_ref())?.0;
        similar = compared("similar inputs", |sets| sets.held_out.similar.as_ref())?.0;
    }
    let guard_answers = sets.guard.as_ref().zip(guard_after);
    let guard_answers = guard_answers.map(|(set, after)| labelled_answers(set, &after));
    let attribution = Attribution::new(repair, &subject.checkpoint, &subject.network);
    Ok(Evidence {
        after,
        guard,
        clean,
        similar,
        unmeasured,
        attributed: Attributed {
            attribution: attribution.map_err(prepare(what))?,
            answers: guard_answers.transpose().map_err(prepare(what))?.flatten(),
        },
        written,
    })
}

/// Which labels a set's answers moved from and to; `None` for a set without labels: answers are right
/// or wrong where there is one.
fn labelled_answers(set: &PointSet, after: &[usize]) -> Result<Option<Answers>, RepairError> {
    let labelled = |answers: &[usize]| -> Vec<usize> {
        let kept = (0..answers.len()).filter(|&i| set.set.dataset.is_labelled(i));
        kept.map(|i| answers[i]).collect()
    };
    let labels = labelled(&set.set.dataset.labels);
    if labels.is_empty() {
        return Ok(None);
    }
    Answers::new(&labels, &labelled(&set.before), &labelled(after)).map(Some)
}
