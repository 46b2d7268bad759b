//! Projected gradient descent (ascent, on the loss), in the L∞ or the L2 ball.
//!
//! ```text
//! p <- Π(p + α d),   d = sign g  (L∞)   or   g / ‖g‖₂  (L2),   g = ∂loss/∂p
//! ```
//!
//! `Π` projects to the ball around the clean pixels, then to [0, 1]; the second projection does not
//! leave the ball, since the clean pixels lie in both.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Gradient, PixelBox, attacked, parameter, positive};
use crate::{DataError, Dataset, random};

/// The norm that bounds the change of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// The greatest change of a pixel.
    Linf,
    /// The root of the sum of squared changes over all pixels and channels.
    L2,
}

impl Norm {
    /// The name in variants: `linf` or `l2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linf => "linf",
            Self::L2 => "l2",
        }
    }
}

/// Parameters of [`pgd`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pgd {
    /// The norm of the ball.
    pub norm: Norm,
    /// Radius of the ball, in pixels.
    pub epsilon: f32,
    /// Length of a step, in pixels and the same norm.
    pub step: f32,
    /// Number of steps.
    pub steps: usize,
    /// Seed of a start drawn uniformly from the ball; `None` starts at the clean image.
    pub seed: Option<u64>,
}

/// The counterparts of `clean` after `attack.steps` steps; variant `pgd_norm:epsilon:step:steps`, and
/// `:seed` with a random start.
///
/// The random start of an image is keyed by seed, source and index. An L2 step of an example whose
/// gradient is 0 is none. The last iterate is returned, whatever its loss.
///
/// # Errors
/// Those of [`super::fgsm`]; [`DataError::AttackParameter`] also for a step that is not positive and
/// for no steps.
pub fn pgd(
    model: &mut dyn Gradient,
    clean: &Dataset,
    attack: Pgd,
    pixels: &PixelBox,
) -> Result<Dataset, DataError> {
    positive("epsilon", attack.epsilon)?;
    positive("step", attack.step)?;
    if attack.steps == 0 {
        return Err(parameter("steps", "at least 1", attack.steps));
    }
    pixels.check(clean)?;
    let size = clean.example_len();
    let origin = pixels.pixels(&clean.inputs, size);
    let mut iterate = start(clean, &origin, attack);
    for _ in 0..attack.steps {
        let inputs = pixels.inputs(&iterate, size);
        let gradient = pixels.pixel_gradient(model, &inputs, clean)?;
        let examples = iterate
            .chunks_exact_mut(size)
            .zip(origin.chunks_exact(size))
            .zip(gradient.chunks_exact(size));
        for ((iterate, origin), gradient) in examples {
            ascend(iterate, gradient, attack);
            project(iterate, origin, attack);
        }
    }
    Ok(attacked(
        clean,
        pixels.inputs(&iterate, size),
        variant(attack),
    ))
}

fn start(clean: &Dataset, origin: &[f32], attack: Pgd) -> Vec<f32> {
    let mut start = origin.to_vec();
    let Some(seed) = attack.seed else {
        return start;
    };
    let size = clean.example_len();
    let examples = start.chunks_exact_mut(size).zip(origin.chunks_exact(size));
    for ((start, origin), id) in examples.zip(&clean.ids) {
        let mut rng = random::keyed(&[
            &seed.to_le_bytes(),
            b"pgd",
            attack.norm.name().as_bytes(),
            id.source.as_bytes(),
            &id.index.to_le_bytes(),
        ]);
        for (pixel, offset) in start.iter_mut().zip(in_ball(size, attack, &mut rng)) {
            *pixel += offset as f32;
        }
        project(start, origin, attack);
    }
    start
}

/// A uniform point of the ball of `size` dimensions.
fn in_ball(size: usize, attack: Pgd, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let epsilon = f64::from(attack.epsilon);
    match attack.norm {
        Norm::Linf => (0..size)
            .map(|_| epsilon * (2.0 * random::unit(rng) - 1.0))
            .collect(),
        Norm::L2 => {
            // A normal vector has a uniform direction; the share of the ball within r is (r / ε)^size.
            let pairs = (0..size.div_ceil(2)).flat_map(|_| random::normals(rng));
            let direction: Vec<f64> = pairs.take(size).collect();
            let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
            let radius = epsilon * random::unit(rng).powf(1.0 / size as f64);
            direction.iter().map(|x| x * radius / length).collect()
        }
    }
}

fn ascend(iterate: &mut [f32], gradient: &[f32], attack: Pgd) {
    match attack.norm {
        Norm::Linf => {
            for (pixel, slope) in iterate.iter_mut().zip(gradient) {
                if *slope != 0.0 {
                    *pixel += attack.step * slope.signum();
                }
            }
        }
        Norm::L2 => {
            let length = l2(gradient.iter().copied());
            if length > 0.0 {
                for (pixel, slope) in iterate.iter_mut().zip(gradient) {
                    *pixel += (f64::from(attack.step) * f64::from(*slope) / length) as f32;
                }
            }
        }
    }
}

/// To the ball around `origin`, then to [0, 1].
fn project(iterate: &mut [f32], origin: &[f32], attack: Pgd) {
    let epsilon = attack.epsilon;
    match attack.norm {
        Norm::Linf => {
            for (pixel, centre) in iterate.iter_mut().zip(origin) {
                *pixel = pixel.clamp(centre - epsilon, centre + epsilon);
            }
        }
        Norm::L2 => {
            let length = l2(iterate
                .iter()
                .zip(origin)
                .map(|(pixel, centre)| pixel - centre));
            if length > f64::from(epsilon) {
                let share = (f64::from(epsilon) / length) as f32;
                for (pixel, centre) in iterate.iter_mut().zip(origin) {
                    *pixel = centre + share * (*pixel - centre);
                }
            }
        }
    }
    for pixel in iterate {
        *pixel = pixel.clamp(0.0, 1.0);
    }
}

fn l2(values: impl Iterator<Item = f32>) -> f64 {
    values
        .map(|value| f64::from(value).powi(2))
        .sum::<f64>()
        .sqrt()
}

fn variant(attack: Pgd) -> String {
    let Pgd {
        norm,
        epsilon,
        step,
        steps,
        seed,
    } = attack;
    let start = seed.map_or_else(String::new, |seed| format!(":{seed}"));
    format!("pgd_{}:{epsilon}:{step}:{steps}{start}", norm.name())
}
