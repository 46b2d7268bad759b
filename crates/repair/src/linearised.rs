//! The repair problem, linearised wherever a sequential repair asks for it.
//!
//! Solutions lie in the span of the repair inputs, so the unknown is kept in the
//! coordinates of that span: with the whitened inputs as columns of H = U S Vᵀ,
//!
//! ```text
//! X'' = X U   (p x rank),      h''_i = S Vᵀ e_i,      Σ_i ‖(X - Y) h_i‖² = ‖(X'' - Y'') S‖²
//! ```
//!
//! Norms are kept, and the trust term is diagonal.

use std::collections::BTreeSet;
use std::time::Instant;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};
use network::{Mode, Target};
use optim::{Inputs, Limits, Row, RowSolution, Shape, Unknown, apply, solve_rows};

use crate::metric::Metric;
use crate::sequential::SequenceStop;
use crate::suffix::{PointTarget, Suffix};
use crate::{Change, RepairError, RepairSet};

/// Rows of each point that are kept even when they are not violated.
const TIGHTEST: usize = 3;
/// Elasticity of a row relative to its own curvature `‖a_r‖²` and to the mean one:
/// enough to keep dependent rows and dead points solvable.
const SOFTNESS: f64 = 1e-6;
/// Share of the largest singular value squared below which a direction is dropped.
const RANK_TOLERANCE: f64 = 1e-12;

/// A change, in coordinates and in tensors, and what it does.
#[derive(Clone)]
pub(crate) struct Iterate {
    pub(crate) x: Unknown,
    pub(crate) change: Change,
    /// Slack of every inequality beyond the safety.
    pub(crate) slacks: Vec<f64>,
}

impl Iterate {
    pub(crate) fn satisfied(&self) -> bool {
        self.slacks.iter().all(|&slack| slack >= 0.0)
    }

    /// The largest violation; 0 if there is none.
    pub(crate) fn violation(&self) -> f64 {
        self.slacks
            .iter()
            .fold(0.0, |worst, slack| f64::max(worst, -slack))
    }

    /// `½‖Δ‖² + ν Σ_r max(0, -slack_r)`
    pub(crate) fn merit(&self, penalty: f64) -> f64 {
        let violation: f64 = self.slacks.iter().map(|slack| (-slack).max(0.0)).sum();
        0.5 * self.x.norm_squared() + penalty * violation
    }
}

/// The solution of a subproblem.
pub(crate) struct Step {
    pub(crate) target: Unknown,
    pub(crate) largest_multiplier: f64,
    /// Sum of the multipliers of each point.
    pub(crate) prices: Vec<f64>,
}

/// The problem in the span of its inputs.
pub(crate) struct Linearised<'a> {
    suffix: &'a Suffix<'a>,
    metric: &'a Metric,
    set: &'a RepairSet,
    safety: f64,
    span: Span,
    shape: Shape,
    inputs: Inputs,
    /// `(point, inequality within the point)` of every inequality.
    members: Vec<(usize, usize)>,
}

impl<'a> Linearised<'a> {
    pub(crate) fn new(
        suffix: &'a Suffix<'a>,
        metric: &'a Metric,
        set: &'a RepairSet,
        safety: f64,
    ) -> Result<Self, RepairError> {
        let mut whitened = suffix.inputs().to_vec();
        metric.whiten_inputs(&mut whitened);
        let span =
            Span::new(&whitened, metric.shape().inputs).ok_or_else(|| RepairError::Metric {
                what: "Gram matrix of the repair inputs",
                layer: suffix.layer().name.clone(),
            })?;
        let members = set
            .points
            .iter()
            .enumerate()
            .flat_map(|(i, list)| (0..list.len()).map(move |r| (i, r)));
        Ok(Self {
            suffix,
            metric,
            set,
            safety,
            shape: Shape {
                inputs: span.squares.len(),
                ..metric.shape()
            },
            inputs: span.inputs(|_| 1.0),
            span,
            members: members.collect(),
        })
    }

    /// The original network.
    pub(crate) fn start(&self) -> Result<Iterate, RepairError> {
        self.iterate(Unknown::zeros(&self.shape))
    }

    /// Evaluates the real network at `x`.
    pub(crate) fn iterate(&self, x: Unknown) -> Result<Iterate, RepairError> {
        let lifted = Unknown {
            matrix: self.span.lift(&x.matrix, self.shape.outputs),
            tail: x.tail.clone(),
        };
        let change = self.metric.change(&lifted);
        let outputs = self.suffix.outputs(Some(&change), Mode::Free)?;
        let classes = outputs.len() / self.set.len();
        let slack = |&(i, r): &(usize, usize)| {
            let outputs = &outputs[i * classes..(i + 1) * classes];
            let slack = self.set.points[i][r].slack(outputs) - self.safety;
            // An overflow is the worst that a step can do.
            if slack.is_nan() {
                f64::NEG_INFINITY
            } else {
                slack
            }
        };
        Ok(Iterate {
            slacks: self.members.iter().map(slack).collect(),
            change,
            x,
        })
    }

