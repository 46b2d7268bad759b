//! Small ONNX files that ask for much memory or time.

use std::time::{Duration, Instant};

use model::onnx::proto::{ModelProto, NodeProto, TensorProto};
use model::{Model, ModelError};
use prost::Message;

use crate::graphs::{external, floats, model, node, wholes, with_ints};

/// Reads a model through a file with another beside it, of so many zeros.
fn read(model: &ModelProto, beside: u64) -> Result<Model, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    let data = std::fs::File::create(folder.path().join("m.data")).unwrap();
    data.set_len(beside).unwrap();
    Model::open(&path)
}

/// Checks that a model is refused, at once, with one of some words.
fn refused(what: &str, model: &ModelProto, beside: u64, words: &[&str]) {
    let start = Instant::now();
    let refusal = match read(model, beside) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{what}: read"),
    };
    let known = words.iter().any(|word| refusal.contains(word));
    assert!(known, "{what}: {refusal}");
    assert!(start.elapsed() < Duration::from_secs(20), "{what}");
}

/// Layers of width `k`, one behind the other; `factor` makes each node and names its weight.
fn chain(
    k: i64,
    layers: usize,
    weights: Vec<TensorProto>,
    factor: impl Fn(usize, &mut Vec<NodeProto>) -> (&'static str, String),
) -> ModelProto {
    let mut nodes = Vec::new();
    let mut last = "x".to_owned();
    for layer in 0..layers {
        let (op, weight) = factor(layer, &mut nodes);
        let product = format!("h{layer}");
        let mut multiply = node(op, &[&last, &weight], &product);
        if op == "Gemm" && layer % 2 == 1 {
            let flag = with_ints(NodeProto::default(), "transB", &[])
                .attribute
                .remove(0);
            multiply.attribute.push(model::onnx::proto::AttributeProto {
                i: 1,
                r#type: 2,
                ..flag
            });
        }
        nodes.push(multiply);
        last = if layer + 1 == layers {
            "y".to_owned()
        } else {
            format!("r{layer}")
        };
        nodes.push(node("Relu", &[&product], &last));
    }
    model(&[1, k], nodes, weights)
}

const PARTS: [&str; 3] = ["times the file", "too many nodes", "than are read"];

#[test]
fn names_for_one_tensor_cost_no_more_than_the_file_allows() {
    let alias = |layer: usize, nodes: &mut Vec<NodeProto>| {
        nodes.push(node("Identity", &["w"], &format!("w{layer}")));
        ("MatMul", format!("w{layer}"))
    };
    let few = chain(64, 8, vec![floats("w", &[64, 64])], alias);
    assert_eq!(read(&few, 0).unwrap().graph().layers().len(), 8);
    let many = chain(512, 2000, vec![floats("w", &[512, 512])], alias);
    refused("aliases", &many, 0, &PARTS);
    // One and the same matrix in two layouts is two matrices.
    let turned = |_: usize, _: &mut Vec<NodeProto>| ("Gemm", "w".to_owned());
    let many = chain(512, 400, vec![floats("w", &[512, 512])], turned);
    refused("transposed", &many, 0, &PARTS);
    // Every layer has a product of its own.
    let own = |layer: usize, nodes: &mut Vec<NodeProto>| {
        nodes.push(node("Mul", &["w", "w"], &format!("w{layer}")));
        ("MatMul", format!("w{layer}"))
    };
    let many = chain(512, 400, vec![floats("w", &[512, 512])], own);
    refused("computed", &many, 0, &PARTS);
}

#[test]
fn tensors_over_one_file_beside_the_model_cost_no_more_than_it_allows() {
    let weights = |count: usize, data_type: i32| -> Vec<TensorProto> {
        let weight = |i| external(&format!("w{i}"), &[512, 512], data_type, "m.data");
        (0..count).map(weight).collect()
    };
    let stored = |layer: usize, _: &mut Vec<NodeProto>| ("MatMul", format!("w{layer}"));
    let length = 4 * 512 * 512;
    read(&chain(512, 4, weights(4, 1), stored), length).unwrap();
    refused(
        "floats",
        &chain(512, 40, weights(40, 1), stored),
        length,
        &PARTS,
    );
    // Bytes become whole numbers of eight bytes.
    let bytes = chain(
        512,
        1,
        [weights(1, 1), {
            let byte = |i| external(&format!("b{i}"), &[1 << 20], 2, "m.data");
            (0..200).map(byte).collect()
        }]
        .concat(),
        stored,
    );
    refused("bytes", &bytes, length, &PARTS);
}

#[test]
fn shapes_that_nodes_state_are_bounded_before_anything_is_made() {
    let sized = |op: &str, numbers: &[i64]| {
        let nodes = vec![node(op, &["x", "n"], "y")];
        model(&[1, 4], nodes, vec![wholes("n", numbers)])
    };
    let filled = |extent: i64| {
        let fill = node("ConstantOfShape", &["n"], "c");
        let nodes = vec![fill, node("Add", &["x", "c"], "y")];
        model(&[1, 1], nodes, vec![wholes("n", &[1, extent])])
    };
    for extent in [1 << 28, 1 << 40, 1 << 62, i64::MAX] {
        for (what, model) in [
            ("Expand", {
                let nodes = vec![node("Expand", &["x", "n"], "y")];
                model(&[1, 1], nodes, vec![wholes("n", &[1, extent])])
            }),
            ("Tile", sized("Tile", &[1, extent])),
            ("Pad", sized("Pad", &[0, 0, 0, extent])),
            ("Pad on both sides", sized("Pad", &[0, extent, 0, extent])),
            ("Pad that cuts", sized("Pad", &[0, extent, 0, i64::MIN])),
            ("ConstantOfShape", filled(extent)),
        ] {
            let words = ["than are read", "is larger", "cut", "joins shapes", "shape"];
            refused(&format!("{what} {extent}"), &model, 0, &words);
        }
    }
    // Many values, each as large as one may be.
    let mut nodes = Vec::new();
    for i in 0..64 {
        nodes.push(node("Expand", &["x", "n"], &format!("e{i}")));
        nodes.push(node(
            "ReduceSum",
            &[&format!("e{i}"), "a"],
            &format!("s{i}"),
        ));
    }
    let sums: Vec<String> = (0..64).map(|i| format!("s{i}")).collect();
    let sums: Vec<&str> = sums.iter().map(String::as_str).collect();
    nodes.push(node("Sum", &sums, "y"));
    let many = model(
        &[4, 1],
        nodes,
        vec![wholes("n", &[4, 1 << 22]), wholes("a", &[1])],
    );
    refused("many expansions", &many, 0, &PARTS);
}

#[test]
fn windows_of_any_extents_are_bounded() {
    let convolution = |name: &str, ints: &[i64]| {
        let convolution = node("Conv", &["x", "w"], "y");
        let nodes = vec![with_ints(convolution, name, ints)];
        model(&[1, 1, 8, 8], nodes, vec![floats("w", &[1, 1, 3, 3])])
    };
    let pool = |kernel: &[i64], pads: &[i64]| {
        let pool = with_ints(node("MaxPool", &["x"], "y"), "kernel_shape", kernel);
        model(&[1, 1, 8, 8], vec![with_ints(pool, "pads", pads)], vec![])
    };
    for extent in [1 << 24, 1 << 27, 1 << 40, i64::MAX, i64::MIN, -1] {
        let models = [
            ("pads", convolution("pads", &[extent; 4])),
            ("one pad", convolution("pads", &[extent, 0, 0, 0])),
            ("dilations", convolution("dilations", &[extent; 2])),
            ("kernel", pool(&[extent; 2], &[0; 4])),
            (
                "kernel and pads",
                pool(&[extent; 2], &[extent.saturating_sub(1); 4]),
            ),
        ];
        for (what, model) in models {
            let start = Instant::now();
            assert!(read(&model, 0).is_err(), "{what} {extent}");
            assert!(start.elapsed() < Duration::from_secs(5), "{what} {extent}");
        }
        // A step is no size.
        let _ = read(&convolution("strides", &[extent; 2]), 0);
    }
}

#[test]
fn inputs_are_bounded() {
    for dims in [
        vec![1 << 40],
        vec![1, i64::MAX],
        vec![1, 3, 1 << 20, 1 << 20],
        vec![1 << 32; 8],
    ] {
        let large = model(&dims, vec![node("Relu", &["x"], "y")], vec![]);
        refused(&format!("{dims:?}"), &large, 0, &["than are read"]);
    }
}

#[test]
fn files_of_many_small_parts_are_refused_before_they_are_parsed() {
    let empty = vec![NodeProto::default(); 400_000];
    refused(
        "nodes",
        &model(&[1, 4], empty, vec![]),
        0,
        &["it has more than"],
    );
    let names = NodeProto {
        input: vec![String::new(); 3_000_000],
        ..node("Sum", &[], "y")
    };
    refused(
        "names",
        &model(&[1, 4], vec![names], vec![]),
        0,
        &["it has more than"],
    );
}
