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
//! by `d`. Channels share the haze; a picture with a side above 256 has a torus of the next power of
//! two, up to 4096, beyond which the torus repeats.

use std::ops::RangeInclusive;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Image, Severity};

pub(super) const SUMMARY: &str =
    "plasma haze; (strength, decay) = (1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)";

/// The fewest and the most points along a side of the plasma, powers of two.
const PLASMA_SIDES: RangeInclusive<usize> = 256..=4096;

pub(super) fn fog(image: &Image, severity: Severity, rng: &mut ChaCha8Rng) -> Image {
    let (strength, decay) =
        severity.of([(1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)]);
    let longest = image.height.max(image.width).min(*PLASMA_SIDES.end());
    let side = longest.next_power_of_two().max(*PLASMA_SIDES.start());
    let plasma = plasma(side, decay, rng);
    let brightest = image.pixels.iter().copied().fold(0.0, f64::max);
    image.map_planes(|plane| {
        let hazy = |(i, pixel): (usize, &f64)| {
            let haze = plasma[i / image.width % side * side + i % image.width % side];
            (pixel + strength * f64::from(haze)) * brightest / (brightest + strength)
        };
        plane.iter().enumerate().map(hazy).collect()
    })
}

/// The plasma, `side` x `side`, row-major, with least value 0 and greatest value 1.
fn plasma(side: usize, decay: f32, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut torus = Torus {
        side,
        map: vec![0.0; side * side],
    };
    let (mut step, mut displacement) = (side, 1.0);
    while step >= 2 {
        torus.square_step(step, displacement, rng);
        torus.diamond_step(step, displacement, rng);
        step /= 2;
        displacement /= decay * decay;
    }
    let mut map = torus.map;
    let (least, greatest) = map
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| {
            (low.min(v), high.max(v))
        });
    map.iter_mut()
        .for_each(|value| *value = (*value - least) / (greatest - least));
    map
}

/// A square map without borders.
struct Torus {
    side: usize,
    map: Vec<f32>,
}

impl Torus {
    /// The centre of every square of side `step`: the mean of its corners, displaced.
    fn square_step(&mut self, step: usize, displacement: f32, rng: &mut ChaCha8Rng) {
        let half = step / 2;
        for y in (0..self.side).step_by(step) {
            for x in (0..self.side).step_by(step) {
                let corners = [(y, x), (y, x + step), (y + step, x), (y + step, x + step)];
                let centre = self.at(y + half, x + half);
                self.map[centre] = self.displaced(corners, displacement, rng);
            }
        }
    }

    /// The middle of every edge of those squares: the mean of the edge's ends and of the centres of
    /// the two squares beside it, displaced.
    fn diamond_step(&mut self, step: usize, displacement: f32, rng: &mut ChaCha8Rng) {
        let half = step / 2;
        for y in (0..self.side).step_by(half) {
            let first = if y.is_multiple_of(step) { half } else { 0 };
            for x in (first..self.side).step_by(step) {
                // Adding the side keeps the subtraction on the torus.
                let (up, left) = (y + self.side - half, x + self.side - half);
                let around = [(up, x), (y + half, x), (y, left), (y, x + half)];
                let middle = self.at(y, x);
                self.map[middle] = self.displaced(around, displacement, rng);
            }
        }
    }

    fn displaced(
        &self,
        around: [(usize, usize); 4],
        displacement: f32,
        rng: &mut ChaCha8Rng,
    ) -> f32 {
        let values = around.iter().map(|&(y, x)| self.map[self.at(y, x)]);
        let mean = values.sum::<f32>() / 4.0;
        // Uniform on [-1, 1) from the 24 bits that an f32 holds.
        let uniform = (rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0;
        mean + displacement * uniform
    }

    /// Position of a point in the row-major map.
    fn at(&self, y: usize, x: usize) -> usize {
        y % self.side * self.side + x % self.side
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    #[test]
    fn plasma_fills_the_unit_interval_and_has_no_seam() {
        for side in [256, 512] {
            let map = plasma(side, 1.4, &mut random::keyed(&[b"plasma"]));
            let count = |value| map.iter().filter(|&&v| v == value).count();
            assert!(map.iter().all(|v| (0.0..=1.0).contains(v)));
            assert!(count(0.0) >= 1 && count(1.0) >= 1);

            // On a torus, neighbours across the border are as alike as neighbours inside.
            let step = |x: usize| -> f32 {
                let rows = map.chunks_exact(side);
                rows.map(|row| (row[x] - row[(x + 1) % side]).abs()).sum()
            };
            let inside = (0..side - 1).map(step).fold(0.0, f32::max);
            assert!(step(side - 1) <= inside);
        }
    }

    #[test]
    fn plasma_is_smoother_with_a_greater_decay() {
        let roughness = |decay| {
            let map = plasma(256, decay, &mut random::keyed(&[b"plasma"]));
            (1..map.len())
                .map(|i| f64::from((map[i] - map[i - 1]).abs()))
                .sum::<f64>()
        };
        assert!(roughness(2.0) < roughness(1.7));
        assert!(roughness(1.7) < roughness(1.4));
    }
}
