//! `experiments rank-layers`: which layer to repair.

use network::Model;
use serde_json::Value;

use super::digits::{HELD_OUT, MNIST, TEST};
use super::{Folder, expect, experiments, unframed};

const SETS: [&str; 12] = [
    "--network",
    MNIST,
    "--repair",
    TEST,
    "--only-wrong",
    "--limit",
    "20",
    "--guard",
    HELD_OUT,
    "--guard-limit",
    "400",
    "--force",
];

fn rank(more: &[&str]) -> std::process::Output {
    experiments("rank-layers", &[&SETS[..], more].concat())
}

fn read(report: &str) -> Value {
    serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap()
}

#[test]
fn the_recommended_attempt_does_least_harm_and_is_the_network_that_is_written() {
    let folder = Folder::new();
    let (report, out) = (
        folder.path("report.json"),
        folder.path("repaired.safetensors"),
    );
    let files = ["--budget", "30s", "--report", &report, "--out", &out];
    let (said, _) = expect(&rank(&files), 0);
    assert!(
        said.contains("read back: 20 of 20 points right (0 before)"),
        "{said}"
    );
    let found = read(&report);
    assert_eq!(found["self_check"]["holds"], true);
    assert_eq!(found["arguments"]["budget"], 30.0);
    let files = found["files"].as_array().unwrap();
    let roles: Vec<&Value> = files.iter().map(|file| &file["role"]).collect();
    assert_eq!(roles, ["network", "repair", "guard", "out"]);
    let choice = &found["choice"];
    assert_eq!(choice["pilots"].as_array().unwrap().len(), 3);

    let attempts = choice["attempts"].as_array().unwrap();
    let best = &attempts[choice["best"].as_u64().unwrap() as usize];
    assert_eq!(best["efficacy"], 100.0);
    let harm = |attempt: &Value| attempt["divergence"].as_f64();
    for other in attempts.iter().filter_map(harm) {
        assert!(harm(best).unwrap() <= other, "{attempts:?}");
    }
    let layers = best["layers"].as_str().unwrap();
    let recommended = format!("recommended: --layer {layers} --method");
    assert!(said.contains(&recommended), "{said}");
    let sure = choice["confidence"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&sure), "{sure}");

    // No weight but those of the recommended layers differs from the original.
    let original = Model::open(&super::root().join(MNIST)).unwrap();
    let repaired = Model::open(out.as_ref()).unwrap();
    let edited: Vec<&str> = layers.split(',').collect();
    for name in original.names().filter(|name| name.ends_with("weight")) {
        let (layer, _) = name.rsplit_once('.').unwrap();
        let is_same = original.tensor(name).unwrap() == repaired.tensor(name).unwrap();
        assert_eq!(is_same, !edited.contains(&layer), "{name}, edited {layers}");
    }
}

#[test]
fn without_a_budget_every_layer_has_every_score_and_nothing_is_repaired() {
    let folder = Folder::new();
    let report = folder.path("report.json");
    let (said, _) = expect(
        &rank(&["--budget", "0", "--all-scores", "--report", &report]),
        0,
    );
    assert!(
        said.contains("scored: 3 layers") && !said.contains("recommended"),
        "{said}"
    );
    assert!(
        said.contains("from 8 of 20 points and 96 of 200 guard inputs"),
        "{said}"
    );
    let found = read(&report);
    assert!(found["choice"].is_null());
    let layers = found["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 3);
    for layer in layers {
        let scores = layer["scores"].as_object().unwrap();
        assert_eq!(scores.len(), heuristics::ALL.len());
        for name in [
            "first_order_cost",
            "measured_divergence",
            "gradient_norm",
            "contribution",
            "gradient_ratio",
            "pattern_slack",
        ] {
            assert!(scores[name].is_f64(), "{name}: {layer}");
        }
    }
}

#[test]
fn a_small_guard_set_is_scored_on_whole() {
    let few = ["--guard-limit", "60", "--budget", "0"];
    let arguments = [&SETS[..9], &few].concat();
    let (said, _) = expect(&experiments("rank-layers", &arguments), 0);
    assert!(said.contains("and 30 of 30 guard inputs"), "{said}");
}

#[test]
fn inputs_that_one_set_has_decide_in_no_other() {
    let same = ["--budget", "0", "--clean", TEST, "--similar", TEST];
    let (_, error) = expect(&rank(&same), 2);
    assert!(unframed(&error).contains("isinanotherset"), "{error}");
}

#[test]
fn points_with_two_labels_are_named_before_any_layer_is_tried() {
    let folder = Folder::new();
    let points = [([1.0, 0.0], 0), ([0.0, 3.0], 1), ([1.0, 0.0], 1)];
    let (network, set) = (folder.line(), folder.batch("set", &points));
    let guard = folder.batch("guard", &[([5.0, 5.0], 0), ([6.0, 1.0], 1)]);
    let report = folder.path("report.json");
    let sets = ["--network", &network, "--repair", &set, "--guard", &guard];
    let arguments = [&sets[..], &["--report", &report]].concat();
    let (said, _) = expect(&experiments("rank-layers", &arguments), 3);
    assert!(said.contains("one input has the labels 0 and 1"), "{said}");
    assert!(said.contains("set[0]") && said.contains("set[2]"), "{said}");
    let found = read(&report);
    assert_eq!(found["outcome"], "infeasible");
    assert_eq!(found["conflict"].as_array().unwrap().len(), 2);
}

#[test]
fn a_guard_set_that_cannot_be_split_and_flags_without_effect_are_refused() {
    let (_, error) = expect(&rank(&["--budget", "soon"]), 2);
    assert!(
        error.contains("expected a time such as 90s or 2m"),
        "{error}"
    );
    let folder = Folder::new();
    let out = folder.path("out");
    for (more, problem) in [
        (
            &["--budget", "0", "--out", &out][..],
            "--out needs a --budget above 0",
        ),
        (&["--out", &out, "--report", &out], "name the same file"),
        (&["--worth", "3"], "--similar"),
    ] {
        let (_, error) = expect(&rank(more), 2);
        assert!(unframed(&error).contains(&unframed(problem)), "{error}");
    }
    let one = ["--guard-limit", "1"];
    let (_, error) = expect(&experiments("rank-layers", &[&SETS[..9], &one].concat()), 2);
    assert!(unframed(&error).contains("1isnotin2"), "{error}");
}
