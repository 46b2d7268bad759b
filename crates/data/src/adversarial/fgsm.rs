//! The fast gradient sign method: `p = clip(p_0 + ε sign ∂loss/∂p)`.

use super::{Gradient, PixelBox, attacked, positive};
use crate::{DataError, Dataset};

/// The counterparts of `clean` after one step of size `epsilon`, in pixels; variant `fgsm:epsilon`.
///
/// A pixel whose gradient is 0 stays. `clean` holds inputs of the network, channels first, inside
/// `pixels`; the inputs returned are inside it too.
///
/// # Errors
/// [`DataError::AttackParameter`] for an `epsilon` that is not positive or a box that does not fit,
/// [`DataError::NotClean`] and [`DataError::PixelRange`] for examples that are no clean images in the
/// box, [`DataError::LossGradient`], [`DataError::GradientNotFinite`] and [`DataError::Count`] for what
/// `model` returns.
pub fn fgsm(
    model: &mut dyn Gradient,
    clean: &Dataset,
    epsilon: f32,
    pixels: &PixelBox,
) -> Result<Dataset, DataError> {
    positive("epsilon", epsilon)?;
    pixels.check(clean)?;
    let size = clean.example_len();
    let gradient = pixels.pixel_gradient(model, &clean.inputs, clean)?;
    let mut attack = pixels.pixels(&clean.inputs, size);
    for (pixel, slope) in attack.iter_mut().zip(&gradient) {
        if *slope != 0.0 {
            *pixel = (*pixel + epsilon * slope.signum()).clamp(0.0, 1.0);
        }
    }
    let inputs = pixels.inputs(&attack, size);
    Ok(attacked(clean, inputs, format!("fgsm:{epsilon}")))
}
