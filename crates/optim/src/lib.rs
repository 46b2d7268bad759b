//! Minimise a norm of an unknown under more inequalities than fit in memory.
//!
//! ```text
//! minimise    1/2 ||x||^2,  or  ||x||_1,  ||x||_inf,  ||x||_1 / n + ||x||_inf
//! subject to  a_r . x >= b_r    for every row r
//! ```
//!
//! The unknown x = (X, t) is a matrix and a tail; a row is kept as factors,
//! a_r . x = sum_t g_{r,t}^T X h_{i,t} + tail_r . t ([`rows`]). The caller evaluates all rows at a
//! candidate and hands over the most violated ones ([`Constraints`]); the solvers write down no
//! others, yet every answer holds for all rows:
//!
//! ```
//! use optim::{Inputs, Limits, ListedRows, Row, Shape, Solution, minimise_l2};
//!
//! # fn main() -> Result<(), optim::OptimError> {
//! // X is 1 x 2. One point h = (1, 2): X h >= 5 and, with the opposite sensitivity, X h <= 10.
//! let shape = Shape { outputs: 1, inputs: 2, tail: 0 };
//! let mut inputs = Inputs::new(shape.inputs);
//! let point = inputs.push(vec![1.0, 2.0]);
//! let row = |id, g, rhs| Row {
//!     id,
//!     input: point,
//!     sensitivity: vec![g],
//!     tail: vec![],
//!     rhs,
//!     softness: 0.0,
//! };
//! let rows = vec![row(0, 1.0, 5.0), row(1, -1.0, -10.0)];
//! let mut constraints = ListedRows::new(shape, inputs, rows)?;
//!
//! let Solution::Optimal(optimum) = minimise_l2(&mut constraints, &Limits::default())? else {
//!     panic!("the rows do not contradict each other");
//! };
//! assert!((optimum.x.matrix[0] - 1.0).abs() < 1e-9); // the nearest point of X h = 5
//! assert!((optimum.x.matrix[1] - 2.0).abs() < 1e-9);
//! assert_eq!((optimum.rows_used, optimum.rows_total), (1, 2));
//! assert!(optimum.worst_violation <= 1e-7);
//! # Ok(())
//! # }
//! ```
//!
//! What there is:
//!
//! - [`minimise_l2`]: rows generated lazily, each master problem solved exactly by a dual
//!   active-set method on the kernel matrix J J^T ([`Master`]), whose Cholesky factor is updated
//!   as rows come and go; Clarabel takes over if it stalls;
//! - [`solve_rows`]: the same program over exactly the rows given, soft rows included, and
//!   [`solve_kernel`], over rows of which only the inner products are known;
//! - [`minimise_norm`]: the other norms ([`Norm`]), with rows *and* columns generated,
//!   over any [`lp::LpSolver`];
//! - [`Solution`]: an optimum with its dual bound and the worst violation over all rows, a Farkas
//!   vector that proves a contradiction, or the reason for stopping early.
//!
//! What there is not: equality rows, other quadratic terms than the identity (put the metric
//! into the inputs and sensitivities), integer variables. The kernel matrix of the active rows
//! is dense, so a few thousand of them are the practical limit. Everything but the factor of a
//! given kernel matrix runs on one thread, and the same problem gives the same bits.

mod active_set;
pub mod constraints;
pub mod error;
mod factor;
mod fallback;
pub mod generate;
mod kernel;
pub mod lazy;
pub mod lp;
pub mod master;
pub mod norms;
mod restricted;
pub mod row_qp;
pub mod rows;
pub mod solution;

pub use constraints::{Constraints, ListedRows, Quota, Separation};
pub use error::{BoxError, OptimError};
pub use generate::minimise_norm;
pub use lazy::minimise_l2;
pub use master::{Master, MasterOutcome};
pub use norms::Norm;
pub use row_qp::{RowOptimum, RowSolution, solve_kernel, solve_rows};
pub use rows::{Inputs, Row, Shape, Unknown, adjoint, apply};
pub use solution::{CANCELLATION, Farkas, Limits, Multiplier, Optimum, Solution, Stop, StopReason};
