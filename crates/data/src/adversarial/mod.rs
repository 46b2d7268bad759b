//! Adversarial images: the worst pixels near a clean image.
//!
//! ```text
//! max over p of  loss(x(p), y)   with   ‖p - p_0‖ <= ε,   0 <= p <= 1
//! ```
//!
//! `p` are pixels in [0, 1] and `x = lower + p (upper - lower)`, channel by channel, is what the network
//! takes ([`PixelBox`]). Radii and steps are in pixels, so that they mean the same for every
//! normalisation: 8/255 is eight grey levels.
//!
//! | attack | reference |
//! |---|---|
//! | [`fgsm`] | Goodfellow, Shlens & Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015 |
//! | [`pgd`], L∞ and L2 | Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018 |
//!
//! An attack sees the network through [`Gradient`] alone. An attacked image is attacked the same way in
//! every subset if the gradient of an example does not depend on the others.

mod fgsm;
mod pgd;

use std::error::Error;

pub use fgsm::fgsm;
pub use pgd::{Norm, Pgd, pgd};

use crate::dataset::CLEAN;
use crate::{DataError, Dataset, ExampleId};

/// What an attack needs of a network.
pub trait Gradient {
    /// The gradient of the loss (cross-entropy, say) with respect to the inputs, as many values as
    /// `inputs`, where the loss of the batch is the *sum* over its examples, so that an example's
    /// gradient does not depend on its neighbours. `inputs` are all examples of a dataset, one after the
    /// other, `labels` their classes; the implementation splits them as its memory asks.
    ///
    /// # Errors
    /// Whatever keeps the network from running.
    fn loss_gradient(
        &mut self,
        inputs: &[f32],
        labels: &[usize],
    ) -> Result<Vec<f32>, Box<dyn Error + Send + Sync>>;
}

/// The values between which the inputs of a network lie: those of black and of white, by channel.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelBox {
    /// The value of a black pixel in each channel.
    pub lower: Vec<f32>,
    /// The value of a white pixel in each channel.
    pub upper: Vec<f32>,
}

impl PixelBox {
    /// Pixels in [0, 1], of one channel or of several alike.
    pub fn unit() -> Self {
        Self {
            lower: vec![0.0],
            upper: vec![1.0],
        }
    }

    /// Channels, of which there is at least one.
    fn channels(&self) -> usize {
        self.lower.len().max(1)
    }

    fn width(&self, channel: usize) -> f32 {
        self.upper[channel] - self.lower[channel]
    }

    fn to_pixel(&self, channel: usize, input: f32) -> f32 {
        (input - self.lower[channel]) / self.width(channel)
    }

    fn to_input(&self, channel: usize, pixel: f32) -> f32 {
        // The ends are met exactly, so that an attacked input never leaves the box.
        (self.lower[channel] + pixel * self.width(channel))
            .clamp(self.lower[channel], self.upper[channel])
    }

    /// Checks that the box is one and that clean inputs lie in it.
    fn check(&self, clean: &Dataset) -> Result<(), DataError> {
        clean.validate()?;
        clean.require_labels()?;
        let ordered =
            |(lower, upper): (&f32, &f32)| lower.is_finite() && upper.is_finite() && lower < upper;
        let sound = self.lower.len() == self.upper.len()
            && !self.lower.is_empty()
            && self.lower.iter().zip(&self.upper).all(ordered);
        if !sound {
            return Err(parameter(
                "pixel box",
                "lower < upper in each channel",
                self,
            ));
        }
        if clean.example_len() == 0 || !clean.example_len().is_multiple_of(self.channels()) {
            return Err(parameter(
                "pixel box",
                "channels that divide an example",
                self,
            ));
        }
        for (i, id) in clean.ids.iter().enumerate() {
            if &*id.variant != CLEAN {
                let example = id.clone();
                return Err(DataError::NotClean { example });
            }
            for (channel, plane) in self.planes(clean.example(i)) {
                // Rounding in the normalisation moves black and white by a few units in the last place.
                let slack = 1e-5 * self.width(channel);
                let box_ = self.lower[channel] - slack..=self.upper[channel] + slack;
                if let Some(position) = plane.iter().position(|value| !box_.contains(value)) {
                    return Err(DataError::PixelRange {
                        example: id.clone(),
                        position: channel * plane.len() + position,
                        value: self.to_pixel(channel, plane[position]),
                    });
                }
            }
        }
        Ok(())
    }

    /// The channels of an example's values, or of its gradient.
    fn planes<'a>(&self, values: &'a [f32]) -> impl Iterator<Item = (usize, &'a [f32])> {
        values
            .chunks_exact(values.len() / self.channels())
            .enumerate()
    }

    /// Each value of an example with its channel.
    fn channel_of(&self, position: usize, example_len: usize) -> usize {
        position / (example_len / self.channels())
    }

    fn pixels(&self, inputs: &[f32], example_len: usize) -> Vec<f32> {
        let pixel = |(i, &input): (usize, &f32)| {
            let channel = self.channel_of(i % example_len, example_len);
            self.to_pixel(channel, input).clamp(0.0, 1.0)
        };
        inputs.iter().enumerate().map(pixel).collect()
    }

    fn inputs(&self, pixels: &[f32], example_len: usize) -> Vec<f32> {
        let input = |(i, &pixel): (usize, &f32)| {
            self.to_input(self.channel_of(i % example_len, example_len), pixel)
        };
        pixels.iter().enumerate().map(input).collect()
    }

    /// The loss gradient with respect to the pixels at `inputs`.
    fn pixel_gradient(
        &self,
        model: &mut dyn Gradient,
        inputs: &[f32],
        clean: &Dataset,
    ) -> Result<Vec<f32>, DataError> {
        let size = clean.example_len();
        let mut gradient = model
            .loss_gradient(inputs, &clean.labels)
            .map_err(DataError::LossGradient)?;
        if gradient.len() != inputs.len() {
            return Err(DataError::Count {
                what: "values of a loss gradient",
                expected: inputs.len(),
                got: gradient.len(),
            });
        }
        for (i, value) in gradient.iter_mut().enumerate() {
            if !value.is_finite() {
                return Err(DataError::GradientNotFinite {
                    example: clean.ids[i / size].clone(),
                    position: i % size,
                    value: *value,
                });
            }
            *value *= self.width(self.channel_of(i % size, size));
        }
        Ok(gradient)
    }
}

/// The attacked counterparts: shape, labels, sources and indices stay.
fn attacked(clean: &Dataset, inputs: Vec<f32>, variant: String) -> Dataset {
    let variant: std::sync::Arc<str> = variant.into();
    let id = |id: &ExampleId| ExampleId {
        variant: variant.clone(),
        ..id.clone()
    };
    Dataset {
        shape: clean.shape.clone(),
        inputs,
        labels: clean.labels.clone(),
        classes: clean.classes,
        ids: clean.ids.iter().map(id).collect(),
    }
}

fn parameter(
    parameter: &'static str,
    expected: &'static str,
    got: impl std::fmt::Debug,
) -> DataError {
    DataError::AttackParameter {
        parameter,
        expected,
        got: format!("{got:?}"),
    }
}

fn positive(name: &'static str, value: f32) -> Result<(), DataError> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(parameter(name, "a positive number", value))
    }
}

#[cfg(test)]
mod tests;
