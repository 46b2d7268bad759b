//! From a picture to what a checkpoint takes.
//!
//! ```text
//! input[c] = (range · pixel[order(c)] - mean[c]) / std[c],   pixel = crop(resize(picture)) / 255
//! ```
//!
//! The two halves are separate because corruptions need the pixels between them:
//! [`Preprocessing::pixels`] gives RGB pixels in [0, 1], [`Preprocessing::normalise`] makes inputs of
//! them, [`Preprocessing::apply`] does both.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::decode::{Bitmap, check_size};
use super::image_shape;
use super::resize::{Planes, Resampling};
use crate::adversarial::PixelBox;
use crate::{DataError, Dataset};

pub use super::resize::Filter;

/// Channels of an input.
pub const CHANNELS: usize = 3;

/// The longest side that a picture is resized or cropped to: 2048. Networks for pictures are made for a few
/// hundred pixels.
pub const MAX_SIDE: usize = 2048;

/// The most pixels of a resized picture, 2^24: one of [`MAX_SIDE`] that is four times as long as high.
const MAX_RESIZED: usize = 1 << 24;

/// How pictures become the inputs of one checkpoint.
///
/// [`super::presets`] has those of known checkpoints, [`super::config`] reads those that a checkpoint
/// brings along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Size before the crop; `None` keeps that of the picture.
    pub resize: Option<Resize>,
    /// Kernel of the resize.
    pub filter: Filter,
    /// Whether the kernel is stretched when the picture shrinks, as Pillow always does.
    pub antialias: bool,
    /// What the resize computes on.
    pub arithmetic: Arithmetic,
    /// The middle of the resized picture that is kept; `None` keeps all.
    pub crop: Option<Crop>,
    /// Order of the channels of the input.
    pub order: ChannelOrder,
    /// Value of the brightest pixel before mean and standard deviation: 1, or 255 for a checkpoint
    /// that takes bytes.
    pub range: f32,
    /// Mean of each channel of the input, in its order.
    pub mean: [f32; CHANNELS],
    /// Standard deviation of each channel of the input, in its order.
    pub std: [f32; CHANNELS],
}

/// The size a picture is resized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// The shorter side gets this length, the longer one keeps the ratio, rounded down.
    ShortSide(usize),
    /// Both sides are given, the ratio is not kept.
    Exact {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
}

/// The numbers that a resize reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arithmetic {
    /// Levels 0 to 255, rounded after each of the two passes, as Pillow's on 8-bit pictures.
    Bytes,
    /// Real numbers, not rounded, as PyTorch's `interpolate`. Filters with negative lobes may then
    /// leave [0, 1].
    Float,
}

/// A centre crop; where the picture is smaller, black is added around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// What happens to half a pixel.
    pub rounding: CropRounding,
}

/// Where a crop starts when the margins cannot be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CropRounding {
    /// At the even one of the two candidates (torchvision and timm).
    HalfEven,
    /// At the first of the two (transformers).
    Down,
}

impl CropRounding {
    /// First row or column of the crop; negative when the picture is smaller than the crop.
    fn start(self, size: usize, crop: usize) -> isize {
        if size < crop {
            let missing = crop - size;
            return -((missing / 2) as isize);
        }
        let (half, odd) = ((size - crop) / 2, (size - crop) % 2);
        match self {
            Self::HalfEven => (half + odd * (half % 2)) as isize,
            Self::Down => half as isize,
        }
    }
}

/// Order of an input's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelOrder {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

impl Preprocessing {
    /// Checks that sizes are not 0 and that the normalisation is finite and can be undone.
    ///
    /// # Errors
    /// [`DataError::Preprocessing`].
    pub fn validate(&self) -> Result<(), DataError> {
        let wrong = |field, expected, got: String| {
            Err(DataError::Preprocessing {
                origin: "preprocessing".to_owned(),
                field,
                expected,
                got,
            })
        };
        const SIZE: &str = "sizes from 1 to 2048";
        let sizes = 1..=MAX_SIDE;
        if let Some(resize) = self.resize {
            let (height, width) = match resize {
                Resize::ShortSide(side) => (side, side),
                Resize::Exact { height, width } => (height, width),
            };
            if !sizes.contains(&height) || !sizes.contains(&width) {
                return wrong("resize", SIZE, format!("{height} x {width}"));
            }
        }
        if let Some(Crop { height, width, .. }) = self.crop
            && !(sizes.contains(&height) && sizes.contains(&width))
        {
            return wrong("crop", SIZE, format!("{height} x {width}"));
        }
        let positive = |value: &f32| value.is_finite() && *value > 0.0;
        if !positive(&self.range) {
            return wrong("range", "a positive number", self.range.to_string());
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return wrong("mean", "finite numbers", format!("{:?}", self.mean));
        }
        if !self.std.iter().all(positive) {
            return wrong("std", "positive numbers", format!("{:?}", self.std));
        }
        Ok(())
    }

