//! Runs: order, failures, resuming.

mod common;

use std::path::Path;
use std::sync::atomic::Ordering;

use common::{SyntheticLab, VOCABULARY, plan, repository, run, run_plan, timeless};
use experiments::error::ExperimentError;
use experiments::manifest::SplitSummary;
use experiments::plan::{Choice, ResolvedPlan};
use experiments::regret::BRUTE_FORCE;
use experiments::results::Results;
use experiments::store::ScoredSet;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

const TRIALS: usize = 2 * 2 * 2 * 4;

/// Changes a JSON file of a run.
fn edit<T: Serialize + DeserializeOwned>(run: &Path, name: &str, change: impl FnOnce(&mut T)) {
    let path = run.join(name);
    let mut value: T = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, serde_json::to_vec(&value).unwrap()).unwrap();
}

fn whole_run(root: &Path, jobs: usize) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    run(
        root,
        out.path(),
        &SyntheticLab::new(4, 3 * jobs),
        jobs,
        false,
    )
    .unwrap();
    out
}

#[test]
fn rows_are_in_plan_order_however_many_jobs_ran() {
    let root = repository();
    let (one, four) = (whole_run(root.path(), 1), whole_run(root.path(), 4));
    for file in ["results.csv", "heuristics.csv"] {
        let table = timeless(one.path().join(file));
        assert!(table.len() > TRIALS / 2, "{file} has {} rows", table.len());
        assert_eq!(table, timeless(four.path().join(file)), "{file}");
    }
    let table = timeless(one.path().join("results.csv"));
    assert_eq!(table.len(), 1 + TRIALS);
    assert_eq!(table[1][0], "net/fog/n10/s0/sequential-guarded/layer0");
    assert_eq!(table[6][0], "net/fog/n10/s0/frozen-aprnn/layer1");
    assert_eq!(table[TRIALS][0], "net/fog/n50/s1/frozen-aprnn/layer3");
}

