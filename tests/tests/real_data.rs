//! Real networks on real images and text: predictions are those that PyTorch made on the same files.
//!
//! Needs the folder that `INFORMED_REPAIR_ASSETS` names; Fashion-MNIST's test images are those of the
//! Debian package `dataset-fashion-mnist`, or in the folder that `FASHION_MNIST` names.

use std::path::{Path, PathBuf};

use data::adversarial::{Norm, Pgd, fgsm, pgd};
use data::glue::{self, Split, Task};
use data::image::source::Stage;
use data::image::{ImageFolder, ImageSource, Preprocessing, presets};
use data::text::{Guide, TextCorruption, Tokenizer};
use data::{Dataset, Severity};
use experiments::gradients::Attacked;
use network::{DeviceChoice, Network, Precision};
use workspace_tests::assets;

/// Examples per forward pass.
const BATCH: usize = 16;

fn open(path: &Path) -> Network {
    let device = DeviceChoice::Flex.open().unwrap();
    Network::open(path, &device, Precision::F32).unwrap()
}

/// The class of the largest output for every example.
fn predictions(network: &Network, set: &Dataset) -> Vec<usize> {
    set.inputs
        .chunks(BATCH * set.example_len())
        .flat_map(|inputs| {
            let x = network.batch_of(inputs, &set.shape).unwrap();
            let outputs = network.forward(x).unwrap().to_vec().unwrap();
            let largest = |row: &[f64]| {
                let (class, _) = row
                    .iter()
                    .enumerate()
                    .max_by(|a, b| a.1.total_cmp(b.1))
                    .unwrap();
                class
            };
            outputs
                .chunks(network.classes())
                .map(largest)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// A column of a CSV file.
fn column(path: &Path, name: &str) -> Vec<usize> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let headers = reader.headers().unwrap().clone();
    let position = headers.iter().position(|header| header == name).unwrap();
    reader
        .records()
        .map(|record| record.unwrap()[position].parse().unwrap())
        .collect()
}

fn right(predicted: &[usize], labels: &[usize]) -> usize {
    predicted.iter().zip(labels).filter(|(p, l)| p == l).count()
}

/// As many predictions are right as the reference's, give or take two.
///
/// `differing` of them may be others: JPEG decoders round differently in a few pixels, which tips
/// the closest calls of a thousand classes.
fn assert_same(
    what: &str,
    predicted: &[usize],
    reference: &[usize],
    labels: &[usize],
    differing: usize,
) {
    let (ours, theirs) = (right(predicted, labels), right(reference, labels));
    let others = predicted.len() - right(predicted, reference);
    eprintln!(
        "{what}: {ours} of {} right, reference {theirs}; {others} predictions differ",
        labels.len()
    );
    assert_eq!(predicted.len(), reference.len());
    assert!(others <= differing, "{what}: {others} predictions differ");
    assert!(
        ours.abs_diff(theirs) <= 2,
        "{what}: {ours} right, reference {theirs}"
    );
}

fn load(source: &ImageFolder, preprocessing: &Preprocessing) -> Dataset {
    let all: Vec<usize> = (0..source.len()).collect();
    data::image::load(source, &all, preprocessing, Stage::Inputs, &mut |_| {}).unwrap()
}

#[test]
fn squeezenet_predicts_on_imagenet_what_pytorch_predicts() {
    let Some(assets) = assets("imagenet_sample") else {
        return;
    };
    let sample = assets.join("imagenet_sample");
    let source = ImageFolder::open_table(
        &sample.join("labels.csv"),
        &sample.join("short256"),
        "sample",
        1000,
    );
    let set = load(&source.unwrap(), &presets::squeezenet());
    let reference = sample.join("predictions.csv");
    for (file, name) in [
        ("squeezenet1_1.safetensors", "squeezenet1_1_top1"),
        (
            "squeezenet1_0.deepcompression.safetensors",
            "squeezenet1_0_dc_top1",
        ),
    ] {
        let network = open(&assets.join("squeezenet").join(file));
        let predicted = predictions(&network, &set);
        assert_same(
            name,
            &predicted,
            &column(&reference, name),
            &set.labels,
            set.len() / 50,
        );
    }
}

#[test]
fn squeezenet_predicts_on_validation_images_what_pytorch_predicts() {
    let Some(assets) = assets("imagenet_val") else {
        return;
    };
    let folder = assets.join("imagenet_val");
    let table = folder.join("labels.csv");
    let source = ImageFolder::open_table(&table, &folder.join("images227"), "validation", 1000);
    // These pictures are resized already, and the reference read all of their 227 pixels.
    let preprocessing = Preprocessing {
        resize: None,
        crop: None,
        ..presets::squeezenet()
    };
    let set = load(&source.unwrap(), &preprocessing);
    let network = open(&assets.join("squeezenet/squeezenet1_1.safetensors"));
    let predicted = predictions(&network, &set);
    let reference = column(&table, "squeezenet1_1_top1");
    assert_same(
        "squeezenet 1.1, validation",
        &predicted,
        &reference,
        &set.labels,
        set.len() / 50,
    );
}

#[test]
fn mobilevit_predicts_on_fashion_mnist_what_pytorch_predicts() {
    let Some(assets) = assets("mobilevit_fashion") else {
        return;
    };
    let given = std::env::var_os("FASHION_MNIST").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| PathBuf::from("/usr/share/datasets/fashion-mnist"));
    if !folder.join("t10k-images-idx3-ubyte.gz").is_file() {
        return eprintln!(
            "skipped: no Fashion-MNIST in {}; install dataset-fashion-mnist or set FASHION_MNIST",
            folder.display()
        );
    }
    let grey = data::mnist::load_test(&folder).unwrap();
    let grey = grey.subset(&(0..2_000).collect::<Vec<_>>()).unwrap();
    let set = presets::mobilevit_fashion().apply_to(&grey).unwrap();
    let network = open(&assets.join("mobilevit_fashion/model.safetensors"));
    let predicted = predictions(&network, &set);
    let text =
        std::fs::read_to_string(assets.join("mobilevit_fashion/test_predictions.csv")).unwrap();
    let reference: Vec<usize> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(reference.len(), 10_000);
    assert_same(
        "mobilevit-xxs, fashion",
        &predicted,
        &reference[..2_000],
        &set.labels,
        2,
    );
}

#[test]
fn distilbert_predicts_on_sst2_what_pytorch_predicts() {
    let Some(assets) = assets("distilbert_minilm_sst2") else {
        return;
    };
    let folder = assets.join("distilbert_minilm_sst2");
    let tokenizer = Tokenizer::load(&folder).unwrap();
    let sentences = glue::load(&assets.join("glue"), Task::Sst2, Split::Validation).unwrap();
    let set = sentences.encode(&tokenizer).unwrap();
    let network = open(&folder.join("model.safetensors"));
    let predicted = predictions(&network, &set);
    let table = folder.join("sst2_dev_predictions.csv");
    let labels = column(&table, "label");
    assert_eq!(labels, set.labels);
    let reference: Vec<usize> = column(&table, "correct")
        .iter()
        .zip(&labels)
        .map(|(&correct, &label)| if correct == 1 { label } else { 1 - label })
        .collect();
    assert_same("distilbert, sst-2", &predicted, &reference, &labels, 2);
    assert_eq!(set.len() - right(&predicted, &labels), 102);
}

#[test]
fn attacks_turn_right_predictions_wrong_within_their_ball() {
    let Some(assets) = assets("imagenet_sample") else {
        return;
    };
    let sample = assets.join("imagenet_sample");
    let table = sample.join("labels.csv");
    let source = ImageFolder::open_table(&table, &sample.join("short256"), "sample", 1000).unwrap();
    let preprocessing = presets::squeezenet();
    let some: Vec<usize> = (0..1000).step_by(40).collect();
    let clean = data::image::load(&source, &some, &preprocessing, Stage::Inputs, &mut |_| {});
    let clean = clean.unwrap();
    let network = open(&assets.join("squeezenet/squeezenet1_1.safetensors"));
    let mut attacked = Attacked::new(&network, &clean.shape);
    let pixels = preprocessing.bounds();
    let epsilon = 2.0 / 255.0;
    let attack = Pgd {
        norm: Norm::Linf,
        epsilon,
        step: epsilon / 2.0,
        steps: 5,
        seed: Some(1),
    };
    let before = right(&predictions(&network, &clean), &clean.labels);
    for (name, adversarial) in [
        (
            "fgsm",
            fgsm(&mut attacked, &clean, epsilon, &pixels).unwrap(),
        ),
        ("pgd", pgd(&mut attacked, &clean, attack, &pixels).unwrap()),
    ] {
        let after = right(&predictions(&network, &adversarial), &adversarial.labels);
        eprintln!(
            "squeezenet 1.1, {name}, 2/255: {before} of {} right, then {after}",
            clean.len()
        );
        assert!(
            2 * after < before,
            "{name}: {before} right before, {after} after"
        );
        let [_, height, width] = preprocessing.shape().unwrap();
        for (i, (x, y)) in clean.inputs.iter().zip(&adversarial.inputs).enumerate() {
            let channel = i / (height * width) % 3;
            let range = pixels.upper[channel] - pixels.lower[channel];
            assert!(
                (x - y).abs() <= epsilon * range * 1.001,
                "{name}: pixel {i}"
            );
        }
    }
}

#[test]
fn word_substitutions_that_follow_the_gradient_cost_more_than_random_drops() {
    let Some(assets) = assets("distilbert_minilm_sst2") else {
        return;
    };
    let folder = assets.join("distilbert_minilm_sst2");
    let tokenizer = Tokenizer::load(&folder).unwrap();
    let network = open(&folder.join("model.safetensors"));
    let sentences = glue::load(&assets.join("glue"), Task::Sst2, Split::Validation).unwrap();
    let some: Vec<usize> = (0..872).step_by(20).collect();
    let clean = sentences.subset(&some).unwrap();
    let layer = &network.layers()[0];
    let embeddings: Vec<f32> = network
        .tensor(&layer.weight)
        .unwrap()
        .iter()
        .map(|&x| x as f32)
        .collect();
    let mut attacked = Attacked::new(&network, network.graph().input_shape());
    let mut guide = Guide::new(
        "minilm",
        &tokenizer,
        &embeddings,
        layer.outputs,
        &mut attacked,
    )
    .unwrap();
    let severity = Severity::try_from(3).unwrap();
    let lost = |corruption: TextCorruption, guide: Option<&mut Guide<'_>>| {
        let corrupted = corruption
            .corrupt(&clean, severity, 7, guide)
            .unwrap()
            .changed;
        let set = corrupted.encode(&tokenizer).unwrap();
        let after = right(&predictions(&network, &set), &set.labels) as f64 / set.len() as f64;
        eprintln!(
            "{}: {:.1} % of {} right",
            corruption.name(),
            100.0 * after,
            set.len()
        );
        after
    };
    let substituted = lost(TextCorruption::Substitution, Some(&mut guide));
    let dropped = lost(TextCorruption::Drop, None);
    assert!(substituted < dropped, "{substituted} {dropped}");
}