    /// Shape of an input, `[3, rows, columns]`, when it does not depend on the picture.
    pub fn shape(&self) -> Option<[usize; 3]> {
        let (height, width) = match (self.crop, self.resize) {
            (Some(crop), _) => (crop.height, crop.width),
            (None, Some(Resize::Exact { height, width })) => (height, width),
            _ => return None,
        };
        Some([CHANNELS, height, width])
    }

    /// The input for a picture: its shape `[3, rows, columns]` and its values, row-major.
    ///
    /// # Errors
    /// Those of [`Preprocessing::pixels`].
    pub fn apply(&self, picture: &Bitmap) -> Result<([usize; 3], Vec<f32>), DataError> {
        let (shape, mut values) = self.pixels(picture)?;
        self.normalise(&mut values);
        Ok((shape, values))
    }

    /// The resized and cropped picture: its shape `[3, rows, columns]` and its pixels in [0, 1], red
    /// first whatever the order of the input is.
    ///
    /// # Errors
    /// Those of [`Preprocessing::validate`]; [`DataError::ImageSize`] when the picture is so long that
    /// its resized version has more than 2^24 pixels.
    pub fn pixels(&self, picture: &Bitmap) -> Result<([usize; 3], Vec<f32>), DataError> {
        // One channel at a time: as numbers a picture takes four times its bytes.
        let mut values = Vec::new();
        let mut shape = [CHANNELS, 0, 0];
        for channel in 0..CHANNELS {
            let levels = picture.rgb().iter().skip(channel).step_by(CHANNELS);
            let plane = Planes {
                channels: 1,
                height: picture.height(),
                width: picture.width(),
                values: levels.map(|&level| f32::from(level)).collect(),
            };
            let scaled = match self.arithmetic {
                Arithmetic::Bytes => plane,
                Arithmetic::Float => unit(plane),
            };
            let cropped = self.crop(self.resize(scaled)?);
            let cropped = match self.arithmetic {
                Arithmetic::Bytes => unit(cropped),
                Arithmetic::Float => cropped,
            };
            shape = [CHANNELS, cropped.height, cropped.width];
            values.extend(cropped.values);
        }
        Ok((shape, values))
    }

    /// RGB pixels in [0, 1] to inputs, in place: `[3, rows, columns]` values, of one picture.
    pub fn normalise(&self, pixels: &mut [f32]) {
        let plane = pixels.len() / CHANNELS;
        if self.order == ChannelOrder::Bgr {
            let (red, others) = pixels.split_at_mut(plane);
            let blue = others.len() - plane;
            red.swap_with_slice(&mut others[blue..]);
        }
        for (c, plane) in pixels.chunks_mut(plane.max(1)).enumerate().take(CHANNELS) {
            for pixel in plane {
                *pixel = (*pixel * self.range - self.mean[c]) / self.std[c];
            }
        }
    }

    /// The values between which each channel of an input lies, those of black and of white.
    pub fn bounds(&self) -> PixelBox {
        let bound = |pixel: f32| -> Vec<f32> {
            let channels = self.mean.iter().zip(&self.std);
            channels
                .map(|(mean, std)| (pixel * self.range - mean) / std)
                .collect()
        };
        PixelBox {
            lower: bound(0.0),
            upper: bound(1.0),
        }
    }

    /// Inputs from a dataset of pictures in [0, 1], grey or RGB, e.g. one read from IDX files: resized,
    /// cropped and normalised. Grey becomes three equal channels. Labels and identities stay.
    ///
    /// # Errors
    /// [`DataError::NotAnImage`] for examples that are not pictures of one or three channels, and those
    /// of [`Preprocessing::pixels`].
    pub fn apply_to(&self, pictures: &Dataset) -> Result<Dataset, DataError> {
        self.validate()?;
        let [channels, height, width] = picture_shape(pictures)?;
        let inputs = pictures
            .inputs
            .par_chunks_exact(channels * height * width)
            .map(|pixels| {
                let mut planes = Planes {
                    channels,
                    height,
                    width,
                    values: pixels.to_vec(),
                };
                if self.arithmetic == Arithmetic::Bytes {
                    let level = |value: &mut f32| *value = (*value * 255.0).round_ties_even();
                    planes.values.iter_mut().for_each(level);
                }
                let mut planes = self.crop(self.resize(planes)?);
                if self.arithmetic == Arithmetic::Bytes {
                    planes = unit(planes);
                }
                if channels == 1 {
                    planes.values = planes.values.repeat(CHANNELS);
                }
                self.normalise(&mut planes.values);
                planes.channels = CHANNELS;
                Ok(planes)
            })
            .collect::<Result<Vec<_>, DataError>>()?;
        let shape = inputs.first().map_or_else(
            || self.shape().unwrap_or([CHANNELS, height, width]),
            |first| [CHANNELS, first.height, first.width],
        );
        Dataset::new(
            shape.to_vec(),
            inputs
                .into_iter()
                .flat_map(|planes| planes.values)
                .collect(),
            pictures.labels.clone(),
            pictures.classes,
            pictures.ids.clone(),
        )
    }

