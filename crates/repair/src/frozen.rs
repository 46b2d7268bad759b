//! Frozen-pattern repair (APRNN): all rows, none of them written down.
//!
//! With the activation pattern of every point frozen at the original weights,
//! every value behind the start layer is affine in Δ. The rows are
//!
//! ```text
//! specification   Σ_c a_c y_c(x_i; Δ)   >=  bound
//! pattern         side · z(x_i; Δ)      >=  side · end of the piece     for every unit
//! box             -B <= Δ_j <= B                                        if asked
//! ```
//!
//! (Tao, Nawas, Mitchell & Thakur, PLDI 2023, section 4.) A solution keeps the
//! pattern, so the affine expressions are the network. One frozen forward pass
//! evaluates all rows at a candidate; a row's factors come from one backward
//! pass when it is first violated.

use std::collections::{BTreeMap, HashMap};

use network::{Mode, NodeId, Pattern, Target};
use optim::{BoxError, Constraints, Inputs, Quota, Row, Separation, Shape, Unknown};

use crate::metric::Metric;
use crate::suffix::{PointTarget, Suffix};
use crate::{RepairError, RepairSet};

/// How far inside its half-space each row is kept, so that rounding the weights
/// to their dtype flips neither a specification nor a sign.
#[derive(Clone, Copy, Debug)]
pub struct Safety {
    /// For specification rows.
    pub specification: f64,
    /// For pattern rows.
    pub sign: f64,
}

/// The rows of a frozen-pattern repair.
pub struct FrozenRows<'a> {
    suffix: &'a Suffix<'a>,
    metric: &'a Metric,
    set: &'a RepairSet,
    pattern: Pattern,
    safety: Safety,
    box_bound: Option<f64>,
    /// Points whose rows count.
    included: Vec<bool>,
    families: Families,
    /// Frozen values at the original weights, per node that some row reads.
    origin: BTreeMap<NodeId, Vec<f64>>,
    inputs: Inputs,
    factors: HashMap<usize, (Vec<f64>, Vec<f64>)>,
    boxes: HashMap<usize, (usize, Vec<f64>, Vec<f64>)>,
}

/// Where the identifiers of each family of rows begin.
struct Families {
    /// First inequality of each point.
    specification: Vec<usize>,
    /// Source node of each frozen activation, with the activation node, first identifier and width.
    signs: Vec<SignFamily>,
    /// First box row; two per entry of the unknown.
    boxes: usize,
    total: usize,
}

struct SignFamily {
    activation: NodeId,
    source: NodeId,
    first: usize,
    width: usize,
}

/// A violated row before its factors are known.
struct Violation {
    id: usize,
    amount: f64,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Specification {
        point: usize,
        inequality: usize,
    },
    Sign {
        point: usize,
        family: usize,
        unit: usize,
    },
    Box {
        entry: usize,
        upper: bool,
    },
}

impl<'a> FrozenRows<'a> {
    /// Freezes the pattern of `suffix` and lays out the rows.
    ///
    /// # Errors
    /// [`network::NetworkError::NoLinearPiece`] when an activation has no linear
    /// piece at a point.
    pub fn new(
        suffix: &'a Suffix<'a>,
        metric: &'a Metric,
        set: &'a RepairSet,
        safety: Safety,
        box_bound: Option<f64>,
    ) -> Result<Self, RepairError> {
        let pattern = suffix.pattern()?;
        let families = Families::new(suffix, metric, set, &pattern, box_bound.is_some());
        let mut rows = Self {
            suffix,
            metric,
            set,
            pattern,
            safety,
            box_bound,
            included: vec![true; set.len()],
            families,
            origin: BTreeMap::new(),
            inputs: metric.inputs(suffix),
            factors: HashMap::new(),
            boxes: HashMap::new(),
        };
        rows.origin = rows.values(&Unknown::zeros(&metric.shape()))?;
        Ok(rows)
    }

    /// Counts only the rows of the given points from here on.
    pub fn restrict(&mut self, points: &[usize]) {
        self.included = (0..self.set.len())
            .map(|point| points.contains(&point))
            .collect();
    }

    /// Frozen values of every node that some row reads, at `x`.
    fn values(&self, x: &Unknown) -> Result<BTreeMap<NodeId, Vec<f64>>, RepairError> {
        let mut wanted: Vec<NodeId> = self
            .families
            .signs
            .iter()
            .map(|family| family.source)
            .collect();
        wanted.push(self.suffix.network().graph().output());
        wanted.sort_unstable();
        wanted.dedup();
        let change = self.metric.change(x);
        self.suffix
            .evaluate(Some(&change), Mode::Frozen(&self.pattern), &wanted)
    }

