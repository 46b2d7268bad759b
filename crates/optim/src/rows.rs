//! The unknown, and rows that are kept as factors instead of being written out.
//!
//! The unknown x = (X, t) is a matrix X (outputs p x inputs m) and a tail t (q entries). A row
//! reads
//!
//! ```text
//! a_r . x = sum_t g_{r,t}^T X h_{i,t} + tail_r . t  >=  b_r
//! ```
//!
//! where h_{i,t} is the start layer's input at position t of repair point i (one position for a
//! linear layer, one per output pixel for a convolution) and g_{r,t} the sensitivity of the
//! constrained quantity to the start layer's output at that position. Two products are all that
//! a solver needs: J x ([`apply`]) and J^T y ([`adjoint`]); neither forms a dense row.

use std::sync::Arc;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use crate::error::{OptimError, check_finite, check_len};

/// Size of the unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows p of the matrix block.
    pub outputs: usize,
    /// Columns m of the matrix block.
    pub inputs: usize,
    /// Length q of the tail.
    pub tail: usize,
}

impl Shape {
    /// Number of entries of the unknown, p m + q.
    pub fn entries(&self) -> usize {
        self.outputs * self.inputs + self.tail
    }
}

/// Inputs of the start layer, in the metric of the objective: one entry per repair point.
///
/// Cloning shares the numbers.
#[derive(Clone, Debug)]
pub struct Inputs {
    width: usize,
    values: Vec<Arc<[f64]>>,
}

impl Inputs {
    /// No inputs yet, each of whose positions will have `width` numbers (= [`Shape::inputs`]).
    pub fn new(width: usize) -> Self {
        Self {
            width,
            values: Vec::new(),
        }
    }

    /// Appends the input of one repair point (positions x width, row-major) and returns its index.
    ///
    /// Its length is checked where a row first uses it.
    pub fn push(&mut self, values: Vec<f64>) -> usize {
        self.values.push(values.into());
        self.values.len() - 1
    }

    /// Numbers per position.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of repair points.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Number of positions of repair point `i`; 0 if there is no such point.
    pub fn positions(&self, i: usize) -> usize {
        self.get(i).len().checked_div(self.width).unwrap_or(0)
    }

    /// The input of repair point `i`, positions x width, row-major; empty if there is no such
    /// point.
    pub fn get(&self, i: usize) -> &[f64] {
        self.values.get(i).map_or(&[], |values| values)
    }

    /// The input of repair point `i` at position `t`; empty if there is no such position.
    pub fn position(&self, i: usize, t: usize) -> &[f64] {
        self.get(i)
            .get(t * self.width..(t + 1) * self.width)
            .unwrap_or(&[])
    }
}

/// One inequality a_r . x >= b_r, factored.
#[derive(Clone, Debug)]
pub struct Row {
    /// Identifier of the constraint, unique over all rows of a problem.
    pub id: usize,
    /// Index of its repair point in [`Inputs`].
    pub input: usize,
    /// Sensitivities g_{r,t}, positions x outputs, row-major.
    pub sensitivity: Vec<f64>,
    /// Coefficients of the tail.
    pub tail: Vec<f64>,
    /// Right-hand side b_r.
    pub rhs: f64,
    /// 0 for a hard row; s > 0 admits a slack xi at the price xi^2 / (2 s), which adds s to the
    /// row's own kernel entry.
    pub softness: f64,
}

impl Row {
    /// Errors unless the row fits the shape and its input, and all its numbers are finite.
    pub fn check(&self, shape: &Shape, inputs: &Inputs) -> Result<(), OptimError> {
        if self.input >= inputs.len() {
            return Err(OptimError::UnknownInput {
                row: self.id,
                input: self.input,
                inputs: inputs.len(),
            });
        }
        check_len(shape.inputs, inputs.width(), || {
            "width of the inputs".into()
        })?;
        let positions = inputs.positions(self.input);
        let values = inputs.get(self.input);
        check_len(positions.max(1) * shape.inputs, values.len(), || {
            format!("input {}", self.input)
        })?;
        check_len(positions * shape.outputs, self.sensitivity.len(), || {
            format!("sensitivity of row {}", self.id)
        })?;
        check_len(shape.tail, self.tail.len(), || {
            format!("tail of row {}", self.id)
        })?;
        check_finite(values, || format!("input {}", self.input))?;
        check_finite(&self.sensitivity, || {
            format!("sensitivity of row {}", self.id)
        })?;
        check_finite(&self.tail, || format!("tail of row {}", self.id))?;
        check_finite(&[self.rhs, self.softness], || {
            format!("right-hand side and softness of row {}", self.id)
        })?;
        if self.softness < 0.0 {
            return Err(OptimError::Softness {
                row: self.id,
                expected: "a softness >= 0",
                got: self.softness,
            });
        }
        Ok(())
    }

