//! ONNX models: a SqueezeNet with a converter's names, and graphs that kept PyTorch's.

use std::path::Path;

use model::{Checkpoint, DeviceChoice, Dtype, Network, Precision};
use onnx_ir::{Message, ModelProto, NodeProto, TensorProto};

use crate::common::assets;
use crate::{assert_refused, assert_same_tensors, reference};

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
    ModelProto::parse_from_bytes(&std::fs::read(reference("squeezenet_narrow.onnx")).unwrap())
        .unwrap()
}

fn write(model: &ModelProto, path: &Path) {
    std::fs::write(path, model.write_to_bytes().unwrap()).unwrap();
}

/// Reads a model through a file `m.onnx`.
fn read(model: &ModelProto) -> Result<Checkpoint, network::ModelError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    write(model, &path);
    Checkpoint::read(&path)
}

fn node<'a>(model: &'a mut ModelProto, name: &str) -> &'a mut NodeProto {
    let mut nodes = model.graph.as_mut().unwrap().node.iter_mut();
    nodes.find(|node| node.name == name).unwrap()
}

fn initializer<'a>(model: &'a mut ModelProto, name: &str) -> &'a mut TensorProto {
    let mut tensors = model.graph.as_mut().unwrap().initializer.iter_mut();
    tensors.find(|tensor| tensor.name == name).unwrap()
}

fn set(node: &mut NodeProto, name: &str, values: &[i64]) {
    let mut attributes = node.attribute.iter_mut();
    let attribute = attributes.find(|attribute| attribute.name == name).unwrap();
    attribute.ints = values.to_vec();
}

/// Gives all initializers of the model torchvision's names, and their readers too.
fn with_torch_names(mut model: ModelProto) -> ModelProto {
    for (number, name) in convolutions().iter().enumerate() {
        for kind in ["weight", "bias"] {
            let renamed = format!("{name}.{kind}");
            let opaque = format!("squeezenet0_conv{number}_{kind}");
            initializer(&mut model, &opaque).name = renamed.clone();
            let reader = node(&mut model, &format!("squeezenet0_conv{number}_fwd"));
            *reader
                .input
                .iter_mut()
                .find(|input| **input == opaque)
                .unwrap() = renamed;
        }
    }
    model
}

fn tensor(name: &str, data_type: i32, dims: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type,
        dims: dims.to_vec(),
        ..TensorProto::default()
    }
}

/// Says where the external data of a tensor are.
fn lie_in(tensor: &mut TensorProto, entries: &[(&str, &str)]) {
    tensor.external_data.clear();
    for (key, value) in entries {
        tensor.external_data.push(Default::default());
        let entry = tensor.external_data.last_mut().unwrap();
        (entry.key, entry.value) = (key.to_string(), value.to_string());
    }
}

#[test]
fn a_squeezenet_of_the_model_zoo_gets_torchvision_names() {
    let expected = Checkpoint::read(&reference("squeezenet_narrow.safetensors")).unwrap();
    let got = Checkpoint::read(&reference("squeezenet_narrow.onnx")).unwrap();
    assert_same_tensors(&got, &expected);
    let device = DeviceChoice::Flex.open().unwrap();
    let network = Network::load(&got, &device, Precision::F32).unwrap();
    assert_eq!(network.layers().len(), convolutions().len());
}

#[test]
fn the_real_squeezenet_survives_the_model_zoos_form_bit_for_bit() {
    let Some(assets) = assets("squeezenet") else {
        return;
    };
    let real = Checkpoint::read(&assets.join("squeezenet/squeezenet1_1.safetensors")).unwrap();
    let mut model = zoo();
    for (number, name) in convolutions().iter().enumerate() {
        for kind in ["weight", "bias"] {
            let name = format!("{name}.{kind}");
            let stored = initializer(&mut model, &format!("squeezenet0_conv{number}_{kind}"));
            stored.dims = real
                .shape(&name)
                .unwrap()
                .iter()
                .map(|&extent| extent as i64)
                .collect();
            stored.raw_data = real.raw(&name).unwrap().to_vec().into();
        }
    }
    assert_same_tensors(&read(&model).unwrap(), &real);
}

