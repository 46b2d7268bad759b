//! The repair problem, linearised wherever a sequential repair asks for it.
//!
//! The unknown x is kept in [`Coordinates`], in which the objective is ½‖x‖² and the trust term
//! is diagonal. Rows are outer products where every point has one feature vector
//! ([`Suffix::has_single_positions`]) and written out elsewhere ([`WrittenRow`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use network::{Mode, Surrogate, Target};
use optim::{Inputs, Limits, Row, RowSolution, Shape, Unknown, apply, solve_kernel, solve_rows};
use rayon::prelude::*;

use crate::coordinates::{Coordinates, Prepared};
use crate::metric::Metric;
use crate::sequential::SequenceStop;
use crate::suffix::{PointTarget, State, Suffix};
use crate::written::{self, WrittenRow};
use crate::{Change, RepairError, RepairSet};

/// Rows of each point that are kept even when they are not violated.
const TIGHTEST: usize = 3;
/// Violated rows of each point that are taken at once, the worst first: beyond them, other
/// classes are out of reach until these are solved.
const REACH: usize = 12;
/// Elasticity of a row relative to its own curvature `‖a_r‖²` and to the mean one:
/// enough to keep dependent rows and dead points solvable.
const SOFTNESS: f64 = 1e-6;
/// Numbers of sensitivities that are held at once.
const NUMBERS: usize = 1 << 25;
/// Share of the memory that written rows may take; the rest is for sensitivities and kernel.
const ROW_SHARE: f64 = 0.5;

/// A change, in coordinates and in tensors, and what it does.
#[derive(Clone)]
pub(crate) struct Iterate {
    pub(crate) x: Vec<f64>,
    pub(crate) change: Change,
    state: State,
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

    /// ‖x‖²
    pub(crate) fn norm_squared(&self) -> f64 {
        self.x.iter().map(|x| x * x).sum()
    }

    /// `½‖Δ‖² + ν Σ_r max(0, -slack_r)`
    pub(crate) fn merit(&self, penalty: f64) -> f64 {
        let violation: f64 = self.slacks.iter().map(|slack| (-slack).max(0.0)).sum();
        0.5 * self.norm_squared() + penalty * violation
    }
}

/// The solution of a subproblem.
pub(crate) struct Step {
    pub(crate) target: Vec<f64>,
    /// One multiplier per row.
    pub(crate) multipliers: Vec<f64>,
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

/// Linearised rows `a_r · x >= rhs_r`.
pub(crate) struct Rows {
    form: Form,
    /// The point of each row.
    points: Vec<usize>,
    pub(crate) rhs: Vec<f64>,
}

enum Form {
    Outer(Vec<Row>),
    Written(Vec<WrittenRow>),
}

/// The problem in its coordinates.
pub(crate) struct Linearised<'a> {
    suffix: &'a Suffix<'a>,
    set: &'a RepairSet,
    safety: f64,
    max_memory: usize,
    coordinates: Vec<Coordinates>,
    /// The features of each point where rows are outer products.
    single: Option<Inputs>,
    /// Whether output c of the network depends on channel c of the only edited layer alone.
    channelwise: bool,
    /// What of the starting change the coordinates cannot express.
    base: Change,
    start: Vec<f64>,
    /// `(point, inequality within the point)` of every inequality.
    members: Vec<(usize, usize)>,
}

/// How a problem is to be linearised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    /// How far beyond its bound each inequality is pushed.
    pub(crate) safety: f64,
    /// Bytes that rows may take.
    pub(crate) max_memory: usize,
    /// Weights that are zero stay zero.
    pub(crate) keep_zeros: bool,
    /// The change to start from.
    pub(crate) start: Option<&'a Change>,
}

