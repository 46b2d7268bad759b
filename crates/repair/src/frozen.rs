//! Frozen-pattern repair (APRNN): all rows, few of them written down.
//!
//! With the activation pattern of every point frozen at the original weights,
//! every value behind the start layer is affine in Δ. The rows are
//!
//! ```text
//! specification   Σ_c a_c y_c(x_i; Δ)   >=  bound
//! sign            side · z(x_i; Δ)      >=  side · end of the piece     for every unit
//! window          z_winner - z_loser    >=  0            for every loser of a max-pool's window
//! box             -B <= Δ_j <= B                                        if asked
//! ```
//!
//! (Tao, Nawas, Mitchell & Thakur, PLDI 2023, section 4.) A solution keeps the
//! pattern, so the affine expressions are the network. A frozen forward pass over the points, a
//! few at a time, evaluates all rows at a candidate; a row's factors come from one backward pass
//! when it is first violated.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use network::{Mode, NodeId, Pattern, Target};
use optim::{
    BoxError, Constraints, Inputs, Multiplier, Quota, Row, Separation, Shape, Unknown, adjoint,
    apply,
};

use crate::affine::Features;
use crate::coordinates::Coordinates;
use crate::families::{Factors, Families, Kind, Violation};
use crate::metric::Metric;
use crate::suffix::{PointTarget, State, Suffix};
use crate::units::Units;
use crate::{Change, RepairError, RepairSet};

/// How far inside its half-space each row is kept, in the unit of what the row compares (1 for
/// numbers of ordinary size), so that rounding the weights to their dtype flips neither a
/// specification nor a sign; how far outside it may lie, if negative.
#[derive(Clone, Copy, Debug)]
pub struct Safety {
    /// For specification rows.
    pub specification: f64,
    /// For pattern rows.
    pub sign: f64,
}

/// Share of the memory for the values of one pass; the rest is for rows and their kernel.
const VALUE_SHARE: f64 = 0.25;
/// Share of the memory for the sensitivities of one pass.
const SENSITIVITY_SHARE: f64 = 0.25;

/// The rows of a frozen-pattern repair.
pub struct FrozenRows<'a> {
    suffix: &'a Suffix<'a>,
    set: &'a RepairSet,
    /// Of the start layer, then of every bias behind it.
    coordinates: Vec<Coordinates>,
    shape: Shape,
    /// The original network, in whose frozen pattern sensitivities are constant.
    state: State,
    pattern: Pattern,
    safety: Safety,
    box_bound: Option<f64>,
    max_memory: usize,
    /// Points whose rows count.
    included: Vec<bool>,
    families: Families,
    units: Units,
    inputs: Inputs,
    /// Whether the first inputs are those of the points, one position each.
    single: bool,
    /// Known factors of rows.
    factors: HashMap<usize, Factors>,
}

