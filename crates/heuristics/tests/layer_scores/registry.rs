//! The registry, positions, picks and who is charged for what.

use std::collections::BTreeSet;

use heuristics::{ALL, DEFAULT, Phase, Statistics, by_name, pick};
use network::{Activation, mlp};

use crate::fixture::{Fixture, numbers, scores};

const PHASES: [Phase; 9] = [
    Phase::Activations,
    Phase::Similarity,
    Phase::Gradients,
    Phase::GuardGradients,
    Phase::Counterparts,
    Phase::FirstOrder,
    Phase::Measured,
    Phase::Pattern,
    Phase::Conditioning,
];

fn statistics(layers: usize) -> Statistics {
    let sizes: Vec<usize> = [3]
        .into_iter()
        .chain((1..layers).map(|_| 5))
        .chain([2])
        .collect();
    let mut fixture = Fixture::new(
        mlp::random(&sizes, Activation::Relu, 2).unwrap(),
        &numbers(4 * 3, 1),
        &[0, 1, 1, 0],
    );
    fixture.clean = Some(numbers(4 * 3, 2));
    fixture.statistics()
}

/// Replaces what a phase measures by NaN.
fn spoil(statistics: &mut Statistics, phase: Phase) {
    const NAN: f64 = f64::NAN;
    for layer in &mut statistics.layers {
        match phase {
            Phase::Activations => {
                (layer.activation_magnitude, layer.activation_variance) = (NAN, NAN)
            }
            Phase::Similarity => {
                (layer.cosine_similarity, layer.label_cka) = (Some(NAN), Some(NAN));
                layer.within_class_similarity = Some(NAN);
            }
            Phase::Gradients => {
                (layer.gradient_norm, layer.weight_norm) = (NAN, NAN);
                layer.contribution = NAN;
            }
            Phase::GuardGradients => layer.guard_gradient_norm = Some(NAN),
            Phase::Counterparts => layer.counterpart = None,
            Phase::FirstOrder => {
                let repair = layer.first_order.as_mut().unwrap();
                (repair.cost, repair.guard_change) = (NAN, NAN);
                repair.typical_cost = NAN;
            }
            Phase::Measured => {
                let repair = layer.first_order.as_mut().unwrap();
                let measured = repair.measured.as_mut().unwrap();
                (measured.guard.divergence, measured.efficacy) = (NAN, NAN);
                measured.progress = NAN;
            }
            Phase::Pattern => layer.first_order.as_mut().unwrap().broken_pieces = Some(NAN),
            Phase::Conditioning => layer.log_condition = NAN,
        }
    }
}

/// Compares by bits, so that NaN equals NaN.
fn bits(scores: &[Option<f64>]) -> Vec<Option<u64>> {
    scores.iter().map(|score| score.map(f64::to_bits)).collect()
}

#[test]
fn every_heuristic_is_charged_for_all_that_it_reads() {
    let measured = statistics(3);
    for heuristic in &ALL {
        let before = heuristic.scores(&measured);
        assert!(
            before.iter().all(Option::is_some),
            "{}: {before:?}",
            heuristic.name()
        );
        let (mut others, mut own) = (measured.clone(), measured.clone());
        for phase in PHASES {
            let charged = heuristic.phases().contains(&phase);
            spoil(if charged { &mut own } else { &mut others }, phase);
        }
        assert_eq!(
            bits(&heuristic.scores(&others)),
            bits(&before),
            "{}",
            heuristic.name()
        );
        let reads = bits(&heuristic.scores(&own)) != bits(&before);
        assert_eq!(
            reads,
            !heuristic.phases().is_empty(),
            "{}",
            heuristic.name()
        );
    }
}

#[test]
fn every_phase_is_timed_and_phases_add_up() {
    let mut statistics = statistics(3);
    assert_eq!(
        statistics.seconds.keys().copied().collect::<BTreeSet<_>>(),
        BTreeSet::from(PHASES)
    );
    statistics
        .seconds
        .values_mut()
        .zip(1..)
        .for_each(|(seconds, n)| *seconds = f64::from(n));
    assert_eq!(
        statistics.seconds_of(&[Phase::Activations, Phase::Counterparts]),
        1.0 + 5.0
    );
    assert_eq!(statistics.seconds_of(&[]), 0.0);
}

#[test]
fn positions_pick_their_layer_whatever_the_depth() {
    for layers in 1..=4 {
        let statistics = statistics(layers);
        let picked = |heuristic| pick(&scores(&statistics, heuristic));
        assert_eq!(picked("first"), Some(0));
        assert_eq!(
            picked("penultimate"),
            Some(layers.saturating_sub(2)),
            "{layers} layers"
        );
        assert_eq!(picked("last"), Some(layers - 1));
    }
}

#[test]
fn random_scores_are_those_of_the_seed_and_reach_every_layer() {
    let mut statistics = statistics(3);
    let mut draw = |seed| {
        statistics.seed = seed;
        scores(&statistics, "random")
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    assert!(
        draw(3)
            .iter()
            .flatten()
            .all(|score| (0.0..1.0).contains(score))
    );
    let picked: BTreeSet<_> = (0..40).map(|seed| pick(&draw(seed))).collect();
    assert_eq!(picked, BTreeSet::from([Some(0), Some(1), Some(2)]));
}

#[test]
fn the_pick_is_the_first_of_the_highest_numbers() {
    assert_eq!(pick(&[Some(1.0), Some(2.0), Some(2.0)]), Some(1));
    assert_eq!(
        pick(&[None, Some(f64::NAN), Some(-3.0), Some(f64::NAN)]),
        Some(2)
    );
    assert_eq!(pick(&[Some(f64::NEG_INFINITY), Some(-1e300)]), Some(1));
    assert_eq!(pick(&[None, Some(f64::NAN)]), None);
    assert_eq!(pick(&[]), None);
}

#[test]
fn names_are_unique_and_lead_back_to_their_heuristic() {
    let names: BTreeSet<_> = ALL.iter().map(|heuristic| heuristic.name()).collect();
    assert_eq!(names.len(), ALL.len());
    for heuristic in &ALL {
        assert_eq!(
            by_name(heuristic.name()).unwrap().formula(),
            heuristic.formula()
        );
        assert!(!heuristic.formula().is_empty() && !heuristic.source().is_empty());
    }
    assert_eq!(by_name(DEFAULT).unwrap().name(), DEFAULT);
}

#[test]
fn the_same_subject_gives_the_same_scores() {
    let (first, second) = (statistics(3), statistics(3));
    for heuristic in &ALL {
        assert_eq!(
            bits(&heuristic.scores(&first)),
            bits(&heuristic.scores(&second)),
            "{}",
            heuristic.name()
        );
    }
}
