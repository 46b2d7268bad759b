//! The quadratic program over listed rows agrees with an independent solver.

mod common;

use common::{Recipe, Reference, assert_close, assert_proves, worst_violation, written_out};
use faer::Mat;
use optim::{
    Constraints, Inputs, Limits, ListedRows, Master, MasterOutcome, OptimError, Row, RowOptimum,
    RowSolution, Shape, solve_kernel, solve_rows,
};
use proptest::prelude::*;

fn solve(problem: &ListedRows) -> RowSolution {
    let limits = Limits::default();
    solve_rows(
        &problem.shape(),
        problem.inputs(),
        problem.rows(),
        None,
        &limits,
    )
    .unwrap()
}

fn optimum(problem: &ListedRows) -> RowOptimum {
    match solve(problem) {
        RowSolution::Optimal(optimum) => optimum,
        other => panic!("{other:?}"),
    }
}

/// Compares with the interior-point solver, infeasible problems included.
fn assert_agrees(problem: &ListedRows) {
    let (shape, inputs, rows) = (problem.shape(), problem.inputs(), problem.rows());
    match (solve(problem), written_out(&shape, inputs, rows)) {
        (RowSolution::Optimal(ours), Reference::Optimum(theirs)) => {
            assert_close(ours.objective, theirs, 1e-6);
            assert_close(ours.lower_bound, ours.objective, 1e-7);
            assert!(ours.worst_violation <= 1e-7);
            assert!(ours.multipliers.iter().all(|&lambda| lambda >= 0.0));
            if rows.iter().all(|row| row.softness == 0.0) {
                assert!(worst_violation(&shape, inputs, rows, &ours.x) <= 1.1e-7);
            }
        }
        (RowSolution::Infeasible(farkas), Reference::Infeasible) => {
            assert_proves(&farkas, &shape, inputs, rows);
        }
        (RowSolution::Optimal(_) | RowSolution::Infeasible(_), Reference::Unsolved) => {}
        (ours, theirs) => panic!("{ours:?} against {theirs:?}"),
    }
}

