//! What a solver may spend, and what it returns.

use std::fmt;
use std::time::Instant;

use crate::constraints::Quota;
use crate::rows::Unknown;

/// Share of sum_r y_r |a_rj| that a Farkas vector y may leave in any column j, and of
/// sum_r y_r |b_r| that b . y must exceed: what rounding in 64 bits may have left of an exact
/// proof. Neither depends on the units of columns or rows.
pub const CANCELLATION: f64 = 1e-9;

/// Tolerances and limits of a solve.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest violation b_r - a_r . x that counts as satisfied, absolute. Default 1e-7.
    pub tolerance: f64,
    /// Rounds of separation. Default 200.
    pub max_rounds: usize,
    /// Steps of one master problem, after which it goes to the fallback solver. Default 20,000.
    pub max_pivots: usize,
    /// When to stop, whatever has been reached. Default never.
    pub deadline: Option<Instant>,
    /// Bytes that the factor of the active rows, or the program of a master, may take; how large
    /// it becomes is known before it is made. Default unbounded.
    pub max_bytes: usize,
    /// Rows per round: at most `per_input` (default 8) for one repair point and
    /// max(`total`, half the active rows) (default 200) in all.
    pub quota: Quota,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tolerance: 1e-7,
            max_rounds: 200,
            max_pivots: 20_000,
            deadline: None,
            max_bytes: usize::MAX,
            quota: Quota {
                per_input: 8,
                total: 200,
            },
        }
    }
}

impl Limits {
    /// Whether the deadline has passed.
    pub fn expired(&self) -> bool {
        self.deadline.is_some_and(|end| Instant::now() >= end)
    }
}

/// The weight of one row in a dual solution or in a proof of infeasibility.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Multiplier {
    /// Identifier of the row.
    pub row: usize,
    /// Repair point of the row.
    pub input: usize,
    /// Its weight, >= 0.
    pub value: f64,
}

/// Outcome of a minimisation over lazily generated rows.
#[derive(Clone, Debug)]
pub enum Solution {
    /// The optimum of the full problem, every row re-checked.
    Optimal(Optimum),
    /// Proof that no x satisfies the rows.
    Infeasible(Farkas),
    /// Neither: why, and how far it came.
    Stopped(Stop),
}

/// The optimum, with the numbers that let one check it.
#[derive(Clone, Debug)]
pub struct Optimum {
    /// The minimiser.
    pub x: Unknown,
    /// Dual solution: rows with a positive multiplier.
    pub multipliers: Vec<Multiplier>,
    /// Objective at `x`: 1/2 ||x||^2, or the norm that was asked for.
    pub objective: f64,
    /// Value of the dual solution: no feasible x has a smaller objective.
    pub lower_bound: f64,
    /// Largest violation over *all* rows at `x`, as the last separation found it.
    pub worst_violation: f64,
    /// Rows that were ever written down.
    pub rows_used: usize,
    /// Rows that the problem has.
    pub rows_total: usize,
    /// Rows with a positive multiplier.
    pub active: usize,
    /// Rounds of separation.
    pub rounds: usize,
}

/// Multipliers y >= 0 of conflicting rows: J^T y is 0 up to rounding while b . y > 0.
///
/// Every column cancels by itself, |sum_r y_r a_rj| <= [`CANCELLATION`] sum_r y_r |a_rj|, and
/// further where b . y is a small share of sum_r y_r |b_r|, so that coefficients which differ from
/// the rows' by that share of themselves contradict each other exactly, and that only changes are
/// left which are a million times as large as what a row asks for by itself. A large column proves nothing about the others, and scaling a column or a row
/// changes no verdict. All rows named are hard.
#[derive(Clone, Debug)]
pub struct Farkas {
    /// The conflicting rows, in decreasing order of weight; the largest weight is 1.
    pub multipliers: Vec<Multiplier>,
    /// ||J^T y||.
    pub residual: f64,
    /// b . y.
    pub value: f64,
    /// Rows that were ever written down.
    pub rows_used: usize,
    /// Rounds of separation.
    pub rounds: usize,
}

impl Farkas {
    /// No x with a smaller norm satisfies the rows: b . y <= y^T J x <= ||J^T y|| ||x||. The norm is
    /// that of the coordinates in which the rows are given.
    pub fn radius(&self) -> f64 {
        self.value / self.residual
    }
}

/// An unfinished solve.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Why it stopped.
    pub reason: StopReason,
    /// The optimum over the rows written down so far, if there is one; it violates others.
    pub best: Option<Unknown>,
    /// Largest violation over all rows at `best`, if it was evaluated.
    pub worst_violation: Option<f64>,
    /// No feasible x has a smaller objective.
    pub lower_bound: f64,
    /// Rows that were ever written down.
    pub rows_used: usize,
    /// Rows that the problem has.
    pub rows_total: usize,
    /// Rounds of separation.
    pub rounds: usize,
}

/// Why a solve stopped short of an answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StopReason {
    /// The deadline passed.
    Time,
    /// The rounds of separation are spent.
    Rounds,
    /// The next step needs more than [`Limits::max_bytes`].
    Memory {
        /// The bytes that it needs.
        bytes: usize,
    },
    /// Rounding keeps the solver from the tolerance.
    Numerical {
        /// What could not be driven down, and where.
        what: String,
        /// How far it came: a violation or a residual.
        residual: f64,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time => f.write_str("the time limit passed"),
            Self::Rounds => f.write_str("the rounds of constraint generation are spent"),
            Self::Memory { bytes } => write!(f, "{bytes} bytes are needed"),
            Self::Numerical { what, residual } => {
                write!(
                    f,
                    "rounding keeps it from an answer: {what}, {residual:.1e} is left"
                )
            }
        }
    }
}
