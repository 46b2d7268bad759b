//! Seconds to minimise each norm over a random problem of a digit classifier's second layer.
//!
//! `cargo bench -p optim --bench norms [-- NORM.. SOLVER..]`: by default all norms with Clarabel
//! and l1 with the simplex, whose masters for the other norms take minutes. Wall seconds of one
//! thread.

use std::time::{Duration, Instant};

use optim::lp::{LpSolver, solvers};
use optim::{Limits, Norm, Solution, minimise_norm};

mod problem;

/// Seconds after which a run is stopped.
const LIMIT: u64 = 120;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let named = |name: &str| wanted.iter().any(|argument| argument == name);
    let any_norm = Norm::ALL.iter().any(|norm| named(norm.name()));
    let any_solver = solvers().iter().any(|solver| named(solver.name()));
    println!(
        "{:8} {:9} {:>8} {:>7} {:>6} {:>6} {:>7} {:>13} {:>8}",
        "norm", "solver", "seconds", "rounds", "rows", "used", "active", "objective", "gap"
    );
    for norm in Norm::ALL {
        for solver in solvers() {
            let usual = solver.name() == "clarabel" || norm == Norm::L1;
            let norm_runs = !any_norm || named(norm.name());
            let solver_runs = named(solver.name()) || (!any_solver && usual);
            if norm_runs && solver_runs {
                report(norm, solver);
            }
        }
    }
}

fn report(norm: Norm, solver: &dyn LpSolver) {
    let mut constraints = problem::random(&problem::SECOND_LAYER, 1);
    let start = Instant::now();
    let limits = Limits {
        deadline: start.checked_add(Duration::from_secs(LIMIT)),
        ..Limits::default()
    };
    let solution = minimise_norm(norm, &mut constraints, solver, &limits);
    let seconds = start.elapsed().as_secs_f64();
    print!("{:8} {:9} {seconds:>8.2} ", norm.name(), solver.name());
    match solution {
        Ok(Solution::Optimal(o)) => println!(
            "{:>7} {:>6} {:>6} {:>7} {:>13.6e} {:>8.1e}",
            o.rounds,
            o.rows_total,
            o.rows_used,
            o.active,
            o.objective,
            1.0 - o.lower_bound / o.objective,
        ),
        Ok(Solution::Infeasible(proof)) => println!("infeasible, radius {:.1e}", proof.radius()),
        Ok(Solution::Stopped(stop)) => println!("stopped: {:?}", stop.reason),
        Err(error) => println!("{error}"),
    }
}
