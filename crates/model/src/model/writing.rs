//! A model as files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Model;
use crate::formats::onnx::{OnnxFile, Written};
use crate::output::{Output, is_same_file};
use crate::{AnswerRule, ModelError, Note};

/// Metadata key of what was given or assumed when a repaired file was read.
const READING: &str = "informed_repair.reading";

impl Model {
    /// Writes the model over what is at `path`, as [`Model::write_to`] does.
    ///
    /// # Errors
    /// As [`Model::write_to`].
    pub fn write(&self, path: &Path) -> Result<(), ModelError> {
        self.write_to(&Output::replacing(path))
    }

    /// Writes the model in the format of its file; a safetensors file says in its metadata what was given
    /// or assumed when this one was read. Tensors that an ONNX file keeps beside it are
    /// written beside the output: under the same names, or, where another file has such a name, under
    /// the output's with `.data` behind it. A file that the model was read from is never written over.
    ///
    /// # Errors
    /// [`ModelError::Io`], or [`ModelError::Malformed`] when a tensor was changed that an ONNX file does
    /// not store.
    pub fn write_to(&self, output: &Output<'_>) -> Result<(), ModelError> {
        let Some(file) = &self.meaning.onnx else {
            let named = self.checkpoint.with_metadata(&self.sayings())?;
            return put(output, named.bytes()).map(drop);
        };
        let written = self.placed(file, output)?;
        let mut made = Vec::new();
        let outcome = written.external.iter().try_for_each(|(name, bytes)| {
            let path = output.path().with_file_name(name);
            // Several models may share a file of tensors that none of them edits.
            if !holds(&path, bytes) && put(&output.at(&path), bytes)? {
                made.push(path);
            }
            Ok(())
        });
        let outcome = outcome.and_then(|()| put(output, &written.model).map(drop));
        if outcome.is_err() {
            // A model that is not there needs no tensors; that they stay is no further error.
            made.iter()
                .for_each(|path| drop(std::fs::remove_file(path)));
        }
        outcome
    }

    /// The files beside an ONNX file that hold tensors of it; none for a model of another format.
    pub fn external_files(&self) -> Vec<PathBuf> {
        let names = self.meaning.onnx.iter().flat_map(|file| file.external());
        let origin = Path::new(self.origin());
        names.map(|name| origin.with_file_name(name)).collect()
    }

    /// The ONNX file with names for its external tensors that may be written.
    fn placed(&self, file: &OnnxFile, output: &Output<'_>) -> Result<Written, ModelError> {
        let written = file.written(&self.checkpoint, &BTreeMap::new())?;
        let inputs = self.external_files();
        let at = |name: &str| output.path().with_file_name(name);
        let own = output.path().file_name().unwrap_or_default();
        let own = own.to_string_lossy();
        let mut suffixes = (0..).map(|number| match number {
            0 => format!("{own}.data"),
            number => format!("{own}.data.{number}"),
        });
        let mut renamed = BTreeMap::new();
        for (name, bytes) in &written.external {
            let is_data = is_name_of_data(name);
            if is_data && (!at(name).exists() || holds(&at(name), bytes)) {
                continue;
            }
            let is_free = |path: &Path| {
                let is_input = || inputs.iter().any(|input| is_same_file(input, path));
                !path.exists() || holds(path, bytes) || (output.replaces() && !is_input())
            };
            let is_other = |name: &String| written.external.iter().any(|(other, _)| other == name);
            if let Some(free) = suffixes.find(|name| !is_other(name) && is_free(&at(name))) {
                renamed.insert(name.clone(), free);
            }
        }
        match renamed.is_empty() {
            true => Ok(written),
            false => file.written(&self.checkpoint, &renamed),
        }
    }

    /// What the file itself did not say, in metadata that its reader understands.
    fn sayings(&self) -> BTreeMap<String, String> {
        let unsaid = |note: &&Note| !matches!(note, Note::Read(_));
        let notes: Vec<String> = self
            .notes()
            .iter()
            .filter(unsaid)
            .map(Note::to_string)
            .collect();
        let mut sayings = BTreeMap::new();
        if !notes.is_empty() {
            sayings.insert(READING.to_owned(), notes.join("; "));
        }
        if self.answer() != AnswerRule::Largest {
            sayings.insert(super::ANSWER.to_owned(), self.answer().word());
        }
        sayings
    }
}

/// Whether a name that a file chose for its tensors is one that nothing but a reader of tensors opens: other
/// programs read files by their names.
fn is_name_of_data(name: &str) -> bool {
    let endings = ["data", "bin", "weight", "weights", "params"];
    let ending = name.rsplit(['.', '_']).next().unwrap_or_default();
    !name.starts_with('.') && ending.len() < name.len() && endings.contains(&ending)
}

/// Whether a file holds these bytes.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    disk::read(path, bytes.len() as u64).is_ok_and(|held| held == bytes)
}

/// Writes a file; whether there was none before.
fn put(output: &Output<'_>, bytes: &[u8]) -> Result<bool, ModelError> {
    let path = output.path();
    let is_new = !path.exists();
    output
        .write(bytes)
        .map(|()| is_new)
        .map_err(|source| ModelError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_lie_under_names_that_no_other_program_reads() {
        for name in [
            "m.data",
            "model.onnx.data",
            "weights.bin",
            "model.onnx_data",
            "w.weight",
        ] {
            assert!(is_name_of_data(name), "{name}");
        }
        for name in [
            ".bash_profile",
            ".data",
            "Makefile",
            "sitecustomize.py",
            "data",
            "a.data.sh",
            "",
        ] {
            assert!(!is_name_of_data(name), "{name}");
        }
    }
}