impl<'a> Linearised<'a> {
    pub(crate) fn new(
        suffix: &'a Suffix<'a>,
        metric: &Metric,
        set: &'a RepairSet,
        settings: Settings<'_>,
    ) -> Result<Self, RepairError> {
        let coordinates = coordinates(suffix, metric, settings.keep_zeros)?;
        let members = set
            .points
            .iter()
            .enumerate()
            .flat_map(|(i, list)| (0..list.len()).map(move |r| (i, r)));
        let mut problem = Self {
            suffix,
            set,
            safety: settings.safety,
            max_memory: settings.max_memory,
            single: None,
            channelwise: false,
            base: Change::default(),
            start: vec![0.0; coordinates.iter().map(Coordinates::len).sum()],
            coordinates,
            members: members.collect(),
        };
        if suffix.has_single_positions() && !settings.keep_zeros {
            problem.single = Some(problem.single_inputs()?);
        }
        if let ([only], None) = (problem.coordinates.as_slice(), &problem.single) {
            let layer = only.affine().layer();
            let channelwise = suffix.network().is_channelwise_behind(layer);
            problem.channelwise = channelwise && only.separates_outputs();
        }
        if let Some(change) = settings.start {
            problem.start_from(change);
        }
        Ok(problem)
    }

    fn single_inputs(&self) -> Result<Inputs, RepairError> {
        let state = self.suffix.at(None)?;
        let first = &self.coordinates[0];
        let points = (0..self.set.len()).into_par_iter().map(|point| {
            let features = self.suffix.features(&state, point)?;
            Ok(first.of_features(&features[0]))
        });
        let mut inputs = Inputs::new(first.rank());
        for values in points.collect::<Result<Vec<_>, RepairError>>()? {
            inputs.push(values);
        }
        Ok(inputs)
    }

    fn start_from(&mut self, change: &Change) {
        let parts = self.coordinates.iter();
        self.start = parts.flat_map(|part| part.of_change(change)).collect();
        let expressed = self.change(&self.start);
        for (name, numbers) in change.tensors() {
            let known = expressed.get(name);
            let rest = numbers.iter().enumerate();
            let rest = rest.map(|(j, d)| d - known.map_or(0.0, |known| known[j]));
            self.base.set(name, rest.collect());
        }
    }

    /// Numbers of an unknown.
    pub(crate) fn columns(&self) -> usize {
        self.start.len()
    }

    /// The change of which `x` are the coordinates.
    pub(crate) fn change(&self, x: &[f64]) -> Change {
        let mut change = Change::default();
        let mut rest = x;
        for part in &self.coordinates {
            let (head, tail) = rest.split_at(part.len());
            change.extend(part.change(head));
            rest = tail;
        }
        change
    }

    /// The network to start from.
    pub(crate) fn start(&self) -> Result<Iterate, RepairError> {
        self.iterate(self.start.clone())
    }

