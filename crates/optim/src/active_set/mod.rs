//! The dual active-set method in kernel form, with block steps.
//!
//! ```text
//! minimise   1/2 ||x||^2 + sum_r xi_r^2 / (2 s_r)    subject to   a_r . x + xi_r >= b_r
//! ```
//!
//! has the dual
//!
//! ```text
//! maximise   d(lambda) = b . lambda - 1/2 lambda^T K lambda    subject to   lambda >= 0,
//! K = J J^T + diag(s),     x = J^T lambda,     xi_r = s_r lambda_r,
//! ```
//!
//! whose gradient is the vector of violations b - J x - s lambda. The method keeps a set A of
//! rows, a factor of K_AA and lambda_A >= 0, and repeats
//!
//! 1. *enter*: a batch of violated rows joins A with multiplier 0;
//! 2. *ascend*: Newton's target solves K_AA target = b_A. If it is positive, take it. Otherwise
//!    take either its projection on lambda >= 0 or the longest feasible step towards it,
//!    whichever is nearer to the target in the norm of K, and drop the rows that block.
//!
//! d is a parabola around the target on the face of A, so every step increases d, no set A can
//! come back, and the method ends. A row that depends on A cannot enter the factor; it is
//! *exchanged* ([`exchange`]) as in Goldfarb and Idnani (Mathematical Programming 27, 1983).

mod exchange;
mod proof;

use crate::factor::Factor;
use crate::kernel::{Kernel, Stack};
use crate::rows::{Inputs, Row, Shape, Unknown, adjoint, apply, dot};
use crate::solution::{Farkas, Limits};
use exchange::Exchange;

/// A row joins a batch only if its squared distance from the span of the rows before it exceeds
/// this share of its squared norm.
const BATCH_FLOOR: f64 = 1e-11;
/// Steps of iterative refinement on one face.
const REFINEMENTS: usize = 3;
/// Rounds without progress after which rows enter one by one.
const PATIENCE: usize = 6;
/// Rounds without progress after which the method gives up.
const STALLED: usize = 40;

/// Violations up to this share of ||a|| ||x|| are put down to rounding.
const ROUNDING: f64 = 1e-10;

/// How the dual ascent ended.
pub(crate) enum Ascent {
    /// No row is violated beyond the tolerance.
    Optimal,
    /// The rows contradict each other.
    Infeasible(Farkas),
    /// The deadline passed.
    Time,
    /// The optimum up to rounding: this violation exceeds the tolerance, but is all that is left.
    Rounded { residual: f64 },
    /// The factor with more rows would exceed the memory: the bytes that it needs.
    Memory(usize),
    /// The ascent made no more progress at this violation or residual.
    Stalled { what: &'static str, residual: f64 },
}

/// Rows, the active ones among them, and the factor of their kernel matrix.
#[derive(Clone, Debug)]
pub(crate) struct ActiveSet {
    pub(crate) shape: Shape,
    pub(crate) inputs: Inputs,
    pub(crate) rows: Vec<Row>,
    /// K_rr of every row.
    diagonal: Vec<f64>,
    kernel: Kernel,
    /// Active rows, in the order of `stack`, `factor` and `lambda`.
    active: Vec<usize>,
    is_active: Vec<bool>,
    stack: Stack,
    factor: Factor,
    lambda: Vec<f64>,
}

impl ActiveSet {
    pub(crate) fn new(shape: Shape, inputs: Inputs) -> Self {
        Self {
            shape,
            inputs,
            rows: Vec::new(),
            diagonal: Vec::new(),
            kernel: Kernel::new(shape),
            active: Vec::new(),
            is_active: Vec::new(),
            stack: Stack::new(shape),
            factor: Factor::default(),
            lambda: Vec::new(),
        }
    }

