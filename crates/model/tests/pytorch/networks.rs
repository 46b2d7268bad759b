//! Perceptrons as people save them: which containers give the same state dict, and what tells the steps.

use std::collections::BTreeMap;
use std::path::Path;

use model::{
    Activation, Checkpoint, Dtype, Model, ModelError, Note, Op, OpenOptions, StoredTensor,
};

use crate::{assert_same_tensors, network};

fn activation(activation: Activation) -> OpenOptions {
    OpenOptions {
        activation: Some(activation),
        ..OpenOptions::default()
    }
}

fn under(key: &str) -> OpenOptions {
    OpenOptions {
        key: Some(key.to_owned()),
        ..activation(Activation::Relu)
    }
}

/// The steps of a model's graph: a layer by its name, a function by what it is.
fn steps(model: &Model) -> Vec<String> {
    let nodes = model.output_graph().nodes().iter();
    let step = |op: &Op, name: &str| match op {
        Op::Linear(_) => name.to_owned(),
        Op::Activation(Activation::LeakyRelu { slope }) => format!("leaky_relu({slope})"),
        Op::Activation(Activation::Elu { alpha }) => format!("elu({alpha})"),
        other => other.name().to_owned(),
    };
    nodes
        .skip(1)
        .map(|node| step(&node.op, &node.name))
        .collect()
}

fn refusal(result: Result<Model, ModelError>) -> String {
    match result {
        Ok(model) => panic!("{}: opened as {:?}", model.origin(), steps(&model)),
        Err(error) => error.to_string(),
    }
}

fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "expected `{word}` in: {text}");
    }
}

fn assert_noted(notes: &[Note], words: &str) {
    assert!(
        notes.iter().any(|note| note.to_string().contains(words)),
        "expected `{words}` among {notes:?}"
    );
}

fn matrix(name: &str, outputs: usize, inputs: usize) -> StoredTensor {
    let shape = if name.ends_with("weight") {
        vec![outputs, inputs]
    } else {
        vec![outputs]
    };
    let count: usize = shape.iter().product();
    StoredTensor {
        name: name.to_owned(),
        dtype: Dtype::F32,
        bytes: vec![0; 4 * count],
        shape,
    }
}

/// A safetensors checkpoint of layers `(name, outputs, inputs)`, each with a bias.
fn layers(listed: &[(&str, usize, usize)], metadata: &[(&str, &str)]) -> Checkpoint {
    let tensors: Vec<StoredTensor> = listed
        .iter()
        .flat_map(|(name, outputs, inputs)| {
            ["weight", "bias"].map(|kind| matrix(&format!("{name}.{kind}"), *outputs, *inputs))
        })
        .collect();
    let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    Checkpoint::from_tensors(&tensors, &metadata.collect(), "layers").unwrap()
}

#[test]
fn every_container_gives_the_same_state_dict() {
    let expected = Checkpoint::read(&network("state.safetensors")).unwrap();
    for (name, note) in [
        (
            "beside.pt",
            "under `state_dict`; not read: `epoch`, `mean`, `optimizer`",
        ),
        (
            "ema.pt",
            "under `state_dict`; the key chooses `state_dict_ema` instead",
        ),
        ("two_deep.pt", "under `model.state_dict`"),
        ("list.pt", "under `0`; not read: `1`"),
        ("tuple.pt", "under `1.net`"),
        ("unknown_key.pt", "under `my_network`; not read: `epoch`"),
        (
            "module_prefix.pt",
            "`module.` is taken from the front of every name",
        ),
        ("compiled.pt", "`_orig_mod.module.` is taken"),
        ("averaged.pt", "`n_averaged` is not read"),
        (
            "optimiser_object.pt",
            "under `model`; not read: `optimizer`",
        ),
        ("only_ema.pt", "under `ema`"),
        ("masked.pt", "1 pruned tensor is times its mask"),
        ("protocol_1.pt", ""),
        ("protocol_2.pt", ""),
        ("protocol_3.pt", ""),
        ("protocol_4.pt", ""),
        ("protocol_5.pt", ""),
        ("legacy_protocol_1.pth", ""),
        ("pickle_0.pkl", ""),
        ("pickle_2.pkl", ""),
        ("pickle_4.pkl", ""),
        ("deflated.pt", ""),
        ("big_endian.pt", ""),
        ("tar.pt", ""),
    ] {
        let got = Checkpoint::read(&network(name)).unwrap();
        assert_same_tensors(&got, &expected);
        if note.is_empty() {
            assert_eq!(got.notes(), [], "{name}");
        } else {
            assert_noted(got.notes(), note);
        }
    }
}

