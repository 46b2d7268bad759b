//! The README's commands parse and the files that it names exist.

use std::path::Path;

use clap::Parser;
use experiments::cli::Cli;
use workspace_tests::repository;

fn readme() -> String {
    std::fs::read_to_string(repository().join("README.md")).expect("README.md")
}

/// The commands in fenced `console`, `sh` and `bash` blocks, continued lines joined. In a block with lines
/// that begin with `$`, those are the commands and the others are output.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    // Outside and inside of blocks alternate.
    for block in text.split("```").skip(1).step_by(2) {
        let (language, body) = block.split_once('\n').unwrap_or((block, ""));
        if !["console", "sh", "bash"].contains(&language.trim()) {
            continue;
        }
        let body = body.replace("\\\n", " ");
        let lines: Vec<&str> = body.lines().map(str::trim).collect();
        let prompted: Vec<&str> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("$ "))
            .collect();
        let chosen = if prompted.is_empty() { lines } else { prompted };
        let chosen = chosen
            .into_iter()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        commands.extend(chosen.map(str::to_owned));
    }
    commands
}

/// The words of a command without leading assignments and a trailing comment.
fn words(command: &str) -> Vec<&str> {
    let words = command
        .split_whitespace()
        .skip_while(|word| word.contains('='));
    words.take_while(|word| !word.starts_with('#')).collect()
}

/// The arguments that a command gives to `experiments`, if it runs it.
fn experiments_arguments<'a>(words: &[&'a str]) -> Option<Vec<&'a str>> {
    if words[0].rsplit('/').next() == Some("experiments") {
        return Some(words[1..].to_vec());
    }
    let runs = words.starts_with(&["cargo", "run"]) && package(words) == Some("experiments");
    let passed = words
        .iter()
        .position(|word| *word == "--")
        .map_or(words.len(), |dashes| dashes + 1);
    runs.then(|| words[passed..].to_vec())
}

fn package<'a>(words: &[&'a str]) -> Option<&'a str> {
    let flag = words
        .iter()
        .position(|word| ["-p", "--package"].contains(word))?;
    words.get(flag + 1).copied()
}

#[test]
fn commands_are_found_in_blocks_and_taken_apart() {
    let text = "```console\n$ A=1 cargo run -p experiments -- \\\n  --jobs 2  # two\noutput\n```\n$ no\n```sh\nls\n```\n";
    let found = commands(text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        experiments_arguments(&words(&found[0])),
        Some(vec!["--jobs", "2"])
    );
    assert_eq!(
        (found[1].as_str(), experiments_arguments(&words(&found[1]))),
        ("ls", None)
    );
}

#[test]
fn every_experiments_command_parses() {
    let readme = readme();
    let found = commands(&readme);
    let mut parsed = 0;
    for command in &found {
        let words = words(command);
        let Some(arguments) = experiments_arguments(&words) else {
            continue;
        };
        parsed += 1;
        let refusal = Cli::try_parse_from(["experiments"].iter().chain(&arguments)).err();
        // Asking for help or the version ends parsing too.
        let refusal = refusal.filter(|error| error.use_stderr());
        assert!(refusal.is_none(), "{command}: {}", refusal.unwrap());
    }
    assert!(parsed > 0, "README.md runs no experiments: {found:?}");
}

#[test]
fn every_cargo_command_names_a_subcommand_and_a_package_of_the_workspace() {
    const SUBCOMMANDS: [&str; 9] = [
        "bench", "build", "clippy", "doc", "fmt", "install", "nextest", "run", "test",
    ];
    for command in commands(&readme()) {
        let words = words(&command);
        let ["cargo", subcommand, ..] = words.as_slice() else {
            continue;
        };
        assert!(
            SUBCOMMANDS.contains(subcommand) || *subcommand == "xtask",
            "{command}"
        );
        if let Some(package) = package(&words) {
            let folders = [format!("crates/{package}"), package.to_owned()];
            let found = folders
                .iter()
                .any(|folder| repository().join(folder).join("Cargo.toml").is_file());
            assert!(
                found || package == "workspace-tests",
                "{command}: no package {package}"
            );
        }
    }
}

#[test]
fn every_plan_and_every_linked_file_exists() {
    let readme = readme();
    let plans = readme
        .split(|c: char| c.is_whitespace() || "`()[]\"'<>,;".contains(c))
        .filter(|word| word.ends_with(".toml") && word.contains('/') && !word.contains("://"));
    let linked = readme
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#']).next());
    let linked = linked.filter(|target| !target.is_empty() && !target.contains("://"));
    for file in plans.chain(linked) {
        // A run directory's files exist once the run has.
        if !file.starts_with("runs/") {
            assert!(
                repository().join(Path::new(file)).exists(),
                "README.md names {file}"
            );
        }
    }
}
