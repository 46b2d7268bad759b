//! Minimal norms, generated row by row and column by column, equal those of the whole program.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Recipe, assert_close, assert_proves, worst_violation};
use optim::lp::{Clarabel, LinearProgram, LpOutcome, LpSolver, LpStop, Microlp, solvers};
use optim::{
    Constraints, Limits, ListedRows, Norm, OptimError, Optimum, Shape, Solution, StopReason,
    Unknown, adjoint, minimise_norm,
};
use proptest::prelude::*;

/// The norm's minimum over all rows, in one program over all entries; `None` if infeasible.
fn written_out(norm: Norm, constraints: &ListedRows) -> Option<f64> {
    let shape = constraints.shape();
    let (alpha, beta) = norm.weights(&shape);
    let mut lp = LinearProgram::new();
    let t = lp.variable(beta, 0.0, f64::INFINITY);
    for _ in 0..shape.entries() {
        let p = lp.variable(alpha, 0.0, f64::INFINITY);
        let q = lp.variable(alpha, 0.0, f64::INFINITY);
        if beta > 0.0 {
            lp.at_most([(p, 1.0), (q, 1.0), (t, -1.0)], 0.0);
        }
    }
    for row in constraints.rows() {
        let dense = row.dense(&shape, constraints.inputs());
        let terms = dense.into_iter().enumerate();
        lp.at_least(
            terms.flat_map(|(j, a)| [(2 * j + 1, a), (2 * j + 2, -a)]),
            row.rhs,
        );
    }
    match Clarabel.solve(&lp, None).unwrap() {
        LpOutcome::Optimal(solution) => Some(solution.objective),
        LpOutcome::Infeasible => None,
        other => panic!("{other:?}"),
    }
}

fn optimum(norm: Norm, constraints: &ListedRows, solver: &dyn LpSolver) -> Optimum {
    let solution = minimise_norm(norm, &mut constraints.clone(), solver, &Limits::default());
    match solution.unwrap() {
        Solution::Optimal(optimum) => optimum,
        other => panic!("{norm} with {}: {other:?}", solver.name()),
    }
}

/// Every claim that an optimum makes, recomputed from the rows.
fn assert_consistent(norm: Norm, constraints: &ListedRows, optimum: &Optimum) {
    let (shape, inputs, rows) = (
        constraints.shape(),
        constraints.inputs(),
        constraints.rows(),
    );
    let worst = worst_violation(&shape, inputs, rows, &optimum.x);
    assert!(worst <= 1e-7 + 1e-12, "violates a row by {worst}");
    assert!((worst - optimum.worst_violation).abs() < 1e-9);
    assert_close(norm.value(&shape, &optimum.x), optimum.objective, 1e-12);
    assert!(optimum.objective - optimum.lower_bound <= 1e-6 * optimum.objective + 1e-8);
    let weighted = optimum.multipliers.iter().map(|m| {
        let row = rows.iter().find(|row| row.id == m.row).unwrap();
        assert_eq!(row.input, m.input);
        (row, m.value)
    });
    let value: f64 = weighted.clone().map(|(row, y)| row.rhs * y).sum();
    let slope = adjoint(&shape, inputs, weighted);
    if optimum.objective > 0.0 {
        assert!(norm.dual(&shape, &slope) <= 1.0 + 1e-9, "not dual feasible");
        assert_close(value, optimum.objective, 1e-5);
    }
    assert_eq!(optimum.rows_total, rows.len());
    assert!(optimum.rows_used <= rows.len());
}

#[test]
fn the_smallest_change_of_one_row_is_known() {
    // 3 x_0 - 4 x_1 + x_2 >= 12: l1 puts all on x_1, linf spreads 12/8, l1+linf uses two entries.
    let shape = Shape {
        outputs: 1,
        inputs: 2,
        tail: 1,
    };
    let mut inputs = optim::Inputs::new(2);
    inputs.push(vec![3.0, -4.0]);
    let row = optim::Row {
        id: 7,
        input: 0,
        sensitivity: vec![1.0],
        tail: vec![1.0],
        rhs: 12.0,
        softness: 0.0,
    };
    let constraints = ListedRows::new(shape, inputs, vec![row]).unwrap();
    for solver in solvers() {
        for (norm, x, value) in [
            (Norm::L1, [0.0, -3.0, 0.0], 3.0),
            (Norm::LInf, [1.5, -1.5, 1.5], 1.5),
            (Norm::L1PlusLInf, [12.0 / 7.0, -12.0 / 7.0, 0.0], 12.0 / 4.2),
        ] {
            let optimum = optimum(norm, &constraints, solver);
            assert_close(optimum.objective, value, 1e-6);
            for (got, expected) in optimum.x.entries().zip(x) {
                assert_close(got, expected, 1e-5);
            }
            assert_consistent(norm, &constraints, &optimum);
        }
    }
}