#[test]
fn a_key_chooses_among_state_dicts() {
    let plain = Model::open_with(&network("ema.pt"), &under("state_dict")).unwrap();
    let average = Model::open_with(&network("ema.pt"), &under("state_dict_ema")).unwrap();
    let differences = plain.tensor("fc1.bias").unwrap();
    let moved = average.tensor("fc1.bias").unwrap();
    let pairs = differences.iter().zip(&moved);
    assert!(pairs.clone().all(|(x, y)| (y - x - 1.0).abs() < 1e-6));
    assert_noted(average.notes(), "under `state_dict_ema` (as asked)");
    for (file, key) in [
        ("two_networks.pt", "critic"),
        ("two_keys.pt", "net"),
        ("two_deep.pt", "model.state_dict"),
        ("list.pt", "0"),
    ] {
        let chosen = Model::open_with(&network(file), &under(key)).unwrap();
        assert_eq!(chosen.tensor("fc1.bias").unwrap(), differences, "{file}");
    }
    let refusals: [(&str, &str, &[&str]); 5] = [
        (
            "ema.pt",
            "model",
            &["no `model`", "`state_dict_ema`, `state_dict`"],
        ),
        (
            "two_deep.pt",
            "model.weights",
            &["no `weights` under `model`", "`state_dict`, `arch`"],
        ),
        ("beside.pt", "epoch", &["under `epoch`, got int"]),
        ("list.pt", "7", &["no `7`"]),
        (
            "state.safetensors",
            "model",
            &["no key named `model`", "no PyTorch file"],
        ),
    ];
    for (file, key, words) in refusals {
        assert_says(
            &refusal(Model::open_with(&network(file), &under(key))),
            words,
        );
    }
    for file in ["two_networks.pt", "two_keys.pt"] {
        let said = refusal(Model::open_with(
            &network(file),
            &activation(Activation::Relu),
        ));
        assert_says(&said, &[file, "say which by its key"]);
    }
}

#[test]
fn the_classes_of_a_module_say_its_steps() {
    let relu: &[&str] = &["0", "relu", "2"];
    let cases: [(&str, &[&str]); 9] = [
        (
            "sequential.pt",
            &["1", "leaky_relu(0.2)", "4", "gelu", "7", "softmax"],
        ),
        ("adjacent.pt", &["0", "1", "tanh", "3"]),
        ("nested.pt", &["0.0", "silu", "1.0", "gelu_tanh", "2"]),
        ("last_activation.pt", &["0", "hardswish", "2", "sigmoid"]),
        ("complete.pt", &["fc1", "elu(0.5)", "out"]),
        ("wrapper.pt", relu),
        ("parallel.pt", &["0", "selu", "2"]),
        ("single.pt", &["linear"]),
        ("pruned.pt", relu),
    ];
    for (file, expected) in cases {
        let model = Model::open(&network(file)).unwrap();
        assert_eq!(steps(&model), expected, "{file}");
        // What is written says it by itself.
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.safetensors");
        model.write(&copy).unwrap();
        let again = Model::open(&copy).unwrap();
        assert_eq!(steps(&again), expected, "{file}");
        assert_same_tensors(again.checkpoint(), model.checkpoint());
        // And another activation contradicts it.
        if expected.len() > 1 {
            let said = refusal(Model::open_with(
                &network(file),
                &activation(Activation::Softplus),
            ));
            assert_says(&said, &["softplus was asked for"]);
        }
    }
    let told = Model::open(&network("sequential.pt")).unwrap();
    assert_noted(told.notes(), "the classes of the module say");
    assert_noted(told.notes(), "no bias: `4`");
    for file in ["complete.pt", "wrapper.pt"] {
        let assumed = Model::open(&network(file)).unwrap();
        assert_noted(assumed.notes(), "assumed: `__main__.");
    }
}

