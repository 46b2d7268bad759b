//! Images: decoding, preprocessing, and collections on disk.
//!
//! A picture goes through three stages:
//!
//! ```text
//! file --decode--> Bitmap --resize, crop--> pixels in [0, 1], RGB --order, mean, std--> input
//! ```
//!
//! Corruptions work between the second and the third ([`crate::corruption`]); attacks work on the
//! third, inside the box that the second spans ([`crate::adversarial`]).
//!
//! | module | holds |
//! |---|---|
//! | [`decode`] | JPEG, PNG, WebP, BMP, GIF, TIFF and PNM to 8-bit RGB, as Pillow's `Image.open(..).convert("RGB")` |
//! | [`preprocess`] | [`Preprocessing`]: resize, crop, channel order, mean and standard deviation |
//! | [`presets`] | what torchvision, timm, transformers and the Fashion-MNIST checkpoint ask for |
//! | [`config`] | timm's `config.json` and transformers' `preprocessor_config.json` |
//! | [`source`] | [`ImageSource`] and its lazy, parallel batches |
//! | [`listing`] | which files of a folder are pictures, and which folders are classes |
//! | [`folder`] | class sub-folders, or a folder with `labels.csv` |
//! | [`parquet`] | parquet files with image bytes and labels |
//! | [`imagenet`] | the 1000 classes by WordNet id, and the 200 of ImageNet-A |

pub mod config;
pub mod decode;
pub mod folder;
pub mod imagenet;
mod jpeg;
pub mod listing;
pub mod parquet;
pub mod preprocess;
pub mod presets;
pub(crate) mod resize;
pub mod source;

pub use decode::Bitmap;
pub use folder::ImageFolder;
pub use parquet::ParquetImages;
pub use preprocess::{Crop, Preprocessing};
pub use source::{ImageSource, Progress, batches, load};

use crate::mnist;

/// Channels, rows and columns of examples of `shape`: `[channels, rows, columns]`, `[rows, columns]`
/// (grey), or `[784]`, which is MNIST's flattened 28 x 28 grey image. `None` for any other shape, and
/// for one with no pixel.
pub fn image_shape(shape: &[usize]) -> Option<[usize; 3]> {
    let image = match *shape {
        [mnist::PIXELS] => [1, mnist::SIDE, mnist::SIDE],
        [rows, columns] => [1, rows, columns],
        [channels, rows, columns] => [channels, rows, columns],
        _ => return None,
    };
    (!image.contains(&0)).then_some(image)
}
