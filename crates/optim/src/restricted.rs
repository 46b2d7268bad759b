//! The master problem of [`generate`](crate::generate): some rows, some columns.
//!
//! ```text
//! minimise   sum_k (beta + alpha |s^k|_1) tau_k + alpha sum_F (p_j + q_j) + M sum_r e_r
//! subject to sum_k (a_r.s^k) tau_k + a_r.(p - q) + e_r >= b_r      written rows r
//!            p_j + q_j <= t                                        free entries j in F
//!            t = sum_k tau_k,   all variables >= 0
//! ```
//!
//! For beta = 0 (l1) there are neither t nor atoms. The slacks e_r keep every multiplier below M,
//! which is what keeps the multipliers of a master with too few columns near the right ones; M is
//! raised when a slack would stay.

use std::collections::HashSet;

use crate::lp::LinearProgram;
use crate::norms::Norm;
use crate::rows::{Inputs, Row, Shape, Unknown, apply};

/// Atoms kept; the oldest unused one makes room.
const MAX_ATOMS: usize = 24;

/// Relative distance from 0 or t at which an entry counts as being there.
const AT_STATE: f64 = 1e-4;

/// Gain below which a column is not worth adding.
const NO_GAIN: f64 = 1e-12;

/// Rows and columns written down so far.
pub(crate) struct Restricted {
    shape: Shape,
    alpha: f64,
    beta: f64,
    rows: Vec<Row>,
    ids: HashSet<usize>,
    /// Added to each right-hand side: what the solver's own tolerance left violated.
    tightened: Vec<f64>,
    penalty: f64,
    /// Free entries in increasing order, and the same as flags.
    free: Vec<usize>,
    is_free: Vec<bool>,
    /// Entries that were once joined to the atoms: freed again, they stay free.
    was_joined: Vec<bool>,
    atoms: Vec<Atom>,
}

/// A direction in which all entries that are not free move together.
struct Atom {
    /// -1, 0 or 1 per entry; 0 for free ones.
    states: Vec<i8>,
    /// tau in the last solution.
    weight: f64,
}

/// What a solution of the master stands for.
pub(crate) struct Reading {
    pub(crate) x: Unknown,
    /// The largest slack.
    pub(crate) slack: f64,
}

impl Restricted {
    /// Starts from `rows` and from `guess`, which is proportional to a guess of c = J^T y: the
    /// entries nearest to a change of state are freed, `freed` of them.
    pub(crate) fn new(
        norm: Norm,
        shape: Shape,
        rows: Vec<Row>,
        guess: &Unknown,
        freed: usize,
        penalty: f64,
    ) -> Self {
        let (alpha, beta) = norm.weights(&shape);
        let n = shape.entries();
        let mut master = Self {
            shape,
            alpha,
            beta,
            rows: Vec::new(),
            ids: HashSet::new(),
            tightened: Vec::new(),
            penalty,
            free: Vec::new(),
            is_free: vec![false; n],
            was_joined: vec![false; n],
            atoms: Vec::new(),
        };
        let scale = norm.dual(&shape, guess);
        let c: Vec<f64> = guess.entries().map(|c| c / scale).collect();
        let distance = |j: usize| (c[j].abs() - alpha).abs();
        let mut nearest: Vec<usize> = (0..n).collect();
        nearest.sort_by(|&i, &j| distance(i).total_cmp(&distance(j)));
        nearest.truncate(freed);
        master.add_rows(rows);
        master.release(&nearest);
        master.add_atom(&c);
        master
    }

    /// The rows written down.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Number of free entries.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    /// Adds the rows that it does not have; returns how many.
    pub(crate) fn add_rows(&mut self, rows: Vec<Row>) -> usize {
        let before = self.rows.len();
        for row in rows {
            if self.ids.insert(row.id) {
                self.rows.push(row);
            }
        }
        self.tightened.resize(self.rows.len(), 0.0);
        self.rows.len() - before
    }

    /// Raises the right-hand sides of the rows that `x` violates, by their violation.
    pub(crate) fn tighten(&mut self, inputs: &Inputs, x: &Unknown) {
        let values = apply(&self.shape, inputs, &self.rows, x);
        for ((row, value), extra) in self.rows.iter().zip(values).zip(&mut self.tightened) {
            *extra += (row.rhs - value).max(0.0);
        }
    }

    /// Raises the price M of a slack.
    pub(crate) fn raise_penalty(&mut self) {
        self.penalty *= 10.0;
    }