#[test]
fn modules_that_do_not_say_what_they_compute_are_refused() {
    let refusals: [(&str, &[&str]); 8] = [
        (
            "shared.pt",
            &["does not say the activation", "leaky_relu", "--activation"],
        ),
        (
            "functional.pt",
            &["does not say the activation", "config.json"],
        ),
        (
            "softplus.pt",
            &["`1` is a `torch.nn.modules.activation.Softplus`"],
        ),
        ("prelu.pt", &["is no matrix"]),
        ("batch_norm.pt", &["is no matrix"]),
        ("inner_softmax.pt", &["softmax is followed by other steps"]),
        ("flatten_all.pt", &["Flatten` with start_dim = 0"]),
        (
            "hooked.pt",
            &["`0` has the hook `torch.nn.utils.spectral_norm.SpectralNorm`"],
        ),
    ];
    for (file, words) in refusals {
        assert_says(&refusal(Model::open(&network(file))), words);
    }
    // The user cannot say away what a module says.
    for (file, words) in &refusals[2..] {
        let said = refusal(Model::open_with(
            &network(file),
            &activation(Activation::Relu),
        ));
        assert_says(&said, words);
    }
}

#[test]
fn what_a_module_leaves_open_the_user_says() {
    let given = OpenOptions {
        activation: Some(Activation::LeakyRelu { slope: 0.01 }),
        ..OpenOptions::default()
    };
    let model = Model::open_with(&network("shared.pt"), &given).unwrap();
    // The module knows its slope, and its own order of layers of one size.
    let expected = [
        "hidden",
        "leaky_relu(0.2)",
        "middle",
        "leaky_relu(0.2)",
        "last",
    ];
    assert_eq!(steps(&model), expected);
    assert_noted(
        model.notes(),
        "assumed: `__main__.Shared` has one activation",
    );
    assert_noted(model.notes(), "order of the file: hidden, middle, last");
    let said = refusal(Model::open_with(
        &network("shared.pt"),
        &activation(Activation::Tanh),
    ));
    assert_says(
        &said,
        &["says that its activation is leaky_relu, tanh was asked for"],
    );

    let model = Model::open_with(&network("functional.pt"), &activation(Activation::Tanh)).unwrap();
    assert_eq!(steps(&model), ["layers.0", "tanh", "layers.1"]);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.safetensors");
    model.write(&copy).unwrap();
    assert_eq!(steps(&Model::open(&copy).unwrap()), steps(&model));
}

#[test]
fn no_activation_is_the_usual_one() {
    let bare = layers(&[("0", 3, 2), ("2", 3, 3), ("4", 2, 3)], &[]);
    let said = refusal(Model::new(bare.clone()));
    assert_says(
        &said,
        &[
            "layers",
            "does not say the activation",
            "--activation relu",
            "config.json",
        ],
    );
    assert!(matches!(
        Model::new(bare.clone()),
        Err(ModelError::Activation { .. })
    ));
    let given = Model::with_options(bare.clone(), &activation(Activation::Gelu)).unwrap();
    assert_eq!(given.metadata()["activation"], "gelu");
    assert_noted(given.notes(), "is gelu (as asked)");
    let config = serde_json::json!({"hidden_act": "swish"});
    let configured = Model::new(bare.clone().with_config(config)).unwrap();
    assert_eq!(configured.metadata()["activation"], "silu");
    assert_noted(configured.notes(), "`hidden_act` of its configuration");
    // The configuration of another model in the same folder says nothing.
    let other = serde_json::json!({"activation": "gelu", "model_type": "distilbert"});
    refusal(Model::new(bare.clone().with_config(other)));
    let unknown = serde_json::json!({"activation": "swoosh"});
    assert_says(
        &refusal(Model::new(bare.with_config(unknown))),
        &["no activation named `swoosh`"],
    );

    let stated = layers(
        &[("0", 3, 2), ("2", 2, 3)],
        &[("activation", "elu"), ("alpha", "0.25")],
    );
    assert_eq!(
        steps(&Model::new(stated.clone()).unwrap()),
        ["0", "elu(0.25)", "2"]
    );
    let said = refusal(Model::with_options(stated, &activation(Activation::Relu)));
    assert_says(&said, &["its activation is elu, relu was asked for"]);

    let single = layers(&[("head", 3, 2)], &[]);
    assert_eq!(steps(&Model::new(single.clone()).unwrap()), ["head"]);
    refusal(Model::with_options(single, &activation(Activation::Relu)));
}

