//! Random problems, and the same problems written out in full.
#![allow(dead_code)] // Every test program compiles its own copy and uses a part of it.

use optim::lp::{ConvexProgram, LpOutcome};
use optim::{Farkas, Inputs, ListedRows, Row, Shape, Unknown, adjoint, apply};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a random problem looks like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    pub(crate) shape: Shape,
    pub(crate) points: usize,
    /// Positions per point; 1 is a linear layer.
    pub(crate) positions: usize,
    pub(crate) rows_per_point: usize,
    /// Softness of every row.
    pub(crate) softness: f64,
    /// Noise on the right-hand sides: 0 leaves a random point feasible.
    pub(crate) conflict: f64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            shape: Shape {
                outputs: 3,
                inputs: 4,
                tail: 2,
            },
            points: 5,
            positions: 1,
            rows_per_point: 6,
            softness: 0.0,
            conflict: 0.0,
        }
    }
}

impl Recipe {
    /// Draws a problem that a random point satisfies, `conflict` aside.
    pub(crate) fn draw(&self, seed: u64) -> ListedRows {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut numbers =
            |n: usize| -> Vec<f64> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
        let shape = self.shape;
        let mut inputs = Inputs::new(shape.inputs);
        for _ in 0..self.points {
            inputs.push(numbers(self.positions * shape.inputs));
        }
        let feasible = Unknown::from_entries(&shape, numbers(shape.entries())).unwrap();
        let mut rows = Vec::new();
        for input in 0..self.points {
            for _ in 0..self.rows_per_point {
                let mut row = Row {
                    id: rows.len(),
                    input,
                    sensitivity: numbers(self.positions * shape.outputs),
                    tail: numbers(shape.tail),
                    rhs: 0.0,
                    softness: self.softness,
                };
                let value = apply(&shape, &inputs, [&row], &feasible)[0];
                let noise = numbers(2);
                row.rhs = value - 0.1 * (1.0 + noise[0]) + self.conflict * (1.0 + noise[1]);
                rows.push(row);
            }
        }
        ListedRows::new(shape, inputs, rows).unwrap()
    }
}

/// What the interior-point solver says.
#[derive(Debug)]
pub(crate) enum Reference {
    Optimum(f64),
    Infeasible,
    /// It fails on about one in 100,000 random problems.
    Unsolved,
}

impl Reference {
    pub(crate) fn optimum(&self) -> f64 {
        match self {
            Reference::Optimum(objective) => *objective,
            other => panic!("{other:?}"),
        }
    }
}

/// The optimum of 1/2 ||x||^2 + sum xi^2 / (2 s) over all rows, each written out, by the
/// interior-point solver.
pub(crate) fn written_out(shape: &Shape, inputs: &Inputs, rows: &[Row]) -> Reference {
    let mut program = ConvexProgram::default();
    for j in 0..shape.entries() {
        program
            .linear
            .variable(0.0, f64::NEG_INFINITY, f64::INFINITY);
        program.quadratic.push((j, j, 1.0));
    }
    for row in rows {
        let mut terms: Vec<(usize, f64)> =
            row.dense(shape, inputs).into_iter().enumerate().collect();
        if row.softness > 0.0 {
            let slack = program.linear.variable(0.0, 0.0, f64::INFINITY);
            program.quadratic.push((slack, slack, 1.0 / row.softness));
            terms.push((slack, 1.0));
        }
        program.linear.at_least(terms, row.rhs);
    }
    match program.solve(None).unwrap() {
        LpOutcome::Optimal(solution) => Reference::Optimum(solution.objective),
        LpOutcome::Infeasible => Reference::Infeasible,
        LpOutcome::Stopped(_) => Reference::Unsolved,
        other => panic!("{other:?}"),
    }
}

/// Largest b - a . x over rows written out, apart from the factored code.
pub(crate) fn worst_violation(shape: &Shape, inputs: &Inputs, rows: &[Row], x: &Unknown) -> f64 {
    let violation = |row: &Row| -> f64 {
        let value: f64 = row
            .dense(shape, inputs)
            .iter()
            .zip(x.entries())
            .map(|(a, x)| a * x)
            .sum();
        row.rhs - value
    };
    rows.iter().map(violation).fold(f64::NEG_INFINITY, f64::max)
}

/// Recomputes a proof of infeasibility from the rows that it names.
pub(crate) fn assert_proves(farkas: &Farkas, shape: &Shape, inputs: &Inputs, rows: &[Row]) {
    let named: Vec<(&Row, f64)> = farkas
        .multipliers
        .iter()
        .map(|m| {
            let row = rows.iter().find(|row| row.id == m.row).unwrap();
            assert_eq!(row.input, m.input);
            assert!(m.value > 0.0);
            (row, m.value)
        })
        .collect();
    let value: f64 = named.iter().map(|(row, y)| row.rhs * y).sum();
    let residual = adjoint(shape, inputs, named.iter().copied()).norm_l2();
    assert!((value - farkas.value).abs() <= 1e-12 * (1.0 + value.abs()));
    assert!(
        value > 1e5 * residual,
        "b.y = {value}, ||J'y|| = {residual}"
    );
}

/// Asserts |a - b| <= tolerance (1 + |b|).
pub(crate) fn assert_close(a: f64, b: f64, tolerance: f64) {
    assert!(
        (a - b).abs() <= tolerance * (1.0 + b.abs()),
        "{a} against {b}"
    );
}
