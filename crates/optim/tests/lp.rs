//! The solvers behind `LpSolver` agree with each other and with duality.

use std::time::Duration;

use optim::OptimError;
use optim::lp::{
    Clarabel, ConvexProgram, LinearProgram, LpOutcome, LpSolution, LpSolver, LpStop, by_name,
    solvers,
};
use proptest::prelude::*;

const FREE: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);
const POSITIVE: (f64, f64) = (0.0, f64::INFINITY);

fn optimum(solver: &dyn LpSolver, lp: &LinearProgram) -> LpSolution {
    match solver.solve(lp, None).unwrap() {
        LpOutcome::Optimal(solution) => solution,
        other => panic!("{}: {other:?}", solver.name()),
    }
}

fn program(variables: &[(f64, (f64, f64))], rows: &[(&[f64], f64, f64)]) -> LinearProgram {
    let mut lp = LinearProgram::new();
    for &(cost, (lower, upper)) in variables {
        lp.variable(cost, lower, upper);
    }
    for &(terms, lower, upper) in rows {
        lp.row(terms.iter().copied().enumerate(), lower, upper);
    }
    lp
}

#[test]
fn multipliers_are_the_prices_of_the_sides() {
    // minimise 2x + 3y, x + y >= 4, x - y <= 2: optimum (3, 1), prices 5/2 and -1/2.
    let inf = f64::INFINITY;
    let lp = program(
        &[(2.0, POSITIVE), (3.0, POSITIVE)],
        &[(&[1.0, 1.0], 4.0, inf), (&[1.0, -1.0], -inf, 2.0)],
    );
    for solver in solvers() {
        let solution = optimum(solver, &lp);
        assert!((solution.objective - 9.0).abs() < 1e-6, "{}", solver.name());
        assert!((solution.x[0] - 3.0).abs() < 1e-6 && (solution.x[1] - 1.0).abs() < 1e-6);
        assert!(
            (solution.duals[0] - 2.5).abs() < 1e-6,
            "{:?}",
            solution.duals
        );
        assert!(
            (solution.duals[1] + 0.5).abs() < 1e-6,
            "{:?}",
            solution.duals
        );
    }
}

#[test]
fn a_degenerate_vertex_has_multipliers() {
    // Three rows through one vertex in the plane, one of them twice.
    let inf = f64::INFINITY;
    let lp = program(
        &[(1.0, FREE), (1.0, FREE)],
        &[
            (&[1.0, 2.0], 3.0, inf),
            (&[2.0, 1.0], 3.0, inf),
            (&[1.0, 1.0], 2.0, inf),
            (&[1.0, 1.0], 2.0, inf),
        ],
    );
    for solver in solvers() {
        let solution = optimum(solver, &lp);
        assert!((solution.objective - 2.0).abs() < 1e-6);
        assert!((solution.dual_objective - 2.0).abs() < 1e-6);
        assert!(solution.duals.iter().all(|&y| y >= -1e-7));
    }
}

#[test]
fn contradictions_are_infeasible_and_free_descent_is_unbounded() {
    let inf = f64::INFINITY;
    let contradiction = program(&[(1.0, FREE)], &[(&[1.0], 1.0, inf), (&[1.0], -inf, 0.0)]);
    let descent = program(&[(-1.0, POSITIVE)], &[(&[1.0], 1.0, inf)]);
    for solver in solvers() {
        assert_eq!(
            solver.solve(&contradiction, None).unwrap(),
            LpOutcome::Infeasible
        );
        assert_eq!(solver.solve(&descent, None).unwrap(), LpOutcome::Unbounded);
    }
}

