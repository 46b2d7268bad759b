//! What is said of checkpoints and inputs that fit no architecture.

mod common;

use std::collections::BTreeMap;

use common::assets;
use network::{Checkpoint, DeviceChoice, Model, Network, Precision, architectures, parity};

/// A stored checkpoint, or a message and `None`.
fn stored(file: &str) -> Option<Checkpoint> {
    let part = format!("random_refs/{file}");
    Some(Checkpoint::read(&assets(&part)?.join(part)).unwrap())
}

const DISTILBERT: &str = "hf_distilbert_small.random.safetensors";
const SQUEEZENET: &str = "torchvision_squeezenet1_1.random10.safetensors";

fn open(checkpoint: &Checkpoint) -> Network {
    let device = DeviceChoice::Flex.open().unwrap();
    let model = Model::new(checkpoint.clone()).unwrap();
    Network::load(&model, &device, Precision::F32).unwrap()
}

/// The error of a graph that cannot be built.
fn refusal(checkpoint: &Checkpoint) -> String {
    architectures::graph(checkpoint).unwrap_err().to_string()
}

#[test]
fn every_stored_network_is_of_the_architecture_that_its_name_says() {
    for (file, name, layers) in [
        (DISTILBERT, "distilbert", 29),
        (SQUEEZENET, "squeezenet", 26),
        (
            "torchvision_squeezenet1_0.random10.safetensors",
            "squeezenet",
            26,
        ),
        ("timm_mobilevit_xxs.random.safetensors", "mobilevit", 125),
        ("hf_mobilevit_xx_small.random.safetensors", "mobilevit", 143),
    ] {
        let Some(checkpoint) = stored(file) else {
            return;
        };
        assert_eq!(architectures::of(&checkpoint).unwrap().name, name);
        let graph = architectures::graph(&checkpoint).unwrap();
        assert_eq!(graph.layers().len(), layers, "{file}");
    }
}

#[test]
fn a_configuration_that_contradicts_the_tensors_is_refused() {
    let Some(checkpoint) = stored(DISTILBERT) else {
        return;
    };
    for (key, value, said) in [
        ("dim", 65, "config `dim` is 65, but the tensors say 64"),
        (
            "n_layers",
            4,
            "config `n_layers` is 4, but the tensors say 3",
        ),
        (
            "n_heads",
            5,
            "`n_heads` is 5, which does not divide the width 64",
        ),
        (
            "n_heads",
            0,
            "config `n_heads`: expected a positive integer, got 0",
        ),
    ] {
        let mut config = checkpoint.config().unwrap().clone();
        config[key] = value.into();
        let error = refusal(&checkpoint.clone().with_config(config));
        assert!(error.contains(said), "{error}");
    }
    let error = refusal(&checkpoint.with_config(serde_json::json!({})));
    assert!(
        error.contains("expected `n_heads` in a config.json"),
        "{error}"
    );
}

#[test]
fn tensors_of_no_architecture_are_named() {
    let tensor = ("encoder.weight".to_owned(), vec![1, 1, 1], vec![0.0]);
    let checkpoint = Checkpoint::from_f32(&[tensor], &BTreeMap::new(), "other").unwrap();
    let error = refusal(&checkpoint);
    for mark in [
        "`other`",
        "features.3.squeeze.weight",
        "stem.conv.weight",
        "<name>.weight",
        "its tensors are `encoder.weight` [1, 1, 1]",
    ] {
        assert!(error.contains(mark), "{error}");
    }
}

#[test]
fn a_checkpoint_that_lacks_tensors_says_which() {
    // The right mark, and nothing else.
    let name = "features.3.squeeze.weight".to_owned();
    let tensor = (name, vec![16, 64, 1, 1], vec![0.0; 1024]);
    let checkpoint = Checkpoint::from_f32(&[tensor], &BTreeMap::new(), "cut").unwrap();
    let error = refusal(&checkpoint);
    assert!(error.contains("got [3]"), "{error}");
}

#[test]
fn images_that_do_not_fit_are_refused_at_their_node() {
    let Some(checkpoint) = stored(SQUEEZENET) else {
        return;
    };
    let network = open(&checkpoint);
    for (shape, said) in [
        ([1, 96, 96], "features.0: expected shape [*, 3, h, w]"),
        (
            [3, 1, 1],
            "features.0: expected shape [*, 3, h, w] with h of at least 3, w of at least 3",
        ),
        ([3, 8, 8], "features.5"),
    ] {
        let pixels = vec![0.5; shape.iter().product()];
        let x = network.batch_of(&pixels, &shape).unwrap();
        let error = network.forward(x).unwrap_err().to_string();
        assert!(error.contains(said), "{shape:?}: {error}");
    }
}

#[test]
fn token_sequences_that_do_not_fit_are_refused_at_their_node() {
    let Some(checkpoint) = stored(DISTILBERT) else {
        return;
    };
    let network = open(&checkpoint);
    let words = "distilbert.embeddings.word_embeddings";
    for (planes, said) in [
        (
            vec![5.0, 1000.0, 1.0, 1.0],
            format!("{words}: expected words from 0 to 999, got 1000"),
        ),
        (
            vec![5.0, 0.5, 1.0, 1.0],
            format!("{words}: expected words from 0 to 999, got 0.5"),
        ),
        (
            vec![1.0; 2 * 65],
            "position_embeddings: expected shape at most 64 tokens".to_owned(),
        ),
    ] {
        let x = network.batch_of(&planes, &[2, planes.len() / 2]).unwrap();
        let error = network.forward(x).unwrap_err().to_string();
        assert!(error.contains(&said), "{error}");
    }
}

#[test]
fn padding_does_not_change_what_a_sentence_gives() {
    let Some(checkpoint) = stored(DISTILBERT) else {
        return;
    };
    let network = open(&checkpoint);
    let words = [101.0, 7.0, 8.0, 102.0];
    let alone: Vec<f32> = words.into_iter().chain([1.0; 4]).collect();
    let padded: Vec<f32> = words
        .into_iter()
        .chain([0.0; 3])
        .chain([1.0; 4])
        .chain([0.0; 3])
        .collect();
    let outputs = |planes: &[f32]| {
        let x = network.batch_of(planes, &[2, planes.len() / 2]).unwrap();
        network.forward(x).unwrap().to_vec().unwrap()
    };
    for (a, b) in outputs(&alone).iter().zip(outputs(&padded)) {
        // The same sums in another order.
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn every_case_of_parity_names_another_network() {
    let names: Vec<&str> = parity::CASES.iter().map(|case| case.name).collect();
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names.len());
}
