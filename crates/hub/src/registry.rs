//! The registry: what is known about the weights and datasets that have a name.
//!
//! A registry is a TOML file of `[[weights]]` and `[[dataset]]` tables. Every key is documented on the
//! field that it fills; unknown keys are refused.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::repository::is_safe_path;
use crate::{Accuracy, Card, Checksum, HubError, Input, Kind, Repository, TextInput};

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisteredFile {
    /// Path in the repository, with `/`.
    #[serde(deserialize_with = "safe_path")]
    pub path: String,
    /// Its checksum, where it is published.
    pub sha256: Option<Checksum>,
    /// For datasets: `train`, `validation`, `test` or a variant of them.
    pub split: Option<String>,
}

/// A named source.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Name, without `/`.
    pub name: String,
    /// Where it comes from.
    pub repository: Repository,
    /// Licence, as its publisher states it.
    pub licence: String,
    /// Whether it is fetched when nothing is asked for by name.
    pub default: bool,
    /// The files that make it up.
    pub files: Vec<RegisteredFile>,
    /// The rest.
    pub card: Card,
}

/// The entries of a registry file.
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    path: PathBuf,
    entries: Vec<Entry>,
}

impl Registry {
    /// Reads a registry file.
    ///
    /// # Errors
    ///
    /// [`HubError::Io`], or [`HubError::Malformed`] with line and column.
    pub fn read(path: &Path) -> Result<Self, HubError> {
        let text = std::fs::read_to_string(path).map_err(HubError::io("read", path))?;
        Self::parse(path, &text)
    }

    /// Reads the text of a registry file; `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`HubError::Malformed`] with line and column.
    pub fn parse(path: &Path, text: &str) -> Result<Self, HubError> {
        let fault = |offset: usize, problem: String| {
            HubError::malformed("registry", path, text, offset, problem)
        };
        let file: File = toml::from_str(text).map_err(|error| {
            fault(
                error.span().map_or(0, |span| span.start),
                error.message().to_owned(),
            )
        })?;
        let weights = file.weights.into_iter().map(WeightsTable::entry);
        let datasets = file.dataset.into_iter().map(DatasetTable::entry);
        let mut entries: Vec<Entry> = Vec::new();
        for table in weights.chain(datasets) {
            let (offset, entry) = table.map_err(|(offset, problem)| fault(offset, problem))?;
            if entries.iter().any(|known| known.name == entry.name) {
                let problem = format!("expected a name of its own, got `{}` again", entry.name);
                return Err(fault(offset, problem));
            }
            entries.push(entry);
        }
        Ok(Self {
            path: path.to_owned(),
            entries,
        })
    }

    /// The file that was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All entries, weights first, each in the file's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The names of all entries.
    pub fn names(&self) -> Vec<&str> {
        self.entries
            .iter()
            .map(|entry| entry.name.as_str())
            .collect()
    }

    /// The entry of that name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The names of what is fetched when nothing is asked for by name.
    pub fn defaults(&self) -> Vec<&str> {
        let defaults = self.entries.iter().filter(|entry| entry.default);
        defaults.map(|entry| entry.name.as_str()).collect()
    }

