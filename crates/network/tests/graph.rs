//! Stopping, resuming, freezing and loading, on small random networks.

use std::collections::BTreeMap;

use network::{
    Activation, Checkpoint, DeviceChoice, Mode, Model, Network, NetworkError, Piece, Precision,
    Target, Value, mlp,
};
use proptest::prelude::*;

fn network(sizes: &[usize], activation: Activation, seed: u64) -> Network {
    let checkpoint = mlp::random(sizes, activation, seed).unwrap();
    Network::load(
        &checkpoint,
        &DeviceChoice::Flex.open().unwrap(),
        Precision::F64,
    )
    .unwrap()
}

fn inputs(network: &Network, count: usize, seed: u64) -> Value {
    let width = network.graph().input_shape()[0];
    // A fixed quasi-random sequence: reproducible without a generator.
    let x: Vec<f32> = (0..count * width)
        .map(|i| ((i as f64 * 0.754_877_666 + seed as f64 * 0.31).fract() * 2.0 - 1.0) as f32)
        .collect();
    network.batch(&x).unwrap()
}

fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn resuming_at_any_layer_gives_the_same_bits(seed in 0u64..1000, kind in 0..Activation::NAMED.len()) {
        let network = network(&[5, 7, 6, 4, 3], Activation::NAMED[kind], seed);
        let x = inputs(&network, 4, seed);
        let whole = network.forward(x.clone()).unwrap().to_vec().unwrap();
        let (traces, outputs) = network.activations(x.clone()).unwrap();
        prop_assert_eq!(&outputs.to_vec().unwrap(), &whole);
        let mut moving = network.run_until(&network.layers()[0], x.clone()).unwrap();
        for layer in network.layers() {
            moving = network.advance(moving, layer).unwrap();
            prop_assert_eq!(network.resume(&moving).unwrap().to_vec().unwrap(), whole.clone());
            prop_assert_eq!(moving.input.to_vec().unwrap(), traces[layer.index].input.to_vec().unwrap());
        }
        prop_assert!(network.advance(moving, &network.layers()[0]).is_err());
        for layer in network.layers() {
            let cut = network.run_until(layer, x.clone()).unwrap();
            prop_assert_eq!(network.resume(&cut).unwrap().to_vec().unwrap(), whole.clone());
            prop_assert_eq!(cut.input.to_vec().unwrap(), traces[layer.index].input.to_vec().unwrap());
            let z = traces[layer.index].output.clone();
            let output = network.graph().output();
            let resumed = network.resume_with(&cut, z, &BTreeMap::new(), Mode::Free, &[output]).unwrap();
            prop_assert_eq!(resumed[&output].to_vec().unwrap(), whole.clone());
        }
    }

    #[test]
    fn the_frozen_network_is_the_network_at_the_pattern_and_affine_around_it(seed in 0u64..1000, leaky in any::<bool>()) {
        let activation = if leaky { Activation::LeakyRelu { slope: 0.1 } } else { Activation::Relu };
        let network = network(&[4, 8, 6, 3], activation, seed);
        let x = inputs(&network, 3, seed);
        let layer = &network.layers()[0];
        let cut = network.run_until(layer, x.clone()).unwrap();
        let z = network.activations(x.clone()).unwrap().0[0].output.clone();
        let pattern = network.pattern(&cut, z.clone()).unwrap();
        let output = network.graph().output();
        let none = BTreeMap::new();
        let frozen = |z: Value| {
            network.resume_with(&cut, z, &none, Mode::Frozen(&pattern), &[output]).unwrap()[&output].to_vec().unwrap()
        };
        let at = frozen(z.clone());
        prop_assert!(close(&at, &network.forward(x).unwrap().to_vec().unwrap(), 1e-12));
        // Affine: the value at the midpoint is the mean of the values at the ends.
        let numbers = z.to_vec().unwrap();
        let moved: Vec<f64> = numbers.iter().enumerate().map(|(i, z)| z + (i as f64 * 0.37).sin()).collect();
        let middle: Vec<f64> = numbers.iter().zip(&moved).map(|(a, b)| (a + b) / 2.0).collect();
        let value = |v: &[f64]| Value::from_f64(v, &[3, 8], network.device(), Precision::F64).unwrap();
        let (far, half) = (frozen(value(&moved)), frozen(value(&middle)));
        let mean: Vec<f64> = at.iter().zip(&far).map(|(a, b)| (a + b) / 2.0).collect();
        prop_assert!(close(&half, &mean, 1e-10));
        // And its slope is what the backward pass returns.
        let targets: Vec<Target> = (0..3).map(|c| Target { node: output, selector: vec![(c, 1.0)] }).collect();
        let (delta, _) =
            network.sensitivities_behind(&cut, z, &none, &targets, &[], Mode::Frozen(&pattern)).unwrap();
        let delta = delta.to_vec().unwrap();
        for row in 0..3 {
            let predicted: f64 = (0..8).map(|u| delta[row * 8 + u] * (moved[row * 8 + u] - numbers[row * 8 + u])).sum();
            prop_assert!((far[row * 3 + row] - at[row * 3 + row] - predicted).abs() < 1e-10);
        }
    }

    #[test]
    fn pieces_agree_with_the_function(z in -8.0f64..8.0, kind in 0..Activation::NAMED.len()) {
        let activation = Activation::NAMED[kind];
        let checkpoint = Model::from_f32(
            &[
                ("0.weight".into(), vec![1, 1], vec![1.0]),
                ("0.bias".into(), vec![1], vec![0.0]),
                ("2.weight".into(), vec![2, 1], vec![1.0, 0.0]),
                ("2.bias".into(), vec![2], vec![0.0, 0.0]),
            ],
            &[("activation".to_owned(), activation.name().to_owned())].into(),
            "identity",
        ).unwrap();
        let network = Network::load(&checkpoint, &DeviceChoice::Flex.open().unwrap(), Precision::F64).unwrap();
        let x = Value::from_f64(&[z], &[1, 1], network.device(), Precision::F64).unwrap();
        let y = network.forward(x).unwrap().to_vec().unwrap()[0];
        if let Some(Piece { slope, side, bound }) = activation.piece(z) {
            prop_assert!((y - slope * z).abs() < 1e-12);
            prop_assert!(side * z >= bound);
        } else {
            prop_assert!(!activation.has_linear_pieces() || z.abs() < 3.0);
        }
    }
}

