//! The second moments over the guard set.

mod common;

use common::{Fixture, collect};
use network::Activation;

#[test]
fn guard_moments_equal_sums_over_single_examples() {
    let fixture = Fixture::random(&[3, 4, 2], Activation::Relu, 5);
    let moments = collect(&fixture.network, &fixture.guard);
    let of = |layer: usize| {
        let found = moments.layer(&fixture.network.layers()[layer]).unwrap();
        found.groups[0].clone()
    };
    let count = fixture.guard.len() / 3;
    let feature = |x: &[f32], i: usize| if i == 3 { 1.0 } else { f64::from(x[i]) };
    for i in 0..4 {
        for j in 0..4 {
            let sum: f64 = fixture
                .guard
                .chunks(3)
                .map(|x| feature(x, i) * feature(x, j))
                .sum();
            assert!((of(0).inputs[(i, j)] - sum / count as f64).abs() < 1e-12);
        }
    }
    // The last layer's outputs are the network's: its Jacobian is the identity.
    for i in 0..2 {
        for j in 0..2 {
            assert_eq!(of(1).outputs[(i, j)], f64::from(u8::from(i == j)));
        }
    }
}
