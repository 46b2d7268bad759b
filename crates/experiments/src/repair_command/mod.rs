//! `experiments repair`: one layer of a network in a file, repaired on sets in files.
//!
//! | module | holds |
//! |---|---|
//! | `arguments` | the flags |
//! | `subject` | the network, and what it takes |
//! | `sets` | the repair set and the guard set |
//! | `attributed` | what the repair did to weights and answers |
//! | `summary` | what is printed and written about the result |
//!
//! Exit codes: 0 repaired and written; 1 an error while running; 2 bad usage; 3 infeasible; 4 unknown.

pub(crate) mod arguments;
mod attributed;
pub(crate) mod sets;
pub(crate) mod subject;
mod summary;

use std::path::Path;
use std::time::Instant;

use network::{Checkpoint, Network};
use repair::{
    Answers, Attribution, Change, GuardMoments, MARGINS, Outcome, Problem, Repair, RepairError,
    RepairSet, Selection, choose_margin,
};

pub use arguments::{Margin, PREPROCESSINGS, Preset, RepairArguments, SourceArguments};
pub use summary::Verdict;

use crate::error::{ExperimentError, Result, prepare};
use crate::progress::Progress;
use attributed::Attributed;
use sets::{PointSet, Sets, classes_of};
use subject::Subject;
use summary::{Evidence, Guarded, SelfCheck, Summary};

/// What a repair came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What to print.
    pub text: String,
    /// In a word.
    pub verdict: Verdict,
}

/// Repairs as the flags say and writes the repaired network.
///
/// # Errors
/// Whatever stops it before there is an answer; infeasible and unknown are answers.
pub fn execute(arguments: &RepairArguments, progress: &Progress) -> Result<Answer> {
    arguments.check()?;
    let start = Instant::now();
    let subject = Subject::open(&arguments.source, arguments.layer.split(','))?;
    progress.say(&subject.to_string());
    let sets = Sets::read(arguments, &subject, progress)?;
    sets.say_near_duplicates(&subject, progress);
    progress.say(&size(&subject, &sets.repair));

    let Solved { outcome, margin } = match solve(arguments, &subject, &sets, progress) {
        Ok(solved) => solved,
        // One input with two labels: no network at all satisfies both.
        Err(RepairError::Contradiction { first, second, .. }) => {
            return summary::contradiction(&sets.repair, [first, second]).finish(arguments);
        }
        Err(source) => return Err(failed(&subject, source)),
    };
    let keeps = match &outcome {
        Outcome::Repaired(repair) => Some(repair.as_ref()),
        Outcome::Unknown(unfinished) => unfinished
            .best
            .as_ref()
            .filter(|_| arguments.keep_unfinished),
        Outcome::Infeasible(_) => None,
    };
    let evidence = keeps
        .map(|repair| write_and_check(arguments, &subject, &sets, repair, margin))
        .transpose()?;
    Summary {
        arguments,
        subject: &subject,
        sets: &sets,
        margin,
        outcome: &outcome,
        evidence: evidence.as_ref(),
        seconds: start.elapsed().as_secs_f64(),
    }
    .answer()?
    .finish(arguments)
}

/// What the library answered, with the margin that was asked of it.
struct Solved {
    outcome: Outcome,
    margin: f64,
}

/// The call of the library.
fn solve(
    arguments: &RepairArguments,
    subject: &Subject,
    sets: &Sets,
    progress: &Progress,
) -> Result<Solved, RepairError> {
    let guard = match &sets.guard {
        Some(guard) if arguments.needs_guard() => Some(GuardMoments::collect(
            &subject.network,
            &guard.set.dataset.inputs,
            &guard.set.dataset.shape,
            &subject.layers,
        )?),
        _ => None,
    };
    let start = match &arguments.start {
        Some(path) => {
            let edited = Checkpoint::read(path)?;
            Some(Change::between(&subject.checkpoint, &edited)?)
        }
        None => None,
    };
    let margin = match arguments.margin {
        Margin::Fixed(margin) => margin,
        Margin::Auto => MARGINS[0],
    };
    let mut set = specification(&sets.repair, margin)?;
    if let (Some(guard), Some(protection)) = (&sets.guard, arguments.protect) {
        let inputs = &guard.set.dataset.inputs;
        set = set.protect(&subject.network, inputs, protection)?;
    }
    let problem = Problem {
        network: &subject.network,
        checkpoint: &subject.checkpoint,
        layers: &subject.layers,
        set: &set,
        guard: guard.as_ref(),
        start: start.as_ref(),
    };
    let options = arguments.options();
    let Some(clean) = &sets.clean else {
        let outcome = repair::repair(&problem, &options)?;
        return Ok(Solved { outcome, margin });
    };
    let selection = Selection {
        similar: sets.similar.as_ref().map(|set| &set.set.dataset),
        clean: &clean.set.dataset,
        tolerance: arguments.tolerance,
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
        outcome: choice.outcome,
        margin: choice.margin,
    })
}

/// Every point must be classified as its label, with the margin.
fn specification(points: &PointSet, margin: f64) -> Result<RepairSet, RepairError> {
    RepairSet::argmax(&points.set.dataset, margin)
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

/// Writes the network, reads it back and evaluates what was read.
fn write_and_check(
    arguments: &RepairArguments,
    subject: &Subject,
    sets: &Sets,
    repair: &Repair,
    margin: f64,
) -> Result<Evidence> {
    let out: &Path = &arguments.out;
    let what = || format!("repaired network {}", out.display());
    repair.checkpoint.write(out).map_err(prepare(what))?;
    let mut written = Checkpoint::read(out).map_err(prepare(what))?;
    // The configuration lies beside the original.
    if let Some(config) = subject.checkpoint.config() {
        written = written.with_config(config.clone());
    }
    let network = Network::load(
        &written,
        subject.network.device(),
        subject.network.precision(),
    )
    .map_err(prepare(what))?;
    let set = specification(&sets.repair, margin).map_err(prepare(what))?;
    let verified = repair::verify(&written, &set).map_err(prepare(what))?;
    let after = classes_of(&network, &sets.repair.set.dataset).map_err(prepare(what))?;
    let (mut guarded, mut answers) = (None, None);
    if let Some(guard) = &sets.guard {
        let after = classes_of(&network, &guard.set.dataset).map_err(prepare(what))?;
        guarded = Some(Guarded::new(guard, &after));
        let labels = &guard.set.dataset.labels;
        answers = Some(Answers::new(labels, &guard.before, &after).map_err(prepare(what))?);
    }
    let attribution = Attribution::new(repair, &subject.checkpoint, &subject.network);
    Ok(Evidence {
        check: SelfCheck {
            right: (verified.efficacy(&set) * set.len() as f64 / 100.0).round() as usize,
            least_margin: verified.least_slack() + margin,
        },
        after,
        guarded,
        attributed: Attributed {
            attribution: attribution.map_err(prepare(what))?,
            answers,
        },
    })
}
