//! Multipliers of a vertex that came without them.
//!
//! Complementary slackness leaves few unknowns: only tight rows have a
//! multiplier, and a variable strictly between its bounds has reduced cost 0.
//! At a nondegenerate vertex the tight rows `T` and the variables between `B`
//! are equally many, and the multipliers solve the square system
//! `A_TB' y = c_B`. At a degenerate one they solve the dual program over the
//! tight rows.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::lu::partial_pivoting::{factor, solve as substitution};
use faer::{Mat, Par};

use super::microlp::Vertex;
use super::{LinearProgram, LpSolution};

/// Distance, relative to `1 + |side|`, at which a row or bound counts as tight.
const TIGHT: f64 = 1e-7;

/// Above this order the dense square system costs more than a sparse dual program.
const LARGEST_SYSTEM: usize = 4000;

/// One multiplier per row of `lp` that proves the vertex `x` optimal, trying in
/// turn the square system, the dual program over the tight rows and the whole
/// dual program; `solve` solves a program.
pub(super) fn recover(
    lp: &LinearProgram,
    x: &[f64],
    solve: impl Fn(&LinearProgram) -> Vertex,
) -> Vertex {
    let tight: Vec<usize> = (0..lp.rows())
        .filter(|&r| !between(lp.row_at(r, x), lp.sides()[r]))
        .collect();
    let proves = |y: &[f64]| LpSolution::verified(lp, x.to_vec(), y.to_vec()).is_some();
    if let Some(y) = square_system(lp, x, &tight)
        && proves(&y)
    {
        return Vertex::Optimal(y);
    }
    if tight.len() < lp.rows()
        && let Vertex::Optimal(y) = dual_program(lp, &tight, &solve)
        && proves(&y)
    {
        return Vertex::Optimal(y);
    }
    let all: Vec<usize> = (0..lp.rows()).collect();
    dual_program(lp, &all, &solve)
}

fn between(value: f64, (lower, upper): (f64, f64)) -> bool {
    let clear = |side: f64| side.is_infinite() || (value - side).abs() > TIGHT * (1.0 + side.abs());
    clear(lower) && clear(upper)
}

fn square_system(lp: &LinearProgram, x: &[f64], tight: &[usize]) -> Option<Vec<f64>> {
    let free: Vec<usize> = (0..lp.variables())
        .filter(|&j| between(x[j], lp.bounds()[j]))
        .collect();
    let k = free.len();
    if tight.len() != k || k > LARGEST_SYSTEM {
        return None;
    }
    let mut position = vec![usize::MAX; lp.variables()];
    for (i, &j) in free.iter().enumerate() {
        position[j] = i;
    }
    let mut transposed = Mat::<f64>::zeros(k, k);
    for (t, &r) in tight.iter().enumerate() {
        for (j, a) in lp.terms(r).filter(|&(j, _)| position[j] != usize::MAX) {
            transposed[(position[j], t)] = a;
        }
    }
    let mut solution = Mat::from_fn(k, 1, |i, _| lp.costs()[free[i]]);
    solve_in_place(transposed, &mut solution);
    let mut y = vec![0.0; lp.rows()];
    for (t, &r) in tight.iter().enumerate() {
        y[r] = solution[(t, 0)];
    }
    y.iter().all(|v| v.is_finite()).then_some(y)
}

