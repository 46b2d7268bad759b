//! A repair problem, its options, and the checks before any work.

use std::time::Duration;

use network::{Layer, Model, Network};

use crate::affine::Affine;
use crate::guard::GuardMoments;
use crate::metric::{DAMPING, Metric};
use crate::{Change, Method, Objective, RepairError, RepairSet};

/// Default bytes that rows, values and sensitivities may take: 4 GiB.
pub const MAX_MEMORY: usize = 4 << 30;

/// What is to be repaired, and where.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// The network that computes.
    pub network: &'a Network,
    /// The file that the network was loaded from and that is edited.
    pub checkpoint: &'a Model,
    /// The layers that may change: one, or several in a sequential repair. The first is the
    /// start layer.
    pub layers: &'a [Layer],
    /// What must hold.
    pub set: &'a RepairSet,
    /// Guard moments, for the guarded objective.
    pub guard: Option<&'a GuardMoments>,
    /// The change of these layers that an earlier repair made, from which a sequential repair
    /// starts. The objective measures the whole change but for what of it no feature of the
    /// points can tell.
    pub start: Option<&'a Change>,
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
    /// Steps of a sequential repair. Default 200.
    pub max_rounds: usize,
    /// Bytes that a repair may take beside the network and its inputs. Rows, values and sensitivities are
    /// formed in chunks that fit; a factor or a program that would not fit ends the repair. Default
    /// [`MAX_MEMORY`].
    pub max_memory: usize,
    /// Weights that are zero stay zero (sequential only), as in a pruned network.
    pub keep_zeros: bool,
}

impl Options {
    /// Whether biases behind the start layer may change.
    pub(crate) fn moves_later_biases(&self) -> bool {
        self.later_biases.unwrap_or(self.method == Method::Frozen)
    }

    /// The layers that a repair of `layers` may change: these, and where later biases may change
    /// all behind the first that have one. The guarded objective needs the moments of each.
    pub fn moved_layers(&self, network: &Network, layers: &[Layer]) -> Vec<Layer> {
        let first = layers.iter().map(|layer| layer.index).min();
        let later = |layer: &Layer| {
            self.moves_later_biases() && layer.bias.is_some() && Some(layer.index) > first
        };
        let all = network.layers().iter();
        all.filter(|layer| layers.contains(layer) || later(layer))
            .cloned()
            .collect()
    }
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
            max_rounds: 200,
            max_memory: MAX_MEMORY,
            keep_zeros: false,
        }
    }
}

/// The metric of a problem under some options, for the layers of a suffix.
///
/// # Errors
/// [`RepairError::NoGuard`] for the guarded objective without moments;
/// [`RepairError::Metric`].
pub fn metric(
    problem: &Problem<'_>,
    options: &Options,
    layers: &[Affine],
) -> Result<Metric, RepairError> {
    if options.objective == Objective::Guarded {
        let guard = problem.guard.ok_or(RepairError::NoGuard)?;
        Metric::guarded(layers, guard, options.damping)
    } else {
        Ok(Metric::euclidean(layers))
    }
}

/// The layers must be those of the network.
pub(crate) fn check_belonging(problem: &Problem<'_>) -> Result<(), RepairError> {
    let known = problem.network.layers();
    let wrong = |expected: &str, got: String| RepairError::Option {
        option: "layers",
        expected: expected.to_owned(),
        got,
    };
    if problem.layers.is_empty() {
        return Err(wrong("at least one", "none".into()));
    }
    match problem
        .layers
        .iter()
        .find(|layer| known.get(layer.index) != Some(layer))
    {
        None => Ok(()),
        Some(layer) => Err(wrong(
            "layers of the network to repair",
            format!("{} of another network", layer.name),
        )),
    }
}

/// An earlier change must be one of the layers that may change: what lies in front of them has
/// been computed without it.
pub(crate) fn check_start(problem: &Problem<'_>, options: &Options) -> Result<(), RepairError> {
    let Some(start) = problem.start else {
        return Ok(());
    };
    let wrong = |expected: String, got: String| {
        Err(RepairError::Option {
            option: "start",
            expected,
            got,
        })
    };
    if options.method == Method::Frozen {
        return wrong("none for a frozen repair".into(), "a change".into());
    }
    let moved = options.moved_layers(problem.network, problem.layers);
    let edited = |name: &str| {
        let weight = problem.layers.iter().any(|layer| layer.weight == name);
        weight
            || moved
                .iter()
                .any(|layer| layer.bias.as_deref() == Some(name))
    };
    for (name, numbers) in start.tensors() {
        if !edited(name) {
            let names: Vec<&str> = problem.layers.iter().map(|l| l.name.as_str()).collect();
            let expected = format!("a change of {} alone", names.join(", "));
            return wrong(expected, format!("one of tensor `{name}`"));
        }
        let expected: usize = problem.checkpoint.shape(name)?.iter().product();
        if numbers.len() != expected {
            let what = format!("{expected} numbers for tensor `{name}`");
            return wrong(what, numbers.len().to_string());
        }
    }
    for layer in problem.layers.iter().filter(|_| options.keep_zeros) {
        let affine = Affine::new(problem.network, layer)?;
        let zeros = crate::affine::zeros(problem.network, &affine)?;
        let entries = affine.matrix(start);
        let broken = zeros.iter().zip(entries);
        let broken = broken.filter(|(is_zero, d)| **is_zero && *d != 0.0).count();
        if broken > 0 {
            let got = format!("one that moves {broken} of `{}`", layer.weight);
            return wrong("a change that keeps weights that are zero".into(), got);
        }
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
    if options.method == Method::Frozen && options.keep_zeros {
        return wrong("keep_zeros", "false for a frozen repair", "true".into());
    }
    if options.max_memory < 1 << 20 {
        let got = format!("{} bytes", options.max_memory);
        return wrong("max_memory", "at least 1 MiB", got);
    }
    if options.max_rounds == 0 {
        return wrong("max_rounds", "at least 1", "0".into());
    }
    Ok(())
}
