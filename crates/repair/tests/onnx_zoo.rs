//! The networks of the zoo, evaluated from their files, against what onnxruntime gave for them.

use std::io;
use std::path::{Path, PathBuf};

use network::{AnswerRule, DeviceChoice, Model, Network, OpenOptions, Precision};
use repair::{Evaluator, OnnxEvaluator, RepairError};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

fn zoo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/zoo")
}

/// The entries of the list of networks, those that are to be accepted or the others.
fn entries(accepted: bool) -> Vec<Value> {
    let text = std::fs::read_to_string(zoo().join("zoo.json")).expect("the list of the zoo");
    let Value::Array(entries) = serde_json::from_str(&text).expect("a list") else {
        panic!("no list");
    };
    let entries: Vec<Value> = entries
        .into_iter()
        .filter(|entry| entry["accepted"] == accepted)
        .collect();
    assert!(!entries.is_empty());
    entries
}

fn name(entry: &Value) -> &str {
    entry["name"].as_str().expect("a name")
}

fn open(name: &str) -> Result<OnnxEvaluator, RepairError> {
    let folder = zoo();
    let bytes = std::fs::read(folder.join(format!("{name}.onnx"))).expect("a network");
    let beside = |file: &str| -> io::Result<Vec<u8>> { std::fs::read(folder.join(file)) };
    OnnxEvaluator::new(&bytes, &beside, name)
}

/// A stored tensor of f32: its extents and numbers.
fn tensor(stored: &SafeTensors<'_>, name: &str) -> (Vec<usize>, Vec<f32>) {
    let view = stored.tensor(name).expect("a reference");
    assert_eq!(view.dtype(), Dtype::F32, "{name}");
    let (chunks, rest) = view.data().as_chunks::<4>();
    assert!(rest.is_empty());
    let numbers = chunks.iter().map(|&bytes| f32::from_le_bytes(bytes));
    (view.shape().to_vec(), numbers.collect())
}

/// How far the outputs of a network are from the references, relative to those above one.
fn distance(entry: &Value, stored: &SafeTensors<'_>) -> Result<f64, RepairError> {
    let name = name(entry);
    let (shape, inputs) = tensor(stored, &format!("{name}.input"));
    let (_, references) = tensor(stored, &format!("{name}.output"));
    let outputs = open(name)?.outputs_of_all(&inputs, &shape[1..])?;
    assert_eq!(outputs.len(), shape[0], "{name}");
    let outputs = outputs.concat();
    assert_eq!(outputs.len(), references.len(), "{name}");
    let apart = outputs.iter().zip(&references).map(|(output, &reference)| {
        let reference = f64::from(reference);
        (output - reference).abs() / reference.abs().max(1.0)
    });
    // `max` would pass over NaN.
    Ok(apart.fold(0.0, |most, d| if d <= most { most } else { d }))
}

