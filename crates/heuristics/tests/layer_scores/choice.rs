//! The choice of a layer within a budget of time.

use std::time::Duration;

use data::Dataset;
use heuristics::{Choice, Combination, HeuristicError, Probe, Question, WORTH, auto};
use network::{Activation, mlp};
use repair::{Method, Options};

use crate::fixture::{Fixture, dataset, numbers, scores};

const LABELS: [usize; 3] = [0, 2, 1];

fn fixture(activation: Activation) -> Fixture {
    let checkpoint = mlp::random(&[4, 24, 16, 3], activation, 5).unwrap();
    Fixture::new(checkpoint, &numbers(3 * 4, 9), &LABELS)
}

/// A prior of one heuristic.
fn alone(name: &str) -> Combination {
    Combination {
        names: vec![name.to_owned()],
        weights: vec![1.0],
    }
}

fn choose(
    fixture: &Fixture,
    similar: Option<&Dataset>,
    budget: Duration,
    prior: &Combination,
) -> Result<Choice, HeuristicError> {
    choose_with(fixture, similar, budget, prior, &Options::default())
}

fn choose_with(
    fixture: &Fixture,
    similar: Option<&Dataset>,
    budget: Duration,
    prior: &Combination,
    options: &Options,
) -> Result<Choice, HeuristicError> {
    let points = dataset(fixture.set.inputs.clone(), LABELS.to_vec());
    let guard = dataset(fixture.guard.clone(), fixture.guard_labels.clone());
    let clean = dataset(numbers(50 * 4, 3), (0..50).map(|i| i % 3).collect());
    let similar = similar.map(|set| Probe::new(&fixture.network, set).unwrap());
    let question = Question {
        network: &fixture.network,
        checkpoint: &fixture.checkpoint,
        points: &points,
        margin: 0.1,
        guard: &guard,
        clean: &Probe::new(&fixture.network, &clean).unwrap(),
        similar: similar.as_ref(),
        worth: WORTH,
        prior,
        options,
        budget,
    };
    auto(&question)
}

#[test]
fn what_is_kept_repairs_all_points_and_does_least_harm() {
    for activation in [Activation::Relu, Activation::Gelu] {
        let fixture = fixture(activation);
        let choice = choose(
            &fixture,
            None,
            Duration::from_secs(60),
            &Combination::shipped(),
        )
        .unwrap();
        assert_eq!(choice.pilots.len(), 3);
        let mut ranking = choice.ranking.clone();
        ranking.sort_unstable();
        assert_eq!(ranking, [0, 1, 2]);
        let best = &choice.attempts[choice.best.unwrap()];
        assert!(best.trial.repair().unwrap().least_slack >= 0.0);
        for attempt in &choice.attempts {
            assert!(best.trial.harm() <= attempt.trial.harm());
        }
        let sure = choice.confidence().unwrap();
        assert!((0.5..=1.0).contains(&sure), "{sure}");
        // Frozen patterns are tried where there are patterns.
        let frozen = choice.attempts.iter().any(|a| a.method == Method::Frozen);
        assert_eq!(frozen, activation == Activation::Relu);
        // And two layers at once.
        assert!(choice.attempts.iter().any(|a| a.layers.len() == 2));
    }
}

#[test]
fn examples_like_the_repaired_ones_are_weighed_against_clean_ones() {
    let fixture = fixture(Activation::Relu);
    let similar = dataset(numbers(40 * 4, 9), (0..40).map(|i| LABELS[i % 3]).collect());
    let choice = choose(
        &fixture,
        Some(&similar),
        Duration::from_secs(60),
        &Combination::shipped(),
    )
    .unwrap();
    let merit = |i: usize| {
        let attempt = &choice.attempts[i];
        let gained = -attempt.similar?.drawdown;
        Some(gained - WORTH * attempt.trial.effects?.drawdown)
    };
    let best = merit(choice.best.unwrap()).unwrap();
    let merits: Vec<f64> = (0..choice.attempts.len()).filter_map(merit).collect();
    assert!(
        merits.len() > 3 && merits.iter().all(|&m| m <= best),
        "{merits:?}"
    );
    let margins: Vec<f64> = choice.attempts.iter().map(|a| a.margin).collect();
    assert!(margins.iter().any(|&margin| margin > 0.1), "{margins:?}");
}

#[test]
fn without_time_for_pilots_the_prior_decides_where_it_is_tried() {
    let fixture = fixture(Activation::Relu);
    for (prior, order) in [("last", [2, 1, 0]), ("first", [0, 1, 2])] {
        let choice = choose(&fixture, None, Duration::ZERO, &alone(prior)).unwrap();
        assert!(choice.pilots.is_empty());
        assert_eq!(choice.ranking, order);
        assert_eq!(choice.attempts.len(), 1);
        assert_eq!(choice.attempts[0].layers, order[..1]);
    }
}

#[test]
fn a_repair_has_its_own_time_when_the_budget_is_spent() {
    let fixture = fixture(Activation::Relu);
    let choice = |time_limit| {
        let options = Options {
            time_limit,
            ..Options::default()
        };
        choose_with(&fixture, None, Duration::ZERO, &alone("last"), &options).unwrap()
    };
    assert!(choice(None).kept().is_none());
    let kept = choice(Some(Duration::from_secs(60)));
    assert_eq!(kept.kept().unwrap().layers, [2]);
}

#[test]
fn a_prior_with_an_unknown_heuristic_is_refused() {
    let refused = choose(
        &fixture(Activation::Relu),
        None,
        Duration::ZERO,
        &alone("tea_leaves"),
    );
    assert!(matches!(refused, Err(HeuristicError::Unknown { .. })));
}

#[test]
fn what_a_combination_does_not_read_is_not_measured_and_changes_no_score_of_it() {
    let fixture = fixture(Activation::Relu);
    let prior = Combination::shipped();
    let few = fixture.collect_phases(&prior.phases().unwrap()).unwrap();
    let all = fixture.statistics();
    let of = |statistics| prior.prior(&fixture.network, statistics).unwrap();
    assert_eq!(of(&few), of(&all));
    for skipped in ["gradient_ratio", "pattern_slack"] {
        assert_eq!(scores(&few, skipped), [None; 3], "{skipped}");
        assert!(scores(&all, skipped).iter().all(Option::is_some));
    }
}
