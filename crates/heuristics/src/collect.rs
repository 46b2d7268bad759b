//! The shared pass: every statistic of every layer.

use std::collections::BTreeMap;
use std::time::Instant;

use network::{Layer, Network};
use repair::{Affine, MAX_MEMORY, RepairError, RepairSet};

use crate::HeuristicError;
use crate::estimate::{estimate, guard_probe};
use crate::gradients::loss_statistics;
use crate::representation::{Representation, represent};
use crate::similarity::norm;
use crate::statistics::{LayerStatistics, Phase, Statistics, Subject};

/// Charges the time since the last lap to a phase.
pub(crate) struct Stopwatch {
    seconds: BTreeMap<Phase, f64>,
    start: Instant,
}

impl Stopwatch {
    fn start() -> Self {
        Self {
            seconds: BTreeMap::new(),
            start: Instant::now(),
        }
    }

    pub(crate) fn lap(&mut self, phase: Phase) {
        let now = Instant::now();
        *self.seconds.entry(phase).or_default() += (now - self.start).as_secs_f64();
        self.start = now;
    }
}

impl Statistics {
    /// Measures everything, for all layers; `seed` is that of the random rule.
    ///
    /// # Errors
    /// [`HeuristicError::NoLabels`], [`HeuristicError::Count`] and
    /// [`HeuristicError::GuardLabel`] for parts of the subject that do not match;
    /// what [`repair::RepairSet::validate`], the network and the first-order repairs report.
    pub fn collect(subject: &Subject<'_>, seed: u64) -> Result<Self, HeuristicError> {
        let labels = check(subject)?;
        let network = subject.network;
        let RepairSet { inputs, shape, .. } = subject.set;
        let mut watch = Stopwatch::start();
        let layers = repair::repairable(network);
        let affine = layers
            .iter()
            .map(|layer| Affine::new(network, layer))
            .collect::<Result<Vec<_>, _>>()?;

        let representations = represent(network, &layers, inputs, shape)?;
        let of = |measure: fn(&Representation) -> f64| -> Vec<f64> {
            representations.iter().map(measure).collect()
        };
        let magnitudes = of(Representation::magnitude);
        let variances = of(Representation::variance);
        watch.lap(Phase::Activations);

        let similarities: Vec<_> = representations
            .iter()
            .map(|layer| {
                (
                    layer.cosine_similarity(),
                    layer.within_class_similarity(labels),
                    layer.label_cka(labels, network.classes()),
                )
            })
            .collect();
        watch.lap(Phase::Similarity);

        let losses = loss_statistics(network, &affine, inputs, shape, labels)?;
        let weights = weight_norms(network, &layers)?;
        watch.lap(Phase::Gradients);

        let guard_losses = match subject.wants(Phase::GuardGradients) {
            true => {
                let (guard, labels) = subject.measured_guard();
                loss_statistics(network, &affine, guard, subject.guard_shape, labels)?
            }
            false => Vec::new(),
        };
        watch.lap(Phase::GuardGradients);

        let clean = match subject.clean {
            Some(clean) => represent(network, &layers, clean, shape)?,
            None => Vec::new(),
        };
        let counterparts: Vec<_> = representations
            .iter()
            .zip(&clean)
            .map(|(layer, clean)| layer.distance_from(clean))
            .collect();
        watch.lap(Phase::Counterparts);

        let mut guard = guard_probe(subject)?;
        watch.lap(Phase::Measured);
        let mut found = Vec::new();
        let total = layers.len();
        for (k, layer) in layers.into_iter().enumerate() {
            tracing::debug!(done = k, total, "layers scored");
            if let Some(guard) = &mut guard {
                guard.advance(network, &layer, MAX_MEMORY)?;
                watch.lap(Phase::Measured);
            }
            let (first_order, log_condition) =
                estimate(subject, &layer, guard.as_ref(), &mut watch)?;
            let (cosine_similarity, within_class_similarity, label_cka) = similarities[k];
            found.push(LayerStatistics {
                layer,
                activation_magnitude: magnitudes[k],
                activation_variance: variances[k],
                cosine_similarity,
                within_class_similarity,
                label_cka,
                gradient_norm: losses[k].gradient_norm,
                contribution: losses[k].contribution,
                weight_norm: weights[k],
                guard_gradient_norm: guard_losses.get(k).map(|losses| losses.gradient_norm),
                counterpart: counterparts.get(k).copied(),
                first_order,
                log_condition,
            });
        }
        Ok(Self {
            layers: found,
            seconds: watch.seconds,
            seed,
        })
    }
}

/// Finds everything that does not match before any work; returns the labels.
fn check<'a>(subject: &Subject<'a>) -> Result<&'a [usize], HeuristicError> {
    let Subject {
        network,
        set,
        guard: (inputs, guard_labels),
        guard_shape,
        moments,
        clean,
        ..
    } = *subject;
    let labels = set.labels.as_deref().ok_or(HeuristicError::NoLabels)?;
    if labels.len() != set.len() {
        let (expected, got) = (set.len(), labels.len());
        return Err(HeuristicError::Count {
            what: "labels of the repair points",
            expected,
            got,
        });
    }
    set.validate(network, network.classes())?;
    if guard_labels.is_empty() {
        return Err(RepairError::NoGuard.into());
    }
    let classes = network.classes();
    if let Some(example) = guard_labels.iter().position(|&label| label >= classes) {
        return Err(HeuristicError::GuardLabel {
            example,
            label: guard_labels[example],
            classes,
        });
    }
    let counts = [
        (
            "numbers in the guard inputs",
            guard_labels.len() * guard_shape.iter().product::<usize>(),
            inputs.len(),
        ),
        (
            "numbers in the clean counterparts",
            set.inputs.len(),
            clean.map_or(set.inputs.len(), <[f32]>::len),
        ),
    ];
    for layer in repair::repairable(network) {
        moments.layer(&layer)?;
    }
    match counts
        .into_iter()
        .find(|(_, expected, got)| expected != got)
    {
        Some((what, expected, got)) => Err(HeuristicError::Count {
            what,
            expected,
            got,
        }),
        None => Ok(labels),
    }
}

/// ‖W‖_F of the layers.
fn weight_norms(network: &Network, layers: &[Layer]) -> Result<Vec<f64>, HeuristicError> {
    layers
        .iter()
        .map(|layer| Ok(norm(&network.tensor(&layer.weight)?)))
        .collect()
}
