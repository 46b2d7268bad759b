//! Tables of texts and numbers, and the tokenizers that read them.

use std::path::Path;

use data::DataError;
use data::glue::{self, Split, Task};
use data::text::{Casing, Tokenizer};

use super::Folder;
use super::sets::{self, For};

/// Sentences that every tokenizer is tried with.
const TEXTS: [(&str, Option<&str>); 5] = [
    ("the film is good", None),
    (
        "A [MASK] Fine\tfilms \u{e9}\u{301} \u{4e2d}\u{6587} \u{1f600} ooooooooooooooooooooooo",
        None,
    ),
    ("", Some("dull")),
    ("a", Some("unaffable \u{200d}\u{0} 3.14 #!?")),
    (LONG, None),
];

/// A word of more letters than any has.
const LONG: &str = "zqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzq\
                    zqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzqzq";

/// A table with commas or tabs, of numbers and of texts.
pub(super) fn csv(bytes: &[u8]) -> bool {
    let folder = Folder::new();
    let mut any = false;
    for name in ["table.csv", "table.tsv"] {
        let path = folder.file(name, bytes);
        any |= sets::read(&path, &[For::Numbers, For::Texts]);
    }
    any | glue_table(&folder, "dev.tsv", bytes)
}

/// Lines of JSON.
pub(super) fn jsonl(bytes: &[u8]) -> bool {
    let folder = Folder::new();
    sets::read(&folder.file("table.jsonl", bytes), &[For::Texts])
}

/// A parquet file: pictures, texts, and tasks of GLUE.
pub(super) fn parquet(bytes: &[u8]) -> bool {
    let folder = Folder::new();
    let path = folder.file("table.parquet", bytes);
    let set = sets::read(&path, &[For::Texts, For::Pictures, For::Numbers]);
    set | glue_table(&folder, "validation.parquet", bytes)
}

/// The tasks of GLUE that the bytes are read as.
fn glue_table(folder: &Folder, file: &str, bytes: &[u8]) -> bool {
    let mut any = false;
    let names = match file {
        "dev.tsv" => ["SST-2", "MRPC", "STS-B"],
        _ => ["sst2", "mrpc", "stsb"],
    };
    for (name, task) in names.into_iter().zip([Task::Sst2, Task::Mrpc, Task::Stsb]) {
        folder.file(&format!("{name}/{file}"), bytes);
        if let Ok((set, _)) = glue::load_undamaged(folder.path(), task, Split::Validation) {
            set.validate().unwrap();
            any = true;
        }
    }
    any
}

/// A vocabulary.
pub(super) fn vocab_txt(bytes: &[u8]) -> bool {
    let folder = Folder::new();
    let path = folder.file("vocab.txt", bytes);
    let plain = tokenizes(Tokenizer::from_vocab(&path, Casing::default(), 16));
    plain | tokenizes(Tokenizer::load(with_settings(&folder)))
}

/// A `tokenizer.json`.
pub(super) fn tokenizer_json(bytes: &[u8]) -> bool {
    let folder = Folder::new();
    folder.file("tokenizer.json", bytes);
    tokenizes(Tokenizer::load(with_settings(&folder)))
}

fn with_settings(folder: &Folder) -> &Path {
    folder.file("config.json", br#"{"max_position_embeddings": 16}"#);
    folder.file("tokenizer_config.json", br#"{"do_lower_case": true}"#);
    folder.path()
}

/// Whether there is a tokenizer; what it says of every text is checked.
fn tokenizes(tokenizer: Result<Tokenizer, DataError>) -> bool {
    let Ok(tokenizer) = tokenizer else {
        return false;
    };
    for text in TEXTS {
        let Ok(batch) = tokenizer.encode(&[text]) else {
            continue;
        };
        assert!(batch.length <= tokenizer.positions());
        let known = tokenizer.vocabulary_len();
        assert!(
            batch.ids.iter().all(|&id| (id as usize) < known),
            "{text:?}: {:?}",
            batch.ids
        );
        assert_eq!(batch.ids.len(), batch.mask.len());
    }
    true
}
