//! Picture files to 8-bit RGB: JPEG, PNG, WebP, BMP, GIF, TIFF and PNM.
//!
//! The first bytes tell the format, not the name. Every picture becomes three channels of bytes, as Pillow's `Image.open(..).convert("RGB")` makes
//! them, because that is what the checkpoints were trained and measured on:
//!
//! - grey is copied to the three channels; a palette is looked up;
//! - an alpha channel is dropped, not blended;
//! - 16-bit samples keep their high byte (Pillow clips 16-bit *grey* instead; here it is treated as
//!   16-bit colour is);
//! - of several pictures in a file (GIF, animated WebP, TIFF) the first one counts;
//! - samples of fewer than 8 bits are stretched to 0..255 (`sample · 255 / most`);
//! - CMYK and YCCK pictures are converted without colour management, JPEGs by Pillow's formula;
//! - the orientation in EXIF data is ignored, as torchvision's and timm's loaders ignore it.
//!
//! Samples that are floats are refused: no file says which of them is white.
//!
//! PNG, BMP, GIF, PNM, lossless WebP and TIFF are exact. JPEG decoders differ by a few levels in a few
//! percent of the values (inverse DCT, chroma upsampling, colours); this one makes the values of
//! libjpeg-turbo, and so of Pillow and torchvision, bit for bit. JPEGs that libjpeg completes by guessing
//! are refused.

use std::io::Cursor;
use std::path::Path;

use ::image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::jpeg::{self, JpegError};
use crate::{DataError, file};

/// The most bytes of a picture file: 2^27, two for every pixel that a picture may have.
pub const MAX_ENCODED: u64 = 1 << 27;

/// The most pixels of a picture as it is stored: 2^26, a square of 8192 x 8192.
pub const MAX_PIXELS: u64 = 1 << 26;

/// An 8-bit RGB picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    height: usize,
    width: usize,
    rgb: Vec<u8>,
}

impl Bitmap {
    /// A picture of `height x width x 3` bytes, row-major, the channels of a pixel beside each other.
    ///
    /// # Errors
    /// [`DataError::Count`] when `rgb` has another length, [`DataError::ImageSize`] when the picture
    /// has no pixel or more than [`MAX_PIXELS`].
    pub fn new(height: usize, width: usize, rgb: Vec<u8>) -> Result<Self, DataError> {
        let pixels = check_size("bitmap", height as u64, width as u64)?;
        if rgb.len() != 3 * pixels {
            return Err(DataError::Count {
                what: "bytes of a bitmap",
                expected: 3 * pixels,
                got: rgb.len(),
            });
        }
        Ok(Self { height, width, rgb })
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// `height x width x 3` bytes, row-major, the channels of a pixel beside each other.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

/// Reads and decodes a picture file; the first bytes tell its format, not the name.
///
/// # Errors
/// [`DataError::Io`], [`SetError::NotAFile`](crate::SetError::NotAFile) for a pipe or a device,
/// [`SetError::FileTooLarge`](crate::SetError::FileTooLarge) above [`MAX_ENCODED`], and those of
/// [`decode`].
pub fn read(path: &Path) -> Result<Bitmap, DataError> {
    let encoded = file::read(path, MAX_ENCODED)?;
    decode(&encoded, &path.display().to_string())
}

/// The format that the first bytes of a file tell, if it is one that [`decode`] reads.
fn format(start: &[u8]) -> Option<ImageFormat> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    let format = ::image::guess_format(start).ok()?;
    // Two letters may begin a text too.
    let plausible = match format {
        Bmp => matches!(
            start.get(14..18),
            Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])
        ),
        Pnm => {
            let mut rest = start[2..]
                .iter()
                .skip_while(|byte| byte.is_ascii_whitespace());
            let begins = matches!(rest.next(), Some(b'0'..=b'9' | b'#'));
            start.starts_with(b"P7\n") || (begins && start[2].is_ascii_whitespace())
        }
        Jpeg | Png | WebP | Gif | Tiff => true,
        _ => false,
    };
    plausible.then_some(format)
}

/// Whether the first bytes of a file, 18 of them or more, are those of a picture that [`decode`] reads.
pub(crate) fn is_picture(start: &[u8]) -> bool {
    format(start).is_some()
}