#[test]
fn nothing_violated_needs_no_change() {
    let constraints = Recipe::default().draw(3);
    let rows = constraints
        .rows()
        .iter()
        .cloned()
        .map(|row| optim::Row { rhs: -1.0, ..row });
    let rows = rows.collect();
    let free = ListedRows::new(constraints.shape(), constraints.inputs().clone(), rows).unwrap();
    for norm in Norm::ALL {
        let optimum = optimum(norm, &free, &Microlp);
        assert_eq!(optimum.objective, 0.0);
        assert_eq!(optimum.x, Unknown::zeros(&free.shape()));
    }
}

#[test]
fn contradictions_are_proved() {
    let constraints = Recipe {
        conflict: 20.0,
        rows_per_point: 12,
        ..Recipe::default()
    }
    .draw(1);
    assert_eq!(written_out(Norm::LInf, &constraints), None);
    for norm in Norm::ALL {
        let limits = Limits::default();
        match minimise_norm(norm, &mut constraints.clone(), &Clarabel, &limits).unwrap() {
            Solution::Infeasible(farkas) => assert_proves(
                &farkas,
                &constraints.shape(),
                constraints.inputs(),
                constraints.rows(),
            ),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn soft_rows_are_refused() {
    let mut constraints = Recipe {
        softness: 0.5,
        ..Recipe::default()
    }
    .draw(4);
    let refused = minimise_norm(Norm::L1, &mut constraints, &Clarabel, &Limits::default());
    assert!(
        matches!(refused, Err(OptimError::Softness { .. })),
        "{refused:?}"
    );
}

/// A solver whose time is up after a number of programs.
struct Interrupted(AtomicUsize);

impl LpSolver for Interrupted {
    fn name(&self) -> &'static str {
        "interrupted"
    }

    fn solve(&self, lp: &LinearProgram, limit: Option<Duration>) -> Result<LpOutcome, OptimError> {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(1), Ordering::Relaxed);
        match left {
            0 => Ok(LpOutcome::Stopped(LpStop::Time)),
            _ => Clarabel.solve(lp, limit),
        }
    }
}

#[test]
fn a_stop_carries_a_feasible_point_and_a_bound() {
    let constraints = many_entries().draw(5);
    for norm in Norm::ALL {
        let full = written_out(norm, &constraints).unwrap();
        let solver = Interrupted(AtomicUsize::new(1));
        let solution =
            minimise_norm(norm, &mut constraints.clone(), &solver, &Limits::default()).unwrap();
        let Solution::Stopped(stop) = solution else {
            panic!("{norm} took one round: {solution:?}");
        };
        assert_eq!(stop.reason, StopReason::Time);
        let (shape, rows) = (constraints.shape(), constraints.rows());
        let best = stop.best.unwrap();
        let worst = worst_violation(&shape, constraints.inputs(), rows, &best);
        assert!(worst <= 1e-7 + 1e-12);
        assert!(norm.value(&shape, &best) >= full * (1.0 - 1e-6));
        assert!(stop.lower_bound > 0.0 && stop.lower_bound <= full * (1.0 + 1e-6));
    }
}

#[test]
fn the_same_problem_has_the_same_answer_bit_for_bit() {
    let constraints = Recipe {
        points: 8,
        ..Recipe::default()
    }
    .draw(6);
    for norm in Norm::ALL {
        for solver in solvers() {
            let first = optimum(norm, &constraints, solver);
            let second = optimum(norm, &constraints, solver);
            assert_eq!(first.x, second.x);
            assert_eq!(first.multipliers, second.multipliers);
        }
    }
}

fn recipes() -> impl Strategy<Value = Recipe> {
    let sizes = (1_usize..5, 1_usize..6, 0_usize..4);
    let counts = (1_usize..8, 1_usize..4, 1_usize..8);
    (sizes, counts).prop_map(
        |((outputs, inputs, tail), (points, positions, rows_per_point))| Recipe {
            shape: Shape {
                outputs,
                inputs,
                tail,
            },
            points,
            positions,
            rows_per_point,
            ..Recipe::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn generated_optimum_equals_the_full_one(recipe in recipes(), seed in 0_u64..10_000) {
        let constraints = recipe.draw(seed);
        for norm in Norm::ALL {
            let full = written_out(norm, &constraints).unwrap();
            for solver in solvers() {
                let optimum = optimum(norm, &constraints, solver);
                assert_close(optimum.objective, full, 1e-5);
                assert_consistent(norm, &constraints, &optimum);
            }
        }
    }
}

/// 504 entries and 60 rows: more entries than a master starts with.
fn many_entries() -> Recipe {
    Recipe {
        shape: Shape {
            outputs: 20,
            inputs: 25,
            tail: 4,
        },
        points: 10,
        ..Recipe::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn columns_are_generated_where_there_are_many(seed in 0_u64..10_000) {
        let constraints = many_entries().draw(seed);
        for norm in Norm::ALL {
            let optimum = optimum(norm, &constraints, &Clarabel);
            assert_close(optimum.objective, written_out(norm, &constraints).unwrap(), 1e-5);
            assert_consistent(norm, &constraints, &optimum);
        }
    }
}
