//! What the whole-workspace tests in `tests/` share: the repository's files, the `experiments` command and
//! the tables that it writes.
//!
//! The tests see the workspace from outside: through files, through the command, and through the libraries'
//! public functions.

pub mod formats;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

/// The repository's root folder.
pub fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// The plan of a run that takes seconds: 4 repair sets, 2 methods, every layer of the shipped 3x100 network.
pub fn small_plan() -> PathBuf {
    repository().join("tests/plans/small.toml")
}

/// The folder of hostile files for one parser.
pub fn hostile(parser: &str) -> PathBuf {
    repository().join("tests/hostile").join(parser)
}

/// Names without extension of the files in `folder` with that extension.
pub fn stems(folder: &Path, extension: &str) -> BTreeSet<String> {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect()
}

/// An error and its causes, as one text.
pub fn with_causes(error: &dyn Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

/// The `experiments` command of the build that this test belongs to, to be run in the repository's root.
///
/// It is built first where it is missing or older than the sources: a test of one package alone does not
/// build another package's binary.
pub fn experiments() -> Command {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let binary = profile.join(format!("experiments{}", std::env::consts::EXE_SUFFIX));
    let built = std::fs::metadata(&binary)
        .and_then(|file| file.modified())
        .ok();
    if built.is_none_or(|built| built < newest(&repository().join("crates"))) {
        build(&profile.file_name().unwrap().to_string_lossy());
    }
    let mut command = Command::new(binary);
    command.current_dir(repository()).env_remove("RUST_LOG");
    command
}

fn build(folder: &str) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile = if folder == "debug" { "dev" } else { folder };
    let arguments = [
        "build",
        "--quiet",
        "--package",
        "experiments",
        "--profile",
        profile,
    ];
    let mut command = Command::new(cargo);
    let status = command
        .args(arguments)
        .current_dir(repository())
        .status()
        .unwrap();
    assert!(status.success(), "experiments does not build: {status}");
}

/// The latest modification of a Rust source below `folder`.
fn newest(folder: &Path) -> SystemTime {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter_map(|path| match path.extension() {
            _ if path.is_dir() => Some(newest(&path)),
            Some(extension) if extension == "rs" => {
                path.metadata().and_then(|file| file.modified()).ok()
            }
            _ => None,
        })
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// What a command printed on standard error.
pub fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A text without its layout: diagnostics are wrapped and framed for a terminal.
pub fn unframed(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && !('\u{2500}'..='\u{257f}').contains(c))
        .collect()
}

/// A row of a CSV file: its cells by their column's name.
pub type Row = BTreeMap<String, String>;

/// The rows of a CSV file.
pub fn rows(path: &Path) -> Vec<Row> {
    let mut reader =
        csv::Reader::from_path(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    reader.deserialize().map(|row| row.unwrap()).collect()
}

/// The number in a row's cell.
pub fn number(row: &Row, column: &str) -> f64 {
    let cell = row
        .get(column)
        .unwrap_or_else(|| panic!("no column {column}"));
    cell.parse()
        .unwrap_or_else(|_| panic!("{column}: {cell:?} is no number"))
}

/// The folder of real weights and data, or a message and `None` when it lacks `part`.
pub fn assets(part: &str) -> Option<PathBuf> {
    let given = std::env::var_os("INFORMED_REPAIR_ASSETS").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| repository().join("../shared/assets"));
    if folder.join(part).is_dir() {
        return Some(folder);
    }
    eprintln!(
        "skipped: no `{part}` in {}; set INFORMED_REPAIR_ASSETS",
        folder.display()
    );
    None
}