    /// Adds a row that has passed [`Row::check`]; it starts inactive.
    pub(crate) fn push(&mut self, row: Row) {
        let mut factors = row.factors(&self.shape);
        let matrix = match (factors.next(), factors.next()) {
            (None, _) => dot(&row.tail, &row.tail),
            (Some((t, g)), None) => {
                let h = self.inputs.position(row.input, t);
                dot(g, g) * dot(h, h) + dot(&row.tail, &row.tail)
            }
            _ => adjoint(&self.shape, &self.inputs, std::iter::once((&row, 1.0))).norm_squared(),
        };
        drop(factors);
        self.diagonal.push(matrix + row.softness);
        self.is_active.push(false);
        self.rows.push(row);
    }

    /// Number of active rows.
    pub(crate) fn active(&self) -> usize {
        self.active.len()
    }

    /// Active rows with their multipliers.
    pub(crate) fn weighted(&self) -> impl Iterator<Item = (&Row, f64)> + Clone {
        self.active
            .iter()
            .map(|&r| &self.rows[r])
            .zip(self.lambda.iter().copied())
    }

    /// The multiplier of every row.
    pub(crate) fn multipliers(&self) -> Vec<f64> {
        let mut all = vec![0.0; self.rows.len()];
        for (&r, &lambda) in self.active.iter().zip(&self.lambda) {
            all[r] = lambda;
        }
        all
    }

    /// x = J^T lambda.
    pub(crate) fn x(&self) -> Unknown {
        adjoint(&self.shape, &self.inputs, self.weighted())
    }

    /// d(lambda), given x = J^T lambda: a lower bound on the objective, whatever lambda >= 0 is.
    pub(crate) fn dual_value(&self, x: &Unknown) -> f64 {
        let linear: f64 = self.weighted().map(|(row, lambda)| row.rhs * lambda).sum();
        linear - 0.5 * x.norm_squared() - self.slack_cost()
    }

    /// sum_r xi_r^2 / (2 s_r) at xi = s lambda.
    pub(crate) fn slack_cost(&self) -> f64 {
        self.weighted()
            .map(|(row, lambda)| 0.5 * row.softness * lambda * lambda)
            .sum()
    }

    /// The gradient of d: b - J x - s lambda, per row.
    pub(crate) fn violations(&self, x: &Unknown) -> Vec<f64> {
        let values = apply(&self.shape, &self.inputs, &self.rows, x);
        let mut violations: Vec<f64> = self
            .rows
            .iter()
            .zip(values)
            .map(|(row, value)| row.rhs - value)
            .collect();
        for (&r, &lambda) in self.active.iter().zip(&self.lambda) {
            violations[r] -= self.rows[r].softness * lambda;
        }
        violations
    }

    /// Starts over from multipliers >= 0, one per row; rows that depend on larger ones start at 0.
    pub(crate) fn restart(&mut self, multipliers: &[f64]) {
        self.leave(&(0..self.active.len()).collect::<Vec<_>>());
        let mut positive: Vec<usize> = (0..self.rows.len())
            .filter(|&r| multipliers[r] > 0.0)
            .collect();
        positive.sort_by(|&r, &s| multipliers[s].total_cmp(&multipliers[r]));
        self.enter(&positive);
        self.lambda = self.active.iter().map(|&r| multipliers[r]).collect();
    }