    /// Positions at which the sensitivity is not all zero, with the sensitivity there.
    pub fn factors(&self, shape: &Shape) -> impl Iterator<Item = (usize, &[f64])> {
        self.sensitivity
            .chunks_exact(shape.outputs.max(1))
            .enumerate()
            .filter(|(_, g)| g.iter().any(|&value| value != 0.0))
    }

    /// The row written out: p m + q numbers, the matrix block row-major. For small problems.
    pub fn dense(&self, shape: &Shape, inputs: &Inputs) -> Vec<f64> {
        let mut dense = vec![0.0; shape.entries()];
        for (t, g) in self.factors(shape) {
            let h = inputs.position(self.input, t);
            for (row, &g) in dense.chunks_exact_mut(shape.inputs.max(1)).zip(g) {
                row.iter_mut().zip(h).for_each(|(entry, h)| *entry += g * h);
            }
        }
        dense[shape.outputs * shape.inputs..].copy_from_slice(&self.tail);
        dense
    }
}

/// A value of the unknown x = (X, t).
#[derive(Clone, Debug, PartialEq)]
pub struct Unknown {
    /// The matrix block, outputs x inputs, row-major.
    pub matrix: Vec<f64>,
    /// The tail.
    pub tail: Vec<f64>,
}

impl Unknown {
    /// The origin.
    pub fn zeros(shape: &Shape) -> Self {
        Self {
            matrix: vec![0.0; shape.outputs * shape.inputs],
            tail: vec![0.0; shape.tail],
        }
    }

    /// Splits p m + q numbers, the matrix block first and row-major.
    ///
    /// # Errors
    /// [`OptimError::Shape`] if there are more or fewer.
    pub fn from_entries(shape: &Shape, mut entries: Vec<f64>) -> Result<Self, OptimError> {
        check_len(shape.entries(), entries.len(), || "unknown".into())?;
        let tail = entries.split_off(shape.outputs * shape.inputs);
        Ok(Self {
            matrix: entries,
            tail,
        })
    }

    /// All entries, the matrix block first and row-major.
    pub fn entries(&self) -> impl Iterator<Item = f64> + '_ {
        self.matrix.iter().chain(&self.tail).copied()
    }

    /// Sum of squares.
    pub fn norm_squared(&self) -> f64 {
        dot(&self.matrix, &self.matrix) + dot(&self.tail, &self.tail)
    }

    /// Euclidean norm.
    pub fn norm_l2(&self) -> f64 {
        self.norm_squared().sqrt()
    }

    /// Sum of absolute values.
    pub fn norm_l1(&self) -> f64 {
        self.entries().map(f64::abs).sum()
    }

    /// Largest absolute value.
    pub fn norm_linf(&self) -> f64 {
        self.entries().map(f64::abs).fold(0.0, f64::max)
    }

    /// Adds `factor` times `other`, which has the same shape.
    pub fn add_scaled(&mut self, factor: f64, other: &Unknown) {
        let pairs = self.matrix.iter_mut().zip(&other.matrix);
        let tails = self.tail.iter_mut().zip(&other.tail);
        pairs.chain(tails).for_each(|(a, b)| *a += factor * b);
    }
}

