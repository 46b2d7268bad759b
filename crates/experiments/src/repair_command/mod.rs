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
//! | `written` | the repaired network, read back and evaluated |
//! | `attributed` | what the repair did to weights and answers |
//! | `summary` | what is printed and written about the result |
//! | `provenance` | what reproduces it |
//!
//! Exit codes: 0 repaired and written; 1 an error while running; 2 bad usage; 3 infeasible; 4 unknown.

pub(crate) mod arguments;
mod attributed;
pub(crate) mod doubts;
pub(crate) mod intake;
pub(crate) mod open_sets;
pub(crate) mod provenance;
pub(crate) mod sets;
pub(crate) mod subject;
mod summary;
pub(crate) mod written;

use std::time::Instant;

use network::Model;
use repair::{
    Answers, Attribution, Change, GuardMoments, MARGINS, MarginTrial, Outcome, Problem, Repair,
    RepairError, RepairSet, Selection, choose_margin,
};

pub use arguments::{Margin, PREPROCESSINGS, Preset, RepairArguments, SourceArguments};
pub use summary::Verdict;

use crate::error::{ExperimentError, Result, prepare};
use crate::progress::Progress;
use attributed::Attributed;
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
struct Task<'a> {
    arguments: &'a RepairArguments,
    subject: Subject,
    sets: Sets,
    /// What an earlier repair wrote, to go on from.
    earlier: Option<Model>,
}

/// Repairs as the flags say and writes the repaired network.
///
/// # Errors
/// Whatever stops it before there is an answer; infeasible and unknown are answers.
pub fn execute(arguments: &RepairArguments, progress: &Progress) -> Result<Answer> {
    arguments.check()?;
    let start = Instant::now();
    let task = Task::read(arguments, progress)?;
    let solved = match solve(&task, progress) {
        Ok(solved) => solved,
        // One input with two labels: no network at all satisfies both.
        Err(RepairError::Contradiction { first, second, .. }) => {
            let draft = summary::contradiction(&task.sets.repair, [first, second]);
            return task.finish(draft, None);
        }
        Err(source) => return Err(failed(&task.subject, source)),
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
        .map(|repair| write_and_check(&task, &solved, repair))
        .transpose()?;
    let summary = Summary {
        task: &task,
        solved: &solved,
        evidence: evidence.as_ref(),
        seconds: start.elapsed().as_secs_f64(),
    };
    task.finish(summary.answer(), evidence.as_ref())
}

impl<'a> Task<'a> {
    /// Reads everything and says what it is.
    fn read(arguments: &'a RepairArguments, progress: &Progress) -> Result<Self> {
        let subject = Subject::open(&arguments.source, arguments.layer.split(','), progress)?;
        let format = arguments.format.as_deref();
        written::check_name(&arguments.out, &subject.checkpoint, format)?;
        let earlier = arguments.start.as_deref();
        let earlier = earlier.map(|path| {
            let what = || format!("earlier repair {}", path.display());
            Model::open(path).map_err(prepare(what))
        });
        let earlier = earlier.transpose()?;
        let sets = Sets::read(arguments, &subject, progress)?;
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
                path,
                &draft.report,
                subject,
                &sets.reading,
                *arguments,
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

/// The call of the library.
fn solve(task: &Task<'_>, progress: &Progress) -> Result<Solved, RepairError> {
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
    let options = arguments.options();
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
            trial.margin,
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
        "problem: {rows} specification rows ({} points x {others} other classes), {columns} columns (layer {}); {} if it were written out",
        points.set.dataset.len(),
        subject.layer_names(),
        arguments::bytes(rows.saturating_mul(columns).saturating_mul(8)),
    )
}

/// Writes the network, reads it back and measures what was read.
fn write_and_check(task: &Task<'_>, solved: &Solved, repair: &Repair) -> Result<Evidence> {
    let Task {
        arguments,
        subject,
        sets,
        ..
    } = task;
    let what = || format!("repaired network {}", arguments.out.display());
    let written = Written::new(
        &arguments.out,
        &repair.checkpoint,
        &subject.network,
        &solved.set,
        solved.margin,
    )?;
    if matches!(solved.outcome, Outcome::Repaired(_)) {
        written.confirm()?;
    }
    let answers = |set: &PointSet| set.answers(&written.network).map_err(prepare(what));
    let compared = |set: &PointSet| Ok::<_, ExperimentError>(Compared::new(set, &answers(set)?));
    let (mut guard, mut guard_answers) = (None, None);
    if let Some(set) = &sets.guard {
        let after = answers(set)?;
        guard = Some(Compared::new(set, &after));
        // Answers are right or wrong where there is a label.
        let labelled = |answers: &[usize]| -> Vec<usize> {
            let kept = (0..answers.len()).filter(|&i| set.set.dataset.is_labelled(i));
            kept.map(|i| answers[i]).collect()
        };
        let [labels, before, after] =
            [&set.set.dataset.labels, &set.before, &after].map(|answers| labelled(answers));
        if !labels.is_empty() {
            guard_answers = Some(Answers::new(&labels, &before, &after).map_err(prepare(what))?);
        }
    }
    // Sets by which the margin was picked are no evidence.
    let is_held_out = |_: &&PointSet| arguments.margin != Margin::Auto;
    let HeldOut { clean, similar } = &sets.held_out;
    let [clean, similar] = [clean, similar].map(|set| set.as_ref().filter(is_held_out));
    let attribution = Attribution::new(repair, &subject.checkpoint, &subject.network);
    Ok(Evidence {
        after: answers(&sets.repair)?,
        guard,
        clean: clean.map(compared).transpose()?,
        similar: similar.map(compared).transpose()?,
        attributed: Attributed {
            attribution: attribution.map_err(prepare(what))?,
            answers: guard_answers,
        },
        written,
    })
}
