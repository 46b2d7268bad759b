//! Scores of the first-order repair.

use std::collections::BTreeMap;

use heuristics::pick;
use network::{Activation, mlp};
use repair::{
    DAMPING, MAX_MEMORY, Method, Metric, Options, Outcome, Problem, Suffix, first_order, repair,
};

use crate::fixture::{Fixture, argmax, assert_close, known, numbers, relu, scaled, scores};

/// Far enough beyond the rounding of f32 that a repair is sure to hold; what `repair` adds in f64.
const SAFETY: f64 = 1e-4;

fn fixture(activation: Activation) -> Fixture {
    let checkpoint = mlp::random(&[4, 8, 6, 3], activation, 5).unwrap();
    Fixture::new(checkpoint, &numbers(3 * 4, 9), &[0, 2, 1])
}

#[test]
fn the_cost_of_the_last_layer_is_the_optimum_of_its_frozen_repair() {
    let mut fixture = fixture(Activation::Relu);
    let moments = fixture.moments();
    let problem = Problem {
        network: &fixture.network,
        checkpoint: &fixture.checkpoint,
        layers: &fixture.network.layers()[2..=2],
        set: &fixture.set,
        guard: Some(&moments),
        start: None,
    };
    let options = Options {
        method: Method::Frozen,
        ..Options::default()
    };
    let Outcome::Repaired(repaired) = repair(&problem, &options).unwrap() else {
        panic!("not repaired")
    };
    let labels = fixture.set.labels.clone().unwrap();
    fixture.set = argmax(&fixture.network, &fixture.set.inputs, &labels, 1.0 + SAFETY);
    let cost = -known(fixture.scores("first_order_cost"))[2];
    let optimum = repaired.report.objective;
    assert!(
        optimum > 0.0 && (cost / optimum - 1.0).abs() < 1e-3,
        "{cost}, expected {optimum}"
    );
}

#[test]
fn the_predicted_drawdown_of_the_last_layer_is_the_mean_squared_output_change_on_the_guard_set() {
    let fixture = fixture(Activation::Relu);
    let layer = &fixture.network.layers()[2];
    let suffix = Suffix::new(
        &fixture.network,
        std::slice::from_ref(layer),
        &fixture.set,
        false,
    )
    .unwrap();
    let metric = Metric::guarded(suffix.layers(), &fixture.moments(), DAMPING).unwrap();
    let change = first_order(&suffix, &metric, &fixture.set, MAX_MEMORY)
        .unwrap()
        .change;
    let moved = |tensor: &str, change: &[f64]| {
        let numbers = fixture.network.tensor(tensor).unwrap();
        (
            tensor.to_owned(),
            numbers.iter().zip(change).map(|(x, d)| x + d).collect(),
        )
    };
    let bias = layer.bias.as_ref().unwrap();
    let tensors = BTreeMap::from([
        moved(&layer.weight, change.get(&layer.weight).unwrap()),
        moved(bias, change.get(bias).unwrap()),
    ]);
    let outputs = |network: &network::Network| {
        network
            .forward(network.batch(&fixture.guard).unwrap())
            .unwrap()
            .to_vec()
            .unwrap()
    };
    let (before, after) = (
        outputs(&fixture.network),
        outputs(&fixture.network.with_tensors(&tensors).unwrap()),
    );
    let squares: f64 = before
        .iter()
        .zip(&after)
        .map(|(a, b)| (a - b).powi(2))
        .sum();
    let measured = squares / fixture.guard_labels.len() as f64;
    let predicted = -known(fixture.scores("predicted_drawdown"))[2];
    assert!(
        measured > 0.0 && (predicted / measured - 1.0).abs() < 1e-9,
        "{predicted}, expected {measured}"
    );
}

#[test]
fn a_repair_that_drives_one_of_two_active_units_below_zero_breaks_half_the_pieces() {
    // y = z; label 1 must win by 10, so z_0 falls from 1 by as much as z_1 rises.
    let identity: &[&[f32]] = &[&[1.0, 0.0], &[0.0, 1.0]];
    let mut fixture = Fixture::new(relu(&[identity, identity]), &[1.0, 0.5], &[1]);
    fixture.guard.iter_mut().for_each(|x| *x += 2.0);
    fixture.set = argmax(&fixture.network, &[1.0, 0.5], &[1], 10.0);
    assert_eq!(fixture.scores("pattern_slack"), [Some(-0.5), Some(0.0)]);
}

