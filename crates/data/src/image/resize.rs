//! Resampling, as Pillow does it.
//!
//! ```text
//! out[i] = sum_j k((j + 1/2 - c_i) / s) in[j] / sum_j k(..),   c_i = (i + 1/2) r,   s = max(r, 1)
//! ```
//!
//! with `r` the ratio of input to output size: half-pixel centres, a kernel `k` that is stretched when
//! the picture shrinks (antialiasing), weights that are normalised at the borders. Columns first, then
//! rows; on bytes each pass rounds half up and clips. `fast_image_resize` computes each pass in f64.

use std::error::Error;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::F32;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use crate::DataError;

/// The kernel of a resize.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// The mean of the pixels whose centres are covered; a centre on the border of two cells falls to
    /// either.
    Box,
    /// Triangle; linear interpolation when enlarging.
    Bilinear,
    /// Keys' cubic convolution with a = -1/2 (Catmull-Rom).
    Bicubic,
    /// Windowed sinc of three lobes.
    Lanczos,
}

impl Filter {
    fn kernel(self) -> FilterType {
        match self {
            Self::Box => FilterType::Box,
            Self::Bilinear => FilterType::Bilinear,
            Self::Bicubic => FilterType::CatmullRom,
            Self::Lanczos => FilterType::Lanczos3,
        }
    }
}

/// How a resize treats its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resampling {
    pub(crate) filter: Filter,
    /// Whether the kernel is stretched when the picture shrinks.
    pub(crate) antialias: bool,
    /// Whether each pass gives whole levels, 0 to 255.
    pub(crate) whole_levels: bool,
}

/// A picture of planes, `channels x height x width` values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Planes {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) values: Vec<f32>,
}

impl Planes {
    /// Resized to `height x width`.
    ///
    /// # Errors
    /// [`DataError::Resample`] for a dimension above `u32::MAX`.
    pub(crate) fn resize(
        &self,
        height: usize,
        width: usize,
        how: Resampling,
    ) -> Result<Self, DataError> {
        let mut values = Vec::with_capacity(self.channels * height * width);
        for plane in self.values.chunks_exact(self.height * self.width) {
            let mut pixels: Vec<F32> = plane.iter().map(|&value| F32::new(value)).collect();
            if width != self.width {
                let (from, to) = ((self.height, self.width), (self.height, width));
                pixels = pass(&pixels, from, to, how).map_err(DataError::Resample)?;
            }
            if height != self.height {
                let (from, to) = ((self.height, width), (height, width));
                pixels = pass(&pixels, from, to, how).map_err(DataError::Resample)?;
            }
            values.extend(pixels.iter().map(|pixel| pixel.0));
        }
        Ok(Self {
            channels: self.channels,
            height,
            width,
            values,
        })
    }
}

/// One pass: the sizes, `(height, width)`, differ in one dimension.
fn pass(
    pixels: &[F32],
    from: (usize, usize),
    to: (usize, usize),
    how: Resampling,
) -> Result<Vec<F32>, Box<dyn Error + Send + Sync>> {
    let kernel = how.filter.kernel();
    let algorithm = if how.antialias {
        ResizeAlg::Convolution(kernel)
    } else {
        ResizeAlg::Interpolation(kernel)
    };
    let options = ResizeOptions::new().resize_alg(algorithm);
    let source = TypedImageRef::new(from.1.try_into()?, from.0.try_into()?, pixels)?;
    let mut resized = vec![F32::new(0.0); to.0 * to.1];
    let mut target =
        TypedImage::from_pixels_slice(to.1.try_into()?, to.0.try_into()?, &mut resized)?;
    Resizer::new().resize_typed(&source, &mut target, &options)?;
    if how.whole_levels {
        for pixel in &mut resized {
            pixel.0 = (pixel.0 + 0.5).floor().clamp(0.0, 255.0);
        }
    }
    Ok(resized)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f32]) -> Planes {
        Planes {
            channels: 1,
            height: 1,
            width: values.len(),
            values: values.to_vec(),
        }
    }

    fn resized(filter: Filter, antialias: bool, values: &[f32], width: usize) -> Vec<f32> {
        let how = Resampling {
            filter,
            antialias,
            whole_levels: false,
        };
        row(values).resize(1, width, how).unwrap().values
    }

    #[test]
    fn doubling_with_the_triangle_mixes_quarters() {
        let doubled = resized(Filter::Bilinear, true, &[0.0, 4.0, 8.0], 6);
        assert_eq!(doubled, [0.0, 1.0, 3.0, 5.0, 7.0, 8.0]);
    }

    #[test]
    fn halving_stretches_the_triangle_only_with_antialiasing() {
        let values = [0.0, 0.0, 0.0, 8.0, 0.0, 0.0, 0.0, 0.0];
        // Weights 1, 3, 3, 1 over 8, against the two nearest pixels.
        assert_eq!(
            resized(Filter::Bilinear, true, &values, 4),
            [0.0, 3.0, 1.0, 0.0]
        );
        assert_eq!(
            resized(Filter::Bilinear, false, &values, 4),
            [0.0, 4.0, 0.0, 0.0]
        );
    }

    #[test]
    fn whole_levels_round_half_up_and_clip() {
        let how = |filter| Resampling {
            filter,
            antialias: true,
            whole_levels: true,
        };
        let halves = row(&[0.0, 1.0, 1.0, 2.0])
            .resize(1, 2, how(Filter::Box))
            .unwrap();
        assert_eq!(halves.values, [1.0, 2.0]);
        let edge = row(&[0.0, 0.0, 255.0, 255.0])
            .resize(1, 12, how(Filter::Bicubic))
            .unwrap();
        assert!(
            edge.values
                .iter()
                .all(|level| (0.0..=255.0).contains(level))
        );
    }

    #[test]
    fn one_pixel_fills_any_size() {
        for filter in [
            Filter::Box,
            Filter::Bilinear,
            Filter::Bicubic,
            Filter::Lanczos,
        ] {
            assert_eq!(resized(filter, true, &[7.0], 5), [7.0; 5]);
        }
    }
}
