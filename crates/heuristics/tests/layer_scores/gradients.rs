//! Scores of loss gradients.

use std::collections::BTreeMap;

use heuristics::Probe;
use network::{Activation, DeviceChoice, Model, Network, Precision, mlp};

use crate::fixture::{Fixture, assert_close, dataset, known, numbers, scaled, scores};

const LABELS: [usize; 5] = [0, 2, 1, 1, 0];

fn fixture(sizes: &[usize], activation: Activation) -> Fixture {
    Fixture::new(
        mlp::random(sizes, activation, 11).unwrap(),
        &numbers(5 * sizes[0], 2),
        &LABELS,
    )
}

/// Mean cross-entropy of the logits, in plain arithmetic.
fn cross_entropy(network: &Network, inputs: &[f32]) -> f64 {
    let outputs = network.forward(network.batch(inputs).unwrap()).unwrap();
    let losses = outputs.to_vec().unwrap();
    let losses = losses
        .chunks(network.classes())
        .zip(LABELS)
        .map(|(y, label)| {
            let sum: f64 = y.iter().map(|y| y.exp()).sum();
            sum.ln() - y[label]
        });
    losses.sum::<f64>() / LABELS.len() as f64
}

#[test]
fn the_gradient_norm_is_that_of_finite_differences_of_the_cross_entropy() {
    const STEP: f64 = 1e-5;
    let fixture = fixture(&[3, 4, 3], Activation::Tanh);
    let network = &fixture.network;
    let expected: Vec<f64> = network
        .layers()
        .iter()
        .map(|layer| {
            let weights = network.tensor(&layer.weight).unwrap();
            let loss = |entry: usize, step: f64| {
                let mut moved = weights.clone();
                moved[entry] += step;
                let moved = network
                    .with_tensors(&BTreeMap::from([(layer.weight.clone(), moved)]))
                    .unwrap();
                cross_entropy(&moved, &fixture.set.inputs)
            };
            let slope = |entry: usize| (loss(entry, STEP) - loss(entry, -STEP)) / (2.0 * STEP);
            (0..weights.len())
                .map(|entry| slope(entry).powi(2))
                .sum::<f64>()
                .sqrt()
        })
        .collect();
    let got = known(fixture.scores("gradient_norm"));
    assert!(expected.iter().all(|&norm| norm > 1e-3), "{expected:?}");
    got.iter()
        .zip(&expected)
        .for_each(|(a, b)| assert!((a / b - 1.0).abs() < 1e-6, "{got:?}, expected {expected:?}"));
}

/// A tanh network that gives probabilities.
fn with_softmax(logits: &Model) -> Model {
    let tensor = |name: &str| {
        let numbers = logits.tensor(name).unwrap();
        let numbers = numbers.iter().map(|&x| x as f32).collect();
        let shape = logits.shape(name).unwrap().to_vec();
        (name.to_owned(), shape, numbers)
    };
    let tensors: Vec<_> = logits.names().map(tensor).collect();
    let metadata = BTreeMap::from([
        ("activation".into(), "tanh".into()),
        ("output".into(), "softmax".into()),
    ]);
    Model::from_f32(&tensors, &metadata, "test").unwrap()
}

#[test]
fn a_softmax_at_the_end_leaves_the_divergence_of_the_distributions() {
    let layers = [3, 4, 3];
    let [before, after] = [3, 4].map(|seed| mlp::random(&layers, Activation::Tanh, seed).unwrap());
    let set = dataset(numbers(5 * 3, 1), vec![0, 1, 2, 0, 1]);
    let load = |checkpoint: &Model| {
        let device = DeviceChoice::Flex.open().unwrap();
        Network::load(checkpoint, &device, Precision::F64).unwrap()
    };
    let effects = |before: &Model, after: &Model| {
        let probe = Probe::new(&load(before), &set).unwrap();
        probe.effects(&load(after)).unwrap()
    };
    let logits = effects(&before, &after);
    let probabilities = effects(&with_softmax(&before), &with_softmax(&after));
    assert!(logits.divergence > 1e-3);
    assert!((probabilities.divergence / logits.divergence - 1.0).abs() < 1e-9);
    assert_eq!(probabilities.drawdown, logits.drawdown);
}

