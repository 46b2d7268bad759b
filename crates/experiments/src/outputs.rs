//! The files that a command writes: none of them is one that it reads, whatever the flags say.

use std::path::{Path, PathBuf};

use data::labelled::{inputs_and_labels, labels_beside};
use network::{Model, Output, is_same_file};

use crate::error::{ExperimentError, Result};

/// Files that are read beside the weights of a network.
const COMPANIONS: [&str; 6] = [
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
];
/// End of the name of a file that lists the shards of a network.
const INDEX: &str = ".index.json";
/// The most entries of a folder, and of those in it, that are compared with an output.
const MOST_ENTRIES: usize = 1_000_000;

/// A file or set that a command reads, under the name of its flag.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input<'a> {
    /// A network in a file or a folder.
    Network(&'static str, &'a Path),
    /// A set in one file, in two with a comma between them, or in a folder.
    Set(&'static str, &'a Path),
}

/// Where a command writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outputs<'a> {
    /// `--out`, for a network.
    pub(crate) out: Option<&'a Path>,
    /// `--report`.
    pub(crate) report: Option<&'a Path>,
    /// Whether files that exist are written over.
    pub(crate) force: bool,
}

impl<'a> Outputs<'a> {
    /// Finds what cannot be written before anything is read.
    ///
    /// # Errors
    /// [`ExperimentError::Usage`] for one file under two flags, for a file that is an input, that exists
    /// and is not to be written over, that is no file, or that lacks a folder.
    pub(crate) fn check<'i>(&self, inputs: impl IntoIterator<Item = Input<'i>>) -> Result<()> {
        let inputs: Vec<Input<'_>> = inputs.into_iter().collect();
        for (flag, path) in self.named() {
            if let Some(input) = inputs.iter().find(|input| input.reads(path)) {
                return refused(flag, path, input.flag());
            }
            self.check_place(path)?;
        }
        match (self.out, self.report) {
            (Some(out), Some(report)) if is_one_place(out, report) => {
                usage("--out and --report name the same file".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Refuses the files that a network was read from, now that they are known.
    ///
    /// # Errors
    /// [`ExperimentError::Usage`].
    pub(crate) fn check_model(&self, flag: &str, model: &Model) -> Result<()> {
        let files = files_of(model);
        for (own, path) in self.named() {
            if files.iter().any(|file| is_same_file(file, path)) {
                return refused(own, path, flag);
            }
        }
        Ok(())
    }

    /// How one of the files is written.
    pub(crate) fn to<'b>(&self, path: &'b Path) -> Output<'b> {
        match self.force {
            true => Output::replacing(path),
            false => Output::fresh(path),
        }
    }

    fn named(&self) -> impl Iterator<Item = (&'static str, &'a Path)> {
        let files = [("--out", self.out), ("--report", self.report)];
        files
            .into_iter()
            .filter_map(|(flag, path)| Some((flag, path?)))
    }

    /// Refuses a place where no file can be written, or one is that is to stay.
    fn check_place(&self, file: &Path) -> Result<()> {
        let name = file.display();
        if file.is_dir() {
            return usage(format!("{name}: expected a file, got a folder"));
        }
        if file.file_name().is_none() {
            return usage(format!("{name}: expected the name of a file"));
        }
        if file.exists() && !file.is_file() {
            return usage(format!("{name}: expected a file, got a device or a pipe"));
        }
        // Also where a link leads nowhere.
        if file.symlink_metadata().is_ok() && !self.force {
            return usage(format!("{name} exists; write over it with --force"));
        }
        match folder_of(file) {
            folder if folder.is_dir() => Ok(()),
            folder => usage(format!("{}: no such folder", folder.display())),
        }
    }
}

impl Input<'_> {
    fn flag(&self) -> &'static str {
        match self {
            Self::Network(flag, _) | Self::Set(flag, _) => flag,
        }
    }

    /// Whether a file that exists is read as this input, by its device and number.
    fn reads(&self, file: &Path) -> bool {
        if !file.exists() {
            return false;
        }
        let is_it = |input: &Path| is_same_file(input, file);
        match self {
            Self::Network(_, path) => is_it(path) || companions(path).any(|beside| is_it(&beside)),
            Self::Set(_, path) => {
                let (inputs, labels) = inputs_and_labels(path);
                let labels = labels.or_else(|| labels_beside(&inputs));
                is_it(&inputs)
                    || labels.is_some_and(|labels| is_it(&labels))
                    || holds(&inputs, file)
            }
        }
    }
}

/// What lies beside the weights of a network and is read with them.
fn companions(network: &Path) -> impl Iterator<Item = PathBuf> {
    let folder = match network.is_dir() {
        true => network.to_owned(),
        false => folder_of(network).to_owned(),
    };
    let stem = network.file_stem().unwrap_or_default().to_string_lossy();
    let own = folder.join(format!("{stem}.config.json"));
    let named = COMPANIONS.map(|name| folder.join(name));
    named.into_iter().chain([own])
}

