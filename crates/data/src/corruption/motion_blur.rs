//! Motion blur: a one-sided normal kernel along a line, whose angle to the rows is uniform between
//! -45 and 45 degrees; positions on the line are rounded to whole pixels.

use rand_chacha::ChaCha8Rng;

use super::blur::{self, Border, Tap};
use super::{Image, Severity};
use crate::random;

pub(super) const SUMMARY: &str =
    "a random line of 21, 31, 31, 31, 41 pixels, deviation 3, 5, 8, 12, 15";

pub(super) fn motion_blur(image: &Image, severity: Severity, rng: &mut ChaCha8Rng) -> Image {
    let (length, sigma) = severity.of([(21, 3.0), (31, 5.0), (31, 8.0), (31, 12.0), (41, 15.0)]);
    let angle = (90.0 * random::unit(rng) - 45.0).to_radians();
    let taps = line(length, sigma, angle);
    image.map_planes(|plane| blur::filter(plane, image.width, &taps, Border::Clamp))
}

fn line(length: u32, sigma: f64, angle: f64) -> Vec<Tap> {
    let (sin, cos) = angle.sin_cos();
    let tap = |step: u32| {
        let along = f64::from(step);
        Tap {
            down: (along * sin - 0.5).ceil() as isize,
            right: (along * cos - 0.5).ceil() as isize,
            weight: (-along * along / (2.0 * sigma * sigma)).exp(),
        }
    };
    blur::normalised((0..length).map(tap).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_follows_its_angle_and_fades() {
        let flat = line(5, 2.0, 0.0);
        assert_eq!(
            flat.iter()
                .map(|tap| (tap.down, tap.right))
                .collect::<Vec<_>>(),
            [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)]
        );
        assert!(flat.is_sorted_by(|a, b| a.weight > b.weight));
        let steep = line(5, 2.0, std::f64::consts::FRAC_PI_4);
        assert_eq!((steep[4].down, steep[4].right), (3, 3));
    }
}
