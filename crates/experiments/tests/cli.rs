//! The command line: flags, exit codes, what a run leaves behind.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use common::{PLAN, SyntheticLab, VOCABULARY, device_check, repository, timeless};
use experiments::cli::{Cli, Finished, LabOptions, execute};
use experiments::error::{ExperimentError, Result};
use experiments::plan::ResolvedPlan;
use experiments::progress::Progress;
use network::DeviceChoice;

/// A plan file with absolute paths into `root`.
fn plan_file(root: &Path) -> PathBuf {
    let text = PLAN
        .replace("\"datasets/", &format!("\"{}/datasets/", root.display()))
        .replace("\"weights/", &format!("\"{}/weights/", root.display()));
    let path = root.join("plan.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn call(
    arguments: &[&str],
    lab: SyntheticLab,
    seen: impl FnOnce(&ResolvedPlan, &LabOptions),
) -> Result<Finished> {
    let cli = Cli::try_parse_from(std::iter::once(&"experiments").chain(arguments)).unwrap();
    execute(cli, &VOCABULARY, &Progress::silent(), |plan, options| {
        seen(plan, options);
        Ok(Box::new(lab))
    })
}

#[test]
fn a_run_leaves_every_file_and_the_report_can_be_written_again() {
    let root = repository();
    let (plan, out) = (plan_file(root.path()), root.path().join("out"));
    let (plan, out_text) = (plan.to_str().unwrap(), out.to_str().unwrap());
    let finished = call(
        &["run", "--plan", plan, "--out", out_text, "--jobs", "2"],
        SyntheticLab::new(3, 0),
        |plan, options| {
            assert_eq!(plan.jobs, 2);
            assert_eq!(options.networks, None);
        },
    )
    .unwrap();
    let Finished::Run { table, run } = finished else {
        panic!("{finished:?}")
    };
    assert_eq!(run, out);
    assert!(table.contains("brute-force"), "{table}");
    let written = ["results.csv", "heuristics.csv", "report.html"];
    for file in written
        .iter()
        .chain(&["plan.toml", "splits.json", "manifest.json"])
    {
        assert!(out.join(file).is_file(), "{file}");
    }
    let before: Vec<Vec<u8>> = written
        .map(|file| std::fs::read(out.join(file)).unwrap())
        .to_vec();
    for file in written {
        std::fs::remove_file(out.join(file)).unwrap();
    }
    call(&["report", out_text], SyntheticLab::new(0, 0), |_, _| {
        panic!("no laboratory is needed")
    })
    .unwrap();
    for (file, before) in written.iter().zip(before) {
        assert_eq!(std::fs::read(out.join(file)).unwrap(), before, "{file}");
    }
}

#[test]
fn flags_replace_the_plan_s_values_without_the_word_run_too() {
    let root = repository();
    let (plan, out) = (plan_file(root.path()), root.path().join("out"));
    let arguments = [
        "--plan",
        plan.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--seed",
        "40",
        "--device",
        "ndarray",
        "--keep-networks",
    ];
    call(&arguments, SyntheticLab::new(2, 0), |plan, options| {
        assert_eq!(plan.seeds, [40, 41]);
        assert_eq!(plan.device, DeviceChoice::NdArray);
        assert_eq!(options.networks, Some(out.join("networks")));
    })
    .unwrap();
    assert_eq!(
        timeless(out.join("results.csv"))[1][0],
        "net/fog/n10/s40/sequential-guarded/layer0"
    );
}

#[test]
fn a_failed_run_is_resumed_from_its_own_plan() {
    let root = repository();
    let (plan, out) = (plan_file(root.path()), root.path().join("out"));
    let out_text = out.to_str().unwrap();
    let lab = SyntheticLab {
        fails_at: Some(7),
        ..SyntheticLab::new(3, 0)
    };
    let error = call(
        &["--plan", plan.to_str().unwrap(), "--out", out_text],
        lab,
        |_, _| {},
    )
    .unwrap_err();
    assert!(matches!(error, ExperimentError::Trial { .. }), "{error:?}");
    let error = call(
        &["--plan", plan.to_str().unwrap(), "--out", out_text],
        SyntheticLab::new(3, 0),
        |_, _| {},
    );
    assert!(matches!(
        error.unwrap_err(),
        ExperimentError::RunExists { .. }
    ));
    let lab = SyntheticLab::new(3, 0);
    call(&["--resume", "--out", out_text], lab, |plan, _| {
        assert_eq!(plan.name, "test")
    })
    .unwrap();
    assert_eq!(timeless(out.join("results.csv")).len(), 1 + 2 * 2 * 2 * 3);
}

#[test]
fn what_was_found_of_a_device_is_recorded_each_time_and_shown_in_the_report() {
    let root = repository();
    let (plan, out) = (plan_file(root.path()), root.path().join("out"));
    let out_text = out.to_str().unwrap();
    let found = |forward| Some(device_check(forward));
    let lab = SyntheticLab {
        fails_at: Some(2),
        check: found(3e-7),
        ..SyntheticLab::new(2, 0)
    };
    let started = ["--plan", plan.to_str().unwrap(), "--out", out_text];
    call(&started, lab, |_, _| {}).unwrap_err();
    let lab = SyntheticLab {
        check: found(4e-7),
        ..SyntheticLab::new(2, 0)
    };
    call(&["--resume", "--out", out_text], lab, |_, _| {}).unwrap();
    let recorded = std::fs::read(out.join("device_check.json")).unwrap();
    let recorded: serde_json::Value = serde_json::from_slice(&recorded).unwrap();
    let forward = |time: usize| &recorded[time]["networks"]["net"]["operators"][0]["forward"];
    assert_eq!((forward(0), forward(1)), (&3e-7.into(), &4e-7.into()));
    let html = std::fs::read_to_string(out.join("report.html")).unwrap();
    for said in [
        "net: device wgpu checked: 2 operator shapes at batch 512 of [784], worst forward 3.0e-7, backward 2.0e-6",
        "worst forward 4.0e-7",
        "<code>linear 784 -&gt; 100 + bias on [512, 784]</code></td><td class=\"n\">2</td><td class=\"n\">3.0e-7",
    ] {
        assert!(html.contains(said), "{said}");
    }
}

#[test]
fn a_run_on_the_reference_device_records_no_check() {
    let root = repository();
    let (plan, out) = (plan_file(root.path()), root.path().join("out"));
    let arguments = [
        "--plan",
        plan.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    call(&arguments, SyntheticLab::new(2, 0), |_, _| {}).unwrap();
    assert!(!out.join("device_check.json").exists());
}

/// A run in `out` that stopped, started with `flags` beside its plan.
fn stopped_run(root: &Path, out: &Path, flags: &[&str]) {
    let plan = plan_file(root);
    let mut arguments = vec!["--plan", plan.to_str().unwrap()];
    arguments.extend(["--out", out.to_str().unwrap()]);
    arguments.extend(flags);
    let lab = SyntheticLab {
        fails_at: Some(3),
        ..SyntheticLab::new(3, 0)
    };
    call(&arguments, lab, |_, _| {}).unwrap_err();
}

/// Resumes the run in `out` with `flags`.
fn resume(
    out: &Path,
    flags: &[&str],
    seen: impl FnOnce(&ResolvedPlan, &LabOptions),
) -> Result<Finished> {
    let mut arguments = vec!["--resume", "--out", out.to_str().unwrap()];
    arguments.extend(flags);
    call(&arguments, SyntheticLab::new(3, 0), seen)
}

#[test]
fn a_resumed_run_keeps_networks_as_it_did_from_the_start() {
    let root = repository();
    let [kept, not_kept] = ["kept", "not_kept"].map(|name| root.path().join(name));
    stopped_run(root.path(), &kept, &["--keep-networks"]);
    resume(&kept, &[], |_, options| {
        assert_eq!(options.networks, Some(kept.join("networks")));
    })
    .unwrap();

    stopped_run(root.path(), &not_kept, &[]);
    let error = resume(&not_kept, &["--keep-networks"], |_, _| {}).unwrap_err();
    let expected = "--keep-networks differs, expected off, got on";
    assert!(error.to_string().contains(expected), "{error}");
    resume(&not_kept, &[], |_, options| {
        assert_eq!(options.networks, None)
    })
    .unwrap();
}

#[test]
fn the_seed_of_a_resumed_run_may_be_repeated_and_not_changed() {
    let root = repository();
    let out = root.path().join("out");
    stopped_run(root.path(), &out, &["--seed", "40"]);
    let error = resume(&out, &["--seed", "7"], |_, _| {}).unwrap_err();
    let expected = "--seed differs, expected 40, got 7";
    assert!(error.to_string().contains(expected), "{error}");
    for flags in [&["--seed", "40"][..], &[]] {
        resume(&out, flags, |plan, _| assert_eq!(plan.seeds, [40, 41])).unwrap();
    }
}

#[test]
fn there_is_nothing_to_resume_where_no_run_was_started() {
    let root = repository();
    let typo = root.path().join("typo");
    let plan = plan_file(root.path());
    let text = std::fs::read(&plan).unwrap();
    for folder in [typo.as_path(), root.path()] {
        let resumed = resume(folder, &[], |_, _| panic!("nothing is opened"));
        let error = resumed.unwrap_err().to_string();
        let expected = format!("{} is not a run directory: manifest.json", folder.display());
        assert!(error.contains(&expected), "{error}");
    }
    assert!(!typo.exists());
    assert_eq!(std::fs::read(&plan).unwrap(), text);
}

#[test]
fn a_laboratory_that_cannot_open_leaves_no_run_directory() {
    let root = repository();
    let (plan, out) = (plan_file(root.path()), root.path().join("out"));
    let arguments = [
        "experiments",
        "--plan",
        plan.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    let cli = Cli::try_parse_from(arguments).unwrap();
    let closed = |_: &ResolvedPlan, _: &LabOptions| {
        Err(ExperimentError::Prepare {
            what: "network net".to_owned(),
            source: "tensor 0.weight is missing".into(),
        })
    };
    let error = execute(cli, &VOCABULARY, &Progress::silent(), closed).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(!out.exists());
}

#[test]
fn bad_usage_and_bad_plans_exit_with_2() {
    let root = repository();
    let bad = root.path().join("bad.toml");
    std::fs::write(&bad, "name = \"bad\"\nsedes = [1]\n").unwrap();
    let missing = root.path().join("missing.toml");
    let cases: [(&[&str], &str); 5] = [
        (&["--plan", bad.to_str().unwrap()], "unknown field `sedes`"),
        (
            &["run", "--plan", missing.to_str().unwrap()],
            "no plan file",
        ),
        (&["--jobs", "0"], "--jobs"),
        (&["--device", "abacus"], "flex"),
        (&["mend"], "mend"),
    ];
    for (arguments, text) in cases {
        let output = Command::new(env!("CARGO_BIN_EXE_experiments"))
            .args(arguments)
            .current_dir(root.path())
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(text), "{arguments:?}: {errors}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn reporting_on_a_folder_that_is_no_run_exits_with_1() {
    let root = repository();
    let folder = root.path().to_str().unwrap();
    let error = call(&["report", folder], SyntheticLab::new(1, 0), |_, _| {}).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is not a run directory: plan.toml"),
        "{error}"
    );
    assert_eq!(error.exit_code(), 1);
}