impl<'a> FrozenRows<'a> {
    /// Freezes the pattern of `suffix` and lays out the rows. Passes over the points and the
    /// rows' factors stay within `max_memory` bytes.
    ///
    /// # Errors
    /// [`network::NetworkError::NoLinearPiece`] when an activation has no linear
    /// piece at a point; [`RepairError::Unsupported`] for a start layer in groups.
    pub fn new(
        suffix: &'a Suffix<'a>,
        metric: &Metric,
        set: &'a RepairSet,
        safety: Safety,
        box_bound: Option<f64>,
        max_memory: usize,
    ) -> Result<Self, RepairError> {
        let [first, later @ ..] = suffix.layers() else {
            return Err(RepairError::EmptySet);
        };
        if first.groups() != 1 || later.iter().any(|affine| !affine.is_bias()) {
            return Err(RepairError::Unsupported {
                node: first.layer().name.clone(),
                op: match later.iter().all(crate::Affine::is_bias) {
                    true => format!("{} in groups", first.layer().kind.name()),
                    false => "several layers at once".into(),
                },
                encoding: "frozen",
            });
        }
        let state = suffix.at(None)?;
        let pattern = suffix.pattern(&state)?;
        let coordinates: Vec<Coordinates> = suffix
            .layers()
            .iter()
            .zip(metric.blocks())
            .map(|(affine, metric)| Coordinates::whitened(affine, metric))
            .collect();
        let shape = Shape {
            outputs: first.group_outputs(),
            inputs: first.width(),
            tail: coordinates[1..].iter().map(Coordinates::len).sum(),
        };
        let families = Families::new(suffix.network(), set, &pattern, box_bound, shape);
        let chunks = chunks(suffix, &state, set.len(), families.units, max_memory);
        let units = Units::new(suffix, &state, &pattern, set, chunks)?;
        let mut rows = Self {
            suffix,
            set,
            units,
            coordinates,
            shape,
            state,
            pattern,
            safety,
            box_bound,
            max_memory,
            included: vec![true; set.len()],
            families,
            inputs: Inputs::new(shape.inputs),
            single: suffix.has_single_positions(),
            factors: HashMap::new(),
        };
        if rows.single {
            for point in 0..set.len() {
                let features = suffix.features(&rows.state, point)?;
                rows.inputs
                    .push(rows.coordinates[0].of_features(&features[0]));
            }
        }
        Ok(rows)
    }

    /// Counts only the rows of the given points from here on.
    pub fn restrict(&mut self, points: &[usize]) {
        self.included = (0..self.set.len())
            .map(|point| points.contains(&point))
            .collect();
    }

    /// The point to which a row belongs; `None` for a box row.
    pub fn point_of(&self, row: usize) -> Option<usize> {
        self.families.point_of(row)
    }

    /// The change of which `x` are the coordinates.
    pub fn change(&self, x: &Unknown) -> Change {
        let mut change = self.coordinates[0].change(&x.matrix);
        let mut rest = x.tail.as_slice();
        for part in &self.coordinates[1..] {
            let (head, tail) = rest.split_at(part.len());
            change.extend(part.change(head));
            rest = tail;
        }
        change
    }

    /// The Euclidean norm, over the entries of the tensors, of Σ_r y_r a_r.
    pub(crate) fn gradient_norm(&self, multipliers: &[Multiplier]) -> f64 {
        let row = |multiplier: &Multiplier| Some((self.row(multiplier.row)?, multiplier.value));
        let rows: Vec<(Row, f64)> = multipliers.iter().filter_map(row).collect();
        let weighted = rows.iter().map(|(row, y)| (row, *y));
        let sum = adjoint(&self.shape, &self.inputs, weighted);
        let mut square = self.coordinates[0].gradient_squared(&sum.matrix);
        let mut rest = sum.tail.as_slice();
        for part in &self.coordinates[1..] {
            let (head, tail) = rest.split_at(part.len());
            square += part.gradient_squared(head);
            rest = tail;
        }
        square.sqrt()
    }

    /// The share Σ_r y_r b_r / Σ_r y_r |b_r| of right-hand sides that are evaluated at no change; 0 where
    /// all are 0.
    pub(crate) fn share_at_zero(&self, multipliers: &[Multiplier]) -> Result<f64, RepairError> {
        let weights: HashMap<usize, f64> = multipliers.iter().map(|m| (m.row, m.value)).collect();
        let (mut value, mut sides) = (0.0, 0.0_f64);
        self.violations(&Unknown::zeros(&self.shape), |violation| {
            if let Some(y) = weights.get(&violation.id) {
                value += y * violation.amount;
                sides += y * violation.amount.abs();
            }
        })?;
        Ok(value / sides.max(f64::MIN_POSITIVE))
    }

    /// What a row was divided by.
    pub(crate) fn unit_of(&self, row: usize) -> f64 {
        self.factors.get(&row).map_or(1.0, |factors| factors.unit)
    }

