//! The frozen-pattern problem written out in full, as one sparse program.
//!
//! Every value behind the start layer is a variable:
//!
//! ```text
//! z_i = z_i(0) + ΔW h_i + Δb;     v = W_l (slope ∘ u) + b_l + Δb_l
//! ```
//!
//! Pattern rows become bounds on these variables. It serves the `aprnn`
//! objective, which has no factored form, and is the reference against which the
//! lazily generated problem is checked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use network::{Mode, NodeId, Op, Pattern};
use optim::lp::{
    BYTES_PER_NONZERO, Clarabel, ConvexProgram, LinearProgram, LpOutcome, LpSolver, LpStop,
};

use crate::frozen::Safety;
use crate::suffix::{State, Suffix};
use crate::units::Units;
use crate::{Change, Objective, RepairError, RepairSet};

/// The program and where Δ is in it.
pub struct FullProgram {
    program: ConvexProgram,
    /// The variables of every tensor that may change.
    tensors: Vec<(String, Vec<usize>)>,
}

/// The answer of the solver.
#[derive(Clone, Debug)]
pub enum FullOutcome {
    /// The optimal change, the objective's value and the largest violation of a row.
    Optimal(Change, f64, f64),
    /// No change satisfies the rows.
    Infeasible,
    /// The solver stopped, with its reason.
    Stopped(LpStop),
}

impl FullProgram {
    /// Bytes that solving the program takes, known before it is written: every number that the
    /// points' layers read is an entry of its matrix.
    pub fn estimated_bytes(suffix: &Suffix<'_>, set: &RepairSet) -> usize {
        let first = suffix.layer().index;
        let layers = suffix.network().layers()[first..].iter();
        let reads = layers.map(|layer| layer.outputs.saturating_mul(layer.inputs + 2));
        let of_point = reads.fold(0_usize, usize::saturating_add);
        let entries = set.len().saturating_mul(of_point);
        entries.saturating_mul(BYTES_PER_NONZERO)
    }

    /// Writes the problem out; `None` if the deadline passes before it is written.
    ///
    /// # Errors
    /// [`RepairError::Unsupported`] for a graph that is no chain behind the start
    /// layer; [`RepairError::Option`] for the guarded objective;
    /// [`network::NetworkError::NoLinearPiece`].
    pub fn new(
        suffix: &Suffix<'_>,
        set: &RepairSet,
        objective: Objective,
        safety: Safety,
        box_bound: Option<f64>,
        deadline: Option<Instant>,
    ) -> Result<Option<Self>, RepairError> {
        let state = suffix.at(None)?;
        let pattern = suffix.pattern(&state)?;
        let units = Units::new(suffix, &state, &pattern, set, std::iter::once(0..set.len()))?;
        let kept = units.specification * safety.specification;
        let bound = box_bound.unwrap_or(f64::INFINITY);
        let mut writer = Writer::new(suffix, &state, &pattern, safety, bound)?;
        (writer.units, writer.deadline) = (units, deadline);
        let Some(outputs) = writer.values()? else {
            return Ok(None);
        };
        let original = suffix.outputs(&state, Mode::Frozen(&pattern))?;
        let classes = original.len() / set.len();
        for (i, inequalities) in set.points.iter().enumerate() {
            for inequality in inequalities {
                let terms = inequality
                    .terms
                    .iter()
                    .map(|&(c, a)| (outputs[i][c].0, a * outputs[i][c].1));
                writer.linear.at_least(terms, inequality.bound + kept);
            }
        }
        let entries: Vec<usize> = writer.entries().collect();
        let mut quadratic = Vec::new();
        match objective {
            Objective::L2 => quadratic.extend(entries.iter().map(|&j| (j, j, 1.0))),
            Objective::L1 => writer.sum_of_magnitudes(&entries, 1.0),
            Objective::LInf => writer.largest_magnitude(&entries),
            Objective::L1PlusLInf => {
                writer.sum_of_magnitudes(&entries, 1.0 / entries.len() as f64);
                writer.largest_magnitude(&entries);
            }
            Objective::Aprnn => {
                let mut all = entries;
                for (i, point) in outputs.iter().enumerate() {
                    for (c, &(variable, scale)) in point.iter().enumerate() {
                        all.push(writer.difference(variable, scale, original[i * classes + c]));
                    }
                }
                writer.sum_of_magnitudes(&all, 1.0 / all.len() as f64);
                writer.largest_magnitude(&all);
            }
            Objective::Guarded => {
                return Err(RepairError::Option {
                    option: "objective",
                    expected: "one with a sparse form".into(),
                    got: objective.to_string(),
                });
            }
        }
        let tensors = writer.tensors();
        Ok(Some(Self {
            program: ConvexProgram {
                linear: writer.linear,
                quadratic,
            },
            tensors,
        }))
    }

    /// Rows, variables and non-zeros.
    pub fn size(&self) -> (usize, usize, usize) {
        let linear = &self.program.linear;
        (linear.rows(), linear.variables(), linear.nonzeros())
    }

