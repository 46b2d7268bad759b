//! One repair: its points, its guard moments, its costs.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use data::Dataset;
use miette::IntoDiagnostic;
use network::Layer;
use repair::{
    GuardMoments, Options, Outcome, Problem, Repair, RepairError, RepairSet, Report, Selection,
    TOLERANCE, choose_margin,
};

use super::row::{Measure, Sample};
use super::score::{score, zeros_kept};
use super::world::{Subject, World, say};

pub(super) const EFFICACY: Measure = measure("efficacy", "%");
pub(super) const DRAWDOWN: Measure = measure("drawdown", "points");
pub(super) const GENERALIZATION: Measure = measure("generalization", "points");
pub(super) const UNCHANGED: Measure = measure("unchanged", "%");
/// The whole call of the library.
pub(super) const REPAIR: Measure = measure("repair", "s");
/// The call without features, pattern and metric.
pub(super) const SOLVE: Measure = measure("solve and verify", "s");
pub(super) const PREPARE: Measure = measure("prepare", "s");
pub(super) const MOMENTS: Measure = measure("guard moments", "s");
/// Heap above what was live when the repair began.
pub(super) const PEAK: Measure = measure("peak memory", "MiB");
pub(super) const ZEROS: Measure = measure("zero weights that stay zero", "%");

const fn measure(name: &'static str, unit: &'static str) -> Measure {
    Measure { name, unit }
}

/// Time after which a repair is given up: several times what any target allows it.
const LIMIT: Duration = Duration::from_secs(600);
/// A network, the examples that may be repaired, and those that score it.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) name: String,
    pub(super) subject: Rc<Subject>,
    pub(super) guard: Rc<Dataset>,
    /// Where repair sets come from.
    pub(super) pool: Rc<Dataset>,
    /// Positions in the pool that the network gets wrong.
    pub(super) wrong: Vec<usize>,
    /// Clean examples on which accuracy may be lost.
    pub(super) held_out: Rc<Dataset>,
    /// Whether a held-out example counts although a version of it is repaired.
    pub(super) counts_shared: bool,
    /// Examples like the repaired ones, on which accuracy may be gained.
    pub(super) similar: Option<Rc<Dataset>>,
    /// Examples on which predictions should stay; those held out, unless there are others.
    pub(super) steady: Option<Rc<Dataset>>,
    /// The margin asked for, unless it is chosen.
    pub(super) margin: f64,
    /// Clean examples on which a layer is chosen; they score nothing.
    pub(super) clean: Option<Rc<Dataset>>,
    /// And examples like the repaired ones.
    pub(super) like: Option<Rc<Dataset>>,
    /// Examples on which a margin is chosen: some like the repaired ones, and clean ones.
    pub(super) selection: Option<[Rc<Dataset>; 2]>,
}

/// Which examples of the pool are repaired.
#[derive(Clone, Copy, Debug)]
pub(super) enum Draw {
    /// The first ones, right or wrong.
    First(usize),
    /// Random wrong ones.
    Wrong(usize),
    /// All wrong ones.
    AllWrong,
}

/// Guard moments and the seconds that they took.
pub(super) struct Moments {
    pub(super) moments: GuardMoments,
    pub(super) seconds: f64,
}

/// The margin that only keeps rounding away from a decision.
pub(super) const NARROW: f64 = 0.1;
/// A margin that carries a repair to other inputs: logits of different classes lie several units
/// apart, so that one unit is a clear decision and no large demand.
pub(super) const WIDE: f64 = 1.0;

/// The margin with which the points of a bench are repaired where none is chosen.
pub(super) fn margin_for(world: &World, bench: &Bench) -> f64 {
    world.margin.unwrap_or(bench.margin)
}

/// The points that a row repairs.
pub(super) fn points(bench: &Bench, draw: Draw, seed: u64) -> miette::Result<Dataset> {
    let positions: Vec<usize> = match draw {
        Draw::First(count) => (0..count).collect(),
        Draw::AllWrong => bench.wrong.clone(),
        Draw::Wrong(count) => data::sample(bench.wrong.len(), count, seed)
            .into_diagnostic()?
            .into_iter()
            .map(|i| bench.wrong[i])
            .collect(),
    };
    bench.pool.subset(&positions).into_diagnostic()
}

/// The guard moments of some layers.
pub(super) fn moments(
    world: &World,
    bench: &Bench,
    layers: &[Layer],
) -> miette::Result<Rc<Moments>> {
    let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
    world
        .moments
        .get(&format!("{} {}", bench.name, names.join(" ")), || {
            say(&format!("guard moments of {}", names.join(", ")));
            let start = Instant::now();
            let Dataset { inputs, shape, .. } = &*bench.guard;
            let moments = GuardMoments::collect(&bench.subject.network, inputs, shape, layers);
            Ok(Moments {
                moments: moments.into_diagnostic()?,
                seconds: start.elapsed().as_secs_f64(),
            })
        })
}

