//! Resampling, as Pillow does it.
//!
//! ```text
//! out[i] = sum_j w_ij in[j],   w_ij = k((j + 1/2 - c_i) / s) / sum_j k(..),   c_i = (i + 1/2) r,   s = max(r, 1)
//! ```
//!
//! with `r` the ratio of input to output size: half-pixel centres, a kernel `k` that is stretched when
//! the picture shrinks (antialiasing), weights that are normalised at the borders. Columns first, then
//! rows. On bytes, weights are rounded to 22 fractional bits, and each pass rounds half up and clips;
//! sums of such products are exact in f64, so the bytes are Pillow's. (Pillow 13 goes rows first where
//! the height shrinks much more than the width, which moves some of the bytes by a level; what keeps
//! the aspect ratio is not concerned.)

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The kernel of a resize.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// The mean of the pixels whose centres are covered; a centre on the border of two cells falls to
    /// the first.
    Box,
    /// Triangle; linear interpolation when enlarging.
    Bilinear,
    /// Keys' cubic convolution with a = -1/2 (Catmull-Rom).
    Bicubic,
    /// Windowed sinc of three lobes.
    Lanczos,
}

impl Filter {
    /// Distance from which on the kernel is 0.
    fn support(self) -> f64 {
        match self {
            Self::Box => 0.5,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The kernel.
    fn at(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let distance = x.abs();
        match self {
            Self::Box if -0.5 < x && x <= 0.5 => 1.0,
            Self::Bilinear if distance < 1.0 => 1.0 - distance,
            Self::Bicubic if distance < 1.0 => {
                ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1.0
            }
            Self::Bicubic if distance < 2.0 => {
                (((distance - 5.0) * distance + 8.0) * distance - 4.0) * A
            }
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

/// `sin(π x) / (π x)`.
fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x == 0.0 { 1.0 } else { x.sin() / x }
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
    pub(crate) fn resize(&self, height: usize, width: usize, how: Resampling) -> Self {
        let mut values = Cow::Borrowed(&self.values[..]);
        if width != self.width {
            let taps = taps(self.width, width, how);
            values = Cow::Owned(across(&values, self.width, &taps, how));
        }
        if height != self.height {
            let taps = taps(self.height, height, how);
            let planes = values.chunks_exact((self.height * width).max(1));
            let resized = planes.flat_map(|plane| down(plane, width, &taps, how));
            values = Cow::Owned(resized.collect());
        }
        Self {
            channels: self.channels,
            height,
            width,
            values: values.into_owned(),
        }
    }
}

/// What an output pixel takes: consecutive input pixels, weighted.
struct Taps {
    first: usize,
    weights: Vec<f64>,
}

/// For every one of `to` pixels, its part of `from` pixels.
fn taps(from: usize, to: usize, how: Resampling) -> Vec<Taps> {
    let ratio = from as f64 / to as f64;
    let stretch = if how.antialias { ratio.max(1.0) } else { 1.0 };
    let support = how.filter.support() * stretch;
    let of = |i: usize| {
        let centre = (i as f64 + 0.5) * ratio;
        // Casts are to the nearest whole number towards 0, and negative ones to 0.
        let first = (centre - support + 0.5) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let kernel = |j: usize| how.filter.at((j as f64 - centre + 0.5) * (1.0 / stretch));
        let mut weights: Vec<f64> = (first..end).map(kernel).collect();
        let sum: f64 = weights.iter().sum();
        for weight in &mut weights {
            if sum != 0.0 {
                *weight /= sum;
            }
            if how.whole_levels {
                *weight = fixed(*weight);
            }
        }
        Taps { first, weights }
    };
    (0..to).map(of).collect()
}

/// Rounded to 22 fractional bits, halves away from 0.
fn fixed(weight: f64) -> f64 {
    const ONE: f64 = (1 << 22) as f64;
    (weight * ONE + 0.5_f64.copysign(weight)).trunc() / ONE
}

/// Resizes rows of `width` values.
fn across(values: &[f32], width: usize, taps: &[Taps], how: Resampling) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len() / width.max(1) * taps.len());
    let mut wide = vec![0.0; width];
    for row in values.chunks_exact(width.max(1)) {
        for (wide, &value) in wide.iter_mut().zip(row) {
            *wide = f64::from(value);
        }
        out.extend(taps.iter().map(|taps| {
            let products = wide[taps.first..].iter().zip(&taps.weights);
            how.stored(products.map(|(value, weight)| value * weight).sum())
        }));
    }
    out
}

/// Resizes columns of a plane of rows of `width` values.
fn down(plane: &[f32], width: usize, taps: &[Taps], how: Resampling) -> Vec<f32> {
    let mut out = Vec::with_capacity(taps.len() * width);
    let mut sums = vec![0.0; width];
    for taps in taps {
        sums.fill(0.0);
        let rows = plane[taps.first * width..].chunks_exact(width.max(1));
        for (row, weight) in rows.zip(&taps.weights) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += f64::from(value) * weight;
            }
        }
        out.extend(sums.iter().map(|&sum| how.stored(sum)));
    }
    out
}

impl Resampling {
    /// The result of a pass.
    fn stored(self, sum: f64) -> f32 {
        if self.whole_levels {
            (sum + 0.5).floor().clamp(0.0, 255.0) as f32
        } else {
            sum as f32
        }
    }
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
        row(values).resize(1, width, how).values
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
        let halves = row(&[0.0, 1.0, 1.0, 2.0]).resize(1, 2, how(Filter::Box));
        assert_eq!(halves.values, [1.0, 2.0]);
        let edge = row(&[0.0, 0.0, 255.0, 255.0]).resize(1, 12, how(Filter::Bicubic));
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
