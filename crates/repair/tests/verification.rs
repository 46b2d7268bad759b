//! The evaluator that decides repairs, against outputs that PyTorch stored, against `network` and
//! on inputs that it must refuse.

mod common;

use std::path::PathBuf;

use common::{Fixture, assets, numbers, small_squeezenet};
use network::{
    Activation, AnswerRule, Checkpoint, DeviceChoice, Model, Network, OpenOptions, Precision, mlp,
    parity,
};
use repair::{Evaluator, Inequality, RepairError, RepairSet, verify};

/// Inputs of a reference and one input's shape: images, vectors, or token sequences with masks.
fn inputs(reference: &Checkpoint, name: &str) -> (Vec<f32>, Vec<usize>) {
    if reference.shape("input_ids").is_err() {
        let shape = reference.shape(name).unwrap()[1..].to_vec();
        return (reference.tensor_f32(name).unwrap(), shape);
    }
    let length = reference.shape("input_ids").unwrap()[1];
    let words = reference.integers("input_ids").unwrap();
    let mask = reference.integers("attention_mask").unwrap();
    let planes = words.chunks(length).zip(mask.chunks(length));
    let planes = planes.flat_map(|(words, mask)| words.iter().chain(mask).map(|&n| n as f32));
    (planes.collect(), vec![2, length])
}

/// The largest difference between two lists of outputs, as a share of the largest expected one.
fn relative(outputs: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(outputs.len(), expected.len());
    let scale = expected.iter().fold(0.0f64, |scale, y| scale.max(y.abs()));
    let pairs = outputs.iter().zip(expected);
    pairs.fold(0.0f64, |largest, (a, b)| {
        let difference = (a - b).abs() / scale;
        if difference > largest || difference.is_nan() {
            difference
        } else {
            largest
        }
    })
}

fn evaluate(checkpoint: &Model, inputs: &[f32], shape: &[usize]) -> Vec<f64> {
    let evaluator = Evaluator::new(checkpoint).unwrap().with_input_shape(shape);
    let example = shape.iter().product();
    evaluator.outputs_of_all(inputs, example).unwrap().concat()
}

/// What `network` computes in f64.
fn forward(checkpoint: &Model, inputs: &[f32], shape: &[usize]) -> Vec<f64> {
    let device = DeviceChoice::Flex.open().unwrap();
    let network = Network::load(checkpoint, &device, Precision::F64).unwrap();
    let x = network.batch_of(inputs, shape).unwrap();
    network.forward(x).unwrap().to_vec().unwrap()
}

#[test]
fn outputs_equal_those_that_pytorch_stored() {
    let Some(assets) = assets() else {
        return;
    };
    for case in parity::CASES {
        let checkpoint = Model::open(&assets.join(case.checkpoint)).unwrap();
        let reference = Checkpoint::read(&assets.join(case.reference)).unwrap();
        let (inputs, shape) = inputs(&reference, "input");
        let outputs = evaluate(&checkpoint, &inputs, &shape);
        // Sums of some thousand products in two orders, over some ten to fifty layers, in the
        // precision of the reference: one case has its logits in f32 only.
        let (stored, tolerance) = match reference.shape("logits_f64") {
            Ok(_) => ("logits_f64", 1e-12),
            Err(_) => ("logits", 1e-5),
        };
        let difference = relative(&outputs, &reference.tensor(stored).unwrap());
        eprintln!("{:30} {difference:e}", case.name);
        assert!(difference <= tolerance, "{}: {difference:e}", case.name);
    }
}

#[test]
fn images_that_are_not_square_equal_what_pytorch_stored() {
    let Some(assets) = assets() else {
        return;
    };
    let reference = assets.join("random_refs/mobilevit_xxs.random.ref.safetensors");
    let reference = Checkpoint::read(&reference).unwrap();
    let (inputs, shape) = inputs(&reference, "input_nonsquare");
    for name in ["timm_mobilevit_xxs", "hf_mobilevit_xx_small"] {
        let path = assets.join(format!("random_refs/{name}.random.safetensors"));
        let outputs = evaluate(&Model::open(&path).unwrap(), &inputs, &shape);
        // The reference is in f32.
        let difference = relative(&outputs, &reference.tensor("logits_nonsquare").unwrap());
        eprintln!("{name:30} {difference:e}");
        assert!(difference <= 1e-5, "{name}: {difference:e}");
    }
}

#[test]
fn images_of_any_extents_equal_network() {
    let Some(assets) = assets() else {
        return;
    };
    for (name, shapes) in [
        ("torchvision_squeezenet1_0", [[3, 41, 66], [3, 35, 35]]),
        ("torchvision_squeezenet1_1", [[3, 50, 37], [3, 33, 64]]),
        // Feature maps with odd extents, which are resized to whole patches.
        ("timm_mobilevit_xxs", [[3, 72, 40], [3, 33, 50]]),
        ("hf_mobilevit_xx_small", [[3, 72, 40], [3, 64, 96]]),
    ] {
        let folder = assets.join("random_refs");
        let files = [".random10.safetensors", ".random.safetensors"];
        let path = files.map(|end| folder.join(format!("{name}{end}")));
        let path = path.iter().find(|path| path.exists()).unwrap();
        let checkpoint = Model::open(path).unwrap();
        for shape in shapes {
            let inputs = numbers(2 * shape.iter().product::<usize>(), 0);
            let outputs = evaluate(&checkpoint, &inputs, &shape);
            let difference = relative(&outputs, &forward(&checkpoint, &inputs, &shape));
            eprintln!("{name:30} {shape:?} {difference:e}");
            assert!(difference <= 1e-11, "{name} {shape:?}: {difference:e}");
        }
    }
}

