//! One step: the elastic quadratic program, and what to say when it cannot be met.

use std::time::Instant;

use faer::Mat;
use optim::{Inputs, Limits, Row, RowSolution, solve_kernel, solve_rows};

use super::rows::{Form, Rows};
use super::{Iterate, Linearised};
use crate::RepairError;
use crate::sequential::SequenceStop;
use crate::written;

/// Elasticity of a row relative to its own curvature `‖a_r‖²` and to the mean one:
/// enough to keep dependent rows and dead points solvable. It grows with the trust weight, so that
/// a step that cannot be taken in full serves first the rows that cost least movement.
const SOFTNESS: f64 = 1e-6;
/// The most elastic that rows become: what a row then lacks is less than the overshoot makes up for.
const SOFTEST: f64 = 0.03;
/// Elasticity in the search for conflicts, which asks what rows could be if they cost nothing.
const CONFLICT_SOFTNESS: f64 = 1e-10;
/// Share of the largest right-hand side that an elastic row may keep and still count as met.
const UNMET: f64 = 1e-2;
/// The most points among which a conflict is searched.
const MOST_SHRUNK: usize = 200;

/// The solution of a subproblem.
pub(crate) struct Step {
    pub(crate) target: Vec<f64>,
    /// One multiplier per row.
    pub(crate) multipliers: Vec<f64>,
    /// Σ of the violations that the linearised rows keep at the target.
    pub(crate) violation: f64,
    /// Sum of the multipliers of each point.
    pub(crate) prices: Vec<f64>,
}

impl Step {
    /// ‖target‖²
    pub(crate) fn norm_squared(&self) -> f64 {
        self.target.iter().map(|x| x * x).sum()
    }

    pub(crate) fn largest_multiplier(&self) -> f64 {
        self.multipliers.iter().copied().fold(0.0, f64::max)
    }
}

/// `diag(scale) Jᵀλ` and λ of elastic rows in the metric `diag(scale)⁻¹`.
struct Minimum {
    moved: Vec<f64>,
    multipliers: Vec<f64>,
}

