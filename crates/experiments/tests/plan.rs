//! Plans: defaults, and diagnostics that point at the fault.

mod common;

use std::path::Path;

use common::{PLAN, VOCABULARY, plan, repository};
use experiments::error::ExperimentError;
use experiments::plan::{Choice, Files, ResolvedPlan};
use miette::{GraphicalReportHandler, GraphicalTheme};

fn parse(text: &str) -> Result<ResolvedPlan, ExperimentError> {
    let root = Path::new("/nowhere");
    ResolvedPlan::parse("plan.toml", text, &VOCABULARY, root, Files::Ignored)
}

/// The diagnostic of [`PLAN`] with one text replaced.
fn fault(from: &str, to: &str) -> String {
    assert!(PLAN.contains(from), "{from:?} is in the plan");
    diagnostic(&PLAN.replacen(from, to, 1))
}

fn diagnostic(plan: &str) -> String {
    let error = parse(plan).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let mut text = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut text, &error)
        .unwrap();
    // The picture of an empty line ends in a space.
    text.lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

#[track_caller]
fn assert_fault(from: &str, to: &str, line: usize, parts: &[&str]) {
    let text = fault(from, to);
    assert!(
        text.contains(&format!("plan.toml:{line}:")),
        "line {line} in {text}"
    );
    for part in parts {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

#[test]
fn an_unknown_key_is_shown_in_its_line() {
    insta::assert_snapshot!(fault("jobs = 1", "jbos = 1"), @r#"
      × bad plan: unknown field `jbos`, expected one of `name`, `seeds`, `points`, `layers`, `jobs`,
      │ `device`, `dtype`, `networks`, `splits`, `methods`, `heuristics`
       ╭─[plan.toml:4:1]
     3 │ points = [10, 50]
     4 │ jbos = 1
       · ──┬─
       ·   ╰── here
     5 │
       ╰────
    "#);
}

#[test]
fn an_unknown_objective_suggests_the_nearest() {
    insta::assert_snapshot!(fault("objective = \"guarded\"", "objective = \"gaurded\""), @r#"
      × bad plan: unknown objective "gaurded"
        ╭─[plan.toml:12:13]
     11 │ method = "sequential"
     12 │ objective = "gaurded"
        ·             ────┬────
        ·                 ╰── unknown
     13 │ margin = 1.0
        ╰────
      help: did you mean "guarded"? known: guarded, l2, aprnn
    "#);
}

#[test]
fn overlapping_splits_name_both_and_the_shared_images() {
    insta::assert_snapshot!(fault("range = [2000, 6000]", "range = [1500, 6000]"), @r#"
      × bad plan: splits repair and generalization share images 1500 to 1999
        ╭─[plan.toml:38:9]
     37 │ corruption = "fog"
     38 │ range = [1500, 6000]
        ·         ──────┬─────
        ·               ╰── overlaps
     39 │
        ╰────
      help: both read datasets/test.gz; splits are disjoint
    "#);
}

#[test]
fn every_fault_has_its_line_and_column() {
    assert_fault(
        "seeds = [0, 1]",
        "seeds = []",
        2,
        &["at least one", "got none"],
    );
    assert_fault(
        "seeds = [0, 1]",
        "seeds = [0, 0]",
        2,
        &["seed 0 is listed twice"],
    );
    assert_fault("seeds = [0, 1]", "seeds = [-1]", 2, &["-1"]);
    assert_fault(
        "seeds = [0, 1]",
        "seeds = \"all\"",
        2,
        &["invalid type: string"],
    );
    assert_fault(
        "points = [10, 50]",
        "points = [10, 0]",
        3,
        &["plan.toml:3:15", "at least 1, got 0"],
    );
    assert_fault(
        "points = [10, 50]",
        "points = [2001]",
        3,
        &["2001 exceed the 2000 of split repair"],
    );
    assert_fault("jobs = 1", "jobs = 0", 4, &["jobs: expected at least 1"]);
    assert_fault(
        "jobs = 1",
        "layers = []",
        4,
        &["expected at least one name"],
    );
    assert_fault(
        "jobs = 1",
        "layers = \"some\"",
        4,
        &["expected \"all\" or a list of names"],
    );
    assert_fault(
        "jobs = 1",
        "device = \"tpu\"",
        4,
        &["unknown variant `tpu`", "flex"],
    );
    assert_fault("name = \"net\"", "name = \"../net\"", 7, &["is no name"]);
    assert_fault(
        "\"sequential\"",
        "\"sequentail\"",
        11,
        &["unknown method", "did you mean \"sequential\""],
    );
    assert_fault(
        "margin = 1.0",
        "margin = -1.0",
        13,
        &["margin: expected a finite number from 0"],
    );
    assert_fault("margin = 1.0", "margin = nan", 13, &["got NaN"]);
    assert_fault(
        "time_limit = 10.0",
        "time_limit = 0.0",
        18,
        &["seconds above 0"],
    );
    assert_fault(
        "reference = 0",
        "reference = 2",
        21,
        &["no method 2", "sequential-guarded, frozen-aprnn"],
    );
    assert_fault(
        "reference = 0",
        "reference = \"frozen/l2\"",
        21,
        &["no method \"frozen/l2\""],
    );
    assert_fault(
        "reference = 0",
        "names = [\"entropy\"]",
        21,
        &["unknown heuristic \"entropy\""],
    );
    assert_fault(
        "corruption = \"fog\"",
        "corruption = \"frog\"",
        28,
        &["did you mean \"fog\"", "clean"],
    );
    assert_fault(
        "range = [0, 2000]",
        "range = [9, 9]",
        29,
        &["from < to, got [9, 9]"],
    );
    assert_fault("range = [0, 2000]", "range = [0]", 29, &["array"]);
    assert_fault(
        "keep = \"wrong\"",
        "keep = \"bad\"",
        30,
        &["unknown variant `bad`"],
    );
}

#[test]
fn a_sequential_repair_minimises_squared_norms_alone() {
    assert_fault(
        "objective = \"guarded\"",
        "objective = \"aprnn\"",
        12,
        &[
            "plan.toml:12:13",
            "method sequential: expected objective guarded or l2, got \"aprnn\"",
        ],
    );
    let text = PLAN.replacen("objective = \"guarded\"", "objective = \"l2\"", 1);
    assert_eq!(parse(&text).unwrap().methods[0].objective, "l2");
}

#[test]
fn several_seeds_need_repair_sets_that_are_drawn() {
    let (random, first) = ("order = \"random\"", "order = \"first\"");
    let expected = "expected one where split repair has order = \"first\", got 2";
    assert_fault(random, first, 2, &["plan.toml:2:9", expected]);
    let text = PLAN.replace(random, first);
    let one = parse(&text.replace("seeds = [0, 1]", "seeds = [7]"));
    assert_eq!(one.unwrap().seeds, [7]);
    let default = parse(&text.replace("seeds = [0, 1]\n", ""));
    assert_eq!(default.unwrap().seeds, [0]);
}

#[test]
fn only_repair_sets_are_drawn() {
    assert_fault(
        "range = [2000, 6000]",
        "range = [2000, 6000]\norder = \"random\"",
        39,
        &["split generalization: expected order = \"first\", got \"random\""],
    );
}

#[test]
fn default_points_fit_into_the_pool_too() {
    let text = PLAN.replace("points = [10, 50]\n", "");
    let pool = "range = [0, 2000]";
    for (small, place) in [("range = [0, 60]", 28), ("range = [0, 90]\nlimit = 60", 29)] {
        let found = diagnostic(&text.replace(pool, small));
        for part in [
            "points: 100 exceed the 60 of split repair",
            &format!("plan.toml:{place}:"),
        ] {
            assert!(found.contains(part), "{part:?} in {found}");
        }
    }
}

#[test]
fn missing_tables_and_entries_are_named() {
    let text = fault("[splits.guard]", "[splits.gaurd]");
    assert!(text.contains("unknown field `gaurd`"), "{text}");
    let error = parse("name = \"empty\"\n").unwrap_err();
    assert!(error.to_string().contains("missing field"), "{error}");
    let error = parse("name = \n").unwrap_err();
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn methods_of_one_name_are_refused_unless_they_are_renamed() {
    let twice = "method = \"sequential\"\nobjective = \"guarded\"\nmargin = 0.5";
    let from = "method = \"frozen\"\nobjective = \"aprnn\"\ntime_limit = 10.0";
    let text = fault(from, twice);
    assert!(
        text.contains("two methods are named \"sequential-guarded\""),
        "{text}"
    );
    let renamed = PLAN.replacen(from, &format!("name = \"half\"\n{twice}"), 1);
    assert_eq!(parse(&renamed).unwrap().methods[1].name, "half");
}

#[test]
fn a_missing_file_is_named_with_its_split() {
    let root = repository();
    std::fs::remove_file(root.path().join("datasets/train.gz")).unwrap();
    let error = ResolvedPlan::parse("plan.toml", PLAN, &VOCABULARY, root.path(), Files::Required);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("split guard, images: no file"), "{error}");
    assert!(error.contains("datasets/train.gz"), "{error}");
}

#[test]
fn an_unknown_variable_in_a_path_is_refused() {
    assert_fault(
        "weights/net.safetensors",
        "$HOME/net.safetensors",
        8,
        &["unknown variable $HOME"],
    );
}

#[test]
fn defaults_are_written_out_and_the_resolved_plan_reads_back() {
    let text = PLAN
        .replace("seeds = [0, 1]\npoints = [10, 50]\njobs = 1\n", "")
        .replace(
            "[heuristics]\nreference = 0\ndefault = \"first-order-cost\"\n",
            "",
        );
    let plan = parse(&text).unwrap();
    assert_eq!(
        (plan.seeds.as_slice(), plan.points.as_slice()),
        (&[0, 1, 2][..], &[10, 50, 100][..])
    );
    assert_eq!((&plan.layers, plan.jobs), (&Choice::All, 1));
    assert_eq!(plan.heuristics.reference, "sequential-guarded");
    assert_eq!(plan.heuristics.names, VOCABULARY.heuristics);
    assert_eq!(plan.methods[1].margin, 0.05);
    let written = plan.to_toml().unwrap();
    assert_eq!(parse(&written).unwrap(), plan, "{written}");
}

#[test]
fn seeds_are_offset_within_the_range_of_toml() {
    let root = repository();
    let mut plan = plan(root.path());
    plan.offset_seeds(100).unwrap();
    assert_eq!(plan.seeds, [100, 101]);
    assert_eq!(plan.offset_seeds(u64::MAX).unwrap_err().exit_code(), 2);
}

#[test]
fn the_shipped_plans_are_valid() {
    let names = experiments::laboratory::vocabulary();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    for name in [
        "default.toml",
        "quick.toml",
        "five_seeds.toml",
        "aprnn_experiment1.toml",
    ] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let plan = ResolvedPlan::parse(name, &text, &names.borrow(), &folder, Files::Ignored);
        assert_eq!(
            plan.unwrap().heuristics.reference,
            "sequential-guarded",
            "{name}"
        );
    }
}