    /// Evaluates the real network at `x`.
    pub(crate) fn iterate(&self, x: Vec<f64>) -> Result<Iterate, RepairError> {
        let mut change = self.change(&x);
        change.add(&self.base);
        let state = self.suffix.at(Some(&change))?;
        let outputs = self.suffix.outputs(&state, Mode::Free)?;
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
            state,
            change,
            x,
        })
    }

    /// Adds the worst violated inequalities and the tightest of each point to `kept`, as many
    /// as fit in memory.
    pub(crate) fn choose(&self, at: &Iterate, kept: &mut BTreeSet<usize>) {
        let mut first = 0;
        for inequalities in &self.set.points {
            let mut order: Vec<usize> = (first..first + inequalities.len()).collect();
            order.sort_by(|&r, &s| at.slacks[r].total_cmp(&at.slacks[s]));
            let violated = order.iter().filter(|&&r| at.slacks[r] < 0.0).count();
            let taken = violated.clamp(TIGHTEST, REACH).min(order.len());
            kept.extend(&order[..taken]);
            first += inequalities.len();
        }
        let limit = self.row_limit();
        if kept.len() > limit {
            let mut order: Vec<usize> = kept.iter().copied().collect();
            order.sort_by(|&r, &s| at.slacks[r].total_cmp(&at.slacks[s]));
            *kept = order[..limit].iter().copied().collect();
        }
    }

    /// Rows that fit in memory, written out or as a kernel matrix and its factor.
    fn row_limit(&self) -> usize {
        let bytes = ROW_SHARE * self.max_memory as f64;
        let kernel = (bytes / 24.0).sqrt();
        let written = match self.single {
            Some(_) => f64::INFINITY,
            None => bytes / (8.0 * self.row_numbers() as f64),
        };
        (written.min(kernel) as usize).max(self.set.len())
    }

    /// Numbers of a written row.
    fn row_numbers(&self) -> usize {
        match self.channelwise {
            true => self.set.terms() * self.coordinates[0].rank(),
            false => self.columns(),
        }
    }

    /// The linearised rows `a_r · x' >= a_r · x - slack_r + overshoot`.
    pub(crate) fn rows(
        &self,
        at: &Iterate,
        kept: &BTreeSet<usize>,
        overshoot: f64,
    ) -> Result<Rows, RepairError> {
        let output = self.suffix.network().graph().output();
        let ids: Vec<usize> = kept.iter().copied().collect();
        let points = ids.iter().map(|&id| self.members[id].0).collect();
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
        let numbers = self.suffix.sensitivity_numbers(&at.state).max(1);
        let chunk = (NUMBERS / numbers).clamp(8, 2048);
        let (mut outer, mut written) = (Vec::new(), Vec::new());
        let woken = self.suffix.dead_outputs(&at.state, &self.raised(&ids))?;
        if self.channelwise {
            written = self.channel_rows(&at.state, &ids, &woken, chunk)?;
        }
        let apart = if self.channelwise { &[][..] } else { &ids };
        for (ids, woken) in apart.chunks(chunk).zip(woken.chunks(chunk)) {
            let targets: Vec<PointTarget> = ids.iter().map(target).collect();
            let found = self
                .suffix
                .woken_sensitivities(&at.state, &targets, woken)?;
            match self.single {
                Some(_) => outer.extend(self.outer_rows(ids, &targets, &found)),
                None => written.extend(self.written_rows(&at.state, &targets, &found)?),
            }
        }
        let mut rows = Rows {
            form: match self.single {
                Some(_) => Form::Outer(outer),
                None => Form::Written(written),
            },
            points,
            rhs: Vec::new(),
        };
        let values = self.values(&rows, &at.x);
        // A dead output's stand-in lies below it.
        let surrogates = woken.iter().map(|w| w.as_ref().map_or(0.0, |w| w.value));
        let right = ids.iter().zip(values).zip(surrogates);
        rows.rhs = right
            .map(|((&id, value), surrogate)| value + overshoot - at.slacks[id] - surrogate)
            .collect();
        Ok(rows)
    }

    /// The point and the output that each inequality asks to grow.
    fn raised(&self, ids: &[usize]) -> Vec<(usize, usize)> {
        let raised = |&id: &usize| {
            let (point, inequality) = self.members[id];
            let terms = self.set.points[point][inequality].terms.iter();
            let largest = terms.max_by(|(_, a), (_, b)| a.total_cmp(b));
            (point, largest.map_or(0, |&(output, _)| output))
        };
        ids.iter().map(raised).collect()
    }

    fn outer_rows(
        &self,
        ids: &[usize],
        targets: &[PointTarget],
        found: &[Vec<Vec<f64>>],
    ) -> Vec<Row> {
        let row = |((&id, target), deltas): ((&usize, &PointTarget), &Vec<Vec<f64>>)| {
            let biases = self.coordinates[1..].iter().zip(&deltas[1..]);
            Row {
                id,
                input: target.point,
                sensitivity: self.coordinates[0].of_sensitivity(&deltas[0]),
                tail: biases
                    .flat_map(|(part, delta)| part.of_bias(delta))
                    .collect(),
                rhs: 0.0,
                softness: 0.0,
            }
        };
        ids.iter().zip(targets).zip(found).map(row).collect()
    }

    fn written_rows(
        &self,
        state: &State,
        targets: &[PointTarget],
        found: &[Vec<Vec<f64>>],
    ) -> Result<Vec<WrittenRow>, RepairError> {
        // Rows of one point lie together and share its features.
        let pairs: Vec<(&PointTarget, &Vec<Vec<f64>>)> = targets.iter().zip(found).collect();
        let of_point = |rows: &[(&PointTarget, &Vec<Vec<f64>>)]| {
            let features = self.suffix.features(state, rows[0].0.point)?;
            let prepared: Vec<Prepared> = features
                .into_iter()
                .zip(&self.coordinates)
                .map(|(features, part)| part.prepare(features))
                .collect();
            Ok(rows
                .iter()
                .map(|(_, deltas)| self.written_row(deltas, &prepared))
                .collect())
        };
        let groups: Vec<_> = pairs.chunk_by(|a, b| a.0.point == b.0.point).collect();
        let rows: Vec<Vec<WrittenRow>> = groups
            .into_par_iter()
            .map(of_point)
            .collect::<Result<_, RepairError>>()?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// Rows of a layer whose channel c alone reaches output c: the outputs of a point are
    /// differentiated together, and each row combines the channels of its terms.
    fn channel_rows(
        &self,
        state: &State,
        ids: &[usize],
        woken: &[Option<Surrogate>],
        chunk: usize,
    ) -> Result<Vec<WrittenRow>, RepairError> {
        let output = self.suffix.network().graph().output();
        let terms = |id: usize| {
            let (point, inequality) = self.members[id];
            &self.set.points[point][inequality].terms
        };
        let rows: Vec<(usize, &Option<Surrogate>)> = ids.iter().copied().zip(woken).collect();
        // Rows that wake the same output of the same point share a pass.
        let passes: Vec<&[(usize, &Option<Surrogate>)]> = rows
            .chunk_by(|a, b| self.members[a.0].0 == self.members[b.0].0 && a.1 == b.1)
            .collect();
        let mut written = Vec::with_capacity(ids.len());
        for passes in passes.chunks(chunk) {
            let read = |rows: &[(usize, &Option<Surrogate>)]| -> BTreeSet<usize> {
                let terms = rows.iter().flat_map(|&(id, _)| terms(id));
                terms.map(|&(output, _)| output).collect()
            };
            let outputs: Vec<BTreeSet<usize>> = passes.iter().map(|rows| read(rows)).collect();
            let targets: Vec<PointTarget> = passes
                .iter()
                .zip(&outputs)
                .map(|(rows, outputs)| PointTarget {
                    point: self.members[rows[0].0].0,
                    target: Target {
                        node: output,
                        selector: outputs.iter().map(|&output| (output, 1.0)).collect(),
                    },
                })
                .collect();
            let woken: Vec<Option<Surrogate>> =
                passes.iter().map(|rows| rows[0].1.clone()).collect();
            let found = self.suffix.woken_sensitivities(state, &targets, &woken)?;
            let combine = |pass: usize| {
                let features = self.suffix.features(state, targets[pass].point)?;
                let part = &self.coordinates[0];
                let features = features.into_iter().next().map(|f| part.prepare(f));
                let Some(features) = features else {
                    return Ok(Vec::new());
                };
                let outputs: Vec<usize> = outputs[pass].iter().copied().collect();
                let channels = part.of_outputs(&found[pass][0], &features, &outputs);
                let row = |&(id, _): &(usize, &Option<Surrogate>)| {
                    let mut row = WrittenRow::default();
                    for &(output, factor) in terms(id) {
                        if let Ok(at) = outputs.binary_search(&output) {
                            let numbers = channels[at].iter().map(|h| factor * h);
                            row.push(output * part.rank(), numbers.collect());
                        }
                    }
                    row
                };
                Ok(passes[pass].iter().map(row).collect())
            };
            let rows: Vec<Vec<WrittenRow>> = (0..passes.len())
                .into_par_iter()
                .map(combine)
                .collect::<Result<_, RepairError>>()?;
            written.extend(rows.into_iter().flatten());
        }
        Ok(written)
    }

    fn written_row(&self, deltas: &[Vec<f64>], features: &[Prepared]) -> WrittenRow {
        let mut row = WrittenRow::default();
        let mut numbers = Vec::with_capacity(self.columns());
        for ((part, delta), features) in self.coordinates.iter().zip(deltas).zip(features) {
            numbers.extend(part.of_gradient(delta, features));
        }
        row.push(0, numbers);
        row
    }

    /// J x
    fn values(&self, rows: &Rows, x: &[f64]) -> Vec<f64> {
        match &rows.form {
            Form::Written(rows) => written::apply(rows, x),
            Form::Outer(rows) => {
                let inputs = self.single.as_ref();
                let (shape, x) = self.split(x);
                inputs.map_or_else(Vec::new, |inputs| apply(&shape, inputs, rows, &x))
            }
        }
    }

    /// The unknown as a matrix and a tail.
    fn split(&self, x: &[f64]) -> (Shape, Unknown) {
        let first = &self.coordinates[0];
        let (matrix, tail) = x.split_at(first.len());
        let shape = Shape {
            outputs: first.affine().group_outputs(),
            inputs: first.rank(),
            tail: tail.len(),
        };
        let unknown = Unknown {
            matrix: matrix.to_vec(),
            tail: tail.to_vec(),
        };
        (shape, unknown)
    }

    /// The kernel of the row with the largest right-hand side of each point, points x points.
    pub(crate) fn tightest_kernel(&self, rows: &Rows) -> Vec<f64> {
        let mut tightest: BTreeMap<usize, usize> = BTreeMap::new();
        for (r, &point) in rows.points.iter().enumerate() {
            let best = tightest.entry(point).or_insert(r);
            if rows.rhs[r] > rows.rhs[*best] {
                *best = r;
            }
        }
        let chosen = || tightest.values();
        match &rows.form {
            Form::Written(written) => {
                let chosen: Vec<WrittenRow> = chosen().map(|&r| written[r].clone()).collect();
                let kernel = written::kernel(&chosen, &vec![1.0; self.columns()]);
                kernel
                    .row_iter()
                    .flat_map(|row| row.iter())
                    .copied()
                    .collect()
            }
            Form::Outer(outer) => {
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
                let inputs = |row: &Row| self.single.as_ref().map_or(&[][..], |h| h.get(row.input));
                let entry = |r: &Row, s: &Row| {
                    let gram = dot(inputs(r), inputs(s));
                    gram * dot(&r.sensitivity, &s.sensitivity) + dot(&r.tail, &s.tail)
                };
                let row = |&r: &usize| chosen().map(move |&s| entry(&outer[r], &outer[s]));
                chosen().flat_map(row).collect()
            }
        }
    }

    /// Bytes of the rows and of their kernel.
    pub(crate) fn bytes(&self, rows: &Rows) -> usize {
        let numbers: usize = match &rows.form {
            Form::Written(written) => {
                let kernel = 2 * written.len() * written.len();
                written.iter().map(WrittenRow::len).sum::<usize>() + kernel
            }
            Form::Outer(outer) => outer
                .iter()
                .map(|row| row.sensitivity.len() + row.tail.len())
                .sum(),
        };
        8 * numbers
    }

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
        let (moved, multipliers) = match self.solve(rows, &rhs, &scale, &limits)? {
            Ok(solved) => solved,
            Err(why) => return Ok(Err(why)),
        };
        let target = centre.iter().zip(moved).map(|(c, d)| c + d).collect();
        let mut prices = vec![0.0; self.set.len()];
        for (&point, multiplier) in rows.points.iter().zip(&multipliers) {
            prices[point] += multiplier;
        }
        Ok(Ok(Step {
            target,
            multipliers,
            prices,
        }))
    }

    /// `diag(scale) Jᵀλ` and λ of the elastic rows in the metric `diag(scale)⁻¹`.
    #[allow(clippy::type_complexity)]
    fn solve(
        &self,
        rows: &Rows,
        rhs: &[f64],
        scale: &[f64],
        limits: &Limits,
    ) -> Result<Result<(Vec<f64>, Vec<f64>), SequenceStop>, RepairError> {
        match &rows.form {
            Form::Written(written) => {
                let mut kernel = written::kernel(written, scale);
                let own: Vec<f64> = (0..rhs.len()).map(|r| kernel[(r, r)]).collect();
                for (r, softness) in softness(&own).into_iter().enumerate() {
                    kernel[(r, r)] += softness;
                }
                let solution = solve_kernel(kernel, rhs, limits)?;
                Ok(multipliers(solution, limits).map(|multipliers| {
                    let mut moved = written::adjoint(written, &multipliers, scale.len());
                    moved.iter_mut().zip(scale).for_each(|(x, s)| *x *= s);
                    (moved, multipliers)
                }))
            }
            Form::Outer(outer) => self.solve_outer(outer, rhs, scale, limits),
        }
    }

    #[allow(clippy::type_complexity)]
    fn solve_outer(
        &self,
        outer: &[Row],
        rhs: &[f64],
        scale: &[f64],
        limits: &Limits,
    ) -> Result<Result<(Vec<f64>, Vec<f64>), SequenceStop>, RepairError> {
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
        for (row, softness) in rows.iter_mut().zip(softness(&own)) {
            row.softness = softness;
        }
        let solution = solve_rows(&shape, &inputs, &rows, None, limits)?;
        let x = match &solution {
            RowSolution::Optimal(optimum) => Some(optimum.x.clone()),
            _ => None,
        };
        Ok(multipliers(solution, limits).map(|multipliers| {
            let entries = x.iter().flat_map(|x| x.entries()).zip(scale);
            (entries.map(|(x, s)| x * s.sqrt()).collect(), multipliers)
        }))
    }
}

