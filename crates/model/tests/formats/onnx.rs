//! ONNX models as files: names that decide nothing, tensors that contradict themselves, data beside the
//! model, and what is written.

use std::collections::BTreeMap;
use std::path::Path;

use model::onnx::proto::{ModelProto, NodeProto, StringStringEntryProto, TensorProto};
use model::{
    Activation, Checkpoint, Dtype, Format, LayerKind, Model, ModelError, Op, OpenOptions, Output,
};
use prost::Message;

use crate::{assert_refused, reference};

/// SqueezeNet 1.1's convolutions in torchvision's names and in topological order.
fn convolutions() -> Vec<String> {
    let fires = [3, 4, 6, 7, 9, 10, 11, 12].map(|index| {
        ["squeeze", "expand1x1", "expand3x3"].map(|part| format!("features.{index}.{part}"))
    });
    let mut names = fires.concat();
    names.insert(0, "features.0".to_owned());
    names.push("classifier.1".to_owned());
    names
}

/// The narrow SqueezeNet 1.1 in the model zoo's form.
fn zoo() -> ModelProto {
    let bytes = std::fs::read(reference("squeezenet_narrow.onnx")).unwrap();
    ModelProto::decode(bytes.as_slice()).unwrap()
}

fn write(model: &ModelProto, path: &Path) {
    std::fs::write(path, model.encode_to_vec()).unwrap();
}

/// Reads a model through a file `m.onnx`.
fn read(model: &ModelProto) -> Result<Model, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    write(model, &path);
    Model::open(&path)
}

fn refused(model: &ModelProto, words: &[&str]) {
    assert_refused(read(model).map(|model| model.checkpoint().clone()), words);
}

fn node<'a>(model: &'a mut ModelProto, name: &str) -> &'a mut NodeProto {
    let mut nodes = model.graph.as_mut().unwrap().node.iter_mut();
    nodes.find(|node| node.name == name).unwrap()
}

fn initializer<'a>(model: &'a mut ModelProto, name: &str) -> &'a mut TensorProto {
    let mut tensors = model.graph.as_mut().unwrap().initializer.iter_mut();
    tensors.find(|tensor| tensor.name == name).unwrap()
}

/// Says where the external data of a tensor are.
fn lie_in(tensor: &mut TensorProto, entries: &[(&str, &str)]) {
    tensor.data_location = 1;
    let entries = entries.iter().map(|(key, value)| StringStringEntryProto {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    });
    tensor.external_data = entries.collect();
}

#[test]
fn a_squeezenet_of_the_model_zoo_keeps_its_names_and_is_read_by_its_graph() {
    let expected = Checkpoint::read(&reference("squeezenet_narrow.safetensors")).unwrap();
    let model = Model::open(&reference("squeezenet_narrow.onnx")).unwrap();
    assert_eq!(
        (model.architecture(), model.format()),
        ("onnx", Format::Onnx)
    );
    let layers = model.graph().layers();
    assert_eq!(layers.len(), convolutions().len());
    for (number, (layer, torch)) in layers.iter().zip(convolutions()).enumerate() {
        assert_eq!((layer.kind, &layer.fixed), (LayerKind::Conv2d, &None));
        assert_eq!(layer.weight, format!("squeezenet0_conv{number}_weight"));
        let stored = expected.raw(&format!("{torch}.weight")).unwrap();
        assert!(model.raw(&layer.weight).unwrap() == stored, "{torch}");
    }
}

#[test]
fn neither_names_nor_the_order_of_tensors_and_nodes_decide_anything() {
    let expected = read(&zoo()).unwrap();
    let mut model = zoo();
    let graph = model.graph.as_mut().unwrap();
    graph.initializer.reverse();
    graph.node.reverse();
    for tensor in &mut graph.initializer {
        tensor.name = tensor.name.replace("squeezenet0_conv", "w");
    }
    for input in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        if input.ends_with("weight") || input.ends_with("bias") {
            *input = input.replace("squeezenet0_conv", "w");
        }
    }
    graph.input.truncate(1);
    let got = read(&model).unwrap();
    let layers = got.graph().layers();
    for (layer, same) in layers.iter().zip(expected.graph().layers()) {
        assert_eq!(layer.weight, same.weight.replace("squeezenet0_conv", "w"));
        assert!(got.raw(&layer.weight).unwrap() == expected.raw(&same.weight).unwrap());
    }
}

