//! Limits of memory and time hold, and rows without coefficients are no errors.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Fixture, frozen, numbers, sequential, small_squeezenet};
use data::Dataset;
use network::{Activation, DeviceChoice, Model, Network, Precision};
use repair::{Method, Objective, Options, Outcome, Problem, RepairSet, StopReason, repair};

fn reason(outcome: Outcome) -> StopReason {
    match outcome {
        Outcome::Unknown(unfinished) => unfinished.reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_program_that_needs_more_memory_than_it_may_take_is_not_written() {
    let fixture = Fixture::random(&[40, 30, 20, 4], Activation::Relu, 1);
    let set = fixture.random_labels(30, 0.1, 1);
    let options = Options {
        max_memory: 1 << 20,
        ..frozen(Objective::Aprnn)
    };
    match reason(fixture.repair(0, &set, &options).unwrap()) {
        StopReason::Memory { needed, limit } => assert!(needed > limit && limit == 1 << 20),
        other => panic!("{other}"),
    }
    let enough = frozen(Objective::Aprnn);
    let found = fixture.repair(0, &set, &enough).unwrap();
    assert!(!matches!(found, Outcome::Unknown(unfinished)
        if matches!(unfinished.reason, StopReason::Memory { .. })));
}

#[test]
fn a_factor_that_outgrows_the_memory_ends_the_solve() {
    // Sign rows of two layers: many more are active than fit into a mebibyte.
    let fixture = Fixture::random(&[60, 120, 120, 4], Activation::Relu, 3);
    let set = fixture.random_labels(12, 0.5, 3);
    for objective in [Objective::L2, Objective::L1, Objective::LInf] {
        let options = Options {
            max_memory: 1 << 20,
            ..frozen(objective)
        };
        let outcome = fixture.repair(0, &set, &options).unwrap();
        assert!(
            matches!(reason(outcome), StopReason::Memory { .. }),
            "{objective}"
        );
    }
}

#[test]
fn a_deadline_that_has_passed_ends_every_method_and_objective() {
    let fixture = Fixture::random(&[6, 9, 8, 4], Activation::Relu, 1);
    let set = fixture.random_labels(5, 0.5, 1);
    let all = Objective::ALL.map(frozen).into_iter();
    for options in all.chain([sequential(Objective::L2), sequential(Objective::Guarded)]) {
        for layer in 0..3 {
            let options = Options {
                time_limit: Some(Duration::ZERO),
                ..options.clone()
            };
            let outcome = fixture.repair(layer, &set, &options).unwrap();
            assert!(
                matches!(reason(outcome), StopReason::Time(_)),
                "{options:?}"
            );
        }
    }
}

#[test]
fn memory_changes_no_answer_of_several_layers() {
    let fixture = Fixture::random(&[12, 40, 30, 5], Activation::Relu, 5);
    let set = fixture.random_labels(8, 0.1, 5);
    let layers = [
        fixture.network.layers()[0].clone(),
        fixture.network.layers()[2].clone(),
    ];
    let problem = Problem {
        network: &fixture.network,
        checkpoint: &fixture.checkpoint,
        layers: &layers,
        set: &set,
        guard: None,
        start: None,
    };
    let norm = |max_memory: usize| {
        let options = Options {
            max_memory,
            ..sequential(Objective::L2)
        };
        match repair(&problem, &options).unwrap() {
            Outcome::Repaired(repair) => repair.change.norm_l2(),
            other => panic!("{max_memory} bytes: {other:?}"),
        }
    };
    let least = norm(2 << 20);
    for memory in [16 << 20, 1 << 30, 1 << 40] {
        assert!(norm(memory) <= 1.02 * least, "{} and {least}", norm(memory));
    }
}

/// A small SqueezeNet whose last class has a bias so low that no position of it is on.
fn squeezenet_with_a_dead_class() -> Model {
    let plain = small_squeezenet();
    let tensors: Vec<(String, Vec<usize>, Vec<f32>)> = plain
        .names()
        .map(|name| {
            let mut values = plain.tensor_f32(name).unwrap();
            if name == "classifier.1.bias"
                && let Some(last) = values.last_mut()
            {
                *last = -1e3;
            }
            (name.to_owned(), plain.shape(name).unwrap().to_vec(), values)
        })
        .collect();
    Model::from_f32(&tensors, &BTreeMap::new(), "dead class").unwrap()
}

#[test]
fn a_point_that_a_layer_cannot_reach_is_a_conflict_of_its_own() {
    let checkpoint = squeezenet_with_a_dead_class();
    let device = DeviceChoice::Flex.open().unwrap();
    let network = Network::load(&checkpoint, &device, Precision::F64).unwrap();
    let dataset = Dataset {
        shape: vec![3, 35, 35],
        inputs: numbers(2 * 3 * 35 * 35, 4),
        labels: vec![0, 3],
        classes: 4,
        ids: Vec::new(),
    };
    let set = RepairSet::argmax(&dataset, 0.01).unwrap();
    let names = [
        "features.11.expand1x1",
        "features.12.squeeze",
        "features.12.expand3x3",
        "classifier.1",
    ];
    for name in names {
        let layers = network.layers().iter();
        let layer = layers
            .filter(|layer| layer.name == name)
            .cloned()
            .collect::<Vec<_>>();
        let problem = Problem {
            network: &network,
            checkpoint: &checkpoint,
            layers: &layer,
            set: &set,
            guard: None,
            start: None,
        };
        let options = Options {
            method: Method::Frozen,
            ..frozen(Objective::L2)
        };
        match repair(&problem, &options).unwrap() {
            Outcome::Infeasible(conflict) => {
                assert!(conflict.minimal && conflict.points.len() == 1, "{name}");
                assert!(conflict.excluded().contains("no change at all"), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}
