//! JPEG: what a baseline JPEG at a given quality loses (ITU-T T.81; JFIF colours).
//!
//! ```text
//! RGB -> YCbCr -> chroma at half resolution -> per 8 x 8 block: q round(DCT(x) / q) -> back
//! ```
//!
//! The entropy coding between the two halves loses nothing and is left out, so the result does not
//! depend on a codec. Quantisers are those of the standard's annex K, scaled to the quality as libjpeg
//! scales them. Pictures that are not RGB have every channel coded as luminance.

use super::{Image, Severity};

pub(super) const SUMMARY: &str = "JPEG at quality 25, 18, 15, 10, 7, chroma at half resolution";

/// Side of a block.
const N: usize = 8;

/// Annex K, table K.1.
#[rustfmt::skip]
const LUMINANCE: [u16; N * N] = [
    16, 11, 10, 16,  24,  40,  51,  61,
    12, 12, 14, 19,  26,  58,  60,  55,
    14, 13, 16, 24,  40,  57,  69,  56,
    14, 17, 22, 29,  51,  87,  80,  62,
    18, 22, 37, 56,  68, 109, 103,  77,
    24, 35, 55, 64,  81, 104, 113,  92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103,  99,
];

/// Annex K, table K.2.
#[rustfmt::skip]
const CHROMINANCE: [u16; N * N] = [
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
];

pub(super) fn jpeg(image: &Image, severity: Severity) -> Image {
    let quality = severity.of([25, 18, 15, 10, 7]);
    compress(image, quality)
}

/// At a quality from 1 to 49.
pub(super) fn compress(image: &Image, quality: u16) -> Image {
    let scaled = |table: [u16; N * N]| {
        let scale = 5000 / quality;
        table.map(|q| f64::from(((u32::from(q) * u32::from(scale) + 50) / 100).clamp(1, 255)))
    };
    let coder = Coder::new();
    let luminance = scaled(LUMINANCE);
    if image.channels != 3 {
        return image.map_planes(|plane| {
            let levels: Vec<f64> = plane.iter().map(|pixel| pixel * 255.0).collect();
            let coded = coder.code(&levels, image.width, &luminance);
            coded.iter().map(|level| level / 255.0).collect()
        });
    }
    let chrominance = scaled(CHROMINANCE);
    let [y, cb, cr] = to_ycbcr(image);
    let y = coder.code(&y, image.width, &luminance);
    let chroma = |plane: &[f64]| {
        let (small, width) = halve(plane, image.width);
        let coded = coder.code(&small, width, &chrominance);
        double(&coded, width, image.height, image.width)
    };
    from_ycbcr(image, &y, &chroma(&cb), &chroma(&cr))
}

/// The orthonormal cosine transform of 8 values: row `u` is frequency `u`.
struct Coder([[f64; N]; N]);

impl Coder {
    fn new() -> Self {
        let wave = |u: usize, x: usize| {
            let scale = if u == 0 { 0.125_f64.sqrt() } else { 0.5 };
            scale * (((2 * x + 1) * u) as f64 * std::f64::consts::PI / 16.0).cos()
        };
        Self(std::array::from_fn(|u| std::array::from_fn(|x| wave(u, x))))
    }

    /// Levels of rows of `width`, quantised block by block; border pixels are repeated to fill blocks.
    fn code(&self, levels: &[f64], width: usize, quantisers: &[f64; N * N]) -> Vec<f64> {
        let height = levels.len() / width;
        let mut coded = vec![0.0; levels.len()];
        for top in (0..height).step_by(N) {
            for left in (0..width).step_by(N) {
                let block = std::array::from_fn(|i| {
                    let (y, x) = ((top + i / N).min(height - 1), (left + i % N).min(width - 1));
                    levels[y * width + x] - 128.0
                });
                let block = self.quantise(&block, quantisers);
                for (i, value) in block.into_iter().enumerate() {
                    let (y, x) = (top + i / N, left + i % N);
                    if y < height && x < width {
                        coded[y * width + x] = (value + 128.0).round().clamp(0.0, 255.0);
                    }
                }
            }
        }
        coded
    }

    fn quantise(&self, block: &[f64; N * N], quantisers: &[f64; N * N]) -> [f64; N * N] {
        // Frequencies: F = C X Cᵀ.
        let rows: [f64; N * N] = std::array::from_fn(|i| {
            (0..N)
                .map(|x| self.0[i % N][x] * block[i / N * N + x])
                .sum()
        });
        let quantised: [f64; N * N] = std::array::from_fn(|i| {
            let frequency: f64 = (0..N).map(|y| self.0[i / N][y] * rows[y * N + i % N]).sum();
            (frequency / quantisers[i]).round() * quantisers[i]
        });
        // And back: X = Cᵀ F C.
        let rows: [f64; N * N] = std::array::from_fn(|i| {
            (0..N)
                .map(|v| self.0[v][i % N] * quantised[i / N * N + v])
                .sum()
        });
        std::array::from_fn(|i| (0..N).map(|u| self.0[u][i / N] * rows[u * N + i % N]).sum())
    }
}