    /// Maximises d over lambda >= 0.
    pub(crate) fn maximise(&mut self, limits: &Limits) -> Ascent {
        let mut progress = Progress::default();
        let (mut refactored, mut refinements) = (false, 0);
        self.ascend();
        for _ in 0..limits.max_pivots {
            if limits.expired() {
                return Ascent::Time;
            }
            let x = self.x();
            let violations = self.violations(&x);
            let residual = self.residual(&violations);
            let worst = violations.iter().copied().fold(residual, f64::max);
            if worst <= limits.tolerance {
                return Ascent::Optimal;
            }
            if self.is_cancelled(&x)
                && let Some(proof) = self.prove(self.weighted_indices())
            {
                return Ascent::Infeasible(proof);
            }
            let idle = progress.idle_rounds(self.dual_value(&x), worst);
            if idle > STALLED || !worst.is_finite() {
                return self.stalled(&x, worst);
            }
            // Far from the optimum, refinement would only polish a face that is left anyway.
            let spoils = residual > (0.1 * limits.tolerance).max(1e-3 * worst);
            if spoils && refinements < REFINEMENTS {
                refinements += 1;
                self.refine(&violations);
                continue;
            }
            refinements = 0;
            if spoils && residual > limits.tolerance && !refactored {
                refactored = true;
                self.restart(&self.multipliers());
                self.ascend();
                continue;
            }
            let mut batch = self.most_violated(&violations, limits, idle > PATIENCE);
            if batch.is_empty() {
                return Ascent::Rounded { residual };
            }
            while self.factor.bytes_with(batch.len()) > limits.max_bytes {
                if batch.len() == 1 {
                    return Ascent::Memory(self.factor.bytes_with(1));
                }
                batch.truncate(batch.len() / 2);
            }
            if let Err(end) = self.advance(&batch, &violations) {
                return end;
            }
        }
        Ascent::Stalled {
            what: "step limit of a master problem",
            residual: limits.max_pivots as f64,
        }
    }

    /// Brings in a batch of violated rows, or its first row alone if all depend on active ones.
    fn advance(&mut self, batch: &[usize], violations: &[f64]) -> Result<(), Ascent> {
        if self.enter(batch) > 0 {
            self.ascend();
            return Ok(());
        }
        let first = batch[0];
        match self.exchange(first, violations[first]) {
            Exchange::Entered => Ok(()),
            Exchange::Infeasible(proof) => Err(Ascent::Infeasible(proof)),
            Exchange::Failed => Err(Ascent::Stalled {
                what: "a row that depends on the active ones",
                residual: violations[first],
            }),
        }
    }

    /// Names the end of an ascent without progress: violations that are small beside ||a|| ||x||
    /// are rounding, and no other method would have less.
    fn stalled(&self, x: &Unknown, worst: f64) -> Ascent {
        let largest = self.diagonal.iter().copied().fold(0.0, f64::max).sqrt();
        if worst <= ROUNDING * largest * x.norm_l2() {
            return Ascent::Rounded { residual: worst };
        }
        Ascent::Stalled {
            what: "violation of a row",
            residual: worst,
        }
    }

    /// Largest residual of K_AA lambda = b_A.
    fn residual(&self, violations: &[f64]) -> f64 {
        self.active
            .iter()
            .map(|&r| violations[r].abs())
            .fold(0.0, f64::max)
    }

    /// Inactive rows beyond the tolerance, the farthest from x first.
    fn most_violated(&self, violations: &[f64], limits: &Limits, single: bool) -> Vec<usize> {
        let mut batch: Vec<(usize, f64)> = (0..self.rows.len())
            .filter(|&r| !self.is_active[r] && violations[r] > limits.tolerance)
            .map(|r| (r, violations[r] / self.diagonal[r].sqrt()))
            .collect();
        batch.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let quota = limits.quota.total.max(self.active.len() / 2).max(1);
        batch.truncate(if single { 1 } else { quota });
        batch.into_iter().map(|(r, _)| r).collect()
    }

    /// Adds those of `batch` that do not depend on the rows before them, and returns how many.
    fn enter(&mut self, batch: &[usize]) -> usize {
        let rows = batch.iter().map(|&r| &self.rows[r]);
        let entering = self.kernel.stack(&self.inputs, rows);
        let cross = self.kernel.products(&self.stack, &entering);
        let mut block = self.kernel.products(&entering, &entering);
        for (i, &r) in batch.iter().enumerate() {
            block[(i, i)] += self.rows[r].softness;
        }
        let accepted = self.factor.append(cross, block.as_ref(), BATCH_FLOOR);
        self.stack.extend(&entering, &accepted);
        for &i in &accepted {
            self.active.push(batch[i]);
            self.is_active[batch[i]] = true;
            self.lambda.push(0.0);
        }
        accepted.len()
    }

