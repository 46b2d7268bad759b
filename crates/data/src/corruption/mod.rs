//! Seeded image corruptions, after MNIST-C and ImageNet-C.
//!
//! Mu & Gilmer, "MNIST-C: A Robustness Benchmark for Computer Vision", 2019, at its default severity
//! for each corruption; Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common
//! Corruptions and Perturbations", ICLR 2019, for the five severities.
//!
//! A corruption takes a 28 x 28 image of pixels in [0, 1], reads the pixels as the bytes they stand
//! for, and gives bytes over 255 again, rounded half to even as MNIST-C does. Its random numbers are
//! keyed by `(seed, corruption, source, index)`: an image is corrupted the same way in every subset,
//! and the severities of one image share their random numbers.

mod brightness;
mod fog;
mod gaussian_noise;
mod resample;
mod rotate;
mod translate;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::dataset::{CLEAN, Dataset, ExampleId};
use crate::mnist::PIXELS;
use crate::{DataError, random};

/// A 28 x 28 image, row-major.
type Image = [f64; PIXELS];

/// The corruptions there are; [`Corruption::summary`] gives each one's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Corruption {
    /// Fractal haze that hides contrast.
    Fog,
    /// A constant added to every pixel.
    Brightness,
    /// Independent normal noise on every pixel.
    GaussianNoise,
    /// A rotation about the centre, clockwise or counterclockwise.
    Rotate,
    /// A shift along a diagonal.
    Translate,
}

impl Corruption {
    /// All corruptions.
    pub const ALL: [Self; 5] = [
        Self::Fog,
        Self::Brightness,
        Self::GaussianNoise,
        Self::Rotate,
        Self::Translate,
    ];

    /// The name in plans, results and on the command line, e.g. `gaussian_noise`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fog => "fog",
            Self::Brightness => "brightness",
            Self::GaussianNoise => "gaussian_noise",
            Self::Rotate => "rotate",
            Self::Translate => "translate",
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
        }
    }

    /// The severity that MNIST-C uses; for Gaussian noise, which is not among MNIST-C's fifteen, the
    /// strongest.
    pub fn default_severity(self) -> Severity {
        Severity(match self {
            Self::Fog | Self::Brightness | Self::GaussianNoise => 5,
            Self::Rotate => 2,
            Self::Translate => 3,
        })
    }

    /// The corrupted counterpart of every example, at `severity` or the default one.
    ///
    /// Labels, sources and indices stay; the variant becomes `name:severity:seed`.
    ///
    /// # Errors
    /// [`DataError::NotAnImage`] unless examples have 784 values, [`DataError::PixelRange`] for a value
    /// outside [0, 1] or NaN, [`DataError::NotClean`] for an example that is already corrupted, and
    /// those of [`Dataset::validate`].
    pub fn corrupt(
        self,
        clean: &Dataset,
        severity: Option<Severity>,
        seed: u64,
    ) -> Result<Dataset, DataError> {
        clean.validate()?;
        if clean.example_len() != PIXELS {
            let (corruption, got) = (self.name(), clean.example_len());
            return Err(DataError::NotAnImage {
                corruption,
                expected: PIXELS,
                got,
            });
        }
        let severity = severity.unwrap_or_else(|| self.default_severity());
        let variant: Arc<str> = format!("{self}:{severity}:{seed}").into();
        let images = clean
            .ids
            .par_iter()
            .zip(clean.inputs.par_chunks_exact(PIXELS))
            .map(|(id, pixels)| self.corrupt_image(pixels, severity, seed, id))
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
        pixels: &[f32],
        severity: Severity,
        seed: u64,
        id: &ExampleId,
    ) -> Result<[f32; PIXELS], DataError> {
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
        let image: Image = std::array::from_fn(|i| to_byte(f64::from(pixels[i])) / 255.0);
        let mut rng = random::keyed(&[
            &seed.to_le_bytes(),
            self.name().as_bytes(),
            id.source.as_bytes(),
            &id.index.to_le_bytes(),
        ]);
        let corrupted = self.apply(&image, severity, &mut rng);
        Ok(corrupted.map(|pixel| to_byte(pixel) as f32 / 255.0))
    }

    fn apply(self, image: &Image, severity: Severity, rng: &mut ChaCha8Rng) -> Image {
        match self {
            Self::Fog => fog::fog(image, severity, rng),
            Self::Brightness => brightness::brightness(image, severity),
            Self::GaussianNoise => gaussian_noise::gaussian_noise(image, severity, rng),
            Self::Rotate => rotate::rotate(image, severity, rng),
            Self::Translate => translate::translate(image, severity, rng),
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
    fn of<T: Copy>(self, parameters: [T; 5]) -> T {
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
