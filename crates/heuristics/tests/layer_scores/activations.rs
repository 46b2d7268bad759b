//! Scores of activations: size, spread, similarity, change.

use heuristics::pick;
use network::{Activation, mlp};

use crate::fixture::{Fixture, assert_close, known, numbers, relu};

const CHANGES: [&str; 3] = ["change_l2", "change_cosine", "change_cka"];
const IDENTITY: &[&[f32]] = &[&[1.0, 0.0], &[0.0, 1.0]];

#[test]
fn magnitude_and_variance_follow_the_scale_of_a_layer() {
    let checkpoint = relu(&[
        IDENTITY,
        &[&[8.0, 0.0], &[0.0, 8.0]],
        &[&[0.25, 0.0], &[0.0, 0.25]],
    ]);
    let fixture = Fixture::new(checkpoint, &[1.0, 0.0, 0.0, 1.0], &[1, 0]);
    let (magnitude, variance) = (
        fixture.scores("activation_magnitude"),
        fixture.scores("activation_variance"),
    );
    assert_eq!((pick(&magnitude), pick(&variance)), (Some(1), Some(1)));
    assert_close(&known(magnitude), &[0.5, 4.0, 1.0], 1e-12);
    assert_close(&known(variance), &[0.25, 16.0, 1.0], 1e-12);
}

#[test]
fn nothing_changes_when_the_counterparts_equal_the_inputs() {
    let inputs = numbers(6 * 3, 1);
    let mut fixture = Fixture::new(
        mlp::random(&[3, 5, 4, 2], Activation::Relu, 3).unwrap(),
        &inputs,
        &[0, 1, 0, 1, 0, 1],
    );
    fixture.clean = Some(inputs);
    for heuristic in CHANGES {
        assert_close(&known(fixture.scores(heuristic)), &[0.0; 3], 1e-12);
    }
}

#[test]
fn change_is_largest_where_the_corrupted_feature_is_amplified_and_zero_where_it_is_ignored() {
    // The second feature, which the corruption touches, is damped, amplified and dropped.
    let checkpoint = relu(&[
        &[&[1.0, 0.0], &[0.0, 0.015_625]],
        &[&[1.0, 0.0], &[0.0, 256.0]],
        &[&[1.0, 0.0], &[2.0, 0.0]],
    ]);
    let corrupted = [1.0, 3.0, 2.0, 1.5, 3.0, 9.0, 1.0, 4.0];
    let mut fixture = Fixture::new(checkpoint, &corrupted, &[0, 1, 0, 1]);
    fixture.clean = Some(vec![1.0, 1.0, 2.0, 1.0, 3.0, 1.0, 1.0, 2.0]);
    for heuristic in CHANGES {
        let scores = fixture.scores(heuristic);
        assert_eq!(pick(&scores), Some(1), "{heuristic}: {scores:?}");
        let scores = known(scores);
        assert!(
            scores[0] > 1e-6 && scores[2].abs() < 1e-12,
            "{heuristic}: {scores:?}"
        );
    }
}

#[test]
fn without_counterparts_no_change_is_scored() {
    let fixture = Fixture::new(relu(&[IDENTITY, IDENTITY]), &[1.0, 0.0, 0.0, 1.0], &[1, 0]);
    for heuristic in CHANGES {
        let scores = fixture.scores(heuristic);
        assert_eq!(scores, [None, None], "{heuristic}");
        assert_eq!(pick(&scores), None);
    }
}

#[test]
fn identical_points_are_alike_at_every_layer_and_say_nothing_of_labels() {
    let inputs = numbers(3, 4).repeat(5);
    let fixture = Fixture::new(
        mlp::random(&[3, 5, 2], Activation::Relu, 3).unwrap(),
        &inputs,
        &[1; 5],
    );
    assert_close(
        &known(fixture.scores("similarity_cosine")),
        &[1.0, 1.0],
        1e-12,
    );
    assert_eq!(fixture.scores("similarity_cka"), [None, None]);
    assert_close(
        &known(fixture.scores("activation_variance")),
        &[0.0, 0.0],
        1e-12,
    );
}

#[test]
fn cosine_similarity_is_that_of_the_layer_outputs() {
    let checkpoint = relu(&[
        IDENTITY,
        &[&[2.0, 1.0], &[1.0, 2.0]],
        &[&[2.0, -1.0], &[-1.0, 2.0]],
    ]);
    let fixture = Fixture::new(checkpoint, &[1.0, 0.0, 0.0, 1.0], &[1, 0]);
    let scores = fixture.scores("similarity_cosine");
    assert_eq!(pick(&scores), Some(1));
    assert_close(&known(scores), &[0.0, 0.8, 0.0], 1e-12);
}

#[test]
fn label_similarity_is_one_where_the_representation_is_the_label() {
    // The first feature is the label, the second independent of it and dropped.
    let checkpoint = relu(&[IDENTITY, &[&[1.0, 0.0], &[-1.0, 0.0]]]);
    let fixture = Fixture::new(
        checkpoint,
        &[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0],
        &[0, 0, 1, 1],
    );
    assert_close(
        &known(fixture.scores("similarity_cka")),
        &[0.5f64.sqrt(), 1.0],
        1e-12,
    );
}

#[test]
fn a_single_point_has_neither_pairs_nor_geometry() {
    let mut fixture = Fixture::new(relu(&[IDENTITY, IDENTITY]), &[1.0, 0.5], &[1]);
    fixture.clean = Some(vec![1.0, 0.25]);
    for heuristic in ["similarity_cosine", "similarity_cka", "change_cka"] {
        assert_eq!(fixture.scores(heuristic), [None, None], "{heuristic}");
    }
    assert!(
        known(fixture.scores("change_l2"))
            .iter()
            .all(|&change| change > 0.0)
    );
}
