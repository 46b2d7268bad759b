//! What must not be in the workspace.
//!
//! Each check is a function from the files to findings, and each finding names a file and a line.
//! ARCHITECTURE.md states the same rules for readers.

mod code;
mod manifests;
mod sources;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use experiments::terminal;
use miette::{Context, IntoDiagnostic, ensure};

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn workspace_root() -> PathBuf {
    // `cargo run` says where this package is now; a binary that is run by hand knows where it was.
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map(Path::to_owned).unwrap_or(package)
}

/// Checks the workspace and prints what was found.
pub(crate) fn run() -> miette::Result<ExitCode> {
    let files = text_files(&workspace_root())?;
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&files)).collect();
    findings.extend(manifests::compiled_c(&cargo_tree()?));
    findings.sort();
    for finding in &findings {
        terminal::print(format_args!("{finding}"));
    }
    terminal::print(format_args!(
        "tidy: {} files, {} findings",
        files.len(),
        findings.len()
    ));
    Ok(if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

type Check = fn(&[TextFile]) -> Vec<Finding>;

const CHECKS: &[Check] = &[
    sources::connections,
    sources::printing,
    sources::panics,
    sources::solver_names,
    sources::length,
    sources::front_pages,
    manifests::solver_dependencies,
    manifests::connection_dependencies,
    manifests::tensor_dependencies,
    manifests::direction,
    words::foreign_words,
];

/// A file of the workspace: path from the root with `/`, and text.
struct TextFile {
    path: String,
    text: String,
}

impl TextFile {
    /// `optim` for `crates/optim/...`.
    fn library(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the file is compiled into tests or benches only.
    fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| matches!(part, "tests" | "benches" | "tests.rs"))
    }

    fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding {
            path: self.path.clone(),
            line,
            message: message.into(),
        }
    }
}

/// Something that must not be there.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1.
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// The UTF-8 files below `root` that are not ignored by a whole folder in `.gitignore`.
fn text_files(root: &Path) -> miette::Result<Vec<TextFile>> {
    let ignore = std::fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let ignored: Vec<PathBuf> = ignore
        .lines()
        .filter_map(|line| line.strip_prefix('/'))
        .map(|folder| root.join(folder.trim_end_matches('/')))
        .chain([root.join(".git")])
        .collect();
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .into_diagnostic()
            .with_context(|| shown(&folder))?;
        for entry in entries {
            let path = entry.into_diagnostic()?.path();
            if ignored.contains(&path) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path)
                .into_diagnostic()
                .with_context(|| shown(&path))?;
            if let Ok(text) = String::from_utf8(bytes) {
                let relative = path.strip_prefix(root).into_diagnostic()?;
                files.push(TextFile {
                    path: shown(relative).replace('\\', "/"),
                    text,
                });
            }
        }
    }
    Ok(files)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Every crate that some feature of the workspace compiles on this machine, one a line, with its depth
/// in the tree in front.
fn cargo_tree() -> miette::Result<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--workspace",
            "--all-features",
            "--locked",
            "--edges",
            "all",
        ])
        .args(["--prefix", "depth", "--format", " {p}"])
        .current_dir(workspace_root())
        .output()
        .into_diagnostic()
        .wrap_err("cargo tree")?;
    ensure!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).into_diagnostic()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn file(path: &str, text: &str) -> TextFile {
        TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// `path:line` of each finding.
    pub(super) fn places(findings: Vec<Finding>) -> Vec<String> {
        findings
            .iter()
            .map(|f| format!("{}:{}", f.path, f.line))
            .collect()
    }

    #[test]
    fn ignored_folders_and_binary_files_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        for (path, bytes) in [
            ("keep/text.rs", b"//!".as_slice()),
            ("keep/binary.gz", &[0x1f, 0x8b, 0xff]),
            ("target/text.rs", b"//!"),
            (".git/config", b"[core]"),
            (".gitignore", b"/target\n"),
        ] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let mut paths: Vec<_> = text_files(root.path())
            .unwrap()
            .into_iter()
            .map(|file| file.path)
            .collect();
        paths.sort();
        assert_eq!(paths, [".gitignore", "keep/text.rs"]);
    }

    #[test]
    fn findings_print_as_file_and_line() {
        let finding = file("crates/data/src/lib.rs", "").finding(3, "why");
        assert_eq!(finding.to_string(), "crates/data/src/lib.rs:3: why");
    }
}
