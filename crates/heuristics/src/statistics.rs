//! What the heuristics read, per layer, and what it took to measure it.

use std::collections::BTreeMap;

use network::{Layer, Network};
use repair::{GuardMoments, RepairSet};

use crate::effects::Effects;

/// What is scored.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The network.
    pub network: &'a Network,
    /// The repair set, with labels.
    pub set: &'a RepairSet,
    /// Guard inputs (`n x guard_shape`, row-major) and their `n` labels.
    pub guard: (&'a [f32], &'a [usize]),
    /// Shape of a guard input: images and texts may have other extents than the repair set's.
    pub guard_shape: &'a [usize],
    /// Moments of the guard set.
    pub moments: &'a GuardMoments,
    /// Damping of the guard metric.
    pub damping: f64,
    /// The clean version of each repair input (`points x example`), if there is one.
    pub clean: Option<&'a [f32]>,
    /// The parts of the pass that are wanted. [`Phase::GuardGradients`], [`Phase::Measured`] and
    /// [`Phase::Pattern`] are left out unless they are among them; the rest is always made.
    pub phases: &'a [Phase],
    /// The most guard inputs at which losses and first-order repairs are measured; [`MEASURED`]
    /// by default.
    pub measured: usize,
}

impl<'a> Subject<'a> {
    /// Whether a part of the pass is asked for.
    pub(crate) fn wants(&self, phase: Phase) -> bool {
        self.phases.contains(&phase)
    }

    /// The guard inputs at which something is measured, and their labels.
    pub(crate) fn measured_guard(&self) -> (&'a [f32], &'a [usize]) {
        let (inputs, labels) = self.guard;
        let labels = &labels[..labels.len().min(self.measured)];
        let example: usize = self.guard_shape.iter().product();
        (&inputs[..labels.len() * example], labels)
    }
}

/// A part of the pass; its seconds are charged to each heuristic that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Activations of the repair inputs, their size and spread.
    Activations,
    /// Similarity of those activations to each other and to the labels.
    Similarity,
    /// Gradients of the loss on the repair inputs, and the norms of the weights.
    Gradients,
    /// Gradients of the loss on the guard inputs.
    GuardGradients,
    /// Activations of the clean counterparts and their distances.
    Counterparts,
    /// First-order repairs. They need [`Subject::moments`], whose time the
    /// caller knows.
    FirstOrder,
    /// The network after the first-order repairs, at guard and repair inputs.
    Measured,
    /// Activation patterns before and after the first-order repairs.
    Pattern,
    /// Eigenvalues of the first-order kernels.
    Conditioning,
}

impl Phase {
    /// Every part.
    pub const ALL: [Self; 9] = [
        Self::Activations,
        Self::Similarity,
        Self::Gradients,
        Self::GuardGradients,
        Self::Counterparts,
        Self::FirstOrder,
        Self::Measured,
        Self::Pattern,
        Self::Conditioning,
    ];
}

/// Statistics of all layers.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// One entry per layer that can be repaired, in layer order.
    pub layers: Vec<LayerStatistics>,
    /// Seconds of each phase, all layers together.
    pub seconds: BTreeMap<Phase, f64>,
    /// Seed of the random rule.
    pub seed: u64,
}

/// Statistics of one layer; a is the layer's output at a repair input, `[p]`.
#[derive(Clone, Debug)]
pub struct LayerStatistics {
    /// The layer.
    pub layer: Layer,
    /// E|a|, over points, positions and units.
    pub activation_magnitude: f64,
    /// Variance of a over points and positions, averaged over units.
    pub activation_variance: f64,
    /// Mean cosine over pairs of repair points; `None` for a single point.
    pub cosine_similarity: Option<f64>,
    /// Mean cosine over pairs of repair points with one label; `None` when none is shared.
    pub within_class_similarity: Option<f64>,
    /// Linear CKA between a and the one-hot labels; `None` when one of them does not vary.
    pub label_cka: Option<f64>,
    /// ‖∂L/∂W‖_F, L the mean cross-entropy on the repair set.
    pub gradient_norm: f64,
    /// E Σ_u |δ_u a_u| over points, δ = ∂L/∂a.
    pub contribution: f64,
    /// ‖W‖_F.
    pub weight_norm: f64,
    /// ‖∂L/∂W‖_F on at most [`Subject::measured`] guard inputs, if wanted.
    pub guard_gradient_norm: Option<f64>,
    /// Distance to the clean counterparts, if there are any.
    pub counterpart: Option<Counterpart>,
    /// The first-order repair; `None` when there is none of finite cost.
    pub first_order: Option<FirstOrderStatistics>,
    /// log₁₀ of the condition number of the kernel of the tightest row of each point, at most 15.
    pub log_condition: f64,
}

/// How the layer's output differs between the repair inputs and their clean counterparts.
#[derive(Clone, Copy, Debug)]
pub struct Counterpart {
    /// Mean of ‖a - a_clean‖ / ‖a_clean‖.
    pub relative_distance: f64,
    /// Mean of 1 - cos(a, a_clean).
    pub cosine_distance: f64,
    /// 1 - linear CKA of the two sets of representations; `None` when one of them does not vary.
    pub cka_distance: Option<f64>,
}

/// The first-order repair of a layer in the damped guard metric.
#[derive(Clone, Copy, Debug)]
pub struct FirstOrderStatistics {
    /// ½‖Δ‖² in the damped metric, the objective of the specification rows alone,
    /// with the penalty of the slightly elastic rows.
    pub cost: f64,
    /// The median over the points (of an even number the upper) of the cost of the tightest row of
    /// one alone.
    pub typical_cost: f64,
    /// E‖Δy‖² on the guard set, to first order: tr(G Δ A Δᵀ), undamped.
    pub guard_change: f64,
    /// Share of the linear pieces behind the layer that the repair points leave
    /// under Δ: 0 behind the last layer; `None` when a smooth activation lies
    /// behind the layer, where there is no pattern to freeze, or when it is not wanted.
    pub broken_pieces: Option<f64>,
    /// What the network does with Δ in place, without another step, if wanted.
    pub measured: Option<Measured>,
}

/// The real network after a first-order repair.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// On at most [`Subject::measured`] guard inputs.
    pub guard: Effects,
    /// Share of the repair points that meet their specification, in [0, 1].
    pub efficacy: f64,
    /// Share of the points' violations that is gone: at most 1, negative when they have grown.
    pub progress: f64,
}

/// Default of [`Subject::measured`].
pub const MEASURED: usize = 64;

impl Statistics {
    /// Seconds of the given phases together.
    pub fn seconds_of(&self, phases: &[Phase]) -> f64 {
        phases
            .iter()
            .filter_map(|phase| self.seconds.get(phase))
            .fold(0.0, |sum, seconds| sum + seconds)
    }
}
