//! Frozen patterns of SqueezeNet 1.1 with real weights: ReLU, max-pool, concat, average pool.

mod common;

use std::collections::BTreeMap;

use common::{case, close, direction, dot, flex, moved};
use network::{Cut, Mode, Network, Op, Pattern, Precision, Target, Value};

/// Layers in front of all max-pools, between them and behind them.
const LAYERS: [&str; 6] = [
    "features.0",
    "features.3.expand3x3",
    "features.4.squeeze",
    "features.7.expand1x1",
    "features.12.expand3x3",
    "classifier.1",
];

/// SqueezeNet 1.1 and two of its reference images, cut to `side` pixels.
fn squeezenet(side: usize, precision: Precision) -> Option<(Network, Value)> {
    let (network, x) = case("squeezenet 1.1", &flex(), precision)?;
    let (numbers, size) = (x.to_vec().unwrap(), x.shape()[3]);
    let cropped: Vec<f32> = (0..2 * 3 * side)
        .flat_map(|row| {
            let start = (row / side * size + row % side) * size;
            numbers[start..start + side].iter().map(|&x| x as f32)
        })
        .collect();
    let x = network.batch_of(&cropped, &[3, side, side]).unwrap();
    Some((network, x))
}

/// The network frozen behind a layer.
struct Frozen<'a> {
    network: &'a Network,
    cut: Cut,
    z: Value,
    pattern: Pattern,
}

impl<'a> Frozen<'a> {
    fn at(network: &'a Network, layer: &str, x: Value) -> Self {
        let cut = network.run_until(network.layer(layer).unwrap(), x).unwrap();
        let z = network.layer_output(&cut).unwrap();
        let pattern = network.pattern(&cut, z.clone()).unwrap();
        Self {
            network,
            cut,
            z,
            pattern,
        }
    }

    fn outputs(&self, z: Value, mode: Mode<'_>) -> Vec<f64> {
        let output = self.network.graph().output();
        let values = self
            .network
            .resume_with(&self.cut, z, &BTreeMap::new(), mode, &[output]);
        values.unwrap()[&output].to_vec().unwrap()
    }
}

/// The frozen network has the free one's bits: slopes are zero and one, and a
/// gathered number is the winner itself.
fn check_frozen_is_free(side: usize, precision: Precision) {
    let Some((network, x)) = squeezenet(side, precision) else {
        return;
    };
    let whole = network.forward(x.clone()).unwrap().to_vec().unwrap();
    for layer in LAYERS {
        let frozen = Frozen::at(&network, layer, x.clone());
        let outputs = frozen.outputs(frozen.z.clone(), Mode::Frozen(&frozen.pattern));
        assert!(outputs == whole, "{layer} in {precision:?}");
    }
}

#[test]
fn the_frozen_network_is_the_network_at_the_pattern_in_f32() {
    check_frozen_is_free(224, Precision::F32);
}

#[test]
fn the_frozen_network_is_the_network_at_the_pattern_in_f64() {
    check_frozen_is_free(97, Precision::F64);
}

#[test]
fn the_frozen_network_is_affine_and_its_slope_is_what_the_backward_pass_returns() {
    let Some((network, x)) = squeezenet(97, Precision::F64) else {
        return;
    };
    let (output, classes) = (network.graph().output(), network.classes());
    for layer in LAYERS {
        let frozen = Frozen::at(&network, layer, x.clone());
        let z = &frozen.z;
        let towards = direction(z.to_vec().unwrap().len());
        let at = |step: f64, mode| frozen.outputs(moved(z, &towards, step, &network), mode);

        let mode = Mode::Frozen(&frozen.pattern);
        let [start, middle, end] = [0.0, 2.0, 4.0].map(|step| at(step, mode));
        let mean: Vec<f64> = start.iter().zip(&end).map(|(a, b)| (a + b) / 2.0).collect();
        assert!(close(&middle, &mean, 1e-11), "{layer}");
        assert!(!close(&at(2.0, Mode::Free), &mean, 1e-6), "{layer}");

        let target = |class| Target {
            node: output,
            selector: vec![(class, 1.0), (5, -2.0)],
        };
        let targets = [target(0), target(classes - 1)];
        let (delta, _) = network
            .sensitivities_behind(
                &frozen.cut,
                z.clone(),
                &BTreeMap::new(),
                &targets,
                &[],
                mode,
            )
            .unwrap();
        let (delta, width) = (delta.to_vec().unwrap(), towards.len() / 2);
        for (row, class) in [0, classes - 1].into_iter().enumerate() {
            let scalar = |y: &[f64]| y[row * classes + class] - 2.0 * y[row * classes + 5];
            let change = scalar(&end) - scalar(&start);
            let part = row * width..(row + 1) * width;
            let predicted = 4.0 * dot(&delta[part.clone()], &towards[part]);
            let scale = scalar(&end).abs().max(scalar(&start).abs()).max(1.0);
            assert!(
                (change - predicted).abs() <= 1e-10 * scale,
                "{layer} {row}: {change} {predicted}"
            );
        }
    }
}