    /// The master written out. Variables: the tau_k; p_j and q_j of each free entry; the slacks; t.
    pub(crate) fn program(&self, inputs: &Inputs) -> LinearProgram {
        let mut lp = LinearProgram::new();
        let mut positive = |cost: f64| lp.variable(cost, 0.0, f64::INFINITY);
        let mut atoms = Vec::with_capacity(self.atoms.len());
        for atom in &self.atoms {
            let moving = atom.states.iter().filter(|&&s| s != 0).count() as f64;
            let direction = self.unknown(atom.states.iter().map(|&s| f64::from(s)));
            let values = apply(&self.shape, inputs, &self.rows, &direction);
            atoms.push((positive(self.beta + self.alpha * moving), values));
        }
        let pairs: Vec<(usize, usize)> = self
            .free
            .iter()
            .map(|_| (positive(self.alpha), positive(self.alpha)))
            .collect();
        let slacks: Vec<usize> = self.rows.iter().map(|_| positive(self.penalty)).collect();

        let mut coefficients = FreeCoefficients::new(self.shape, &self.free);
        for (r, row) in self.rows.iter().enumerate() {
            let mut terms = vec![(slacks[r], 1.0)];
            terms.extend(atoms.iter().map(|(tau, values)| (*tau, values[r])));
            for &(position, a) in coefficients.of(row, inputs) {
                terms.extend([(pairs[position].0, a), (pairs[position].1, -a)]);
            }
            terms.retain(|&(_, a)| a != 0.0);
            lp.at_least(terms, row.rhs + self.tightened[r]);
        }
        if self.beta > 0.0 {
            let t = lp.variable(0.0, 0.0, f64::INFINITY);
            let taus = atoms.iter().map(|&(tau, _)| (tau, 1.0));
            lp.equal(taus.chain([(t, -1.0)]), 0.0);
            for &(p, q) in &pairs {
                lp.at_most([(p, 1.0), (q, 1.0), (t, -1.0)], 0.0);
            }
        }
        lp
    }

    /// Reads a solution of [`Restricted::program`] and remembers the weights of the atoms.
    pub(crate) fn read(&mut self, solution: &[f64]) -> Reading {
        let mut entries = vec![0.0; self.shape.entries()];
        let (taus, rest) = solution.split_at(self.atoms.len());
        let (pairs, rest) = rest.split_at(2 * self.free.len());
        for (atom, &tau) in self.atoms.iter_mut().zip(taus) {
            atom.weight = tau.max(0.0);
            for (entry, &state) in entries.iter_mut().zip(&atom.states) {
                *entry += f64::from(state) * tau;
            }
        }
        for (pair, &j) in pairs.chunks_exact(2).zip(&self.free) {
            entries[j] = pair[0] - pair[1];
        }
        let slacks = &rest[..self.rows.len()];
        Reading {
            x: self.unknown(entries.into_iter()),
            slack: slacks.iter().copied().fold(0.0, f64::max),
        }
    }

    /// Joins free entries to the atoms, the clearest first, until `target` are free: those that
    /// the last solution leaves at 0 or at the bound with a slope c = J^T y that keeps them there.
    ///
    /// The last point stays representable, because a joined entry has one state in all atoms.
    pub(crate) fn join(&mut self, x: &Unknown, c: &Unknown, target: usize) {
        let excess = self.free.len().saturating_sub(target);
        if self.beta == 0.0 || excess == 0 {
            return;
        }
        let t: f64 = self.atoms.iter().map(|atom| atom.weight).sum();
        let (x, c): (Vec<f64>, Vec<f64>) = (x.entries().collect(), c.entries().collect());
        let mut clear: Vec<(usize, i8, f64)> = Vec::new();
        for &j in self.free.iter().filter(|&&j| !self.was_joined[j]) {
            let slope = c[j].abs() - self.alpha;
            if slope > 0.0 && x[j] * c[j].signum() >= t * (1.0 - AT_STATE) {
                clear.push((j, c[j].signum() as i8, slope));
            } else if slope < 0.0 && x[j].abs() <= t * AT_STATE {
                clear.push((j, 0, -slope));
            }
        }
        clear.sort_by(|a, b| b.2.total_cmp(&a.2));
        for (j, state, _) in clear.into_iter().take(excess) {
            self.is_free[j] = false;
            self.was_joined[j] = true;
            for atom in &mut self.atoms {
                atom.states[j] = state;
            }
        }
        self.free.retain(|&j| self.is_free[j]);
    }

