//! Gaussian blur: a normal kernel, cut off at four deviations.

use super::blur::{self, Border};
use super::{Image, Severity};

pub(super) const SUMMARY: &str = "a normal kernel of standard deviation 1, 2, 3, 4, 6 pixels";

pub(super) fn gaussian_blur(image: &Image, severity: Severity) -> Image {
    let (sigma, radius) = severity.of([(1.0, 4), (2.0, 8), (3.0, 12), (4.0, 16), (6.0, 24)]);
    image.map_planes(|plane| blur::gaussian(plane, image.width, sigma, radius, Border::Clamp))
}