#[test]
fn a_winner_is_the_pooled_number_and_no_loser_is_larger() {
    let Some((network, x)) = squeezenet(97, Precision::F64) else {
        return;
    };
    let frozen = Frozen::at(&network, "features.0", x);
    assert_eq!(frozen.pattern.pools().len(), 3);
    for (&node, winners) in frozen.pattern.pools() {
        let source = network.graph().nodes()[node].sources[0];
        let none = BTreeMap::new();
        let wanted = [source, node];
        let values = network
            .resume_with(&frozen.cut, frozen.z.clone(), &none, Mode::Free, &wanted)
            .unwrap();
        let (read, pooled) = (&values[&source], values[&node].to_vec().unwrap());
        let numbers = read.to_vec().unwrap();
        let (units, [rows, columns]) = (numbers.len() / 2, [read.shape()[2], read.shape()[3]]);
        assert_eq!(winners.len(), pooled.len());
        assert_eq!(winners.members(), 9);
        let mut members = 0;
        for (entry, &y) in pooled.iter().enumerate() {
            let first = entry / winners.width() * units;
            let winner = winners.winner(entry);
            assert_eq!(numbers[first + winner], y);
            for loser in winners.losers(entry) {
                assert!(numbers[first + loser] <= y && loser != winner);
                assert_eq!(loser / (rows * columns), winner / (rows * columns));
                // Of equal members the first one wins.
                assert!(numbers[first + loser] < y || loser > winner);
                members += 1;
            }
            members += 1;
        }
        // A row or column is in one window, but every second one, which two windows share.
        let along = |extent: usize| extent + (extent - 1) / 2 - usize::from(extent % 2 == 1);
        let channels = read.shape()[1];
        assert_eq!(members, 2 * channels * along(rows) * along(columns));
    }
}

#[test]
fn pieces_are_those_of_the_pre_activations() {
    let Some((network, x)) = squeezenet(97, Precision::F64) else {
        return;
    };
    let frozen = Frozen::at(&network, "features.9.squeeze", x);
    assert_eq!(frozen.pattern.pieces().len(), 3 * 4 + 1);
    let chosen = frozen.pattern.select(&[1, 1, 0]);
    for (&node, pieces) in frozen.pattern.pieces() {
        let Op::Activation(activation) = network.graph().nodes()[node].op else {
            panic!("node {node} is no activation");
        };
        let source = network.graph().nodes()[node].sources[0];
        let none = BTreeMap::new();
        let values = network
            .resume_with(&frozen.cut, frozen.z.clone(), &none, Mode::Free, &[source])
            .unwrap();
        let numbers = values[&source].to_vec().unwrap();
        assert_eq!(pieces.len(), numbers.len());
        let expected: Vec<_> = numbers
            .iter()
            .map(|&z| activation.piece(z).unwrap())
            .collect();
        assert!(pieces.iter().eq(&expected));
        let width = pieces.width();
        assert_eq!(chosen.pieces()[&node].len(), 3 * width);
        for unit in (0..width).step_by(97) {
            assert_eq!(chosen.pieces()[&node][unit], expected[width + unit]);
            assert_eq!(chosen.pieces()[&node][2 * width + unit], expected[unit]);
        }
    }
}

#[test]
fn a_pattern_of_another_number_of_examples_is_refused() {
    let Some((network, x)) = squeezenet(97, Precision::F32) else {
        return;
    };
    let frozen = Frozen::at(&network, "classifier.1", x);
    let output = network.graph().output();
    let error = network.resume_with(
        &frozen.cut,
        frozen.z.clone(),
        &BTreeMap::new(),
        Mode::Frozen(&frozen.pattern.select(&[0])),
        &[output],
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("2 examples"), "{error}");
}
