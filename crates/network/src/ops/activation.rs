//! Elementwise functions on tensors.

use burn::tensor::activation;

use crate::ops::kernels::smooth::{gelu, silu};
use crate::value::map_value;
use crate::{Activation, Value};

/// `√(2 / π)`, of GELU with tanh.
const GELU_TANH_SCALE: f64 = 0.797_884_560_802_865_4;

/// The weight of the cube in GELU with tanh.
const GELU_TANH_CUBE: f64 = 0.044_715;

/// Applies a function to every entry.
pub(crate) fn forward(activation: Activation, x: Value) -> Value {
    map_value!(x, t => {
        match activation {
            Activation::Relu => activation::relu(t),
            Activation::LeakyRelu { slope } => activation::leaky_relu(t, slope),
            Activation::Hardswish => activation::hard_swish(t),
            Activation::Tanh => activation::tanh(t),
            Activation::Sigmoid => activation::sigmoid(t),
            Activation::Gelu => gelu(t),
            Activation::Silu => silu(t),
            Activation::Elu { alpha } => elu(t, alpha, 1.0),
            Activation::Selu => elu(t, Activation::SELU_ALPHA, Activation::SELU_GAIN),
            Activation::GeluTanh => {
                let cubic = t.clone() + t.clone().powf_scalar(3.0) * GELU_TANH_CUBE;
                t * 0.5 * (activation::tanh(cubic * GELU_TANH_SCALE) + 1.0)
            }
            Activation::Softplus => activation::softplus(t, 1.0),
            Activation::Erf => t.erf(),
            Activation::Exp => t.exp(),
            Activation::Log => t.log(),
            Activation::Sqrt => t.sqrt(),
            Activation::Reciprocal => t.recip(),
            Activation::Abs => t.abs(),
            Activation::Power { exponent } => t.powf_scalar(exponent),
        }
    })
}

/// `gain · (max(z, 0) + alpha · (exp(min(z, 0)) - 1))`
fn elu<const RANK: usize>(
    z: burn::tensor::Tensor<RANK>,
    alpha: f64,
    gain: f64,
) -> burn::tensor::Tensor<RANK> {
    let left = (z.clone().clamp_max(0.0).exp() - 1.0) * alpha;
    (activation::relu(z) + left) * gain
}
