//! JPEG and PNG files to 8-bit RGB.
//!
//! Every picture becomes three channels of bytes, as Pillow's `Image.open(..).convert("RGB")` makes
//! them, because that is what the checkpoints were trained and measured on:
//!
//! - grey is copied to the three channels; a palette is looked up;
//! - an alpha channel is dropped, not blended;
//! - 16-bit samples keep their high byte (Pillow clips 16-bit *grey* instead; here it is treated as
//!   16-bit colour is);
//! - CMYK and YCCK JPEGs are converted without colour management, by Pillow's formula;
//! - the orientation in EXIF data is ignored, as torchvision's and timm's loaders ignore it.
//!
//! PNG is exact. JPEG decoders differ by a few levels in a few percent of the values (inverse DCT, chroma
//! upsampling, colours); this one makes the values of libjpeg-turbo, and so of Pillow and torchvision,
//! bit for bit. JPEGs that libjpeg completes by guessing are refused.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use ::image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::jpeg::{self, JpegError};
use crate::DataError;

/// The most pixels of a picture, before and after it is resized: 2^26, a square of 8192 x 8192.
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

/// Reads and decodes a JPEG or PNG file; the first bytes tell which, not the name.
///
/// # Errors
/// [`DataError::Io`], and those of [`decode`].
pub fn read(path: &Path) -> Result<Bitmap, DataError> {
    let encoded = fs::read(path).map_err(|source| DataError::Io {
        path: path.to_owned(),
        source,
    })?;
    decode(&encoded, &path.display().to_string())
}

/// Decodes the bytes of a JPEG or PNG file; `name` is what an error calls them.
///
/// # Errors
/// [`DataError::Image`] for bytes that are neither format or damaged, [`DataError::ImageTruncated`]
/// for a JPEG that ends before its picture does, [`DataError::ImageSize`] for a picture of no pixel or
/// of more than [`MAX_PIXELS`]. Damage inside a JPEG's compressed data that leaves it decodable is not
/// an error: the format has no checksum. Data that no encoder writes are one, also where libjpeg warns
/// and goes on.
pub fn decode(encoded: &[u8], name: &str) -> Result<Bitmap, DataError> {
    let undecodable = |source: ::image::ImageError| DataError::Image {
        name: name.to_owned(),
        source: Box::new(source),
    };
    let reader = ImageReader::new(Cursor::new(encoded))
        .with_guessed_format()
        .map_err(|source| undecodable(source.into()))?;
    if reader.format() == Some(ImageFormat::Jpeg) {
        return decode_jpeg(encoded, name);
    }
    let decoder = reader.into_decoder().map_err(undecodable)?;
    let (width, height) = decoder.dimensions();
    check_size(name, height.into(), width.into())?;
    let picture = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
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
pub(super) fn check_size(name: &str, height: u64, width: u64) -> Result<usize, DataError> {
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
