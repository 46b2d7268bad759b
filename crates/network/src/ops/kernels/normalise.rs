//! Softmax and layer norm over the last axis.
//!
//! ```text
//! softmax      y_j = exp(x_j - m) / Σ_l exp(x_l - m),   x̄ = y ∘ (ȳ - ⟨ȳ, y⟩)
//! layer norm   y = γ ∘ x̂ + β,  x̂ = (x - μ) / s,  s² = mean((x - μ)²) + ε
//!              x̄ = (u - mean(u) - x̂ mean(u ∘ x̂)) / s,  u = γ ∘ ȳ
//! ```
//!
//! In f32 on the flex device each row is read while it is in the cache; burn's
//! own operators serve every other case.

use burn::backend::flex::FlexTensor;
use burn::tensor::{Tensor, activation};

use super::kernel::{Constant, Kernel, apply, constant, contiguous, dims, numbers, tensor};
use super::vector_math::{exp, map_rows, map_rows2, max, sum, sum2};

/// Normalised exponentials over the last axis.
pub(crate) fn softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    apply(Softmax::<D>, &x).unwrap_or_else(|| activation::softmax(x, D - 1))
}

/// Layer norm over the last axis: `weight` γ and `bias` β are `[features]`.
pub(crate) fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    if let (Some(gamma), Some(beta)) = (constant(&weight), constant(&bias)) {
        let kernel = LayerNorm::<D> {
            gamma,
            beta,
            epsilon: epsilon as f32,
        };
        if let Some(y) = apply(kernel, &x) {
            return y;
        }
    }
    let centred = x.clone() - x.mean_dim(D - 1);
    let variance = centred.clone().powi_scalar(2).mean_dim(D - 1);
    centred / (variance + epsilon).sqrt() * weight.unsqueeze() + bias.unsqueeze()
}

#[derive(Clone, Debug)]
struct Softmax<const D: usize>;

impl<const D: usize> Kernel for Softmax<D> {
    type Saved = FlexTensor;

    fn forward(&self, x: FlexTensor) -> FlexTensor {
        let x = contiguous(x);
        let shape = dims::<D>(&x);
        let y = map_rows(
            numbers(&x),
            shape[D - 1],
            #[inline(always)]
            |y, x| {
                let most = max(x);
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = exp(x - most);
                }
                let scale = 1.0
                    / sum(
                        y,
                        #[inline(always)]
                        |y| y,
                    );
                for y in y {
                    *y *= scale;
                }
            },
        );
        tensor(y, shape)
    }

    fn save(&self, _: &FlexTensor, y: &FlexTensor) -> FlexTensor {
        y.clone()
    }

    fn backward(&self, y: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        let gradient = contiguous(gradient);
        let shape = dims::<D>(&y);
        let out = map_rows2(
            numbers(&y),
            numbers(&gradient),
            shape[D - 1],
            #[inline(always)]
            |out, y, g| {
                let inner = sum2(
                    y,
                    g,
                    #[inline(always)]
                    |y, g| y * g,
                );
                for ((out, &y), &g) in out.iter_mut().zip(y).zip(g) {
                    *out = y * (g - inner);
                }
            },
        );
        tensor(out, shape)
    }
}

#[derive(Clone, Debug)]
struct LayerNorm<const D: usize> {
    gamma: Constant,
    beta: Constant,
    epsilon: f32,
}

/// μ and 1/s of a row.
#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let count = x.len() as f32;
    let mean = sum(
        x,
        #[inline(always)]
        |x| x,
    ) / count;
    let variance = sum(
        x,
        #[inline(always)]
        |x| (x - mean) * (x - mean),
    ) / count;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

impl<const D: usize> Kernel for LayerNorm<D> {
    type Saved = FlexTensor;

    fn forward(&self, x: FlexTensor) -> FlexTensor {
        let x = contiguous(x);
        let shape = dims::<D>(&x);
        let (gamma, beta, epsilon) = (self.gamma.numbers(), self.beta.numbers(), self.epsilon);
        let y = map_rows(
            numbers(&x),
            shape[D - 1],
            #[inline(always)]
            |y, x| {
                let (mean, inverse) = moments(x, epsilon);
                for (((y, &x), &gamma), &beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                    *y = (x - mean) * inverse * gamma + beta;
                }
            },
        );
        tensor(y, shape)
    }

    fn save(&self, x: &FlexTensor, _: &FlexTensor) -> FlexTensor {
        x.clone()
    }

    fn backward(&self, x: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        let (x, gradient) = (contiguous(x), contiguous(gradient));
        let shape = dims::<D>(&x);
        let (gamma, epsilon) = (self.gamma.numbers(), self.epsilon);
        let out = map_rows2(
            numbers(&x),
            numbers(&gradient),
            shape[D - 1],
            #[inline(always)]
            |out, x, g| {
                let (mean, inverse) = moments(x, epsilon);
                let count = x.len() as f32;
                for ((out, &g), &gamma) in out.iter_mut().zip(g).zip(gamma) {
                    *out = g * gamma;
                }
                let average = sum(
                    out,
                    #[inline(always)]
                    |u| u,
                ) / count;
                let inner = sum2(
                    out,
                    x,
                    #[inline(always)]
                    |u, x| u * (x - mean),
                ) * inverse
                    / count;
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = (*out - average - (x - mean) * inverse * inner) * inverse;
                }
            },
        );
        tensor(out, shape)
    }
}