    /// The names of the datasets in a group.
    pub fn group(&self, wanted: &str) -> Vec<&str> {
        let members = self.entries.iter().filter(|entry| match &entry.card {
            Card::Dataset { group, .. } => group.as_deref() == Some(wanted),
            Card::Weights { .. } => false,
        });
        members.map(|entry| entry.name.as_str()).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    weights: Vec<WeightsTable>,
    #[serde(default)]
    dataset: Vec<DatasetTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightsTable {
    name: Spanned<String>,
    repository: Spanned<String>,
    revision: String,
    licence: String,
    #[serde(default)]
    default: bool,
    files: Vec<RegisteredFile>,
    architecture: String,
    input: Input,
    #[serde(default)]
    accuracy: Vec<Accuracy>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatasetTable {
    name: Spanned<String>,
    repository: Spanned<String>,
    revision: String,
    licence: String,
    #[serde(default)]
    default: bool,
    files: Vec<RegisteredFile>,
    group: Option<String>,
    #[serde(default)]
    metrics: Vec<String>,
    #[serde(default)]
    note: String,
}

/// An entry with the byte at which it begins, or a fault and its place.
type Placed = Result<(usize, Entry), (usize, String)>;

/// What tables of both kinds begin with.
struct Head {
    kind: Kind,
    name: Spanned<String>,
    repository: Spanned<String>,
    revision: String,
    licence: String,
    default: bool,
    files: Vec<RegisteredFile>,
}

impl WeightsTable {
    fn entry(self) -> Placed {
        if let Input::Text(TextInput { tokenizer, .. }) = &self.input
            && !self.files.iter().any(|file| file.path == *tokenizer)
        {
            let problem =
                format!("tokenizer: expected one of the entry's files, got `{tokenizer}`");
            return Err((self.name.span().start, problem));
        }
        let card = Card::Weights {
            architecture: self.architecture,
            input: self.input,
            accuracy: self.accuracy,
        };
        let head = Head {
            kind: Kind::Model,
            name: self.name,
            repository: self.repository,
            revision: self.revision,
            licence: self.licence,
            default: self.default,
            files: self.files,
        };
        head.entry(card)
    }
}

impl DatasetTable {
    fn entry(self) -> Placed {
        let card = Card::Dataset {
            group: self.group,
            metrics: self.metrics,
            note: self.note,
        };
        let head = Head {
            kind: Kind::Dataset,
            name: self.name,
            repository: self.repository,
            revision: self.revision,
            licence: self.licence,
            default: self.default,
            files: self.files,
        };
        head.entry(card)
    }
}

impl Head {
    fn entry(self, card: Card) -> Placed {
        let at = self.name.span().start;
        let name = self.name.into_inner();
        if name.is_empty() || name.contains('/') {
            return Err((at, format!("expected a name without `/`, got `{name}`")));
        }
        if self.files.is_empty() {
            return Err((at, format!("`{name}`: expected files, got none")));
        }
        let place = self.repository.span().start;
        let repository = Repository::new(self.kind, self.repository.get_ref(), &self.revision)
            .map_err(|problem| (place, problem))?;
        let entry = Entry {
            name,
            repository,
            licence: self.licence,
            default: self.default,
            files: self.files,
            card,
        };
        Ok((at, entry))
    }
}

fn safe_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let path = String::deserialize(deserializer)?;
    if is_safe_path(&path) {
        return Ok(path);
    }
    let problem = format!("expected a path below the repository's root, got `{path}`");
    Err(serde::de::Error::custom(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHTS: &str = r#"[[weights]]
name = "net"
repository = "owner/net"
revision = "main"
licence = "MIT"
architecture = "squeezenet1_1"
files = [{ path = "net.onnx" }]
[weights.input.text]
tokenizer = "net.onnx"
lower_case = true
max_tokens = 512
"#;
    const DATASET: &str = r#"[[dataset]]
name = "sst2"
group = "glue"
repository = "owner/glue"
revision = "main"
licence = "other"
files = [{ path = "sst2/train.parquet", split = "train" }]
"#;

    fn fault(text: &str) -> String {
        let error = Registry::parse(Path::new("registry.toml"), text).unwrap_err();
        error.to_string()
    }

    #[test]
    fn shipped_registries_are_valid() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let weights = Registry::read(&root.join("weights/registry.toml")).unwrap();
        let wanted = ["squeezenet1.1", "mobilevit-xxs", "distilbert-sst2"];
        assert_eq!(weights.defaults(), wanted);
        let datasets = Registry::read(&root.join("datasets/registry.toml")).unwrap();
        assert_eq!(datasets.group("glue").len(), 9);
        assert!(
            ["mnist", "imagenet-1k", "imagenet-a"]
                .iter()
                .all(|name| datasets.entry(name).is_some())
        );
    }

    #[test]
    fn both_kinds_stand_in_one_file() {
        let text = format!("{WEIGHTS}{DATASET}");
        let registry = Registry::parse(Path::new("registry.toml"), &text).unwrap();
        assert_eq!(registry.names(), ["net", "sst2"]);
        assert_eq!(registry.group("glue"), ["sst2"]);
        let entry = registry.entry("sst2").unwrap();
        assert_eq!(entry.repository.to_string(), "datasets/owner/glue@main");
    }

    #[test]
    fn faults_have_line_and_column() {
        let cases = [
            (
                WEIGHTS.replace("licence", "license"),
                "registry.toml:5:1: bad registry: unknown field `license`",
            ),
            (
                WEIGHTS.replace("owner/net", "net"),
                "registry.toml:3:14: bad registry: expected a repository",
            ),
            (
                WEIGHTS.replace("path = \"", "path = \"../"),
                "registry.toml:7:19: bad registry: expected a path",
            ),
            (
                WEIGHTS.replace("\"net\"", "\"a/b\""),
                "registry.toml:2:8: bad registry: expected a name",
            ),
            (
                WEIGHTS.replace(".onnx\" }", ".onnx\", sha256 = \"12\" }"),
                "registry.toml:7:40: bad registry: expected 64",
            ),
            (
                WEIGHTS.replace("tokenizer = \"net.onnx\"", "tokenizer = \"x\""),
                "registry.toml:2:8: bad registry: tokenizer",
            ),
            (
                format!("{DATASET}{DATASET}"),
                "registry.toml:9:8: bad registry: expected a name of its own",
            ),
            (
                DATASET.replace("{ path = \"sst2/train.parquet\", split = \"train\" }", ""),
                "registry.toml:2:8: bad registry: `sst2`: expected files",
            ),
            ("[[weights]\n".to_owned(), "registry.toml:1:"),
        ];
        for (text, expected) in cases {
            let message = fault(&text);
            assert!(
                message.starts_with(expected),
                "{message}\n  expected {expected}"
            );
        }
    }
}