/// Overwrites `rhs` by `matrix^-1 rhs`, through an LU factorisation on one thread.
fn solve_in_place(mut matrix: Mat<f64>, rhs: &mut Mat<f64>) {
    let k = matrix.nrows();
    let (mut forward, mut backward) = (vec![0_usize; k], vec![0_usize; k]);
    let scratch = factor::lu_in_place_scratch::<usize, f64>(k, k, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let (_, permutation) = factor::lu_in_place(
        matrix.as_mut(),
        &mut forward,
        &mut backward,
        Par::Seq,
        MemStack::new(&mut memory),
        Default::default(),
    );
    let scratch = substitution::solve_in_place_scratch::<usize, f64>(k, 1, Par::Seq);
    let mut memory = MemBuffer::new(scratch);
    substitution::solve_in_place(
        matrix.as_ref(),
        matrix.as_ref(),
        permutation,
        rhs.as_mut(),
        Par::Seq,
        MemStack::new(&mut memory),
    );
}

/// Solves `maximise sum y+ lo - y- hi + sum d+ l - d- u` subject to
/// `A' y + d = c`, multipliers of the rows outside `rows` being 0.
fn dual_program(
    lp: &LinearProgram,
    rows: &[usize],
    solve: &impl Fn(&LinearProgram) -> Vertex,
) -> Vertex {
    let mut dual = LinearProgram::new();
    let mut columns: Vec<Vec<(usize, f64)>> = vec![Vec::new(); lp.variables()];
    let mut multipliers = Vec::with_capacity(rows.len());
    for &r in rows {
        let parts = priced(&mut dual, lp.sides()[r]);
        for (j, a) in lp.terms(r) {
            columns[j].extend(parts.iter().map(|&part| (part, a)));
        }
        multipliers.push(parts);
    }
    for (j, mut column) in columns.into_iter().enumerate() {
        let parts = priced(&mut dual, lp.bounds()[j]);
        column.extend(parts.iter().map(|&part| (part, 1.0)));
        dual.equal(column, lp.costs()[j]);
    }
    let solution = match solve(&dual) {
        Vertex::Optimal(solution) => solution,
        ended => return ended,
    };
    let mut y = vec![0.0; lp.rows()];
    for (&r, parts) in rows.iter().zip(&multipliers) {
        y[r] = parts.iter().map(|&part| solution[part]).sum();
    }
    Vertex::Optimal(y)
}

/// The variables whose sum is the multiplier of an interval: one free variable
/// for an equality, else one per finite side.
fn priced(dual: &mut LinearProgram, (lower, upper): (f64, f64)) -> Vec<usize> {
    if lower == upper {
        return vec![dual.variable(-lower, f64::NEG_INFINITY, f64::INFINITY)];
    }
    let mut parts = Vec::with_capacity(2);
    if lower.is_finite() {
        parts.push(dual.variable(-lower, 0.0, f64::INFINITY));
    }
    if upper.is_finite() {
        parts.push(dual.variable(-upper, f64::NEG_INFINITY, 0.0));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lp::LpOutcome;

    /// minimise 2x + 3y subject to x + y >= 4, x - y <= 2, x <= 9: optimum (3, 1).
    fn nondegenerate() -> LinearProgram {
        let mut lp = LinearProgram::new();
        lp.variable(2.0, 0.0, f64::INFINITY);
        lp.variable(3.0, f64::NEG_INFINITY, f64::INFINITY);
        lp.at_least([(0, 1.0), (1, 1.0)], 4.0);
        lp.at_most([(0, 1.0), (1, -1.0)], 2.0);
        lp.at_most([(0, 1.0)], 9.0);
        lp
    }

    #[test]
    fn a_nondegenerate_vertex_needs_no_second_program() {
        let none = |_: &LinearProgram| Vertex::Ended(LpOutcome::Unbounded);
        let Vertex::Optimal(y) = recover(&nondegenerate(), &[3.0, 1.0], none) else {
            panic!("solved a second program");
        };
        assert!((y[0] - 2.5).abs() < 1e-12 && (y[1] + 0.5).abs() < 1e-12 && y[2] == 0.0);
    }

    #[test]
    fn a_point_that_is_not_optimal_gets_the_multipliers_of_the_optimum() {
        // (4, 2) is feasible but no vertex: only the whole dual program has an answer.
        let asked = std::cell::RefCell::new(Vec::new());
        let ended = recover(&nondegenerate(), &[4.0, 2.0], |dual| {
            asked.borrow_mut().push((dual.variables(), dual.rows()));
            Vertex::Ended(LpOutcome::Infeasible)
        });
        assert!(matches!(ended, Vertex::Ended(LpOutcome::Infeasible)));
        // One row is tight (x - y <= 2) and x has a bound; then all three rows.
        assert_eq!(*asked.borrow(), [(2, 2), (4, 2)]);
    }
}