#[test]
fn sentences_of_any_length_equal_network() {
    let Some(assets) = assets() else {
        return;
    };
    let checkpoint = assets.join("random_refs/hf_distilbert_small.random.safetensors");
    let checkpoint = Model::open(&checkpoint).unwrap();
    for length in [1, 2, 7, 64] {
        let words = (0..length).map(|i| (i * 37 % 1000) as f32);
        // The last third is padding.
        let mask = (0..length).map(|i| if i <= 2 * length / 3 { 1.0 } else { 0.0 });
        let planes: Vec<f32> = words.chain(mask).collect();
        let outputs = evaluate(&checkpoint, &planes, &[2, length]);
        let difference = relative(&outputs, &forward(&checkpoint, &planes, &[2, length]));
        assert!(difference <= 1e-11, "{length}: {difference:e}");
    }
}

#[test]
fn a_masked_token_changes_nothing() {
    let Some(assets) = assets() else {
        return;
    };
    let checkpoint = assets.join("random_refs/hf_distilbert_small.random.safetensors");
    let checkpoint = Model::open(&checkpoint).unwrap();
    let alone = evaluate(&checkpoint, &[101.0, 7.0, 102.0, 1.0, 1.0, 1.0], &[2, 3]);
    let padded = |word| {
        let planes = [101.0, 7.0, 102.0, word, 1.0, 1.0, 1.0, 0.0];
        evaluate(&checkpoint, &planes, &[2, 4])
    };
    assert!(relative(&padded(0.0), &alone) <= 1e-13);
    assert_eq!(padded(5.0), padded(0.0));
    let seen = [101.0, 7.0, 102.0, 5.0, 1.0, 1.0, 1.0, 1.0];
    assert!(relative(&evaluate(&checkpoint, &seen, &[2, 4]), &alone) > 1e-3);
}

#[test]
fn perceptrons_with_every_activation_equal_network() {
    for activation in Activation::NAMED {
        let checkpoint = mlp::random(&[5, 9, 7, 3], activation, 3).unwrap();
        let inputs: Vec<f32> = numbers(40, 0).iter().map(|x| 3.0 * x).collect();
        let outputs = evaluate(&checkpoint, &inputs, &[5]);
        let difference = relative(&outputs, &forward(&checkpoint, &inputs, &[5]));
        assert!(difference <= 1e-14, "{activation:?}: {difference:e}");
    }
}

