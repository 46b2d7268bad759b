//! Gradients of the loss with respect to every layer's weights.
//!
//! With φ the features of a layer at its positions and δ the sensitivity of the loss to its
//! output, `∂L/∂W̃ = (1/n) Σ_i Σ_t δ_{i,t} φ_{i,t}ᵀ`: one forward and one backward pass per batch
//! serve all layers.

use network::{Network, Value};
use rayon::prelude::*;
use repair::{Affine, RepairError};

use crate::HeuristicError;
use crate::representation::batches;
use crate::similarity::norm;

/// What the loss says of one layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LossStatistics {
    /// ‖∂L/∂W‖_F.
    pub(crate) gradient_norm: f64,
    /// E Σ_u |δ_u a_u|.
    pub(crate) contribution: f64,
}

/// The statistics of some layers for the mean cross-entropy L over at least one example;
/// `inputs` is `labels x shape`, row-major.
pub(crate) fn loss_statistics(
    network: &Network,
    layers: &[Affine],
    inputs: &[f32],
    shape: &[usize],
    labels: &[usize],
) -> Result<Vec<LossStatistics>, HeuristicError> {
    let mut sums: Vec<Vec<f64>> = layers.iter().map(|l| vec![0.0; l.entries()]).collect();
    let mut contributions = vec![0.0; layers.len()];
    let mut first = 0;
    for (inputs, shape) in batches(network, inputs, shape) {
        let x = network.batch_of(&inputs, &shape)?;
        let labels = &labels[first..first + x.shape()[0]];
        first += labels.len();
        let (traces, outputs) = network.activations(x.clone())?;
        let selector = loss_gradient(&outputs.to_vec()?, labels, network.ends_in_softmax());
        let selector = Value::from_f64(
            &selector,
            &outputs.shape(),
            network.device(),
            network.precision(),
        )?;
        let deltas = network.sensitivities(x, selector)?;
        for ((affine, sum), contribution) in layers.iter().zip(&mut sums).zip(&mut contributions) {
            let trace = &traces[affine.layer().index];
            let delta = deltas[affine.layer().index].to_vec()?;
            let output = trace.output.to_vec()?;
            let products = delta.iter().zip(&output).map(|(d, a)| (d * a).abs());
            *contribution += products.sum::<f64>();
            for gradient in gradients(affine, &trace.input, &delta, labels.len())? {
                sum.iter_mut().zip(gradient).for_each(|(s, g)| *s += g);
            }
        }
    }
    let count = labels.len() as f64;
    let pairs = layers.iter().zip(sums).zip(contributions);
    Ok(pairs
        .map(|((affine, sum), contribution)| {
            let change = affine.change(&sum);
            let weight = change.get(&affine.layer().weight).unwrap_or_default();
            LossStatistics {
                gradient_norm: norm(weight) / count,
                contribution: contribution / count,
            }
        })
        .collect())
}

/// The gradient of each example of a batch, p x width.
fn gradients(
    affine: &Affine,
    input: &Value,
    delta: &[f64],
    batch: usize,
) -> Result<Vec<Vec<f64>>, RepairError> {
    let shape = input.shape();
    let h = input.to_vec()?;
    let [inputs, outputs] = [h.len(), delta.len()].map(|numbers| (numbers / batch).max(1));
    h.par_chunks_exact(inputs)
        .zip(delta.par_chunks_exact(outputs))
        .map(|(h, delta)| Ok(affine.gradient(delta, &affine.features(h, &shape[1..])?)))
        .collect()
}

/// ∂L/∂y of the cross-entropy, per example: `softmax(y) - onehot(label)` for
/// logits, `-onehot(label) / y_label` for probabilities.
fn loss_gradient(outputs: &[f64], labels: &[usize], probabilities: bool) -> Vec<f64> {
    let classes = outputs.len() / labels.len();
    let mut gradient = Vec::with_capacity(outputs.len());
    for (y, &label) in outputs.chunks_exact(classes).zip(labels) {
        let is_label = |c: usize| f64::from(u8::from(c == label));
        if probabilities {
            // The floor keeps 1/y finite in f32 where the probability underflows.
            gradient.extend(
                (0..classes).map(|c| -is_label(c) / y[c].max(f64::from(f32::MIN_POSITIVE))),
            );
        } else {
            let largest = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = y.iter().map(|y| (y - largest).exp()).collect();
            let sum: f64 = powers.iter().sum();
            gradient.extend((0..classes).map(|c| powers[c] / sum - is_label(c)));
        }
    }
    gradient
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_gradient_of_logits_sums_to_zero_and_points_away_from_the_label() {
        let gradient = loss_gradient(&[0.0, 0.0, 3.0, 1.0], &[0, 1], false);
        assert!((gradient[0] + 0.5).abs() < 1e-12 && (gradient[1] - 0.5).abs() < 1e-12);
        assert!(gradient[3] < 0.0 && (gradient[2] + gradient[3]).abs() < 1e-12);
    }

    #[test]
    fn the_loss_gradient_of_probabilities_reads_the_label_alone() {
        assert_eq!(loss_gradient(&[0.25, 0.75], &[0], true), [-4.0, 0.0]);
        assert!(loss_gradient(&[0.0, 1.0], &[0], true)[0].is_finite());
    }
}
