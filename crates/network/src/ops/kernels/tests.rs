//! Values and gradients against burn's own operators.

use std::cell::Cell;

use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Tensor, TensorData, activation, module};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::conv2d::{Geometry, conv2d};
use super::max_pool::{Window, max_pool2d};
use super::normalise::{layer_norm, softmax};
use super::smooth::{gelu, silu};

thread_local! {
    /// Tensors drawn on this thread, so that every draw differs and every run repeats.
    static DRAWN: Cell<u64> = const { Cell::new(0) };
}

/// Numbers between -3 and 3, the same in every run.
fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let mut random = ChaCha8Rng::seed_from_u64(DRAWN.replace(DRAWN.get() + 1));
    let numbers = (0..shape.iter().product())
        .map(|_| random.random_range(-3.0..3.0))
        .collect::<Vec<f32>>();
    Tensor::from_data(TensorData::new(numbers, shape), &Device::flex())
}

/// Largest difference relative to the largest entry of `b`.
fn difference<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f64 {
    let largest = |t: Tensor<D>| t.abs().max().into_scalar::<f64>();
    largest(a - b.clone()) / largest(b)
}

/// Differences of values and of gradients in a random direction.
fn differences<const D: usize>(
    x: &Tensor<D>,
    ours: impl Fn(Tensor<D>) -> Tensor<D>,
    burns: impl Fn(Tensor<D>) -> Tensor<D>,
) -> [f64; 2] {
    let expected = burns(x.clone());
    let direction = random(expected.dims()).cast(x.dtype());
    let gradient = |f: &dyn Fn(Tensor<D>) -> Tensor<D>| {
        let leaf = x.clone().autodiff().require_grad();
        let gradients = (f(leaf.clone()) * direction.clone()).sum().backward();
        leaf.grad(&gradients).unwrap()
    };
    [
        difference(ours(x.clone()), expected),
        difference(gradient(&ours), gradient(&burns)),
    ]
}

#[track_caller]
fn assert_equal(differences: [f64; 2], tolerance: f64, what: &str) {
    let [value, gradient] = differences;
    assert!(value <= tolerance, "{what}: values differ by {value:e}");
    assert!(
        gradient <= tolerance,
        "{what}: gradients differ by {gradient:e}"
    );
}

/// Sums of a few hundred f32 products, in another order.
const SUMS: f64 = 2e-6;

#[test]
fn convolutions_and_their_gradients_equal_burns() {
    let geometry = |stride, padding, dilation, groups| Geometry {
        stride,
        padding,
        dilation,
        groups,
    };
    // Input, weights, geometry: stems, odd sizes, 1x1, depthwise, and what nobody uses.
    let cases = [
        (
            [1, 3, 30, 31],
            [64, 3, 3, 3],
            geometry([2, 2], [0, 0], [1, 1], 1),
        ),
        (
            [2, 3, 32, 32],
            [16, 3, 3, 3],
            geometry([2, 2], [1, 1], [1, 1], 1),
        ),
        (
            [3, 16, 13, 13],
            [20, 16, 3, 3],
            geometry([1, 1], [1, 1], [1, 1], 1),
        ),
        (
            [1, 64, 9, 5],
            [7, 64, 1, 1],
            geometry([1, 1], [0, 0], [1, 1], 1),
        ),
        (
            [2, 8, 17, 16],
            [8, 1, 3, 3],
            geometry([2, 2], [1, 1], [1, 1], 8),
        ),
        (
            [2, 8, 17, 16],
            [8, 1, 3, 3],
            geometry([1, 1], [1, 1], [1, 1], 8),
        ),
        (
            [2, 5, 20, 19],
            [9, 5, 3, 5],
            geometry([3, 2], [2, 0], [2, 3], 1),
        ),
        (
            [1, 4, 8, 8],
            [6, 4, 1, 1],
            geometry([2, 2], [0, 0], [1, 1], 1),
        ),
        (
            [1, 4, 8, 8],
            [6, 4, 7, 7],
            geometry([2, 2], [3, 3], [1, 1], 1),
        ),
        (
            [1, 6, 9, 11],
            [6, 1, 2, 3],
            geometry([3, 1], [1, 2], [2, 1], 6),
        ),
        (
            [1, 4, 5, 5],
            [4, 4, 3, 3],
            geometry([1, 1], [4, 4], [1, 1], 1),
        ),
        (
            [2, 4, 6, 6],
            [6, 2, 3, 3],
            geometry([1, 1], [1, 1], [1, 1], 2),
        ),
    ];
    for (input, shape, geometry) in cases {
        let (weight, bias) = (random(shape), random([shape[0]]));
        let options = ConvOptions::new(
            geometry.stride,
            geometry.padding,
            geometry.dilation,
            geometry.groups,
        );
        let found = differences(
            &random(input),
            |x| conv2d(x, weight.clone(), Some(bias.clone()), geometry),
            |x| module::conv2d(x, weight.clone(), Some(bias.clone()), options.clone()),
        );
        assert_equal(found, SUMS, &format!("{input:?} {shape:?} {geometry:?}"));
    }
}

