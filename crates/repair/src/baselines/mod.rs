//! Other repairs, to compare with: each is run on the same task and measured the same way.
//!
//! | name | what is edited | source |
//! |---|---|---|
//! | `fine-tuning` | every weight, by gradient descent | |
//! | `fine-tuning-layer` | the start layer, by gradient descent | |
//! | `last-layer` | the last layer, by a linear program on its features | PRoViT |
//! | `decoupled` | the start layer of a decoupled network | PRDNN (Sotoudeh & Thakur, PLDI 2021) |
//! | `aprnn` | the start layer and later biases | APRNN (Tao, Nawas, Mitchell & Thakur, PLDI 2023) |
//!
//! All but `decoupled` return a plain checkpoint. A [`Predictor`] answers for either, so that
//! generalization and drawdown are measured without knowing which it is.

mod aprnn;
mod decoupled;
mod fine_tuning;
mod last_layer;
mod layer_rows;
mod pointwise;

use std::time::{Duration, Instant};

use data::Dataset;
use network::{Layer, Model, Network, Value};

use crate::predict::largest;
use crate::{Inequality, RepairError, RepairSet, StopReason, Verification};

pub use aprnn::Aprnn;
pub use decoupled::{Decoupled, DecoupledNetwork};
pub use fine_tuning::{FineTuning, Optimizer, Tuned};
pub use last_layer::LastLayer;

/// What a baseline is asked to repair.
#[derive(Clone, Copy, Debug)]
pub struct BaselineTask<'a> {
    /// The network that computes.
    pub network: &'a Network,
    /// The file that the network was loaded from and that is edited.
    pub checkpoint: &'a Model,
    /// The start layer; baselines that choose their own layer ignore it.
    pub layer: &'a Layer,
    /// What must hold.
    pub set: &'a RepairSet,
    /// Clean examples that fine-tuning may mix in.
    pub guard: Option<&'a Dataset>,
    /// Time for the whole repair.
    pub time_limit: Option<Duration>,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

impl BaselineTask<'_> {
    /// Whether the time that began at `start` is over.
    fn expired(&self, start: Instant) -> bool {
        self.time_limit
            .is_some_and(|limit| start.elapsed() >= limit)
    }

    /// The network whose weights are those of `checkpoint`.
    fn loaded(&self, checkpoint: &Model) -> Result<Network, RepairError> {
        let (device, precision) = (self.network.device(), self.network.precision());
        Ok(Network::load(checkpoint, device, precision)?)
    }
}

/// A repair method to compare with.
pub trait Baseline {
    /// The name used in plans and results.
    fn name(&self) -> &'static str;

    /// Repairs.
    ///
    /// # Errors
    /// [`RepairError`] when the task makes no sense for this method or something outside the
    /// mathematics fails. Infeasibility and spent limits are outcomes.
    fn run(&self, task: &BaselineTask<'_>) -> Result<BaselineOutcome, RepairError>;
}

/// Every baseline with its default settings, in the order of the table above.
pub fn baselines() -> [Box<dyn Baseline>; 5] {
    [
        Box::new(FineTuning::default()),
        Box::new(FineTuning {
            tuned: Tuned::StartLayer,
            ..FineTuning::default()
        }),
        Box::new(LastLayer::default()),
        Box::new(Decoupled::default()),
        Box::new(Aprnn),
    ]
}

/// The baseline called `name`, with its default settings.
///
/// # Errors
/// [`RepairError::Option`] lists the names there are.
pub fn by_name(name: &str) -> Result<Box<dyn Baseline>, RepairError> {
    let found = baselines().into_iter().find(|known| known.name() == name);
    found.ok_or_else(|| RepairError::Option {
        option: "baseline",
        expected: format!(
            "one of {}",
            baselines().map(|known| known.name()).join(", ")
        ),
        got: name.to_owned(),
    })
}

/// How a baseline ended.
#[derive(Clone, Debug)]
pub enum BaselineOutcome {
    /// Every specification holds, margins included, on the network that computes.
    Repaired(Box<BaselineRepair>),
    /// No edit of reasonable size that the method may make satisfies all specifications.
    Infeasible {
        /// Points that conflict.
        points: Vec<usize>,
        /// No change with a smaller Euclidean norm satisfies them.
        radius: f64,
        /// Seconds spent.
        seconds: f64,
    },
    /// Neither was shown.
    Stopped {
        /// Why.
        reason: BaselineStop,
        /// The best weights reached, if any; some specification fails on them.
        best: Option<Box<BaselineRepair>>,
        /// Seconds spent.
        seconds: f64,
    },
}

/// Why a baseline stopped short of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum BaselineStop {
    /// The epochs of a gradient descent are spent.
    Epochs(usize),
    /// A gradient descent left the numbers that the weights' dtype can hold.
    Diverged {
        /// Epochs until then.
        epochs: usize,
    },
    /// As a repair stops.
    Repair(StopReason),
}

