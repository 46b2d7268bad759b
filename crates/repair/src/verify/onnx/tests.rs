//! Whole models: what is read from their bytes, what they give, and what is refused.

use std::io;

use model::onnx::proto::{
    AttributeProto, DimensionProto, FunctionProto, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, SparseInitializerProto, TensorProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto,
};
use prost::Message;

use super::{OnnxEvaluator, OnnxInput};

fn no_files(_: &str) -> io::Result<Vec<u8>> {
    Err(io::Error::from(io::ErrorKind::NotFound))
}

fn node(op_type: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    NodeProto {
        op_type: op_type.into(),
        name: outputs[0].into(),
        input: names(inputs),
        output: names(outputs),
        ..NodeProto::default()
    }
}

fn int_attribute(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: 2,
        i,
        ..AttributeProto::default()
    }
}

fn stored(name: &str, dims: &[i64], numbers: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: 1,
        dims: dims.to_vec(),
        float_data: numbers.to_vec(),
        ..TensorProto::default()
    }
}

/// A declaration; a negative extent is an open one.
fn declared(name: &str, elem_type: i32, dims: &[i64]) -> ValueInfoProto {
    let dimension = |&extent: &i64| DimensionProto {
        dim_value: (extent >= 0).then_some(extent),
        dim_param: (extent < 0).then(|| "n".into()),
    };
    let tensor = TensorTypeProto {
        elem_type,
        shape: Some(TensorShapeProto {
            dim: dims.iter().map(dimension).collect(),
        }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            tensor_type: Some(tensor),
            ..TypeProto::default()
        }),
    }
}

