//! Brightness: `v = clip(v + c)`, the value of a pixel in HSV space, its greatest channel; hue and
//! saturation stay.

use super::{Image, Severity};

pub(super) const SUMMARY: &str = "a constant added to every pixel's value: 0.1, 0.2, 0.3, 0.4, 0.5";

pub(super) fn brightness(image: &Image, severity: Severity) -> Image {
    let shift = severity.of([0.1, 0.2, 0.3, 0.4, 0.5]);
    if image.channels != 3 {
        return image.map(|pixel| pixel + shift);
    }
    let size = image.height * image.width;
    let mut brighter = image.clone();
    for i in 0..size {
        let colour = [0, 1, 2].map(|channel| image.pixels[channel * size + i]);
        let value = colour.into_iter().fold(0.0, f64::max);
        let shifted = (value + shift).min(1.0);
        for (channel, part) in colour.into_iter().enumerate() {
            // Black has no hue: it becomes grey.
            let share = if value > 0.0 { part / value } else { 1.0 };
            brighter.pixels[channel * size + i] = share * shifted;
        }
    }
    brighter
}
