//! The master problem: the quadratic program over the rows written down so far.
//!
//! ```text
//! minimise   1/2 ||x||^2 + sum_r xi_r^2 / (2 s_r)    subject to   a_r . x + xi_r >= b_r
//! ```
//!
//! with xi_r = 0 for hard rows (s_r = 0). Rows are added and right-hand sides changed between
//! solves; each solve starts from the multipliers of the one before.

use std::collections::HashSet;

use crate::active_set::{ActiveSet, Ascent};
use crate::error::{OptimError, check_finite, check_len};
use crate::fallback::{Fallback, MAX_ROWS, dual_bytes, solve_dual};
use crate::rows::{Inputs, Row, Shape, Unknown};
use crate::solution::{Farkas, Limits, Multiplier, StopReason};

/// Share of the largest multiplier below which an interior point's multiplier counts as 0.
const INTERIOR: f64 = 1e-7;

/// Outcome of a master problem.
#[derive(Clone, Debug)]
pub enum MasterOutcome {
    /// [`Master::x`] is the optimum over the rows present.
    Optimal,
    /// [`Master::x`] is the optimum up to rounding: a row is violated by `residual`, more than the
    /// tolerance, because x is very large or the active rows are nearly dependent.
    Rounded {
        /// Largest violation of a row, or residual of an active one.
        residual: f64,
    },
    /// The rows present contradict each other, so any larger set of rows does.
    Infeasible(Farkas),
    /// Neither; the multipliers are still >= 0, so [`Master::lower_bound`] holds.
    Stopped(StopReason),
}

/// Rows, their multipliers and a factor of the kernel matrix of the active ones.
#[derive(Clone, Debug)]
pub struct Master {
    set: ActiveSet,
    ids: HashSet<usize>,
}

impl Master {
    /// A master without rows, whose solution is x = 0.
    pub fn new(shape: Shape, inputs: Inputs) -> Self {
        Self {
            set: ActiveSet::new(shape, inputs),
            ids: HashSet::new(),
        }
    }

    /// Takes over inputs that have been appended since; those that rows refer to must be the
    /// same.
    pub fn set_inputs(&mut self, inputs: Inputs) {
        self.set.inputs = inputs;
    }

    /// Adds a row, unless one with its identifier is present; returns whether it was added.
    ///
    /// # Errors
    /// As [`Row::check`].
    pub fn push(&mut self, row: Row) -> Result<bool, OptimError> {
        if self.ids.contains(&row.id) {
            return Ok(false);
        }
        row.check(&self.set.shape, &self.set.inputs)?;
        self.ids.insert(row.id);
        self.set.push(row);
        Ok(true)
    }

    /// The rows present, in the order in which they were added.
    pub fn rows(&self) -> &[Row] {
        &self.set.rows
    }

    /// Replaces every right-hand side. The multipliers stay, as the start of the next solve.
    ///
    /// # Errors
    /// [`OptimError::NotFinite`], with nothing changed.
    pub fn set_rhs(&mut self, rhs: impl Fn(&Row) -> f64) -> Result<(), OptimError> {
        let values: Vec<f64> = self.set.rows.iter().map(rhs).collect();
        check_finite(&values, || "right-hand sides".into())?;
        for (row, value) in self.set.rows.iter_mut().zip(values) {
            row.rhs = value;
        }
        Ok(())
    }

    /// Starts the next solve from these multipliers, one per row; negative ones count as 0.
    ///
    /// # Errors
    /// [`OptimError::Shape`] or [`OptimError::NotFinite`].
    pub fn warm_start(&mut self, multipliers: &[f64]) -> Result<(), OptimError> {
        check_len(self.set.rows.len(), multipliers.len(), || {
            "multipliers of a warm start".into()
        })?;
        check_finite(multipliers, || "multipliers of a warm start".into())?;
        self.set.restart(multipliers);
        Ok(())
    }

