//! Problems and options that make no sense are refused before any work.

mod common;

use common::{Fixture, frozen, sequential};
use data::Dataset;
use network::Activation;
use repair::{Inequality, Objective, Options, Problem, RepairError, RepairSet, repair};

fn refusal(set: &RepairSet) -> RepairError {
    let fixture = Fixture::random(&[2, 4, 3], Activation::Relu, 0);
    fixture
        .repair(0, set, &sequential(Objective::L2))
        .unwrap_err()
}

fn set(inputs: Vec<f32>, labels: Vec<usize>) -> RepairSet {
    let dataset = Dataset {
        shape: vec![2],
        inputs,
        classes: 3,
        ids: Vec::new(),
        labels,
    };
    RepairSet::argmax(&dataset, 0.1).unwrap()
}

#[test]
fn an_empty_set() {
    assert!(matches!(
        refusal(&set(vec![], vec![])),
        RepairError::EmptySet
    ));
}

#[test]
fn one_input_with_two_labels_even_if_it_differs_in_the_sign_of_zero() {
    let error = refusal(&set(vec![0.5, 0.0, 0.5, -0.0], vec![0, 1]));
    assert!(
        matches!(
            error,
            RepairError::Contradiction {
                first: 0,
                second: 1,
                labels: (0, 1)
            }
        ),
        "{error}"
    );
}

#[test]
fn a_label_without_an_output() {
    let error = refusal(&set(vec![0.5, 0.5], vec![7]));
    assert!(
        matches!(
            error,
            RepairError::Label {
                point: 0,
                label: 7,
                classes: 3
            }
        ),
        "{error}"
    );
}

#[test]
fn a_pixel_that_is_not_a_number() {
    let error = refusal(&set(vec![0.5, 0.5, 0.1, f32::NAN], vec![0, 1]));
    assert!(
        matches!(
            error,
            RepairError::NotFinite {
                point: 1,
                position: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn inputs_that_are_no_whole_examples() {
    let error = refusal(&set(vec![0.5; 3], vec![0]));
    assert!(
        matches!(
            error,
            RepairError::Shape {
                expected: 2,
                got: 3,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn an_inequality_that_reads_no_output() {
    let nothing = Inequality {
        terms: vec![(1, 0.0)],
        bound: 1.0,
    };
    let error = refusal(&RepairSet::linear(
        vec![0.1, 0.2],
        &[2],
        vec![vec![nothing]],
    ));
    assert!(
        matches!(
            error,
            RepairError::Specification {
                point: 0,
                inequality: 0,
                ..
            }
        ),
        "{error}"
    );
    let beyond = Inequality {
        terms: vec![(3, 1.0)],
        bound: 1.0,
    };
    let error = refusal(&RepairSet::linear(vec![0.1, 0.2], &[2], vec![vec![beyond]]));
    assert!(error.to_string().contains("below 3, got 3"), "{error}");
}

#[test]
fn a_margin_that_is_negative_or_not_a_number() {
    let dataset = Dataset {
        shape: vec![2],
        inputs: vec![0.5, 0.5],
        classes: 3,
        ids: Vec::new(),
        labels: vec![0],
    };
    for margin in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(
            RepairSet::argmax(&dataset, margin),
            Err(RepairError::Option {
                option: "margin",
                ..
            })
        ));
    }
}

#[test]
fn options_that_contradict_each_other() {
    let fixture = Fixture::random(&[2, 4, 3], Activation::Relu, 0);
    let set = fixture.random_labels(1, 0.1, 0);
    for options in [
        sequential(Objective::L1),
        Options {
            box_bound: Some(1.0),
            ..sequential(Objective::L2)
        },
        Options {
            box_bound: Some(-1.0),
            ..frozen(Objective::L2)
        },
        Options {
            damping: 0.0,
            ..frozen(Objective::L2)
        },
        Options {
            max_rounds: 0,
            ..sequential(Objective::L2)
        },
    ] {
        assert!(matches!(
            fixture.repair(0, &set, &options),
            Err(RepairError::Option { .. })
        ));
    }
}

#[test]
fn the_guarded_objective_without_a_guard_set() {
    let fixture = Fixture::random(&[2, 4, 3], Activation::Relu, 0);
    let set = fixture.random_labels(1, 0.1, 0);
    let problem = Problem {
        network: &fixture.network,
        checkpoint: &fixture.checkpoint,
        layers: &fixture.network.layers()[0..=0],
        set: &set,
        guard: None,
        start: None,
    };
    assert!(matches!(
        repair(&problem, &frozen(Objective::Guarded)),
        Err(RepairError::NoGuard)
    ));
}

#[test]
fn labels_that_do_not_match_the_points() {
    let mut short = set(vec![0.5, 0.5, 0.1, 0.2], vec![0, 1]);
    short.labels = Some(vec![0]);
    assert!(matches!(
        refusal(&short),
        RepairError::Shape {
            expected: 2,
            got: 1,
            ..
        }
    ));
}

#[test]
fn an_output_that_is_read_twice() {
    let twice = Inequality {
        terms: vec![(0, 1.0), (0, -1.0), (1, 1.0)],
        bound: 0.0,
    };
    let error = refusal(&RepairSet::linear(vec![0.1, 0.2], &[2], vec![vec![twice]]));
    assert!(error.to_string().contains("got 0 twice"), "{error}");
}

#[test]
fn a_layer_or_a_guard_of_another_network() {
    let fixture = Fixture::random(&[2, 4, 3], Activation::Relu, 0);
    let other = Fixture::random(&[2, 5, 4, 3], Activation::Relu, 0);
    let set = fixture.random_labels(1, 0.1, 0);
    let (own, foreign) = (fixture.moments(), other.moments());
    for (layer, guard, option) in [
        (&other.network.layers()[2], &own, "layers"),
        (&fixture.network.layers()[0], &foreign, "guard"),
    ] {
        let problem = Problem {
            network: &fixture.network,
            checkpoint: &fixture.checkpoint,
            layers: std::slice::from_ref(layer),
            set: &set,
            guard: Some(guard),
            start: None,
        };
        let error = repair(&problem, &sequential(Objective::Guarded)).unwrap_err();
        assert!(
            matches!(error, RepairError::Option { option: got, .. } if got == option),
            "{error}"
        );
    }
}