#[test]
fn the_graph_decides_and_not_the_names_or_the_order_of_nodes() {
    let expected = Checkpoint::read(&reference("squeezenet_narrow.safetensors")).unwrap();
    let mut model = zoo();
    let graph = model.graph.as_mut().unwrap();
    graph.initializer.reverse();
    // The 3x3 expand of the first fire comes before the 1x1.
    let first = graph
        .node
        .iter()
        .position(|node| node.name == "squeezenet0_conv2_fwd")
        .unwrap();
    graph.node.swap(first, first + 2);
    graph.node.swap(first + 1, first + 3);
    for tensor in &mut graph.initializer {
        tensor.name = tensor.name.replace("squeezenet0_conv", "w");
    }
    for input in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        if input.ends_with("weight") || input.ends_with("bias") {
            *input = input.replace("squeezenet0_conv", "w");
        }
    }
    graph.input.truncate(1);
    assert_same_tensors(&read(&model).unwrap(), &expected);
}

/// A change of the model zoo's graph, and what the refusal says.
type Refusal = (fn(&mut ModelProto), &'static [&'static str]);

#[test]
fn graphs_that_compute_something_else_are_refused_by_node() {
    let refusals: [Refusal; 10] = [
        (
            |m| node(m, "squeezenet0_concat0").input.reverse(),
            &["squeezenet0_concat0", "the 1x1 and then the 3x3 expand"],
        ),
        (
            |m| set(node(m, "squeezenet0_conv0_fwd"), "strides", &[4, 4]),
            &["squeezenet0_conv0_fwd", "strides of 2, got [4, 4]"],
        ),
        (
            |m| set(node(m, "squeezenet0_conv3_fwd"), "pads", &[0; 4]),
            &["squeezenet0_conv3_fwd", "pads of 1, got [0, 0, 0, 0]"],
        ),
        (
            |m| set(node(m, "squeezenet0_pool1_fwd"), "kernel_shape", &[2, 2]),
            &["squeezenet0_pool1_fwd", "kernel_shape of 3"],
        ),
        (
            |m| drop(node(m, "squeezenet0_conv5_fwd").input.pop()),
            &["squeezenet0_conv5_fwd", "a stored weight and bias"],
        ),
        (
            |m| node(m, "squeezenet0_relu4_fwd").op_type = "Sigmoid".into(),
            &["squeezenet0_relu4_fwd", "expected Relu", "Sigmoid"],
        ),
        (
            |m| node(m, "squeezenet0_pool2_fwd").op_type = "Identity".into(),
            &["expected 13 modules", "pools"],
        ),
        (
            |m| initializer(m, "squeezenet0_conv4_weight").dims[1] += 1,
            &["squeezenet0_conv4_fwd", "input channels"],
        ),
        (
            |m| node(m, "squeezenet0_pool3_fwd").op_type = "Flatten".into(),
            &["two expands", "squeezenet0_conv25_fwd"],
        ),
        (
            |m| m.graph.as_mut().unwrap().node.clear(),
            &["value `data`", "got 0"],
        ),
    ];
    for (change, words) in refusals {
        let mut model = zoo();
        change(&mut model);
        let refused = read(&model);
        assert_refused(
            refused,
            &["m.onnx", "squeezenet0_conv0_weight", "PyTorch name"],
        );
        assert_refused(read(&model), words);
    }
}