    /// Removes the active rows at `positions`, which ascend.
    fn leave(&mut self, positions: &[usize]) {
        if positions.len() == self.active.len() {
            self.factor.clear();
            self.stack.clear();
        } else {
            self.factor.delete(positions);
            self.stack.remove(positions);
        }
        for &position in positions.iter().rev() {
            self.is_active[self.active[position]] = false;
            self.active.remove(position);
            self.lambda.remove(position);
        }
    }

    /// Moves to the maximum of d over a face, dropping rows on the way.
    fn ascend(&mut self) {
        loop {
            let mut target: Vec<f64> = self.active.iter().map(|&r| self.rows[r].rhs).collect();
            self.factor.solve(&mut target);
            if self.step_towards(target) {
                return;
            }
        }
    }

    /// One step of iterative refinement, from residuals that were computed through x.
    fn refine(&mut self, violations: &[f64]) {
        let mut target: Vec<f64> = self.active.iter().map(|&r| violations[r]).collect();
        self.factor.solve(&mut target);
        for (target, lambda) in target.iter_mut().zip(&self.lambda) {
            *target += lambda;
        }
        if !self.step_towards(target) {
            self.ascend();
        }
    }

    /// Moves lambda towards `target`, the maximiser on the face, and drops what blocks; whether
    /// nothing did.
    fn step_towards(&mut self, target: Vec<f64>) -> bool {
        if target.iter().all(|&value| value > 0.0) {
            self.lambda = target;
            return true;
        }
        let blocking: Vec<usize> = (0..target.len())
            .filter(|&j| target[j] <= 0.0 || target[j].is_nan())
            .collect();
        let ratio = |j: usize| match self.lambda[j] {
            0.0 => 0.0,
            lambda => lambda / (lambda - target[j]),
        };
        let step = blocking.iter().map(|&j| ratio(j)).fold(1.0, f64::min);
        let projected: Vec<f64> = target.iter().map(|value| value.max(0.0)).collect();
        let difference =
            |from: &[f64]| -> Vec<f64> { from.iter().zip(&target).map(|(a, b)| a - b).collect() };
        let of_step = (1.0 - step).powi(2) * self.factor.norm_squared(&difference(&self.lambda));
        let of_projection = self.factor.norm_squared(&difference(&projected));
        let leaving: Vec<usize> = if of_projection <= of_step {
            self.lambda = projected;
            blocking
        } else {
            let leaving = blocking.into_iter().filter(|&j| ratio(j) <= step).collect();
            for (lambda, target) in self.lambda.iter_mut().zip(&target) {
                *lambda = (*lambda + step * (target - *lambda)).max(0.0);
            }
            leaving
        };
        self.leave(&leaving);
        false
    }

    fn weighted_indices(&self) -> impl Iterator<Item = (usize, f64)> + Clone {
        let pairs = self.active.iter().zip(&self.lambda);
        pairs.map(|(&j, &lambda)| (j, lambda))
    }

    /// J J^T + diag(s) over all rows.
    pub(crate) fn full_kernel(&mut self) -> faer::Mat<f64> {
        let all = self.kernel.stack(&self.inputs, self.rows.iter());
        let mut kernel = self.kernel.products(&all, &all);
        for (r, row) in self.rows.iter().enumerate() {
            kernel[(r, r)] += row.softness;
        }
        kernel
    }
}

/// Counts rounds in which neither the dual value rose nor the worst violation fell.
struct Progress {
    value: f64,
    worst: f64,
    idle: usize,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            value: f64::NEG_INFINITY,
            worst: f64::INFINITY,
            idle: 0,
        }
    }
}

impl Progress {
    fn idle_rounds(&mut self, value: f64, worst: f64) -> usize {
        let rose = value > self.value + 1e-13 * self.value.abs();
        if rose || worst < 0.9 * self.worst {
            self.idle = 0;
        } else {
            self.idle += 1;
        }
        self.value = self.value.max(value);
        self.worst = self.worst.min(worst);
        self.idle
    }
}
