//! Exponential functions in f32 whose loops compile to vector instructions.
//!
//! Each is branch-free arithmetic on one number; [`map`] and [`map2`] run them
//! over slices with the widest instructions that the processor has, split over
//! threads. Every function and closure below them must be inlined, or it is
//! compiled for the oldest processor of the target: hence `inline(always)`
//! throughout. Errors are a few units in the last place: measured against f64 in
//! the tests of this file.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Numbers per task: large enough to hide the cost of a task, small enough to share.
const CHUNK: usize = 1 << 14;

/// eˣ. NaN stays NaN, below -88.03 the result is 0, above 88.37 it is infinite.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2, eˣ = 2ⁿ Σ_{k<=7} rᵏ/k!; the truncated
/// term is below 6e-9.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 · 2²³ leaves the nearest integer in the low bits.
    const SHIFT: f32 = 12_582_912.0;
    // ln 2 in two parts: the first has few bits, so that n · LN2_HIGH is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // At the lower end the exponent's bits become those of 0, at the upper of infinity.
    let x = if x < -88.03 { -88.03 } else { x };
    let x = if x > 88.5 { 88.5 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let p = 1.0_f32 / 5040.0;
    let p = p.mul_add(r, 1.0 / 720.0);
    let p = p.mul_add(r, 1.0 / 120.0);
    let p = p.mul_add(r, 1.0 / 24.0);
    let p = p.mul_add(r, 1.0 / 6.0);
    let p = p.mul_add(r, 0.5);
    let p = p.mul_add(r, 1.0);
    let p = p.mul_add(r, 1.0);
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    // NaN has no bits of an integer: the product with x keeps it.
    if x.is_nan() { x } else { p * power }
}

/// 1 / (1 + e⁻ˣ)
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// (Φ(-|x|), φ(x)): the tail and the density of the standard normal distribution.
///
/// Φ(-a) = e^{-a²/2} q(t) with t = 1 / (1 + 0.3 a) and a polynomial q of degree 8,
/// fitted to the relative error (5.8e-8 on 0 <= a <= 14).
#[inline(always)]
pub(crate) fn normal_tail(x: f32) -> (f32, f32) {
    const INVERSE_SQRT_TAU: f32 = 0.398_942_3;
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.3 * a);
    let q = 0.038_378_324_f32;
    let q = q.mul_add(t, -0.169_166_28);
    let q = q.mul_add(t, 0.228_660_4);
    let q = q.mul_add(t, -0.076_506_82);
    let q = q.mul_add(t, 0.142_535_75);
    let q = q.mul_add(t, 0.094_683_44);
    let q = q.mul_add(t, 0.121_920_36);
    let q = q.mul_add(t, 0.119_487_69);
    let q = q.mul_add(t, 7.169_008e-6);
    let e = exp(-0.5 * a * a);
    (e * q, e * INVERSE_SQRT_TAU)
}

/// Runs `body` compiled for the widest instructions that the processor has.
///
/// The body must be `inline(always)` down to its arithmetic. It is called by
/// reference: the shim that consumes a closure is not inlined.
#[inline(always)]
pub(crate) fn widest(body: impl FnMut()) {
    struct Widest<F>(F);

    impl<F: FnMut()> WithSimd for Widest<F> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(mut self, _: S) {
            (self.0)();
        }
    }

    Arch::new().dispatch(Widest(body));
}

/// f of every number.
pub(crate) fn map(x: &[f32], f: impl Fn(f32) -> f32 + Copy + Send + Sync) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .for_each(move |(y, x)| {
            widest(
                #[inline(always)]
                || {
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = f(x);
                    }
                },
            );
        });
    y
}