    /// Inputs from a dataset of resized and cropped RGB pixels in [0, 1], e.g. a corrupted one.
    ///
    /// # Errors
    /// [`DataError::NotAnImage`] unless examples have three channels, and those of
    /// [`Preprocessing::validate`].
    pub fn normalised(&self, pixels: &Dataset) -> Result<Dataset, DataError> {
        self.validate()?;
        let [channels, height, width] = picture_shape(pixels)?;
        if channels != CHANNELS {
            return Err(not_an_image(pixels));
        }
        let mut inputs = pixels.clone();
        inputs.shape = vec![channels, height, width];
        inputs
            .inputs
            .par_chunks_exact_mut(channels * height * width)
            .for_each(|example| self.normalise(example));
        Ok(inputs)
    }

    fn resize(&self, planes: Planes) -> Result<Planes, DataError> {
        self.validate()?;
        let (height, width) = match self.resize {
            None => return Ok(planes),
            Some(Resize::Exact { height, width }) => (height, width),
            Some(Resize::ShortSide(side)) => {
                let long = |short: usize, long: usize| {
                    // A picture has at most 2^26 pixels and a side is at most 2^13: no overflow.
                    side * long / short
                };
                if planes.height < planes.width {
                    (side, long(planes.height, planes.width))
                } else {
                    (long(planes.width, planes.height), side)
                }
            }
        };
        if height.saturating_mul(width) > MAX_RESIZED {
            return Err(DataError::ImageSize {
                name: "resized picture".to_owned(),
                height: height as u64,
                width: width as u64,
                limit: MAX_RESIZED as u64,
            });
        }
        check_size("resized picture", height as u64, width as u64)?;
        let how = Resampling {
            filter: self.filter,
            antialias: self.antialias,
            whole_levels: self.arithmetic == Arithmetic::Bytes,
        };
        Ok(planes.resize(height, width, how))
    }

    fn crop(&self, planes: Planes) -> Planes {
        let Some(Crop {
            height,
            width,
            rounding,
        }) = self.crop
        else {
            return planes;
        };
        let top = rounding.start(planes.height, height);
        let left = rounding.start(planes.width, width);
        let mut values = vec![0.0; planes.channels * height * width];
        for (row, out) in values.chunks_exact_mut(width).enumerate() {
            let (channel, y) = (row / height, (row % height) as isize + top);
            if !(0..planes.height as isize).contains(&y) {
                continue;
            }
            let line = (channel * planes.height + y as usize) * planes.width;
            let line = &planes.values[line..][..planes.width];
            // Columns that the picture has, in the crop's coordinates.
            let first = (-left).max(0) as usize;
            let last = (planes.width as isize - left).clamp(0, width as isize) as usize;
            let from = (first as isize + left) as usize;
            out[first..last].copy_from_slice(&line[from..][..last - first]);
        }
        Planes {
            channels: planes.channels,
            height,
            width,
            values,
        }
    }
}

/// Levels 0 to 255 to pixels in [0, 1].
fn unit(mut planes: Planes) -> Planes {
    planes.values.iter_mut().for_each(|level| *level /= 255.0);
    planes
}

fn picture_shape(dataset: &Dataset) -> Result<[usize; 3], DataError> {
    dataset.validate()?;
    image_shape(&dataset.shape)
        .filter(|[channels, ..]| [1, CHANNELS].contains(channels))
        .ok_or_else(|| not_an_image(dataset))
}

