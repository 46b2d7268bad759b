//! A repair problem, its options, and the checks before any work.

use std::time::Duration;

use network::{Checkpoint, Layer, Network};

use crate::guard::{GuardMoments, LayerMoments};
use crate::metric::{DAMPING, Metric};
use crate::{Method, Objective, RepairError, RepairSet};

/// What is to be repaired, and where.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// The network that computes.
    pub network: &'a Network,
    /// The file that the network was loaded from and that is edited.
    pub checkpoint: &'a Checkpoint,
    /// The start layer.
    pub layer: &'a Layer,
    /// What must hold.
    pub set: &'a RepairSet,
    /// Guard moments, for the guarded objective.
    pub guard: Option<&'a GuardMoments>,
}

/// How it is to be repaired.
#[derive(Clone, Debug)]
pub struct Options {
    /// Frozen pattern or sequential. Default sequential.
    pub method: Method,
    /// What is minimised. Default guarded.
    pub objective: Objective,
    /// Whether biases behind the start layer may change too. Default: for frozen
    /// patterns only, as in APRNN.
    pub later_biases: Option<bool>,
    /// Largest absolute change of any entry before rounding (frozen only). Default none.
    pub box_bound: Option<f64>,
    /// Damping ε of the guard metric. Default [`DAMPING`].
    pub damping: f64,
    /// Time for the whole repair. Default none.
    pub time_limit: Option<Duration>,
    /// Steps of a sequential repair. Default 100.
    pub max_rounds: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            method: Method::default(),
            objective: Objective::default(),
            later_biases: None,
            box_bound: None,
            damping: DAMPING,
            time_limit: None,
            max_rounds: 100,
        }
    }
}

/// The metric of a problem under some options.
///
/// # Errors
/// [`RepairError::NoGuard`] for the guarded objective without moments;
/// [`RepairError::Metric`].
pub fn metric(
    problem: &Problem<'_>,
    options: &Options,
    later: &[Layer],
) -> Result<Metric, RepairError> {
    if options.objective == Objective::Guarded {
        let guard = problem.guard.ok_or(RepairError::NoGuard)?;
        Metric::guarded(problem.layer, later, guard, options.damping)
    } else {
        Ok(Metric::euclidean(problem.layer, later))
    }
}

/// The layer and the guard moments must be those of the network.
pub(crate) fn check_belonging(problem: &Problem<'_>) -> Result<(), RepairError> {
    let layers = problem.network.layers();
    if layers.get(problem.layer.index) != Some(problem.layer) {
        return Err(RepairError::Option {
            option: "layer",
            expected: "a layer of the network to repair".into(),
            got: format!("{} of another network", problem.layer.name),
        });
    }
    let Some(guard) = problem.guard else {
        return Ok(());
    };
    let fits = |(layer, moments): (&Layer, &LayerMoments)| {
        moments.inputs.nrows() == layer.inputs + 1 && moments.outputs.nrows() == layer.outputs
    };
    if guard.layers.len() != layers.len() || !layers.iter().zip(&guard.layers).all(fits) {
        return Err(RepairError::Option {
            option: "guard",
            expected: "moments of the network to repair".into(),
            got: "moments of another network".into(),
        });
    }
    Ok(())
}

pub(crate) fn check_options(options: &Options) -> Result<(), RepairError> {
    let wrong = |option, expected: &str, got: String| {
        Err(RepairError::Option {
            option,
            expected: expected.to_owned(),
            got,
        })
    };
    if options.method == Method::Sequential && !options.objective.is_quadratic() {
        return wrong(
            "objective",
            "guarded or l2 for a sequential repair",
            options.objective.to_string(),
        );
    }
    if options.method == Method::Sequential && options.box_bound.is_some() {
        return wrong(
            "box_bound",
            "none for a sequential repair",
            format!("{:?}", options.box_bound),
        );
    }
    if let Some(bound) = options.box_bound
        && !(bound > 0.0 && bound.is_finite())
    {
        return wrong("box_bound", "a finite number > 0", bound.to_string());
    }
    if !(options.damping > 0.0 && options.damping.is_finite()) {
        return wrong(
            "damping",
            "a finite number > 0",
            options.damping.to_string(),
        );
    }
    if options.max_rounds == 0 {
        return wrong("max_rounds", "at least 1", "0".into());
    }
    Ok(())
}
