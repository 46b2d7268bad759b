//! Which points to leave out of a repair set.
//!
//! The first-order repair of a layer ([`repair::first_order`]) minimises ½‖Δ‖² in the guard metric,
//! which predicts drawdown, under rows `a_r · Δ >= b_r`. With multipliers λ its value is
//!
//! ```text
//! ½‖Δ‖² = ½ Σ_r b_r λ_r = Σ_i s_i,      s_i = ½ Σ_{r of point i} b_r λ_r
//! ```
//!
//! so that s_i is the share of point i, and what leaving it out saves as long as the other
//! multipliers stay. Greedily, the point with the largest share is left out and the problem is
//! solved again, which says what it saved and ranks the points that are left.

use network::{Layer, Network};
use repair::{GuardMoments, MAX_MEMORY, Metric, RepairSet, Suffix, first_order};
use serde::Serialize;

use crate::HeuristicError;

/// The points whose specifications are to hold, and where.
#[derive(Clone, Copy, Debug)]
pub struct DropProblem<'a> {
    /// The network.
    pub network: &'a Network,
    /// The layer that would be edited.
    pub layer: &'a Layer,
    /// The repair set.
    pub set: &'a RepairSet,
    /// Moments of the guard set.
    pub moments: &'a GuardMoments,
    /// Damping of the guard metric.
    pub damping: f64,
}

/// What to leave out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Suggestion {
    /// The cost of all points, and of ever fewer.
    Drops {
        /// Cost of the first-order repair of the whole set.
        cost: f64,
        /// The points to leave out, in turn.
        drops: Vec<Drop>,
    },
    /// No change of the layer serves the points to first order, so that nothing has a price.
    Unsolved,
}

/// A point that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Drop {
    /// Index of the point.
    pub point: usize,
    /// Its price, Σ λ_r, before it is left out.
    pub price: f64,
    /// Its share in the cost before it is left out.
    pub share: f64,
    /// The cost that is left if the multipliers of the other points stay.
    pub predicted: f64,
    /// The cost that is left.
    pub cost: f64,
}

/// Leaves out up to `count` points in turn, until one is left or nothing costs anything; protected
/// points stay.
///
/// # Errors
/// [`HeuristicError::Repair`] for a layer that cannot be repaired or a set that does not fit.
pub fn suggest_drop(problem: &DropProblem<'_>, count: usize) -> Result<Suggestion, HeuristicError> {
    problem
        .set
        .validate(problem.network, problem.network.classes())?;
    repair::supported(problem.layer)?;
    let mut kept: Vec<usize> = (0..problem.set.len()).collect();
    let mut solved = solve(problem, &kept)?;
    if !solved.cost.is_finite() {
        return Ok(Suggestion::Unsolved);
    }
    let cost = solved.cost;
    let mut drops = Vec::new();
    while drops.len() < count && kept.len() > 1 {
        let larger = |best: usize, i: usize| match solved.shares[i] > solved.shares[best] {
            true => i,
            false => best,
        };
        let repaired = kept.partition_point(|&point| point < problem.set.repaired());
        let Some(worst) = (0..repaired).reduce(larger) else {
            break;
        };
        let share = solved.shares[worst];
        if share <= 0.0 {
            break;
        }
        let (before, price) = (solved.cost, solved.prices[worst]);
        let point = kept.remove(worst);
        solved = solve(problem, &kept)?;
        drops.push(Drop {
            point,
            price,
            share,
            predicted: before - share,
            cost: solved.cost,
        });
    }
    Ok(Suggestion::Drops { cost, drops })
}

/// What of a first-order repair ranks the points.
struct Solved {
    cost: f64,
    prices: Vec<f64>,
    shares: Vec<f64>,
}

/// The first-order repair of the points that are kept.
fn solve(problem: &DropProblem<'_>, kept: &[usize]) -> Result<Solved, HeuristicError> {
    let set = problem.set.subset(kept)?;
    let layers = std::slice::from_ref(problem.layer);
    let suffix = Suffix::new(problem.network, layers, &set, false)?;
    let metric = Metric::guarded(suffix.layers(), problem.moments, problem.damping)?;
    let found = first_order(&suffix, &metric, &set, MAX_MEMORY)?;
    Ok(Solved {
        cost: found.cost,
        prices: found.prices,
        shares: found.shares,
    })
}
