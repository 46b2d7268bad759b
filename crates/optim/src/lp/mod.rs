//! Linear programs and the solvers behind them.
//!
//! ```text
//! minimise c.x   subject to   lo <= A x <= hi,   l <= x <= u
//! ```
//!
//! [`LinearProgram`] is the problem as data, [`LpSolver`] the one thing a
//! solver does, and [`solvers`] the list of them.
//!
//! | name | method | fits |
//! |---|---|---|
//! | `microlp` | simplex, vertex solutions | small sparse programs |
//! | `clarabel` | interior point, central solutions; also a quadratic term | dense or large programs |

use std::fmt;
use std::time::Duration;

mod clarabel;
mod duals;
mod microlp;
mod program;

pub use clarabel::{BYTES_PER_NONZERO, Clarabel, ConvexProgram};
pub use microlp::Microlp;
pub use program::{DualValue, LinearProgram};

use crate::OptimError;

/// Something that solves a [`LinearProgram`].
pub trait LpSolver: Send + Sync {
    /// The name under which [`by_name`] finds it.
    fn name(&self) -> &'static str;

    /// Solves `lp`, for at most `limit` of wall time.
    ///
    /// # Errors
    /// [`OptimError::Program`] when `lp` is malformed. Running out of time or of
    /// digits is an outcome, [`LpOutcome::Stopped`].
    fn solve(&self, lp: &LinearProgram, limit: Option<Duration>) -> Result<LpOutcome, OptimError>;
}

/// How a solve ended.
#[derive(Debug, Clone, PartialEq)]
pub enum LpOutcome {
    /// Primal and dual optimum; strong duality was checked.
    Optimal(LpSolution),
    /// No point satisfies the rows and bounds.
    Infeasible,
    /// The objective has no finite lower bound (or the dual has no feasible point).
    Unbounded,
    /// Neither: the reason. Nothing is claimed about the program.
    Stopped(LpStop),
}

/// Why a solver gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LpStop {
    /// The time limit passed.
    Time,
    /// The digits did not suffice; the solver's own words.
    Numerical(String),
}

impl fmt::Display for LpStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time => f.write_str("the time limit passed"),
            Self::Numerical(status) => write!(f, "its digits do not suffice ({status})"),
        }
    }
}

/// An optimum with its own check.
#[derive(Debug, Clone, PartialEq)]
pub struct LpSolution {
    /// Value of each variable.
    pub x: Vec<f64>,
    /// Multiplier of each row: >= 0 on a lower side, <= 0 on an upper side.
    pub duals: Vec<f64>,
    /// Objective at `x`.
    pub objective: f64,
    /// Value of `duals`; equals `objective` up to the tolerance (strong duality).
    pub dual_objective: f64,
    /// Largest violation of a row or bound at `x`, absolute.
    pub violation: f64,
    /// Largest violation of a dual constraint, absolute.
    pub dual_infeasibility: f64,
}

impl LpSolution {
    /// Difference of the two objectives, relative to `1 + |objective|`.
    pub fn gap(&self) -> f64 {
        (self.objective - self.dual_objective).abs() / (1.0 + self.objective.abs())
    }

    /// Measures `x` and `duals` on `lp`; `None` unless they prove each other optimal.
    fn verified(lp: &LinearProgram, x: Vec<f64>, duals: Vec<f64>) -> Option<Self> {
        let value = lp.dual_value(lp.costs(), &duals);
        let solution = Self {
            objective: lp.objective_at(&x),
            dual_objective: value.objective,
            violation: lp.violation(&x),
            dual_infeasibility: value.infeasibility,
            x,
            duals,
        };
        solution.within(SELF_CHECK, lp).then_some(solution)
    }

    /// Whether every check number is within `tolerance`, relative to the data's size.
    fn within(&self, tolerance: f64, lp: &LinearProgram) -> bool {
        let largest = |values: &mut dyn Iterator<Item = f64>| {
            values
                .filter(|v| v.is_finite())
                .fold(1.0_f64, |m, v| m.max(v.abs()))
        };
        let cost = largest(&mut lp.costs().iter().copied());
        let side = largest(&mut lp.sides().iter().flat_map(|&(lo, hi)| [lo, hi]));
        self.gap() <= tolerance
            && self.violation <= tolerance * side
            && self.dual_infeasibility <= DUAL_SLACK * tolerance * cost
    }
}

/// Relative tolerance at which a primal and a dual point count as proof of each other.
const SELF_CHECK: f64 = 1e-6;

/// How much looser multipliers are checked: interior-point residuals of large programs
/// reach 5e-6 at gaps of 1e-9, and the gap is what bounds the optimum.
const DUAL_SLACK: f64 = 10.0;

/// The solver for small programs.
pub static SMALL: &dyn LpSolver = &Microlp;

/// Every solver, in the order of the table above.
pub fn solvers() -> [&'static dyn LpSolver; 2] {
    [&Microlp, &Clarabel]
}

/// The solver called `name`.
///
/// # Errors
/// [`OptimError::UnknownSolver`] with the names there are.
pub fn by_name(name: &str) -> Result<&'static dyn LpSolver, OptimError> {
    let found = solvers().into_iter().find(|solver| solver.name() == name);
    found.ok_or_else(|| OptimError::UnknownSolver {
        got: name.to_owned(),
        expected: solvers().map(LpSolver::name).join(", "),
    })
}
