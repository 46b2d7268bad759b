//! Which layer of a network should a repair edit?
//!
//! A plan names networks, repair sets `S` and methods. Every `(network, S, method)` is repaired at every
//! layer `k` once, which gives a table of drawdown `D(k)` and generalization `G(k)`. A heuristic picks a
//! layer from the network and the repair set alone and is scored by its regret against that table,
//!
//! ```text
//! regret_D = D(k) - min_j D(j),    regret_G = max_j G(j) - G(k),    j over the repaired layers,
//! ```
//!
//! so that all heuristics are compared on identical repairs. Means have bootstrap intervals, scores have
//! rank correlations with the table.
//!
//! ```
//! use experiments::statistics::{bootstrap_mean, spearman};
//!
//! // Scores of four layers, and the accuracy that repairing each of them gains.
//! let rho = spearman(&[0.9, 0.7, 0.1, 0.4], &[41.0, 35.0, 19.0, 23.0]);
//! assert_eq!(rho, Some(1.0));
//!
//! let regrets = [0.0, 0.1, 0.0, 0.4, 0.2];
//! let interval = bootstrap_mean(&regrets, 0.95, 2000, 0).ok_or("no regrets")?;
//! assert!(interval.low <= interval.estimate && interval.estimate <= interval.high);
//! # Ok::<(), &str>(())
//! ```
//!
//! Supported: plans in TOML with diagnostics ([`plan`]); runs on several threads that can be killed and
//! resumed ([`run`], [`store`]); CSV tables, a terminal table and a one-file HTML report ([`results`],
//! [`mod@report`], [`table`]); the repair of one network in a file on sets in files ([`repair_command`]), and
//! what kind of a set it is ([`analyze_command`]); which layer to repair
//! ([`rank_command`]); what a network in a file is ([`inspect_command`]).
//!
//! Not supported: distributing one run over machines; splits that share an image of one file; labels other
//! than classes.
//!
//! Runs reach networks and repairs only through [`run::Lab`]; [`laboratory::Laboratory`] is the one that
//! loads and repairs them.

pub mod analyze_command;
pub mod cli;
pub mod error;
pub mod gradients;
pub mod inspect_command;
mod journal;
pub mod laboratory;
pub mod manifest;
pub mod model_arguments;
mod outputs;
pub mod phases;
pub mod plan;
pub mod progress;
pub mod rank_command;
pub mod record;
pub mod regret;
pub mod repair_command;
pub mod report;
pub mod results;
pub mod run;
pub mod statistics;
pub mod store;
pub mod table;
pub mod terminal;
