//! `experiments repair`, `analyze` and `rank-layers` on files: what they write, say, and how they exit.

mod analyze;
mod digits;
mod limits;
mod networks;
mod outputs;
mod rank;
mod untrusted;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use network::{Activation, Checkpoint, Dtype, StoredTensor, mlp};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs `experiments repair` in the repository's root.
fn repair(arguments: &[&str]) -> Output {
    experiments("repair", arguments)
}

fn experiments(command: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_experiments"))
        .arg(command)
        .args(arguments)
        .current_dir(root())
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn expect(output: &Output, code: i32) -> (String, String) {
    let (out, err) = texts(output);
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    (out, err)
}

/// A text without its layout: diagnostics are wrapped and framed for a terminal.
fn unframed(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && !('\u{2500}'..='\u{257f}').contains(c))
        .collect()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// A network of one linear layer with two inputs and two outputs.
    fn line(&self) -> String {
        let path = self.path("line.safetensors");
        let checkpoint = mlp::random(&[2, 2], Activation::Relu, 1).unwrap();
        checkpoint.write(Path::new(&path)).unwrap();
        path
    }

    /// A batch of points with labels.
    fn batch(&self, name: &str, points: &[([f32; 2], i64)]) -> String {
        let inputs = points
            .iter()
            .flat_map(|(x, _)| *x)
            .flat_map(f32::to_le_bytes);
        let labels = points.iter().flat_map(|(_, y)| y.to_le_bytes());
        let tensor = |name: &str, dtype, shape: Vec<usize>, bytes: Vec<u8>| StoredTensor {
            name: name.to_owned(),
            dtype,
            shape,
            bytes,
        };
        let tensors = [
            tensor("labels", Dtype::I64, vec![points.len()], labels.collect()),
            tensor(
                "inputs",
                Dtype::F32,
                vec![points.len(), 2],
                inputs.collect(),
            ),
        ];
        let path = self.path(name);
        let batch = Checkpoint::from_tensors(&tensors, &Default::default(), name).unwrap();
        batch.write(Path::new(&path)).unwrap();
        path
    }
}
