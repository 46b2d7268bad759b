//! Impulse noise, or salt and pepper: each value is replaced with probability `p`, by 0 or 1 with
//! equal chance. Channels are replaced independently.

use rand_chacha::ChaCha8Rng;

use super::{Image, Severity};
use crate::random;

pub(super) const SUMMARY: &str =
    "a share of 0.03, 0.06, 0.09, 0.17, 0.27 of the values replaced by 0 or 1";

pub(super) fn impulse_noise(image: &Image, severity: Severity, rng: &mut ChaCha8Rng) -> Image {
    let share = severity.of([0.03, 0.06, 0.09, 0.17, 0.27]);
    let replaced = |&pixel: &f64| {
        // Both numbers are always drawn, so that severities differ in the share alone.
        let (chance, sign) = (random::unit(rng), random::sign(rng));
        if chance < share {
            (sign + 1.0) / 2.0
        } else {
            pixel
        }
    };
    image.with(image.pixels.iter().map(replaced).collect())
}