fn to_ycbcr(image: &Image) -> [Vec<f64>; 3] {
    let size = image.height * image.width;
    let plane = |offset: f64, weights: [f64; 3]| {
        let level = |i: usize| {
            let sum: f64 = (0..3)
                .map(|c| weights[c] * 255.0 * image.pixels[c * size + i])
                .sum();
            (offset + sum).round().clamp(0.0, 255.0)
        };
        (0..size).map(level).collect()
    };
    [
        plane(0.0, [0.299, 0.587, 0.114]),
        plane(128.0, [-0.168_736, -0.331_264, 0.5]),
        plane(128.0, [0.5, -0.418_688, -0.081_312]),
    ]
}

fn from_ycbcr(image: &Image, y: &[f64], cb: &[f64], cr: &[f64]) -> Image {
    let plane = |blue: f64, red: f64| {
        let level = move |((y, cb), cr): ((&f64, &f64), &f64)| {
            (y + blue * (cb - 128.0) + red * (cr - 128.0)) / 255.0
        };
        y.iter().zip(cb).zip(cr).map(level)
    };
    let red = plane(0.0, 1.402);
    let green = plane(-0.344_136, -0.714_136);
    let blue = plane(1.772, 0.0);
    image.with(red.chain(green).chain(blue).collect())
}

/// The mean of every 2 x 2 pixels, border pixels repeated, and its width. Like libjpeg, halves are
/// rounded down in even columns and up in odd ones, which keeps the mean of the picture.
fn halve(plane: &[f64], width: usize) -> (Vec<f64>, usize) {
    let height = plane.len() / width;
    let (rows, columns) = (height.div_ceil(2), width.div_ceil(2));
    let mean = |i: usize| {
        let (top, left) = (2 * (i / columns), 2 * (i % columns));
        let (bottom, right) = ((top + 1).min(height - 1), (left + 1).min(width - 1));
        let corners = [(top, left), (top, right), (bottom, left), (bottom, right)];
        let sum: f64 = corners.map(|(y, x)| plane[y * width + x]).iter().sum();
        let bias = if (i % columns).is_multiple_of(2) {
            1.0
        } else {
            2.0
        };
        ((sum + bias) / 4.0).floor()
    };
    ((0..rows * columns).map(mean).collect(), columns)
}

/// Twice the size: three quarters of the nearest pixel and one of the next, in both directions.
fn double(plane: &[f64], columns: usize, height: usize, width: usize) -> Vec<f64> {
    let rows = plane.len() / columns;
    let pair = |position: usize, len: usize| {
        let near = position / 2;
        let next = if position.is_multiple_of(2) {
            near.saturating_sub(1)
        } else {
            (near + 1).min(len - 1)
        };
        [(near, 0.75), (next, 0.25)]
    };
    let value = |i: usize| {
        let (ys, xs) = (pair(i / width, rows), pair(i % width, columns));
        let row = |y: usize| {
            xs.iter()
                .map(|&(x, share)| share * plane[y * columns + x])
                .sum::<f64>()
        };
        ys.iter()
            .map(|&(y, share)| share * row(y))
            .sum::<f64>()
            .round()
    };
    (0..height * width).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_block_survives_up_to_its_quantiser() {
        let coder = Coder::new();
        // The constant frequency of a flat block of 8 levels is 64.
        let quantise = |q: f64| coder.quantise(&[8.0; N * N], &[q; N * N]);
        for (quantiser, expected) in [(64.0, 8.0), (60.0, 7.5), (100.0, 12.5), (200.0, 0.0)] {
            for value in quantise(quantiser) {
                assert!(
                    (value - expected).abs() < 1e-9,
                    "{value} against {expected}"
                );
            }
        }
    }

    #[test]
    fn chroma_of_half_resolution_comes_back_smooth() {
        let (small, width) = halve(&[0.0, 0.0, 8.0, 8.0, 16.0], 5);
        assert_eq!((small.as_slice(), width), ([0.0, 8.0, 16.0].as_slice(), 3));
        assert_eq!(double(&small, 3, 1, 5), [0.0, 2.0, 6.0, 10.0, 14.0]);
    }
}