#[test]
fn a_load_names_every_missing_unused_and_misshapen_tensor() {
    let tensors = vec![
        ("0.weight".to_owned(), vec![3, 2], vec![0.0; 6]),
        ("0.bias".to_owned(), vec![2], vec![0.0; 2]),
        ("2.weight".to_owned(), vec![2, 3], vec![0.0; 6]),
        ("extra".to_owned(), vec![1], vec![0.0]),
    ];
    let checkpoint = Checkpoint::from_f32(&tensors, &BTreeMap::new(), "broken").unwrap();
    let whole = mlp::random(&[2, 3, 2], Activation::Relu, 0).unwrap();
    let error = whole.output_graph().check_tensors(&checkpoint);
    let error = error.unwrap_err().to_string();
    for part in [
        "`broken`",
        "`0.bias`: expected shape [3], got [2]",
        "missing tensor `2.bias`",
        "unused tensor `extra`",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_frozen_smooth_activation_is_refused_by_name() {
    let network = network(&[3, 4, 2], Activation::Gelu, 0);
    let x = inputs(&network, 1, 0);
    let cut = network.run_until(&network.layers()[0], x.clone()).unwrap();
    let z = network.activations(x).unwrap().0[0].output.clone();
    let error = network.pattern(&cut, z).unwrap_err();
    assert!(
        matches!(&error, NetworkError::NoLinearPiece { node, .. } if node == "1"),
        "{error}"
    );
}

#[test]
fn an_unknown_layer_lists_the_known_ones() {
    let error = network(&[2, 2, 2], Activation::Relu, 0)
        .layer("7")
        .unwrap_err()
        .to_string();
    assert!(error.contains('7') && error.contains("0, 2"), "{error}");
}

#[test]
fn inputs_whose_values_would_be_too_large_are_refused_before_one_is_computed() {
    let file = "../model/tests/reference/formats/squeezenet_narrow.safetensors";
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let device = DeviceChoice::Flex.open().unwrap();
    let network = Network::open(&file, &device, Precision::F32).unwrap();
    // No examples: the extents alone are looked at.
    for side in [1 << 13, 1 << 20, 1 << 31] {
        let x = Value::from_f32(&[], &[0, 3, side, side], &device, Precision::F32).unwrap();
        let refusals = [
            network.forward(x.clone()).map(|_| ()),
            network.activations(x.clone()).map(|_| ()),
            network.run_until(&network.layers()[0], x).map(|_| ()),
        ];
        for refusal in refusals {
            let refusal = refusal.unwrap_err().to_string();
            assert!(refusal.contains("no value of an example"), "{refusal}");
        }
    }
}