    /// Frees the entries that the master models worst at `c = J^T y`, at most `quota`, and adds
    /// the best atom. Returns the number of entries freed: 0 means that the master's dual
    /// constraint is exact at c.
    pub(crate) fn price(&mut self, c: &Unknown, quota: usize) -> usize {
        let c: Vec<f64> = c.entries().collect();
        let mut gains: Vec<(usize, f64)> = (0..c.len())
            .filter(|&j| !self.is_free[j])
            .map(|j| (j, self.gain(j, c[j])))
            .filter(|&(_, gain)| gain > NO_GAIN)
            .collect();
        gains.sort_by(|a, b| b.1.total_cmp(&a.1));
        gains.truncate(quota);
        let entries: Vec<usize> = gains.into_iter().map(|(j, _)| j).collect();
        self.release(&entries);
        self.add_atom(&c);
        entries.len()
    }

    /// The term of entry j in f(c) less its share in the master: what freeing it adds.
    fn gain(&self, j: usize, c: f64) -> f64 {
        let exact = (c.abs() - self.alpha).max(0.0);
        let (mut modelled, mut total) = (0.0, 0.0);
        for atom in &self.atoms {
            let state = f64::from(atom.states[j]);
            modelled += atom.weight * (state * c - self.alpha * state.abs());
            total += atom.weight;
        }
        if total > 0.0 {
            exact - modelled / total
        } else {
            exact
        }
    }

    fn release(&mut self, entries: &[usize]) {
        for &j in entries {
            self.is_free[j] = true;
            for atom in &mut self.atoms {
                atom.states[j] = 0;
            }
        }
        self.free.extend_from_slice(entries);
        self.free.sort_unstable();
    }

    fn add_atom(&mut self, c: &[f64]) {
        if self.beta == 0.0 {
            return;
        }
        if self.atoms.len() >= MAX_ATOMS
            && let Some(unused) = self.atoms.iter().position(|atom| atom.weight == 0.0)
        {
            self.atoms.remove(unused);
        }
        let state = |(&c, &free): (&f64, &bool)| match !free && c.abs() > self.alpha {
            true => c.signum() as i8,
            false => 0,
        };
        self.atoms.push(Atom {
            states: c.iter().zip(&self.is_free).map(state).collect(),
            weight: 0.0,
        });
    }

    fn unknown(&self, entries: impl Iterator<Item = f64>) -> Unknown {
        let mut x = Unknown::zeros(&self.shape);
        let slots = x.matrix.iter_mut().chain(&mut x.tail);
        slots.zip(entries).for_each(|(slot, entry)| *slot = entry);
        x
    }
}

/// Coefficients of factored rows at the free entries.
struct FreeCoefficients {
    shape: Shape,
    /// By output: position in the free list and input index of each free entry.
    by_output: Vec<Vec<(usize, usize)>>,
    /// Position in the free list and index of each free entry of the tail.
    tail: Vec<(usize, usize)>,
    sums: Vec<f64>,
    terms: Vec<(usize, f64)>,
}

impl FreeCoefficients {
    fn new(shape: Shape, free: &[usize]) -> Self {
        let mut by_output = vec![Vec::new(); shape.outputs];
        let mut tail = Vec::new();
        let split = shape.outputs * shape.inputs;
        for (position, &j) in free.iter().enumerate() {
            if j < split {
                by_output[j / shape.inputs].push((position, j % shape.inputs));
            } else {
                tail.push((position, j - split));
            }
        }
        Self {
            shape,
            by_output,
            tail,
            sums: vec![0.0; free.len()],
            terms: Vec::new(),
        }
    }

    /// The nonzero coefficients of `row`, by position in the free list.
    fn of(&mut self, row: &Row, inputs: &Inputs) -> &[(usize, f64)] {
        for (t, g) in row.factors(&self.shape) {
            let h = inputs.position(row.input, t);
            let touched = self.by_output.iter().zip(g).filter(|(_, g)| **g != 0.0);
            for (entries, &g) in touched {
                for &(position, i) in entries {
                    self.sums[position] += g * h[i];
                }
            }
        }
        for &(position, i) in &self.tail {
            self.sums[position] += row.tail[i];
        }
        self.terms.clear();
        let nonzero = self.sums.iter_mut().enumerate().filter(|(_, s)| **s != 0.0);
        for (position, sum) in nonzero {
            self.terms.push((position, std::mem::take(sum)));
        }
        &self.terms
    }
}
