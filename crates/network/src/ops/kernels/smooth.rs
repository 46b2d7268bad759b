//! GELU and SiLU.
//!
//! ```text
//! gelu(x) = x Φ(x) = max(x, 0) - |x| Φ(-|x|)     gelu'(x) = Φ(x) + x φ(x)
//! silu(x) = x σ(x)                               silu'(x) = σ(x) (1 + x (1 - σ(x)))
//! ```
//!
//! In f32 on the flex device both directions are one vectorised pass; burn's own
//! operators serve every other case (f64 keeps f64 accuracy there), but for GELU on other devices:
//! burn differentiates it there as its approximation by tanh, which is off by up to 8e-4 of the
//! gradient's scale. Differentiating the error function is exact.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::backend::flex::FlexTensor;
use burn::tensor::{Tensor, activation};

use super::kernel::{Kernel, apply, contiguous, dims, is_on_flex, numbers, tensor};
use super::vector_math::{map, map2, normal_tail, sigmoid};

/// x Φ(x), elementwise.
pub(crate) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    apply(Gelu::<D>, &x).unwrap_or_else(|| match is_on_flex(&x) {
        true => activation::gelu(x),
        false => {
            let twice_share = x.clone().mul_scalar(FRAC_1_SQRT_2).erf().add_scalar(1.0);
            x.mul(twice_share).mul_scalar(0.5)
        }
    })
}

/// x σ(x), elementwise.
pub(crate) fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    apply(Silu::<D>, &x).unwrap_or_else(|| activation::silu(x))
}

#[derive(Clone, Debug)]
struct Gelu<const D: usize>;

impl<const D: usize> Kernel for Gelu<D> {
    type Saved = FlexTensor;

    fn forward(&self, x: FlexTensor) -> FlexTensor {
        let x = contiguous(x);
        let y = map(
            numbers(&x),
            #[inline(always)]
            |x| {
                let (tail, _) = normal_tail(x);
                let positive = if x > 0.0 { x } else { 0.0 };
                positive - x.abs() * tail
            },
        );
        tensor(y, dims::<D>(&x))
    }

    fn save(&self, x: &FlexTensor, _: &FlexTensor) -> FlexTensor {
        x.clone()
    }

    fn backward(&self, x: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        let (x, gradient) = (contiguous(x), contiguous(gradient));
        let slopes = map2(
            numbers(&x),
            numbers(&gradient),
            #[inline(always)]
            |x, g| {
                let (tail, density) = normal_tail(x);
                let below = if x > 0.0 { 1.0 - tail } else { tail };
                g * (below + x * density)
            },
        );
        tensor(slopes, dims::<D>(&x))
    }
}

#[derive(Clone, Debug)]
struct Silu<const D: usize>;

impl<const D: usize> Kernel for Silu<D> {
    type Saved = FlexTensor;

    fn forward(&self, x: FlexTensor) -> FlexTensor {
        let x = contiguous(x);
        let y = map(
            numbers(&x),
            #[inline(always)]
            |x| x * sigmoid(x),
        );
        tensor(y, dims::<D>(&x))
    }

    fn save(&self, x: &FlexTensor, _: &FlexTensor) -> FlexTensor {
        x.clone()
    }

    fn backward(&self, x: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        let (x, gradient) = (contiguous(x), contiguous(gradient));
        let slopes = map2(
            numbers(&x),
            numbers(&gradient),
            #[inline(always)]
            |x, g| {
                let s = sigmoid(x);
                g * s * (1.0 + x * (1.0 - s))
            },
        );
        tensor(slopes, dims::<D>(&x))
    }
}