#[test]
fn a_softmax_at_the_end_leaves_the_gradient_of_the_cross_entropy_alone() {
    let logits = fixture(&[3, 4, 3], Activation::Tanh);
    let checkpoint = with_softmax(&logits.checkpoint);
    let mut probabilities = Fixture::new(checkpoint, &logits.set.inputs, &LABELS);
    for inequality in probabilities.set.points.iter_mut().flatten() {
        inequality.bound = 0.1;
    }
    let expected = known(logits.scores("gradient_norm"));
    assert_close(
        &known(probabilities.scores("gradient_norm")),
        &expected,
        1e-12,
    );
}

#[test]
fn rescaling_consecutive_relu_layers_moves_the_scores_of_weights_but_not_those_of_functions() {
    const C: f64 = 4.0;
    let inputs = numbers(5 * 3, 2);
    let plain = mlp::random(&[3, 6, 5, 3], Activation::Relu, 11).unwrap();
    let rescaled = scaled(
        &scaled(&scaled(&plain, "0.weight", C), "0.bias", C),
        "2.weight",
        1.0 / C,
    );
    let statistics = |checkpoint| {
        let mut fixture = Fixture::new(checkpoint, &inputs, &LABELS);
        fixture.clean = Some(numbers(5 * 3, 3));
        fixture.statistics()
    };
    let (before, after) = (statistics(plain), statistics(rescaled));
    let both = |heuristic| {
        (
            known(scores(&before, heuristic)),
            known(scores(&after, heuristic)),
        )
    };
    for (heuristic, factors) in [
        ("gradient_norm", [1.0 / C, C, 1.0]),
        ("relative_gradient_norm", [1.0 / C / C, C * C, 1.0]),
        ("gradient_ratio", [1.0; 3]),
        ("activation_magnitude", [C, 1.0, 1.0]),
        ("activation_variance", [C * C, 1.0, 1.0]),
        ("similarity_cosine", [1.0; 3]),
        ("similarity_cka", [1.0; 3]),
        ("change_l2", [1.0; 3]),
        ("change_cosine", [1.0; 3]),
        ("change_cka", [1.0; 3]),
    ] {
        let (before, after) = both(heuristic);
        let expected: Vec<f64> = before
            .iter()
            .zip(factors)
            .map(|(score, factor)| score * factor)
            .collect();
        assert_close(&after, &expected, 1e-9);
    }
    // The guard metric scales with the layer it measures; the second layer's
    // does not quite, because its bias keeps its scale.
    for heuristic in ["first_order_cost", "predicted_drawdown", "pattern_slack"] {
        let (before, after) = both(heuristic);
        assert_close(&[after[0], after[2]], &[before[0], before[2]], 1e-6);
    }
}

#[test]
fn the_gradient_ratio_of_a_guard_set_that_is_the_repair_set_is_one_everywhere() {
    let mut fixture = fixture(&[3, 6, 5, 3], Activation::Relu);
    fixture.guard = fixture.set.inputs.clone();
    fixture.guard_labels = LABELS.to_vec();
    assert_close(&known(fixture.scores("gradient_ratio")), &[1.0; 3], 1e-12);
}

#[test]
fn gradients_do_not_depend_on_how_the_points_are_batched() {
    // 40 copies of five points have the gradient of the five, over two batches.
    let five = fixture(&[3, 6, 3], Activation::Relu);
    let many = Fixture::new(
        five.checkpoint.clone(),
        &five.set.inputs.repeat(40),
        &LABELS.repeat(40),
    );
    let expected = known(five.scores("gradient_norm"));
    assert_close(&known(many.scores("gradient_norm")), &expected, 1e-12);
}
