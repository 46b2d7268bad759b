//! Checks on Rust sources.

use super::code::{library_code, lines_with};
use super::{Finding, TextFile};

/// The most lines of a source file.
const MAX_LINES: usize = 600;

/// Only `hub` opens a connection.
pub(super) fn connections(files: &[TextFile]) -> Vec<Finding> {
    let elsewhere = |file: &TextFile| !file.is_test() && file.library() != Some("hub");
    find(
        files,
        elsewhere,
        &[
            "std::net",
            "TcpStream",
            "UdpSocket",
            "ureq",
            "reqwest",
            "hf_hub",
        ],
        "opens a connection; only crates/hub does",
    )
}

/// The one place that prints.
const TERMINAL: &str = "crates/experiments/src/terminal.rs";

/// Only `terminal` prints, which writes control characters out.
pub(super) fn printing(files: &[TextFile]) -> Vec<Finding> {
    let elsewhere =
        |file: &TextFile| file.path.contains("/src/") && !file.is_test() && file.path != TERMINAL;
    find(
        files,
        elsewhere,
        &[
            "println!",
            "eprintln!",
            "print!",
            "eprint!",
            "dbg!",
            "io::stdout",
            "io::stderr",
            "set_message(",
            "set_prefix(",
            "finish_with_message(",
            ".println(",
        ],
        "prints; only crates/experiments/src/terminal.rs does",
    )
}

/// Libraries return errors.
pub(super) fn panics(files: &[TextFile]) -> Vec<Finding> {
    find(
        files,
        in_library_source,
        &[".unwrap()", ".expect(", "panic!", "todo!", "unimplemented!"],
        "panics; a library returns an error",
    )
}

/// Only `optim` names a solver.
pub(super) fn solver_names(files: &[TextFile]) -> Vec<Finding> {
    let elsewhere = |file: &TextFile| !file.is_test() && file.library() != Some("optim");
    find(
        files,
        elsewhere,
        &["clarabel", "microlp"],
        "names a solver; only crates/optim does",
    )
}

/// No source file is longer than `MAX_LINES`.
pub(super) fn length(files: &[TextFile]) -> Vec<Finding> {
    let sources = files.iter().filter(|file| file.is_rust());
    sources
        .map(|file| (file, file.text.lines().count()))
        .filter(|&(_, lines)| lines > MAX_LINES)
        .map(|(file, lines)| file.finding(MAX_LINES + 1, format!("{lines} lines: split it")))
        .collect()
}

/// Every crate begins with a front page, a library's with an example.
pub(super) fn front_pages(files: &[TextFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let is_library = file.library().is_some() && file.path.ends_with("/src/lib.rs");
        let is_root = is_library
            || ["/src/lib.rs", "/src/main.rs"]
                .iter()
                .any(|name| file.path.matches('/').count() <= 3 && file.path.ends_with(name));
        if is_root && !file.text.starts_with("//! ") {
            findings.push(file.finding(1, "the crate has no front page (`//!`)"));
        } else if is_library && !file.text.contains("\n//! ```") {
            findings.push(file.finding(1, "the front page has no example"));
        }
    }
    findings
}

fn in_library_source(file: &TextFile) -> bool {
    file.library().is_some() && file.path.contains("/src/") && !file.is_test()
}

/// The lines of the chosen Rust files that hold one of the words outside comments, literals and tests.
fn find(
    files: &[TextFile],
    chosen: impl Fn(&TextFile) -> bool,
    words: &[&str],
    why: &str,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && chosen(file)) {
        let code = library_code(&file.text);
        for word in words {
            let lines = lines_with(&code, word).into_iter();
            findings.extend(lines.map(|line| file.finding(line, format!("`{word}` {why}"))));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, places};
    use super::*;

    const LIBRARY: &str = "crates/data/src/idx.rs";

    #[test]
    fn connections_are_for_hub() {
        let text = "//! std::net\nuse std::net::TcpListener;\n";
        let files = [file(LIBRARY, text), file("crates/hub/src/lib.rs", text)];
        assert_eq!(places(connections(&files)), ["crates/data/src/idx.rs:2"]);
    }

    #[test]
    fn printing_is_for_one_place_and_for_tests() {
        let text = "fn f() {\n    eprintln!();\n}\n#[cfg(test)]\nmod tests {\n    println!();\n}\n";
        let files = [
            file(LIBRARY, text),
            file("crates/data/src/corruption/tests.rs", text),
            file("crates/data/benches/fog.rs", text),
            file("crates/experiments/build.rs", text),
            file("crates/experiments/src/main.rs", text),
            file("crates/experiments/src/terminal.rs", text),
            file("xtask/src/main.rs", text),
        ];
        let expected = [
            LIBRARY,
            "crates/experiments/src/main.rs",
            "xtask/src/main.rs",
        ];
        let expected = expected.map(|path| format!("{path}:2"));
        assert_eq!(places(printing(&files)), expected);
        for line in [
            "std::io::stdout().write_all(text)?;",
            "let log = layer().with_writer(io::stderr);",
            "bar.set_message(name);",
            "bar.println(name);",
        ] {
            let files = [file("xtask/src/fetch.rs", line)];
            assert_eq!(printing(&files).len(), 1, "{line}");
        }
        let files = [file(
            "xtask/src/fetch.rs",
            "terminal::print(name); say(name);",
        )];
        assert!(printing(&files).is_empty());
    }

    #[test]
    fn panics_are_for_tests() {
        let text = "a.unwrap();\na.unwrap_or(0);\nb.expect(\"c\");\n// panic!()\npanic!();\n";
        let files = [file(LIBRARY, text), file("xtask/src/main.rs", text)];
        assert_eq!(
            places(panics(&files)),
            [1, 3, 5].map(|line| format!("{LIBRARY}:{line}"))
        );
    }

    #[test]
    fn solvers_are_for_optim() {
        let text = "use clarabel::solver;\nlet solver = Solver::Clarabel;\n";
        let files = [
            file("crates/repair/src/lib.rs", text),
            file("crates/optim/src/lp.rs", text),
        ];
        assert_eq!(places(solver_names(&files)), ["crates/repair/src/lib.rs:1"]);
    }

    #[test]
    fn long_files_are_found() {
        let files = [
            file(LIBRARY, &"\n".repeat(600)),
            file("xtask/src/a.rs", &"\n".repeat(601)),
        ];
        assert_eq!(places(length(&files)), ["xtask/src/a.rs:601"]);
    }

    #[test]
    fn crates_without_a_front_page_or_example_are_found() {
        let files = [
            file(
                "crates/data/src/lib.rs",
                "//! Data.\n//!\n//! ```\n//! ```\n",
            ),
            file("crates/optim/src/lib.rs", "//! Rows.\nmod rows;\n"),
            file("xtask/src/main.rs", "mod tidy;\n"),
            file(LIBRARY, "use std::fs;\n"),
        ];
        assert_eq!(
            places(front_pages(&files)),
            ["crates/optim/src/lib.rs:1", "xtask/src/main.rs:1"]
        );
    }
}
