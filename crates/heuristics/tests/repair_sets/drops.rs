//! Which points cost a repair most.

use heuristics::{DropProblem, HeuristicError, Suggestion, suggest_drop};
use network::{Activation, mlp};
use repair::DAMPING;

use crate::fixture::{Fixture, numbers, relu};

fn suggest(fixture: &Fixture, layer: usize, count: usize) -> Result<Suggestion, HeuristicError> {
    let problem = DropProblem {
        network: &fixture.network,
        layer: &fixture.network.layers()[layer],
        set: &fixture.set,
        moments: &fixture.moments(),
        damping: DAMPING,
    };
    suggest_drop(&problem, count)
}

#[test]
fn a_mislabelled_point_is_named_first_and_leaves_nothing_to_pay() {
    let checkpoint = relu(&[&[&[1.0, 0.0], &[0.0, 1.0]], &[&[1.0, 0.0], &[0.0, 1.0]]]);
    let inputs = [3.0, 0.0, 2.0, 0.1, 2.5, 0.2, 0.0, 2.0, 0.3, 3.0];
    // The third point is one of class 0.
    let fixture = Fixture::new(checkpoint, &inputs, &[0, 0, 1, 1, 1]);
    for layer in 0..2 {
        let Suggestion::Drops { cost, drops } = suggest(&fixture, layer, 3).unwrap() else {
            panic!("unsolved");
        };
        assert_eq!(drops.len(), 1, "{drops:?}");
        assert_eq!((drops[0].point, drops[0].cost), (2, 0.0));
        assert!(cost > 0.0 && drops[0].price > 0.0);
        assert_eq!(drops[0].predicted, cost - drops[0].share);
    }
}

#[test]
fn the_cost_falls_with_every_point_and_no_more_than_all_shares_say() {
    let checkpoint = mlp::random(&[4, 12, 3], Activation::Relu, 5).unwrap();
    let labels: Vec<usize> = (0..14).map(|i| i * i % 3).collect();
    let fixture = Fixture::new(checkpoint, &numbers(14 * 4, 1), &labels);
    for layer in 0..2 {
        let Suggestion::Drops { cost, drops } = suggest(&fixture, layer, 20).unwrap() else {
            panic!("unsolved");
        };
        assert!(drops.len() > 5 && drops.len() < 14, "{}", drops.len());
        let mut before = cost;
        for drop in &drops {
            assert!(drop.cost <= before * (1.0 + 1e-9), "{drop:?} {before}");
            assert!((drop.predicted - (before - drop.share)).abs() <= 1e-12 * cost);
            // The largest share is at least the mean one.
            assert!(drop.share * 14.0 >= before);
            before = drop.cost;
        }
        let mut points: Vec<usize> = drops.iter().map(|drop| drop.point).collect();
        points.sort_unstable();
        points.dedup();
        assert_eq!(points.len(), drops.len());
    }
}

#[test]
fn a_layer_that_no_output_hears_of_prices_nothing() {
    // Both hidden units are off at the point.
    let checkpoint = relu(&[&[&[-1.0, 0.0], &[0.0, -1.0]], &[&[1.0, 0.0], &[0.0, 1.0]]]);
    let fixture = Fixture::new(checkpoint, &[1.0, 1.0], &[0]);
    assert_eq!(suggest(&fixture, 0, 1).unwrap(), Suggestion::Unsolved);
}

#[test]
fn one_input_with_two_labels_is_refused() {
    let checkpoint = relu(&[&[&[1.0, 0.0], &[0.0, 1.0]]]);
    let fixture = Fixture::new(checkpoint, &[1.0, 1.0, 1.0, 1.0], &[0, 1]);
    let error = suggest(&fixture, 0, 1).unwrap_err();
    assert!(error.to_string().contains("points 0 and 1"), "{error}");
}
