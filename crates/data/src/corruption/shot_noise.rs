//! Shot noise: `y = clip(k / c)`, `k ~ Poisson(c x)` for each pixel.

use rand_chacha::ChaCha8Rng;

use super::{Image, Severity};
use crate::random;

pub(super) const SUMMARY: &str = "Poisson noise of 60, 25, 12, 5, 3 photons for a white pixel";

pub(super) fn shot_noise(image: &Image, severity: Severity, rng: &mut ChaCha8Rng) -> Image {
    let photons = severity.of([60.0, 25.0, 12.0, 5.0, 3.0]);
    let pixels = image.pixels.iter();
    image.with(
        pixels
            .map(|&pixel| poisson(photons * pixel, rng) / photons)
            .collect(),
    )
}

/// A Poisson number of a mean up to 60, from one uniform number: the first count whose cumulative
/// probability exceeds it.
fn poisson(mean: f64, rng: &mut ChaCha8Rng) -> f64 {
    /// Beyond this, probabilities of means up to 60 are below the spacing of f64 at 1.
    const MOST: u32 = 200;
    let uniform = random::unit(rng);
    let mut probability = (-mean).exp();
    let mut cumulative = probability;
    let mut count = 0;
    while uniform >= cumulative && count < MOST {
        count += 1;
        probability *= mean / f64::from(count);
        cumulative += probability;
    }
    f64::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_variance_are_those_of_poisson() {
        let mut rng = random::keyed(&[b"poisson"]);
        for mean in [0.0, 0.5, 3.0, 60.0] {
            let draws: Vec<f64> = (0..20_000).map(|_| poisson(mean, &mut rng)).collect();
            let average = draws.iter().sum::<f64>() / 20_000.0;
            let variance = draws.iter().map(|k| (k - average).powi(2)).sum::<f64>() / 20_000.0;
            // Five standard errors of the mean, and of the variance of a nearly normal number.
            assert!(
                (average - mean).abs() <= 5.0 * (mean / 20_000.0).sqrt(),
                "{average} of {mean}"
            );
            assert!(
                (variance - mean).abs() <= 0.08 * mean,
                "{variance} of {mean}"
            );
        }
    }
}
