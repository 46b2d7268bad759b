//! What a registry says about weights or a dataset beside where they are.

use serde::Deserialize;

/// How an image becomes an input: the short side is resized, the centre cropped, pixels in `0..=1`
/// become `(pixel - mean) / std`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageInput {
    /// Length of the short side after resizing, in pixels.
    pub short_side: u32,
    /// Sides of the square that is cropped from the centre, in pixels.
    pub crop: u32,
    /// Filter of the resizing.
    pub interpolation: Interpolation,
    /// Order of the channels.
    pub channels: Channels,
    /// Mean per channel, in the order of `channels`.
    pub mean: [f64; 3],
    /// Standard deviation per channel, in the order of `channels`.
    pub std: [f64; 3],
}

/// Filter of a resizing, with support scaled as Pillow does when it shrinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Triangle.
    Bilinear,
    /// Cubic with a = -1/2.
    Bicubic,
}

/// Order of colour channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// How a text becomes an input.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextInput {
    /// File of the entry that holds the vocabulary or the whole tokenizer.
    pub tokenizer: String,
    /// Whether texts are put into lower case.
    pub lower_case: bool,
    /// The most tokens, the special ones included.
    pub max_tokens: u32,
}

/// What a network takes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// An image.
    Image(ImageInput),
    /// One sentence or two.
    Text(TextInput),
}

/// A published measurement.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// What it was measured on.
    pub data: String,
    /// What was measured: `top-1`, `top-5`, `accuracy`.
    pub metric: String,
    /// The value, in percent.
    pub percent: f64,
    /// Who published it, and where.
    pub source: String,
}

/// What is particular to weights or to a dataset.
#[derive(Clone, Debug, PartialEq)]
pub enum Card {
    /// A checkpoint.
    Weights {
        /// Architecture, by the name that `network` has for it.
        architecture: String,
        /// Preprocessing.
        input: Input,
        /// What others measured.
        accuracy: Vec<Accuracy>,
    },
    /// A dataset.
    Dataset {
        /// Name under which several datasets are fetched together.
        group: Option<String>,
        /// Metrics that are reported on it.
        metrics: Vec<String>,
        /// What it is.
        note: String,
    },
}
