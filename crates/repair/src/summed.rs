//! Second moments of a gradient that is a sum over positions.
//!
//! The gradient `D = δ Φ` (p x width) of one example is the product of its sensitivities
//! (p x positions) and features (positions x width). Its moments are needed, D itself is not:
//!
//! ```text
//! D Dᵀ = δ (Φ Φᵀ) δᵀ,     Dᵀ D = Φᵀ (δᵀ δ) Φ,     ‖D‖² = ⟨Φ Φᵀ, δᵀ δ⟩
//! ```
//!
//! which is far less work where there are few positions, as in a sentence, and positions without
//! sensitivity, such as padding, drop out.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

/// Factors of one example's moments: `D Dᵀ = moved · deltaᵀ` and `Dᵀ D = featuresᵀ · weighted`.
struct Factors {
    moved: Mat<f64>,
    delta: Mat<f64>,
    features: Mat<f64>,
    weighted: Mat<f64>,
    norm: f64,
}

/// Adds `Σ Dᵀ D` to `inputs` and `Σ D Dᵀ` (its diagonal, if `diagonal`) to `outputs` over some
/// examples, each a pair of δ (p x positions) and Φ (positions x width); returns `Σ ‖D‖²`.
pub(crate) fn add_moments(
    inputs: &mut Mat<f64>,
    outputs: &mut Mat<f64>,
    examples: &[(MatRef<'_, f64>, MatRef<'_, f64>)],
    diagonal: bool,
) -> f64 {
    let factors: Vec<Factors> = examples
        .par_iter()
        .map(|&(delta, features)| Factors::new(delta, features))
        .collect();
    // One product over all examples: a few columns at a time would be bound by memory.
    let columns = |of: fn(&Factors) -> &Mat<f64>| stacked(factors.iter().map(of), false);
    let rows = |of: fn(&Factors) -> &Mat<f64>| stacked(factors.iter().map(of), true);
    let (moved, delta) = (columns(|f| &f.moved), columns(|f| &f.delta));
    if diagonal {
        for o in 0..delta.nrows() {
            let pairs = moved.row(o).iter().zip(delta.row(o).iter());
            outputs[(o, o)] += pairs.map(|(a, b)| a * b).sum::<f64>();
        }
    } else {
        add(outputs, moved.as_ref(), delta.transpose());
    }
    let (features, weighted) = (rows(|f| &f.features), rows(|f| &f.weighted));
    add(inputs, features.transpose(), weighted.as_ref());
    factors.iter().map(|f| f.norm).sum()
}

impl Factors {
    fn new(delta: MatRef<'_, f64>, features: MatRef<'_, f64>) -> Self {
        let live: Vec<usize> = (0..delta.ncols())
            .filter(|&t| delta.col(t).iter().any(|&d| d != 0.0))
            .collect();
        let delta = Mat::from_fn(delta.nrows(), live.len(), |o, t| delta[(o, live[t])]);
        let features = Mat::from_fn(live.len(), features.ncols(), |t, i| features[(live[t], i)]);
        let (p, positions, width) = (delta.nrows(), live.len(), features.ncols());
        let formed = p * positions * width + p * width * (p + width);
        let factored =
            2 * positions * positions * (p + width) + positions * (p * p + width * width);
        if formed <= factored {
            return Self::formed(delta.as_ref(), features.as_ref());
        }
        let gram = product(features.as_ref(), features.transpose());
        let overlap = product(delta.transpose(), delta.as_ref());
        let pairs = gram.col_iter().zip(overlap.col_iter());
        let products = pairs.flat_map(|(a, b)| a.iter().zip(b.iter()).map(|(a, b)| a * b));
        Self {
            norm: products.sum(),
            moved: product(delta.as_ref(), gram.as_ref()),
            weighted: product(overlap.as_ref(), features.as_ref()),
            delta,
            features,
        }
    }

    /// The factors that are D itself.
    fn formed(delta: MatRef<'_, f64>, features: MatRef<'_, f64>) -> Self {
        let gradient = product(delta, features);
        Self {
            norm: gradient.as_ref().squared_norm_l2(),
            moved: gradient.clone(),
            delta: gradient.clone(),
            features: gradient.clone(),
            weighted: gradient,
        }
    }
}

/// Matrices below each other, or beside each other.
fn stacked<'a>(parts: impl Iterator<Item = &'a Mat<f64>> + Clone, below: bool) -> Mat<f64> {
    let extent = |mat: &Mat<f64>| if below { mat.nrows() } else { mat.ncols() };
    let across = parts.clone().next().map_or(0, |mat| match below {
        true => mat.ncols(),
        false => mat.nrows(),
    });
    let along: usize = parts.clone().map(extent).sum();
    let mut all = match below {
        true => Mat::zeros(along, across),
        false => Mat::zeros(across, along),
    };
    let mut first = 0;
    for part in parts {
        let size = extent(part);
        match below {
            true => all.subrows_mut(first, size).copy_from(part),
            false => all.subcols_mut(first, size).copy_from(part),
        }
        first += size;
    }
    all
}

fn product(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let mut product = Mat::zeros(left.nrows(), right.ncols());
    matmul(product.as_mut(), Accum::Replace, left, right, 1.0, Par::Seq);
    product
}

/// `target += left · right`
fn add(target: &mut Mat<f64>, left: MatRef<'_, f64>, right: MatRef<'_, f64>) {
    // Starting threads costs more than a small product.
    let large = target.nrows() * target.ncols() * left.ncols() > 1 << 20;
    let par = if large { Par::rayon(0) } else { Par::Seq };
    matmul(target.as_mut(), Accum::Add, left, right, 1.0, par);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries in [-1, 1) that follow no pattern.
    fn matrix(rows: usize, columns: usize, seed: f64) -> Mat<f64> {
        let entry = |i, j| ((i * columns + j) as f64 * 0.754_877_666 + seed).fract() * 2.0 - 1.0;
        Mat::from_fn(rows, columns, entry)
    }

    #[test]
    fn moments_are_those_of_the_formed_gradients_whatever_the_number_of_positions() {
        let (p, width) = (6, 9);
        let examples: Vec<(Mat<f64>, Mat<f64>)> = [1, 2, 5, 40]
            .into_iter()
            .map(|positions| {
                let mut delta = matrix(p, positions, 0.3);
                delta.col_mut(positions / 2).fill(0.0);
                (delta, matrix(positions, width, 0.7))
            })
            .collect();
        let (mut a, mut g, mut norm) = (Mat::zeros(width, width), Mat::zeros(p, p), 0.0);
        for (delta, features) in &examples {
            let d: Mat<f64> = delta * features;
            a += d.transpose() * &d;
            g += &d * d.transpose();
            norm += d.as_ref().squared_norm_l2();
        }
        let examples: Vec<_> = examples
            .iter()
            .map(|(d, f)| (d.as_ref(), f.as_ref()))
            .collect();
        for diagonal in [false, true] {
            let (mut inputs, mut outputs) = (Mat::zeros(width, width), Mat::zeros(p, p));
            let found = add_moments(&mut inputs, &mut outputs, &examples, diagonal);
            assert!((found - norm).abs() < 1e-12 * norm);
            assert!((&inputs - &a).norm_max() < 1e-12 * norm);
            for (i, j) in (0..p).flat_map(|i| (0..p).map(move |j| (i, j))) {
                let expected = if diagonal && i != j { 0.0 } else { g[(i, j)] };
                assert!((outputs[(i, j)] - expected).abs() < 1e-12 * norm);
            }
        }
    }
}