    /// Minimises over the rows present, to `limits.tolerance` in every row.
    ///
    /// If the active-set method stalls, an interior-point method finds the active rows and the
    /// active-set method finishes from there.
    ///
    /// # Errors
    /// [`OptimError::Solver`] if the interior-point solver refuses the problem.
    pub fn solve(&mut self, limits: &Limits) -> Result<MasterOutcome, OptimError> {
        match self.set.maximise(limits) {
            Ascent::Stalled { what, residual } => {
                tracing::debug!(what, residual, "dual ascent stalled");
                self.fall_back(limits, what, residual)
            }
            end => Ok(end.into()),
        }
    }

    fn fall_back(
        &mut self,
        limits: &Limits,
        what: &'static str,
        residual: f64,
    ) -> Result<MasterOutcome, OptimError> {
        let rows = self.set.rows.len();
        if rows > MAX_ROWS || dual_bytes(rows) > limits.max_bytes {
            return Ok(Ascent::Stalled { what, residual }.into());
        }
        let kernel = self.set.full_kernel();
        let rhs: Vec<f64> = self.set.rows.iter().map(|row| row.rhs).collect();
        let start = match solve_dual(kernel.as_ref(), &rhs, limits.deadline)? {
            Fallback::Multipliers(multipliers) => multipliers,
            Fallback::Ray(ray) => {
                let y = ray.iter().map(|value| value.max(0.0)).enumerate();
                if let Some(proof) = self.set.prove(y) {
                    return Ok(MasterOutcome::Infeasible(proof));
                }
                ray
            }
            Fallback::Failed(_) if limits.expired() => {
                return Ok(MasterOutcome::Stopped(StopReason::Time));
            }
            Fallback::Failed(status) => {
                return Ok(MasterOutcome::Stopped(StopReason::Numerical {
                    what: format!("{what}; clarabel: {status}"),
                    residual,
                }));
            }
        };
        // Interior points are positive everywhere: the rows that count stand out.
        let floor = INTERIOR * start.iter().copied().fold(0.0, f64::max);
        let cut = |&value: &f64| if value > floor { value } else { 0.0 };
        self.set.restart(&start.iter().map(cut).collect::<Vec<_>>());
        Ok(self.set.maximise(limits).into())
    }

    /// x = J^T lambda.
    pub fn x(&self) -> Unknown {
        self.set.x()
    }

    /// The multiplier of every row, in the order of [`Master::rows`].
    pub fn lambda(&self) -> Vec<f64> {
        self.set.multipliers()
    }

    /// Rows with a positive multiplier.
    pub fn multipliers(&self) -> Vec<Multiplier> {
        self.set
            .weighted()
            .filter(|(_, value)| *value > 0.0)
            .map(|(row, value)| Multiplier {
                row: row.id,
                input: row.input,
                value,
            })
            .collect()
    }

    /// Number of rows with a multiplier.
    pub fn active(&self) -> usize {
        self.set.active()
    }

    /// b . lambda - 1/2 lambda^T K lambda: no x that satisfies the rows costs less.
    pub fn lower_bound(&self) -> f64 {
        self.set.dual_value(&self.set.x())
    }

    /// 1/2 ||x||^2 plus the price of the slacks.
    pub fn objective(&self) -> f64 {
        0.5 * self.set.x().norm_squared() + self.set.slack_cost()
    }

    /// b_r - a_r . x - xi_r of every row, in the order of [`Master::rows`].
    pub fn violations(&self) -> Vec<f64> {
        self.set.violations(&self.set.x())
    }
}

impl From<Ascent> for MasterOutcome {
    fn from(end: Ascent) -> Self {
        match end {
            Ascent::Optimal => Self::Optimal,
            Ascent::Rounded { residual } => Self::Rounded { residual },
            Ascent::Infeasible(proof) => Self::Infeasible(proof),
            Ascent::Time => Self::Stopped(StopReason::Time),
            Ascent::Memory(bytes) => Self::Stopped(StopReason::Memory { bytes }),
            Ascent::Stalled { what, residual } => Self::Stopped(StopReason::Numerical {
                what: what.into(),
                residual,
            }),
        }
    }
}
