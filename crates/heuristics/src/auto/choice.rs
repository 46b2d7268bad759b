//! The decision.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::auto::{Attempt, Pilot, Prior};

/// Resamples of the selection examples.
const RESAMPLES: usize = 1000;

/// The decision.
#[derive(Clone, Debug)]
pub struct Choice {
    /// What was known before any layer was tried.
    pub prior: Prior,
    /// Indices of the layers in the order in which they are to be attempted.
    pub ranking: Vec<usize>,
    /// The pilots, in the order in which they ran.
    pub pilots: Vec<Pilot>,
    /// The attempts, in the order in which they ran.
    pub attempts: Vec<Attempt>,
    /// The attempt that is kept; `None` when no attempt repairs all points.
    pub best: Option<usize>,
    /// Seconds of everything.
    pub seconds: f64,
}

impl Choice {
    /// The attempt that is kept.
    pub fn kept(&self) -> Option<&Attempt> {
        self.attempts.get(self.best?)
    }

    /// How sure it is that the kept layers do less harm than the next best ones: the share of
    /// bootstrap resamples of the selection examples in which they do. `None` without a second.
    pub fn confidence(&self) -> Option<f64> {
        let best = self.kept()?;
        let others = self
            .attempts
            .iter()
            .filter(|other| other.trial.effects.is_some() && other.layers != best.layers);
        let second = others.min_by(|a, b| a.trial.harm().total_cmp(&b.trial.harm()))?;
        let pairs = best.trial.each.iter().zip(&second.trial.each);
        let saved: Vec<f64> = pairs
            .map(|(best, second)| second.divergence - best.divergence)
            .collect();
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let count = saved.len() as u64;
        let wins = (0..RESAMPLES).filter(|_| {
            let draws = (0..count).map(|_| saved[random.random_range(0..count) as usize]);
            draws.sum::<f64>() > 0.0
        });
        Some(wins.count() as f64 / RESAMPLES as f64)
    }
}
