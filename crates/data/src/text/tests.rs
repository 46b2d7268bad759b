//! What the tests of texts and of GLUE share: the stored assets and a small tokenizer.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Casing, Target, TextDataset, TextExample, Tokenizer};
use crate::ExampleId;

/// A folder of the stored assets, or none and a message.
pub(crate) fn assets(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("INFORMED_REPAIR_ASSETS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets"),
        PathBuf::from,
    );
    let folder = root.join(folder);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "skipped: no {}; set INFORMED_REPAIR_ASSETS",
        folder.display()
    );
    None
}

/// A vocabulary with words, continuations and punctuation; a token's id is its line.
pub(crate) const VOCABULARY: [&str; 24] = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[unused0]",
    "a",
    "the",
    "film",
    "plot",
    "is",
    "not",
    "good",
    "great",
    "bad",
    "dull",
    "never",
    "##ly",
    "##s",
    ".",
    ",",
    "'",
    "t",
    "isn",
];

/// The tokenizer of [`VOCABULARY`] for a network of `positions` positions.
pub(crate) fn tokenizer(positions: usize) -> Tokenizer {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vocab.txt");
    fs::write(&path, VOCABULARY.join("\n")).unwrap();
    Tokenizer::from_vocab(&path, Casing::default(), positions).unwrap()
}

/// Reviews with the classes of SST-2.
pub(crate) fn reviews(texts: &[(&str, usize)]) -> TextDataset {
    let example = |(index, (text, class)): (u32, &(&str, usize))| TextExample {
        first: (*text).to_owned(),
        second: None,
        target: Target::Class(*class),
        id: ExampleId::clean("reviews", index),
    };
    TextDataset::new(
        (0..).zip(texts).map(example).collect(),
        vec!["negative".into(), "positive".into()],
    )
    .unwrap()
}
