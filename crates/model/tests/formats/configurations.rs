//! Configurations that contradict the tensors, or that hold what is no number.

use std::collections::BTreeMap;

use model::{Checkpoint, ModelError, Op, mobilevit};
use serde_json::{Value, json};

/// Zeros of some shapes, under transformers' names: a stem, a residual, a MobileViT block with one
/// transformer of width 8, a head of 3 classes.
fn network() -> Checkpoint {
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    let mut add = |name: &str, shape: &[usize]| {
        let numbers = vec![0.0; shape.iter().product()];
        tensors.push((name.to_owned(), shape.to_vec(), numbers));
    };
    let mut conv_norm = |name: &str, shape: [usize; 4]| {
        add(&format!("mobilevit.{name}.convolution.weight"), &shape);
        for part in ["weight", "bias", "running_mean", "running_var"] {
            let name = format!("mobilevit.{name}.normalization.{part}");
            add(&name, &shape[..1]);
        }
    };
    conv_norm("conv_stem", [8, 3, 3, 3]);
    for name in ["layer.0.layer.0", "layer.1.downsampling_layer"] {
        conv_norm(&format!("encoder.{name}.expand_1x1"), [16, 8, 1, 1]);
        conv_norm(&format!("encoder.{name}.conv_3x3"), [16, 1, 3, 3]);
        conv_norm(&format!("encoder.{name}.reduce_1x1"), [8, 16, 1, 1]);
    }
    conv_norm("encoder.layer.1.conv_kxk", [8, 8, 3, 3]);
    conv_norm("encoder.layer.1.conv_projection", [8, 8, 1, 1]);
    conv_norm("encoder.layer.1.fusion", [8, 16, 3, 3]);
    conv_norm("conv_1x1_exp", [32, 8, 1, 1]);
    let block = "mobilevit.encoder.layer.1";
    add(
        &format!("{block}.conv_1x1.convolution.weight"),
        &[8, 8, 1, 1],
    );
    let layer = format!("{block}.transformer.layer.0");
    for (name, shape) in [
        ("attention.attention.query", [8, 8]),
        ("attention.attention.key", [8, 8]),
        ("attention.attention.value", [8, 8]),
        ("attention.output.dense", [8, 8]),
        ("intermediate.dense", [16, 8]),
        ("output.dense", [8, 16]),
    ] {
        add(&format!("{layer}.{name}.weight"), &shape);
        add(&format!("{layer}.{name}.bias"), &shape[..1]);
    }
    for name in [
        format!("{layer}.layernorm_before"),
        format!("{layer}.layernorm_after"),
        format!("{block}.layernorm"),
    ] {
        add(&format!("{name}.weight"), &[8]);
        add(&format!("{name}.bias"), &[8]);
    }
    add("classifier.weight", &[3, 32]);
    add("classifier.bias", &[3]);
    Checkpoint::from_f32(&tensors, &BTreeMap::new(), "small").unwrap()
}

/// What the tensors say, in a configuration.
fn agreeing() -> Value {
    json!({
        "model_type": "mobilevit", "num_channels": 3, "image_size": 256, "patch_size": 2,
        "hidden_sizes": [8], "neck_hidden_sizes": [8, 8, 8, 32], "num_attention_heads": 4,
        "mlp_ratio": 2.0, "expand_ratio": 2.0, "hidden_act": "silu", "conv_kernel_size": 3,
        "output_stride": 32, "layer_norm_eps": 1e-5, "qkv_bias": true,
    })
}

fn graph(key: &str, value: Value) -> Result<model::Graph, ModelError> {
    let mut config = agreeing();
    config[key] = value;
    mobilevit::graph(&network().with_config(config))
}

