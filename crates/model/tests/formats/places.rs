//! Files that other files name: links, pipes and folders where they should lie.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use model::onnx::proto::ModelProto;
use model::{Activation, Checkpoint, Model, ModelError, mlp};
use prost::Message;

use crate::graphs::{external, model, node};

/// A folder for a network, and one that is none of its business.
struct Folders {
    _root: tempfile::TempDir,
    own: PathBuf,
    outside: PathBuf,
}

fn folders() -> Folders {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().canonicalize().unwrap();
    let [own, outside] = ["own", "outside"].map(|name| path.join(name));
    fs::create_dir(&own).unwrap();
    fs::create_dir(&outside).unwrap();
    Folders {
        _root: root,
        own,
        outside,
    }
}

fn network() -> Model {
    mlp::random(&[3, 4, 2], Activation::Relu, 0).unwrap()
}

fn refusal<T>(result: Result<T, ModelError>) -> String {
    match result {
        Err(error) => error.to_string(),
        Ok(_) => panic!("read, expected a refusal"),
    }
}

/// Checks that a refusal says where a link leads.
fn assert_leads_to<T>(result: Result<T, ModelError>, target: &Path) {
    let refusal = refusal(result);
    let words = format!("leads to {}", target.display());
    assert!(refusal.contains(&words), "expected `{words}` in: {refusal}");
}

/// Writes an index of one shard.
fn index(folder: &Path, shard: &str, checkpoint: &Checkpoint) {
    let names = checkpoint
        .names()
        .map(|name| format!("{name:?}: {shard:?}"));
    let names: Vec<String> = names.collect();
    let text = format!("{{\"weight_map\": {{{}}}}}", names.join(", "));
    fs::write(folder.join("model.safetensors.index.json"), text).unwrap();
}

#[test]
fn weights_of_a_folder_lie_in_it_and_a_link_that_is_named_may_lead_anywhere() {
    let Folders { own, outside, .. } = &folders();
    let target = outside.join("elsewhere.safetensors");
    network().write(&target).unwrap();
    let link = own.join("model.safetensors");
    symlink(&target, &link).unwrap();
    assert_leads_to(Checkpoint::open_folder(own), &target);
    assert_leads_to(Model::open(own), &target);
    Model::open(&link).unwrap();
    fs::remove_file(&link).unwrap();
    fs::rename(&target, own.join("kept.safetensors")).unwrap();
    symlink("kept.safetensors", &link).unwrap();
    Model::open(own).unwrap();
}

#[test]
fn shards_lie_in_the_folder_of_their_index() {
    let Folders { own, outside, .. } = &folders();
    let model = network();
    let target = outside.join("shard.safetensors");
    model.write(&target).unwrap();
    symlink(&target, own.join("link.safetensors")).unwrap();
    index(own, "link.safetensors", model.checkpoint());
    assert_leads_to(Checkpoint::open_folder(own), &target);
    for name in ["../outside/shard.safetensors", "..", ".", "", "a/b"] {
        index(own, name, model.checkpoint());
        let refusal = refusal(Checkpoint::open_folder(own));
        assert!(refusal.contains("no file of the folder"), "{refusal}");
    }
    fs::copy(&target, own.join("shard.safetensors")).unwrap();
    index(own, "shard.safetensors", model.checkpoint());
    Checkpoint::open_folder(own).unwrap();
}

#[test]
fn a_snapshot_of_the_hub_is_read_through_its_links() {
    let root = tempfile::tempdir().unwrap();
    let repository = root.path().join("models--o--n");
    let snapshot = repository.join("snapshots/0123");
    fs::create_dir_all(repository.join("blobs")).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    network().write(&repository.join("blobs/weights")).unwrap();
    fs::write(
        repository.join("blobs/config"),
        "{\"activation\": \"relu\"}",
    )
    .unwrap();
    symlink("../../blobs/weights", snapshot.join("model.safetensors")).unwrap();
    symlink("../../blobs/config", snapshot.join("config.json")).unwrap();
    for path in [snapshot.clone(), snapshot.join("model.safetensors")] {
        let model = Model::open(&path).unwrap();
        assert_eq!(model.config().unwrap()["activation"], "relu");
    }
    fs::write(root.path().join("secret.json"), "{}").unwrap();
    fs::remove_file(snapshot.join("config.json")).unwrap();
    symlink("../../../secret.json", snapshot.join("config.json")).unwrap();
    for path in [snapshot.clone(), snapshot.join("model.safetensors")] {
        assert!(refusal(Model::open(&path)).contains("secret.json"));
    }
}

#[test]
fn what_is_no_plain_file_is_refused_wherever_a_file_is_expected() {
    let Folders { own, outside, .. } = &folders();
    let weights = own.join("model.safetensors");
    let config = own.join("config.json");
    let pipe = outside.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for (path, other) in [(&weights, None), (&config, Some(&weights))] {
        if let Some(other) = other {
            network().write(other).unwrap();
        }
        for what in ["folder", "pipe", "device"] {
            match what {
                "folder" => fs::create_dir(path).unwrap(),
                "pipe" => fs::hard_link(&pipe, path).unwrap(),
                _ => symlink("/dev/zero", path).unwrap(),
            }
            for opened in [own, &weights] {
                if opened == path && what == "folder" {
                    continue;
                }
                let refusal = refusal(Model::open(opened));
                let known = ["expected a plain file", "leads to /dev/zero"];
                assert!(
                    known.iter().any(|words| refusal.contains(words)),
                    "{what}: {refusal}"
                );
            }
            match what {
                "folder" => fs::remove_dir(path).unwrap(),
                _ => fs::remove_file(path).unwrap(),
            }
        }
    }
}

/// A graph `x W` whose W lies beside it, in `location`.
fn beside(location: &str) -> ModelProto {
    let product = node("MatMul", &["x", "w"], "y");
    model(
        &[1, 2],
        vec![product],
        vec![external("w", &[2, 2], 1, location)],
    )
}

#[test]
fn external_data_lie_beside_their_model() {
    let Folders { own, outside, .. } = &folders();
    let path = own.join("m.onnx");
    fs::write(&path, beside("m.data").encode_to_vec()).unwrap();
    let target = outside.join("secret");
    fs::write(&target, [0; 16]).unwrap();
    symlink(&target, own.join("m.data")).unwrap();
    assert_leads_to(Model::open(&path), &target);
    // A link to the model that a person names opens the place that it leads to, and no other.
    let link = outside.join("link.onnx");
    symlink(&path, &link).unwrap();
    fs::remove_file(own.join("m.data")).unwrap();
    fs::write(outside.join("m.data"), [0; 16]).unwrap();
    Model::open(&link).unwrap();
    fs::remove_file(outside.join("m.data")).unwrap();
    fs::write(own.join("m.data"), [0; 16]).unwrap();
    symlink("../own/m.data", outside.join("m.data")).unwrap();
    Model::open(&link).unwrap();
    fs::remove_file(own.join("m.data")).unwrap();
    symlink("/dev/zero", own.join("m.data")).unwrap();
    assert!(refusal(Model::open(&path)).contains("/dev/zero"));
}