    /// Solves it with the interior-point solver.
    ///
    /// # Errors
    /// [`RepairError::Optim`].
    pub fn solve(&self, limit: Option<Duration>) -> Result<FullOutcome, RepairError> {
        let outcome = if self.program.quadratic.is_empty() {
            Clarabel.solve(&self.program.linear, limit)?
        } else {
            self.program.solve(limit)?
        };
        Ok(match outcome {
            LpOutcome::Optimal(solution) => {
                let mut change = Change::default();
                for (name, variables) in &self.tensors {
                    change.set(name, variables.iter().map(|&j| solution.x[j]).collect());
                }
                FullOutcome::Optimal(change, solution.objective, solution.violation)
            }
            LpOutcome::Infeasible => FullOutcome::Infeasible,
            LpOutcome::Stopped(stop) => FullOutcome::Stopped(stop),
            // Every objective is bounded below by zero.
            LpOutcome::Unbounded => FullOutcome::Stopped(LpStop::Numerical("unbounded".into())),
        })
    }
}

/// A value of one point as `scale · variable`.
type Scaled = (usize, f64);

struct Writer<'a> {
    suffix: &'a Suffix<'a>,
    pattern: &'a Pattern,
    safety: Safety,
    units: Units,
    deadline: Option<Instant>,
    /// `[h_i; 1]`, points x (m + 1).
    inputs: Vec<f64>,
    /// The start layer's outputs at the original weights, points x p.
    start: Vec<f64>,
    linear: LinearProgram,
    weight: Vec<usize>,
    bias: Vec<usize>,
    later: Vec<Vec<usize>>,
}

impl<'a> Writer<'a> {
    fn new(
        suffix: &'a Suffix<'a>,
        state: &State,
        pattern: &'a Pattern,
        safety: Safety,
        bound: f64,
    ) -> Result<Self, RepairError> {
        let unsupported = || RepairError::Unsupported {
            node: suffix.layer().name.clone(),
            op: suffix.layer().kind.name().to_owned(),
            encoding: "full",
        };
        if !suffix.has_single_positions() || suffix.layer().bias.is_none() {
            return Err(unsupported());
        }
        let mut inputs = Vec::new();
        for point in 0..suffix.points() {
            let features = suffix.features(state, point)?;
            inputs.extend(features[0].group(0).row(0).iter());
        }
        let start = suffix.layer().node;
        let mut values = suffix.evaluate(state, None, Mode::Free, &[start])?;
        let mut linear = LinearProgram::new();
        let mut variables = |count: usize| {
            (0..count)
                .map(|_| linear.variable(0.0, -bound, bound))
                .collect()
        };
        let layer = suffix.layer();
        let (weight, bias) = (
            variables(layer.outputs * layer.inputs),
            variables(layer.outputs),
        );
        let later = suffix.layers()[1..]
            .iter()
            .map(|affine| variables(affine.layer().outputs))
            .collect();
        Ok(Self {
            suffix,
            pattern,
            safety,
            units: Units::default(),
            deadline: None,
            inputs,
            start: values.remove(&start).unwrap_or_default(),
            linear,
            weight,
            bias,
            later,
        })
    }

