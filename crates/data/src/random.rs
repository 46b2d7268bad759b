//! Random numbers that are the same on every platform and for every crate version.
//!
//! ChaCha8 gives the bits; how bits become numbers is fixed here, since `rand` changes its
//! distributions between releases.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// A generator keyed by `parts`: equal parts, equal numbers; different parts, unrelated numbers.
pub(crate) fn keyed(parts: &[&[u8]]) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps ["ab", "c"] and ["a", "bc"] apart.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// Uniform in [0, 1), 53 bits.
pub(crate) fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// -1 or 1.
pub(crate) fn sign(rng: &mut ChaCha8Rng) -> f64 {
    if rng.next_u32() & 1 == 0 { -1.0 } else { 1.0 }
}

/// Uniform below `bound`, which is not 0: multiply and shift, rejecting the biased remainder
/// (Lemire, "Fast random integer generation in an interval", 2019).
pub(crate) fn below(rng: &mut ChaCha8Rng, bound: u64) -> u64 {
    let biased = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(bound);
        if product as u64 >= biased {
            return (product >> 64) as u64;
        }
    }
}

/// Two independent standard normal numbers (Box & Muller 1958).
pub(crate) fn normals(rng: &mut ChaCha8Rng) -> [f64; 2] {
    // 1 - u lies in (0, 1], where the logarithm is finite.
    let radius = (-2.0 * (1.0 - unit(rng)).ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * unit(rng)).sin_cos();
    [radius * cos, radius * sin]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_the_boundaries_of_their_parts() {
        assert_eq!(keyed(&[b"ab", b"c"]), keyed(&[b"ab", b"c"]));
        assert_ne!(keyed(&[b"ab", b"c"]), keyed(&[b"a", b"bc"]));
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let (n, mut rng) = (100_000, keyed(&[b"moments"]));
        let mean = |draw: &mut dyn FnMut() -> f64| (0..n).map(|_| draw()).sum::<f64>() / n as f64;
        // Tolerances are five standard errors of the mean.
        assert!((mean(&mut || unit(&mut rng)) - 0.5).abs() < 5.0 * 0.289 / 316.0);
        assert!(mean(&mut || sign(&mut rng)).abs() < 5.0 / 316.0);
        assert!((mean(&mut || below(&mut rng, 3) as f64) - 1.0).abs() < 5.0 * 0.817 / 316.0);
        assert!(mean(&mut || normals(&mut rng)[1]).abs() < 5.0 / 316.0);
        assert!((mean(&mut || normals(&mut rng)[0].powi(2)) - 1.0).abs() < 5.0 * 1.415 / 316.0);
    }
}