#[test]
fn the_tables_begin_with_the_documented_columns() {
    let root = repository();
    let out = whole_run(root.path(), 1);
    let header = |file: &str| {
        let text = std::fs::read_to_string(out.path().join(file)).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    assert!(header("results.csv").starts_with(
        "trial,network,dataset,method,objective,layer,points,seed,outcome,efficacy,generalization,drawdown,\
         agreement,least_margin,rows,rows_total,rounds,select_seconds,repair_seconds,peak_bytes,"
    ));
    assert!(header("heuristics.csv").starts_with(
        "heuristic,network,points,seed,layer,regret_drawdown,regret_generalization,seconds"
    ));
    let text = std::fs::read_to_string(out.path().join("results.csv")).unwrap();
    assert!(
        text.contains(",Unknown(time),70.0,,,"),
        "unmeasured cells are empty"
    );
}

#[test]
fn a_failed_trial_is_named_and_the_others_are_kept() {
    let root = repository();
    for (panics, cause) in [(false, "a synthetic failure"), (true, "burns down")] {
        let out = tempfile::tempdir().unwrap();
        let lab = SyntheticLab {
            fails_at: Some(5),
            panics,
            ..SyntheticLab::new(4, 0)
        };
        let error = run(root.path(), out.path(), &lab, 1, false).unwrap_err();
        let ExperimentError::Trial { trial, source } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(trial, "net/fog/n10/s0/frozen-aprnn/layer1");
        assert!(source.to_string().contains(cause), "{source}");
        assert_eq!(error.exit_code(), 1);
        let results = Results::read(out.path(), &VOCABULARY).unwrap();
        assert_eq!((results.trials.len(), results.expected), (5, TRIALS));
        assert!(results.manifest.finished.is_none());
        results.write(out.path()).unwrap();
    }
}

#[test]
fn a_resumed_run_ends_with_the_same_tables() {
    let root = repository();
    let whole = whole_run(root.path(), 1);
    for torn in ["", "{\"trial\":\"net/fog/n10", "not json\n"] {
        let out = tempfile::tempdir().unwrap();
        let lab = SyntheticLab {
            fails_at: Some(11),
            ..SyntheticLab::new(4, 40)
        };
        run(root.path(), out.path(), &lab, 2, false).unwrap_err();
        let journal = out.path().join("results.jsonl");
        let mut text = std::fs::read_to_string(&journal).unwrap();
        let done = text.lines().count();
        text.push_str(torn);
        std::fs::write(&journal, text).unwrap();
        let lab = SyntheticLab::new(4, 50);
        run(root.path(), out.path(), &lab, 3, true).unwrap();
        assert_eq!(
            lab.calls.load(Ordering::Relaxed),
            TRIALS - done,
            "torn: {torn:?}"
        );
        for file in ["results.csv", "heuristics.csv"] {
            assert_eq!(
                timeless(out.path().join(file)),
                timeless(whole.path().join(file))
            );
        }
        let results = Results::read(out.path(), &VOCABULARY).unwrap();
        assert_eq!(results.manifest.resumed.len(), 1);
        assert!(results.manifest.finished.is_some());
    }
}

#[test]
fn a_run_directory_is_never_overwritten() {
    let root = repository();
    let out = whole_run(root.path(), 1);
    let before = std::fs::read(out.path().join("results.jsonl")).unwrap();
    let error = run(root.path(), out.path(), &SyntheticLab::new(4, 0), 1, false).unwrap_err();
    assert!(
        matches!(error, ExperimentError::RunExists { .. }),
        "{error:?}"
    );
    assert_eq!(
        std::fs::read(out.path().join("results.jsonl")).unwrap(),
        before
    );
}

#[test]
fn a_run_is_not_continued_with_another_plan_or_other_files() {
    let root = repository();
    let out = whole_run(root.path(), 1);
    let lab = SyntheticLab::new(4, 0);
    let mut other: ResolvedPlan = plan(root.path());
    other.methods[0].margin = 0.5;
    let error = run_plan(&other, out.path(), &lab, true)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("expected `margin = 1.0`, got `margin = 0.5`"),
        "{error}"
    );
    std::fs::write(root.path().join("datasets/train.gz"), "other images").unwrap();
    let error = run(root.path(), out.path(), &lab, 1, true)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("split guard, images (datasets/train.gz) differs"),
        "{error}"
    );
}

