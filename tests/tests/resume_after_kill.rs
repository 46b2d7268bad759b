//! A run that is killed and resumed, or that uses more threads, ends with what an undisturbed run ends with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use network::{DeviceChoice, Model, Network, Precision};
use workspace_tests::{Row, complaint, experiments, rows, small_plan};

/// How long the killed run may take to its second trial: far longer than it needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The command on the small plan, with the run directory in `out`.
fn command(out: &Path, arguments: &[&str]) -> Command {
    let mut command = experiments();
    command
        .args(["run", "--keep-networks", "--plan"])
        .arg(small_plan());
    command.arg("--out").arg(out).args(arguments);
    command
}

fn finish(out: &Path, arguments: &[&str]) {
    let output = command(out, arguments).output().unwrap();
    assert!(output.status.success(), "{}", complaint(&output));
}

/// Starts a run and kills it as soon as it has written `lines` results.
fn kill_after(lines: usize, out: &Path, arguments: &[&str]) {
    let mut command = command(out, arguments);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while whole_lines(out) < lines {
        assert!(
            start.elapsed() < PATIENCE,
            "{} results after {PATIENCE:?}",
            whole_lines(out)
        );
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "the run ends before it can be killed"
        );
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    assert!(
        !child.wait().unwrap().success(),
        "the run ends before it is killed"
    );
    assert!(
        !out.join("results.csv").exists(),
        "the run ends before it is killed"
    );
}

/// Whole lines of `results.jsonl`.
fn whole_lines(out: &Path) -> usize {
    let journal = std::fs::read(out.join("results.jsonl")).unwrap_or_default();
    journal.iter().filter(|&&byte| byte == b'\n').count()
}

/// `results.csv` without what differs from run to run: times and memory.
fn outcomes(out: &Path) -> Vec<Row> {
    let mut rows = rows(&out.join("results.csv"));
    for row in &mut rows {
        row.retain(|column, _| !column.ends_with("seconds") && !column.ends_with("bytes"));
    }
    rows
}

/// The kept networks' bytes, by their path below `networks/`.
fn networks(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let root = out.join("networks");
    let (mut folders, mut files) = (vec![root.clone()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Both runs end with the same outcomes and the same networks, byte for byte.
fn assert_same(expected: &Path, got: &Path) {
    let (expected_rows, rows) = (outcomes(expected), outcomes(got));
    for (expected, row) in expected_rows.iter().zip(&rows) {
        assert_eq!(row, expected);
    }
    assert_eq!(rows.len(), expected_rows.len());
    let (expected, got) = (networks(expected), networks(got));
    assert_eq!(
        got.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &expected {
        assert!(got[name] == *bytes, "{} differs", name.display());
    }
}

/// The undisturbed run has every trial once and a network for every repaired one; the networks load.
fn assert_complete(out: &Path) {
    let rows = outcomes(out);
    // 2 sizes, 2 seeds, 2 methods, 3 layers.
    assert_eq!(rows.len(), 24);
    assert_eq!(whole_lines(out), 24);
    let trials: BTreeMap<&str, &Row> = rows
        .iter()
        .map(|row| (row["trial"].as_str(), row))
        .collect();
    assert_eq!(trials.len(), rows.len(), "a trial occurs twice");
    let repaired = trials
        .iter()
        .filter(|(_, row)| row["outcome"] == "Repaired");
    let repaired: Vec<PathBuf> = repaired
        .map(|(trial, _)| format!("{trial}.safetensors").into())
        .collect();
    assert!(
        repaired.len() >= 12,
        "{} trials are repaired",
        repaired.len()
    );
    let kept = networks(out);
    assert_eq!(kept.keys().cloned().collect::<Vec<_>>(), repaired);
    let device = DeviceChoice::Flex.open().unwrap();
    for (name, bytes) in kept {
        let checkpoint = Model::from_bytes(bytes, &name.display().to_string()).unwrap();
        Network::load(&checkpoint, &device, Precision::F64).unwrap();
    }
}

#[test]
fn killed_runs_resume_to_the_bytes_of_an_undisturbed_run() {
    let place = tempfile::tempdir().unwrap();
    let [undisturbed, parallel, killed] =
        ["undisturbed", "parallel", "killed"].map(|name| place.path().join(name));
    finish(&undisturbed, &["--jobs", "1"]);
    assert_complete(&undisturbed);

    finish(&parallel, &["--jobs", "2"]);
    assert_same(&undisturbed, &parallel);

    kill_after(2, &killed, &["--jobs", "1"]);
    let kept = whole_lines(&killed);
    kill_after(kept + 3, &killed, &["--resume", "--jobs", "2"]);
    finish(&killed, &["--resume", "--jobs", "2"]);
    assert_complete(&killed);
    assert_same(&undisturbed, &killed);
}

#[test]
fn a_torn_line_is_repaired_and_its_trial_runs_again() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("run");
    finish(&out, &[]);
    let expected = outcomes(&out);
    let journal = out.join("results.jsonl");
    let text = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &text[..text.len() - 40]).unwrap();
    finish(&out, &["--resume"]);
    assert_complete(&out);
    assert_eq!(outcomes(&out), expected);
}

#[test]
fn a_run_directory_is_neither_overwritten_nor_continued_with_another_plan() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("run");
    kill_after(1, &out, &[]);
    let journal = std::fs::read(out.join("results.jsonl")).unwrap();
    let again = command(&out, &[]).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "{}", complaint(&again));
    assert!(
        complaint(&again).contains("exists already"),
        "{}",
        complaint(&again)
    );
    let other = command(&out, &["--resume", "--seed", "7"])
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(1), "{}", complaint(&other));
    assert!(
        complaint(&other).contains("the plan differs"),
        "{}",
        complaint(&other)
    );
    assert_eq!(std::fs::read(out.join("results.jsonl")).unwrap(), journal);
}