#[test]
fn a_differentiated_weight_gets_its_gradient() {
    let weight = random([4, 3, 3, 3]).autodiff().require_grad();
    let geometry = Geometry {
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        groups: 1,
    };
    let y = conv2d(
        random([1, 3, 6, 6]).autodiff(),
        weight.clone(),
        None,
        geometry,
    );
    assert!(weight.grad(&y.sum().backward()).is_some());
}

#[test]
fn max_pools_and_their_gradients_equal_burns() {
    let window = |size, stride, padding, ceil| Window {
        size,
        stride,
        padding,
        ceil,
    };
    let cases = [
        ([111, 111], window([3, 3], [2, 2], [0, 0], true)),
        ([55, 54], window([3, 3], [2, 2], [0, 0], true)),
        ([12, 13], window([2, 3], [2, 3], [1, 1], true)),
        ([12, 13], window([3, 2], [1, 1], [1, 0], false)),
        ([6, 6], window([2, 2], [3, 3], [0, 0], true)),
    ];
    for ([height, width], window) in cases {
        let options = MaxPoolOptions::new(window.size)
            .with_stride(window.stride)
            .with_padding(window.padding)
            .with_ceil_mode(window.ceil);
        // Few distinct numbers: the first of several winners takes the gradient.
        let x = random([2, 3, height, width]).mul_scalar(2.0).round();
        let found = differences(
            &x,
            |x| max_pool2d(x, window),
            |x| module::max_pool2d(x, options.clone()),
        );
        assert_equal(found, 2e-7, &format!("{height} x {width}, {window:?}"));
    }
}

fn burns_layer_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>) -> Tensor<D> {
    let centred = x.clone() - x.mean_dim(D - 1);
    let variance = centred.clone().powi_scalar(2).mean_dim(D - 1);
    centred / (variance + 1e-5).sqrt() * weight.unsqueeze() + bias.unsqueeze()
}

#[test]
fn smooth_functions_are_exact_to_rounding_in_f32_and_unchanged_in_f64() {
    let single = random([2, 3, 40, 129]).mul_scalar(3.0);
    let double = single.clone().cast(DType::F64);
    let exact = |f: &dyn Fn(Tensor<4>) -> Tensor<4>, ours: &dyn Fn(Tensor<4>) -> Tensor<4>| {
        difference(ours(single.clone()).cast(DType::F64), f(double.clone()))
    };
    // Each of eˣ, the quotient and the product rounds at the largest number's scale.
    assert!(exact(&activation::gelu, &gelu) < 3e-7);
    assert!(exact(&activation::silu, &silu) < 3e-7);
    let burns_softmax = |x| activation::softmax(x, 3);
    assert!(exact(&burns_softmax, &softmax) < 2e-6);
    assert_equal(differences(&single, gelu, activation::gelu), 3e-7, "gelu");
    assert_equal(differences(&single, silu, activation::silu), 3e-7, "silu");
    assert_equal(
        differences(&single, softmax, burns_softmax),
        SUMS,
        "softmax",
    );
    assert_equal(
        differences(&double, gelu, activation::gelu),
        0.0,
        "gelu in f64",
    );
    assert_equal(
        differences(&double, silu, activation::silu),
        0.0,
        "silu in f64",
    );
    assert_equal(
        differences(&double, softmax, burns_softmax),
        0.0,
        "softmax in f64",
    );
}

#[test]
fn layer_norms_and_their_gradients_equal_the_formula() {
    let x = random([4, 7, 129]) + 2.0;
    let (weight, bias) = (random([129]), random([129]));
    let found = differences(
        &x,
        |x| layer_norm(x, weight.clone(), bias.clone(), 1e-5),
        |x| burns_layer_norm(x, weight.clone(), bias.clone()),
    );
    assert_equal(found, SUMS, "layer norm");
}

#[test]
fn masked_scores_get_no_weight_and_no_gradient() {
    let x = Tensor::<2>::from_data([[1.0, -1e30, 2.0]], &Device::flex());
    let leaf = x.autodiff().require_grad();
    let y = softmax(leaf.clone());
    let weights = y.clone().to_data().try_to_vec::<f32>().unwrap();
    let gradients = y.slice([0..1, 0..1]).sum().backward();
    let slopes = leaf
        .grad(&gradients)
        .unwrap()
        .to_data()
        .try_to_vec::<f32>()
        .unwrap();
    assert_eq!(weights[1], 0.0);
    assert_eq!(slopes[1], 0.0);
    assert!(slopes[0] > 0.0 && slopes[2] < 0.0);
}

#[test]
fn inputs_that_are_views_are_read_in_their_own_order() {
    let x = random([2, 3, 12, 10]);
    let view = x.clone().swap_dims(2, 3).slice([0..2, 1..3, 2..9, 0..12]);
    let copy = Tensor::from_data(view.to_data(), &Device::flex());
    let (weight, geometry) = (
        random([4, 2, 3, 3]),
        Geometry {
            stride: [1, 1],
            padding: [1, 1],
            dilation: [1, 1],
            groups: 1,
        },
    );
    let run = |x: Tensor<4>| {
        softmax(gelu(conv2d(x, weight.clone(), None, geometry)))
            .to_data()
            .try_to_vec::<f32>()
            .unwrap()
    };
    assert_eq!(run(view), run(copy));
}