    /// The variables of every tensor that may change.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let layer = self.suffix.layer();
        let biases = self.suffix.layers()[1..].iter().zip(&self.later);
        let biases = biases.filter_map(|(affine, at)| {
            let bias = affine.layer().bias.as_ref()?;
            Some((bias.clone(), at.clone()))
        });
        let own = layer
            .bias
            .iter()
            .map(|bias| (bias.clone(), self.bias.clone()));
        let weight = (layer.weight.clone(), self.weight.clone());
        [weight].into_iter().chain(own).chain(biases).collect()
    }

    fn entries(&self) -> impl Iterator<Item = usize> + '_ {
        let later = self.later.iter().flatten();
        self.weight.iter().chain(&self.bias).chain(later).copied()
    }

    fn expired(&self) -> bool {
        self.deadline.is_some_and(|end| Instant::now() >= end)
    }

    /// Walks the graph behind the start layer; returns the outputs of each point, `None` if the
    /// deadline passes on the way.
    fn values(&mut self) -> Result<Option<Vec<Vec<Scaled>>>, RepairError> {
        let network = self.suffix.network();
        let start = self.suffix.layer().node;
        let points = self.suffix.points();
        let mut values: BTreeMap<NodeId, Vec<Vec<Scaled>>> = BTreeMap::new();
        let mut first = Vec::with_capacity(points);
        for point in 0..points {
            if self.expired() {
                return Ok(None);
            }
            first.push(self.start_layer(point));
        }
        values.insert(start, first);
        for (id, node) in network.graph().nodes().iter().enumerate().skip(start + 1) {
            let unsupported = || RepairError::Unsupported {
                node: node.name.clone(),
                op: node.op.name().to_owned(),
                encoding: "full",
            };
            let source = values.get(&node.sources[0]).ok_or_else(unsupported)?;
            let value = match &node.op {
                Op::Activation(_) => {
                    let pieces = &self.pattern.pieces()[&id];
                    let width = pieces.len() / points;
                    let scaled = |i: usize, u: usize, (variable, scale): Scaled| {
                        (variable, scale * pieces[i * width + u].slope)
                    };
                    let point = |(i, point): (usize, &Vec<Scaled>)| {
                        point
                            .iter()
                            .enumerate()
                            .map(|(u, &value)| scaled(i, u, value))
                            .collect()
                    };
                    source.iter().enumerate().map(point).collect()
                }
                Op::Linear(op) => {
                    let weight = network.tensor(&op.weight)?;
                    let bias = op.bias.as_ref().ok_or_else(unsupported)?;
                    let bias = network.tensor(bias)?;
                    let offset = self.suffix.layers()[1..]
                        .iter()
                        .position(|affine| affine.layer().node == id);
                    let source = source.clone();
                    let mut outputs = Vec::with_capacity(points);
                    for (i, source) in source.iter().enumerate() {
                        if self.expired() {
                            return Ok(None);
                        }
                        outputs.push(self.linear_layer(id, i, source, &weight, &bias, offset));
                    }
                    outputs
                }
                _ => return Err(unsupported()),
            };
            values.insert(id, value);
        }
        let outputs = values.remove(&network.graph().output());
        outputs.map(Some).ok_or_else(|| RepairError::Shape {
            what: "output nodes",
            expected: 1,
            got: 0,
        })
    }

    fn start_layer(&mut self, i: usize) -> Vec<Scaled> {
        let layer = self.suffix.layer();
        let (p, m) = (layer.outputs, layer.inputs);
        let h = self.inputs[i * (m + 1)..i * (m + 1) + m].to_vec();
        (0..p)
            .map(|u| {
                let z = self.pattern_variable(layer.node, i, u, p);
                let moved = (0..m)
                    .filter(|&j| h[j] != 0.0)
                    .map(|j| (self.weight[u * m + j], -h[j]));
                let terms: Vec<Scaled> = moved.chain([(self.bias[u], -1.0), (z, 1.0)]).collect();
                self.linear.equal(terms, self.start[i * p + u]);
                (z, 1.0)
            })
            .collect()
    }

    fn linear_layer(
        &mut self,
        id: NodeId,
        i: usize,
        source: &[Scaled],
        weight: &[f64],
        bias: &[f64],
        offset: Option<usize>,
    ) -> Vec<Scaled> {
        let m = source.len();
        (0..bias.len())
            .map(|u| {
                let v = self.pattern_variable(id, i, u, bias.len());
                let row = weight[u * m..(u + 1) * m].iter().zip(source);
                let read = row
                    .filter(|(_, (_, scale))| *scale != 0.0)
                    .map(|(w, &(j, scale))| (j, -w * scale));
                let moved = offset.map(|l| (self.later[l][u], -1.0));
                let terms: Vec<Scaled> = read.chain(moved).chain([(v, 1.0)]).collect();
                self.linear.equal(terms, bias[u]);
                (v, 1.0)
            })
            .collect()
    }

    /// A variable for unit `u` of node `id` at point `i`, bounded by its frozen piece.
    fn pattern_variable(&mut self, id: NodeId, i: usize, u: usize, width: usize) -> usize {
        let nodes = self.suffix.network().graph().nodes();
        let reads = |activation: &NodeId| nodes[*activation].sources[0] == id;
        let (mut lower, mut upper) = (f64::NEG_INFINITY, f64::INFINITY);
        for (activation, pieces) in self
            .pattern
            .pieces()
            .iter()
            .filter(|(activation, _)| reads(activation))
        {
            let piece = pieces[i * width + u];
            let unit = self
                .units
                .signs
                .get(activation)
                .map_or(1.0, |units| units[u]);
            let end = piece.bound + self.safety.sign * unit;
            if piece.side > 0.0 {
                lower = lower.max(end);
            } else {
                upper = upper.min(-end);
            }
        }
        self.linear.variable(0.0, lower, upper)
    }

    /// A variable equal to `scale · variable - value`.
    fn difference(&mut self, variable: usize, scale: f64, value: f64) -> usize {
        let difference = self.linear.variable(0.0, f64::NEG_INFINITY, f64::INFINITY);
        self.linear
            .equal([(variable, scale), (difference, -1.0)], value);
        difference
    }

    /// Adds `cost · Σ |x_j|`.
    fn sum_of_magnitudes(&mut self, variables: &[usize], cost: f64) {
        for &j in variables {
            let magnitude = self.linear.variable(cost, 0.0, f64::INFINITY);
            self.bound_magnitude(j, magnitude);
        }
    }

    /// Adds `max |x_j|`.
    fn largest_magnitude(&mut self, variables: &[usize]) {
        let largest = self.linear.variable(1.0, 0.0, f64::INFINITY);
        for &j in variables {
            self.bound_magnitude(j, largest);
        }
    }

    fn bound_magnitude(&mut self, j: usize, magnitude: usize) {
        self.linear.at_least([(magnitude, 1.0), (j, -1.0)], 0.0);
        self.linear.at_least([(magnitude, 1.0), (j, 1.0)], 0.0);
    }
}
