//! Seeded image corruptions, after MNIST-C and ImageNet-C, for pictures of any size.
//!
//! Mu & Gilmer, "MNIST-C: A Robustness Benchmark for Computer Vision", 2019, at its default severity
//! for the corruptions it has; Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to
//! Common Corruptions and Perturbations", ICLR 2019, for the rest, for the five severities and for
//! their constants, which are meant for photographs of 224 x 224 pixels.
//!
//! A corruption takes pictures of pixels in [0, 1] (resized and cropped, not normalised), reads the
//! pixels as the bytes they stand for, and gives bytes over 255 again, rounded half to even. Its random
//! numbers are keyed by `(seed, corruption, source, index)`: a picture is corrupted the same way in
//! every subset, and the severities of one picture share their random numbers.

mod blur;
mod brightness;
mod contrast;
mod defocus_blur;
mod fog;
mod gaussian_blur;
mod gaussian_noise;
mod impulse_noise;
mod jpeg;
mod motion_blur;
mod pixelate;
mod resample;
mod rotate;
mod shot_noise;
mod translate;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::dataset::{CLEAN, Dataset, ExampleId};
use crate::image::image_shape;
use crate::{DataError, random};

/// A picture of planes, `channels x height x width`, row-major.
#[derive(Clone, Debug, PartialEq)]
struct Image {
    channels: usize,
    height: usize,
    width: usize,
    pixels: Vec<f64>,
}

impl Image {
    /// The picture whose every pixel is changed alone.
    fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        self.with(self.pixels.iter().map(|&pixel| change(pixel)).collect())
    }

    /// A picture of the same size.
    fn with(&self, pixels: Vec<f64>) -> Self {
        Self { pixels, ..*self }
    }

    /// The planes, one per channel.
    fn planes(&self) -> impl Iterator<Item = &[f64]> {
        self.pixels.chunks_exact(self.height * self.width)
    }

    /// The picture of changed planes of the same size.
    fn map_planes(&self, change: impl FnMut(&[f64]) -> Vec<f64>) -> Self {
        self.with(self.planes().flat_map(change).collect())
    }
}

/// The corruptions there are; [`Corruption::summary`] gives each one's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Corruption {
    /// Fractal haze that hides contrast.
    Fog,
    /// A constant added to every pixel's value.
    Brightness,
    /// Independent normal noise on every pixel.
    GaussianNoise,
    /// A rotation about the centre, clockwise or counterclockwise.
    Rotate,
    /// A shift along a diagonal.
    Translate,
    /// Photon-counting noise, stronger where it is brighter.
    ShotNoise,
    /// Pixels replaced by black or white.
    ImpulseNoise,
    /// A lens out of focus.
    DefocusBlur,
    /// A normal kernel.
    GaussianBlur,
    /// A camera that moves along a line.
    MotionBlur,
    /// Less distance from each channel's mean.
    Contrast,
    /// JPEG compression.
    Jpeg,
    /// Fewer pixels.
    Pixelate,
}

impl Corruption {
    /// All corruptions.
    pub const ALL: [Self; 13] = [
        Self::Fog,
        Self::Brightness,
        Self::GaussianNoise,
        Self::Rotate,
        Self::Translate,
        Self::ShotNoise,
        Self::ImpulseNoise,
        Self::DefocusBlur,
        Self::GaussianBlur,
        Self::MotionBlur,
        Self::Contrast,
        Self::Jpeg,
        Self::Pixelate,
    ];