#[test]
fn what_the_nodes_say_is_what_is_computed() {
    let mut model = zoo();
    node(&mut model, "squeezenet0_relu4_fwd").op_type = "Sigmoid".into();
    let read = read(&model).unwrap();
    let sigmoid =
        |node: &&model::Node| matches!(node.op, Op::Activation(model::Activation::Sigmoid));
    let found: Vec<_> = read.graph().nodes().iter().filter(sigmoid).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name, "squeezenet0_relu4_fwd");
}

/// A change of the model zoo's graph, and what the refusal says.
type Refusal = (fn(&mut ModelProto), &'static [&'static str]);

#[test]
fn graphs_that_contradict_themselves_are_refused_by_node() {
    let refusals: [Refusal; 6] = [
        (
            |m| node(m, "squeezenet0_conv0_fwd").op_type = "ConvTranspose".into(),
            &["squeezenet0_conv0_fwd", "ConvTranspose", "not read"],
        ),
        (
            |m| node(m, "squeezenet0_conv5_fwd").input.truncate(1),
            &["squeezenet0_conv5_fwd", "operands"],
        ),
        (
            |m| initializer(m, "squeezenet0_conv4_weight").dims.swap(0, 1),
            &["squeezenet0_conv4_fwd", "channels"],
        ),
        (
            |m| node(m, "squeezenet0_concat0").input[0] = "nowhere".into(),
            &["squeezenet0_concat0", "nowhere"],
        ),
        (
            |m| {
                let own = node(m, "squeezenet0_relu4_fwd").output[0].clone();
                node(m, "squeezenet0_relu4_fwd").input[0] = own;
            },
            &["a cycle"],
        ),
        (
            |m| m.graph.as_mut().unwrap().node.clear(),
            &["nothing makes"],
        ),
    ];
    for (change, words) in refusals {
        let mut model = zoo();
        change(&mut model);
        refused(&model, &["m.onnx"]);
        refused(&model, words);
    }
}

#[test]
fn tensors_that_do_not_hold_what_they_declare_are_refused_by_name() {
    let refusals: [Refusal; 7] = [
        (
            |m| initializer(m, "squeezenet0_conv0_weight").dims[0] += 1,
            &["m.onnx", "`squeezenet0_conv0_weight`", "bytes"],
        ),
        (
            |m| initializer(m, "squeezenet0_conv0_weight").dims[0] = -4,
            &["`squeezenet0_conv0_weight`", "shape [-4,"],
        ),
        (
            |m| initializer(m, "squeezenet0_conv0_weight").dims = vec![i64::MAX; 4],
            &["`squeezenet0_conv0_weight`", "larger than memory"],
        ),
        (
            |m| initializer(m, "squeezenet0_conv0_bias").data_type = 14,
            &["`squeezenet0_conv0_bias`", "complex64"],
        ),
        (
            |m| initializer(m, "squeezenet0_conv0_bias").raw_data.fill(0xff),
            &["`squeezenet0_conv0_bias` holds NaN"],
        ),
        (
            |m| initializer(m, "squeezenet0_conv0_bias").name = "squeezenet0_conv0_weight".into(),
            &["`squeezenet0_conv0_weight` comes twice"],
        ),
        (|m| m.graph = None, &["m.onnx", "no graph"]),
    ];
    for (change, words) in refusals {
        let mut model = zoo();
        change(&mut model);
        refused(&model, words);
    }
}

/// The model with its first weight beside it, five bytes into `m.data`, and that file's bytes.
fn beside(folder: &Path) -> (ModelProto, Vec<u8>) {
    let mut model = zoo();
    let stored = initializer(&mut model, "squeezenet0_conv0_weight");
    let mut data = vec![7; 5];
    data.append(&mut stored.raw_data);
    let length = (data.len() - 5).to_string();
    let entries = [("location", "m.data"), ("offset", "5"), ("length", &length)];
    lie_in(stored, &entries);
    std::fs::write(folder.join("m.data"), &data).unwrap();
    write(&model, &folder.join("m.onnx"));
    (model, data)
}