#[test]
fn initializers_with_pytorch_names_are_kept_with_their_dtypes() {
    let mut model = with_torch_names(zoo());
    let mut counter = tensor("features.1.num_batches_tracked", 7, &[]);
    counter.int64_data = vec![7];
    let mut halves = tensor("features.1.running_mean", 10, &[2]);
    halves.int32_data = vec![0x3c00, 0xc000];
    let mut doubles = tensor("features.1.running_var", 11, &[2]);
    doubles.double_data = vec![0.1, 0.2];
    let graph = model.graph.as_mut().unwrap();
    graph.initializer.extend([counter, halves, doubles]);
    graph.node.push(NodeProto {
        op_type: "Identity".to_owned(),
        input: vec!["features.0.bias".to_owned()],
        output: vec!["features.1.bias".to_owned()],
        ..NodeProto::default()
    });
    let got = read(&model).unwrap();
    let narrow = Checkpoint::read(&reference("squeezenet_narrow.safetensors")).unwrap();
    assert_eq!(got.names().count(), narrow.names().count() + 4);
    assert_eq!(
        got.raw("features.3.squeeze.weight").unwrap(),
        narrow.raw("features.3.squeeze.weight").unwrap()
    );
    assert_eq!(
        got.raw("features.1.num_batches_tracked").unwrap(),
        7i64.to_le_bytes()
    );
    let shared = [
        got.raw("features.1.bias").unwrap(),
        got.raw("features.0.bias").unwrap(),
    ];
    assert_eq!(shared[0], shared[1]);
    assert_eq!(got.dtype("features.1.running_mean").unwrap(), Dtype::F16);
    assert_eq!(got.tensor("features.1.running_mean").unwrap(), [1.0, -2.0]);
    assert_eq!(got.tensor("features.1.running_var").unwrap(), [0.1, 0.2]);
}

#[test]
fn tensors_that_do_not_hold_what_they_declare_are_refused_by_name() {
    let refusals: [Refusal; 7] = [
        (
            |m| initializer(m, "features.0.weight").dims[0] += 1,
            &["m.onnx", "`features.0.weight`", "bytes"],
        ),
        (
            |m| initializer(m, "features.0.weight").dims[0] = -4,
            &["`features.0.weight`", "shape [-4,"],
        ),
        (
            |m| initializer(m, "features.0.weight").dims = vec![i64::MAX; 4],
            &["`features.0.weight`", "larger than memory"],
        ),
        (
            |m| initializer(m, "features.0.bias").data_type = 14,
            &["`features.0.bias`", "ONNX data type 14"],
        ),
        (
            |m| initializer(m, "features.0.bias").raw_data = [0xff; 16].to_vec().into(),
            &["`features.0.bias` holds NaN"],
        ),
        (
            |m| initializer(m, "features.0.bias").name = "features.0.weight".into(),
            &["`features.0.weight` comes twice"],
        ),
        (|m| m.graph.clear(), &["m.onnx", "no graph"]),
    ];
    for (change, words) in refusals {
        let mut model = with_torch_names(zoo());
        change(&mut model);
        assert_refused(read(&model), words);
    }
}

#[test]
fn a_transposed_weight_is_refused() {
    let mut model = with_torch_names(zoo());
    let product = node(&mut model, "squeezenet0_conv25_fwd");
    product.op_type = "MatMul".to_owned();
    assert_refused(
        read(&model),
        &[
            "squeezenet0_conv25_fwd",
            "`classifier.1.weight`",
            "transposed",
        ],
    );
}

#[test]
fn tensors_beside_the_model_are_read_and_never_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let expected = Checkpoint::read(&reference("squeezenet_narrow.safetensors")).unwrap();
    let mut model = with_torch_names(zoo());
    let stored = initializer(&mut model, "features.0.weight");
    let mut data = vec![0; 5];
    data.extend_from_slice(&stored.raw_data);
    let length = stored.raw_data.len().to_string();
    stored.raw_data.clear();
    // Field 14, `data_location`, is EXTERNAL.
    stored.data_location = TensorProto::parse_from_bytes(&[14 << 3, 1])
        .unwrap()
        .data_location;
    lie_in(
        stored,
        &[("location", "m.data"), ("offset", "5"), ("length", &length)],
    );
    std::fs::write(folder.path().join("m.data"), &data).unwrap();
    write(&model, &path);
    assert_same_tensors(&Checkpoint::read(&path).unwrap(), &expected);

    std::fs::write(folder.path().join("m.data"), &data[..20]).unwrap();
    assert_refused(Checkpoint::read(&path), &["`features.0.weight`", "got 15"]);
    std::fs::remove_file(folder.path().join("m.data")).unwrap();
    assert_refused(Checkpoint::read(&path), &["`features.0.weight`", "m.data"]);
    for elsewhere in ["../m.data", "/etc/hostname", "a/m.data", ""] {
        let stored = initializer(&mut model, "features.0.weight");
        lie_in(stored, &[("location", elsewhere)]);
        write(&model, &path);
        assert_refused(
            Checkpoint::read(&path),
            &["expected a file beside the model"],
        );
    }
}