    /// Adds the violated inequalities and the tightest of each point to `kept`.
    pub(crate) fn choose(&self, at: &Iterate, kept: &mut BTreeSet<usize>) {
        let mut first = 0;
        for inequalities in &self.set.points {
            let mut order: Vec<usize> = (first..first + inequalities.len()).collect();
            order.sort_by(|&r, &s| at.slacks[r].total_cmp(&at.slacks[s]));
            let violated = order.iter().filter(|&&r| at.slacks[r] < 0.0).count();
            kept.extend(&order[..violated.max(TIGHTEST).min(order.len())]);
            first += inequalities.len();
        }
    }

    /// The linearised rows `a_r · Δ' >= a_r · Δ - slack_r + overshoot`.
    pub(crate) fn rows(
        &self,
        at: &Iterate,
        kept: &BTreeSet<usize>,
        overshoot: f64,
    ) -> Result<Vec<Row>, RepairError> {
        let output = self.suffix.network().graph().output();
        let target = |&id: &usize| {
            let (point, inequality) = self.members[id];
            let selector = self.set.points[point][inequality].terms.clone();
            PointTarget {
                point,
                target: Target {
                    node: output,
                    selector,
                },
            }
        };
        let targets: Vec<PointTarget> = kept.iter().map(target).collect();
        let sensitivities = self
            .suffix
            .sensitivities(Some(&at.change), &targets, None)?;
        let mut rows = Vec::with_capacity(kept.len());
        for (&id, mut sensitivity) in kept.iter().zip(sensitivities) {
            self.metric.whiten(&mut sensitivity);
            rows.push(Row {
                id,
                input: self.members[id].0,
                sensitivity: sensitivity.output,
                tail: sensitivity.later,
                rhs: overshoot - at.slacks[id],
                softness: 0.0,
            });
        }
        let values = apply(&self.shape, &self.inputs, &rows, &at.x);
        rows.iter_mut()
            .zip(values)
            .for_each(|(row, value)| row.rhs += value);
        Ok(rows)
    }

    /// Minimises `½‖X‖² + ρ/2 σ⁻² Σ_i ‖(X - X_c) h_i‖²` under the rows. Coordinate j
    /// of the span weighs 1 + τ_j with τ_j = ρ s_j² / σ², σ² the mean of s², so with
    /// X = c + Y diag(1 + τ)^(-1/2), c = X_c diag(τ / (1 + τ)), it is ½‖Y‖².
    pub(crate) fn subproblem(
        &self,
        at: &Iterate,
        mut rows: Vec<Row>,
        trust: f64,
        deadline: Option<Instant>,
    ) -> Result<Result<Step, SequenceStop>, RepairError> {
        let weights = self.span.trust(trust);
        let tail_weight = trust;
        let mut centre = at.x.clone();
        for (entry, &tau) in centre.matrix.iter_mut().zip(weights.iter().cycle()) {
            *entry *= tau / (1.0 + tau);
        }
        centre
            .tail
            .iter_mut()
            .for_each(|entry| *entry *= tail_weight / (1.0 + tail_weight));
        let at_centre = apply(&self.shape, &self.inputs, &rows, &centre);
        let inputs = self.span.inputs(|j| 1.0 / (1.0 + weights[j]).sqrt());
        for (row, value) in rows.iter_mut().zip(at_centre) {
            row.rhs -= value;
            row.tail
                .iter_mut()
                .for_each(|entry| *entry /= (1.0 + tail_weight).sqrt());
        }
        soften(&mut rows, &inputs);
        let limits = Limits {
            deadline,
            ..Limits::default()
        };
        let solution = match solve_rows(&self.shape, &inputs, &rows, None, &limits)? {
            RowSolution::Optimal(solution) => solution,
            RowSolution::Infeasible(_) => {
                return Ok(Err(SequenceStop::Solver(
                    "elastic rows were called infeasible".into(),
                )));
            }
            RowSolution::Stopped { .. } if limits.expired() => return Ok(Err(SequenceStop::Time)),
            RowSolution::Stopped { reason, .. } => {
                return Ok(Err(SequenceStop::Solver(format!("{reason:?}"))));
            }
        };
        let mut target = solution.x;
        for (entry, &tau) in target.matrix.iter_mut().zip(weights.iter().cycle()) {
            *entry /= (1.0 + tau).sqrt();
        }
        target
            .tail
            .iter_mut()
            .for_each(|entry| *entry /= (1.0 + tail_weight).sqrt());
        target.add_scaled(1.0, &centre);
        let mut prices = vec![0.0; self.set.len()];
        for (row, multiplier) in rows.iter().zip(&solution.multipliers) {
            prices[row.input] += multiplier;
        }
        Ok(Ok(Step {
            target,
            largest_multiplier: solution.multipliers.iter().copied().fold(0.0, f64::max),
            prices,
        }))
    }
}