    /// Every row's violation at the given values; negative amounts are slack.
    fn violations(
        &self,
        values: &BTreeMap<NodeId, Vec<f64>>,
        x: &Unknown,
        mut visit: impl FnMut(Violation),
    ) {
        let outputs = &values[&self.suffix.network().graph().output()];
        let classes = outputs.len() / self.set.len();
        for (point, inequalities) in self
            .set
            .points
            .iter()
            .enumerate()
            .filter(|(point, _)| self.included[*point])
        {
            let outputs = &outputs[point * classes..(point + 1) * classes];
            for (index, inequality) in inequalities.iter().enumerate() {
                visit(Violation {
                    id: self.families.specification[point] + index,
                    amount: self.safety.specification - inequality.slack(outputs),
                    kind: Kind::Specification {
                        point,
                        inequality: index,
                    },
                });
            }
        }
        for (index, family) in self.families.signs.iter().enumerate() {
            let pieces = &self.pattern.pieces()[&family.activation];
            for (entry, (z, piece)) in values[&family.source].iter().zip(pieces).enumerate() {
                let (point, unit) = (entry / family.width, entry % family.width);
                if self.included[point] {
                    visit(Violation {
                        id: family.first + entry,
                        amount: piece.bound + self.safety.sign - piece.side * z,
                        kind: Kind::Sign {
                            point,
                            family: index,
                            unit,
                        },
                    });
                }
            }
        }
        if let Some(bound) = self.box_bound {
            let change = self.metric.change(x);
            for (entry, d) in change.interleaved().enumerate() {
                for upper in [false, true] {
                    visit(Violation {
                        id: self.families.boxes + 2 * entry + usize::from(upper),
                        amount: if upper { d - bound } else { -bound - d },
                        kind: Kind::Box { entry, upper },
                    });
                }
            }
        }
    }

    /// Value of a row's left side at the original weights, and its right side.
    fn sides(&self, kind: Kind) -> (f64, f64) {
        match kind {
            Kind::Specification { point, inequality } => {
                let outputs = &self.origin[&self.suffix.network().graph().output()];
                let classes = outputs.len() / self.set.len();
                let inequality = &self.set.points[point][inequality];
                let slack = inequality.slack(&outputs[point * classes..(point + 1) * classes]);
                (slack, self.safety.specification)
            }
            Kind::Sign {
                point,
                family,
                unit,
            } => {
                let family = &self.families.signs[family];
                let entry = point * family.width + unit;
                let piece = self.pattern.pieces()[&family.activation][entry];
                (
                    piece.side * self.origin[&family.source][entry],
                    piece.bound + self.safety.sign,
                )
            }
            Kind::Box { .. } => (0.0, -self.box_bound.unwrap_or(f64::INFINITY)),
        }
    }

    fn target(&self, kind: Kind) -> Option<PointTarget> {
        match kind {
            Kind::Specification { point, inequality } => Some(PointTarget {
                point,
                target: Target {
                    node: self.suffix.network().graph().output(),
                    selector: self.set.points[point][inequality].terms.clone(),
                },
            }),
            Kind::Sign {
                point,
                family,
                unit,
            } => {
                let family = &self.families.signs[family];
                let piece = self.pattern.pieces()[&family.activation][point * family.width + unit];
                Some(PointTarget {
                    point,
                    target: Target {
                        node: family.source,
                        selector: vec![(unit, piece.side)],
                    },
                })
            }
            Kind::Box { .. } => None,
        }
    }

    /// Computes the factors of the rows that are met for the first time.
    fn prepare(&mut self, chosen: &[Violation]) -> Result<(), RepairError> {
        let fresh: Vec<(usize, PointTarget)> = chosen
            .iter()
            .filter(|violation| !self.factors.contains_key(&violation.id))
            .filter_map(|violation| Some((violation.id, self.target(violation.kind)?)))
            .collect();
        let (ids, targets): (Vec<usize>, Vec<PointTarget>) = fresh.into_iter().unzip();
        let found = self
            .suffix
            .sensitivities(None, &targets, Some(&self.pattern))?;
        for (id, mut sensitivity) in ids.into_iter().zip(found) {
            self.metric.whiten(&mut sensitivity);
            self.factors
                .insert(id, (sensitivity.output, sensitivity.later));
        }
        Ok(())
    }