#[test]
fn networks_that_read_and_write_units_equal_what_was_stored() {
    let Some(assets) = assets() else {
        return;
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(assets.join("mlp/acasxu"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    // The files do not say that they have ReLU (Katz et al. 2017).
    let options = OpenOptions {
        activation: Some(Activation::Relu),
        ..OpenOptions::default()
    };
    for path in files.iter().step_by(9) {
        let checkpoint = Model::open_with(path, &options).unwrap();
        // What is stored are the outputs, not the scores, whose signs are the opposite.
        let checkpoint = checkpoint.with_answer(AnswerRule::Largest).unwrap();
        let evaluator = Evaluator::new(&checkpoint).unwrap();
        let mean = checkpoint.tensor("output_mean").unwrap()[0];
        let range = checkpoint.tensor("output_range").unwrap()[0];
        // The stored outputs are those of the last linear layer.
        let stored = checkpoint.tensor("ref.output").unwrap();
        let expected: Vec<f64> = stored.iter().map(|y| y * range + mean).collect();
        let raw = checkpoint.tensor("ref.input_raw").unwrap();
        let outputs: Vec<f64> = raw
            .chunks(5)
            .flat_map(|input| evaluator.outputs(input).unwrap())
            .collect();
        let difference = relative(&outputs, &expected);
        assert!(difference <= 1e-12, "{}: {difference:e}", path.display());
    }
}

#[test]
fn a_small_random_squeezenet_equals_network_on_odd_images() {
    let checkpoint = small_squeezenet();
    for shape in [[3, 32, 32], [3, 37, 50], [3, 61, 33]] {
        let inputs = numbers(3 * shape.iter().product::<usize>(), 0);
        let outputs = evaluate(&checkpoint, &inputs, &shape);
        assert!(outputs.iter().any(|&y| y > 0.0), "every class is off");
        let difference = relative(&outputs, &forward(&checkpoint, &inputs, &shape));
        assert!(difference <= 1e-13, "{shape:?}: {difference:e}");
    }
}

#[test]
fn every_input_has_the_outputs_that_it_has_alone() {
    let checkpoint = small_squeezenet();
    let shape = [3, 32, 32];
    let evaluator = Evaluator::new(&checkpoint)
        .unwrap()
        .with_input_shape(&shape);
    let inputs = numbers(17 * 3072, 0);
    let together = evaluator.outputs_of_all(&inputs, 3072).unwrap();
    assert_eq!(together.len(), 17);
    for (input, outputs) in inputs.chunks(3072).zip(&together) {
        let input: Vec<f64> = input.iter().map(|&x| f64::from(x)).collect();
        assert_eq!(&evaluator.outputs(&input).unwrap(), outputs);
    }
}

#[test]
fn nan_in_one_pixel_reaches_the_outputs() {
    let checkpoint = small_squeezenet();
    let mut image = numbers(3072, 0);
    image[1500] = f32::NAN;
    let outputs = evaluate(&checkpoint, &image, &[3, 32, 32]);
    assert!(outputs.iter().all(|y| y.is_nan()), "{outputs:?}");
    // Verification counts it as the worst there is.
    let wins = vec![Inequality {
        terms: vec![(0, 1.0), (1, -1.0)],
        bound: -1e30,
    }];
    let set = RepairSet::linear(image, &[3, 32, 32], vec![wins]);
    let verification = verify(&checkpoint, &set).unwrap();
    assert_eq!(verification.least_slack(), f64::NEG_INFINITY);
    assert_eq!(verification.efficacy(&set), 0.0);
}

#[test]
fn slacks_are_those_of_the_saved_weights() {
    let fixture = Fixture::random(&[3, 8, 4], Activation::Relu, 5);
    let set = fixture.random_labels(6, 0.25, 1);
    let verification = verify(&fixture.checkpoint, &set).unwrap();
    assert_eq!(verification.outputs.len(), 6 * 4);
    for (point, slack) in verification.slacks.iter().enumerate() {
        let y = common::forward(&fixture.checkpoint, &set.inputs[3 * point..3 * point + 3]);
        let label = set.labels.as_ref().unwrap()[point];
        let rival = (0..4).filter(|&c| c != label).map(|c| y[c]);
        let margin = y[label] - rival.fold(f64::NEG_INFINITY, f64::max);
        assert!((slack - (margin - 0.25)).abs() < 1e-14, "{point}");
    }
}

#[test]
fn a_configuration_beside_the_weights_is_kept() {
    let Some(assets) = assets() else {
        return;
    };
    let checkpoint = assets.join("random_refs/hf_distilbert_small.random.safetensors");
    let checkpoint = Model::open(&checkpoint).unwrap();
    let planes = vec![101.0, 7.0, 102.0, 1.0, 1.0, 1.0];
    let any = vec![Inequality {
        terms: vec![(0, 1.0)],
        bound: 0.0,
    }];
    let set = RepairSet::linear(planes.clone(), &[2, 3], vec![any]);
    let verification = verify(&checkpoint, &set).unwrap();
    assert_eq!(
        verification.outputs,
        evaluate(&checkpoint, &planes, &[2, 3])
    );
}

#[test]
fn sets_that_do_not_fit_are_refused() {
    let checkpoint = mlp::random(&[3, 4, 2], Activation::Relu, 0).unwrap();
    let reads = |output| {
        vec![Inequality {
            terms: vec![(output, 1.0)],
            bound: 0.0,
        }]
    };
    for (set, what, expected, got) in [
        (
            RepairSet::linear(vec![0.0; 5], &[3], vec![reads(0), reads(1)]),
            "numbers in all repair inputs",
            6,
            5,
        ),
        (
            RepairSet::linear(vec![0.0; 3], &[3], vec![reads(2)]),
            "outputs",
            3,
            2,
        ),
    ] {
        match verify(&checkpoint, &set).unwrap_err() {
            RepairError::Shape {
                what: w,
                expected: e,
                got: g,
            } => assert_eq!((w, e, g), (what, expected, got)),
            other => panic!("{other}"),
        }
    }
    let wide = RepairSet::linear(vec![0.0; 4], &[4], vec![reads(0)]);
    let error = verify(&checkpoint, &wide).unwrap_err().to_string();
    assert!(error.contains("expected shape [.., 3], got [4]"), "{error}");
    let evaluator = Evaluator::new(&checkpoint).unwrap();
    assert!(evaluator.outputs_of_all(&[0.0; 5], 3).is_err());
    assert!(evaluator.with_input_shape(&[0]).outputs(&[]).is_err());
}

#[test]
fn shapes_that_a_network_cannot_read_are_refused_at_their_node() {
    let checkpoint = small_squeezenet();
    for (shape, said) in [
        (vec![3, 2, 9], "features.0: expected shape [3, h, w]"),
        (vec![1, 32, 32], "features.0: expected shape [3, h, w]"),
        (vec![3, 8, 8], "features.5"),
        (vec![3072], "features.0: expected shape [channels, h, w]"),
    ] {
        let evaluator = Evaluator::new(&checkpoint)
            .unwrap()
            .with_input_shape(&shape);
        let input = vec![0.5; shape.iter().product()];
        let error = evaluator.outputs(&input).unwrap_err().to_string();
        assert!(error.contains(said), "{shape:?}: {error}");
    }
}