/// f of every pair of numbers; `a` and `b` have one length.
pub(crate) fn map2(
    a: &[f32],
    b: &[f32],
    f: impl Fn(f32, f32) -> f32 + Copy + Send + Sync,
) -> Vec<f32> {
    let mut y = vec![0.0; a.len()];
    y.par_chunks_mut(CHUNK)
        .zip(a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK)))
        .for_each(move |(y, (a, b))| {
            widest(
                #[inline(always)]
                || {
                    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                        *y = f(a, b);
                    }
                },
            );
        });
    y
}

/// Lanes of the running sums: independent, so that they vectorise.
const LANES: usize = 32;

/// Σ f(x_i) in a fixed order of summation.
#[inline(always)]
pub(crate) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum2(
        x,
        x,
        #[inline(always)]
        |x, _| f(x),
    )
}

/// Σ f(a_i, b_i) in a fixed order of summation.
#[inline(always)]
pub(crate) fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (a_heads, a_tail) = a.as_chunks::<LANES>();
    let (b_heads, b_tail) = b.as_chunks::<LANES>();
    for (a, b) in a_heads.iter().zip(b_heads) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += f(a, b);
        }
    }
    for ((sum, &a), &b) in sums.iter_mut().zip(a_tail).zip(b_tail) {
        *sum += f(a, b);
    }
    fold(
        sums,
        #[inline(always)]
        |a, b| a + b,
    )
}

/// The largest number; -∞ for none.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let mut most = [f32::NEG_INFINITY; LANES];
    let (heads, tail) = x.as_chunks::<LANES>();
    for head in heads {
        for (most, &x) in most.iter_mut().zip(head) {
            *most = larger(*most, x);
        }
    }
    for (most, &x) in most.iter_mut().zip(tail) {
        *most = larger(*most, x);
    }
    fold(most, larger)
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Joins the lanes in halves.
#[inline(always)]
fn fold(mut lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        let (low, high) = lanes.split_at_mut(width);
        for (a, &b) in low.iter_mut().zip(high.iter()) {
            *a = join(*a, b);
        }
        width /= 2;
    }
    lanes[0]
}

/// Applies `f` to every row of `width` numbers: `f(output row, input row)`.
pub(crate) fn map_rows(
    x: &[f32],
    width: usize,
    f: impl Fn(&mut [f32], &[f32]) + Copy + Send + Sync,
) -> Vec<f32> {
    map_rows2(
        x,
        x,
        width,
        #[inline(always)]
        |y, x, _| f(y, x),
    )
}

/// Applies `f` to every pair of rows of `width` numbers: `f(output, a, b)`.
pub(crate) fn map_rows2(
    a: &[f32],
    b: &[f32],
    width: usize,
    f: impl Fn(&mut [f32], &[f32], &[f32]) + Copy + Send + Sync,
) -> Vec<f32> {
    let width = width.max(1);
    let chunk = CHUNK.div_ceil(width) * width;
    let mut y = vec![0.0; a.len()];
    y.par_chunks_mut(chunk)
        .zip(a.par_chunks(chunk).zip(b.par_chunks(chunk)))
        .for_each(move |(y, (a, b))| {
            widest(
                #[inline(always)]
                || {
                    let rows = a.chunks(width).zip(b.chunks(width));
                    for (y, (a, b)) in y.chunks_mut(width).zip(rows) {
                        f(y, a, b);
                    }
                },
            );
        });
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_to_a_few_units_in_the_last_place() {
        let mut worst = 0.0f64;
        for i in -87_000..88_300 {
            let x = i as f32 * 1e-3;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - exact).abs() / exact);
        }
        assert!(worst < 2e-7, "{worst:e}");
    }

    #[test]
    fn exp_reaches_its_limits_and_keeps_nan() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1e4), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(100.0), f32::INFINITY);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn reductions_count_every_number_once() {
        let x: Vec<f32> = (0..77).map(|i| i as f32).collect();
        assert_eq!(sum(&x, |x| x), 77.0 * 38.0);
        assert_eq!(max(&x), 76.0);
        assert_eq!(max(&[-3.0, -1.0, -2.0]), -1.0);
    }
}