#[test]
fn a_configuration_that_agrees_changes_nothing_but_what_no_tensor_says() {
    let checkpoint = network();
    let plain = mobilevit::graph(&checkpoint).unwrap();
    plain.check_tensors(&checkpoint).unwrap();
    let same = graph("model_type", json!("mobilevit")).unwrap();
    assert_eq!(same.nodes(), plain.nodes());
    for (key, value) in [
        ("hidden_act", json!("swish")),
        ("image_size", json!([192, 256])),
        ("id2label", json!({"0": 7})),
        ("classifier_dropout_prob", json!(0.1)),
    ] {
        assert_eq!(graph(key, value).unwrap().nodes(), plain.nodes(), "{key}");
    }
    let epsilons = |graph: &model::Graph| -> Vec<f64> {
        let norms = graph.nodes().iter().filter_map(|node| match &node.op {
            Op::LayerNorm(norm) => Some(norm.epsilon),
            _ => None,
        });
        norms.collect()
    };
    assert_eq!(epsilons(&plain), [1e-5; 3]);
    let other = graph("layer_norm_eps", json!(1e-6)).unwrap();
    assert_eq!(epsilons(&other), [1e-6; 3]);
    let patch = |op: &Op| matches!(op, Op::Unfold { patch: 64 });
    let largest = graph("patch_size", json!(64)).unwrap();
    assert!(largest.nodes().iter().any(|node| patch(&node.op)));
}

#[test]
fn numbers_of_a_configuration_are_bounded_typed_and_compared_with_the_tensors() {
    let huge = u64::MAX;
    for (key, values) in [
        (
            "patch_size",
            vec![
                json!(65),
                json!(4096),
                json!((1_u64 << 57) + 3),
                json!(huge),
                json!(0),
                json!(-2),
                json!(2.5),
                json!("2"),
                json!(1e300),
                json!([2, 2]),
            ],
        ),
        (
            "num_attention_heads",
            vec![
                json!(3),
                json!(0),
                json!(1_000_000_000),
                json!(huge),
                json!("4"),
            ],
        ),
        (
            "hidden_act",
            vec![json!("relu"), json!("gelu"), json!(1), json!(["silu"])],
        ),
        (
            "layer_norm_eps",
            vec![
                json!(-1),
                json!(0),
                json!("x"),
                json!(1.0),
                json!(1e300),
                json!(true),
            ],
        ),
        (
            "output_stride",
            vec![json!(0), json!(16), json!(huge), json!("32")],
        ),
        (
            "conv_kernel_size",
            vec![
                json!(1_u64 << 63),
                json!(5),
                json!(0),
                json!("3"),
                json!([3]),
            ],
        ),
        (
            "num_channels",
            vec![json!(1), json!(4), json!(-3), json!("3")],
        ),
        (
            "mlp_ratio",
            vec![
                json!(4.0),
                json!(0),
                json!(-2),
                json!(1e300),
                json!("2"),
                json!([2]),
            ],
        ),
        (
            "expand_ratio",
            vec![json!(4), json!(0.0), json!("a"), json!(1e9)],
        ),
        (
            "hidden_sizes",
            vec![
                json!([9]),
                json!([8, 8]),
                json!([]),
                json!(8),
                json!(["8"]),
                json!([huge]),
            ],
        ),
        (
            "neck_hidden_sizes",
            vec![
                json!([8, 8, 8]),
                json!([8, 8, 8, 33]),
                json!({"0": 8}),
                json!("8"),
            ],
        ),
        ("qkv_bias", vec![json!(false), json!(1), json!("true")]),
        (
            "image_size",
            vec![json!(0), json!(-1), json!("256"), json!([1, 2, 3])],
        ),
        (
            "model_type",
            vec![json!("mobilevitv2"), json!("vit"), json!(5)],
        ),
        ("global_pool", vec![json!("max"), json!("")]),
    ] {
        for value in values {
            let shown = format!("{key}: {value}");
            match graph(key, value) {
                Err(error) => {
                    let refusal = error.to_string();
                    let named = refusal.contains(key) || refusal.contains("attention heads");
                    assert!(named, "{shown}: {refusal}");
                    assert!(refusal.len() < 400, "{shown}: {refusal}");
                }
                Ok(_) => panic!("{shown}: read"),
            }
        }
    }
    // What is refused is shown in short.
    let long = graph("hidden_act", json!("a".repeat(100_000))).unwrap_err();
    assert!(long.to_string().len() < 400);
}