    /// Every row's violation at `x`; negative amounts are slack.
    fn violations(&self, x: &Unknown, mut visit: impl FnMut(Violation)) -> Result<(), RepairError> {
        let change = self.change(x);
        let moved = self.suffix.at(Some(&change))?;
        let wanted = self.families.wanted(self.suffix.network());
        let count = self.set.len();
        let (units, memory) = (self.families.units, self.max_memory);
        for points in chunks(self.suffix, &self.state, count, units, memory) {
            let frozen = self.pattern.select(&points.clone().collect::<Vec<_>>());
            let values = self.suffix.evaluate(
                &moved,
                Some(points.clone()),
                Mode::Frozen(&frozen),
                &wanted,
            )?;
            for point in points.clone().filter(|&point| self.included[point]) {
                self.visit_point(
                    point,
                    point - points.start,
                    &values,
                    points.len(),
                    &mut visit,
                );
            }
        }
        self.visit_boxes(&change, &mut visit);
        Ok(())
    }

    /// The rows of one point, `local` within the values of `count` points.
    fn visit_point(
        &self,
        point: usize,
        local: usize,
        values: &BTreeMap<NodeId, Vec<f64>>,
        count: usize,
        visit: &mut impl FnMut(Violation),
    ) {
        let of = |node: NodeId| {
            let values = &values[&node];
            let width = values.len() / count;
            &values[local * width..(local + 1) * width]
        };
        let outputs = of(self.suffix.network().graph().output());
        for (index, inequality) in self.set.points[point].iter().enumerate() {
            let kind = Kind::Specification {
                point,
                inequality: index,
            };
            let id = self.families.specification[point] + index;
            let sides = [inequality.slack(outputs), 0.0];
            let unit = self.units.specification;
            visit(Violation::new(
                id,
                kind,
                sides,
                unit,
                self.safety.specification,
            ));
        }
        for (family, signs) in self.families.signs.iter().enumerate() {
            let pieces = &self.pattern.pieces()[&signs.node];
            let units = &self.units.signs[&signs.node];
            for (unit, z) in of(signs.source).iter().enumerate() {
                let entry = point * signs.width + unit;
                let piece = pieces[entry];
                let kind = Kind::Sign {
                    point,
                    family,
                    unit,
                };
                let sides = [piece.side * z, piece.bound];
                let id = signs.first + entry;
                visit(Violation::new(
                    id,
                    kind,
                    sides,
                    units[unit],
                    self.safety.sign,
                ));
            }
        }
        for (family, windows) in self.families.windows.iter().enumerate() {
            let winners = &self.pattern.pools()[&windows.node];
            let unit = self.units.windows[&windows.node];
            let z = of(windows.source);
            for window in 0..windows.width {
                let entry = point * windows.width + window;
                let winner = winners.winner(entry);
                for (member, loser) in winners.losers(entry).enumerate() {
                    let kind = Kind::Window {
                        point,
                        family,
                        units: [winner, loser],
                    };
                    // Equal members give the same value, whichever wins: no safety is needed.
                    let id = windows.first + entry * windows.members + member;
                    let safety = self.safety.sign.min(0.0);
                    visit(Violation::new(
                        id,
                        kind,
                        [z[winner] - z[loser], 0.0],
                        unit,
                        safety,
                    ));
                }
            }
        }
    }

    fn visit_boxes(&self, change: &Change, visit: &mut impl FnMut(Violation)) {
        let Some(bound) = self.box_bound else { return };
        let matrices = self.coordinates.iter().map(Coordinates::affine);
        let entries = matrices.flat_map(|affine| affine.matrix(change));
        for (entry, d) in entries.enumerate() {
            for upper in [false, true] {
                let value = if upper { -d } else { d };
                let id = self.families.boxes + 2 * entry + usize::from(upper);
                let kind = Kind::Box { entry, upper };
                visit(Violation::new(id, kind, [value, -bound], 1.0, 0.0));
            }
        }
    }

