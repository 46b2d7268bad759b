//! The repair problem, linearised wherever a sequential repair asks for it.
//!
//! The unknown x is kept in [`Coordinates`], in which the objective is ½‖x‖² and the trust term
//! is diagonal. Rows are outer products where every point has one feature vector
//! ([`Suffix::has_single_positions`]) and written out elsewhere (`rows`); each step is an elastic
//! quadratic program (`subproblem`).

mod rows;
mod subproblem;

use std::collections::BTreeSet;

use network::Mode;
use optim::Inputs;
use rayon::prelude::*;

use crate::coordinates::Coordinates;
use crate::metric::Metric;
use crate::suffix::{State, Suffix};
use crate::{Change, RepairError, RepairSet};

pub(crate) use rows::Rows;
pub(crate) use subproblem::Step;

/// Rows of each point that are kept even when they are not violated.
const TIGHTEST: usize = 3;
/// Violated rows of each point that are taken at once, the worst first: beyond them, other
/// classes are out of reach until these are solved.
const REACH: usize = 12;
/// Share of the memory that written rows may take; the rest is for sensitivities and kernel.
const ROW_SHARE: f64 = 0.5;

/// Multiply-adds of the kernel of one step: about five seconds on two cores. Beyond it, more rows
/// cost a repair more time than they save it steps.
const KERNEL_WORK: f64 = 1e11;

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
    /// Numbers of a row that is not channelwise.
    widest_row: usize,
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
    /// What overshoots are measured in: the size of the outputs, 1 for ordinary ones, or more where
    /// rounding moves them by more.
    pub(crate) unit: f64,
    /// Bytes that rows and sensitivities may take.
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
            widest_row: 0,
            base: Change::default(),
            start: vec![0.0; coordinates.iter().map(Coordinates::len).sum()],
            coordinates,
            members: members.collect(),
        };
        problem.widest_row = problem.columns();
        if suffix.layers().len() > 1 && !suffix.has_single_positions() {
            let state = suffix.at(None)?;
            let parts = suffix.features(&state, 0)?.into_iter();
            let numbers = parts.zip(&problem.coordinates).map(|(features, part)| {
                let single = part.prepare(features).single();
                let single = single.filter(|_| !part.affine().is_bias());
                single.map_or(part.len(), |h| h.len() + part.affine().group_outputs())
            });
            problem.widest_row = numbers.sum();
        }
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

    /// Number of repair points.
    pub(crate) fn points(&self) -> usize {
        self.set.len()
    }

    /// Number of inequalities over all points.
    pub(crate) fn inequalities(&self) -> usize {
        self.members.len()
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
        for (point, inequalities) in self.set.points.iter().enumerate() {
            let mut order: Vec<usize> = (first..first + inequalities.len()).collect();
            order.sort_by(|&r, &s| at.slacks[r].total_cmp(&at.slacks[s]));
            let violated = order.iter().filter(|&&r| at.slacks[r] < 0.0).count();
            // A protected point gets rows once a step has broken it.
            let least = if point < self.set.repaired() {
                TIGHTEST
            } else {
                0
            };
            let taken = violated.clamp(least, REACH).min(order.len());
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

    /// Rows that fit in memory, written out or as a kernel matrix and its factor, and whose kernel
    /// does not take longer than several steps with fewer rows would.
    fn row_limit(&self) -> usize {
        let bytes = ROW_SHARE * self.max_memory as f64;
        // The kernel matrix, its factor with room to grow, and copies of both.
        let kernel = (bytes / 80.0).sqrt();
        let written = match self.single {
            Some(_) => f64::INFINITY,
            None => {
                let numbers = self.row_numbers() as f64;
                (bytes / (8.0 * numbers)).min((KERNEL_WORK / numbers).sqrt())
            }
        };
        (written.min(kernel) as usize).max(self.set.repaired())
    }

    /// Numbers of a written row.
    fn row_numbers(&self) -> usize {
        match self.channelwise {
            true => self.set.terms() * self.coordinates[0].rank(),
            false => self.widest_row,
        }
    }
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
            let features = |point| Ok(suffix.features(&state, point)?.swap_remove(index));
            Coordinates::new(affine, metric, suffix.points(), features, edited > 1)
        })
        .collect()
}
