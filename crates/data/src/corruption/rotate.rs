//! Rotation about the centre by a fixed angle, either way with equal chance.

use rand_chacha::ChaCha8Rng;

use super::resample::resample;
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
    // The centre lies between the two middle pixels of an even side.
    let centre = |side: usize| (side - 1) as f64 / 2.0;
    let (centre_x, centre_y) = (centre(image.width), centre(image.height));
    resample(image, |x, y| {
        let (right, down) = (x - centre_x, y - centre_y);
        (
            centre_x + cos * right - sin * down,
            centre_y + sin * right + cos * down,
        )
    })
}
