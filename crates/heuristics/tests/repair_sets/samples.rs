//! Which points each sampler takes.

use data::{Dataset, ExampleId};
use heuristics::HeuristicError;
use heuristics::profile::{Points, geometric_margins};
use heuristics::samplers::{self, ALL, Pool};
use network::{DeviceChoice, Network, Precision};

use crate::fixture::relu;

/// A network whose outputs are (2 a, b) at (a, b).
fn doubling() -> Network {
    let checkpoint = relu(&[&[&[2.0, 0.0], &[0.0, 1.0]]]);
    Network::load(
        &checkpoint,
        &DeviceChoice::Flex.open().unwrap(),
        Precision::F64,
    )
    .unwrap()
}

fn set(points: &[([f32; 2], usize)]) -> Dataset {
    let inputs = points.iter().flat_map(|(x, _)| *x).collect();
    let labels: Vec<usize> = points.iter().map(|&(_, label)| label).collect();
    let ids = (0..labels.len() as u32).map(|i| ExampleId::clean("plane", i));
    Dataset::new(vec![2], inputs, labels.clone(), 2, ids.collect()).unwrap()
}

/// What a sampler takes of a set that is represented by its inputs.
fn sample(
    name: &str,
    set: &Dataset,
    count: usize,
    seed: u64,
) -> Result<Vec<usize>, HeuristicError> {
    let network = doubling();
    let outputs = repair::outputs(&network, &set.inputs, &set.shape).unwrap();
    let rows: Vec<f64> = set.inputs.iter().map(|&x| f64::from(x)).collect();
    let points = Points::new(&rows, 2).unwrap();
    let pool = Pool::new(&network, set, &outputs, points).unwrap();
    samplers::by_name(name)?.sample(&pool, count, seed)
}

/// Margins 3, -5, -1, 0.5, -2.
fn mixed() -> Dataset {
    set(&[
        ([2.0, 1.0], 0),
        ([3.0, 1.0], 1),
        ([1.0, 3.0], 0),
        ([1.0, 2.5], 1),
        ([0.0, 2.0], 0),
    ])
}

#[test]
fn the_surest_mistakes_come_first() {
    assert_eq!(
        sample("confident_wrong", &mixed(), 3, 0).unwrap(),
        [1, 4, 2]
    );
    let error = sample("confident_wrong", &mixed(), 4, 0).unwrap_err();
    assert!(matches!(
        error,
        HeuristicError::PoolTooSmall {
            kind: "wrong points",
            expected: 4,
            got: 3,
            ..
        }
    ));
}

#[test]
fn the_least_margins_come_first_whatever_their_sign() {
    assert_eq!(
        sample("nearest_boundary", &mixed(), 3, 0).unwrap(),
        [3, 2, 4]
    );
}

#[test]
fn geometric_margins_divide_by_the_slope_of_the_margin() {
    let (network, set) = (doubling(), mixed());
    let outputs = repair::outputs(&network, &set.inputs, &set.shape).unwrap();
    let found = geometric_margins(&network, &set, &outputs).unwrap();
    // ∂(2 a - b) = (2, -1).
    for (distance, margin) in found.iter().zip([3.0, -5.0, -1.0, 0.5, -2.0]) {
        assert!((distance - margin / 5_f64.sqrt()).abs() < 1e-12);
    }

    // Outputs (3 [a]₊ + [b]₊, 0): where a is positive the margin is steeper.
    let checkpoint = relu(&[&[&[1.0, 0.0], &[0.0, 1.0]], &[&[3.0, 1.0], &[0.0, 0.0]]]);
    let device = DeviceChoice::Flex.open().unwrap();
    let network = Network::load(&checkpoint, &device, Precision::F64).unwrap();
    let set = self::set(&[([1.0, -1.0], 0), ([-1.0, 2.0], 0), ([-1.0, -1.0], 0)]);
    let outputs = repair::outputs(&network, &set.inputs, &set.shape).unwrap();
    assert_eq!(
        geometric_margins(&network, &set, &outputs).unwrap(),
        [1.0, 2.0, 0.0]
    );
    let rows = [0.0, 1.0, 2.0];
    let pool = Pool::new(&network, &set, &outputs, Points::new(&rows, 1).unwrap()).unwrap();
    let taken = |name: &str| {
        samplers::by_name(name)
            .unwrap()
            .sample(&pool, 2, 0)
            .unwrap()
    };
    // The margins are 3, 2 and 0.
    assert_eq!(taken("geometric_margin"), [2, 0]);
    assert_eq!(taken("nearest_boundary"), [2, 1]);
}

#[test]
fn points_of_one_class_are_drawn_by_the_seed() {
    let set = mixed();
    for seed in 0..8 {
        let drawn = sample("class_homogeneous", &set, 2, seed).unwrap();
        assert_eq!(set.labels[drawn[0]], set.labels[drawn[1]]);
        assert_ne!(drawn[0], drawn[1]);
        assert_eq!(drawn, sample("class_homogeneous", &set, 2, seed).unwrap());
        let zeros = sample("class_homogeneous", &set, 3, seed).unwrap();
        assert!(zeros.iter().all(|&i| set.labels[i] == 0));
    }
    let error = sample("class_homogeneous", &set, 4, 0).unwrap_err();
    assert!(matches!(
        error,
        HeuristicError::PoolTooSmall {
            expected: 4,
            got: 3,
            ..
        }
    ));
}

#[test]
fn centres_are_the_farthest_from_those_taken() {
    let line = set(&[
        ([0.0, 0.0], 0),
        ([1.0, 0.0], 0),
        ([0.0, 0.0], 0),
        ([10.0, 0.0], 0),
        ([4.0, 0.0], 0),
    ]);
    for seed in 0..8 {
        let drawn = sample("k_centre", &line, 5, seed).unwrap();
        let mut all = drawn.clone();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4], "copies are taken last, and once");
        let second = if drawn[0] == 3 { 0 } else { 3 };
        assert_eq!(drawn[1], second, "{drawn:?}");
        // Of the points that 0 and 10 leave, 4 is the farthest.
        if drawn[0] == 0 {
            assert_eq!(drawn[2], 4);
        }
        assert_eq!(sample("k_centre", &line, 2, seed).unwrap(), drawn[..2]);
    }
}

#[test]
fn every_sampler_takes_different_points_and_refuses_more_than_there_are() {
    let set = mixed();
    for sampler in &ALL {
        assert!(!sampler.rule().is_empty() && !sampler.source().is_empty());
        let drawn = sample(sampler.name(), &set, 3, 7).unwrap();
        let mut different = drawn.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!((drawn.len(), different.len()), (3, 3), "{}", sampler.name());
        assert!(sample(sampler.name(), &set, 0, 7).unwrap().is_empty());
        let error = sample(sampler.name(), &set, 6, 7).unwrap_err();
        let message = format!(
            "{}: expected a pool of at least 6 points, got 5",
            sampler.name()
        );
        assert!(error.to_string().contains(&message), "{error}");
    }
    assert_ne!(
        sample("random", &set, 3, 1).unwrap(),
        sample("random", &set, 3, 2).unwrap()
    );
}

#[test]
fn a_pool_whose_parts_do_not_match_is_refused() {
    let (network, set) = (doubling(), mixed());
    let outputs = repair::outputs(&network, &set.inputs, &set.shape).unwrap();
    let points = |rows| Points::new(rows, 1).unwrap();
    assert!(Pool::new(&network, &set, &outputs, points(&[0.0; 4])).is_err());
    assert!(Pool::new(&network, &set, &outputs[2..], points(&[0.0; 5])).is_err());
}