#[test]
fn layers_have_any_names() {
    for (names, expected) in [
        (["fc1", "fc2", "fc3"], ["fc1", "fc2", "fc3"]),
        (
            ["layers.0", "layers.2", "layers.10"],
            ["layers.0", "layers.2", "layers.10"],
        ),
        (["linear1", "linear2", "out"], ["linear1", "linear2", "out"]),
        (
            ["net.0.dense", "net.1.dense", "classifier"],
            ["net.0.dense", "net.1.dense", "classifier"],
        ),
        (["input", "hidden", "head"], ["input", "hidden", "head"]),
    ] {
        let listed: Vec<_> = names
            .iter()
            .copied()
            .zip([(5, 2), (4, 5), (3, 4)])
            .collect();
        let listed: Vec<_> = listed.into_iter().map(|(n, (o, i))| (n, o, i)).collect();
        let model = Model::new(layers(&listed, &[("activation", "relu")])).unwrap();
        let got: Vec<_> = model
            .graph()
            .layers()
            .into_iter()
            .map(|layer| layer.name)
            .collect();
        assert_eq!(got, expected);
    }
    let squares = [("input", 4, 4), ("hidden", 4, 4), ("head", 4, 4)];
    let said = refusal(Model::new(layers(&squares, &[("activation", "relu")])));
    assert_says(&said, &["order of its layers is not told", "`head`"]);
}

#[test]
fn layers_without_a_bias_are_noted() {
    let tensors = |biases: &[&str]| {
        let mut tensors = vec![matrix("a1.weight", 3, 2), matrix("a2.weight", 2, 3)];
        tensors.extend(
            biases
                .iter()
                .map(|name| matrix(name, if *name == "a1.bias" { 3 } else { 2 }, 1)),
        );
        let metadata = BTreeMap::from([("activation".to_owned(), "relu".to_owned())]);
        Model::new(Checkpoint::from_tensors(&tensors, &metadata, "biases").unwrap())
    };
    let none = tensors(&[]).unwrap();
    assert_noted(none.notes(), "no layer has a bias");
    assert_eq!(none.graph().layers()[0].bias, None);
    let some = tensors(&["a2.bias"]).unwrap();
    assert_noted(
        some.notes(),
        "assumed: layers without a bias in the file have none: `a1`",
    );
    let all = tensors(&["a1.bias", "a2.bias"]).unwrap();
    assert!(all.notes().iter().all(|note| !note.text().contains("bias")));
    assert_says(
        &refusal(tensors(&["a3.bias"])),
        &["unused tensor `a3.bias`"],
    );
}

#[test]
fn metadata_that_lie_about_the_layers_are_refused() {
    let listed = [("a", 3, 2), ("b", 2, 3)];
    for (text, words) in [
        (
            r#"[{"linear": "a"}, "relu"]"#,
            "no step uses the tensor `b.weight`",
        ),
        (
            r#"[{"linear": "b"}, "relu", {"linear": "b"}, {"linear": "a"}]"#,
            "`b` is applied twice",
        ),
        (
            r#"[{"linear": "b"}, "softmax", {"linear": "a"}]"#,
            "softmax is followed",
        ),
        (
            r#"[{"linear": "a"}, {"linear": "b"}, {"linear": "c"}]"#,
            "no tensor `c.weight`",
        ),
        (
            r#"[{"linear": "a"}, "swoosh", {"linear": "b"}]"#,
            "metadata `layers`",
        ),
        ("relu", "metadata `layers`"),
    ] {
        let said = refusal(Model::new(layers(&listed, &[("layers", text)])));
        assert_says(&said, &[words]);
    }
    let wide = [("a", 3, 2), ("b", 2, 4)];
    let text = r#"[{"linear": "a"}, {"linear": "b"}]"#;
    let said = refusal(Model::new(layers(&wide, &[("layers", text)])));
    assert_says(
        &said,
        &["`b.weight` reads 4 features, the layer before it gives 3"],
    );
}