fn recipes() -> impl Strategy<Value = (Recipe, u64)> {
    let sizes = (1..4_usize, 1..6_usize, 0..3_usize);
    let counts = (1..7_usize, 1..4_usize, 1..10_usize);
    let softness = prop_oneof![Just(0.0), 0.01..2.0];
    let conflict = prop_oneof![Just(0.0), Just(1.0)];
    (sizes, counts, softness, conflict, any::<u64>()).prop_map(
        |(
            (outputs, inputs, tail),
            (points, positions, rows_per_point),
            softness,
            conflict,
            seed,
        )| {
            let shape = Shape {
                outputs,
                inputs,
                tail,
            };
            let recipe = Recipe {
                shape,
                points,
                positions,
                rows_per_point,
                softness,
                conflict,
            };
            (recipe, seed)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_problems_agree_with_clarabel((recipe, seed) in recipes()) {
        assert_agrees(&recipe.draw(seed));
    }

    #[test]
    fn rows_that_touch_one_position_agree_with_clarabel(seed in any::<u64>()) {
        let recipe = Recipe { positions: 3, softness: 0.2, ..Recipe::default() };
        let problem = recipe.draw(seed);
        let (shape, mut rows) = (problem.shape(), problem.rows().to_vec());
        for (r, row) in rows.iter_mut().enumerate() {
            let positions = row.sensitivity.chunks_exact_mut(shape.outputs).enumerate();
            let others = positions.filter(|(t, _)| *t != r % 4);
            others.for_each(|(_, g)| g.fill(0.0));
        }
        assert_agrees(&ListedRows::new(shape, problem.inputs().clone(), rows).unwrap());
    }

    #[test]
    fn duplicate_and_nearly_dependent_rows_agree_with_clarabel(
        seed in any::<u64>(),
        exponent in 4..13_i32,
    ) {
        let problem = Recipe::default().draw(seed);
        let mut rows = problem.rows().to_vec();
        for i in 0..rows.len() / 2 {
            let mut twin = rows[i].clone();
            twin.id = rows.len();
            if i % 2 == 0 {
                // Looser, so that the problem stays feasible.
                twin.sensitivity[0] += 10.0_f64.powi(-exponent);
                twin.rhs -= 1e-3;
            }
            rows.push(twin);
        }
        assert_agrees(&ListedRows::new(problem.shape(), problem.inputs().clone(), rows).unwrap());
    }

    #[test]
    fn a_warm_start_reaches_the_same_optimum(seed in any::<u64>(), guess in 0.0..3.0_f64) {
        let recipe = Recipe { softness: 0.1, conflict: 0.5, ..Recipe::default() };
        let problem = recipe.draw(seed);
        let cold = optimum(&problem);
        let warm: Vec<f64> = (0..problem.rows().len())
            .map(|r| if r % 3 == 0 { guess } else { cold.multipliers[r] })
            .collect();
        let limits = Limits::default();
        let (shape, inputs) = (problem.shape(), problem.inputs());
        match solve_rows(&shape, inputs, problem.rows(), Some(&warm), &limits).unwrap() {
            RowSolution::Optimal(warm) => assert_close(warm.objective, cold.objective, 1e-9),
            other => panic!("{other:?}"),
        }
    }
}

fn row(id: usize, input: usize, sensitivity: &[f64], rhs: f64) -> Row {
    Row {
        id,
        input,
        sensitivity: sensitivity.to_vec(),
        tail: vec![],
        rhs,
        softness: 0.0,
    }
}

fn plane(rows: Vec<Row>) -> ListedRows {
    let shape = Shape {
        outputs: 2,
        inputs: 1,
        tail: 0,
    };
    let mut inputs = Inputs::new(1);
    inputs.push(vec![1.0]);
    ListedRows::new(shape, inputs, rows).unwrap()
}

#[test]
fn no_violated_row_leaves_the_origin() {
    let ours = optimum(&plane(vec![
        row(0, 0, &[1.0, 0.0], -1.0),
        row(1, 0, &[0.0, 1.0], 0.0),
    ]));
    assert_eq!((ours.objective, ours.active), (0.0, 0));
    assert!(
        optimum(&plane(vec![]))
            .x
            .entries()
            .all(|value| value == 0.0)
    );
}

#[test]
fn a_row_that_a_later_one_makes_idle_is_dropped() {
    // x >= 1 alone is active at (1, 0); x + y >= 4 alone at (2, 2), where x >= 1 is idle.
    let ours = optimum(&plane(vec![
        row(0, 0, &[1.0, 0.0], 1.0),
        row(1, 0, &[1.0, 1.0], 4.0),
    ]));
    assert_close(ours.objective, 4.0, 1e-12);
    assert_eq!(ours.multipliers[0], 0.0);
}

#[test]
fn a_dependent_row_replaces_the_one_that_it_dominates() {
    let ours = optimum(&plane(vec![
        row(0, 0, &[1.0, 0.0], 1.0),
        row(1, 0, &[0.0, 1.0], 1.0),
        row(2, 0, &[2.0, 2.0], 6.0),
        row(3, 0, &[3.0, 0.0], 6.0),
    ]));
    // x >= 2 and x + y >= 3 with y >= 1: the optimum is (2, 1).
    assert_close(ours.x.matrix[0], 2.0, 1e-12);
    assert_close(ours.x.matrix[1], 1.0, 1e-12);
}

#[test]
fn opposite_rows_are_infeasible_and_named() {
    let problem = plane(vec![
        row(7, 0, &[0.0, 1.0], -5.0),
        row(8, 0, &[1.0, 0.0], 1.0),
        row(9, 0, &[-2.0, 0.0], -1.0),
    ]);
    match solve(&problem) {
        RowSolution::Infeasible(farkas) => {
            let mut named: Vec<usize> = farkas.multipliers.iter().map(|m| m.row).collect();
            named.sort();
            assert_eq!(named, [8, 9]);
            assert!(farkas.radius() > 1e6);
            assert_proves(&farkas, &problem.shape(), problem.inputs(), problem.rows());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn rows_that_a_change_of_a_thousand_satisfies_are_no_conflict() {
    // All but cancelling, and asking for all but nothing: (-1052, 1053) satisfies both.
    let problem = plane(vec![
        row(0, 0, &[1.0, 1.0], 1.0),
        row(1, 0, &[-1.0, -1.0 + 1.9e-9], -1.0 + 2e-6),
    ]);
    assert!(!matches!(solve(&problem), RowSolution::Infeasible(_)));
    // With more asked for the same columns are a conflict up to rounding.
    let problem = plane(vec![
        row(0, 0, &[1.0, 1.0], 1.0),
        row(1, 0, &[-1.0, -1.0 + 1.9e-9], 1.0),
    ]);
    assert!(matches!(solve(&problem), RowSolution::Infeasible(_)));
}

#[test]
fn a_row_without_coefficients_is_infeasible_or_idle() {
    let zero = |rhs| plane(vec![row(0, 0, &[0.0, 0.0], rhs)]);
    assert!(matches!(solve(&zero(1.0)), RowSolution::Infeasible(_)));
    assert!(matches!(solve(&zero(-1.0)), RowSolution::Optimal(_)));
}

#[test]
fn a_soft_conflict_is_split_by_the_prices() {
    // x >= 1 at softness 1 against -x >= 1 at softness 3.
    let mut rows = vec![row(0, 0, &[1.0, 0.0], 1.0), row(1, 0, &[-1.0, 0.0], 1.0)];
    rows[0].softness = 1.0;
    rows[1].softness = 3.0;
    let ours = optimum(&plane(rows));
    // Stationarity: x = lambda_0 - lambda_1, x + lambda_0 = 1, -x + 3 lambda_1 = 1.
    assert_close(ours.x.matrix[0], 2.0 / 7.0, 1e-12);
    assert_close(ours.slacks[0], 5.0 / 7.0, 1e-12);
    assert_close(ours.slacks[1], 9.0 / 7.0, 1e-12);
}

#[test]
fn a_stalled_active_set_is_finished_from_an_interior_point() {
    let limits = Limits {
        max_pivots: 1,
        ..Limits::default()
    };
    let recipe = Recipe {
        rows_per_point: 20,
        ..Recipe::default()
    };
    for seed in 0..20 {
        let problem = recipe.draw(seed);
        let (shape, inputs) = (problem.shape(), problem.inputs());
        match solve_rows(&shape, inputs, problem.rows(), None, &limits).unwrap() {
            RowSolution::Optimal(ours) => {
                assert_close(ours.objective, optimum(&problem).objective, 1e-9);
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}

#[test]
fn changed_right_hand_sides_are_solved_from_the_last_multipliers() {
    let problem = Recipe::default().draw(3);
    let mut master = Master::new(problem.shape(), problem.inputs().clone());
    for row in problem.rows() {
        assert!(master.push(row.clone()).unwrap());
        assert!(!master.push(row.clone()).unwrap());
    }
    let limits = Limits::default();
    for factor in [1.0, 0.5, 1.5, 0.0] {
        master
            .set_rhs(|row| factor * problem.rows()[row.id].rhs)
            .unwrap();
        assert!(matches!(
            master.solve(&limits).unwrap(),
            MasterOutcome::Optimal
        ));
        let mut rows = problem.rows().to_vec();
        rows.iter_mut().for_each(|row| row.rhs *= factor);
        let fresh = ListedRows::new(problem.shape(), problem.inputs().clone(), rows).unwrap();
        assert_close(master.objective(), optimum(&fresh).objective, 1e-9);
        assert!(
            master
                .violations()
                .iter()
                .all(|&violation| violation <= 1e-7)
        );
    }
}

#[test]
fn the_same_problem_gives_the_same_bits() {
    let recipe = Recipe {
        positions: 2,
        rows_per_point: 20,
        ..Recipe::default()
    };
    let (first, second) = (optimum(&recipe.draw(5)), optimum(&recipe.draw(5)));
    assert_eq!(first.x, second.x);
    assert_eq!(first.multipliers, second.multipliers);
}

#[test]
fn a_kernel_matrix_gives_the_optimum_of_its_rows_with_the_same_bits_on_any_number_of_threads() {
    let recipe = Recipe {
        shape: Shape {
            outputs: 20,
            inputs: 30,
            tail: 0,
        },
        points: 20,
        rows_per_point: 15,
        // More than one block of the factorisation; soft, so that the kernel is regular.
        softness: 1e-3,
        ..Recipe::default()
    };
    let problem = recipe.draw(3);
    let (shape, inputs, rows) = (problem.shape(), problem.inputs(), problem.rows());
    let dense: Vec<Vec<f64>> = rows.iter().map(|row| row.dense(&shape, inputs)).collect();
    let kernel = Mat::from_fn(rows.len(), rows.len(), |i, j| {
        let product: f64 = dense[i].iter().zip(&dense[j]).map(|(a, b)| a * b).sum();
        product + if i == j { rows[i].softness } else { 0.0 }
    });
    let rhs: Vec<f64> = rows.iter().map(|row| row.rhs).collect();
    let multipliers = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let limits = Limits::default();
        let solve = || solve_kernel(kernel.clone(), &rhs, &limits).unwrap();
        match pool.unwrap().install(solve) {
            RowSolution::Optimal(optimum) => optimum.multipliers,
            other => panic!("{other:?}"),
        }
    };
    let (one, three) = (multipliers(1), multipliers(3));
    assert_eq!(one, three);
    let expected = optimum(&problem).multipliers;
    for (a, b) in one.iter().zip(expected) {
        assert_close(*a, b, 1e-7);
    }
}

#[test]
fn misfits_are_errors() {
    let shape = Shape {
        outputs: 2,
        inputs: 1,
        tail: 0,
    };
    let mut inputs = Inputs::new(1);
    inputs.push(vec![1.0]);
    let good = row(0, 0, &[1.0, 0.0], 1.0);
    let bad = [
        Row {
            input: 1,
            ..good.clone()
        },
        Row {
            sensitivity: vec![1.0],
            ..good.clone()
        },
        Row {
            tail: vec![1.0],
            ..good.clone()
        },
        Row {
            rhs: f64::NAN,
            ..good.clone()
        },
        Row {
            softness: -1.0,
            ..good.clone()
        },
    ];
    let limits = Limits::default();
    for row in bad {
        assert!(solve_rows(&shape, &inputs, &[row], None, &limits).is_err());
    }
    let twice = [good.clone(), good.clone()];
    assert!(matches!(
        solve_rows(&shape, &inputs, &twice, None, &limits),
        Err(OptimError::DuplicateRow { row: 0 })
    ));
    assert!(solve_rows(&shape, &inputs, &[good], Some(&[]), &limits).is_err());
    let ragged = Inputs::new(3);
    assert!(row(0, 0, &[1.0], 0.0).check(&shape, &ragged).is_err());
}
