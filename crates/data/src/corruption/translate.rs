//! Translation along a diagonal: the same number of pixels in both directions, each either way with
//! equal chance.

use rand_chacha::ChaCha8Rng;

use super::resample::resample;
use super::{Image, Severity};
use crate::random;

pub(super) const SUMMARY: &str = "a shift by 1, 2, 3, 4, 5 pixels horizontally and vertically";

pub(super) fn translate(image: &Image, severity: Severity, rng: &mut ChaCha8Rng) -> Image {
    let shift = severity.of([1.0, 2.0, 3.0, 4.0, 5.0]);
    translate_by(image, random::sign(rng) * shift, random::sign(rng) * shift)
}

/// By `right` and `down` pixels.
pub(super) fn translate_by(image: &Image, right: f64, down: f64) -> Image {
    resample(image, |x, y| (x - right, y - down))
}