    fn target(&self, kind: Kind) -> Option<PointTarget> {
        let target = |point, node, selector| {
            Some(PointTarget {
                point,
                target: Target { node, selector },
            })
        };
        match kind {
            Kind::Specification { point, inequality } => target(
                point,
                self.suffix.network().graph().output(),
                self.set.points[point][inequality].terms.clone(),
            ),
            Kind::Sign {
                point,
                family,
                unit,
            } => {
                let family = &self.families.signs[family];
                let piece = self.pattern.pieces()[&family.node][point * family.width + unit];
                target(point, family.source, vec![(unit, piece.side)])
            }
            Kind::Window {
                point,
                family,
                units: [winner, loser],
            } => {
                let source = self.families.windows[family].source;
                target(point, source, vec![(winner, 1.0), (loser, -1.0)])
            }
            Kind::Box { .. } => None,
        }
    }

    /// Computes the factors of the rows that are met for the first time.
    fn prepare(&mut self, chosen: &[Violation]) -> Result<(), RepairError> {
        let mut fresh: Vec<(usize, f64, PointTarget)> = Vec::new();
        for violation in chosen {
            if self.factors.contains_key(&violation.id) {
                continue;
            }
            match (violation.kind, self.target(violation.kind)) {
                (_, Some(target)) => fresh.push((violation.id, violation.unit, target)),
                (Kind::Box { entry, upper }, None) => {
                    let factors = self.box_factors(entry, if upper { -1.0 } else { 1.0 });
                    self.factors.insert(violation.id, factors);
                }
                _ => {}
            }
        }
        fresh.sort_by_key(|(id, _, target)| (target.point, *id));
        let numbers = 8 * self.suffix.sensitivity_numbers(&self.state).max(1);
        let size = SENSITIVITY_SHARE * self.max_memory as f64 / numbers as f64;
        let mut features: Option<(usize, Vec<Features>)> = None;
        for chunk in fresh.chunks((size as usize).clamp(1, 2048)) {
            let targets: Vec<PointTarget> =
                chunk.iter().map(|(.., target)| target.clone()).collect();
            let pattern = Some(&self.pattern);
            let found = self.suffix.sensitivities(&self.state, &targets, pattern)?;
            for ((id, unit, target), deltas) in chunk.iter().zip(found) {
                let point = target.point;
                let known = match features.take() {
                    Some((of, known)) if of == point => known,
                    _ => self.suffix.features(&self.state, point)?,
                };
                let factors = self.factorise(point, &deltas, &known)?;
                features = Some((point, known));
                self.factors.insert(*id, factors.divided_by(*unit));
            }
        }
        Ok(())
    }

    fn factorise(
        &mut self,
        point: usize,
        deltas: &[Vec<f64>],
        features: &[Features],
    ) -> Result<Factors, RepairError> {
        let biases = self.coordinates[1..].iter().zip(&deltas[1..]);
        let tail = biases
            .flat_map(|(part, delta)| part.of_bias(delta))
            .collect();
        if self.single {
            return Ok(Factors {
                input: point,
                sensitivity: self.coordinates[0].of_sensitivity(&deltas[0]),
                tail,
                unit: 1.0,
            });
        }
        let [h, sensitivity] = self.coordinates[0].outer_products(&deltas[0], &features[0]);
        Ok(Factors {
            input: self.inputs.push(h),
            sensitivity,
            tail,
            unit: 1.0,
        })
    }