#[test]
fn tensors_beside_the_model_are_read_and_never_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let weight = "squeezenet0_conv0_weight";
    let expected = read(&zoo()).unwrap();
    let (mut model, data) = beside(folder.path());
    let got = Model::open(&path).unwrap();
    assert!(got.raw(weight).unwrap() == expected.raw(weight).unwrap());

    std::fs::write(folder.path().join("m.data"), &data[..20]).unwrap();
    assert_refused(Checkpoint::read(&path), &[weight, "m.data", "of 20 bytes"]);
    std::fs::remove_file(folder.path().join("m.data")).unwrap();
    assert_refused(Checkpoint::read(&path), &[weight, "m.data"]);
    for elsewhere in ["../m.data", "/etc/hostname", "a/m.data", ""] {
        lie_in(initializer(&mut model, weight), &[("location", elsewhere)]);
        write(&model, &path);
        assert_refused(
            Checkpoint::read(&path),
            &["expected a file beside the model"],
        );
    }
}

#[test]
fn an_edit_beside_the_model_leaves_the_original_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (_, data) = beside(folder.path());
    let model = Model::open(&folder.path().join("m.onnx")).unwrap();
    let weight = "squeezenet0_conv0_weight";
    let mut numbers = model.tensor(weight).unwrap();
    numbers[3] = 0.5;
    let edited = model
        .with_tensors(&BTreeMap::from([(weight.to_owned(), numbers)]))
        .unwrap();
    let path = folder.path().join("repaired.onnx");
    edited.write(&path).unwrap();
    assert!(std::fs::read(folder.path().join("m.data")).unwrap() == data);
    let again = Model::open(&path).unwrap();
    assert_eq!(again.tensor(weight).unwrap()[3], 0.5);
    assert!(again.raw(weight).unwrap() == edited.raw(weight).unwrap());
    let own = std::fs::read(folder.path().join("repaired.onnx.data")).unwrap();
    let differing = own.iter().zip(&data).filter(|(a, b)| a != b).count();
    assert!(
        own.len() == data.len() && (1..=4).contains(&differing),
        "{differing}"
    );

    // Elsewhere the file keeps its name, and an edit of another tensor leaves it as it is.
    let elsewhere = tempfile::tempdir().unwrap();
    model.write(&elsewhere.path().join("copy.onnx")).unwrap();
    assert!(std::fs::read(elsewhere.path().join("m.data")).unwrap() == data);
    let copy = std::fs::read(elsewhere.path().join("copy.onnx")).unwrap();
    assert!(copy == std::fs::read(folder.path().join("m.onnx")).unwrap());
}

/// A model whose first weight lies beside it under the name `data`, and an edit of that weight.
fn edited_beside(folder: &Path, data: &str) -> (Model, Model, Vec<u8>) {
    let (mut model, bytes) = beside(folder);
    std::fs::rename(folder.join("m.data"), folder.join(data)).unwrap();
    let name = "squeezenet0_conv0_weight";
    initializer(&mut model, name).external_data[0].value = data.to_owned();
    write(&model, &folder.join("m.onnx"));
    let read = Model::open(&folder.join("m.onnx")).unwrap();
    let zeros = vec![0.0; read.tensor(name).unwrap().len()];
    let edited = read.with_tensors(&BTreeMap::from([(name.to_owned(), zeros)]));
    (read.clone(), edited.unwrap(), bytes)
}