#[test]
fn a_run_is_not_continued_on_other_examples() {
    let root = repository();
    let out = whole_run(root.path(), 1);
    edit(
        out.path(),
        "splits.json",
        |splits: &mut Vec<SplitSummary>| {
            splits[2].ids[3] = 77;
        },
    );
    let error = run(root.path(), out.path(), &SyntheticLab::new(4, 0), 1, true).unwrap_err();
    let expected = "split guard (splits.json) differs, expected example 77, got example 3";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn a_run_that_another_build_continues_names_both() {
    let root = repository();
    let out = whole_run(root.path(), 1);
    let resumed = || {
        run(root.path(), out.path(), &SyntheticLab::new(4, 0), 1, true).unwrap();
        Results::read(out.path(), &VOCABULARY).unwrap().manifest
    };
    assert!(resumed().continued_by.is_empty(), "by the build that began");
    edit(
        out.path(),
        "manifest.json",
        |file: &mut Map<String, Value>| {
            file.insert("executable".to_owned(), "another".into());
        },
    );
    for _ in 0..2 {
        let manifest = resumed();
        assert_eq!(manifest.executable.as_deref(), Some("another"));
        assert_eq!(manifest.continued_by.len(), 1);
        assert_ne!(manifest.continued_by[0].executable, manifest.executable);
    }
    let report = std::fs::read_to_string(out.path().join("report.html")).unwrap();
    assert!(report.contains("by 2 builds"));
}

#[test]
fn a_manifest_that_says_nothing_of_builds_and_flags_is_read_and_continued() {
    let root = repository();
    let out = whole_run(root.path(), 1);
    edit(
        out.path(),
        "manifest.json",
        |file: &mut Map<String, Value>| {
            for key in ["executable", "continued_by", "keep_networks", "seed_offset"] {
                assert!(file.remove(key).is_some(), "{key}");
            }
        },
    );
    let manifest = || Results::read(out.path(), &VOCABULARY).unwrap().manifest;
    assert_eq!(
        (manifest().keep_networks, manifest().seed_offset),
        (None, 0)
    );
    run(root.path(), out.path(), &SyntheticLab::new(4, 0), 1, true).unwrap();
    assert_eq!(
        manifest().continued_by.len(),
        1,
        "the first build is unknown"
    );
    assert_eq!(manifest().keep_networks, Some(false));
}

#[test]
fn brute_force_pays_what_its_repairs_and_its_choice_take() {
    let root = repository();
    let out = whole_run(root.path(), 1);
    let results = Results::read(out.path(), &VOCABULARY).unwrap();
    let mut picks = results.selections.iter();
    let pick = picks.find(|pick| pick.heuristic == BRUTE_FORCE).unwrap();
    let table = results
        .trials
        .iter()
        .filter(|trial| trial.method_name == "sequential-guarded" && trial.set() == pick.set());
    let repairs: f64 = table.map(|trial| trial.repair_seconds).sum();
    // The moments once, the selection splits at each of the four layers.
    let expected = repairs + 2.0 + 4.0 * 0.5;
    assert!((pick.seconds - expected).abs() < 1e-9, "{}", pick.seconds);
}

#[test]
fn every_heuristic_has_a_row_for_every_scored_set() {
    let root = repository();
    let out = whole_run(root.path(), 1);
    let journal = out.path().join("selections.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let mut scored: ScoredSet = serde_json::from_str(first).unwrap();
    let silent = scored.records.remove(1);
    let first = serde_json::to_string(&scored).unwrap();
    std::fs::write(&journal, format!("{first}\n{rest}")).unwrap();
    let results = Results::read(out.path(), &VOCABULARY).unwrap();
    let rows = results.regrets.iter();
    let rows: Vec<_> = rows
        .filter(|row| row.heuristic == silent.heuristic)
        .collect();
    assert_eq!(rows.len(), 4);
    assert_eq!((rows[0].set(), rows[0].layer), (silent.set(), None));
    assert!(rows.iter().all(|row| row.regret_drawdown.is_some()));
    assert!(rows[1..].iter().all(|row| row.layer.is_some()));
}

#[test]
fn two_processes_cannot_write_to_one_run() {
    let root = repository();
    let out = whole_run(root.path(), 1);
    let other = std::fs::File::open(out.path().join("results.jsonl")).unwrap();
    other.lock().unwrap();
    let error = run(root.path(), out.path(), &SyntheticLab::new(4, 0), 1, true).unwrap_err();
    assert!(
        matches!(error, ExperimentError::RunInUse { .. }),
        "{error:?}"
    );
}

#[test]
fn a_plan_may_name_layers_and_an_unknown_one_lists_the_known() {
    let root = repository();
    let (out, lab) = (tempfile::tempdir().unwrap(), SyntheticLab::new(4, 0));
    let mut plan = plan(root.path());
    plan.layers = Choice::Named(vec!["6".to_owned(), "2".to_owned()]);
    run_plan(&plan, out.path(), &lab, false).unwrap();
    let results = Results::read(out.path(), &VOCABULARY).unwrap();
    let layers: Vec<usize> = results.trials[..2]
        .iter()
        .map(|trial| trial.layer)
        .collect();
    assert_eq!((layers, results.trials.len()), (vec![1, 3], TRIALS / 2));

    plan.layers = Choice::Named(vec!["7".to_owned()]);
    let out = tempfile::tempdir().unwrap();
    let error = run_plan(&plan, out.path(), &lab, false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "network net has no layer \"7\", expected one of: 0, 2, 4, 6"
    );
    assert_eq!(error.exit_code(), 2);
}