#[test]
fn files_that_are_no_weights_are_refused_by_name() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 44420\n";
    let array = b"\x93NUMPY\x01\0v\0{'descr': '<f4'}";
    let arrays = crate::archive::archive(&[crate::archive::Entry::new("weights.npy", array)]);
    let keras =
        crate::archive::archive(&[crate::archive::Entry::new("model.weights.h5", b"\x89HDF")]);
    let cases: [(&[u8], &str); 10] = [
        (
            pointer.as_bytes(),
            "Git LFS pointer (spec v1) to a file of 44420 bytes",
        ),
        (b"<!DOCTYPE html>\n<html></html>", "HTML page"),
        (b"", "empty"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "gzip"),
        (array, "NumPy array"),
        (&arrays, "NumPy archive"),
        (b"\x89HDF\r\n\x1a\n\0\0", "HDF5"),
        (&keras, "Keras"),
        (b"ReLU\n[[0.1, 0.2], [0.3, 0.4]]\n[0.1, 0.2]\n", "ERAN"),
        (b"{\"weight_map\": {}}", "shards"),
    ];
    for (bytes, words) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.pth");
        std::fs::write(&path, bytes).unwrap();
        assert_says(&refusal(Model::open(&path)), &["weights.pth", words]);
    }
    for (file, words) in [
        ("script.pt", "TorchScript"),
        ("bzip2.pt", "compressed by method 12"),
        ("protocol_0.pt", "refers to something that is no storage"),
    ] {
        assert_says(&refusal(Model::open(&network(file))), &[file, words]);
    }
}

#[test]
fn a_file_of_acas_xu_is_a_network_in_its_own_units() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.nnet");
    let five = |x: &str| format!("{}\n", [x; 5].join(","));
    let six = |x: &str| format!("{}\n", [x; 6].join(","));
    let mut text = "// ACAS Xu\n1,5,5,5,\n5,5,\n0,\n".to_owned();
    text += &(five("-1") + &five("1") + &six("0.5") + &six("2"));
    text += &(five("0.25").repeat(5) + &"1.5,\n".repeat(5));
    std::fs::write(&path, &text).unwrap();
    let model = Model::open(&path).unwrap();
    assert_eq!(steps(&model), ["scaling", "0", "scaling"]);
    assert_eq!(model.dtype("0.weight").unwrap(), Dtype::F64);
    assert_eq!(model.answer(), model::AnswerRule::Smallest);
    assert_noted(model.notes(), "clip others to them, which is not done here");
    assert_noted(model.notes(), "assumed: five inputs and five outputs");
    std::fs::write(&path, text.replace("1.5,\n", "x,\n")).unwrap();
    assert_says(
        &refusal(Model::open(&path)),
        &["net.nnet", ".nnet", "line 14"],
    );
}

#[test]
fn what_no_architecture_has_is_shown() {
    let tensors =
        ["encoder.conv.weight", "encoder.conv.bias", "gamma"].map(|name| matrix(name, 2, 2));
    let other = Checkpoint::from_tensors(&tensors, &BTreeMap::new(), "other").unwrap();
    let said = refusal(Model::new(other));
    assert_says(
        &said,
        &["its tensors are `encoder.conv.bias` [2], `encoder.conv.weight` [2, 2], `gamma` [2]"],
    );
}

#[test]
fn a_published_network_is_read_with_its_activation() {
    let Some(assets) = crate::common::assets("found") else {
        return;
    };
    let path: &Path = &assets.join("found/mnist_gelu_3_100.pth");
    assert_says(
        &refusal(Model::open(path)),
        &["does not say the activation"],
    );
    let model = Model::open_with(path, &activation(Activation::Gelu)).unwrap();
    assert_eq!(steps(&model), ["0", "gelu", "2", "gelu", "4"]);
    assert_eq!(model.metadata()["activation"], "gelu");
}
