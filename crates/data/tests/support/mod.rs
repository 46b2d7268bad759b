//! Small sets on disk for the tests of labelled sets.

// Every test file uses some of these.
#![allow(dead_code, missing_docs)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use data::DataError;
use data::idx::{self, Idx};
use data::labelled::{ClassTable, Intake, LabelledSet, Options, Outputs, Reader, Unlabelled};
use data::text::{Casing, Tokenizer};
use safetensors::tensor::{Dtype, TensorView, serialize};

/// A folder that vanishes with the test.
pub(crate) struct Folder(pub(crate) tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(crate) fn bytes(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn text(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Images of 2 x 3 pixels under `images`, labels under `labels`.
    pub(crate) fn idx(&self, images: &str, count: usize, labels: &str, classes: &[u8]) -> PathBuf {
        let path = self.path(images);
        let values = (0..count * 6).map(|i| (i * 17 % 256) as u8).collect();
        idx::write(
            &path,
            &Idx {
                shape: vec![count, 2, 3],
                values,
            },
        )
        .unwrap();
        let labels = self.path(labels);
        let values = classes.to_vec();
        idx::write(
            &labels,
            &Idx {
                shape: vec![classes.len()],
                values,
            },
        )
        .unwrap();
        path
    }

    pub(crate) fn tensors(
        &self,
        name: &str,
        tensors: &[(&str, Dtype, &[usize], &[u8])],
    ) -> PathBuf {
        let path = self.path(name);
        let views: HashMap<&str, TensorView<'_>> = tensors
            .iter()
            .map(|&(name, dtype, shape, bytes)| {
                (name, TensorView::new(dtype, shape.to_vec(), bytes).unwrap())
            })
            .collect();
        std::fs::write(&path, serialize(views, None).unwrap()).unwrap();
        path
    }

    pub(crate) fn tokenizer(&self) -> Intake {
        let words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nfine\nfilm\ndull\n";
        let vocabulary = self.text("vocab.txt", words);
        let tokenizer = Tokenizer::from_vocab(&vocabulary, Casing::default(), 16).unwrap();
        Intake::Tokens(Box::new(tokenizer))
    }
}

pub(crate) fn read(intake: &Intake, classes: usize, path: &Path) -> Result<LabelledSet, DataError> {
    reader(intake, classes).read(path, None)
}

pub(crate) fn reader(intake: &Intake, classes: usize) -> Reader<'_> {
    Reader {
        intake,
        classes,
        class_names: &[],
        limit: None,
    }
}

/// The message of a refusal, without the folder.
pub(crate) fn refusal(folder: &Folder, result: Result<LabelledSet, DataError>) -> String {
    let root = format!("{}/", folder.0.path().display());
    result.unwrap_err().to_string().replace(&root, "")
}

pub(crate) fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// The options of a set whose labels may be missing.
pub(crate) fn keep() -> Options {
    Options {
        unlabelled: Unlabelled::Keep,
        ..Options::default()
    }
}

/// A choice of columns.
pub(crate) fn columns(given: &str) -> Options {
    Options {
        columns: Some(given.parse().unwrap()),
        ..Options::default()
    }
}

/// Everything of a set that is opened with `options`, with the labels understood by themselves.
pub(crate) fn all(
    intake: &Intake,
    outputs: &Outputs<'_>,
    path: &Path,
    options: &Options,
) -> Result<LabelledSet, DataError> {
    let open = reader(intake, outputs.count).open(path, options)?;
    let table = ClassTable::new(outputs, &[&open])?;
    let mut set = open.read(&open.positions(None), &table)?;
    let mut passed_over = open.passed_over().clone();
    passed_over.merge(set.passed_over);
    set.passed_over = passed_over;
    Ok(set)
}

/// A file of the stored sets.
pub(crate) fn stored(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.join("tests/reference/sets").join(name)
}

/// A `.npy` file.
pub(crate) fn npy(descr: &str, fortran: bool, shape: &[usize], elements: &[u8]) -> Vec<u8> {
    let dims: String = shape.iter().map(|dim| format!("{dim}, ")).collect();
    let order = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({dims}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(elements);
    bytes
}
