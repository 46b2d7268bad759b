//! Rows for comparison: every baseline on the splits and measures of the other rows.
//!
//! A baseline has no target, so that its rows have no bounds; one that refuses a network says so.
//! Every row asks for the narrow margin: no baseline promises more than the class.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use miette::IntoDiagnostic;
use network::Layer;
use repair::baselines::{
    Baseline, BaselineOutcome, BaselineRepair, BaselineStop, BaselineTask, baselines,
};
use repair::{RepairError, RepairSet};

use super::images::{mobilevit, squeezenet};
use super::measure::{Bench, Draw, EFFICACY, NARROW, REPAIR, points};
use super::perceptrons;
use super::row::{Row, Sample};
use super::score::{answers, compare};
use super::sentences::distilbert;
use super::world::{World, say};

/// How the names of these rows begin.
pub(super) const PREFIX: &str = "baseline";
/// Time of a baseline.
const LIMIT: Duration = Duration::from_secs(60);

/// Where the baselines are compared.
#[derive(Clone)]
struct Place {
    /// The name of the row of targets with the same points.
    name: &'static str,
    needs: Vec<PathBuf>,
    /// The start layer.
    layer: Start,
    draw: Draw,
    bench: fn(&World) -> miette::Result<Rc<Bench>>,
}

#[derive(Clone, Copy)]
enum Start {
    /// By its position, from 0.
    Position(usize),
    Name(&'static str),
}

fn places(fashion: PathBuf) -> [Place; 5] {
    let needs = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
    let perceptron = |file: &str| needs(&[file, "mnist", "mnist_c"]);
    [
        // The layers of APRNN's experiment 1.
        Place {
            name: "mnist 3x100 fog 100",
            needs: perceptron("mlp/mnist/mnist_relu_3x100.safetensors"),
            layer: Start::Position(1),
            draw: Draw::First(100),
            bench: |world| perceptrons::fog(world, "3x100"),
        },
        Place {
            name: "mnist 9x100 fog 100",
            needs: perceptron("mlp/mnist/mnist_relu_9x100.safetensors"),
            layer: Start::Position(5),
            draw: Draw::First(100),
            bench: |world| perceptrons::fog(world, "9x100"),
        },
        Place {
            name: "squeezenet 1.1 classifier.1 100",
            needs: needs(&[
                "squeezenet/squeezenet1_1.safetensors",
                "imagenet_sample",
                "imagenet_val",
            ]),
            layer: Start::Name("classifier.1"),
            draw: Draw::Wrong(100),
            bench: |world| squeezenet(world, "squeezenet 1.1", "squeezenet1_1.safetensors"),
        },
        Place {
            name: "mobilevit fashion head.fc 100",
            needs: [
                needs(&["mobilevit_fashion/model.safetensors"]),
                vec![fashion],
            ]
            .concat(),
            layer: Start::Name("head.fc"),
            draw: Draw::Wrong(100),
            bench: mobilevit,
        },
        Place {
            name: "distilbert sst-2 classifier 50",
            needs: needs(&["distilbert_minilm_sst2", "glue/SST-2"]),
            layer: Start::Name("classifier"),
            draw: Draw::Wrong(50),
            bench: distilbert,
        },
    ]
}

/// A row per place and baseline; `fashion` is a file of Fashion-MNIST.
pub(super) fn rows(fashion: PathBuf) -> Vec<Row> {
    let row = |place: &Place, baseline: Box<dyn Baseline>| {
        let place = place.clone();
        Row {
            name: format!("{PREFIX} {} on {}", baseline.name(), place.name),
            needs: place.needs.clone(),
            bounds: vec![],
            conflict_settles: false,
            drawn: matches!(place.draw, Draw::Wrong(_)),
            run: Box::new(move |world, seed| run(world, &place, &*baseline, seed)),
        }
    };
    let places = places(fashion);
    let of_place = |place| baselines().map(|baseline| row(place, baseline));
    places.iter().flat_map(of_place).collect()
}

/// Runs a baseline once and measures its network as a repaired one is measured.
fn run(world: &World, place: &Place, baseline: &dyn Baseline, seed: u64) -> miette::Result<Sample> {
    let bench = (place.bench)(world)?;
    let network = &bench.subject.network;
    let layer: &Layer = match place.layer {
        Start::Name(name) => network.layer(name).into_diagnostic()?,
        Start::Position(at) => network
            .layers()
            .get(at)
            .ok_or_else(|| miette::miette!("{}: expected more than {at} layers", bench.name))?,
    };
    let points = points(&bench, place.draw, seed)?;
    let set = RepairSet::argmax(&points, world.margin.unwrap_or(NARROW)).into_diagnostic()?;
    let task = BaselineTask {
        network,
        checkpoint: &bench.subject.checkpoint,
        layer,
        set: &set,
        guard: Some(&bench.guard),
        time_limit: Some(LIMIT),
        seed,
    };
    say(&format!("{} at {}", baseline.name(), layer.name));
    let mut sample = Sample::default();
    let (repair, seconds) = match baseline.run(&task) {
        Ok(BaselineOutcome::Repaired(repair)) => {
            let seconds = repair.seconds;
            (Some(repair), seconds)
        }
        Ok(BaselineOutcome::Infeasible {
            points, seconds, ..
        }) => {
            let count = points.len();
            sample.conflict = Some(format!("proved conflict of {count} points"));
            (None, seconds)
        }
        Ok(BaselineOutcome::Stopped {
            reason,
            best,
            seconds,
        }) => {
            sample.notes.push(format!("stopped: {}", why(&reason)));
            (best, seconds)
        }
        Err(error @ (RepairError::Unsupported { .. } | RepairError::Option { .. })) => {
            sample.notes.push(format!("refused: {error}"));
            return Ok(sample);
        }
        Err(error) => return Err(error).into_diagnostic(),
    };
    sample.values.insert(REPAIR, seconds);
    if let Some(BaselineRepair {
        predictor,
        efficacy,
        ..
    }) = repair.as_deref()
    {
        sample.values.insert(EFFICACY, *efficacy);
        let values = compare(&bench, &points, |name, set| {
            let key = format!("{} {name}", bench.name);
            let before = world.answers.get(&key, || answers(network, set))?;
            let after = predictor.classify(&set.inputs, &set.shape);
            Ok([before.to_vec(), after.into_diagnostic()?])
        })?;
        sample.values.extend(values);
    }
    Ok(sample)
}

fn why(reason: &BaselineStop) -> String {
    match reason {
        BaselineStop::Epochs(epochs) => format!("{epochs} epochs are spent"),
        BaselineStop::Diverged { epochs } => format!("diverged after {epochs} epochs"),
        BaselineStop::Repair(reason) => reason.to_string(),
    }
}
