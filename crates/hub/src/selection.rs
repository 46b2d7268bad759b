//! Which files of a repository without a registry entry are fetched.

use crate::Kind;

/// What a model needs beside its weights.
const COMPANIONS: [&str; 6] = [
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
];
/// Endings of files with weights, the preferred ones first.
const WEIGHTS: [&str; 5] = [".safetensors", ".bin", ".pth", ".pt", ".onnx"];
/// Endings of files with data, the preferred ones first.
const DATA: [&str; 3] = [".parquet", ".tsv", ".gz"];

/// What is looked for, in words.
pub(crate) fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Model => "weights (.safetensors, .bin, .pth, .pt or .onnx)",
        Kind::Dataset => "data (.parquet, .tsv or .gz)",
    }
}

/// The files to fetch of those that a repository has; none if it has nothing of use.
///
/// Of a model: the root's weights in one format, whole ones before shards, and what describes them.
/// Of a dataset: all files in one format.
pub(crate) fn select(kind: Kind, files: &[String]) -> Vec<String> {
    match kind {
        Kind::Model => checkpoint(files),
        Kind::Dataset => {
            let mut formats = DATA.iter().map(|ending| with_ending(files.iter(), ending));
            let first = formats.find(|files| !files.is_empty());
            first.unwrap_or_default()
        }
    }
}

fn checkpoint(files: &[String]) -> Vec<String> {
    let root = || files.iter().filter(|file| !file.contains('/'));
    for ending in WEIGHTS {
        let mut weights = with_ending(root(), ending);
        let whole = ["model", "pytorch_model"].map(|stem| format!("{stem}{ending}"));
        if let Some(whole) = whole.into_iter().find(|name| weights.contains(name)) {
            weights = vec![whole];
        }
        if weights.is_empty() {
            continue;
        }
        weights.extend(with_ending(root(), &format!("{ending}.index.json")));
        weights.extend(
            root()
                .filter(|file| COMPANIONS.contains(&file.as_str()))
                .cloned(),
        );
        return weights;
    }
    Vec::new()
}

fn with_ending<'a>(files: impl Iterator<Item = &'a String>, ending: &str) -> Vec<String> {
    files
        .filter(|file| file.ends_with(ending))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(kind: Kind, files: &[&str]) -> Vec<String> {
        let files: Vec<String> = files.iter().map(|&file| file.to_owned()).collect();
        select(kind, &files)
    }

    #[test]
    fn whole_safetensors_win_over_other_formats_and_shards() {
        let files = [
            "README.md",
            "config.json",
            "model-00001-of-00002.safetensors",
            "model.safetensors",
            "onnx/model.onnx",
            "pytorch_model.bin",
            "vocab.txt",
        ];
        let expected = ["model.safetensors", "config.json", "vocab.txt"];
        assert_eq!(chosen(Kind::Model, &files), expected);
    }

    #[test]
    fn shards_come_with_their_index() {
        let files = [
            "model-1.safetensors",
            "model-2.safetensors",
            "model.safetensors.index.json",
        ];
        assert_eq!(chosen(Kind::Model, &files), files);
    }

    #[test]
    fn older_formats_are_taken_when_there_is_nothing_else() {
        assert_eq!(
            chosen(
                Kind::Model,
                &["config.json", "pytorch_model.bin", "training_args.bin"]
            ),
            ["pytorch_model.bin", "config.json"]
        );
        assert_eq!(
            chosen(Kind::Model, &["squeezenet1.1-7.onnx"]),
            ["squeezenet1.1-7.onnx"]
        );
        assert!(chosen(Kind::Model, &["README.md", "onnx/model.onnx"]).is_empty());
    }

    #[test]
    fn datasets_are_fetched_whole() {
        let files = [
            "README.md",
            "a/train.parquet",
            "a/train.tsv",
            "b/test.parquet",
        ];
        assert_eq!(
            chosen(Kind::Dataset, &files),
            ["a/train.parquet", "b/test.parquet"]
        );
        assert_eq!(chosen(Kind::Dataset, &["dev.tsv"]), ["dev.tsv"]);
    }
}
