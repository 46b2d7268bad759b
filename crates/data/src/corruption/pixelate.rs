//! Pixelate: fewer pixels, each the mean of those it covers, and back to the size with squares.

use super::{Image, Severity};
use crate::image::resize::{Filter, Planes, Resampling};

pub(super) const SUMMARY: &str = "sides of 0.6, 0.5, 0.4, 0.3, 0.25 times as many pixels";

pub(super) fn pixelate(image: &Image, severity: Severity) -> Image {
    let share = severity.of([0.6, 0.5, 0.4, 0.3, 0.25]);
    let fewer = |side: usize| ((side as f64 * share) as usize).max(1);
    let how = Resampling {
        filter: Filter::Box,
        antialias: true,
        whole_levels: true,
    };
    let level = |&pixel: &f64| (pixel * 255.0).round_ties_even() as f32;
    let planes = Planes {
        channels: image.channels,
        height: image.height,
        width: image.width,
        values: image.pixels.iter().map(level).collect(),
    };
    let small = planes.resize(fewer(image.height), fewer(image.width), how);
    let squares = small.resize(image.height, image.width, how);
    image.with(
        squares
            .values
            .iter()
            .map(|&level| f64::from(level) / 255.0)
            .collect(),
    )
}