/// The files that the weights of a model were read from.
fn files_of(model: &Model) -> Vec<PathBuf> {
    let origin = PathBuf::from(model.origin());
    let mut files = model.external_files();
    if model.origin().ends_with(INDEX) {
        let text = disk::read(&origin, disk::MOST_SETTINGS).unwrap_or_default();
        let index: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let shards = index.get("weight_map").and_then(|map| map.as_object());
        let shards = shards.into_iter().flat_map(|map| map.values());
        let shards = shards.filter_map(|shard| shard.as_str());
        files.extend(shards.map(|shard| origin.with_file_name(shard)));
    }
    files.push(origin);
    files
}

/// Whether a folder, or one in it, holds a file under some name.
fn holds(folder: &Path, file: &Path) -> bool {
    let mut folders = vec![folder.to_owned()];
    let mut left = MOST_ENTRIES;
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        for entry in entries.take(left) {
            left -= 1;
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                _ if is_same_file(&path, file) => return true,
                _ => {}
            }
        }
    }
    false
}

/// Whether two paths name one file, which need not exist.
fn is_one_place(first: &Path, second: &Path) -> bool {
    let same_folder = || {
        let [first, second] = [first, second].map(folder_of);
        first == second || is_same_file(first, second)
    };
    is_same_file(first, second) || (first.file_name() == second.file_name() && same_folder())
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn refused(flag: &str, path: &Path, input: &str) -> Result<()> {
    usage(format!(
        "{flag} {}: is read as {input}, and is not written over, also not with --force",
        path.display()
    ))
}

fn usage(problem: String) -> Result<()> {
    Err(ExperimentError::Usage { problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        /// A folder with empty files.
        fn with(files: &[&str]) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            for file in files {
                let path = folder.at(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "").unwrap();
            }
            folder
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }
    }

    /// Why `--out` is refused, if it is.
    fn refusal(out: &Path, force: bool, input: Input<'_>) -> Option<String> {
        let outputs = Outputs {
            out: Some(out),
            report: None,
            force,
        };
        outputs.check([input]).err().map(|error| error.to_string())
    }

    #[test]
    fn an_input_is_refused_under_every_name_that_it_has() {
        let folder = Folder::with(&[
            "net.safetensors",
            "net.config.json",
            "vocab.txt",
            "t-images-idx3-ubyte.gz",
            "t-labels-idx1-ubyte.gz",
            "x.npy",
            "y.npy",
            "pictures/0/a.png",
            "pictures/labels.csv",
            "other",
        ]);
        let network = folder.at("net.safetensors");
        let images = folder.at("t-images-idx3-ubyte.gz");
        let pair = PathBuf::from(format!(
            "{},{}",
            folder.at("x.npy").display(),
            folder.at("y.npy").display()
        ));
        let pictures = folder.at("pictures");
        let cases = [
            (
                Input::Network("--network", &network),
                vec!["net.safetensors", "net.config.json", "vocab.txt"],
            ),
            (
                Input::Set("--repair", &images),
                vec!["t-images-idx3-ubyte.gz", "t-labels-idx1-ubyte.gz"],
            ),
            (Input::Set("--guard", &pair), vec!["x.npy", "y.npy"]),
            (
                Input::Set("--clean", &pictures),
                vec![
                    "pictures/0/a.png",
                    "pictures/labels.csv",
                    "pictures/../pictures/labels.csv",
                ],
            ),
        ];
        for (input, files) in cases {
            for file in files {
                for force in [true, false] {
                    let problem = refusal(&folder.at(file), force, input).unwrap();
                    let expected = format!("is read as {}", input.flag());
                    assert!(problem.contains(&expected), "{file}: {problem}");
                }
                let second = folder.at("second");
                std::fs::hard_link(folder.at(file), &second).unwrap();
                assert!(refusal(&second, true, input).is_some(), "{file}");
                std::fs::remove_file(&second).unwrap();
                #[cfg(unix)]
                {
                    std::os::unix::fs::symlink(folder.at(file), &second).unwrap();
                    assert!(refusal(&second, true, input).is_some(), "{file}");
                    std::fs::remove_file(&second).unwrap();
                }
            }
            assert_eq!(refusal(&folder.at("other"), true, input), None);
            assert_eq!(refusal(&folder.at("none"), false, input), None);
            let problem = refusal(&folder.at("other"), false, input).unwrap();
            assert!(problem.contains("--force"), "{problem}");
        }
    }

    #[test]
    fn two_outputs_are_two_files() {
        let folder = Folder::with(&["there", "folder/in"]);
        std::fs::hard_link(folder.at("there"), folder.at("again")).unwrap();
        for (out, report) in [
            ("none", "none"),
            ("none", "folder/../none"),
            ("there", "./there"),
            ("there", "again"),
        ] {
            let (out, report) = (folder.at(out), folder.at(report));
            let outputs = Outputs {
                out: Some(&out),
                report: Some(&report),
                force: true,
            };
            let problem = outputs.check([]).unwrap_err().to_string();
            assert!(problem.contains("the same file"), "{problem}");
        }
        let (out, report) = (folder.at("in"), folder.at("folder/in"));
        let outputs = Outputs {
            out: Some(&out),
            report: Some(&report),
            force: true,
        };
        outputs.check([]).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_exists() {
        let folder = Folder::with(&[]);
        let link = folder.at("link");
        std::os::unix::fs::symlink(folder.at("none"), &link).unwrap();
        let input = Input::Set("--repair", Path::new("none"));
        assert!(refusal(&link, false, input).unwrap().contains("exists"));
    }
}