/// Makes every row slightly elastic.
fn soften(rows: &mut [Row], inputs: &Inputs) {
    let square = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>();
    let curvature: Vec<f64> = rows
        .iter()
        .map(|row| square(&row.sensitivity) * square(inputs.get(row.input)) + square(&row.tail))
        .collect();
    let mean = curvature.iter().sum::<f64>() / curvature.len().max(1) as f64;
    // Rows that no change of the layer moves stay violated at a finite price.
    let mean = if mean > 0.0 { mean } else { 1.0 };
    for (row, own) in rows.iter_mut().zip(curvature) {
        row.softness = SOFTNESS * (own + mean);
    }
}

/// The span of the whitened inputs.
struct Span {
    /// s_j², in the order of the coordinates.
    squares: Vec<f64>,
    /// h''_i, points x rank.
    points: Vec<f64>,
    /// Uᵀ, rank x width.
    basis: Mat<f64>,
    count: usize,
}

impl Span {
    /// `None` when the eigenvalues do not converge.
    fn new(inputs: &[f64], width: usize) -> Option<Self> {
        let count = inputs.len() / width;
        let rows = MatRef::from_row_major_slice(inputs, count, width);
        // The smaller of H Hᵀ and Hᵀ H gives the singular values.
        let small = count <= width;
        let gram = if small {
            product(rows, rows.transpose())
        } else {
            product(rows.transpose(), rows)
        };
        let eigen = gram.self_adjoint_eigen(Side::Lower).ok()?;
        let values: Vec<f64> = eigen.S().column_vector().iter().copied().collect();
        let largest = values.iter().copied().fold(0.0, f64::max);
        let kept: Vec<usize> = (0..values.len())
            .filter(|&j| values[j] > RANK_TOLERANCE * largest)
            .collect();
        let chosen = Mat::from_fn(values.len(), kept.len(), |i, j| eigen.U()[(i, kept[j])]);
        let squares: Vec<f64> = kept.iter().map(|&j| values[j]).collect();
        let mut basis = if small {
            product(chosen.transpose(), rows)
        } else {
            chosen.transpose().to_owned()
        };
        if small {
            for (j, square) in squares.iter().enumerate() {
                let scale = 1.0 / square.sqrt();
                basis
                    .row_mut(j)
                    .iter_mut()
                    .for_each(|entry| *entry *= scale);
            }
        }
        let coordinates = product(rows, basis.transpose());
        let points = (0..count)
            .flat_map(|i| coordinates.row(i).iter().copied().collect::<Vec<_>>())
            .collect();
        Some(Self {
            squares,
            points,
            basis,
            count,
        })
    }

    /// τ_j = ρ s_j² / σ².
    fn trust(&self, weight: f64) -> Vec<f64> {
        let mean = self.squares.iter().sum::<f64>() / self.squares.len().max(1) as f64;
        self.squares
            .iter()
            .map(|square| weight * square / mean)
            .collect()
    }

    /// The inputs with coordinate j scaled.
    fn inputs(&self, scale: impl Fn(usize) -> f64) -> Inputs {
        let rank = self.squares.len();
        let scales: Vec<f64> = (0..rank).map(scale).collect();
        let mut inputs = Inputs::new(rank);
        for i in 0..self.count {
            let row = &self.points[i * rank..(i + 1) * rank];
            inputs.push(row.iter().zip(&scales).map(|(h, s)| h * s).collect());
        }
        inputs
    }

    /// X = X'' Uᵀ, p x width.
    fn lift(&self, coordinates: &[f64], outputs: usize) -> Vec<f64> {
        let (rank, width) = (self.basis.nrows(), self.basis.ncols());
        let mut lifted = vec![0.0; outputs * width];
        matmul(
            MatMut::from_row_major_slice_mut(&mut lifted, outputs, width),
            Accum::Replace,
            MatRef::from_row_major_slice(coordinates, outputs, rank),
            self.basis.as_ref(),
            1.0,
            Par::Seq,
        );
        lifted
    }
}

fn product(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let mut result = Mat::zeros(left.nrows(), right.ncols());
    matmul(result.as_mut(), Accum::Replace, left, right, 1.0, Par::Seq);
    result
}
