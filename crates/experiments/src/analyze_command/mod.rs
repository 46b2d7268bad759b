//! `experiments analyze`: what kind of a repair set it is.
//!
//! | module | holds |
//! |---|---|
//! | `arguments` | the flags |
//! | `spaces` | how the points lie in the input space and at layers |
//! | `summary` | what is printed and written |
//!
//! Exit codes: 0 analysed; 1 an error while running; 2 bad usage.

mod arguments;
mod spaces;
mod summary;

use std::time::Instant;

use heuristics::profile::{self, Classes, Distribution};
use heuristics::{DropProblem, HeuristicError, Suggestion, suggest_drop};
use repair::{DAMPING, GuardMoments, RepairError, RepairSet};

pub use arguments::AnalyzeArguments;

use crate::error::{ExperimentError, Result, analysis};
use crate::progress::Progress;
use crate::repair_command::open_sets::{Files, OpenSets};
use crate::repair_command::provenance::{FileRecord, write_report};
use crate::repair_command::sets::PointSet;
use crate::repair_command::subject::Subject;
use arguments::Drops;
use summary::{Analysis, Answer, Dropped, Pair};

/// The most points whose distances to each other are held.
const MOST_POINTS: usize = 4096;

/// Analyses as the flags say, writes the report and returns the text to print.
///
/// # Errors
/// Whatever stops it.
pub fn execute(arguments: &AnalyzeArguments, progress: &Progress) -> Result<String> {
    arguments.check()?;
    let start = Instant::now();
    let subject = Subject::open(&arguments.source, [], progress)?;
    arguments
        .outputs()
        .check_model("--network", &subject.checkpoint)?;
    let spaces = spaces::asked(&subject, arguments.layer.as_deref())?;
    let files = Files {
        guard: arguments.guard.as_deref(),
        ..Files::default()
    };
    let open = OpenSets::open(&arguments.source, files, &subject)?.understood(progress)?;
    let points = open.read_repair(progress)?;
    check_count(points.before.len())?;
    let guard = open.read_guard(arguments.guard_limit as usize, &points, progress)?;

    let set = &points.set.dataset;
    let answers =
        answers(&subject, &points).map_err(analysis(|| "the network's outputs".into()))?;
    let duplicates = points.near_duplicates(&subject);
    let spaces = spaces::profiles(&subject, &spaces, &points, guard.as_ref())?;
    let drop = match (&guard, arguments.drops()) {
        (Some(guard), Some(asked)) => Some(drops(&subject, &points, guard, asked)?),
        _ => None,
    };
    let of = |value: fn(&Answer) -> f64| Distribution::of(answers.iter().map(value));
    let found = Analysis {
        network: subject.path.display().to_string(),
        repair: points.path.display().to_string(),
        guard: guard.as_ref().map(|guard| guard.path.display().to_string()),
        guard_points: guard.as_ref().map(|guard| guard.before.len()),
        shape: set.shape.clone(),
        classes: Classes::of(&set.labels, set.classes),
        wrong: points.wrong(&points.before),
        margins: of(|answer| answer.margin),
        confidences: of(|answer| answer.confidence),
        near_duplicates: Pair::all(&points, &duplicates),
        spaces,
        drop,
        points: answers,
        seconds: start.elapsed().as_secs_f64(),
    };
    if let Some(path) = &arguments.report {
        let sets = [("repair", Some(&points)), ("guard", guard.as_ref())].into_iter();
        let files = sets.filter_map(|(role, set)| Some(FileRecord::set(role, set?)));
        let to = arguments.outputs().to(path);
        write_report(&to, &found, &subject, &open.reading(), arguments, files)?;
    }
    let duplicates = points.near_duplicate_lines(&duplicates, &subject);
    Ok(found.text(&subject, &duplicates))
}

/// Distances between all pairs of points must fit in memory.
fn check_count(points: usize) -> Result<()> {
    if points <= MOST_POINTS {
        return Ok(());
    }
    Err(ExperimentError::Usage {
        problem: format!("expected at most {MOST_POINTS} points, got {points}: lower --limit"),
    })
}

/// What the network makes of each point.
fn answers(subject: &Subject, points: &PointSet) -> Result<Vec<Answer>, HeuristicError> {
    let (network, set) = (&subject.network, &points.set.dataset);
    let outputs = repair::outputs(network, &set.inputs, &set.shape)?;
    let margins = profile::margins(&outputs, network.classes(), &set.labels)?;
    let probabilities = network.ends_in_softmax();
    let confidences = profile::confidences(&outputs, network.classes(), probabilities);
    let pairs = margins.into_iter().zip(confidences);
    let answers = pairs.enumerate().map(|(i, (margin, confidence))| Answer {
        name: points.set.names.name(i),
        label: set.labels[i],
        answer: points.before[i],
        margin,
        confidence,
    });
    Ok(answers.collect())
}

/// The points that cost a repair of the layer most.
fn drops(
    subject: &Subject,
    points: &PointSet,
    guard: &PointSet,
    asked: Drops<'_>,
) -> Result<Dropped> {
    let Drops { count, margin, .. } = asked;
    let layer = subject.layer(asked.layer)?;
    let what = || format!("layer {}", layer.name);
    let set = RepairSet::argmax(&points.set.dataset, margin).map_err(analysis(what))?;
    let guard = &guard.set.dataset;
    let layers = std::slice::from_ref(&layer);
    let moments = GuardMoments::collect(&subject.network, &guard.inputs, &guard.shape, layers);
    let problem = DropProblem {
        network: &subject.network,
        layer: &layer,
        set: &set,
        moments: &moments.map_err(analysis(what))?,
        damping: DAMPING,
    };
    let names = &points.set.names.to_vec();
    match suggest_drop(&problem, count) {
        Ok(Suggestion::Drops { cost, drops }) => {
            Ok(Dropped::new(&layer.name, margin, cost, &drops, names))
        }
        Ok(Suggestion::Unsolved) => Ok(Dropped::none(
            &layer.name,
            margin,
            "no change of the layer serves all points to first order".to_owned(),
        )),
        Err(HeuristicError::Repair(RepairError::Contradiction { first, second, .. })) => {
            let [first, second] = [first, second].map(|point| &names[point]);
            let reason = format!("{first} and {second} are the same input with different labels");
            Ok(Dropped::none(&layer.name, margin, reason))
        }
        Err(source) => Err(analysis(what)(source)),
    }
}
