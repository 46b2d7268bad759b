//! Inner products of rows, from their factors.
//!
//! For rows r of point i and s of point j,
//!
//! ```text
//! (J J^T)_{rs} = sum_{t,u} (h_{i,t} . h_{j,u}) (g_{r,t} . g_{s,u}) + tail_r . tail_s.
//! ```
//!
//! A row is a list of *atoms* (g, h), one per position at which it has a sensitivity. All rows
//! of a point share its h, so the products h . h are formed once per pair of positions and
//! batch, the products g . g by one matrix multiplication.

use std::collections::HashMap;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

use crate::rows::{Inputs, Row, Shape};

/// Atoms per block of sensitivity products, which bounds the memory of wide rows.
const BLOCK: usize = 256;

/// Numbers the (point, position) pairs that atoms refer to, and keeps their inputs side by side.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    shape: Shape,
    slots: HashMap<(usize, usize), usize>,
    /// Inputs h, one column of length m per slot.
    h: Vec<f64>,
}

/// Rows in the form that products need.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    shape: Shape,
    /// Sensitivities g, one column of length p per atom.
    g: Vec<f64>,
    /// Slot of each atom.
    slot: Vec<usize>,
    /// Number of atoms of each row.
    atoms: Vec<usize>,
    /// Tails, one column of length q per row.
    tails: Vec<f64>,
}

impl Stack {
    pub(crate) fn new(shape: Shape) -> Self {
        Self {
            shape,
            g: Vec::new(),
            slot: Vec::new(),
            atoms: Vec::new(),
            tails: Vec::new(),
        }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.atoms.len()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.shape);
    }

    /// Appends the rows of `other` at `positions`, which ascend.
    pub(crate) fn extend(&mut self, other: &Stack, positions: &[usize]) {
        let (p, q) = (self.shape.outputs, self.shape.tail);
        let mut wanted = positions.iter().peekable();
        let mut start = 0;
        for (row, &atoms) in other.atoms.iter().enumerate() {
            let end = start + atoms;
            if wanted.next_if_eq(&&row).is_some() {
                self.g.extend_from_slice(&other.g[start * p..end * p]);
                self.slot.extend_from_slice(&other.slot[start..end]);
                self.atoms.push(atoms);
                self.tails
                    .extend_from_slice(&other.tails[row * q..(row + 1) * q]);
            }
            start = end;
        }
    }

    /// Removes the rows at `positions`, which ascend.
    pub(crate) fn remove(&mut self, positions: &[usize]) {
        let (p, q) = (self.shape.outputs, self.shape.tail);
        let mut doomed = positions.iter().peekable();
        let (mut from, mut to, mut kept) = (0, 0, 0);
        for row in 0..self.atoms.len() {
            let atoms = self.atoms[row];
            if doomed.next_if_eq(&&row).is_none() {
                self.g.copy_within(from * p..(from + atoms) * p, to * p);
                self.slot.copy_within(from..from + atoms, to);
                self.tails.copy_within(row * q..(row + 1) * q, kept * q);
                self.atoms[kept] = atoms;
                to += atoms;
                kept += 1;
            }
            from += atoms;
        }
        self.g.truncate(to * p);
        self.slot.truncate(to);
        self.atoms.truncate(kept);
        self.tails.truncate(kept * q);
    }

    fn tails(&self) -> MatRef<'_, f64> {
        MatRef::from_column_major_slice(&self.tails, self.shape.tail, self.len())
    }
}

impl Kernel {
    pub(crate) fn new(shape: Shape) -> Self {
        Self {
            shape,
            slots: HashMap::new(),
            h: Vec::new(),
        }
    }

    /// Stacks rows that have passed [`Row::check`].
    pub(crate) fn stack<'r>(
        &mut self,
        inputs: &Inputs,
        rows: impl Iterator<Item = &'r Row>,
    ) -> Stack {
        let mut stack = Stack::new(self.shape);
        for row in rows {
            let before = stack.slot.len();
            for (t, g) in row.factors(&self.shape) {
                let next = self.slots.len();
                let slot = *self.slots.entry((row.input, t)).or_insert(next);
                if slot == next {
                    self.h.extend_from_slice(inputs.position(row.input, t));
                }
                stack.g.extend_from_slice(g);
                stack.slot.push(slot);
            }
            stack.atoms.push(stack.slot.len() - before);
            stack.tails.extend_from_slice(&row.tail);
        }
        stack
    }

    /// Inner products of the rows of `left` (down) with those of `right` (across), without
    /// softness.
    pub(crate) fn products(&self, left: &Stack, right: &Stack) -> Mat<f64> {
        let mut products = Mat::zeros(left.len(), right.len());
        matmul(
            products.as_mut(),
            Accum::Replace,
            left.tails().transpose(),
            right.tails(),
            1.0,
            Par::Seq,
        );
        let owners = |stack: &Stack| -> Vec<usize> {
            let rows = stack.atoms.iter().enumerate();
            rows.flat_map(|(row, &atoms)| std::iter::repeat_n(row, atoms))
                .collect()
        };
        let (left_owner, right_owner) = (owners(left), owners(right));
        let p = self.shape.outputs;
        let left_g = MatRef::from_column_major_slice(&left.g, p, left.slot.len());
        for start in (0..right.slot.len()).step_by(BLOCK) {
            let end = (start + BLOCK).min(right.slot.len());
            let (gram, column) = self.gram(&right.slot[start..end]);
            let mut sensitivity = Mat::zeros(left.slot.len(), end - start);
            matmul(
                sensitivity.as_mut(),
                Accum::Replace,
                left_g.transpose(),
                MatRef::from_column_major_slice(&right.g[start * p..end * p], p, end - start),
                1.0,
                Par::Seq,
            );
            for atom in start..end {
                let target = products.col_as_slice_mut(right_owner[atom]);
                let gram = gram.col_as_slice(column[atom - start]);
                let sensitivity = sensitivity.col_as_slice(atom - start);
                for ((&owner, &slot), product) in left_owner.iter().zip(&left.slot).zip(sensitivity)
                {
                    target[owner] += gram[slot] * product;
                }
            }
        }
        products
    }

    /// Products of every known h with those of `slots`: one column per distinct slot, and the
    /// column of each entry of `slots`.
    fn gram(&self, slots: &[usize]) -> (Mat<f64>, Vec<usize>) {
        let m = self.shape.inputs;
        let mut column_of = HashMap::new();
        let mut gathered = Vec::new();
        let mut columns = Vec::with_capacity(slots.len());
        for &slot in slots {
            let next = column_of.len();
            let column = *column_of.entry(slot).or_insert(next);
            if column == next {
                gathered.extend_from_slice(&self.h[slot * m..(slot + 1) * m]);
            }
            columns.push(column);
        }
        let mut gram = Mat::zeros(self.slots.len(), column_of.len());
        matmul(
            gram.as_mut(),
            Accum::Replace,
            MatRef::from_row_major_slice(&self.h, self.slots.len(), m),
            MatRef::from_column_major_slice(&gathered, m, column_of.len()),
            1.0,
            Par::Seq,
        );
        (gram, columns)
    }
}