fn multipliers(solution: RowSolution, limits: &Limits) -> Result<Vec<f64>, SequenceStop> {
    match solution {
        RowSolution::Optimal(optimum) => Ok(optimum.multipliers),
        RowSolution::Infeasible(_) => Err(SequenceStop::Solver(
            "elastic rows were called infeasible".into(),
        )),
        RowSolution::Stopped { .. } if limits.expired() => Err(SequenceStop::Time),
        RowSolution::Stopped { reason, .. } => Err(SequenceStop::Solver(format!("{reason:?}"))),
    }
}

/// The elasticity of each row, from its curvature.
fn softness(own: &[f64]) -> Vec<f64> {
    let mean = own.iter().sum::<f64>() / own.len().max(1) as f64;
    // Rows that no change of the layer moves stay violated at a finite price.
    let mean = if mean > 0.0 { mean } else { 1.0 };
    own.iter().map(|own| SOFTNESS * (own + mean)).collect()
}

/// The coordinates of every edited layer.
fn coordinates(
    suffix: &Suffix<'_>,
    metric: &Metric,
    keep_zeros: bool,
) -> Result<Vec<Coordinates>, RepairError> {
    let layers = suffix.layers();
    if keep_zeros {
        let metric = metric.diagonal();
        let entrywise = |(affine, metric)| {
            let fixed = crate::affine::zeros(suffix.network(), affine)?;
            Ok(Coordinates::entrywise(affine, metric, fixed))
        };
        return layers.iter().zip(metric.blocks()).map(entrywise).collect();
    }
    let state = suffix.at(None)?;
    // Features of a later layer move with the layers before it.
    let edited = layers.iter().filter(|affine| !affine.is_bias()).count();
    layers
        .iter()
        .zip(metric.blocks())
        .enumerate()
        .map(|(index, (affine, metric))| {
            let features = (0..suffix.points()).into_par_iter().map(|point| {
                let mut features = suffix.features(&state, point)?;
                Ok(features.swap_remove(index))
            });
            Coordinates::new(affine, metric, features, edited > 1)
        })
        .collect()
}
