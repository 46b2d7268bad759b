//! What a repair returns.

use std::fmt;
use std::time::Duration;

use network::Model;

use crate::Change;

/// The answer to a repair problem.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Every specification holds on the weights as saved.
    Repaired(Box<Repair>),
    /// No change of this layer under this method satisfies all specifications: a combination of
    /// rows whose coefficients cancel, entry by entry of the tensors up to rounding, asks for more
    /// than nothing. The verdict depends neither on the objective nor on the guard set.
    Infeasible(Conflict),
    /// Neither was shown.
    Unknown(Box<Unfinished>),
}

impl Outcome {
    /// The outcome with the sizes and times of its run.
    pub(crate) fn reported(mut self, report: Report) -> Self {
        match &mut self {
            Self::Repaired(repair) => repair.report = report,
            Self::Infeasible(conflict) => conflict.report = report,
            Self::Unknown(unfinished) => {
                if let Some(best) = &mut unfinished.best {
                    best.report = report.clone();
                }
                unfinished.report = report;
            }
        }
        self
    }
}

/// A repaired checkpoint and its self-check.
#[derive(Clone, Debug)]
pub struct Repair {
    /// The original file with the edited tensors overwritten, rounded to their dtype.
    pub checkpoint: Model,
    /// The change before rounding.
    pub change: Change,
    /// The slack of the tightest inequality over all points, evaluated in f64 on
    /// `checkpoint` by [`verify`](crate::verify()); it includes the margin asked for.
    pub least_slack: f64,
    /// Share of the points whose every specification holds with margin zero, in percent.
    pub efficacy: f64,
    /// Dual price of each point: how fast the objective rises with the bounds of
    /// its specification and pattern rows. All zero where the solver gives none: for the objective
    /// `aprnn`, and when it stopped at a change that satisfies everything but may not be the best or was found in
    /// other units.
    pub prices: Vec<f64>,
    /// Sizes and times.
    pub report: Report,
}

/// Points that cannot all be satisfied.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// Indices of the conflicting points.
    pub points: Vec<usize>,
    /// Whether every proper subset was shown to be satisfiable.
    pub minimal: bool,
    /// No change whose Euclidean norm over all entries of the tensors is smaller satisfies them,
    /// even if the coefficients cancel no further than rounding shows; infinite where they cancel
    /// exactly.
    pub radius: f64,
    /// Sizes and times.
    pub report: Report,
}

impl Conflict {
    /// What is excluded, in words.
    pub fn excluded(&self) -> String {
        match self.radius.is_finite() {
            true => format!(
                "no change of the parameters with a Euclidean norm below {:.1e} satisfies them",
                self.radius
            ),
            false => "no change at all satisfies them".to_owned(),
        }
    }
}

/// A repair that stopped short of an answer.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// Why.
    pub reason: StopReason,
    /// The best weights reached, if any; some specification fails on them.
    pub best: Option<Repair>,
    /// Sizes and times.
    pub report: Report,
}

/// Why a repair stopped short of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum StopReason {
    /// The time limit passed.
    Time(Duration),
    /// No step makes progress any more.
    Stalled {
        /// Points that are still wrong.
        points: Vec<usize>,
        /// The worst slack among them.
        worst_slack: f64,
        /// Points that no step serves together, to first order; empty when the curvature of the
        /// network is in the way.
        conflict: Vec<usize>,
    },
    /// The steps of a sequential repair are spent.
    Rounds {
        /// How many there were.
        rounds: usize,
        /// The worst slack after them.
        worst_slack: f64,
    },
    /// A later activation has no linear piece at a point.
    NoLinearPiece(String),
    /// Rounding the weights to their dtype breaks a specification, whatever the
    /// extra margin.
    Rounding {
        /// The worst slack after rounding.
        worst_slack: f64,
    },
    /// The answer needs more memory than there may be used.
    Memory {
        /// Bytes that it needs, about.
        needed: usize,
        /// Bytes that it may take.
        limit: usize,
    },
    /// Whether the specifications contradict each other is more than rounding lets tell.
    Undecided,
    /// A repaired weight exceeds the largest number of its dtype.
    Overflow,
    /// The solver gave up.
    Solver(String),
}

impl StopReason {
    /// The reason in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Time(_) => "time",
            Self::Stalled { .. } => "stalled",
            Self::Rounds { .. } => "rounds",
            Self::NoLinearPiece(_) => "no linear piece",
            Self::Rounding { .. } => "rounding",
            Self::Memory { .. } => "memory",
            Self::Undecided => "undecided",
            Self::Overflow => "overflow",
            Self::Solver(_) => "solver",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(limit) => write!(f, "time ({:.1} s)", limit.as_secs_f64()),
            Self::Stalled {
                points,
                worst_slack,
                conflict,
            } => {
                let wrong = counted(points.len());
                write!(f, "stalled at {wrong}, worst slack {worst_slack:.2e}")?;
                match conflict.len() {
                    0 => Ok(()),
                    1 => f.write_str("; 1 point is out of reach to first order"),
                    count => write!(f, "; {count} points conflict to first order"),
                }
            }
            Self::Rounds {
                rounds,
                worst_slack,
            } => write!(f, "{rounds} rounds leave a slack of {worst_slack:.2e}"),
            Self::NoLinearPiece(message) => write!(f, "no linear piece: {message}"),
            Self::Rounding { worst_slack } => {
                write!(f, "rounding leaves a slack of {worst_slack:.2e}")
            }
            Self::Memory { needed, limit } => {
                let mib = |bytes: &usize| *bytes as f64 / f64::from(1 << 20);
                let (needed, limit) = (mib(needed), mib(limit));
                write!(
                    f,
                    "memory: about {needed:.0} MiB are needed, {limit:.0} MiB may be used"
                )
            }
            Self::Undecided => {
                f.write_str("undecided: rounding hides whether the points contradict each other")
            }
            Self::Overflow => f.write_str("a repaired weight exceeds its dtype"),
            Self::Solver(message) => write!(f, "solver: {message}"),
        }
    }
}

fn counted(points: usize) -> String {
    match points {
        1 => "1 point".to_owned(),
        points => format!("{points} points"),
    }
}

/// Sizes and times of a repair.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Rows that were ever written down (over all rounds of a sequential repair).
    pub rows: usize,
    /// Rows that the problem has.
    pub rows_total: usize,
    /// Numbers of the unknown.
    pub columns: usize,
    /// Bytes of the largest set of rows and its kernel matrix (sequential only).
    pub bytes: usize,
    /// Rounds of constraint generation, or sequential steps.
    pub rounds: usize,
    /// Value of the objective at the answer; half the square of the quadratic ones.
    pub objective: f64,
    /// No change has a smaller objective (frozen pattern only); short of `objective` when the
    /// solver stopped at a change that satisfies everything and may not be the best.
    pub lower_bound: Option<f64>,
    /// Whether rounding kept the solver from minimising the objective in its own units: the change was
    /// found in others, and `objective` is what was asked for at that change, which need not be its
    /// minimum.
    pub rescaled: bool,
    /// Largest violation over all encoded rows at the answer, in the rows' units.
    pub worst_violation: f64,
    /// Seconds for prefix, pattern and metric.
    pub prepare_seconds: f64,
    /// Seconds for solving, sensitivities included.
    pub solve_seconds: f64,
    /// Seconds for rounding and verification.
    pub verify_seconds: f64,
}
