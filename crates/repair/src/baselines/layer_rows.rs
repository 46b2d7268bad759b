//! Specification rows that are affine in the change of one layer, and the edit that satisfies
//! them.
//!
//! With the linear piece of every activation behind the layer fixed at each point, as the
//! original weights choose it,
//!
//! ```text
//! y_c(x_i; Δ) = y_c(x_i; 0) + Σ_t δ_{i,c,t}ᵀ Δ h̃_{i,t}
//! ```
//!
//! holds for every Δ, and an inequality `Σ_c a_c y_c >= bound` is the row `Σ_c a_c δ_{i,c} ⊗ h̃_i`.
//! Only the rows of classes that compete are written down: all of them are evaluated by one
//! frozen forward pass, and the most violated ones of each point join the problem.

use std::collections::BTreeMap;
use std::time::Instant;

use network::{Cut, Layer, Mode, ModelError, NetworkError, Pattern, Precision, Target, Value};
use optim::error::BoxError;
use optim::lp::Clarabel;
use optim::{
    Constraints, Inputs, Limits, Multiplier, Quota, Row, Separation, Shape, Solution, Unknown,
    minimise_l2, minimise_norm,
};

use super::pointwise::Pointwise;
use super::{BaselineOutcome, BaselineRepair, BaselineStop, BaselineTask, Measured, Predictor};
use crate::{Objective, RepairError, StopReason};

/// How a layer is edited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edit {
    /// The norm of the change that is minimised.
    pub(super) objective: Objective,
    /// Rows that one point may add in one round.
    pub(super) competitors: usize,
}

/// Attempts to outrun the rounding of the weights by a larger safety.
const ATTEMPTS: usize = 4;

/// How far beyond their bounds specifications are pushed, and how exactly rows are solved, by
/// the precision in which they are evaluated.
fn tolerances(precision: Precision) -> (f64, f64) {
    match precision {
        Precision::F64 => (1e-4, 1e-7),
        Precision::F32 => (5e-4, 1e-4),
    }
}

impl Edit {
    /// The smallest change of `layer` under which every specification holds on the network that
    /// `predictor` makes of the edited file.
    ///
    /// # Errors
    /// [`RepairError`] as [`Baseline::run`](super::Baseline::run).
    pub(super) fn run(
        self,
        task: &BaselineTask<'_>,
        layer: &Layer,
        predictor: impl Fn(network::Model) -> Result<Predictor, RepairError>,
    ) -> Result<BaselineOutcome, RepairError> {
        let start = Instant::now();
        self.check()?;
        task.set.validate(task.network, task.network.classes())?;
        let stopped = |reason, best| BaselineOutcome::Stopped {
            reason: BaselineStop::Repair(reason),
            best,
            seconds: start.elapsed().as_secs_f64(),
        };
        let (mut safety, tolerance) = tolerances(task.network.precision());
        let mut rows = match LayerRows::new(task, layer) {
            Err(RepairError::Network(error @ NetworkError::NoLinearPiece { .. })) => {
                return Ok(stopped(StopReason::NoLinearPiece(error.to_string()), None));
            }
            rows => rows?,
        };
        let limits = Limits {
            tolerance,
            deadline: task.time_limit.and_then(|limit| start.checked_add(limit)),
            quota: Quota {
                per_input: self.competitors,
                ..Limits::default().quota
            },
            ..Limits::default()
        };
        let (mut worst_slack, mut best) = (f64::NAN, None);
        for _ in 0..ATTEMPTS {
            rows.safety = safety;
            let (x, size, reason) = match self.minimise(&mut rows, &limits)? {
                Solution::Optimal(optimum) => {
                    let rows = [optimum.rows_used, optimum.rows_total];
                    (optimum.x, (rows, optimum.rounds), None)
                }
                // Only what is infeasible without the safety is infeasible.
                Solution::Infeasible(_) if safety > 0.0 => {
                    safety = 0.0;
                    continue;
                }
                Solution::Infeasible(proof) => {
                    return Ok(BaselineOutcome::Infeasible {
                        points: named(&proof.multipliers),
                        radius: proof.radius(),
                        seconds: start.elapsed().as_secs_f64(),
                    });
                }
                Solution::Stopped(stop) => {
                    let reason = stop_reason(&stop.reason, task);
                    let Some(x) = stop.best else {
                        return Ok(stopped(reason, best));
                    };
                    let rows = [stop.rows_used, stop.rows_total];
                    (x, (rows, stop.rounds), Some(reason))
                }
            };
            let edited = rows.layer.edited(task.checkpoint, &x.matrix)?;
            let checkpoint = match task.checkpoint.with_tensors(&edited) {
                Err(ModelError::NotFinite { .. }) => {
                    return Ok(stopped(StopReason::Overflow, best));
                }
                checkpoint => checkpoint?,
            };
            let inputs = task.network.batch_of(&task.set.inputs, &task.set.shape)?;
            let measured = Measured::new(predictor(checkpoint)?, inputs, task.set)?;
            let holds = measured.holds();
            worst_slack = measured.least_slack;
            let repair = Box::new(BaselineRepair {
                rows: size.0,
                rounds: size.1,
                objective: self.value(&rows.shape(), &x),
                ..measured.repair(start)
            });
            match reason {
                _ if holds => return Ok(BaselineOutcome::Repaired(repair)),
                Some(reason) => return Ok(stopped(reason, Some(repair))),
                None if safety == 0.0 => {
                    return Ok(stopped(StopReason::Rounding { worst_slack }, Some(repair)));
                }
                None => best = Some(repair),
            }
            // What is missing, doubled, is what the next attempt adds.
            safety += (-2.0 * worst_slack).max(safety);
        }
        Ok(stopped(StopReason::Rounding { worst_slack }, best))
    }

