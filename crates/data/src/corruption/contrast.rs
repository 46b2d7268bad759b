//! Contrast: `y = clip(c (x - m) + m)`, `m` the mean of each channel.

use super::{Image, Severity};

pub(super) const SUMMARY: &str =
    "distances from each channel's mean times 0.4, 0.3, 0.2, 0.1, 0.05";

pub(super) fn contrast(image: &Image, severity: Severity) -> Image {
    let share = severity.of([0.4, 0.3, 0.2, 0.1, 0.05]);
    image.map_planes(|plane| {
        let mean = plane.iter().sum::<f64>() / plane.len() as f64;
        plane
            .iter()
            .map(|pixel| share * (pixel - mean) + mean)
            .collect()
    })
}