/// A model of nodes from `x`, `[n, 2]`, to `y`.
fn model(nodes: Vec<NodeProto>, tensors: Vec<TensorProto>) -> ModelProto {
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 13,
        }],
        graph: Some(GraphProto {
            node: nodes,
            initializer: tensors,
            input: vec![declared("x", 1, &[-1, 2])],
            output: vec![declared("y", 1, &[-1, 2])],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

fn read(model: &ModelProto) -> Result<OnnxEvaluator, String> {
    let read = OnnxEvaluator::new(&model.encode_to_vec(), &no_files, "here.onnx");
    read.map_err(|error| format!("{error}"))
}

/// An input of a shape and some zeros.
fn zeros(shape: &[usize], count: usize) -> OnnxInput {
    OnnxInput {
        shape: shape.to_vec(),
        numbers: vec![0.0; count],
    }
}

/// The outputs for one example, or why there are none.
fn outputs(model: &ModelProto, example: &[f64]) -> Result<Vec<f64>, String> {
    let evaluator = read(model)?;
    let outputs = || evaluator.outputs(&evaluator.inputs_of(&[example.len()], example)?);
    outputs().map_err(|error| format!("{error}"))
}

fn assert_refused(model: &ModelProto, reason: &str) {
    let error = read(model).err().expect("refused");
    assert!(
        error.starts_with("`here.onnx`: ") && error.contains(reason),
        "{error}"
    );
}

/// `max(x W + b, 0)` with the stored tensors of a network.
fn network() -> ModelProto {
    let nodes = vec![
        node("MatMul", &["x", "w"], &["z"]),
        node("Add", &["z", "b"], &["sum"]),
        node("Relu", &["sum"], &["y"]),
    ];
    let weight = stored("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    model(nodes, vec![weight, stored("b", &[2], &[-10.0, 1.0])])
}

fn graph_of(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.as_mut().unwrap()
}

#[test]
fn nodes_are_evaluated_one_by_one_and_examples_apart() {
    assert_eq!(outputs(&network(), &[1.0, 2.0]).unwrap(), [0.0, 11.0]);
    let evaluator = read(&network()).unwrap();
    let all = evaluator
        .outputs_of_all(&[1.0, 2.0, 3.0, 4.0], &[2])
        .unwrap();
    assert_eq!(all, [[0.0, 11.0], [5.0, 23.0]]);
    assert!(evaluator.outputs_of_all(&[1.0, 2.0, 3.0], &[2]).is_err());
    assert!(evaluator.outputs_of_all(&[], &[0]).is_err());
}

#[test]
fn stored_tensors_may_be_listed_as_inputs_and_the_first_output_counts() {
    let mut listed = network();
    let graph = graph_of(&mut listed);
    graph.input.insert(0, declared("w", 1, &[2, 2]));
    graph.output.push(declared("sum", 1, &[-1, 2]));
    assert_eq!(outputs(&listed, &[1.0, 2.0]).unwrap(), [0.0, 11.0]);
    graph_of(&mut listed).output.swap(0, 1);
    assert_eq!(outputs(&listed, &[1.0, 2.0]).unwrap(), [-3.0, 11.0]);
}

#[test]
fn a_value_may_be_read_several_times_and_by_one_node_twice() {
    let nodes = vec![
        node("Mul", &["x", "x"], &["square"]),
        node("Add", &["square", "x"], &["sum"]),
        node("Sub", &["sum", "square"], &["y"]),
    ];
    assert_eq!(
        outputs(&model(nodes, vec![]), &[3.0, 4.0]).unwrap(),
        [3.0, 4.0]
    );
    // An output that is an input of the graph.
    let mut same = model(vec![], vec![]);
    graph_of(&mut same).output[0].name = "x".into();
    assert_eq!(outputs(&same, &[3.0, 4.0]).unwrap(), [3.0, 4.0]);
}

#[test]
fn words_become_inputs_of_integers() {
    let nodes = vec![
        node("Gather", &["table", "input_ids"], &["rows"]),
        node("Cast", &["attention_mask"], &["mask"]),
        node("Mul", &["rows", "mask"], &["y"]),
    ];
    let mut text = model(nodes, vec![stored("table", &[3], &[5.0, 6.0, 7.0])]);
    let graph = graph_of(&mut text);
    graph.node[1].attribute = vec![int_attribute("to", 1)];
    graph.input = ["attention_mask", "input_ids"]
        .map(|name| declared(name, 7, &[-1, -1]))
        .into();
    let evaluator = read(&text).unwrap();
    let all = evaluator
        .outputs_of_all(&[2.0, 0.0, 1.0, 1.0, 1.0, 0.0], &[2, 3])
        .unwrap();
    assert_eq!(all, [[7.0, 5.0, 0.0]]);
    let error = evaluator
        .outputs_of_all(&[2.5, 0.0, 1.0, 1.0], &[2, 2])
        .unwrap_err();
    assert!(
        error.to_string().contains("expected int64, got 2.5"),
        "{error}"
    );
    let error = evaluator
        .outputs_of_all(&[3.0, 0.0, 1.0, 1.0], &[2, 2])
        .unwrap_err();
    assert!(
        error.to_string().contains("node `rows` (Gather)"),
        "{error}"
    );
}

#[test]
fn bytes_that_are_no_model_are_refused() {
    for bytes in [&b""[..], b"\x00", b"not a model", &[0xff; 64]] {
        let error = OnnxEvaluator::new(bytes, &no_files, "here.onnx")
            .err()
            .expect("refused");
        assert!(error.to_string().starts_with("`here.onnx`: "), "{error}");
    }
    let bytes = network().encode_to_vec();
    for end in 0..bytes.len() {
        // A prefix may be a model by chance, but none panics.
        let _ = OnnxEvaluator::new(&bytes[..end], &no_files, "here.onnx");
    }
}

#[test]
fn versions_that_are_not_understood_are_refused() {
    for version in [0, 6, 22, i64::MAX] {
        let mut other = network();
        other.opset_import[0].version = version;
        assert_refused(&other, "standard operators of version 7 to 21");
    }
    let mut none = network();
    none.opset_import[0].domain = "com.microsoft".into();
    assert_refused(&none, "got no version");
    none.opset_import = ["", "ai.onnx"]
        .map(|domain| OperatorSetIdProto {
            domain: domain.into(),
            version: 13,
        })
        .into();
    assert_refused(&none, "got several versions");
}

#[test]
fn operators_that_are_not_evaluated_are_named() {
    let unknown = model(vec![node("Einsum", &["x", "x"], &["y"])], vec![]);
    assert_refused(
        &unknown,
        "node `y` (Einsum): operator `Einsum` of domain ``",
    );
    // An operator of a later version.
    let later = model(vec![node("Gelu", &["x"], &["y"])], vec![]);
    assert_refused(&later, "in operator set 13 is not evaluated");
    let mut other = model(vec![node("Relu", &["x"], &["y"])], vec![]);
    graph_of(&mut other).node[0].domain = "com.microsoft".into();
    assert_refused(&other, "operator `Relu` of domain `com.microsoft`");
    let mut redefined = model(vec![node("Relu", &["x"], &["y"])], vec![]);
    redefined.functions = vec![FunctionProto {
        name: "Relu".into(),
        domain: "ai.onnx".into(),
    }];
    assert_refused(&redefined, "operator `Relu`");
    redefined.functions[0].name = "Other".into();
    assert!(read(&redefined).is_ok());
}

#[test]
fn nodes_that_stand_too_early_wait() {
    let mut reversed = network();
    graph_of(&mut reversed).node.reverse();
    assert_eq!(outputs(&reversed, &[1.0, 2.0]).unwrap(), [0.0, 11.0]);
}

#[test]
fn outputs_that_nothing_reads_need_not_be_computed() {
    let mut pool = node("MaxPool", &["image"], &["largest", "places"]);
    pool.attribute = vec![AttributeProto {
        name: "kernel_shape".into(),
        r#type: 7,
        ints: vec![2],
        ..AttributeProto::default()
    }];
    let axes = TensorProto {
        data_type: 7,
        int64_data: vec![0],
        ..stored("axes", &[1], &[])
    };
    let nodes = vec![
        node("Unsqueeze", &["x", "axes"], &["image"]),
        pool,
        node("Identity", &["largest"], &["y"]),
    ];
    let mut indexed = model(nodes, vec![axes]);
    assert_eq!(outputs(&indexed, &[1.0, 2.0]).unwrap(), [2.0]);
    graph_of(&mut indexed)
        .node
        .push(node("Shape", &["places"], &["z"]));
    let error = outputs(&indexed, &[1.0, 2.0]).unwrap_err();
    assert!(
        error.contains("node `largest` (MaxPool): expected outputs that are evaluated"),
        "{error}"
    );
}

#[test]
fn names_must_be_defined_once_and_nodes_must_not_wait_for_each_other() {
    let cycle = vec![
        node("Add", &["x", "b"], &["a"]),
        node("Relu", &["a"], &["b"]),
    ];
    let mut cycle = model(cycle, vec![]);
    graph_of(&mut cycle).output[0].name = "x".into();
    assert_refused(
        &cycle,
        "node `a` (Add): expected nodes that do not wait for each other",
    );
    let itself = vec![node("Add", &["x", "y"], &["y"])];
    assert_refused(&model(itself, vec![]), "got a cycle");
    let missing = vec![node("Add", &["x", "nowhere"], &["y"])];
    assert_refused(
        &model(missing, vec![]),
        "node `y` (Add): expected a value that a node makes",
    );
    let twice = vec![node("Relu", &["x"], &["y"]), node("Tanh", &["x"], &["y"])];
    assert_refused(
        &model(twice, vec![]),
        "node `y` (Tanh): expected a name that is defined once",
    );
    let input = vec![node("Relu", &["x"], &["x"])];
    assert_refused(&model(input, vec![]), "defined once, got `x`");
    let tensors = vec![stored("w", &[1], &[0.0]), stored("w", &[1], &[1.0])];
    assert_refused(&model(vec![], tensors), "stored tensor `w`");
    let nowhere = model(vec![node("Relu", &["x"], &["z"])], vec![]);
    assert_refused(&nowhere, "graph output: expected a value that a node makes");
    let mut none = network();
    graph_of(&mut none).output.clear();
    assert_refused(&none, "expected an output");
    none.graph = None;
    assert_refused(&none, "expected a graph");
}

#[test]
fn operands_results_and_attributes_must_be_those_of_the_operator() {
    for (operator, inputs, outputs, reason) in [
        ("Add", &["x"][..], &["y"][..], "2 to 2 inputs"),
        ("Add", &["x", "x", "x"], &["y"], "2 to 2 inputs"),
        ("Add", &["x", ""], &["y"], "2 to 2 inputs"),
        ("Add", &["", "x"], &["y"], "2 to 2 inputs"),
        ("Concat", &[], &["y"], "1 inputs or more"),
        ("Relu", &["x"], &["y", "z"], "1 to 1 outputs"),
        ("Relu", &["x"], &[""], "1 to 1 outputs"),
    ] {
        let wrong = model(vec![node(operator, inputs, outputs)], vec![]);
        assert_refused(&wrong, reason);
    }
    let attributed = |attributes: Vec<AttributeProto>| {
        let mut attributed = model(vec![node("Softmax", &["x"], &["y"])], vec![]);
        graph_of(&mut attributed).node[0].attribute = attributes;
        attributed
    };
    let axis = int_attribute("axis", 1);
    assert!(outputs(&attributed(vec![axis.clone()]), &[0.0, 0.0]).is_ok());
    assert_refused(
        &attributed(vec![axis.clone(), axis.clone()]),
        "got `axis` twice",
    );
    assert_refused(
        &attributed(vec![int_attribute("axes", 1)]),
        "among [\"axis\"], got `axes`",
    );
    let untyped = AttributeProto { r#type: 0, ..axis };
    assert_refused(&attributed(vec![untyped.clone()]), "got type 0");
    let float = AttributeProto {
        r#type: 1,
        ..untyped
    };
    let error = outputs(&attributed(vec![float]), &[0.0, 0.0]).unwrap_err();
    assert!(
        error.contains("an integer as attribute `axis`, got a float"),
        "{error}"
    );
}

#[test]
fn inputs_of_another_shape_or_number_are_refused() {
    let evaluator = read(&network()).unwrap();
    for (inputs, reason) in [
        (vec![], "expected [\"x\"], got 0 inputs"),
        (
            vec![zeros(&[1, 3], 3)],
            "float of shape [?, 2], got shape [1, 3]",
        ),
        (vec![zeros(&[2], 2)], "got shape [2]"),
        (vec![zeros(&[1, 2], 3)], "expected 2 numbers, got 3"),
    ] {
        let error = evaluator.outputs(&inputs).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let error = outputs(&network(), &[1.0, 2.0, 3.0]).unwrap_err();
    assert!(
        error.contains("got an example of shape [3] with 3 numbers"),
        "{error}"
    );
    let mut rankless = network();
    let kind = graph_of(&mut rankless).input[0].r#type.as_mut().unwrap();
    kind.tensor_type.as_mut().unwrap().shape = None;
    assert_refused(&rankless, "expected a declared rank");
    let mut sparse = network();
    graph_of(&mut sparse)
        .sparse_initializer
        .push(SparseInitializerProto::default());
    assert_refused(&sparse, "sparse ones");
}

#[test]
fn an_output_of_integers_is_refused() {
    let integers = model(vec![node("Shape", &["x"], &["y"])], vec![]);
    let error = outputs(&integers, &[0.0, 0.0]).unwrap_err();
    assert!(
        error.contains("graph output: expected floats, got int64"),
        "{error}"
    );
}

#[test]
fn values_that_would_fill_memory_are_refused() {
    let shape = TensorProto {
        data_type: 7,
        int64_data: vec![1 << 14, 1 << 15],
        float_data: Vec::new(),
        ..stored("shape", &[2], &[])
    };
    let huge = model(
        vec![
            node("ConstantOfShape", &["shape"], &["zeros"]),
            node("Add", &["x", "zeros"], &["y"]),
        ],
        vec![shape],
    );
    let error = outputs(&huge, &[0.0, 0.0]).unwrap_err();
    assert!(
        error.contains("node `zeros` (ConstantOfShape): expected a value of at most"),
        "{error}"
    );
}