    /// The row ±Δ_entry in the coordinates of the metric.
    fn box_factors(&mut self, entry: usize, sign: f64) -> Factors {
        let Shape {
            outputs, inputs, ..
        } = self.shape;
        let mut sensitivity = vec![0.0; outputs];
        let mut unit = vec![0.0; inputs];
        let mut tail = Vec::with_capacity(self.shape.tail);
        // An input of its own: the row belongs to no point.
        if entry < outputs * inputs {
            sensitivity[entry / inputs] = sign;
            unit[entry % inputs] = 1.0;
        }
        let mut first = outputs * inputs;
        for part in &self.coordinates[1..] {
            let mut bias = vec![0.0; part.len()];
            if let Some(at) = entry.checked_sub(first).filter(|&at| at < part.len()) {
                bias[at] = sign;
            }
            first += part.len();
            tail.extend(part.of_sensitivity(&bias));
        }
        let start = &self.coordinates[0];
        Factors {
            sensitivity: start.of_sensitivity(&sensitivity),
            input: {
                let unit = start.of_features(&Features::new(unit, 1, inputs));
                self.inputs.push(unit)
            },
            tail,
            unit: 1.0,
        }
    }

    /// A row whose factors are known, with the right-hand side 0.
    fn row(&self, id: usize) -> Option<Row> {
        let factors = self.factors.get(&id)?;
        Some(Row {
            id,
            input: factors.input,
            sensitivity: factors.sensitivity.clone(),
            tail: factors.tail.clone(),
            rhs: 0.0,
            softness: 0.0,
        })
    }

    /// The rows of chosen violations at the candidate `x`.
    fn rows(&self, chosen: &[Violation], x: &Unknown) -> Vec<Row> {
        let mut rows: Vec<Row> = chosen.iter().filter_map(|v| self.row(v.id)).collect();
        // value(x) = value(0) + a · x, so the right-hand side is bound - value(x) + a · x.
        let values = apply(&self.shape, &self.inputs, &rows, x);
        for ((row, violation), value) in rows.iter_mut().zip(chosen).zip(values) {
            row.rhs = violation.bound - violation.value + value;
        }
        rows
    }
}

/// Points that are evaluated together: as many as the memory holds, each with `units` values that
/// rows read.
fn chunks(
    suffix: &Suffix<'_>,
    state: &State,
    count: usize,
    units: usize,
    max_memory: usize,
) -> impl Iterator<Item = Range<usize>> + use<> {
    let per_point = 8 * (units + suffix.sensitivity_numbers(state));
    let size = VALUE_SHARE * max_memory as f64 / per_point.max(1) as f64;
    let size = (size as usize).max(1);
    (0..count)
        .step_by(size)
        .map(move |first| first..(first + size).min(count))
}

impl Constraints for FrozenRows<'_> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    fn total(&self) -> usize {
        self.families.total
    }

    fn separate(&mut self, x: &Unknown, quota: &Quota) -> Result<Separation, BoxError> {
        let (mut worst, mut count, mut finite) = (f64::NEG_INFINITY, 0, true);
        let mut worst_of_point: BTreeMap<Option<usize>, Vec<Violation>> = BTreeMap::new();
        let descending =
            |a: &Violation, b: &Violation| b.amount.total_cmp(&a.amount).then(a.id.cmp(&b.id));
        self.violations(x, |violation| {
            worst = worst.max(violation.amount);
            finite &= violation.amount.is_finite();
            if violation.amount > 0.0 {
                count += 1;
                let point = violation.kind.point();
                let list = worst_of_point.entry(point).or_default();
                list.push(violation);
                // Only the worst few of a point are ever taken; box rows all are.
                if point.is_some() && list.len() >= 4 * quota.per_input.max(16) {
                    list.sort_by(descending);
                    list.truncate(quota.per_input);
                }
            }
        })?;
        if !finite {
            return Err("a frozen value overflows at this change".into());
        }
        let mut chosen = Vec::new();
        for (point, mut list) in worst_of_point {
            list.sort_by(descending);
            if point.is_some() {
                list.truncate(quota.per_input);
            }
            chosen.extend(list);
        }
        chosen.sort_by(descending);
        chosen.truncate(quota.total);
        self.prepare(&chosen)?;
        Ok(Separation {
            worst,
            violated: count,
            rows: self.rows(&chosen, x),
        })
    }
}
