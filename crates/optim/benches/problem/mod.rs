//! Random repair problems with the shape of a digit classifier's inner layer.

use optim::{Inputs, ListedRows, Row, Shape};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sizes of the problem.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// Repair points.
    pub(crate) points: usize,
    /// Outputs p of every hidden layer.
    pub(crate) width: usize,
    /// Classes.
    pub(crate) classes: usize,
    /// Rectified layers from the repaired one on.
    pub(crate) hidden: usize,
}

/// 100 points, layer 100 x (100 + bias), 10 classes: 10,110 unknowns and 10,900 rows.
pub(crate) const SECOND_LAYER: Size = Size {
    points: 100,
    width: 100,
    classes: 10,
    hidden: 1,
};

/// A random network's frozen-pattern repair: every point is to become its runner-up class.
///
/// The repaired layer's inputs are rectified random features of a few latent coordinates, so
/// that they are correlated as activations are. The unknown is the change of that layer's
/// weights and bias, its tail that of all later biases. Per point: one sign row per neuron of
/// each rectified layer, one row per other class.
pub(crate) fn random(size: &Size, seed: u64) -> ListedRows {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let p = size.width;
    let shape = Shape {
        outputs: p,
        inputs: p + 1,
        tail: (size.hidden - 1) * p + size.classes,
    };
    let latent = 20;
    let features = matrix(&mut rng, p, latent, 1.0 / (latent as f64).sqrt());
    let layer = matrix(&mut rng, p, p + 1, (2.0 / p as f64).sqrt());
    let scale = (2.0 / p as f64).sqrt();
    let mut later: Vec<Vec<Vec<f64>>> = (1..size.hidden)
        .map(|_| matrix(&mut rng, p, p, scale))
        .collect();
    later.push(matrix(&mut rng, size.classes, p, scale));
    let mut inputs = Inputs::new(shape.inputs);
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..size.points {
        let code: Vec<f64> = (0..latent).map(|_| normal(&mut rng)).collect();
        let mut h: Vec<f64> = product(&features, &code)
            .into_iter()
            .map(|v| v.max(0.0))
            .collect();
        h.push(1.0);
        let mut z = product(&layer, &h);
        let input = inputs.push(h);
        let mut push = |sensitivity: Vec<f64>, tail: Vec<f64>, rhs: f64| {
            rows.push(Row {
                id: rows.len(),
                input,
                sensitivity,
                tail,
                rhs,
                softness: 0.0,
            });
        };
        // Derivatives of z, one row per neuron: by the repaired layer's output, by later biases.
        let mut by_output: Vec<Vec<f64>> = (0..p).map(|o| unit(p, o)).collect();
        let mut by_tail = vec![vec![0.0; shape.tail]; p];
        for (depth, weights) in later.iter().enumerate() {
            for (o, &z) in z.iter().enumerate() {
                let sign = 1.0_f64.copysign(z);
                push(
                    scaled(sign, &by_output[o]),
                    scaled(sign, &by_tail[o]),
                    -z.abs(),
                );
            }
            let on: Vec<usize> = (0..p).filter(|&o| z[o] > 0.0).collect();
            let through = |weights: &[f64], derivative: &[Vec<f64>], length: usize| {
                let mut sum = vec![0.0; length];
                for &o in &on {
                    let terms = sum.iter_mut().zip(&derivative[o]);
                    terms.for_each(|(sum, d)| *sum += weights[o] * d);
                }
                sum
            };
            let relu: Vec<f64> = z.iter().map(|&z| z.max(0.0)).collect();
            z = product(weights, &relu);
            let tails = weights.iter().enumerate().map(|(o, w)| {
                let mut tail = through(w, &by_tail, shape.tail);
                tail[depth * p + o] += 1.0;
                tail
            });
            let tails = tails.collect();
            by_output = weights.iter().map(|w| through(w, &by_output, p)).collect();
            by_tail = tails;
        }
        let label = runner_up(&z);
        let difference = |rows: &[Vec<f64>], j: usize| -> Vec<f64> {
            rows[label]
                .iter()
                .zip(&rows[j])
                .map(|(a, b)| a - b)
                .collect()
        };
        for j in (0..size.classes).filter(|&j| j != label) {
            let (g, tail) = (difference(&by_output, j), difference(&by_tail, j));
            push(g, tail, 0.05 - (z[label] - z[j]));
        }
    }
    ListedRows::new(shape, inputs, rows).expect("a well-formed problem")
}

fn unit(n: usize, i: usize) -> Vec<f64> {
    let mut unit = vec![0.0; n];
    unit[i] = 1.0;
    unit
}

fn scaled(factor: f64, v: &[f64]) -> Vec<f64> {
    v.iter().map(|v| factor * v).collect()
}

fn runner_up(scores: &[f64]) -> usize {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&i, &j| scores[j].total_cmp(&scores[i]));
    order[1]
}

fn matrix(rng: &mut impl Rng, rows: usize, columns: usize, scale: f64) -> Vec<Vec<f64>> {
    (0..rows)
        .map(|_| (0..columns).map(|_| scale * normal(rng)).collect())
        .collect()
}

fn product(matrix: &[Vec<f64>], v: &[f64]) -> Vec<f64> {
    let dot = |row: &Vec<f64>| row.iter().zip(v).map(|(a, b)| a * b).sum();
    matrix.iter().map(dot).collect()
}

/// Box and Muller's transformation of two uniform numbers.
fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random_range(f64::MIN_POSITIVE..1.0), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}
