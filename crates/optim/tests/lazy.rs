//! Rows generated as they are violated give the optimum over all rows.

mod common;

use std::time::{Duration, Instant};

use common::{Recipe, Reference, assert_close, assert_proves, worst_violation, written_out};
use optim::{
    BoxError, Constraints, Inputs, Limits, ListedRows, OptimError, Optimum, Quota, Separation,
    Shape, Solution, StopReason, Unknown, minimise_l2,
};
use proptest::prelude::*;

/// Few rows per round, so that there are many rounds.
fn slowly() -> Limits {
    Limits {
        quota: Quota {
            per_input: 1,
            total: 3,
        },
        ..Limits::default()
    }
}

fn optimum(problem: &ListedRows, limits: &Limits) -> Optimum {
    match minimise_l2(&mut problem.clone(), limits).unwrap() {
        Solution::Optimal(optimum) => optimum,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_lazy_optimum_is_the_full_one(seed in any::<u64>(), positions in 1..4_usize) {
        let recipe = Recipe { positions, points: 8, rows_per_point: 12, ..Recipe::default() };
        let problem = recipe.draw(seed);
        let (shape, inputs, rows) = (problem.shape(), problem.inputs(), problem.rows());
        let lazy = optimum(&problem, &slowly());
        assert_close(lazy.objective, written_out(&shape, inputs, rows).optimum(), 1e-6);
        assert_close(lazy.lower_bound, lazy.objective, 1e-6);
        assert!(lazy.lower_bound <= lazy.objective + 1e-12);
        let worst = worst_violation(&shape, inputs, rows, &lazy.x);
        assert!(worst <= 1e-7 && (worst - lazy.worst_violation).abs() <= 1e-12);
        assert_eq!(lazy.rows_total, rows.len());
        assert!(lazy.active <= lazy.rows_used && lazy.rows_used <= rows.len());
    }

    #[test]
    fn a_contradiction_is_proved(seed in any::<u64>()) {
        let recipe = Recipe { points: 8, rows_per_point: 12, conflict: 1.0, ..Recipe::default() };
        let problem = recipe.draw(seed);
        let (shape, inputs, rows) = (problem.shape(), problem.inputs(), problem.rows());
        match minimise_l2(&mut problem.clone(), &slowly()).unwrap() {
            Solution::Infeasible(farkas) => assert_proves(&farkas, &shape, inputs, rows),
            Solution::Optimal(_) => {
                assert!(!matches!(written_out(&shape, inputs, rows), Reference::Infeasible));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_master_solved_only_up_to_rounding_leads_on_to_the_proof() {
    // A relaxation on the way has its optimum at a norm of 10^5, where rounding exceeds the
    // tolerance; the rows that come after it are the contradiction.
    let recipe = Recipe {
        points: 8,
        rows_per_point: 12,
        conflict: 1.0,
        ..Recipe::default()
    };
    let problem = recipe.draw(14945651529652548815);
    match minimise_l2(&mut problem.clone(), &slowly()).unwrap() {
        Solution::Infeasible(farkas) => {
            assert_proves(&farkas, &problem.shape(), problem.inputs(), problem.rows());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn rows_are_left_unwritten() {
    let recipe = Recipe {
        points: 40,
        rows_per_point: 50,
        ..Recipe::default()
    };
    let optimum = optimum(&recipe.draw(1), &Limits::default());
    assert!(optimum.rows_used < optimum.rows_total, "{optimum:?}");
}

#[test]
fn a_spent_deadline_stops_with_a_bound() {
    let limits = Limits {
        deadline: Some(Instant::now() - Duration::from_secs(1)),
        ..Limits::default()
    };
    match minimise_l2(&mut Recipe::default().draw(1), &limits).unwrap() {
        Solution::Stopped(stop) => {
            assert_eq!(stop.reason, StopReason::Time);
            assert_eq!(stop.lower_bound, 0.0);
            assert!(stop.worst_violation.unwrap() > 0.0);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn spent_rounds_stop_with_a_bound_below_the_optimum() {
    let problem = Recipe::default().draw(2);
    let full = optimum(&problem, &slowly());
    let limits = Limits {
        max_rounds: 3,
        ..slowly()
    };
    match minimise_l2(&mut problem.clone(), &limits).unwrap() {
        Solution::Stopped(stop) => {
            assert_eq!((stop.reason, stop.rounds), (StopReason::Rounds, 3));
            assert!(0.0 < stop.lower_bound && stop.lower_bound <= full.objective);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn soft_rows_are_refused() {
    let recipe = Recipe {
        softness: 0.5,
        ..Recipe::default()
    };
    let error = minimise_l2(&mut recipe.draw(1), &Limits::default()).unwrap_err();
    assert!(matches!(error, OptimError::Softness { .. }), "{error}");
}

/// Constraints whose evaluation fails.
struct Broken(Inputs);

impl Constraints for Broken {
    fn shape(&self) -> Shape {
        Shape {
            outputs: 1,
            inputs: 1,
            tail: 0,
        }
    }

    fn inputs(&self) -> &Inputs {
        &self.0
    }

    fn total(&self) -> usize {
        1
    }

    fn separate(&mut self, _: &Unknown, _: &Quota) -> Result<Separation, BoxError> {
        Err("no such file".into())
    }
}

#[test]
fn a_failed_separation_is_passed_on_with_its_source() {
    let error = minimise_l2(&mut Broken(Inputs::new(1)), &Limits::default()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "no such file");
}
