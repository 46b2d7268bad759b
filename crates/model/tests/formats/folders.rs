//! Folders of weights, shards, and the configuration that lies beside them.

use std::collections::BTreeMap;
use std::path::Path;

use model::{Checkpoint, Dtype, StoredTensor};

use crate::common::assets;
use crate::{assert_refused, assert_same_tensors, reference};

fn tensor(name: &str, value: f32) -> StoredTensor {
    StoredTensor {
        name: name.to_owned(),
        dtype: Dtype::F32,
        shape: vec![1],
        bytes: value.to_le_bytes().to_vec(),
    }
}

fn write(path: &Path, tensors: &[StoredTensor]) {
    let checkpoint = Checkpoint::from_tensors(tensors, &BTreeMap::new(), "test").unwrap();
    checkpoint.write(path).unwrap();
}

#[test]
fn a_folder_is_read_by_the_names_of_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert_refused(
        Checkpoint::read(folder.path()),
        &["model.safetensors", "got none"],
    );

    write(&at("any.safetensors"), &[tensor("a", 1.0)]);
    assert_eq!(
        Checkpoint::read(folder.path())
            .unwrap()
            .tensor("a")
            .unwrap(),
        [1.0]
    );

    std::fs::copy(reference("zip.pt"), at("other.pt")).unwrap();
    assert_refused(
        Checkpoint::read(folder.path()),
        &["one weight file", "any.safetensors, other.pt"],
    );

    std::fs::copy(reference("legacy.pth"), at("pytorch_model.bin")).unwrap();
    let got = Checkpoint::open_folder(folder.path()).unwrap();
    assert_same_tensors(
        &got,
        &Checkpoint::read(&reference("expected.safetensors")).unwrap(),
    );

    write(&at("model.safetensors"), &[tensor("b", 2.0)]);
    std::fs::write(at("config.json"), r#"{"model_type": "distilbert"}"#).unwrap();
    let got = Checkpoint::read(folder.path()).unwrap();
    assert_eq!(got.tensor("b").unwrap(), [2.0]);
    assert_eq!(got.origin(), at("model.safetensors").display().to_string());
    assert_eq!(got.config().unwrap()["model_type"], "distilbert");
}

#[test]
fn shards_make_one_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(
        &at("model-1.safetensors"),
        &[tensor("a", 1.0), tensor("c", 3.0)],
    );
    write(&at("model-2.safetensors"), &[tensor("b", 2.0)]);
    std::fs::write(at("config.json"), r#"{"dim": 4}"#).unwrap();
    let index = |b: &str| {
        format!(
            r#"{{"weight_map": {{"a": "model-1.safetensors", "b": "{b}", "c": "model-1.safetensors"}}}}"#
        )
    };
    let path = at("model.safetensors.index.json");
    std::fs::write(&path, index("model-2.safetensors")).unwrap();
    let got = Checkpoint::read(folder.path()).unwrap();
    assert_eq!(got.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(got.tensor("b").unwrap(), [2.0]);
    assert_eq!(got.config().unwrap()["dim"], 4);

    let refusals: [(&str, &[&str]); 4] = [
        (&index("model-1.safetensors"), &["lacks tensor `b`"]),
        (
            &index("../model-2.safetensors"),
            &["tensor `b` is in no file of the folder"],
        ),
        (
            &index("model-3.safetensors"),
            &["cannot read", "model-3.safetensors"],
        ),
        (r#"{"weights": 3}"#, &["index.json", "weight_map"]),
    ];
    for (text, words) in refusals {
        std::fs::write(&path, text).unwrap();
        assert_refused(Checkpoint::read(folder.path()), words);
    }
    std::fs::write(&path, r#"{"weight_map": {"a": "model-1.safetensors"}}"#).unwrap();
    assert_refused(Checkpoint::read(folder.path()), &["holds tensor `c`"]);
}

#[test]
fn edits_keep_the_configuration() {
    let config = serde_json::json!({"dim": 4});
    let checkpoint =
        Checkpoint::from_tensors(&[tensor("a", 1.0)], &BTreeMap::new(), "test").unwrap();
    let edited = checkpoint
        .with_config(config.clone())
        .with_tensors(&BTreeMap::from([("a".to_owned(), vec![2.0])]))
        .unwrap();
    assert_eq!(edited.config(), Some(&config));
}

#[test]
fn real_checkpoints_bring_their_configuration() {
    let Some(assets) = assets("squeezenet") else {
        return;
    };
    let folder = Checkpoint::read(&assets.join("distilbert_minilm_sst2")).unwrap();
    assert_eq!(folder.config().unwrap()["model_type"], "distilbert");
    let file = Checkpoint::read(&assets.join("random_refs/hf_distilbert_small.random.safetensors"))
        .unwrap();
    assert_eq!(file.config().unwrap()["n_layers"], 3);
    let bare = Checkpoint::read(&assets.join("squeezenet/squeezenet1_1.safetensors")).unwrap();
    assert_eq!(bare.config(), None);
}

#[test]
fn tensors_that_do_not_fit_their_bytes_are_refused_by_name() {
    let build =
        |tensors: &[StoredTensor]| Checkpoint::from_tensors(tensors, &BTreeMap::new(), "test");
    let mut short = tensor("a", 1.0);
    short.shape = vec![2, 3];
    assert_refused(build(&[short]), &["test", "`a`", "[2, 3]", "4 bytes"]);
    let mut huge = tensor("a", 1.0);
    huge.shape = vec![usize::MAX, usize::MAX];
    assert_refused(build(&[huge]), &["`a`", "does not fit"]);
    assert_refused(
        build(&[tensor("a", 1.0), tensor("a", 2.0)]),
        &["`a` comes twice"],
    );
    assert_refused(
        build(&[tensor("__metadata__", 1.0)]),
        &["name of the metadata"],
    );
    assert_refused(
        build(&[tensor("a", f32::INFINITY)]),
        &["tensor `a` holds inf"],
    );
}
