//! One vector per input and layer.

use std::path::PathBuf;

use heuristics::profile::pooled;
use network::{Device, DeviceChoice, LayerKind, Network, Precision};

use crate::fixture::{assert_close, numbers, relu};

fn flex() -> Device {
    DeviceChoice::Flex.open().unwrap()
}

/// A random network of real shape, if the folder of assets is there.
fn random(file: &str) -> Option<Network> {
    let Some(assets) = std::env::var_os("INFORMED_REPAIR_ASSETS").map(PathBuf::from) else {
        eprintln!("skipped: INFORMED_REPAIR_ASSETS names no folder of real weights");
        return None;
    };
    let path = assets.join("random_refs").join(file);
    Some(Network::open(&path, &flex(), Precision::F64).unwrap())
}

#[test]
fn a_perceptron_has_its_outputs_before_the_activation() {
    let checkpoint = relu(&[
        &[&[1.0, 0.0], &[0.0, -1.0], &[1.0, 1.0]],
        &[&[1.0, 5.0, 0.0], &[0.0, 0.0, 1.0]],
    ]);
    let network = Network::load(&checkpoint, &flex(), Precision::F64).unwrap();
    let inputs = [1.0, 2.0, -1.0, 0.5, 3.0, 0.0];
    // One batch, and more than one.
    for copies in [1, 100] {
        let found = pooled(&network, &inputs.repeat(copies), &[2]).unwrap();
        assert_eq!(found[0].width, 3);
        let first = [1.0, -2.0, 3.0, -1.0, -0.5, -0.5, 3.0, 0.0, 3.0];
        assert_eq!(found[0].rows, first.repeat(copies));
        assert_eq!(found[1].rows, [1.0, 3.0, 0.0, 0.0, 3.0, 3.0].repeat(copies));
        assert_eq!(found[1].points().unwrap().count(), 3 * copies);
    }
    assert!(pooled(&network, &inputs[..5], &[2]).is_err());
    assert!(pooled(&network, &[], &[2]).unwrap()[0].rows.is_empty());
}

#[test]
fn images_are_averaged_over_pixels_and_patches() {
    for (file, layer) in [
        (
            "torchvision_squeezenet1_1.random10.safetensors",
            "features.3.squeeze",
        ),
        (
            "timm_mobilevit_xxs.random.safetensors",
            "stages.2.1.transformer.0.mlp.fc1",
        ),
    ] {
        let Some(network) = random(file) else { return };
        let shape = [3, 64, 64];
        let inputs = numbers(2 * 3 * 64 * 64, 3);
        let found = pooled(&network, &inputs, &shape).unwrap();
        assert_eq!(found.len(), network.layers().len());
        for (pooled, layer) in found.iter().zip(network.layers()) {
            assert_eq!(pooled.rows.len(), 2 * layer.outputs, "{}", layer.name);
        }
        let layer = network.layer(layer).unwrap();
        let x = network.batch_of(&inputs, &shape).unwrap();
        let (traces, _) = network.activations(x).unwrap();
        let outputs = traces[layer.index].output.to_vec().unwrap();
        let (size, width) = (outputs.len() / 2, layer.outputs);
        let positions = size / width;
        // Channel 1 of the second example.
        let mean = (0..positions).map(|t| match layer.kind {
            LayerKind::Conv2d => outputs[size + positions + t],
            _ => outputs[size + t * width + 1],
        });
        let mean = mean.sum::<f64>() / positions as f64;
        assert_close(&[found[layer.index].rows[width + 1]], &[mean], 1e-12);
    }
}

#[test]
fn padding_does_not_count() {
    let Some(assets) = std::env::var_os("INFORMED_REPAIR_ASSETS").map(PathBuf::from) else {
        return eprintln!("skipped: INFORMED_REPAIR_ASSETS names no folder of real weights");
    };
    let folder = assets.join("distilbert_minilm_sst2");
    let network = Network::open(&folder, &flex(), Precision::F64).unwrap();
    let words = [101.0, 2023.0, 2003.0, 102.0];
    let padded = |length: usize| {
        let plane = |numbers: [f32; 4]| {
            let padding = std::iter::repeat_n(0.0, length - 4);
            numbers.into_iter().chain(padding).collect::<Vec<f32>>()
        };
        [plane(words), plane([1.0; 4])].concat()
    };
    let whole = pooled(&network, &padded(4), &[2, 4]).unwrap();
    let longer = pooled(&network, &padded(9), &[2, 9]).unwrap();
    for ((whole, longer), layer) in whole.iter().zip(&longer).zip(network.layers()) {
        assert_eq!(whole.width, layer.outputs);
        assert_close(&longer.rows, &whole.rows, 1e-9);
    }
}
