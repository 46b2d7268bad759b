//! Sensitivities row by row, of later layers, and of woken outputs.

mod common;

use std::collections::BTreeMap;

use common::{case, close, direction, dot, flex, moved};
use network::{
    Activation, Cut, LayerKind, Mode, Network, NodeId, Precision, Surrogate, Target, Value, mlp,
};

/// A small network per architecture that is evaluated row by row, and a layer in its middle.
const SMALL: [(&str, &str); 3] = [
    ("squeezenet 1.1, random", "features.7.squeeze"),
    ("mobilevit-xxs, fashion", "stages.3.0.conv2_kxk.conv"),
    (
        "distilbert, random",
        "distilbert.transformer.layer.1.attention.v_lin",
    ),
];

/// More rows than one backward pass takes.
const ROWS: usize = 19;

type Found = (Vec<f64>, BTreeMap<NodeId, Vec<f64>>);

fn numbers((output, later): (Value, BTreeMap<NodeId, Value>)) -> Found {
    let later = later
        .into_iter()
        .map(|(id, value)| (id, value.to_vec().unwrap()));
    (output.to_vec().unwrap(), later.collect())
}

/// Sensitivities of some rows of two examples behind a layer, to its output and to those of
/// all later layers.
fn of_rows(count: usize, network: &Network, layer: &str, x: &Value) -> Found {
    let cut = network
        .run_until(network.layer(layer).unwrap(), x.clone())
        .unwrap();
    let z = network.layer_output(&cut).unwrap();
    let rows: Vec<usize> = (0..count).map(|row| (row + 1) % 2).collect();
    let classes = network.classes();
    let target = |row| Target {
        node: network.graph().output(),
        selector: vec![(row % classes, 1.0), ((row + 1) % classes, -0.5)],
    };
    let targets: Vec<Target> = (0..count).map(target).collect();
    let later: Vec<NodeId> = network
        .layers()
        .iter()
        .map(|layer| layer.node)
        .filter(|&node| node > cut.node)
        .collect();
    let found = network.sensitivities_behind(
        &cut.select(&rows),
        z.select(&rows),
        &BTreeMap::new(),
        &targets,
        &later,
        Mode::Free,
    );
    numbers(found.unwrap())
}

#[test]
fn rows_in_parts_equal_one_batch_and_every_other_run() {
    for (name, layer) in SMALL {
        // With tracked weights there is one graph for the whole batch.
        let Some((network, x)) = case(name, &flex(), Precision::F64) else {
            return;
        };
        let Some((whole, batch)) = case(name, &flex().autodiff(), Precision::F64) else {
            return;
        };
        let (output, later) = of_rows(ROWS, &network, layer, &x);
        let (expected, expected_later) = of_rows(ROWS, &whole, layer, &batch);
        assert!(close(&output, &expected, 1e-10), "{name}");
        assert!(expected.iter().any(|&g| g != 0.0), "{name}");
        assert_eq!(later.len(), expected_later.len());
        for (node, gradient) in &later {
            assert!(
                close(gradient, &expected_later[node], 1e-10),
                "{name} {node}"
            );
        }
        for _ in 0..3 {
            assert!(
                of_rows(ROWS, &network, layer, &x) == (output.clone(), later.clone()),
                "{name}"
            );
        }

        let examples: Vec<usize> = (0..ROWS).map(|i| i % x.batch()).collect();
        let (x, batch) = (x.select(&examples), batch.select(&examples));
        let labels: Vec<usize> = (0..ROWS).map(|i| i % network.classes()).collect();
        let node = network.layers()[0].node;
        let gradient = |network: &Network, x: &Value| {
            let gradient = network.loss_gradient(node, x.clone(), &labels);
            gradient.unwrap().to_vec().unwrap()
        };
        assert!(
            close(&gradient(&network, &x), &gradient(&whole, &batch), 1e-10),
            "{name}"
        );
    }
}

#[test]
fn the_gradient_of_the_outputs_at_a_layer_is_its_sensitivity() {
    for (name, layer) in SMALL {
        let Some((network, x)) = case(name, &flex(), Precision::F64) else {
            return;
        };
        let examples: Vec<usize> = (0..ROWS).map(|i| i % x.batch()).collect();
        let (x, classes) = (x.select(&examples), network.classes());
        let selector = |rows: usize| {
            let shape = [rows, classes];
            let weights = direction(rows * classes);
            Value::from_f64(&weights, &shape, network.device(), network.precision()).unwrap()
        };
        let layer = network.layer(layer).unwrap();
        let all = network.sensitivities(x.clone(), selector(ROWS)).unwrap();
        let found = network.output_gradient(layer.node, x.clone(), selector(ROWS));
        let (found, expected) = (found.unwrap().to_vec().unwrap(), all[layer.index].to_vec());
        assert!(close(&found, &expected.unwrap(), 1e-10), "{name}");
        assert!(found.iter().any(|&g| g != 0.0), "{name}");
        let few = network.output_gradient(0, x.clone(), selector(ROWS - 1));
        assert!(few.unwrap_err().to_string().contains("output selector"));
        let beyond = network.graph().output() + 1;
        assert!(network.output_gradient(beyond, x, selector(ROWS)).is_err());
    }
}