fn not_an_image(dataset: &Dataset) -> DataError {
    DataError::NotAnImage {
        what: "preprocessing",
        got: dataset.shape.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::presets;
    use super::*;
    use crate::ExampleId;

    #[test]
    fn crops_start_where_torchvision_and_transformers_start_them() {
        // Python's round is half to even: round(0.5) = 0, round(1.5) = 2, round(2.5) = 2.
        let starts =
            |rounding: CropRounding| [11, 13, 15, 14, 10, 7].map(|size| rounding.start(size, 10));
        assert_eq!(starts(CropRounding::HalfEven), [0, 2, 2, 2, 0, -1]);
        assert_eq!(starts(CropRounding::Down), [0, 1, 2, 2, 0, -1]);
    }

    #[test]
    fn a_crop_larger_than_the_picture_is_surrounded_by_black() {
        let preprocessing = Preprocessing {
            resize: None,
            crop: Some(Crop {
                height: 4,
                width: 1,
                rounding: CropRounding::HalfEven,
            }),
            ..presets::mobilevit_xxs_timm()
        };
        let picture = Bitmap::new(2, 3, vec![255; 18]).unwrap();
        let (shape, values) = preprocessing.apply(&picture).unwrap();
        assert_eq!(shape, [3, 4, 1]);
        assert_eq!(values, [0.0, 1.0, 1.0, 0.0].repeat(3));
    }

    #[test]
    fn the_short_side_is_met_and_the_long_one_rounded_down() {
        let sizes = [
            (375, 500, 256, 341),
            (500, 375, 341, 256),
            (256, 256, 256, 256),
        ];
        for (height, width, rows, columns) in sizes {
            let preprocessing = Preprocessing {
                crop: None,
                ..presets::squeezenet()
            };
            let picture = Bitmap::new(height, width, vec![9; height * width * 3]).unwrap();
            let (shape, _) = preprocessing.pixels(&picture).unwrap();
            assert_eq!(shape, [3, rows, columns]);
        }
    }

    #[test]
    fn blue_comes_first_where_it_is_asked_for() {
        let preprocessing = presets::mobilevit_transformers();
        let picture = Bitmap::new(1, 1, vec![255, 51, 0]).unwrap();
        let (shape, values) = preprocessing.apply(&picture).unwrap();
        let plane = shape[1] * shape[2];
        assert_eq!(
            [values[0], values[plane], values[2 * plane]],
            [0.0, 0.2, 1.0]
        );
    }

    #[test]
    fn bounds_are_the_inputs_of_black_and_white() {
        for preprocessing in [presets::squeezenet(), presets::mobilevit_transformers()] {
            let input = |level| {
                let picture = Bitmap::new(1, 1, vec![level; 3]).unwrap();
                let (shape, values) = preprocessing.apply(&picture).unwrap();
                let plane = shape[1] * shape[2];
                vec![values[0], values[plane], values[2 * plane]]
            };
            let bounds = preprocessing.bounds();
            assert_eq!((bounds.lower, bounds.upper), (input(0), input(255)));
        }
    }

    #[test]
    fn a_dataset_is_preprocessed_like_its_pictures() {
        let preprocessing = Preprocessing {
            resize: Some(Resize::ShortSide(5)),
            crop: None,
            ..presets::squeezenet()
        };
        let levels: Vec<u8> = (0..8 * 9 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let picture = Bitmap::new(8, 9, levels.clone()).unwrap();
        let planar = (0..3).flat_map(|c| levels.iter().skip(c).step_by(3));
        let dataset = Dataset::new(
            vec![3, 8, 9],
            planar.map(|&level| f32::from(level) / 255.0).collect(),
            vec![0],
            1,
            vec![ExampleId::clean("drawn", 0)],
        )
        .unwrap();
        let (shape, values) = preprocessing.apply(&picture).unwrap();
        let applied = preprocessing.apply_to(&dataset).unwrap();
        assert_eq!((applied.shape, applied.inputs), (shape.to_vec(), values));

        let grey = Dataset {
            shape: vec![24, 9],
            ..dataset
        };
        let three = preprocessing.apply_to(&grey).unwrap();
        assert_eq!(three.shape, [3, 13, 5]);
    }

    #[test]
    fn impossible_preprocessings_are_refused() {
        let base = presets::squeezenet();
        let cases = [
            (
                Preprocessing {
                    std: [1.0, 0.0, 1.0],
                    ..base.clone()
                },
                "std",
            ),
            (
                Preprocessing {
                    mean: [f32::NAN, 0.0, 0.0],
                    ..base.clone()
                },
                "mean",
            ),
            (
                Preprocessing {
                    range: -1.0,
                    ..base.clone()
                },
                "range",
            ),
            (
                Preprocessing {
                    resize: Some(Resize::ShortSide(0)),
                    ..base.clone()
                },
                "resize",
            ),
        ];
        for (preprocessing, field) in cases {
            let message = preprocessing.validate().unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("preprocessing: {field}: ")),
                "{message}"
            );
        }
        let sliver = Bitmap::new(1, 1 << 20, vec![0; 3 << 20]).unwrap();
        assert!(matches!(
            base.pixels(&sliver),
            Err(DataError::ImageSize { .. })
        ));
    }
}
