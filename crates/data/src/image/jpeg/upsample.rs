//! Components of lower resolution, brought to that of the picture as libjpeg does by default.
//!
//! Where a component has half the columns, half the rows or both, samples lie between pixel centres and
//! are interpolated linearly ("fancy" upsampling): along each halved direction a pixel is three parts
//! of the nearest sample and one part of the next nearest, border samples being repeated.
//!
//! ```text
//! across:  pixel(2i) = (3 s(i) + s(i-1) + 1) / 4,   pixel(2i+1) = (3 s(i) + s(i+1) + 2) / 4
//! down:    pixel(2j) = (3 s(j) + s(j-1) + 1) / 4,   pixel(2j+1) = (3 s(j) + s(j+1) + 2) / 4
//! both:    t = 3 s(near row) + s(far row),
//!          pixel(2i) = (3 t(i) + t(i-1) + 8) / 16,  pixel(2i+1) = (3 t(i) + t(i+1) + 7) / 16
//! ```
//!
//! Quotients are rounded down; what is added alternates, so that roundings cancel out on average. With
//! other ratios, and where columns are halved and a row has at most two samples, samples are repeated.

use super::frame::{Component, Frame};
use super::scan::Plane;

/// How a component comes to the resolution of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Copy,
    Across,
    Down,
    Both,
    /// Every sample so many times across and down.
    Repeat(usize, usize),
}

/// Makes rows of pixels from a component's samples.
pub(super) struct Upsampler {
    method: Method,
    plane: Plane,
    /// Samples in a row, and rows.
    width: usize,
    height: usize,
    /// Sums of rows, with the border samples repeated.
    sums: Vec<u16>,
    /// A row of pixels, and perhaps one more pixel.
    pixels: Vec<u8>,
}

impl Upsampler {
    pub(super) fn new(frame: &Frame, component: &Component, plane: Plane) -> Self {
        let across = frame.densest.0 / component.across;
        let down = frame.densest.1 / component.down;
        let method = match (across, down) {
            (1, 1) => Method::Copy,
            (2, 1) if component.width > 2 => Method::Across,
            (1, 2) => Method::Down,
            (2, 2) if component.width > 2 => Method::Both,
            _ => Method::Repeat(across, down),
        };
        Self {
            method,
            plane,
            width: component.width,
            height: component.height,
            sums: vec![0; component.width + 2],
            pixels: vec![0; component.width * across],
        }
    }

    /// Row `y` of the picture, at least as long as the picture is wide.
    pub(super) fn row(&mut self, y: usize) -> &[u8] {
        let Self { plane, width, .. } = self;
        let row = |y: usize| plane.row(y, *width);
        match self.method {
            Method::Copy => return row(y),
            Method::Across => {
                let samples = row(y).iter().map(|&sample| sample.into());
                fill(&mut self.sums, samples);
                double(&self.sums, &mut self.pixels, [1, 2], 2);
            }
            Method::Down => {
                let (near, far) = nearest(y, self.height);
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                let sums = row(near).iter().zip(row(far));
                for (pixel, (&near, &far)) in self.pixels.iter_mut().zip(sums) {
                    *pixel = ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
                }
            }
            Method::Both => {
                let (near, far) = nearest(y, self.height);
                let sums = row(near).iter().zip(row(far));
                let sum = |(&near, &far)| 3 * u16::from(near) + u16::from(far);
                fill(&mut self.sums, sums.map(sum));
                double(&self.sums, &mut self.pixels, [8, 7], 4);
            }
            Method::Repeat(across, down) => {
                let pixels = self.pixels.chunks_exact_mut(across);
                for (pixels, &sample) in pixels.zip(row(y / down)) {
                    pixels.fill(sample);
                }
            }
        }
        &self.pixels
    }
}

/// The rows of samples that are nearest and next nearest to row `y` of the picture, of `height` rows.
fn nearest(y: usize, height: usize) -> (usize, usize) {
    let near = y / 2;
    let far = if y.is_multiple_of(2) {
        near.saturating_sub(1)
    } else {
        (near + 1).min(height - 1)
    };
    (near, far)
}

/// Writes `values` behind the first of `sums` and repeats the border.
fn fill(sums: &mut [u16], values: impl Iterator<Item = u16>) {
    for (sum, value) in sums[1..].iter_mut().zip(values) {
        *sum = value;
    }
    let last = sums.len() - 1;
    sums[0] = sums[1];
    sums[last] = sums[last - 1];
}

/// Two pixels for every one of `sums` but the first and the last.
fn double(sums: &[u16], pixels: &mut [u8], [left, right]: [u16; 2], shift: u32) {
    for (sums, pixels) in sums.windows(3).zip(pixels.chunks_exact_mut(2)) {
        pixels[0] = ((3 * sums[1] + sums[0] + left) >> shift) as u8;
        pixels[1] = ((3 * sums[1] + sums[2] + right) >> shift) as u8;
    }
}