#[test]
fn a_probed_layer_has_the_sensitivity_of_a_cut_at_it() {
    for (name, layer) in SMALL {
        let Some((network, x)) = case(name, &flex(), Precision::F64) else {
            return;
        };
        let (_, later) = of_rows(3, &network, layer, &x);
        let probed = network
            .layers()
            .iter()
            .filter(|layer| later.contains_key(&layer.node));
        let mut kinds = Vec::new();
        for layer in probed {
            let (at, _) = of_rows(3, &network, &layer.name, &x);
            assert!(
                close(&later[&layer.node], &at, 1e-12),
                "{name} {}",
                layer.name
            );
            kinds.push(layer.kind);
        }
        let expected = match name.starts_with("distilbert") {
            true => [LayerKind::Linear, LayerKind::LayerNorm],
            false => [LayerKind::Conv2d, LayerKind::Conv2d],
        };
        assert!(
            expected.iter().all(|kind| kinds.contains(kind)),
            "{name}: {kinds:?}"
        );
    }
}

#[test]
fn inputs_behind_a_cut_are_those_of_a_whole_run() {
    for (name, layer) in SMALL {
        let Some((network, x)) = case(name, &flex(), Precision::F64) else {
            return;
        };
        let cut = network
            .run_until(network.layer(layer).unwrap(), x.clone())
            .unwrap();
        let z = network.layer_output(&cut).unwrap();
        let (traces, _) = network.activations(x).unwrap();
        let first = network.layer(layer).unwrap().index;
        assert_eq!(z.to_vec().unwrap(), traces[first].output.to_vec().unwrap());
        let later = &network.layers()[first + 1..];
        let inputs = network.inputs_behind(&cut, z, later).unwrap();
        assert_eq!(inputs.len(), later.len());
        for (layer, input) in later.iter().zip(inputs) {
            let expected = traces[layer.index].input.to_vec().unwrap();
            assert!(input.to_vec().unwrap() == expected, "{name} {}", layer.name);
        }
    }
}

#[test]
fn an_offset_of_a_later_convolution_is_a_change_of_its_bias() {
    let Some((network, x)) = case("squeezenet 1.1, random", &flex(), Precision::F64) else {
        return;
    };
    let later = network.layer("features.12.expand3x3").unwrap().clone();
    let bias = later.bias.clone().unwrap();
    let offset = direction(later.outputs);
    let changed: Vec<f64> = network
        .tensor(&bias)
        .unwrap()
        .iter()
        .zip(&offset)
        .map(|(b, d)| b + d)
        .collect();
    let edited = network.with_tensors(&[(bias, changed)].into()).unwrap();
    let offset = Value::from_f64(&offset, &[later.outputs], network.device(), Precision::F64);
    let cut = network
        .run_until(network.layer("features.9.squeeze").unwrap(), x.clone())
        .unwrap();
    let z = network.layer_output(&cut).unwrap();
    let (output, offsets) = (
        network.graph().output(),
        [(later.node, offset.unwrap())].into(),
    );
    let outputs = network
        .resume_with(&cut, z, &offsets, Mode::Free, &[output])
        .unwrap();
    let expected = edited.forward(x).unwrap().to_vec().unwrap();
    assert!(close(&outputs[&output].to_vec().unwrap(), &expected, 1e-12));
}

/// SqueezeNet in which class 2 is off everywhere, cut at a layer.
fn with_a_dead_class(layer: &str) -> Option<(Network, Cut, Value)> {
    let (network, x) = case("squeezenet 1.1, random", &flex(), Precision::F64)?;
    let mut bias = network.tensor("classifier.1.bias").unwrap();
    bias[2] = -50.0;
    let network = network
        .with_tensors(&[("classifier.1.bias".to_owned(), bias)].into())
        .unwrap();
    let cut = network.run_until(network.layer(layer).unwrap(), x).unwrap();
    let z = network.layer_output(&cut).unwrap();
    Some((network, cut, z))
}

