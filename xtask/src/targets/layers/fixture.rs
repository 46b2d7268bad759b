//! A study of one network, as small as a test needs it.

use heuristics::Effects;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::brute::{Elsewhere, Trial};
use super::choice::Chosen;
use super::scores::Scores;
use super::sets::SetKey;

pub(super) fn key(seed: u64) -> SetKey {
    SetKey {
        network: "small".into(),
        kind: "wrong".into(),
        sampler: "random".into(),
        points: 5,
        seed,
    }
}

/// A trial of a second at every layer; `None` where it repairs nothing.
pub(super) fn trials(seed: u64, divergences: &[Option<f64>]) -> Vec<Trial> {
    let trial = |(layer, divergence): (usize, &Option<f64>)| {
        let effects = divergence.map(effects);
        Trial {
            set: key(seed),
            layer,
            name: format!("layer {layer}"),
            build: "build".into(),
            repaired: effects.is_some(),
            efficacy: None,
            seconds: 1.0,
            halves: effects.map(|effects| [effects; 2]),
            elsewhere: Elsewhere {
                test: effects,
                generalization: None,
            },
        }
    };
    divergences.iter().enumerate().map(trial).collect()
}

/// What one rule says in half a second, in a record that names no build.
pub(super) fn scores(seed: u64, rule: &str, scores: &[Option<f64>]) -> Scores {
    let layers: Vec<usize> = (0..scores.len()).collect();
    read(json!({
        "set": key(seed),
        "layers": layers,
        "scores": { rule: scores },
        "seconds": { rule: 0.5 },
        "total_seconds": 1.0,
        "moments_seconds": 0.5,
        "phases": {},
    }))
}

/// What the search keeps, in a record that says nothing of its margin.
pub(super) fn chosen(seed: u64, layers: &[usize], method: &str, divergence: f64) -> Chosen {
    read(json!({
        "set": key(seed),
        "build": "build",
        "weights": [],
        "budget_seconds": 1.0,
        "prior_seconds": 0.25,
        "selection_seconds": 0.25,
        "seconds": 2.0,
        "kept_seconds": 1.0,
        "order": [0, 1],
        "ranking": [0, 1],
        "pilots": 0,
        "attempts": 1,
        "layers": layers,
        "method": method,
        "confidence": null,
        "test": effects(divergence),
        "generalization": null,
    }))
}

fn effects(divergence: f64) -> Effects {
    Effects {
        examples: 2,
        drawdown: divergence,
        changed: divergence,
        divergence,
    }
}

fn read<T: DeserializeOwned>(record: Value) -> T {
    serde_json::from_value(record).unwrap()
}
