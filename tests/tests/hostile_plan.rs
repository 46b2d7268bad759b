//! Bad plans end the command with the documented exit code and a message that names the place, before
//! anything is written.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;

use workspace_tests::{complaint, experiments, hostile, stems, unframed};

/// Plans that are refused as written: exit code 2, and the line at fault.
const FAULTS: [(&str, usize, &str); 31] = [
    ("empty", 1, "missing field `name`"),
    ("unclosed", 1, "invalid basic string"),
    ("nested", 5, "max recursion depth"),
    (
        "key-unknown",
        5,
        "unknown field `jbos`, expected one of `name`",
    ),
    (
        "key-unknown-in-a-split",
        23,
        "unknown field `rnage`, expected one of `images`",
    ),
    ("key-twice", 6, "duplicate key"),
    (
        "type-of-points",
        3,
        "invalid type: string \"five\", expected usize",
    ),
    (
        "type-of-range",
        23,
        "split repair: range: expected an array [from, to], got 3 numbers",
    ),
    (
        "split-missing",
        35,
        "unknown field `backdown`, expected one of `repair`",
    ),
    ("points-none", 3, "points: expected at least one, got none"),
    ("points-zero", 3, "points: expected at least 1, got 0"),
    (
        "points-negative",
        3,
        "invalid value: integer `-5`, expected usize",
    ),
    (
        "points-beyond-range",
        3,
        "points: 101 exceed the 100 of split repair",
    ),
    ("seeds-none", 2, "seed: expected at least one, got none"),
    ("seeds-twice", 2, "seed 3 is listed twice"),
    ("jobs-zero", 5, "jobs: expected at least 1, got 0"),
    (
        "margin-nan",
        14,
        "margin: expected a finite number from 0, got NaN",
    ),
    (
        "margin-negative",
        14,
        "margin: expected a finite number from 0, got -1",
    ),
    (
        "time-zero",
        14,
        "time_limit: expected seconds above 0, at most 1e9, got 0",
    ),
    (
        "range-empty",
        23,
        "split repair: expected a range with from < to, got [100, 100]",
    ),
    ("name-of-a-parent-folder", 1, "\"../hostile\" is no name"),
    ("network-name-with-a-slash", 8, "\"a/b\" is no name"),
    ("methods-none", 6, "expected at least one method, got none"),
    (
        "methods-twice",
        16,
        "two methods are named \"frozen-guarded\"",
    ),
    ("method-unknown", 12, "unknown method \"forzen\""),
    ("objective-unknown", 13, "unknown objective \"gaurded\""),
    ("heuristic-unknown", 17, "unknown heuristic \"lats\""),
    ("corruption-unknown", 24, "unknown corruption \"frog\""),
    ("network-missing", 9, "network mnist-3x100: no file"),
    ("images-missing", 20, "split repair, images: no file"),
    (
        "splits-overlap",
        39,
        "splits generalization and drawdown share images 2049 to 2049",
    ),
];

/// Plans that clash with what their files hold: the exit code, and what the message names.
const CLASHES: [(&str, i32, [&str; 2]); 8] = [
    ("binary", 2, ["binary.toml", "UTF-8"]),
    (
        "layer-unknown",
        2,
        [
            "network mnist-3x100",
            "no layer \"3\", expected one of: 0, 2, 4",
        ],
    ),
    (
        "points-beyond-wrong",
        1,
        [
            "repair set mnist-3x100/n100/s0",
            "sample of 100 from a pool of",
        ],
    ),
    (
        "range-beyond-file",
        1,
        ["split drawdown", "has 10000 images"],
    ),
    (
        "network-no-safetensors",
        1,
        ["text.safetensors", "header too large"],
    ),
    (
        "network-of-other-inputs",
        1,
        [
            "network mnist-3x100",
            "expected 784 inputs and at least 10 outputs, got 2 and 2",
        ],
    ),
    (
        "images-are-labels",
        1,
        [
            "split repair",
            "number of dimensions: expected 0x03, got 0x01",
        ],
    ),
    (
        "splits-overlap-by-another-path",
        2,
        ["splits repair and generalization", "share images 50 to 99"],
    ),
];

/// Runs a plan of the folder in `place`, with `runs/` there as the default for run directories.
fn run(name: &str, place: &Path) -> Output {
    let plan = hostile("plans").join(format!("{name}.toml"));
    experiments()
        .arg("--plan")
        .arg(plan)
        .current_dir(place)
        .output()
        .unwrap()
}

/// Runs a plan that must be refused; its complaint without layout.
fn refusal(name: &str, code: i32) -> String {
    let place = tempfile::tempdir().unwrap();
    let output = run(name, place.path());
    let complaint = complaint(&output);
    assert_eq!(output.status.code(), Some(code), "{name}: {complaint}");
    assert!(output.stdout.is_empty(), "{name} prints a table");
    let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().collect();
    assert!(left.is_empty(), "{name} leaves {left:?}");
    unframed(&complaint)
}

#[test]
fn the_readable_plan_runs() {
    let place = tempfile::tempdir().unwrap();
    let output = run("readable", place.path());
    assert!(output.status.success(), "{}", complaint(&output));
    assert!(place.path().join("runs/hostile-1/report.html").is_file());
}

#[test]
fn faults_of_a_plan_are_shown_in_their_line_and_nothing_is_written() {
    for (name, line, defect) in FAULTS {
        let refusal = refusal(name, 2);
        assert!(
            refusal.contains(&format!("{name}.toml:{line}:")),
            "{name}: {refusal}"
        );
        assert!(refusal.contains(&unframed(defect)), "{name}: {refusal}");
    }
}

#[test]
fn clashes_with_files_name_both_sides_and_nothing_is_written() {
    for (name, code, parts) in CLASHES {
        let refusal = refusal(name, code);
        for part in parts {
            assert!(
                refusal.contains(&unframed(part)),
                "{name}: {part}: {refusal}"
            );
        }
    }
}

#[test]
fn a_missing_plan_is_named() {
    let refusal = refusal("absent", 2);
    assert!(
        refusal.contains("noplanfile") && refusal.contains("absent.toml"),
        "{refusal}"
    );
}

#[test]
fn every_hostile_plan_is_tried() {
    let tried: BTreeSet<String> = FAULTS
        .map(|(name, ..)| name)
        .into_iter()
        .chain(CLASHES.map(|(name, ..)| name))
        .chain(["readable"])
        .map(str::to_owned)
        .collect();
    assert_eq!(stems(&hostile("plans"), "toml"), tried);
}
