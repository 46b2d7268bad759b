//! Numbers of ordinary scale without a pattern, the same on every machine.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// What an attention score at padding is.
const PADDED: f32 = -1e30;

/// What kind of numbers an operand holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// From -1 to 1.
    Ordinary,
    /// From -4 to 4: all parts of an activation.
    Wide,
    /// From 0.5 to 2.5: variances, units, what has a logarithm.
    Positive,
    /// From -1 to 1, all numbers of one image plane different: a window has one largest number.
    Distinct,
    /// Attention scores, some of them at padding.
    Scores,
    /// Words below a number and their masks, `[batch, 2, tokens]`; every other sequence is padded.
    Tokens {
        /// The number.
        words: usize,
    },
    /// From -1 to 1 divided by the root of the numbers that an output reads.
    Weights {
        /// The number.
        reads: usize,
    },
}

impl Numbers {
    /// Whether a gradient with respect to them has a meaning.
    pub(super) fn is_differentiated(self) -> bool {
        !matches!(self, Self::Tokens { .. })
    }

    /// Numbers of that shape.
    pub(super) fn draw(self, shape: &[usize], seed: u64) -> Vec<f32> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let count: usize = shape.iter().product();
        let mut uniform = |scale: f32, offset: f32| -> Vec<f32> {
            let mut number = || (2.0 * random.random::<f32>() - 1.0) * scale + offset;
            (0..count).map(|_| number()).collect()
        };
        match self {
            Self::Ordinary => uniform(1.0, 0.0),
            Self::Wide => uniform(4.0, 0.0),
            Self::Positive => uniform(1.0, 1.5),
            Self::Weights { reads } => uniform((3.0 / reads.max(1) as f32).sqrt(), 0.0),
            Self::Scores => scores(uniform(4.0, 0.0), shape),
            Self::Distinct => distinct(count, shape, &mut random),
            Self::Tokens { words } => tokens(shape, words, &mut random),
        }
    }
}

/// Every eighth score is one at padding, never a row's first.
fn scores(mut numbers: Vec<f32>, shape: &[usize]) -> Vec<f32> {
    let width = shape.last().copied().unwrap_or_default().max(1);
    for (position, number) in numbers.iter_mut().enumerate() {
        if position % 8 == 7 && position % width != 0 {
            *number = PADDED;
        }
    }
    numbers
}

/// Equally spaced numbers, shuffled in each plane.
fn distinct(count: usize, shape: &[usize], random: &mut ChaCha8Rng) -> Vec<f32> {
    let inside = shape.iter().skip(2).product::<usize>().max(1);
    let step = 2.0 / inside as f32;
    let mut plane: Vec<f32> = (0..inside).map(|i| i as f32 * step - 1.0).collect();
    let mut numbers = Vec::with_capacity(count);
    while numbers.len() < count {
        plane.shuffle(random);
        numbers.extend(&plane);
    }
    numbers.truncate(count);
    numbers
}

fn tokens(shape: &[usize], words: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
    let length = shape.last().copied().unwrap_or_default();
    let mut numbers = Vec::with_capacity(shape.iter().product());
    for example in 0..shape.first().copied().unwrap_or_default() {
        let kept = match example % 2 {
            0 => length,
            _ => length.div_ceil(2),
        };
        let word = |_| random.random_range(0..words.max(1)) as f32;
        numbers.extend((0..length).map(word));
        numbers.extend((0..length).map(|token| f32::from(u8::from(token < kept))));
    }
    numbers
}