#[test]
fn a_dead_output_has_a_surrogate_below_it_and_a_live_one_none() {
    let Some((network, cut, z)) = with_a_dead_class("classifier.1") else {
        return;
    };
    let [_, classes, rows, columns] = z.shape()[..] else {
        panic!("{:?}", z.shape());
    };
    let places = rows * columns;
    let none = BTreeMap::new();
    let outputs = network.resume(&cut).unwrap().to_vec().unwrap();
    let live = (0..classes).find(|&c| outputs[classes + c] > 0.0).unwrap();
    let asked = [(1, 2), (1, live), (0, 2)];
    let found = network
        .dead_outputs(&cut, z.clone(), &none, &asked)
        .unwrap();
    assert_eq!(found[1], None);
    let numbers = z.to_vec().unwrap();
    for (surrogate, example) in [(&found[0], 1), (&found[2], 0)] {
        let Some(Surrogate {
            output,
            positions,
            value,
            ..
        }) = surrogate
        else {
            panic!("class 2 of example {example} is dead");
        };
        assert_eq!((*output, positions.len()), (2, places.div_ceil(4)));
        let plane = &numbers[(example * classes + 2) * places..][..places];
        let sum: f64 = positions.iter().map(|&t| plane[t]).sum();
        assert!((value - sum / places as f64).abs() < 1e-12);
        assert!(*value <= outputs[example * classes + 2]);
        // The chosen positions are the largest ones.
        let least = positions.iter().map(|&t| plane[t]).fold(f64::MAX, f64::min);
        let others = (0..places).filter(|t| !positions.contains(t));
        assert!(others.map(|t| plane[t]).all(|z| z <= least));
    }
    let far = network.dead_outputs(&cut, z, &none, &[(2, 0)]);
    assert!(far.unwrap_err().to_string().contains("[2, 10]"));
}

#[test]
fn a_surrogate_stays_a_lower_bound_and_its_gradient_equals_finite_differences() {
    for layer in ["classifier.1", "features.12.squeeze", "features.0"] {
        let Some((network, cut, z)) = with_a_dead_class(layer) else {
            return;
        };
        let (none, output) = (BTreeMap::new(), network.graph().output());
        // Two rows of example 1, of which the second is not woken.
        let (cut, z) = (cut.select(&[1, 1]), z.select(&[1, 1]));
        let asked = [(0, 2)];
        let mut woken = network
            .dead_outputs(&cut, z.clone(), &none, &asked)
            .unwrap();
        woken.push(None);
        let towards = direction(z.to_vec().unwrap().len());
        let outputs = |step: f64, mode| {
            let z = moved(&z, &towards, step, &network);
            let values = network.resume_with(&cut, z, &none, mode, &[output]);
            values.unwrap()[&output].to_vec().unwrap()
        };
        let mode = Mode::Woken(&woken);
        let (surrogate, real) = (outputs(0.0, mode), outputs(0.0, Mode::Free));
        let value = woken[0].as_ref().unwrap().value;
        assert!((surrogate[2] - value).abs() <= 1e-12 * value.abs());
        assert_eq!(real[2], 0.0);
        // Nothing else changes.
        assert_eq!(surrogate[3..], real[3..]);
        for step in [-30.0, 30.0, 300.0] {
            let (bound, real) = (outputs(step, mode)[2], outputs(step, Mode::Free)[2]);
            assert!(bound <= real, "{layer}: {bound} {real}");
        }

        let target = Target {
            node: output,
            selector: vec![(2, 1.0)],
        };
        let targets = [target.clone(), target];
        let (delta, _) = network
            .sensitivities_behind(&cut, z.clone(), &none, &targets, &[], mode)
            .unwrap();
        let delta = delta.to_vec().unwrap();
        let (first, second) = delta.split_at(delta.len() / 2);
        assert!(second.iter().all(|&g| g == 0.0), "{layer}");
        let step = 1e-7;
        let quotient = (outputs(step, mode)[2] - outputs(-step, mode)[2]) / (2.0 * step);
        let slope = dot(first, &towards);
        // The quotient loses 2⁻⁵² · |y| / step to cancellation.
        let scale = first.iter().map(|g| g.abs()).sum::<f64>();
        assert!(scale > 0.0, "{layer}");
        assert!(
            (quotient - slope).abs() <= 1e-5 * scale,
            "{layer}: {quotient} {slope} {scale}"
        );
    }
}

#[test]
fn networks_without_a_relu_head_have_no_dead_outputs() {
    let checkpoint = mlp::random(&[4, 6, 3], Activation::Relu, 0).unwrap();
    let network = Network::load(&checkpoint, &flex(), Precision::F64).unwrap();
    let x = network.batch(&[0.5; 8]).unwrap();
    let cut = network.run_until(&network.layers()[0], x).unwrap();
    let z = network.layer_output(&cut).unwrap();
    let found = network.dead_outputs(&cut, z, &BTreeMap::new(), &[(0, 0), (1, 2)]);
    assert_eq!(found.unwrap(), [None, None]);
}

#[test]
fn only_the_last_linear_map_has_nothing_but_channelwise_nodes_behind_it() {
    for (name, last) in [
        ("mlp 9x100", "16"),
        ("squeezenet 1.1, random", "classifier.1"),
        ("mobilevit-xxs, fashion", "head.fc"),
        ("distilbert, random", "classifier"),
    ] {
        let Some((network, _)) = case(name, &flex(), Precision::F32) else {
            return;
        };
        let found: Vec<&str> = network
            .layers()
            .iter()
            .filter(|layer| network.is_channelwise_behind(layer))
            .map(|layer| layer.name.as_str())
            .collect();
        assert_eq!(found, [last], "{name}");
    }
}
