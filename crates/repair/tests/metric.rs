//! The guard moments and the change of coordinates that they define.

mod common;

use common::Fixture;
use network::Activation;
use optim::Unknown;
use proptest::prelude::*;
use repair::{GuardMoments, Metric};

/// A fixed sequence without structure.
fn wave(count: usize, phase: f64) -> Vec<f64> {
    (0..count)
        .map(|i| ((phase + i as f64) * 0.913).sin())
        .collect()
}

/// gᵀ M h for a row-major matrix with `h.len()` columns.
fn bilinear(g: &[f64], matrix: &[f64], h: &[f64]) -> f64 {
    let row = |row: &[f64]| row.iter().zip(h).map(|(m, h)| m * h).sum::<f64>();
    g.iter()
        .zip(matrix.chunks(h.len()))
        .map(|(g, m)| g * row(m))
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whitening_keeps_every_row_and_turns_the_objective_into_a_plain_norm(seed in 0u64..10_000) {
        let fixture = Fixture::random(&[5, 7, 4], Activation::Relu, seed);
        let moments = fixture.moments();
        let layer = &fixture.network.layers()[0];
        let later = &fixture.network.layers()[1..];
        let metric = Metric::guarded(layer, later, &moments, 0.1).unwrap();
        let shape = metric.shape();
        let phase = seed as f64;
        let x = Unknown { matrix: wave(shape.outputs * shape.inputs, phase), tail: wave(shape.tail, phase + 0.5) };
        let entries: Vec<f64> = metric.change(&x).interleaved().collect();
        let (matrix, tail) = entries.split_at(shape.outputs * shape.inputs);

        let (g, h, t) = (wave(shape.outputs, 1.0), wave(shape.inputs, 2.0), wave(shape.tail, 3.0));
        let plain = bilinear(&g, matrix, &h) + t.iter().zip(tail).map(|(t, d)| t * d).sum::<f64>();
        let (mut white_g, mut white_h, mut white_t) = (g, h, t);
        metric.whiten_sensitivities(&mut white_g);
        metric.whiten_inputs(&mut white_h);
        metric.whiten_tails(&mut white_t);
        let tails = white_t.iter().zip(&x.tail).map(|(t, d)| t * d).sum::<f64>();
        let white = bilinear(&white_g, &x.matrix, &white_h) + tails;
        prop_assert!((plain - white).abs() <= 1e-9 * (1.0 + plain.abs()), "{} {}", plain, white);

        // Δᵀ(A ⊗ G)Δ with the damped factors, written out.
        let damped = |moment: &faer::Mat<f64>| {
            let n = moment.nrows();
            let mean = (0..n).map(|i| moment[(i, i)]).sum::<f64>() / n as f64;
            let damping = 0.1f64.sqrt() * if mean > 0.0 { mean } else { 1.0 };
            (0..n * n).map(|e| moment[(e / n, e % n)] + if e / n == e % n { damping } else { 0.0 }).collect::<Vec<f64>>()
        };
        let a = damped(&moments.layers[0].inputs);
        let outputs = damped(&moments.layers[0].outputs);
        let mut square = 0.0;
        for o in 0..shape.outputs {
            for p in 0..shape.outputs {
                let row = |o: usize| &matrix[o * shape.inputs..(o + 1) * shape.inputs];
                square += outputs[o * shape.outputs + p] * bilinear(row(o), &a, row(p));
            }
        }
        square += bilinear(tail, &damped(&moments.layers[1].outputs), tail);
        prop_assert!((square - x.norm_squared()).abs() <= 1e-8 * square, "{} {}", square, x.norm_squared());
    }
}

#[test]
fn guard_moments_equal_sums_over_single_examples() {
    let fixture = Fixture::random(&[3, 4, 2], Activation::Relu, 5);
    let moments = GuardMoments::collect(&fixture.network, &fixture.guard).unwrap();
    let count = fixture.guard.len() / 3;
    let feature = |x: &[f32], i: usize| if i == 3 { 1.0 } else { f64::from(x[i]) };
    for i in 0..4 {
        for j in 0..4 {
            let sum: f64 = fixture
                .guard
                .chunks(3)
                .map(|x| feature(x, i) * feature(x, j))
                .sum();
            assert!((moments.layers[0].inputs[(i, j)] - sum / count as f64).abs() < 1e-12);
        }
    }
    // The last layer's outputs are the network's: its Jacobian is the identity.
    for i in 0..2 {
        for j in 0..2 {
            assert_eq!(
                moments.layers[1].outputs[(i, j)],
                f64::from(u8::from(i == j))
            );
        }
    }
}
