//! Gaussian noise: `y = clip(x + e)`, `e ~ N(0, s²)` for each pixel.

use rand_chacha::ChaCha8Rng;

use super::{Image, Severity};
use crate::random;

pub(super) const SUMMARY: &str =
    "normal noise on every pixel, standard deviation 0.08, 0.12, 0.18, 0.26, 0.38";

pub(super) fn gaussian_noise(image: &Image, severity: Severity, rng: &mut ChaCha8Rng) -> Image {
    let deviation = severity.of([0.08, 0.12, 0.18, 0.26, 0.38]);
    let mut noisy = image.clone();
    for pair in noisy.pixels.chunks_mut(2) {
        for (pixel, normal) in pair.iter_mut().zip(random::normals(rng)) {
            *pixel += deviation * normal;
        }
    }
    noisy
}
