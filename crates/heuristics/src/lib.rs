//! Which layer to repair.
//!
//! A heuristic maps what one shared pass over a network, a repair set and a guard
//! set has measured to one score per weight-bearing layer, and picks
//!
//! ```text
//! k* = argmax_k score_k(statistics)
//! ```
//!
//! Every heuristic is a pure function of [`Statistics`], in its own file, with
//! its formula and source; [`ALL`] is the registry that the command line, the
//! experiments and the report read.
//!
//! ```
//! use heuristics::{by_name, pick};
//!
//! let scores = [Some(-3.0), Some(-0.5), None];
//! assert_eq!(pick(&scores), Some(1));
//! assert!(by_name("first_order_cost").is_ok());
//! assert!(by_name("tea_leaves").unwrap_err().to_string().contains("gradient_norm"));
//! ```
//!
//! One heuristic is not enough: [`Combination`] adds the ranks of several, and [`auto()`] goes on
//! from there with repairs of a few points, then of all, within a budget of time.
//!
//! Which points: [`profile`] says what kind of a repair set it is, [`samplers`] draw one from a
//! pool, and [`suggest_drop()`] names the points that cost a repair most.
//!
//! Supported: every layer of the networks that [`network`] loads; labelled
//! repair sets. Not supported: repair sets of inequalities without labels. Not here:
//! brute force, which repairs at every layer and keeps the best on a selection
//! split; it needs repairs, so the experiments compute it.

mod auto;
mod collect;
mod combined;
mod effects;
mod error;
mod estimate;
mod gradients;
mod probe;
pub mod profile;
mod representation;
pub mod samplers;
mod scores;
mod similarity;
mod statistics;
mod suggest_drop;

pub use auto::{
    Attempt, Choice, PRIOR_GUARD, PRIOR_POINTS, Pilot, PilotEnd, Prior, Question, WORTH, auto,
};
pub use combined::{Combination, Example};
pub use effects::{Effect, Effects};
pub use error::HeuristicError;
pub use probe::{Probe, Sample, Trial};
pub use scores::{ALL, DEFAULT, LayerHeuristic, by_name, pick};
pub use statistics::{
    Counterpart, FirstOrderStatistics, LayerStatistics, MEASURED, Measured, Phase, Statistics,
    Subject,
};
pub use suggest_drop::{Drop, DropProblem, Suggestion, suggest_drop};
