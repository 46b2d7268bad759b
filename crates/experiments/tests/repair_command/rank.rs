//! `experiments rank-layers`: which layer to repair.

use network::Checkpoint;
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
    let found = read(&report);
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
    let original = Checkpoint::read(&super::root().join(MNIST)).unwrap();
    let repaired = Checkpoint::read(out.as_ref()).unwrap();
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
fn a_guard_set_that_cannot_be_split_and_a_bad_budget_are_refused() {
    let (_, error) = expect(&rank(&["--budget", "soon"]), 2);
    assert!(
        error.contains("expected a time such as 90s or 2m"),
        "{error}"
    );
    let one = ["--guard-limit", "1"];
    let (_, error) = expect(&experiments("rank-layers", &[&SETS[..9], &one].concat()), 2);
    assert!(unframed(&error).contains("1isnotin2"), "{error}");
}
