//! Damaged and malicious safetensors files are refused with an error that names the place and the defect.

use std::collections::BTreeSet;

use network::{DeviceChoice, Model, Network, Precision};
use workspace_tests::{hostile, stems, with_causes};

/// Loads a file of the folder as a network, or says why not.
fn load(name: &str) -> Result<Network, String> {
    let path = hostile("safetensors").join(format!("{name}.safetensors"));
    let device = DeviceChoice::Flex.open().unwrap();
    let checkpoint = Model::open(&path).map_err(|error| with_causes(&error))?;
    Network::load(&checkpoint, &device, Precision::F64).map_err(|error| with_causes(&error))
}

/// Files that are refused as a whole, with the defect.
const MALFORMED: [(&str, &str); 19] = [
    ("empty", "it is empty"),
    ("seven-bytes", "header too small"),
    ("header-beyond-file", "invalid header length"),
    ("header-huge", "header too large"),
    ("header-gigabyte", "header too large"),
    ("text", "header too large"),
    ("header-no-json", "key must be a string"),
    ("header-no-object", "invalid type"),
    ("header-nested", "recursion limit"),
    ("dtype-unknown", "unknown variant `F31`"),
    ("offsets-overlap", "invalid offset for tensor `2.weight`"),
    ("offsets-equal", "invalid offset for tensor"),
    ("offsets-reversed", "0.bias"),
    ("offsets-beyond", "offset for tensor"),
    ("shape-overflow", "overflow"),
    ("key-twice", "invalid offset for tensor `0.weight`"),
    ("data-cut", "file not fully covered"),
    ("data-absent", "file not fully covered"),
    ("data-trailing", "file not fully covered"),
];

/// Files with a bad tensor, which is named with what is wrong with it.
const TENSORS: [(&str, &str); 3] = [
    (
        "nan",
        "tensor `2.weight` holds NaN at position 1, expected finite numbers",
    ),
    (
        "infinity",
        "tensor `0.bias` holds inf at position 1, expected finite numbers",
    ),
    (
        "integers",
        "tensor `0.weight` has dtype I64, expected one of F16, BF16, F32, F64",
    ),
];

/// Files whose tensors make no perceptron.
const ARCHITECTURES: [(&str, &str); 12] = [
    ("no-tensors", "there is none of the tensors"),
    (
        "activation-missing",
        "does not say the activation between its layers; name it (--activation relu)",
    ),
    ("layers-unknown", "no step uses the tensor `0.weight`"),
    ("weight-of-rank-three", "tensor `0.weight` is no matrix"),
    ("weight-of-rank-zero", "tensor `0.weight` is no matrix"),
    ("no-inputs", "tensor `0.weight` of shape [2, 0] is empty"),
    ("no-classes", "tensor `2.weight` of shape [0, 2] is empty"),
    (
        "widths",
        "tensor `2.weight` reads 3 features, the layer before it gives 2",
    ),
    (
        "bias-length",
        "tensor `2.bias`: expected shape [2], got [3]",
    ),
    ("tensor-unused", "unused tensor `2.scale`"),
    (
        "activation-unknown",
        "no activation named `swoosh`; known: relu",
    ),
    (
        "output-unknown",
        "no output function named `sofmax`; known: softmax",
    ),
];

#[test]
fn the_readable_file_loads() {
    let network = load("readable").unwrap();
    assert_eq!((network.layers().len(), network.classes()), (2, 2));
}

#[test]
fn files_that_are_no_safetensors_are_refused_by_name() {
    for (name, defect) in MALFORMED {
        let refusal = load(name).expect_err(name);
        assert!(refusal.contains(defect), "{name}: {refusal}");
        assert!(
            refusal.contains(&format!("{name}.safetensors")),
            "{name}: {refusal}"
        );
    }
}

#[test]
fn bad_tensors_are_refused_with_what_they_hold() {
    for (name, defect) in TENSORS {
        let refusal = load(name).expect_err(name);
        assert!(refusal.contains(defect), "{name}: {refusal}");
    }
}

#[test]
fn tensors_that_make_no_network_are_refused_with_what_is_wrong() {
    for (name, defect) in ARCHITECTURES {
        let refusal = load(name).expect_err(name);
        assert!(refusal.contains(defect), "{name}: {refusal}");
    }
}

#[test]
fn a_missing_bias_is_an_assumption() {
    let path = hostile("safetensors").join("bias-missing.safetensors");
    let model = Model::open(&path).unwrap();
    let notes: Vec<String> = model.notes().iter().map(ToString::to_string).collect();
    let said = "assumed: layers without a bias in the file have none: `2`";
    assert!(notes.iter().any(|note| note == said), "{notes:?}");
}

#[test]
fn a_missing_file_is_named() {
    let refusal = load("absent").unwrap_err();
    assert!(
        refusal.contains("cannot read") && refusal.contains("absent.safetensors"),
        "{refusal}"
    );
}

#[test]
fn every_hostile_file_is_tried() {
    let tried: BTreeSet<String> = [MALFORMED.as_slice(), &TENSORS, &ARCHITECTURES]
        .concat()
        .into_iter()
        .map(|(name, _)| name.to_owned())
        .chain(["readable".to_owned(), "bias-missing".to_owned()])
        .collect();
    assert_eq!(stems(&hostile("safetensors"), "safetensors"), tried);
}
