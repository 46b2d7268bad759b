//! The rows of a linearised problem, from the sensitivities at a point.

use std::collections::{BTreeMap, BTreeSet};

use faer::Mat;
use network::{Surrogate, Target};
use optim::{Row, Shape, Unknown, apply};
use rayon::prelude::*;

use super::{Iterate, Linearised};
use crate::RepairError;
use crate::coordinates::Prepared;
use crate::suffix::{PointTarget, State};
use crate::written::{self, WrittenRow};

/// Share of the memory that the sensitivities of one pass may take.
const SENSITIVITY_SHARE: f64 = 1.0 / 16.0;

/// Linearised rows `a_r · x >= rhs_r`.
pub(crate) struct Rows {
    pub(super) form: Form,
    /// The point of each row.
    pub(crate) points: Vec<usize>,
    pub(crate) rhs: Vec<f64>,
}

pub(super) enum Form {
    Outer(Vec<Row>),
    Written(Vec<WrittenRow>),
}

impl Linearised<'_> {
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
        let numbers = 8 * self.suffix.sensitivity_numbers(&at.state).max(1);
        let chunk = SENSITIVITY_SHARE * self.max_memory as f64 / numbers as f64;
        let chunk = (chunk as usize).clamp(1, 2048);
        let (mut outer, mut written) = (Vec::new(), Vec::new());
        let raised = self.raised(&ids);
        let outputs: Vec<(usize, usize)> = raised.iter().map(|r| (r.0, r.1)).collect();
        let mut woken = self.suffix.dead_outputs(&at.state, &outputs)?;
        for (woken, _) in woken.iter_mut().zip(&raised).filter(|(_, r)| r.2 <= 0.0) {
            // Nothing asks a dead output to grow.
            *woken = None;
        }
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
        let surrogates = woken.iter().zip(&raised);
        let surrogates = surrogates.map(|(w, r)| w.as_ref().map_or(0.0, |w| r.2 * w.value));
        let right = ids.iter().zip(values).zip(surrogates);
        rows.rhs = right
            .map(|((&id, value), surrogate)| value + overshoot - at.slacks[id] - surrogate)
            .collect();
        Ok(rows)
    }

    /// The point and the output that each inequality asks to grow most, with its coefficient.
    fn raised(&self, ids: &[usize]) -> Vec<(usize, usize, f64)> {
        let raised = |&id: &usize| {
            let (point, inequality) = self.members[id];
            let terms = self.set.points[point][inequality].terms.iter();
            let largest = terms.max_by(|(_, a), (_, b)| a.total_cmp(b));
            let (output, coefficient) = largest.copied().unwrap_or_default();
            (point, output, coefficient)
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
        let mut start = 0;
        for ((part, delta), features) in self.coordinates.iter().zip(deltas).zip(features) {
            match features.single() {
                // A bias adds up what its positions ask for.
                _ if part.affine().is_bias() => row.push(start, part.of_bias(delta)),
                Some(h) => row.push_outer(start, part.of_sensitivity(delta), h),
                None => row.push(start, part.of_gradient(delta, features)),
            }
            start += part.len();
        }
        row
    }

    /// J x
    pub(super) fn values(&self, rows: &Rows, x: &[f64]) -> Vec<f64> {
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
    pub(super) fn split(&self, x: &[f64]) -> (Shape, Unknown) {
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

    /// The kernel of the row with the largest right-hand side of each point, points x points, and
    /// these right-hand sides.
    pub(crate) fn tightest_kernel(&self, rows: &Rows) -> (Vec<f64>, Vec<f64>) {
        let mut tightest: BTreeMap<usize, usize> = BTreeMap::new();
        for (r, &point) in rows.points.iter().enumerate() {
            let best = tightest.entry(point).or_insert(r);
            if rows.rhs[r] > rows.rhs[*best] {
                *best = r;
            }
        }
        let chosen: Vec<usize> = tightest.into_values().collect();
        let kernel = self.kernel(rows, &chosen);
        let entries = kernel.row_iter().flat_map(|row| row.iter()).copied();
        let rhs = chosen.iter().map(|&r| rows.rhs[r]).collect();
        (entries.collect(), rhs)
    }

    /// The inner products of some rows.
    pub(super) fn kernel(&self, rows: &Rows, chosen: &[usize]) -> Mat<f64> {
        match &rows.form {
            Form::Written(written) => {
                let chosen: Vec<WrittenRow> = chosen.iter().map(|&r| written[r].clone()).collect();
                written::kernel(&chosen, &vec![1.0; self.columns()])
            }
            Form::Outer(outer) => {
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
                let inputs = |row: &Row| self.single.as_ref().map_or(&[][..], |h| h.get(row.input));
                Mat::from_fn(chosen.len(), chosen.len(), |i, j| {
                    let (r, s) = (&outer[chosen[i]], &outer[chosen[j]]);
                    let gram = dot(inputs(r), inputs(s));
                    gram * dot(&r.sensitivity, &s.sensitivity) + dot(&r.tail, &s.tail)
                })
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
            Form::Outer(outer) => {
                let kernel = 2 * outer.len() * outer.len();
                let numbers = outer
                    .iter()
                    .map(|row| row.sensitivity.len() + row.tail.len());
                numbers.sum::<usize>() + kernel
            }
        };
        8 * numbers
    }
}
