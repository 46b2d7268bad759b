//! The phases of a repair that the library tells, put into words by the commands' layer.

use std::sync::{Arc, Mutex};

use data::{Dataset, ExampleId};
use experiments::phases::Phases;
use network::{Activation, DeviceChoice, Network, Precision, mlp};
use repair::{GuardMoments, MarginChoice, Options, Problem, RepairSet, Selection, TOLERANCE};
use tracing_subscriber::layer::SubscriberExt;

/// Points of a plane with the label of their larger number.
fn points(count: u32) -> Dataset {
    let number = |i: u32| (i * 37 % 101) as f32 / 50.0 - 1.0;
    let inputs: Vec<f32> = (0..2 * count).map(number).collect();
    let labels = inputs.chunks_exact(2).map(|x| usize::from(x[1] > x[0]));
    let (labels, ids) = (labels.collect(), 0..count);
    let ids = ids.map(|i| ExampleId::clean("plane", i)).collect();
    Dataset::new(vec![2], inputs, labels, 2, ids).unwrap()
}

/// A repair with every long phase.
fn repair_with_a_chosen_margin() -> MarginChoice {
    let checkpoint = mlp::random(&[2, 30, 30, 2], Activation::Relu, 3).unwrap();
    let device = DeviceChoice::Flex.open().unwrap();
    let network = Network::load(&checkpoint, &device, Precision::F64).unwrap();
    let (set, layers) = (points(20), &network.layers()[1..2]);
    repair::near_duplicates(&set, repair::NEAR);
    let guard = GuardMoments::collect(&network, &set.inputs, &[2], layers).unwrap();
    let problem = Problem {
        network: &network,
        checkpoint: &checkpoint,
        layers,
        set: &RepairSet::argmax(&set, 0.0).unwrap(),
        guard: Some(&guard),
        start: None,
    };
    let selection = Selection {
        similar: None,
        clean: &points(40),
        tolerance: TOLERANCE,
    };
    repair::choose_margin(&problem, &set, &Options::default(), selection).unwrap()
}

#[test]
fn every_long_phase_says_that_it_runs_and_how_far_it_is() {
    let shown = Arc::new(Mutex::new(Vec::new()));
    let sink = shown.clone();
    let layer = Phases::new(move |line: &str| sink.lock().unwrap().push(line.to_owned()));
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, repair_with_a_chosen_margin);

    let lines = shown.lock().unwrap();
    for phase in [
        "near-duplicate search: 0 of 20",
        "guard moments: 0 of 20",
        "inputs up to the layer: 0 of 40",
        "margin 1, trial 1: sequential step: rounds 1, ",
        "margin 1, trial 1: verification: 0 of 20",
    ] {
        let said = lines.iter().any(|line| line.starts_with(phase));
        assert!(said, "{phase} in {lines:#?}");
    }
}