#[test]
fn a_file_of_tensors_is_no_output_even_under_the_output_s_own_name() {
    for replaces in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (read, edited, bytes) = edited_beside(folder.path(), "repaired.onnx.data");
        assert_eq!(read.external_files(), [at("repaired.onnx.data")]);
        let path = at("repaired.onnx");
        let output = match replaces {
            true => Output::replacing(&path),
            false => Output::fresh(&path),
        };
        edited.write_to(&output).unwrap();
        assert!(std::fs::read(at("repaired.onnx.data")).unwrap() == bytes);
        assert!(at("repaired.onnx.data.1").is_file());
        let weight = "squeezenet0_conv0_weight";
        let again = Model::open(&path).unwrap();
        assert!(again.tensor(weight).unwrap().iter().all(|&x| x == 0.0));
        let original = Model::open(&at("m.onnx")).unwrap();
        assert_eq!(
            original.tensor(weight).unwrap(),
            read.tensor(weight).unwrap()
        );
    }
}

#[test]
fn a_model_that_is_not_written_leaves_no_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let (_, edited, bytes) = edited_beside(folder.path(), "m.data");
    let path = folder.path().join("repaired.onnx");
    std::fs::write(&path, "there").unwrap();
    let before = std::fs::read_dir(folder.path()).unwrap().count();
    let error = edited.write_to(&Output::fresh(&path)).unwrap_err();
    let ModelError::Io { source, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(source.kind(), std::io::ErrorKind::AlreadyExists);
    let after = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(after, before);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "there");
    assert!(std::fs::read(folder.path().join("m.data")).unwrap() == bytes);
}

#[test]
fn halves_of_variable_length_are_written_within_their_message() {
    let mut model = zoo();
    let bias = initializer(&mut model, "squeezenet0_conv0_bias");
    let count = bias.raw_data.len() / 4;
    bias.raw_data.clear();
    bias.data_type = 10;
    bias.int32_data = vec![0; count];
    let read = read(&model).unwrap();
    let name = "squeezenet0_conv0_bias";
    assert_eq!(read.dtype(name).unwrap(), Dtype::F16);
    let mut numbers = vec![0.0; count];
    numbers[1] = -2.5;
    let edited = read
        .with_tensors(&BTreeMap::from([(name.to_owned(), numbers.clone())]))
        .unwrap();
    let bytes = edited.onnx_bytes().unwrap().unwrap().model;
    let mut written = ModelProto::decode(bytes.as_slice()).unwrap();
    assert_eq!(initializer(&mut written, name).int32_data[1], 0xc100);
    initializer(&mut written, name).int32_data[1] = 0;
    assert!(written == model);
    assert_eq!(
        edited.parsed_again().unwrap().tensor(name).unwrap(),
        numbers
    );
}

#[test]
fn a_tensor_that_is_also_a_constant_is_not_edited() {
    let mut model = zoo();
    let graph = model.graph.as_mut().unwrap();
    let own = graph.output[0].name.clone();
    graph.output[0].name = "scaled".to_owned();
    graph.node.push(NodeProto {
        op_type: "Mul".to_owned(),
        name: "again".to_owned(),
        input: vec![own, "one".to_owned()],
        output: vec!["scaled".to_owned()],
        ..NodeProto::default()
    });
    // The first bias is also what the outputs are multiplied by.
    graph.node.push(NodeProto {
        op_type: "ReduceMean".to_owned(),
        name: "mean".to_owned(),
        input: vec!["squeezenet0_conv0_bias".to_owned()],
        output: vec!["one".to_owned()],
        ..NodeProto::default()
    });
    let layers = read(&model).unwrap().graph().layers();
    let fixed = layers[0].fixed.as_deref().unwrap();
    assert!(
        fixed.contains("squeezenet0_conv0_bias") && fixed.contains("again"),
        "{fixed}"
    );
    assert!(layers[1..].iter().all(|layer| layer.fixed.is_none()));
}

#[test]
fn an_activation_that_is_given_for_a_graph_is_refused() {
    let options = OpenOptions {
        activation: Some(Activation::Relu),
        ..OpenOptions::default()
    };
    let path = reference("squeezenet_narrow.onnx");
    let refusal = Model::open_with(&path, &options).unwrap_err();
    assert!(refusal.is_a_question(), "{refusal}");
    let refusal = refusal.to_string();
    assert!(
        refusal.contains("says its own activations, relu"),
        "{refusal}"
    );
}
