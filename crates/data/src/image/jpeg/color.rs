//! From the components of a pixel to red, green and blue, as libjpeg and Pillow do.
//!
//! ```text
//! R = Y + 1.402 (Cr - 128)
//! G = Y - 0.344_14 (Cb - 128) - 0.714_14 (Cr - 128)          (JFIF; ITU-R BT.601)
//! B = Y + 1.772 (Cb - 128)
//! ```
//!
//! with constants of 16 fractional bits, halves rounded up, and results clipped to 0..=255.
//!
//! Four components are cyan, magenta, yellow and black. Photoshop stores them inverted, and Pillow takes
//! every file for one of Photoshop's: stored values `c, m, y, k` are `255 - C` and so on, and red is
//!
//! ```text
//! R = k - round((255 - c) k / 255)
//! ```
//!
//! The first three may be coded as Y, Cb and Cr of `255 - c, 255 - m, 255 - y` (YCCK).

use super::error::JpegError;
use super::frame::Frame;
use super::markers::Tables;

/// What the components of a picture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColorSpace {
    Grey,
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
}

impl ColorSpace {
    /// As libjpeg guesses: JFIF's segment, Adobe's, then the components' numbers.
    pub(super) fn of(frame: &Frame, tables: &Tables) -> Result<Self, JpegError> {
        let ids: Vec<u8> = frame.components.iter().map(|c| c.id).collect();
        Ok(
            match (ids.as_slice(), tables.jfif, tables.adobe_transform) {
                ([_], ..) => Self::Grey,
                ([_, _, _], true, _) => Self::YCbCr,
                ([_, _, _], false, Some(0)) => Self::Rgb,
                (b"RGB", false, None) => Self::Rgb,
                ([_, _, _], ..) => Self::YCbCr,
                ([_, _, _, _], _, None | Some(0)) => Self::Cmyk,
                ([_, _, _, _], ..) => Self::Ycck,
                (other, ..) => {
                    let what = format!("a picture of {} components", other.len());
                    return Err(JpegError::unsupported(what));
                }
            },
        )
    }

    /// Converts a row of pixels; `rows` has one row for each component, `rgb` three bytes a pixel.
    pub(super) fn convert(self, rows: &[&[u8]], rgb: &mut [u8]) {
        let pixels = rgb.chunks_exact_mut(3);
        match (self, rows) {
            (Self::Grey, [grey]) => {
                for (pixel, &grey) in pixels.zip(*grey) {
                    pixel.fill(grey);
                }
            }
            (Self::Rgb, [r, g, b]) => {
                for (((pixel, &r), &g), &b) in pixels.zip(*r).zip(*g).zip(*b) {
                    pixel.copy_from_slice(&[r, g, b]);
                }
            }
            (Self::YCbCr, [y, cb, cr]) => {
                for (((pixel, &y), &cb), &cr) in pixels.zip(*y).zip(*cb).zip(*cr) {
                    pixel.copy_from_slice(&rgb_of(y, cb, cr));
                }
            }
            (Self::Cmyk, [c, m, y, k]) => {
                for ((((pixel, &c), &m), &y), &k) in pixels.zip(*c).zip(*m).zip(*y).zip(*k) {
                    pixel.copy_from_slice(&[c, m, y].map(|ink| darkened(255 - ink, k)));
                }
            }
            (Self::Ycck, [y, cb, cr, k]) => {
                for ((((pixel, &y), &cb), &cr), &k) in pixels.zip(*y).zip(*cb).zip(*cr).zip(*k) {
                    pixel.copy_from_slice(&rgb_of(y, cb, cr).map(|ink| darkened(ink, k)));
                }
            }
            _ => {}
        }
    }
}

const fn fixed(value: f64) -> i32 {
    (value * 65_536.0 + 0.5) as i32
}

#[inline(always)]
fn rgb_of(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = (fixed(1.402) * cr + HALF) >> 16;
    let green = (HALF - fixed(0.344_14) * cb - fixed(0.714_14) * cr) >> 16;
    let blue = (fixed(1.772) * cb + HALF) >> 16;
    [red, green, blue].map(|offset| (y + offset).clamp(0, 255) as u8)
}

/// `k - round(ink k / 255)`.
#[inline(always)]
fn darkened(ink: u8, k: u8) -> u8 {
    let product = u32::from(ink) * u32::from(k) + 128;
    // The quotient by 255, rounded, is at most `k`.
    k - (((product >> 8) + product) >> 8) as u8
}