/// Rows and columns that a picture's header states; `None` where the header cannot be read, which
/// [`decode`] reports.
pub(crate) fn size(encoded: &[u8]) -> Option<(usize, usize)> {
    let format = format(encoded)?;
    if format == ImageFormat::Jpeg {
        return jpeg::size(encoded).ok();
    }
    let reader = ImageReader::with_format(Cursor::new(encoded), format);
    let (width, height) = reader.into_decoder().ok()?.dimensions();
    Some((height as usize, width as usize))
}

/// Decodes the bytes of a picture file; `name` is what an error calls them.
///
/// # Errors
/// [`DataError::Image`] for bytes that are no picture of a known format or damaged, [`DataError::ImageTruncated`]
/// for a JPEG that ends before its picture does, [`DataError::ImageSize`] for a picture of no pixel or
/// of more than [`MAX_PIXELS`]. Damage inside a JPEG's compressed data that leaves it decodable is not
/// an error: the format has no checksum. Data that no encoder writes are one, also where libjpeg warns
/// and goes on.
pub fn decode(encoded: &[u8], name: &str) -> Result<Bitmap, DataError> {
    let undecodable = |source: ::image::ImageError| DataError::Image {
        name: name.to_owned(),
        source: Box::new(source),
    };
    let Some(format) = format(encoded) else {
        return Err(DataError::Image {
            name: name.to_owned(),
            source: "its first bytes are those of no JPEG, PNG, WebP, BMP, GIF, TIFF or PNM file"
                .into(),
        });
    };
    let reader = ImageReader::with_format(Cursor::new(encoded), format);
    if format == ImageFormat::Jpeg {
        return decode_jpeg(encoded, name);
    }
    let decoder = reader.into_decoder().map_err(undecodable)?;
    let (width, height) = decoder.dimensions();
    check_size(name, height.into(), width.into())?;
    let picture = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    if matches!(
        picture,
        DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_)
    ) {
        return Err(DataError::Image {
            name: name.to_owned(),
            source: "its samples are floats, of which nothing says which is white".into(),
        });
    }
    Bitmap::new(height as usize, width as usize, rgb_bytes(picture))
}

/// A JPEG, as libjpeg-turbo and Pillow decode it.
fn decode_jpeg(encoded: &[u8], name: &str) -> Result<Bitmap, DataError> {
    let name = || name.to_owned();
    let picture = jpeg::decode(encoded, MAX_PIXELS).map_err(|error| match error {
        JpegError::Truncated => DataError::ImageTruncated { name: name() },
        JpegError::Size { height, width } => DataError::ImageSize {
            name: name(),
            height,
            width,
            limit: MAX_PIXELS,
        },
        source => DataError::Image {
            name: name(),
            source: Box::new(source),
        },
    })?;
    Bitmap::new(picture.height, picture.width, picture.rgb)
}

/// The number of pixels, if there is one and not too many.
pub(crate) fn check_size(name: &str, height: u64, width: u64) -> Result<usize, DataError> {
    match height.checked_mul(width) {
        Some(pixels) if (1..=MAX_PIXELS).contains(&pixels) => Ok(pixels as usize),
        _ => Err(DataError::ImageSize {
            name: name.to_owned(),
            height,
            width,
            limit: MAX_PIXELS,
        }),
    }
}

fn rgb_bytes(picture: DynamicImage) -> Vec<u8> {
    let grey = |levels: &mut dyn Iterator<Item = u8>| levels.flat_map(|level| [level; 3]).collect();
    let high = |sample: &u16| (sample >> 8) as u8;
    match &picture {
        DynamicImage::ImageLuma16(p) => grey(&mut p.as_raw().iter().map(high)),
        DynamicImage::ImageLumaA16(p) => grey(&mut p.as_raw().iter().step_by(2).map(high)),
        DynamicImage::ImageRgb16(p) => p.as_raw().iter().map(high).collect(),
        DynamicImage::ImageRgba16(p) => {
            let pixels = p.as_raw().chunks_exact(4);
            pixels
                .flat_map(|pixel| pixel[..3].iter().map(high))
                .collect()
        }
        _ => picture.into_rgb8().into_raw(),
    }
}
