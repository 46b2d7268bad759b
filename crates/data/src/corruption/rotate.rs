//! Rotation about the centre by a fixed angle, either way with equal chance.

use rand_chacha::ChaCha8Rng;

use super::resample::{CENTRE, resample};
use super::{Image, Severity};
use crate::random;

pub(super) const SUMMARY: &str =
    "a rotation about the centre by 0.2, 0.4, 0.6, 0.8, 1 radians, clockwise or counterclockwise";

pub(super) fn rotate(image: &Image, severity: Severity, rng: &mut ChaCha8Rng) -> Image {
    rotate_by(
        image,
        random::sign(rng) * severity.of([0.2, 0.4, 0.6, 0.8, 1.0]),
    )
}

/// Counterclockwise by `angle` radians, as seen with rows counted downwards.
pub(super) fn rotate_by(image: &Image, angle: f64) -> Image {
    let (sin, cos) = angle.sin_cos();
    resample(image, |x, y| {
        let (right, down) = (x - CENTRE, y - CENTRE);
        (
            CENTRE + cos * right - sin * down,
            CENTRE + sin * right + cos * down,
        )
    })
}