/// A repaired network and its self-check.
#[derive(Clone, Debug)]
pub struct BaselineRepair {
    /// The network.
    pub predictor: Predictor,
    /// The slack of the tightest inequality over all points, on the network that computes with
    /// the weights as saved; it includes the margin asked for.
    pub least_slack: f64,
    /// Share of the points that are right, in percent, as [`Verification::efficacy`] counts.
    pub efficacy: f64,
    /// Epochs of a descent, or rounds of constraint generation.
    pub rounds: usize,
    /// Rows that were ever written down and rows that the problem has; zero for a descent.
    pub rows: [usize; 2],
    /// Value of the objective: the norm of the change, or the cross-entropy per example.
    pub objective: f64,
    /// Seconds spent, evaluation of the repair set included.
    pub seconds: f64,
}

/// A network to be asked, plain or decoupled.
#[derive(Clone, Debug)]
pub enum Predictor {
    /// A network like the original with other numbers.
    Plain {
        /// The file: the original with the edited tensors overwritten, rounded to their dtype.
        checkpoint: Model,
        /// The network loaded from it.
        network: Network,
    },
    /// Activations by the original weights, values by the edited ones.
    Decoupled(DecoupledNetwork),
}

impl Predictor {
    /// The outputs y for a batch, `[batch, classes]`.
    ///
    /// # Errors
    /// [`RepairError::Network`] when `x` does not fit, or a decoupled network has no linear piece
    /// at an example.
    pub fn outputs(&self, x: Value) -> Result<Value, RepairError> {
        match self {
            Self::Plain { network, .. } => Ok(network.forward(x)?),
            Self::Decoupled(network) => network.outputs(x),
        }
    }

    /// The class with the largest output for each of `inputs` (`n x shape`, row-major), the
    /// first one where two are equal.
    ///
    /// # Errors
    /// As [`Predictor::outputs`].
    pub fn classify(&self, inputs: &[f32], shape: &[usize]) -> Result<Vec<usize>, RepairError> {
        let network = match self {
            Self::Plain { network, .. } => return crate::classify(network, inputs, shape),
            Self::Decoupled(network) => network,
        };
        let example: usize = shape.iter().product();
        let mut classes = Vec::with_capacity(inputs.len() / example.max(1));
        for chunk in inputs.chunks(CHUNK * example.max(1)) {
            let outputs = network.outputs(network.original().batch_of(chunk, shape)?)?;
            let width = outputs.shape().last().copied().unwrap_or(1);
            classes.extend(outputs.to_vec()?.chunks_exact(width.max(1)).map(largest));
        }
        Ok(classes)
    }
}

/// Inputs that are classified at once.
const CHUNK: usize = 500;

/// A predictor measured on the repair set.
struct Measured {
    predictor: Predictor,
    least_slack: f64,
    efficacy: f64,
}

impl Measured {
    fn new(predictor: Predictor, x: Value, set: &RepairSet) -> Result<Self, RepairError> {
        let outputs = predictor.outputs(x)?.to_vec()?;
        let width = outputs.len() / set.len().max(1);
        let points = outputs.chunks_exact(width.max(1)).zip(&set.points);
        let least = |(outputs, inequalities): (&[f64], &Vec<Inequality>)| {
            let slacks = inequalities.iter().map(|one| one.slack(outputs));
            // NaN counts as the worst.
            slacks.fold(f64::INFINITY, |least, slack| match slack.is_nan() {
                true => f64::NEG_INFINITY,
                false => least.min(slack),
            })
        };
        let verification = Verification {
            slacks: points.map(least).collect(),
            outputs,
        };
        Ok(Self {
            predictor,
            least_slack: verification.least_slack(),
            efficacy: verification.efficacy(set),
        })
    }

    /// Every specification holds with its margin, and every label wins.
    fn holds(&self) -> bool {
        self.least_slack >= 0.0 && self.efficacy == 100.0
    }

    /// The repair that began at `start`, without what its method knows.
    fn repair(self, start: Instant) -> BaselineRepair {
        BaselineRepair {
            predictor: self.predictor,
            least_slack: self.least_slack,
            efficacy: self.efficacy,
            rounds: 0,
            rows: [0, 0],
            objective: f64::NAN,
            seconds: start.elapsed().as_secs_f64(),
        }
    }
}