impl Linearised<'_> {
    /// Minimises `½‖x‖² + ½ Σ_j τ_j (x_j - c_j)²` under the elastic rows, τ the trust weights
    /// and c the current point. With x = c τ / (1 + τ) + y / √(1 + τ) it is ½‖y‖².
    pub(crate) fn subproblem(
        &self,
        at: &Iterate,
        rows: &Rows,
        trust: f64,
        deadline: Option<Instant>,
    ) -> Result<Result<Step, SequenceStop>, RepairError> {
        let weights: Vec<f64> = self
            .coordinates
            .iter()
            .flat_map(|part| part.trust(trust))
            .collect();
        let pairs = at.x.iter().zip(&weights);
        let centre: Vec<f64> = pairs.map(|(c, tau)| c * tau / (1.0 + tau)).collect();
        let scale: Vec<f64> = weights.iter().map(|tau| 1.0 / (1.0 + tau)).collect();
        let at_centre = self.values(rows, &centre);
        let rhs: Vec<f64> = rows.rhs.iter().zip(at_centre).map(|(b, v)| b - v).collect();
        let limits = Limits {
            deadline,
            ..Limits::default()
        };
        let elasticity = (SOFTNESS * (1.0 + trust)).min(SOFTEST);
        let Minimum { moved, multipliers } =
            match self.solve(rows, &rhs, &scale, elasticity, &limits)? {
                Ok(solved) => solved,
                Err(why) => return Ok(Err(why)),
            };
        let target: Vec<f64> = centre.iter().zip(moved).map(|(c, d)| c + d).collect();
        let kept = rows.rhs.iter().zip(self.values(rows, &target));
        let violation = kept.map(|(b, v)| (b - v).max(0.0)).sum();
        let mut prices = vec![0.0; self.set.len()];
        for (&point, multiplier) in rows.points.iter().zip(&multipliers) {
            prices[point] += multiplier;
        }
        Ok(Ok(Step {
            target,
            multipliers,
            violation,
            prices,
        }))
    }

    /// Minimises over the rows with the given right-hand sides and elasticity.
    fn solve(
        &self,
        rows: &Rows,
        rhs: &[f64],
        scale: &[f64],
        elasticity: f64,
        limits: &Limits,
    ) -> Result<Result<Minimum, SequenceStop>, RepairError> {
        match &rows.form {
            Form::Written(written) => {
                let mut kernel = written::kernel(written, scale);
                let own: Vec<f64> = (0..rhs.len()).map(|r| kernel[(r, r)]).collect();
                for (r, softness) in softness(&own, elasticity).into_iter().enumerate() {
                    kernel[(r, r)] += softness;
                }
                let solution = solve_kernel(kernel, rhs, limits)?;
                Ok(multipliers(solution, limits).map(|multipliers| {
                    let mut moved = written::adjoint(written, &multipliers, scale.len());
                    moved.iter_mut().zip(scale).for_each(|(x, s)| *x *= s);
                    Minimum { moved, multipliers }
                }))
            }
            Form::Outer(outer) => self.solve_outer(outer, rhs, scale, elasticity, limits),
        }
    }

    fn solve_outer(
        &self,
        outer: &[Row],
        rhs: &[f64],
        scale: &[f64],
        elasticity: f64,
        limits: &Limits,
    ) -> Result<Result<Minimum, SequenceStop>, RepairError> {
        let Some(known) = &self.single else {
            return Ok(Err(SequenceStop::Solver("rows without inputs".into())));
        };
        let (shape, _) = self.split(&self.start);
        let (matrix, tail) = scale.split_at(self.coordinates[0].len());
        let mut inputs = Inputs::new(shape.inputs);
        for i in 0..known.len() {
            let scaled = known.get(i).iter().zip(matrix).map(|(h, s)| h * s.sqrt());
            inputs.push(scaled.collect());
        }
        let square = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>();
        let mut rows = outer.to_vec();
        for (row, &b) in rows.iter_mut().zip(rhs) {
            row.rhs = b;
            let entries = row.tail.iter_mut().zip(tail);
            entries.for_each(|(entry, s)| *entry *= s.sqrt());
        }
        let own: Vec<f64> = rows
            .iter()
            .map(|row| square(&row.sensitivity) * square(inputs.get(row.input)) + square(&row.tail))
            .collect();
        for (row, softness) in rows.iter_mut().zip(softness(&own, elasticity)) {
            row.softness = softness;
        }
        let solution = solve_rows(&shape, &inputs, &rows, None, limits)?;
        let x = match &solution {
            RowSolution::Optimal(optimum) => Some(optimum.x.clone()),
            _ => None,
        };
        Ok(multipliers(solution, limits).map(|multipliers| {
            let entries = x.iter().flat_map(|x| x.entries()).zip(scale);
            Minimum {
                moved: entries.map(|(x, s)| x * s.sqrt()).collect(),
                multipliers,
            }
        }))
    }

    /// Points that no step serves together, to first order: of those with a price, the ones
    /// without which the elastic rows could be met. Empty when they can be met, so that the
    /// network's curvature is in the way.
    ///
    /// # Errors
    /// [`RepairError::Optim`].
    pub(crate) fn conflict(
        &self,
        rows: &Rows,
        prices: &[f64],
        deadline: Option<Instant>,
    ) -> Result<Vec<usize>, RepairError> {
        let mut points: Vec<usize> = (0..prices.len()).filter(|&i| prices[i] > 0.0).collect();
        if points.len() > MOST_SHRUNK {
            return Ok(Vec::new());
        }
        points.sort_by(|&i, &j| prices[i].total_cmp(&prices[j]));
        let limits = Limits {
            deadline,
            ..Limits::default()
        };
        let all: Vec<usize> = (0..rows.rhs.len())
            .filter(|&r| points.contains(&rows.points[r]))
            .collect();
        let kernel = self.kernel(rows, &all);
        let unmet = |points: &[usize]| -> Result<bool, RepairError> {
            let of: Vec<usize> = (0..all.len())
                .filter(|&k| points.contains(&rows.points[all[k]]))
                .collect();
            let mut part = Mat::from_fn(of.len(), of.len(), |i, j| kernel[(of[i], of[j])]);
            let own: Vec<f64> = (0..of.len()).map(|k| part[(k, k)]).collect();
            let softness = softness(&own, CONFLICT_SOFTNESS);
            for (k, softness) in softness.iter().enumerate() {
                part[(k, k)] += softness;
            }
            let rhs: Vec<f64> = of.iter().map(|&k| rows.rhs[all[k]]).collect();
            let asked = rhs.iter().copied().fold(0.0, f64::max);
            let solution = solve_kernel(part, &rhs, &limits)?;
            Ok(match solution {
                RowSolution::Optimal(optimum) => {
                    let left = softness.iter().zip(&optimum.multipliers);
                    left.map(|(s, y)| s * y).fold(0.0, f64::max) > UNMET * asked
                }
                // What is not solved names nobody.
                _ => false,
            })
        };
        if !unmet(&points)? {
            return Ok(Vec::new());
        }
        for point in points.clone() {
            // What is left is a conflict too, if not the smallest.
            if deadline.is_some_and(|end| Instant::now() >= end) {
                break;
            }
            let rest: Vec<usize> = points.iter().copied().filter(|&p| p != point).collect();
            if unmet(&rest)? {
                points = rest;
            }
        }
        points.sort_unstable();
        Ok(points)
    }
}

fn multipliers(solution: RowSolution, limits: &Limits) -> Result<Vec<f64>, SequenceStop> {
    match solution {
        RowSolution::Optimal(optimum) => Ok(optimum.multipliers),
        RowSolution::Infeasible(_) => Err(SequenceStop::Solver(
            "elastic rows were called infeasible".into(),
        )),
        RowSolution::Stopped { .. } if limits.expired() => Err(SequenceStop::Time),
        RowSolution::Stopped { reason, .. } => Err(SequenceStop::Solver(reason.to_string())),
    }
}

/// The elasticity of each row, from its curvature.
fn softness(own: &[f64], elasticity: f64) -> Vec<f64> {
    let mean = own.iter().sum::<f64>() / own.len().max(1) as f64;
    // Rows that no change of the layer moves stay violated at a finite price.
    let mean = if mean > 0.0 { mean } else { 1.0 };
    own.iter().map(|own| elasticity * (own + mean)).collect()
}
