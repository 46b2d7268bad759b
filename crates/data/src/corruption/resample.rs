//! Affine resampling with bilinear interpolation.

use super::Image;

/// The image whose pixel at column `x` and row `y` is the value of `image` at `source(x, y)`,
/// interpolated between the four pixels around that point; outside the image there is black.
pub(super) fn resample(image: &Image, source: impl Fn(f64, f64) -> (f64, f64)) -> Image {
    let (height, width) = (image.height, image.width);
    image.map_planes(|plane| {
        let pixel = |x: f64, y: f64| {
            if (0.0..width as f64).contains(&x) && (0.0..height as f64).contains(&y) {
                plane[y as usize * width + x as usize]
            } else {
                0.0
            }
        };
        let value = |i: usize| {
            let (x, y) = source((i % width) as f64, (i / width) as f64);
            let (left, top) = (x.floor(), y.floor());
            let (right_share, bottom_share) = (x - left, y - top);
            let row = |y| (1.0 - right_share) * pixel(left, y) + right_share * pixel(left + 1.0, y);
            (1.0 - bottom_share) * row(top) + bottom_share * row(top + 1.0)
        };
        (0..height * width).map(value).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(pixels: impl Fn(usize) -> f64) -> Image {
        Image {
            channels: 2,
            height: 5,
            width: 9,
            pixels: (0..90).map(pixels).collect(),
        }
    }

    #[test]
    fn identity_keeps_every_pixel_and_halves_mix_neighbours() {
        let image = image(|i| (i % 7) as f64);
        assert_eq!(resample(&image, |x, y| (x, y)), image);
        let mixed = resample(&image, |x, y| (x + 0.5, y)).pixels;
        assert_eq!(mixed[3], 3.5);
        // The right-most column mixes with the black outside, not with the next row or plane.
        assert_eq!(mixed[8], image.pixels[8] / 2.0);
        assert_eq!(mixed[44], image.pixels[44] / 2.0);
    }

    #[test]
    fn points_outside_are_black() {
        let white = image(|_| 1.0);
        assert_eq!(resample(&white, |x, y| (x - 9.0, y)), image(|_| 0.0));
        assert_eq!(resample(&white, |x, y| (x, y + 5.0)), image(|_| 0.0));
    }
}
