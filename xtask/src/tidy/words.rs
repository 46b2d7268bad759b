//! Words that mean nothing outside one machine or one moment. This file is the one that may hold them.

use super::{Finding, TextFile};

/// Folders of one machine.
const MACHINE_PATHS: [&str; 4] = ["/home/", "/root/", "/Users/", "/work/"];

/// Hosts of package registries: a build's configuration names them, the repository does not.
const REGISTRY_HOSTS: [&str; 6] = [
    "crates.io",
    "pypi.org",
    "pythonhosted.org",
    "npmjs",
    "proxy.golang.org",
    "docker.io",
];

/// Notes to oneself, and references to a tracker that a reader does not have.
const NOTES: [&str; 6] = [
    "TODO",
    "FIXME",
    "XXX",
    "issue #",
    "issues show",
    "before-stop",
];

/// No file holds a word of one machine or one moment; every `Cargo.lock` is cargo's own.
pub(super) fn foreign_words(files: &[TextFile]) -> Vec<Finding> {
    let lists = [
        (MACHINE_PATHS.as_slice(), "is a folder of one machine"),
        (REGISTRY_HOSTS.as_slice(), "is a registry's host"),
        (NOTES.as_slice(), "is a note, not a statement"),
    ];
    let mut findings = Vec::new();
    let exempt = |path: &str| path.ends_with("Cargo.lock") || path == "xtask/src/tidy/words.rs";
    for file in files.iter().filter(|file| !exempt(&file.path)) {
        for (number, line) in (1..).zip(file.text.lines()) {
            for (words, why) in lists {
                let found = words.iter().filter(|word| line.contains(*word));
                findings.extend(found.map(|word| file.finding(number, format!("`{word}` {why}"))));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, places};
    use super::*;

    #[test]
    fn words_are_found_in_comments_too() {
        let files = [
            file("README.md", "See https://docs.rs/burn.\n"),
            file("crates/data/src/lib.rs", "// TODO\n//! in /home/me\n"),
            file(
                "Cargo.lock",
                "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
            ),
        ];
        let expected = ["crates/data/src/lib.rs:1", "crates/data/src/lib.rs:2"];
        assert_eq!(places(foreign_words(&files)), expected);
    }
}
