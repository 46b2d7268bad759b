//! Affine resampling with bilinear interpolation.

use super::Image;
use crate::mnist::SIDE;

/// Coordinate of the image's centre, between its two middle pixels.
pub(super) const CENTRE: f64 = (SIDE - 1) as f64 / 2.0;

/// The image whose pixel at column `x` and row `y` is the value of `image` at `source(x, y)`,
/// interpolated between the four pixels around that point; outside the image there is black.
pub(super) fn resample(image: &Image, source: impl Fn(f64, f64) -> (f64, f64)) -> Image {
    std::array::from_fn(|i| {
        let (x, y) = source((i % SIDE) as f64, (i / SIDE) as f64);
        let (left, top) = (x.floor(), y.floor());
        let (right_share, bottom_share) = (x - left, y - top);
        let row = |y| {
            (1.0 - right_share) * pixel(image, left, y) + right_share * pixel(image, left + 1.0, y)
        };
        (1.0 - bottom_share) * row(top) + bottom_share * row(top + 1.0)
    })
}

fn pixel(image: &Image, x: f64, y: f64) -> f64 {
    let inside = 0.0..SIDE as f64;
    if inside.contains(&x) && inside.contains(&y) {
        image[y as usize * SIDE + x as usize]
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mnist::PIXELS;

    #[test]
    fn identity_keeps_every_pixel_and_halves_mix_neighbours() {
        let image: Image = std::array::from_fn(|i| (i % 7) as f64);
        assert_eq!(resample(&image, |x, y| (x, y)), image);
        let mixed = resample(&image, |x, y| (x + 0.5, y));
        assert_eq!(mixed[3], 3.5);
        // The right-most column mixes with the black outside.
        assert_eq!(mixed[SIDE - 1], image[SIDE - 1] / 2.0);
    }

    #[test]
    fn points_outside_are_black() {
        let white: Image = [1.0; PIXELS];
        assert_eq!(resample(&white, |x, y| (x - 28.0, y)), [0.0; PIXELS]);
        assert_eq!(resample(&white, |x, y| (x, y + 28.0)), [0.0; PIXELS]);
    }
}