/// Repairs a layer once and measures everything that the bench can tell of it.
pub(super) fn at_layer(
    world: &World,
    bench: &Bench,
    layer: &str,
    draw: Draw,
    keep_zeros: bool,
    seed: u64,
) -> miette::Result<Sample> {
    let margin = margin_for(world, bench);
    let key = format!(
        "{} {layer} {draw:?} {margin} {keep_zeros} {seed}",
        bench.name
    );
    let sample = world.samples.get(&key, || {
        let layer = bench.subject.network.layer(layer).into_diagnostic()?;
        let points = points(bench, draw, seed)?;
        let moments = moments(world, bench, std::slice::from_ref(layer))?;
        let (mut sample, repair) = attempt(world, bench, layer, &points, &moments, keep_zeros)?;
        if let Some(repair) = repair {
            let values = &mut sample.values;
            values.insert(EFFICACY, repair.efficacy);
            let share = zeros_kept(&bench.subject.checkpoint, &repair.checkpoint, layer);
            values.extend(share.into_diagnostic()?.map(|share| (ZEROS, share)));
            values.extend(score(world, bench, layer, &points, &repair.checkpoint)?);
        }
        Ok(sample)
    })?;
    Ok((*sample).clone())
}

/// The call of the library, with its times and its memory.
fn attempt(
    world: &World,
    bench: &Bench,
    layer: &Layer,
    points: &Dataset,
    moments: &Moments,
    keep_zeros: bool,
) -> miette::Result<(Sample, Option<Box<Repair>>)> {
    let set = RepairSet::argmax(points, margin_for(world, bench)).into_diagnostic()?;
    let problem = Problem {
        network: &bench.subject.network,
        checkpoint: &bench.subject.checkpoint,
        layers: std::slice::from_ref(layer),
        set: &set,
        guard: Some(&moments.moments),
        start: None,
    };
    let options = Options {
        time_limit: Some(LIMIT),
        keep_zeros,
        ..Options::default()
    };
    say(&format!("repairs {} points at {}", set.len(), layer.name));
    (world.heap.reset)();
    let floor = (world.heap.live)();
    let start = Instant::now();
    let chosen = match bench.selection.as_ref().filter(|_| world.margin.is_none()) {
        None => repair::repair(&problem, &options).map(|outcome| (outcome, None)),
        Some([similar, clean]) => {
            let similar = without(similar, points)?;
            let selection = Selection {
                similar: Some(&similar),
                clean,
                tolerance: TOLERANCE,
            };
            choose_margin(&problem, points, &options, selection)
                .map(|choice| (choice.outcome, Some(choice.margin)))
        }
    };
    let (answer, margin) = match chosen {
        Ok((outcome, margin)) => (Ok(outcome), margin),
        Err(error) => (Err(error), None),
    };
    let seconds = start.elapsed().as_secs_f64();
    let peak = (world.heap.peak)().saturating_sub(floor);

    let mut sample = Sample::default();
    let (repair, report) = match answer {
        Ok(Outcome::Repaired(repair)) => {
            let report = repair.report.clone();
            (Some(repair), report)
        }
        Ok(Outcome::Infeasible(conflict)) => {
            let count = conflict.points.len();
            sample.conflict = Some(format!("proved conflict of {count} points"));
            (None, conflict.report)
        }
        Ok(Outcome::Unknown(unfinished)) => {
            sample.notes.push(format!("unknown: {}", unfinished.reason));
            (unfinished.best.map(Box::new), unfinished.report)
        }
        // One input with two labels: no network at all satisfies both.
        Err(RepairError::Contradiction { first, second, .. }) => {
            sample.conflict = Some(format!("points {first} and {second} are one input"));
            (None, Report::default())
        }
        Err(error) => return Err(error).into_diagnostic(),
    };
    sample.values = BTreeMap::from([
        (REPAIR, seconds),
        (SOLVE, seconds - report.prepare_seconds),
        (PREPARE, report.prepare_seconds),
        (MOMENTS, moments.seconds),
        (PEAK, peak as f64 / f64::from(1 << 20)),
    ]);
    let Report {
        rows,
        rows_total,
        rounds,
        ..
    } = report;
    sample
        .notes
        .extend(margin.map(|margin| format!("margin {margin}")));
    let work = format!("{rows} of {rows_total} rows, {rounds} rounds");
    say(&format!("{seconds:.1} s, {work}"));
    sample.notes.push(work);
    Ok((sample, repair))
}

/// The examples of `set` whose image is not among `points`.
fn without(set: &Dataset, points: &Dataset) -> miette::Result<Dataset> {
    let taken: HashSet<_> = points.ids.iter().map(|id| id.image()).collect();
    let others: Vec<usize> = (0..set.len())
        .filter(|&i| !taken.contains(&set.ids[i].image()))
        .collect();
    set.subset(&others).into_diagnostic()
}