    fn row(&mut self, violation: &Violation) -> Row {
        let (value, bound) = self.sides(violation.kind);
        let (input, sensitivity, tail) = match violation.kind {
            Kind::Specification { point, .. } | Kind::Sign { point, .. } => {
                let (sensitivity, tail) = self.factors[&violation.id].clone();
                (point, sensitivity, tail)
            }
            Kind::Box { entry, upper } => match self.boxes.get(&violation.id) {
                Some(known) => known.clone(),
                None => {
                    let fresh = self.box_factors(entry, if upper { -1.0 } else { 1.0 });
                    self.boxes.insert(violation.id, fresh.clone());
                    fresh
                }
            },
        };
        Row {
            id: violation.id,
            input,
            sensitivity,
            tail,
            rhs: bound - value,
            softness: 0.0,
        }
    }

    /// The row ±Δ_entry in the coordinates of the metric.
    fn box_factors(&mut self, entry: usize, sign: f64) -> (usize, Vec<f64>, Vec<f64>) {
        let shape = self.metric.shape();
        let mut sensitivity = vec![0.0; shape.outputs];
        let mut tail = vec![0.0; shape.tail];
        let matrix = shape.outputs * shape.inputs;
        if entry >= matrix {
            tail[entry - matrix] = sign;
            self.metric.whiten_tails(&mut tail);
            // An input of its own: the row belongs to no point.
            let input = self.inputs.push(vec![0.0; shape.inputs]);
            return (input, sensitivity, tail);
        }
        sensitivity[entry / shape.inputs] = sign;
        self.metric.whiten_sensitivities(&mut sensitivity);
        let mut unit = vec![0.0; shape.inputs];
        unit[entry % shape.inputs] = 1.0;
        self.metric.whiten_inputs(&mut unit);
        (self.inputs.push(unit), sensitivity, tail)
    }
}

impl Constraints for FrozenRows<'_> {
    fn shape(&self) -> Shape {
        self.metric.shape()
    }

    fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    fn total(&self) -> usize {
        self.families.total
    }

    fn separate(&mut self, x: &Unknown, quota: &Quota) -> Result<Separation, BoxError> {
        let values = self.values(x)?;
        let (mut worst, mut violated, mut finite) = (f64::NEG_INFINITY, Vec::new(), true);
        self.violations(&values, x, |violation| {
            worst = worst.max(violation.amount);
            finite &= violation.amount.is_finite();
            if violation.amount > 0.0 {
                violated.push(violation);
            }
        });
        if !finite {
            return Err("a frozen value overflows at this change".into());
        }
        let count = violated.len();
        violated.sort_by(|a, b| b.amount.total_cmp(&a.amount).then(a.id.cmp(&b.id)));
        let mut taken: HashMap<usize, usize> = HashMap::new();
        violated.retain(|violation| {
            let group = match violation.kind {
                Kind::Specification { point, .. } | Kind::Sign { point, .. } => point,
                Kind::Box { .. } => return true,
            };
            let taken = taken.entry(group).or_default();
            *taken += 1;
            *taken <= quota.per_input
        });
        violated.truncate(quota.total);
        self.prepare(&violated)?;
        Ok(Separation {
            worst,
            violated: count,
            rows: violated
                .iter()
                .map(|violation| self.row(violation))
                .collect(),
        })
    }
}

impl Families {
    fn new(
        suffix: &Suffix<'_>,
        metric: &Metric,
        set: &RepairSet,
        pattern: &Pattern,
        boxed: bool,
    ) -> Self {
        let mut next = 0;
        let mut take = |count: usize| {
            next += count;
            next - count
        };
        let specification = set
            .points
            .iter()
            .map(|inequalities| take(inequalities.len()))
            .collect();
        let nodes = suffix.network().graph().nodes();
        let signs = pattern
            .pieces()
            .iter()
            .map(|(&activation, pieces)| SignFamily {
                activation,
                source: nodes[activation].sources[0],
                first: take(pieces.len()),
                width: pieces.len() / set.len(),
            })
            .collect();
        let boxes = take(if boxed {
            2 * metric.shape().entries()
        } else {
            0
        });
        Self {
            specification,
            signs,
            boxes,
            total: next,
        }
    }
}
