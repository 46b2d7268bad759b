//! Constraints that are evaluated all at once and written down a few at a time.

use crate::error::{BoxError, OptimError};
use crate::rows::{Inputs, Row, Shape, Unknown, apply};

/// How many rows one separation may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Rows per repair point.
    pub per_input: usize,
    /// Rows in all.
    pub total: usize,
}

/// What a separation found at a point x.
#[derive(Clone, Debug)]
pub struct Separation {
    /// Largest violation b_r - a_r . x over *all* rows; negative or zero if none is violated.
    pub worst: f64,
    /// Number of rows with a positive violation.
    pub violated: usize,
    /// The most violated rows within the quota. Rows that the caller already has may be among
    /// them.
    pub rows: Vec<Row>,
}

/// A family of rows a_r . x >= b_r, too many to write down.
pub trait Constraints {
    /// Size of the unknown.
    fn shape(&self) -> Shape;

    /// Inputs that the rows refer to. Separation may append to them, but never change one.
    fn inputs(&self) -> &Inputs;

    /// Number of all rows, for the record.
    fn total(&self) -> usize;

    /// Evaluates every row at `x` and returns the most violated ones within the quota.
    ///
    /// # Errors
    /// Whatever keeps the rows from being evaluated; the solver passes it on.
    fn separate(&mut self, x: &Unknown, quota: &Quota) -> Result<Separation, BoxError>;
}

/// Constraints given as a list of rows.
///
/// For problems small enough to list, and the reference for lazily evaluated ones.
#[derive(Clone, Debug)]
pub struct ListedRows {
    shape: Shape,
    inputs: Inputs,
    rows: Vec<Row>,
}

impl ListedRows {
    /// Checks every row against the shape and the inputs.
    ///
    /// # Errors
    /// The first misfit, as [`Row::check`] finds it.
    pub fn new(shape: Shape, inputs: Inputs, rows: Vec<Row>) -> Result<Self, OptimError> {
        rows.iter().try_for_each(|row| row.check(&shape, &inputs))?;
        Ok(Self {
            shape,
            inputs,
            rows,
        })
    }

    /// All rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

impl Constraints for ListedRows {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    fn total(&self) -> usize {
        self.rows.len()
    }

    fn separate(&mut self, x: &Unknown, quota: &Quota) -> Result<Separation, BoxError> {
        let values = apply(&self.shape, &self.inputs, &self.rows, x);
        let violation = |r: usize| self.rows[r].rhs - values[r];
        let mut worst = f64::NEG_INFINITY;
        let mut violated = Vec::new();
        for r in 0..self.rows.len() {
            worst = worst.max(violation(r));
            if violation(r) > 0.0 {
                violated.push(r);
            }
        }
        violated.sort_by(|&r, &s| violation(s).total_cmp(&violation(r)));
        let mut taken = vec![0; self.inputs.len()];
        let rows = violated
            .iter()
            .map(|&r| &self.rows[r])
            .filter(|row| {
                taken[row.input] += 1;
                taken[row.input] <= quota.per_input
            })
            .take(quota.total)
            .cloned()
            .collect();
        Ok(Separation {
            worst,
            violated: violated.len(),
            rows,
        })
    }
}