    fn check(self) -> Result<(), RepairError> {
        let wrong = |option, expected: &str, got: String| {
            Err(RepairError::Option {
                option,
                expected: expected.to_owned(),
                got,
            })
        };
        if matches!(self.objective, Objective::Guarded | Objective::Aprnn) {
            let got = self.objective.to_string();
            return wrong("objective", "one of l2, l1, linf, l1+linf", got);
        }
        if self.competitors == 0 {
            return wrong("competitors", "at least 1", "0".into());
        }
        Ok(())
    }

    fn minimise(self, rows: &mut LayerRows<'_>, limits: &Limits) -> Result<Solution, RepairError> {
        Ok(match self.objective.norm() {
            Some(norm) => minimise_norm(norm, rows, &Clarabel, limits)?,
            None => minimise_l2(rows, limits)?,
        })
    }

    /// The norm of a change.
    fn value(self, shape: &Shape, x: &Unknown) -> f64 {
        match self.objective.norm() {
            Some(norm) => norm.value(shape, x),
            None => x.norm_l2(),
        }
    }
}

/// The points that a proof names, in ascending order.
fn named(multipliers: &[Multiplier]) -> Vec<usize> {
    let mut points: Vec<usize> = multipliers.iter().map(|one| one.input).collect();
    points.sort_unstable();
    points.dedup();
    points
}

fn stop_reason(reason: &optim::StopReason, task: &BaselineTask<'_>) -> StopReason {
    match reason {
        optim::StopReason::Time => StopReason::Time(task.time_limit.unwrap_or_default()),
        other => StopReason::Solver(format!("{other:?}")),
    }
}

/// All specification rows of a repair set at one layer.
struct LayerRows<'a> {
    task: &'a BaselineTask<'a>,
    layer: Pointwise,
    cut: Cut,
    pattern: Pattern,
    /// W̃ of the original, p x width.
    matrix: Vec<f64>,
    /// h̃ of every point and position.
    flat: Vec<f64>,
    inputs: Inputs,
    /// Outputs of the original, points x classes.
    outputs: Vec<f64>,
    /// Identifier of each point's first row.
    first: Vec<usize>,
    safety: f64,
}

impl<'a> LayerRows<'a> {
    fn new(task: &'a BaselineTask<'a>, layer: &Layer) -> Result<Self, RepairError> {
        let network = task.network;
        let layer = Pointwise::new(network, layer)?;
        let cut = network.run_until(
            layer.layer(),
            network.batch_of(&task.set.inputs, &task.set.shape)?,
        )?;
        let (matrix, flat) = (layer.matrix(network)?, layer.inputs(&cut.input)?);
        let z = layer.outputs(network, &matrix, &flat, &cut.input)?;
        let mut inputs = Inputs::new(layer.width());
        for point in flat.chunks_exact(flat.len() / task.set.len()) {
            inputs.push(point.to_vec());
        }
        let mut first = Vec::with_capacity(task.set.len());
        let mut rows = 0;
        for inequalities in &task.set.points {
            first.push(rows);
            rows += inequalities.len();
        }
        let mut rows = Self {
            pattern: network.pattern(&cut, z)?,
            task,
            layer,
            cut,
            matrix,
            flat,
            inputs,
            outputs: Vec::new(),
            first,
            safety: 0.0,
        };
        rows.outputs = rows.outputs_at(&Unknown::zeros(&rows.shape()))?;
        Ok(rows)
    }

