//! The lazily generated quadratic program against Clarabel on the same problem written out.
//!
//! The ratio is Clarabel's time over ours: on all rows where it solves those, else on the rows that
//! the last master had. `cargo bench -p optim --bench qp [-- SEEDS]`. Seconds are CPU time of the one thread used.

mod problem;

use std::collections::HashSet;

use optim::lp::{ConvexProgram, LpOutcome};
use optim::{Constraints, Limits, ListedRows, Optimum, Row, Solution, minimise_l2, solve_rows};
use problem::Size;

fn main() {
    let seeds = std::env::args().find_map(|argument| argument.parse().ok());
    let seeds: u64 = seeds.unwrap_or(3);
    println!(
        "{:>6} {:>6} {:>4} {:>6} {:>6} {:>6} {:>6} {:>8} {:>8} | {:>8} {:>8} {:>6} {:>9}",
        "points",
        "hidden",
        "seed",
        "rows",
        "used",
        "active",
        "rounds",
        "lazy s",
        "pool s",
        "clarabel",
        "in full",
        "ratio",
        "objective"
    );
    let second_layer = problem::SECOND_LAYER;
    for seed in 0..seeds {
        report(&second_layer, seed, seed == 0);
    }
    report(
        &Size {
            points: 300,
            ..second_layer
        },
        0,
        false,
    );
    for hidden in [2, 4] {
        report(
            &Size {
                hidden,
                ..second_layer
            },
            0,
            false,
        );
    }
}

/// One line of the table; Clarabel on all rows only if `in_full`.
fn report(size: &Size, seed: u64, in_full: bool) {
    let problem = problem::random(size, seed);
    let (lazy, seconds) = timed(|| {
        minimise_l2(&mut problem.clone(), &Limits::default()).expect("a well-formed problem")
    });
    print!(
        "{:>6} {:>6} {seed:>4} {:>6} ",
        size.points,
        size.hidden,
        problem.total()
    );
    let optimum = match lazy {
        Solution::Optimal(optimum) => optimum,
        Solution::Infeasible(proof) => {
            return println!(
                "{:>6} infeasible in {seconds:.3} s: {} rows, radius {:.1e}",
                proof.rows_used,
                proof.multipliers.len(),
                proof.radius()
            );
        }
        Solution::Stopped(stop) => {
            return println!(
                "{:>6} stopped in {seconds:.3} s: {:?}",
                stop.rows_used, stop.reason
            );
        }
    };
    // As many rows as the last master had, solved at once and from nothing.
    let pool = pool(&problem, &optimum);
    let (_, pool_seconds) = timed(|| {
        solve_rows(
            &problem.shape(),
            problem.inputs(),
            &pool,
            None,
            &Limits::default(),
        )
    });
    print!(
        "{:>6} {:>6} {:>6} {seconds:>8.4} {pool_seconds:>8.4} | ",
        optimum.rows_used, optimum.active, optimum.rounds,
    );
    let (objective, restricted_seconds) = once(|| written_out(&problem, &pool));
    check(objective, &optimum);
    let full_seconds = in_full.then(|| {
        let (objective, seconds) = once(|| written_out(&problem, problem.rows()));
        check(objective, &optimum);
        seconds
    });
    let shown = |number: Option<f64>| number.map_or("-".into(), |number| format!("{number:.2}"));
    println!(
        "{restricted_seconds:>8.2} {:>8} {:>6.0} {:>9.5}",
        shown(full_seconds),
        full_seconds.unwrap_or(restricted_seconds) / seconds,
        optimum.objective,
    );
}

fn check(clarabel: f64, ours: &Optimum) {
    let gap = (clarabel - ours.objective).abs() / ours.objective;
    assert!(
        gap < 1e-5,
        "clarabel's objective is {clarabel}, ours {}",
        ours.objective
    );
}

/// The active rows, filled up with others to as many as the last master had.
fn pool(problem: &ListedRows, optimum: &Optimum) -> Vec<Row> {
    let active: HashSet<usize> = optimum.multipliers.iter().map(|m| m.row).collect();
    let (mut pool, others): (Vec<Row>, Vec<Row>) = problem
        .rows()
        .iter()
        .cloned()
        .partition(|row| active.contains(&row.id));
    let missing = optimum.rows_used - pool.len();
    let stride = (others.len() / missing.max(1)).max(1);
    pool.extend(others.into_iter().step_by(stride).take(missing));
    pool
}

/// Clarabel on sparse rows: the change of the layer's output at every point is a variable of its
/// own, tied to x by equalities, or the dense rows would drown the factorisation.
fn written_out(problem: &ListedRows, rows: &[Row]) -> f64 {
    let (shape, inputs) = (problem.shape(), problem.inputs());
    let free = (f64::NEG_INFINITY, f64::INFINITY);
    let mut program = ConvexProgram::default();
    for j in 0..shape.entries() {
        program.linear.variable(0.0, free.0, free.1);
        program.quadratic.push((j, j, 1.0));
    }
    let mut images: Vec<Option<usize>> = vec![None; inputs.len()];
    for row in rows {
        let first = *images[row.input].get_or_insert_with(|| {
            let first = program.linear.variables();
            for o in 0..shape.outputs {
                let image = program.linear.variable(0.0, free.0, free.1);
                let h = inputs.position(row.input, 0).iter().enumerate();
                let terms = h.map(|(j, &h)| (o * shape.inputs + j, h));
                program.linear.equal(terms.chain([(image, -1.0)]), 0.0);
            }
            first
        });
        let sparse = |start: usize, values: &[f64]| -> Vec<(usize, f64)> {
            let entries = values.iter().copied().enumerate();
            let nonzero = entries.filter(|(_, value)| *value != 0.0);
            nonzero.map(|(j, value)| (start + j, value)).collect()
        };
        let tail = sparse(shape.outputs * shape.inputs, &row.tail);
        let terms = sparse(first, &row.sensitivity).into_iter().chain(tail);
        program.linear.at_least(terms, row.rhs);
    }
    match program.solve(None).expect("a well-formed program") {
        LpOutcome::Optimal(solution) => solution.objective,
        other => panic!("{other:?}"),
    }
}

/// The result and the CPU seconds, the mean of repetitions that last half a second: the clock of
/// a thread ticks in milliseconds.
fn timed<T>(mut work: impl FnMut() -> T) -> (T, f64) {
    let start = cpu_seconds();
    let mut result = work();
    let mut repetitions = 1.0;
    while cpu_seconds() - start < 0.5 {
        result = work();
        repetitions += 1.0;
    }
    (result, (cpu_seconds() - start) / repetitions)
}

/// The result and the CPU seconds of one run.
fn once<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = cpu_seconds();
    let result = work();
    (result, cpu_seconds() - start)
}

/// CPU seconds of this thread on Linux, wall-clock seconds elsewhere.
fn cpu_seconds() -> f64 {
    let nanoseconds = std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(
        || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(0.0, |elapsed| elapsed.as_secs_f64())
        },
        |nanoseconds| 1e-9 * nanoseconds,
    )
}