#[test]
fn smooth_activations_have_no_pattern_to_break() {
    assert_eq!(
        fixture(Activation::Gelu).scores("pattern_slack"),
        [None, None, Some(0.0)]
    );
    // Between -3 and 3, where all units of this network are, Hardswish has no piece to keep.
    assert_eq!(
        fixture(Activation::Hardswish).scores("pattern_slack"),
        [Some(-1.0), Some(-1.0), Some(0.0)]
    );
}

#[test]
fn points_that_are_nearly_the_same_and_want_different_labels_conflict() {
    let layer: &[&[f32]] = &[&[1.0, 0.0], &[0.0, 1.0]];
    let conflict =
        |inputs: &[f32]| known(Fixture::new(relu(&[layer]), inputs, &[0, 1]).scores("conflict"))[0];
    let (apart, near) = (
        conflict(&[1.0, 0.0, 0.0, 1.0]),
        conflict(&[1.0, 0.0, 1.0, 1e-4]),
    );
    assert!(
        apart <= 0.0 && near < apart - 4.0,
        "apart {apart}, near {near}"
    );
}

#[test]
fn a_layer_that_no_output_depends_on_is_never_picked() {
    let checkpoint = scaled(
        &mlp::random(&[2, 3, 2], Activation::Relu, 1).unwrap(),
        "2.weight",
        0.0,
    );
    let statistics = Fixture::new(checkpoint, &[1.0, 0.0, 0.0, 1.0], &[0, 1]).statistics();
    for heuristic in ["first_order_cost", "predicted_drawdown", "pattern_slack"] {
        let scores = scores(&statistics, heuristic);
        assert_eq!(
            (scores[0], pick(&scores)),
            (None, Some(1)),
            "{heuristic}: {scores:?}"
        );
    }
    let conflict = scores(&statistics, "conflict");
    assert_eq!(
        (conflict[0], pick(&conflict)),
        (Some(-15.0), Some(1)),
        "{conflict:?}"
    );
    assert_eq!(
        scores(&statistics, "relative_gradient_norm"),
        [Some(0.0), None]
    );
    assert_eq!(scores(&statistics, "gradient_ratio")[0], None);
}

#[test]
fn the_typical_cost_of_one_point_is_the_cost_and_one_out_of_reach_does_not_change_it() {
    // y = relu(x): two of the points move both units, the third has them dead.
    let identity: &[&[f32]] = &[&[1.0, 0.0], &[0.0, 1.0]];
    let inputs = [2.0, 1.0, 2.0, 1.5, -1.0, -1.0];
    let at = |points: usize, labels: &[usize]| {
        let fixture = Fixture::new(relu(&[identity, identity]), &inputs[..2 * points], labels);
        let statistics = fixture.statistics();
        let score = |name| known(scores(&statistics, name))[0];
        (score("typical_cost"), score("first_order_cost"))
    };
    // One inequality, so that there is nothing but its elastic slack between the two.
    let (typical, cost) = at(1, &[1]);
    assert!(typical < 0.0);
    assert_close(&[cost], &[typical], 1e-3);
    // The third point, out of reach, decides the cost of all; the middle one lacks most of two.
    let (both, _) = at(2, &[1, 1]);
    let (typical, cost) = at(3, &[1, 1, 1]);
    assert_close(&[typical], &[both], 1e-9);
    assert!(cost < 100.0 * typical, "{typical}, {cost}");
}

#[test]
fn a_network_that_is_affine_in_a_layer_goes_all_the_way_with_its_first_step() {
    for activation in [Activation::Relu, Activation::Gelu] {
        let fixture = fixture(activation);
        let progress = known(fixture.scores("first_step_progress"));
        assert_close(&progress[2..], &[1.0], 0.01);
        assert!(progress.iter().all(|&share| share <= 1.0), "{progress:?}");
    }
}

#[test]
fn points_that_are_right_by_the_margin_cost_nothing() {
    let identity: &[&[f32]] = &[&[1.0, 0.0], &[0.0, 1.0]];
    let fixture = Fixture::new(relu(&[identity, identity]), &[4.0, 0.5, 0.0, 3.0], &[0, 1]);
    for heuristic in ["first_order_cost", "predicted_drawdown", "pattern_slack"] {
        assert_close(&known(fixture.scores(heuristic)), &[0.0, 0.0], 1e-12);
    }
}