    /// z after a change.
    fn changed(&self, x: &Unknown) -> Result<Value, RepairError> {
        let matrix: Vec<f64> = self
            .matrix
            .iter()
            .zip(&x.matrix)
            .map(|(w, d)| w + d)
            .collect();
        self.layer
            .outputs(self.task.network, &matrix, &self.flat, &self.cut.input)
    }

    /// The outputs y after a change, points x classes.
    fn outputs_at(&self, x: &Unknown) -> Result<Vec<f64>, RepairError> {
        let network = self.task.network;
        let output = network.graph().output();
        let mode = Mode::Frozen(&self.pattern);
        let none = BTreeMap::new();
        let values = network.resume_with(&self.cut, self.changed(x)?, &none, mode, &[output])?;
        Ok(values[&output].to_vec()?)
    }

    /// The rows of `(point, inequality)` pairs.
    fn rows(&self, chosen: &[(usize, usize)]) -> Result<Vec<Row>, RepairError> {
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        let network = self.task.network;
        let set = self.task.set;
        let points: Vec<usize> = chosen.iter().map(|&(i, _)| i).collect();
        let targets: Vec<Target> = chosen
            .iter()
            .map(|&(i, r)| Target {
                node: network.graph().output(),
                selector: set.points[i][r].terms.clone(),
            })
            .collect();
        let pattern = self.pattern.select(&points);
        let z = self.changed(&Unknown::zeros(&self.shape()))?;
        let (delta, _) = network.sensitivities_behind(
            &self.cut.select(&points),
            z.select(&points),
            &BTreeMap::new(),
            &targets,
            &[],
            Mode::Frozen(&pattern),
        )?;
        let classes = self.outputs.len() / set.len();
        let rows = chosen.iter().zip(self.layer.sensitivities(&delta)?);
        Ok(rows
            .map(|(&(i, r), sensitivity)| Row {
                id: self.first[i] + r,
                input: i,
                sensitivity,
                tail: Vec::new(),
                rhs: self.safety - set.points[i][r].slack(&self.outputs[i * classes..]),
                softness: 0.0,
            })
            .collect())
    }

    fn most_violated(&self, x: &Unknown, quota: &Quota) -> Result<Separation, RepairError> {
        let outputs = self.outputs_at(x)?;
        let set = self.task.set;
        let classes = outputs.len() / set.len();
        let (mut worst, mut violated, mut found) = (f64::NEG_INFINITY, 0, Vec::new());
        for (i, inequalities) in set.points.iter().enumerate() {
            let outputs = &outputs[i * classes..(i + 1) * classes];
            let violation = |r: usize| self.safety - inequalities[r].slack(outputs);
            let mut rows: Vec<(f64, (usize, usize))> = (0..inequalities.len())
                .map(|r| (violation(r), (i, r)))
                .collect();
            rows.sort_by(|a, b| b.0.total_cmp(&a.0));
            worst = rows.first().map_or(worst, |row| worst.max(row.0));
            rows.retain(|row| row.0 > 0.0);
            violated += rows.len();
            found.extend(rows.into_iter().take(quota.per_input));
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.truncate(quota.total);
        let chosen: Vec<(usize, usize)> = found.into_iter().map(|(_, row)| row).collect();
        Ok(Separation {
            worst,
            violated,
            rows: self.rows(&chosen)?,
        })
    }
}

impl Constraints for LayerRows<'_> {
    fn shape(&self) -> Shape {
        Shape {
            outputs: self.layer.layer().outputs,
            inputs: self.layer.width(),
            tail: 0,
        }
    }

    fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    fn total(&self) -> usize {
        self.task.set.inequalities()
    }

    fn separate(&mut self, x: &Unknown, quota: &Quota) -> Result<Separation, BoxError> {
        Ok(self.most_violated(x, quota)?)
    }
}
