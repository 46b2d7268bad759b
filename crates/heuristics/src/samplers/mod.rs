//! Which points of a pool make a repair set: the samplers, one per file, and their registry.
//!
//! A sampler maps a [`Pool`], a count and a seed to so many different positions of the pool, and
//! does the same on every machine.
//!
//! ```
//! use heuristics::samplers::{self, ALL};
//!
//! assert_eq!(samplers::by_name("k_centre")?.source(), "Gonzalez 1985");
//! assert!(samplers::by_name("best").unwrap_err().to_string().contains("nearest_boundary"));
//! assert_eq!(ALL.len(), 6);
//! # Ok::<(), heuristics::HeuristicError>(())
//! ```

mod class_homogeneous;
mod confident_wrong;
mod geometric_margin;
mod k_centre;
mod nearest_boundary;
mod pool;
mod random;

pub use pool::Pool;

use crate::HeuristicError;

/// A rule that draws points from a pool.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    name: &'static str,
    rule: &'static str,
    source: &'static str,
    draw: fn(&Pool<'_>, usize, u64) -> Result<Vec<usize>, HeuristicError>,
}

impl Sampler {
    /// The name used in plans and results.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Which points it takes.
    pub fn rule(&self) -> &'static str {
        self.rule
    }

    /// The paper, or the idea, that it comes from.
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// `count` different positions of the pool, in the order in which they are taken.
    ///
    /// # Errors
    /// [`HeuristicError::PoolTooSmall`] when the pool, or what of it the rule may take, holds
    /// fewer; [`HeuristicError::Network`].
    pub fn sample(
        &self,
        pool: &Pool<'_>,
        count: usize,
        seed: u64,
    ) -> Result<Vec<usize>, HeuristicError> {
        check_pool(self.name, "points", count, pool.len())?;
        (self.draw)(pool, count, seed)
    }
}

/// Every sampler, in the order of the documentation.
pub static ALL: [Sampler; 6] = [
    confident_wrong::SAMPLER,
    nearest_boundary::SAMPLER,
    geometric_margin::SAMPLER,
    class_homogeneous::SAMPLER,
    k_centre::SAMPLER,
    random::SAMPLER,
];

/// The sampler of that name.
///
/// # Errors
/// [`HeuristicError::UnknownSampler`] lists the names there are.
pub fn by_name(name: &str) -> Result<&'static Sampler, HeuristicError> {
    ALL.iter()
        .find(|sampler| sampler.name == name)
        .ok_or_else(|| HeuristicError::UnknownSampler {
            name: name.to_owned(),
            known: ALL.iter().map(Sampler::name).collect(),
        })
}

/// Refuses a pool with fewer points of a kind than asked for.
fn check_pool(
    sampler: &'static str,
    kind: &'static str,
    expected: usize,
    got: usize,
) -> Result<(), HeuristicError> {
    if expected <= got {
        return Ok(());
    }
    Err(HeuristicError::PoolTooSmall {
        sampler,
        kind,
        expected,
        got,
    })
}

/// The `count` positions of the least keys, the earlier of equal ones first.
fn least(mut positions: Vec<usize>, count: usize, key: impl Fn(usize) -> f64) -> Vec<usize> {
    positions.sort_by(|&i, &j| key(i).total_cmp(&key(j)));
    positions.truncate(count);
    positions
}