    /// The name in plans, results and on the command line, e.g. `gaussian_noise`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fog => "fog",
            Self::Brightness => "brightness",
            Self::GaussianNoise => "gaussian_noise",
            Self::Rotate => "rotate",
            Self::Translate => "translate",
            Self::ShotNoise => "shot_noise",
            Self::ImpulseNoise => "impulse_noise",
            Self::DefocusBlur => "defocus_blur",
            Self::GaussianBlur => "gaussian_blur",
            Self::MotionBlur => "motion_blur",
            Self::Contrast => "contrast",
            Self::Jpeg => "jpeg",
            Self::Pixelate => "pixelate",
        }
    }

    /// What it does, in one line, with the parameter of each severity.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Fog => fog::SUMMARY,
            Self::Brightness => brightness::SUMMARY,
            Self::GaussianNoise => gaussian_noise::SUMMARY,
            Self::Rotate => rotate::SUMMARY,
            Self::Translate => translate::SUMMARY,
            Self::ShotNoise => shot_noise::SUMMARY,
            Self::ImpulseNoise => impulse_noise::SUMMARY,
            Self::DefocusBlur => defocus_blur::SUMMARY,
            Self::GaussianBlur => gaussian_blur::SUMMARY,
            Self::MotionBlur => motion_blur::SUMMARY,
            Self::Contrast => contrast::SUMMARY,
            Self::Jpeg => jpeg::SUMMARY,
            Self::Pixelate => pixelate::SUMMARY,
        }
    }

    /// The severity that MNIST-C uses for fog, brightness, rotation and translation; the strongest
    /// for the others.
    pub fn default_severity(self) -> Severity {
        Severity(match self {
            Self::Rotate => 2,
            Self::Translate => 3,
            _ => 5,
        })
    }

    /// The corrupted counterpart of every example, at `severity` or the default one.
    ///
    /// Examples are pictures of shape `[784]` (MNIST's), `[rows, columns]` or
    /// `[channels, rows, columns]`; three channels are red, green and blue. The shape, labels, sources
    /// and indices stay; the variant becomes `name:severity:seed`.
    ///
    /// # Errors
    /// [`DataError::NotAnImage`] for examples of another shape, [`DataError::PixelRange`] for a value
    /// outside [0, 1] or NaN, [`DataError::NotClean`] for an example that is already corrupted, and
    /// those of [`Dataset::validate`].
    pub fn corrupt(
        self,
        clean: &Dataset,
        severity: Option<Severity>,
        seed: u64,
    ) -> Result<Dataset, DataError> {
        clean.validate()?;
        let shape = image_shape(&clean.shape).ok_or_else(|| DataError::NotAnImage {
            what: self.name(),
            got: clean.shape.clone(),
        })?;
        let severity = severity.unwrap_or_else(|| self.default_severity());
        let variant: Arc<str> = format!("{self}:{severity}:{seed}").into();
        let images = clean
            .ids
            .par_iter()
            .zip(clean.inputs.par_chunks_exact(clean.example_len()))
            .map(|(id, pixels)| self.corrupt_image(shape, pixels, severity, seed, id))
            .collect::<Result<Vec<_>, DataError>>()?;
        Ok(Dataset {
            shape: clean.shape.clone(),
            inputs: images.into_iter().flatten().collect(),
            labels: clean.labels.clone(),
            classes: clean.classes,
            ids: clean
                .ids
                .iter()
                .map(|id| ExampleId {
                    variant: variant.clone(),
                    ..id.clone()
                })
                .collect(),
        })
    }

    fn corrupt_image(
        self,
        [channels, height, width]: [usize; 3],
        pixels: &[f32],
        severity: Severity,
        seed: u64,
        id: &ExampleId,
    ) -> Result<Vec<f32>, DataError> {
        if &*id.variant != CLEAN {
            return Err(DataError::NotClean {
                example: id.clone(),
            });
        }
        if let Some(position) = pixels.iter().position(|pixel| !(0.0..=1.0).contains(pixel)) {
            let (example, value) = (id.clone(), pixels[position]);
            return Err(DataError::PixelRange {
                example,
                position,
                value,
            });
        }
        let levels = pixels
            .iter()
            .map(|&pixel| to_byte(f64::from(pixel)) / 255.0);
        let image = Image {
            channels,
            height,
            width,
            pixels: levels.collect(),
        };
        let mut rng = random::keyed(&[
            &seed.to_le_bytes(),
            self.name().as_bytes(),
            id.source.as_bytes(),
            &id.index.to_le_bytes(),
        ]);
        let corrupted = self.apply(&image, severity, &mut rng);
        let bytes = corrupted
            .pixels
            .iter()
            .map(|&pixel| to_byte(pixel) as f32 / 255.0);
        Ok(bytes.collect())
    }

    fn apply(self, image: &Image, severity: Severity, rng: &mut ChaCha8Rng) -> Image {
        match self {
            Self::Fog => fog::fog(image, severity, rng),
            Self::Brightness => brightness::brightness(image, severity),
            Self::GaussianNoise => gaussian_noise::gaussian_noise(image, severity, rng),
            Self::Rotate => rotate::rotate(image, severity, rng),
            Self::Translate => translate::translate(image, severity, rng),
            Self::ShotNoise => shot_noise::shot_noise(image, severity, rng),
            Self::ImpulseNoise => impulse_noise::impulse_noise(image, severity, rng),
            Self::DefocusBlur => defocus_blur::defocus_blur(image, severity),
            Self::GaussianBlur => gaussian_blur::gaussian_blur(image, severity),
            Self::MotionBlur => motion_blur::motion_blur(image, severity, rng),
            Self::Contrast => contrast::contrast(image, severity),
            Self::Jpeg => jpeg::jpeg(image, severity),
            Self::Pixelate => pixelate::pixelate(image, severity),
        }
    }
}

/// The nearest grey level, 0 to 255, half to even; pixels outside [0, 1] are clipped.
fn to_byte(pixel: f64) -> f64 {
    (pixel.clamp(0.0, 1.0) * 255.0).round_ties_even()
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Corruption {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        Self::ALL
            .into_iter()
            .find(|corruption| corruption.name() == name)
            .ok_or_else(|| DataError::UnknownCorruption {
                got: name.to_owned(),
                known: Self::ALL.map(Self::name).join(", "),
            })
    }
}

impl TryFrom<String> for Corruption {
    type Error = DataError;

    fn try_from(name: String) -> Result<Self, DataError> {
        name.parse()
    }
}

impl From<Corruption> for String {
    fn from(corruption: Corruption) -> Self {
        corruption.name().to_owned()
    }
}

/// How strong a corruption is: 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Severity(u8);

impl Severity {
    /// The parameter of this severity, of those of severities 1 to 5.
    pub(crate) fn of<T: Copy>(self, parameters: [T; 5]) -> T {
        parameters[usize::from(self.0) - 1]
    }
}

impl TryFrom<u8> for Severity {
    type Error = DataError;

    fn try_from(severity: u8) -> Result<Self, DataError> {
        if (1..=5).contains(&severity) {
            Ok(Self(severity))
        } else {
            Err(DataError::Severity { got: severity })
        }
    }
}

impl From<Severity> for u8 {
    fn from(severity: Severity) -> Self {
        severity.0
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