/// J x: the value a_r . x of every row. Rows must have passed [`Row::check`].
pub fn apply<'r>(
    shape: &Shape,
    inputs: &Inputs,
    rows: impl IntoIterator<Item = &'r Row> + Clone,
    x: &Unknown,
) -> Vec<f64> {
    let slots = Slots::of(shape, inputs, rows.clone());
    // X h for every (point, position) that some row uses, one column each.
    let p = shape.outputs;
    let mut images = vec![0.0; p * slots.count];
    if !images.is_empty() {
        matmul(
            MatMut::from_column_major_slice_mut(&mut images, p, slots.count),
            Accum::Replace,
            MatRef::from_row_major_slice(&x.matrix, p, shape.inputs),
            MatRef::from_column_major_slice(&slots.gather(inputs), shape.inputs, slots.count),
            1.0,
            Par::Seq,
        );
    }
    rows.into_iter()
        .map(|row| {
            let matrix: f64 = row
                .factors(shape)
                .map(|(t, g)| {
                    let slot = slots.of_position(row.input, t);
                    dot(g, &images[slot * p..(slot + 1) * p])
                })
                .sum();
            matrix + dot(&row.tail, &x.tail)
        })
        .collect()
}

/// J^T y: the sum of y_r a_r over `rows`, given with their weights. Rows must have passed
/// [`Row::check`].
pub fn adjoint<'r>(
    shape: &Shape,
    inputs: &Inputs,
    weighted: impl Iterator<Item = (&'r Row, f64)> + Clone,
) -> Unknown {
    let weighted = weighted.filter(|(_, weight)| *weight != 0.0);
    let slots = Slots::of(shape, inputs, weighted.clone().map(|(row, _)| row));
    let p = shape.outputs;
    let mut x = Unknown::zeros(shape);
    // Sensitivities summed per (point, position) first: rows of one point share its input.
    let mut sums = vec![0.0; p * slots.count];
    for (row, weight) in weighted {
        for (t, g) in row.factors(shape) {
            let slot = slots.of_position(row.input, t);
            add_scaled(&mut sums[slot * p..(slot + 1) * p], weight, g);
        }
        add_scaled(&mut x.tail, weight, &row.tail);
    }
    if !sums.is_empty() && !x.matrix.is_empty() {
        matmul(
            MatMut::from_row_major_slice_mut(&mut x.matrix, p, shape.inputs),
            Accum::Replace,
            MatRef::from_column_major_slice(&sums, p, slots.count),
            MatRef::from_row_major_slice(&slots.gather(inputs), slots.count, shape.inputs),
            1.0,
            Par::Seq,
        );
    }
    x
}

/// Numbers the (point, position) pairs at which some row has a sensitivity.
struct Slots {
    /// Where a point's positions begin in `slot`; `usize::MAX` for a point that no row names.
    first: Vec<usize>,
    /// Slot of a position; `usize::MAX` for one that no row uses.
    slot: Vec<usize>,
    /// Point and position of each slot.
    members: Vec<(usize, usize)>,
    count: usize,
}

impl Slots {
    fn of<'r>(shape: &Shape, inputs: &Inputs, rows: impl IntoIterator<Item = &'r Row>) -> Self {
        let mut slots = Self {
            first: vec![usize::MAX; inputs.len()],
            slot: Vec::new(),
            members: Vec::new(),
            count: 0,
        };
        for row in rows {
            if slots.first[row.input] == usize::MAX {
                slots.first[row.input] = slots.slot.len();
                let end = slots.slot.len() + inputs.positions(row.input);
                slots.slot.resize(end, usize::MAX);
            }
            for (t, _) in row.factors(shape) {
                let slot = &mut slots.slot[slots.first[row.input] + t];
                if *slot == usize::MAX {
                    *slot = slots.count;
                    slots.members.push((row.input, t));
                    slots.count += 1;
                }
            }
        }
        slots
    }

    fn of_position(&self, input: usize, t: usize) -> usize {
        self.slot[self.first[input] + t]
    }

    /// The inputs h of all slots, slots x width, row-major.
    fn gather(&self, inputs: &Inputs) -> Vec<f64> {
        let mut values = Vec::with_capacity(self.count * inputs.width());
        for &(input, t) in &self.members {
            values.extend_from_slice(inputs.position(input, t));
        }
        values
    }
}

/// a . b, summed in eight lanes so that it vectorises.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// a += factor b.
pub(crate) fn add_scaled(a: &mut [f64], factor: f64, b: &[f64]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += factor * b);
}
