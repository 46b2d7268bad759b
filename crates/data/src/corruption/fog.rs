//! Fog: plasma-fractal haze.
//!
//! ```text
//! y = clip((x + s p) m / (m + s)),   m = max x,   p in [0, 1] a plasma fractal
//! ```
//!
//! so an image keeps its brightest value and loses contrast by the factor `m / (m + s)`. The plasma
//! is the diamond-square fractal on a torus of 256 x 256 points (Fournier, Fussell & Carpenter,
//! "Computer rendering of stochastic models", 1982), scaled to [0, 1] as a whole, of which a corner
//! as large as the image is used. Each halving of the step divides the displacement by `d²`: the
//! definition of the fog of ImageNet-C scales a uniform number on `[-w, w]` by `w`, and divides `w`
//! by `d`.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Image, Severity};
use crate::mnist::SIDE;

pub(super) const SUMMARY: &str =
    "plasma haze; (strength, decay) = (1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)";

/// Points along a side of the plasma, a power of two.
const PLASMA_SIDE: usize = 256;

pub(super) fn fog(image: &Image, severity: Severity, rng: &mut ChaCha8Rng) -> Image {
    let (strength, decay) =
        severity.of([(1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)]);
    let plasma = plasma(decay, rng);
    let brightest = image.iter().copied().fold(0.0, f64::max);
    std::array::from_fn(|i| {
        let haze = plasma[i / SIDE * PLASMA_SIDE + i % SIDE];
        (image[i] + strength * f64::from(haze)) * brightest / (brightest + strength)
    })
}

/// The plasma, `PLASMA_SIDE` x `PLASMA_SIDE`, row-major, with least value 0 and greatest value 1.
fn plasma(decay: f32, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut map = vec![0.0; PLASMA_SIDE * PLASMA_SIDE];
    let (mut step, mut displacement) = (PLASMA_SIDE, 1.0);
    while step >= 2 {
        square_step(&mut map, step, displacement, rng);
        diamond_step(&mut map, step, displacement, rng);
        step /= 2;
        displacement /= decay * decay;
    }
    let (least, greatest) = map
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| {
            (low.min(v), high.max(v))
        });
    map.iter_mut()
        .for_each(|value| *value = (*value - least) / (greatest - least));
    map
}

/// The centre of every square of side `step`: the mean of its corners, displaced.
fn square_step(map: &mut [f32], step: usize, displacement: f32, rng: &mut ChaCha8Rng) {
    let half = step / 2;
    for y in (0..PLASMA_SIDE).step_by(step) {
        for x in (0..PLASMA_SIDE).step_by(step) {
            let corners = [(y, x), (y, x + step), (y + step, x), (y + step, x + step)];
            map[at(y + half, x + half)] = displaced(map, corners, displacement, rng);
        }
    }
}

/// The middle of every edge of those squares: the mean of the edge's ends and of the centres of the
/// two squares beside it, displaced.
fn diamond_step(map: &mut [f32], step: usize, displacement: f32, rng: &mut ChaCha8Rng) {
    let half = step / 2;
    for y in (0..PLASMA_SIDE).step_by(half) {
        let first = if y.is_multiple_of(step) { half } else { 0 };
        for x in (first..PLASMA_SIDE).step_by(step) {
            // Adding the side keeps the subtraction on the torus.
            let (up, left) = (y + PLASMA_SIDE - half, x + PLASMA_SIDE - half);
            let around = [(up, x), (y + half, x), (y, left), (y, x + half)];
            map[at(y, x)] = displaced(map, around, displacement, rng);
        }
    }
}

fn displaced(
    map: &[f32],
    around: [(usize, usize); 4],
    displacement: f32,
    rng: &mut ChaCha8Rng,
) -> f32 {
    let mean = around.iter().map(|&(y, x)| map[at(y, x)]).sum::<f32>() / 4.0;
    // Uniform on [-1, 1) from the 24 bits that an f32 holds.
    let uniform = (rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0;
    mean + displacement * uniform
}

/// Position of a point of the torus in the row-major map.
fn at(y: usize, x: usize) -> usize {
    y % PLASMA_SIDE * PLASMA_SIDE + x % PLASMA_SIDE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    #[test]
    fn plasma_fills_the_unit_interval_and_has_no_seam() {
        let map = plasma(1.4, &mut random::keyed(&[b"plasma"]));
        let count = |value| map.iter().filter(|&&v| v == value).count();
        assert!(map.iter().all(|v| (0.0..=1.0).contains(v)));
        assert!(count(0.0) >= 1 && count(1.0) >= 1);

        // On a torus, neighbours across the border are as alike as neighbours inside.
        let step = |x: usize| -> f32 {
            (0..PLASMA_SIDE)
                .map(|y| (map[at(y, x)] - map[at(y, x + 1)]).abs())
                .sum()
        };
        let inside = (0..PLASMA_SIDE - 1).map(step).fold(0.0, f32::max);
        assert!(step(PLASMA_SIDE - 1) <= inside);
    }

    #[test]
    fn plasma_is_smoother_with_a_greater_decay() {
        let roughness = |decay| {
            let map = plasma(decay, &mut random::keyed(&[b"plasma"]));
            (1..map.len())
                .map(|i| f64::from((map[i] - map[i - 1]).abs()))
                .sum::<f64>()
        };
        assert!(roughness(2.0) < roughness(1.7));
        assert!(roughness(1.7) < roughness(1.4));
    }
}
