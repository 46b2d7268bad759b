//! Provable point repair.
//!
//! Given a network, a start layer k, repair points x_i with specifications on
//! their outputs and an objective, find
//!
//! ```text
//! min_Δ  objective(Δ)    subject to    Σ_c a_c y_c(x_i; W + Δ) >= bound   for every point and inequality
//! ```
//!
//! with Δ = (W_k, b_k, later biases), and decide the result on the weights as
//! they are saved, rounded to their dtype, in f64, by code other than the encoder.
//!
//! ```
//! use network::{Activation, DeviceChoice, Network, Precision, mlp};
//! use repair::{Inequality, Objective, Options, Outcome, Problem, RepairSet, repair};
//!
//! # fn main() -> Result<(), repair::RepairError> {
//! let checkpoint = mlp::random(&[2, 6, 2], Activation::Relu, 1)?;
//! let network = Network::load(&checkpoint, &DeviceChoice::Flex.open()?, Precision::F64)?;
//! // At (1, 0) output 0 must win by 0.5, at (0, 1) output 1.
//! let wins = |a, b| vec![Inequality { terms: vec![(a, 1.0), (b, -1.0)], bound: 0.5 }];
//! let set = RepairSet::linear(vec![1.0, 0.0, 0.0, 1.0], &[2], vec![wins(0, 1), wins(1, 0)]);
//! let problem = Problem {
//!     network: &network,
//!     checkpoint: &checkpoint,
//!     layers: &network.layers()[1..],
//!     set: &set,
//!     guard: None,
//!     start: None,
//! };
//! let options = Options { objective: Objective::L2, ..Options::default() };
//! let Outcome::Repaired(repair) = repair(&problem, &options)? else { panic!("not repaired") };
//! assert!(repair.least_slack >= 0.0 && repair.efficacy == 100.0);
//! # Ok(())
//! # }
//! ```
//!
//! Supported: every layer but embeddings, several at once in a sequential repair, through every
//! operator of [`network`]; frozen patterns through ReLU, LeakyReLU, Hardswish outside [-3, 3] and
//! max-pool, for layers whose outputs all read the same inputs; objectives [`Objective::ALL`].
//! Not supported: regions, embeddings.

mod affine;
mod attribution;
pub mod baselines;
mod behind;
mod change;
mod coordinates;
mod duplicates;
mod equilibration;
mod error;
mod families;
mod first_order;
mod frozen;
mod full;
mod guard;
mod linearised;
mod margin;
mod metric;
mod objective;
mod outcome;
mod predict;
mod problem;
mod sequential;
mod solve;
mod specification;
mod suffix;
mod summed;
mod units;
mod verify;
mod written;

pub use affine::{Affine, Features, repairable, supported};
pub use attribution::{
    Answers, Attribution, ClassAnswers, Flip, LayerChange, SHARE, Size, smallest_share,
};
pub use behind::{Behind, batch_size};
pub use change::Change;
pub use duplicates::{NEAR, NearDuplicate, NearDuplicates, near_duplicates};
pub use error::RepairError;
pub use first_order::{FirstOrder, first_order};
pub use frozen::{FrozenRows, Safety};
pub use full::{FullOutcome, FullProgram};
pub use guard::{GroupMoments, GuardMoments, LayerMoments};
pub use margin::{
    MARGINS, MarginChoice, MarginTrial, Selection, TOLERANCE, choose_margin, margins,
};
pub use metric::{DAMPING, Metric};
pub use objective::{Method, Objective};
pub use outcome::{Conflict, Outcome, Repair, Report, StopReason, Unfinished};
pub use predict::{accuracy, classify, largest, outputs};
pub use problem::{MAX_MEMORY, Options, Problem, metric};
pub use solve::repair;
pub use specification::{Inequality, Protection, RepairSet};
pub use suffix::{PointTarget, State, Suffix};
pub use verify::{
    Evaluator, OnnxError, OnnxEvaluator, OnnxInput, Verification, readings_agree, verify,
};