#[test]
fn malformed_programs_are_named() {
    let mut nan = LinearProgram::new();
    nan.variable(f64::NAN, 0.0, 1.0);
    let mut unknown = LinearProgram::new();
    unknown.variable(1.0, 0.0, 1.0);
    unknown.at_least([(1, 1.0)], 0.0);
    let mut twice = LinearProgram::new();
    twice.variable(1.0, 0.0, 1.0);
    twice.at_least([(0, 1.0), (0, 1.0)], 0.0);
    let mut crossed = LinearProgram::new();
    crossed.variable(1.0, 1.0, 0.0);
    for (lp, at) in [
        (nan, "cost of variable 0"),
        (unknown, "row 0, variable 1"),
        (twice, "row 0, variable 0"),
        (crossed, "bounds of variable 0"),
    ] {
        for solver in solvers() {
            match solver.solve(&lp, None) {
                Err(OptimError::Program { at: found, .. }) => assert_eq!(found, at),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_spent_time_limit_is_an_outcome() {
    let lp = covering(60, 90, 7);
    for solver in solvers() {
        let outcome = solver.solve(&lp, Some(Duration::ZERO)).unwrap();
        assert_eq!(
            outcome,
            LpOutcome::Stopped(LpStop::Time),
            "{}",
            solver.name()
        );
    }
}

#[test]
fn solvers_are_found_by_name() {
    for solver in solvers() {
        assert_eq!(by_name(solver.name()).unwrap().name(), solver.name());
    }
    let message = by_name("gurobi").err().unwrap().to_string();
    assert!(message.contains("microlp, clarabel"), "{message}");
}

#[test]
fn a_projection_is_solved_with_its_multiplier() {
    // Nearest point to (1, 2) with x + y <= 1: (0, 1), price 1.
    let mut linear = LinearProgram::new();
    linear.variable(-1.0, f64::NEG_INFINITY, f64::INFINITY);
    linear.variable(-2.0, f64::NEG_INFINITY, f64::INFINITY);
    linear.at_most([(0, 1.0), (1, 1.0)], 1.0);
    let program = ConvexProgram {
        linear,
        // Repeated entries are summed.
        quadratic: vec![(1, 1, 0.25), (0, 0, 1.0), (1, 1, 0.75)],
    };
    let LpOutcome::Optimal(solution) = program.solve(None).unwrap() else {
        panic!("no optimum");
    };
    assert!(solution.x[0].abs() < 1e-6 && (solution.x[1] - 1.0).abs() < 1e-6);
    assert!((solution.duals[0] + 1.0).abs() < 1e-6);
    assert!((solution.objective + 1.5).abs() < 1e-6);
    assert!(solution.gap() < 1e-6);
}

#[test]
fn a_quadratic_entry_below_the_diagonal_is_refused() {
    let mut linear = LinearProgram::new();
    linear.variable(0.0, 0.0, 1.0);
    linear.variable(0.0, 0.0, 1.0);
    let program = ConvexProgram {
        linear,
        quadratic: vec![(1, 0, 1.0)],
    };
    assert!(matches!(
        program.solve(None),
        Err(OptimError::Program { .. })
    ));
}

/// A feasible bounded program: positive costs, positive coefficients, covering rows.
fn covering(rows: usize, variables: usize, seed: u64) -> LinearProgram {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut lp = LinearProgram::new();
    for _ in 0..variables {
        lp.variable(rng.random_range(0.5..2.0), 0.0, f64::INFINITY);
    }
    for _ in 0..rows {
        let terms: Vec<(usize, f64)> = (0..variables)
            .filter_map(|j| rng.random_bool(0.5).then_some((j, 1.0)))
            .collect();
        let terms = terms
            .into_iter()
            .map(|(j, a)| (j, a * rng.random_range(0.1..1.0)));
        let terms: Vec<(usize, f64)> = terms.collect();
        lp.at_least(terms, rng.random_range(-1.0..1.0));
    }
    lp
}

fn interval() -> impl Strategy<Value = (f64, f64)> {
    (-2.0..2.0, 0.0..2.0, 0_u8..5).prop_map(|(low, width, kind)| match kind {
        0 => FREE,
        1 => (low, f64::INFINITY),
        2 => (f64::NEG_INFINITY, low),
        3 => (low, low + width),
        _ => (low, low),
    })
}

prop_compose! {
    fn any_program()(n in 1_usize..8, m in 0_usize..8)(
        costs in prop::collection::vec(-1.0..1.0, n),
        bounds in prop::collection::vec(interval(), n),
        rows in prop::collection::vec((prop::collection::vec(-1.0..1.0, n), interval()), m),
    ) -> LinearProgram {
        let mut lp = LinearProgram::new();
        for (&cost, &(lower, upper)) in costs.iter().zip(&bounds) {
            lp.variable(cost, lower, upper);
        }
        for (terms, (lower, upper)) in &rows {
            lp.row(terms.iter().copied().enumerate(), *lower, *upper);
        }
        lp
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn solvers_agree_on_any_program(lp in any_program()) {
        let [first, second] = solvers().map(|solver| solver.solve(&lp, None).unwrap());
        match (&first, &second) {
            (LpOutcome::Optimal(a), LpOutcome::Optimal(b)) => {
                let scale = 1.0 + a.objective.abs();
                prop_assert!((a.objective - b.objective).abs() < 1e-5 * scale);
                for solution in [a, b] {
                    prop_assert!(lp.violation(&solution.x) < 1e-5);
                    prop_assert!((lp.objective_at(&solution.x) - solution.objective).abs() < 1e-9 * scale);
                    let dual = lp.dual_value(lp.costs(), &solution.duals);
                    prop_assert!(dual.infeasibility < 1e-5);
                    prop_assert!((dual.objective - solution.objective).abs() < 1e-5 * scale);
                }
            }
            (LpOutcome::Optimal(_), other) | (other, LpOutcome::Optimal(_)) => {
                prop_assert!(matches!(other, LpOutcome::Stopped(_)), "{first:?}\n{second:?}");
            }
            // A program that is both primal and dual infeasible is either.
            _ => {}
        }
    }

    #[test]
    fn every_solver_solves_covering_programs(
        rows in 1_usize..30, variables in 1_usize..30, seed in 0_u64..1000,
    ) {
        let mut lp = covering(rows, variables, seed);
        let slack = lp.variable(5.0, 0.0, f64::INFINITY);
        lp.at_least((0..=slack).map(|j| (j, 1.0)), 1.0);
        let feasible = lp.violation(&vec![1e6; lp.variables()]) <= 0.0;
        for solver in solvers().into_iter().filter(|_| feasible) {
            let solution = optimum(solver, &lp);
            prop_assert!(solution.gap() < 1e-6);
            prop_assert!(solution.violation < 1e-6);
        }
    }

    #[test]
    fn a_quadratic_optimum_satisfies_its_first_order_conditions(
        lp in any_program(), weight in 0.1..2.0,
    ) {
        let n = lp.variables();
        let quadratic = (0..n).map(|j| (j, j, weight)).collect();
        let program = ConvexProgram { linear: lp.clone(), quadratic };
        if let LpOutcome::Optimal(solution) = program.solve(None).unwrap() {
            let gradient: Vec<f64> = lp.costs().iter().zip(&solution.x)
                .map(|(c, x)| c + weight * x).collect();
            // The linear program with this gradient has the same optimum.
            let value: f64 = gradient.iter().zip(&solution.x).map(|(g, x)| g * x).sum();
            let dual = lp.dual_value(&gradient, &solution.duals);
            prop_assert!(dual.infeasibility < 1e-5);
            prop_assert!((dual.objective - value).abs() < 1e-5 * (1.0 + value.abs()));
        } else {
            prop_assert!(!matches!(Clarabel.solve(&lp, None).unwrap(), LpOutcome::Optimal(_)));
        }
    }
}
