//! The shared pass: every statistic of every layer.

use std::collections::BTreeMap;
use std::time::Instant;

use network::Network;
use repair::RepairError;

use crate::HeuristicError;
use crate::estimate::estimate;
use crate::gradients::gradient_norms;
use crate::representation::Representation;
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
        let mut watch = Stopwatch::start();

        let representations = represent(network, &subject.set.inputs, labels.len())?;
        let magnitudes: Vec<f64> = representations
            .iter()
            .map(Representation::magnitude)
            .collect();
        let variances: Vec<f64> = representations
            .iter()
            .map(Representation::variance)
            .collect();
        watch.lap(Phase::Activations);

        let cosines: Vec<_> = representations
            .iter()
            .map(Representation::cosine_similarity)
            .collect();
        let alignments: Vec<_> = representations
            .iter()
            .map(|layer| layer.label_cka(labels, network.classes()))
            .collect();
        watch.lap(Phase::Similarity);

        let gradients = gradient_norms(network, &subject.set.inputs, labels)?;
        let weights = weight_norms(network)?;
        watch.lap(Phase::Gradients);

        let guard_gradients = gradient_norms(network, subject.guard.0, subject.guard.1)?;
        watch.lap(Phase::GuardGradients);

        let clean = match subject.clean {
            Some(clean) => represent(network, clean, labels.len())?,
            None => Vec::new(),
        };
        let counterparts: Vec<_> = representations
            .iter()
            .zip(&clean)
            .map(|(layer, clean)| layer.distance_from(clean))
            .collect();
        watch.lap(Phase::Counterparts);

        let mut layers = Vec::new();
        for (k, layer) in network.layers().iter().enumerate() {
            let (first_order, log_condition) = estimate(subject, layer, &mut watch)?;
            layers.push(LayerStatistics {
                layer: layer.clone(),
                activation_magnitude: magnitudes[k],
                activation_variance: variances[k],
                cosine_similarity: cosines[k],
                label_cka: alignments[k],
                gradient_norm: gradients[k],
                weight_norm: weights[k],
                guard_gradient_norm: guard_gradients[k],
                counterpart: counterparts.get(k).copied(),
                first_order,
                log_condition,
            });
        }
        Ok(Self {
            layers,
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
    network.layers().iter().try_for_each(repair::supported)?;
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
            guard_labels.len() * set.example(),
            inputs.len(),
        ),
        (
            "numbers in the clean counterparts",
            set.inputs.len(),
            clean.map_or(set.inputs.len(), <[f32]>::len),
        ),
    ];
    for layer in network.layers() {
        moments.layer(layer)?;
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

/// The outputs of every layer at the inputs, in layer order.
fn represent(
    network: &Network,
    inputs: &[f32],
    points: usize,
) -> Result<Vec<Representation>, HeuristicError> {
    let (traces, _) = network.activations(network.batch(inputs)?)?;
    traces
        .iter()
        .map(|trace| Ok(Representation::new(trace.output.to_vec()?, points)))
        .collect()
}

/// ‖W‖_F of every layer.
fn weight_norms(network: &Network) -> Result<Vec<f64>, HeuristicError> {
    network
        .layers()
        .iter()
        .map(|layer| Ok(norm(&network.tensor(&layer.weight)?)))
        .collect()
}
