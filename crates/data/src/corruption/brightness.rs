//! Brightness: `y = clip(x + c)`, the shift of a grey image's value in HSV space.

use super::{Image, Severity};

pub(super) const SUMMARY: &str = "a constant added to every pixel: 0.1, 0.2, 0.3, 0.4, 0.5";

pub(super) fn brightness(image: &Image, severity: Severity) -> Image {
    let shift = severity.of([0.1, 0.2, 0.3, 0.4, 0.5]);
    image.map(|pixel| pixel + shift)
}