/// The references are computed in f32 (f16 where the tolerance is larger) and rounded after every
/// operator; the outputs are not.
#[test]
fn every_network_gives_the_outputs_of_onnxruntime() {
    let bytes = std::fs::read(zoo().join("references.safetensors")).expect("the references");
    let stored = SafeTensors::deserialize(&bytes).expect("the references");
    let mut complaints = Vec::new();
    let entries = entries(true);
    for entry in &entries {
        let tolerance = entry["tolerance"].as_f64().expect("a tolerance");
        match distance(entry, &stored) {
            Ok(distance) if distance <= tolerance => {}
            Ok(distance) => complaints.push(format!("{}: {distance:e}", name(entry))),
            Err(error) => complaints.push(error.to_string()),
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(entries.len() >= 60, "{}", entries.len());
}

#[test]
fn an_example_of_another_size_is_refused() {
    for entry in entries(true) {
        let evaluator = open(name(&entry)).expect("accepted");
        let error = evaluator.inputs_of(&[4099], &[0.0; 4099]).unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with(&format!("`{}`: ", name(&entry))) && error.contains("[4099]"),
            "{error}"
        );
    }
}

/// Files whose fault is in what they say of themselves, which shows before anything is evaluated.
const REFUSED_ON_READING: [&str; 28] = [
    "refused_operator_of_a_custom_domain",
    "refused_operator_unknown",
    "refused_local_function",
    "refused_no_output",
    "refused_output_of_no_node",
    "refused_missing_initializer",
    "refused_duplicate_initializer",
    "refused_dims_beyond_bytes",
    "refused_bytes_beyond_dims",
    "refused_negative_dims",
    "refused_dims_overflow",
    "refused_no_data",
    "refused_complex_weight",
    "refused_raw_and_typed_data",
    "refused_float_data_short",
    "refused_sparse_initializer",
    "refused_external_parent_folder",
    "refused_external_hidden_parent",
    "refused_external_absolute_path",
    "refused_external_missing_file",
    "refused_external_beyond_the_end",
    "refused_cycle",
    "refused_duplicate_output",
    "refused_output_shadows_input",
    "refused_too_few_inputs",
    "refused_unknown_attribute",
    "refused_opset_twice",
    "refused_truncated",
];

#[test]
fn hostile_files_are_refused_on_reading() {
    for name in REFUSED_ON_READING {
        let error = open(name).err().expect(name).to_string();
        assert!(error.starts_with(&format!("`{name}`: ")), "{error}");
    }
}

/// Networks that a repair cannot use may well be evaluated; what counts is that none panics.
#[test]
fn networks_that_are_not_accepted_end_in_outputs_or_an_error() {
    // Those that fill memory up to the bound take seconds.
    let large = [
        "refused_concat_doubles_forty_times",
        "refused_identity_chain_of_a_large_constant",
    ];
    let shapes: [&[usize]; 6] = [&[6], &[5], &[2, 3], &[2, 5, 5], &[3, 4, 4], &[2, 3, 4, 4]];
    for entry in entries(false) {
        let Ok(evaluator) = open(name(&entry)) else {
            continue;
        };
        for shape in shapes.iter().filter(|_| !large.contains(&name(&entry))) {
            let example = vec![0.5; shape.iter().product()];
            let outputs = || evaluator.outputs(&evaluator.inputs_of(shape, &example)?);
            if let Err(error) = outputs() {
                assert!(matches!(error, RepairError::Onnx { .. }), "{error}");
            }
        }
    }
}

/// How far the scores of a model's graph are from those of the references: by plain arithmetic, and by the
/// network on a device.
fn graph_distance(entry: &Value, stored: &SafeTensors<'_>) -> Result<[f64; 2], RepairError> {
    let name = name(entry);
    let (shape, inputs) = tensor(stored, &format!("{name}.input"));
    let (output_shape, references) = tensor(stored, &format!("{name}.output"));
    let outputs = output_shape[1..].iter().product::<usize>();
    let options = OpenOptions {
        answer: (outputs == 1).then_some(AnswerRule::Above(0.0)),
        // Of a network of text, whose inputs have two planes; others do not ask for it.
        tokens: shape.last().copied(),
        ..OpenOptions::default()
    };
    let model = Model::open_with(&zoo().join(format!("{name}.onnx")), &options)?;
    let expected: Vec<f64> = references
        .chunks(outputs)
        .map(|y| y.iter().map(|&y| f64::from(y)).collect::<Vec<_>>())
        .flat_map(|y| model.answer().scores(&y))
        .collect();
    let device = DeviceChoice::Flex.open()?;
    let network = Network::load(&model, &device, Precision::F64)?;
    let example: usize = shape[1..].iter().product();
    let evaluator = Evaluator::new(&model)?;
    let evaluator = evaluator.with_input_shape(model.graph().input_shape());
    let plain = evaluator.outputs_of_all(&inputs, example)?.concat();
    let x = network.batch(&inputs)?;
    let computed = network.forward(x)?.to_vec()?;
    Ok([plain, computed].map(|got| {
        assert_eq!(got.len(), expected.len(), "{name}");
        let apart = got.iter().zip(&expected);
        let apart = apart.map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
        apart.fold(0.0, f64::max)
    }))
}

#[test]
fn graphs_of_the_zoo_compute_what_onnxruntime_gave_twice() {
    let bytes = std::fs::read(zoo().join("references.safetensors")).expect("references");
    let stored = SafeTensors::deserialize(&bytes).expect("references");
    let mut complaints = Vec::new();
    let mut compared = 0;
    for entry in entries(true) {
        let tolerance = entry["tolerance"].as_f64().expect("a tolerance");
        match graph_distance(&entry, &stored) {
            Ok(apart) if apart.iter().all(|apart| *apart <= 2.0 * tolerance) => compared += 1,
            Ok(apart) => complaints.push(format!("{}: {apart:?}", name(&entry))),
            // What the list allows to be refused.
            Err(_) if !entry["may_refuse"].is_null() => {}
            Err(error) => complaints.push(format!("{}: {error}", name(&entry))),
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(compared >= 300, "{compared}");
}
