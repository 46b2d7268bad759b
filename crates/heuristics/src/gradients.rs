//! Gradients of the loss with respect to every layer's weights.
//!
//! With h the layer's input and δ the sensitivity of the loss to its output,
//! ∂L/∂W = (1/n) Σ_i δ_i h_iᵀ: one forward and one backward pass serve all layers.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use network::{Network, Op, Value};

use crate::HeuristicError;

/// Examples that are pushed through the network at once.
const CHUNK: usize = 512;

/// ‖∂L/∂W_k‖_F of every layer for the mean cross-entropy L over at least one example.
pub(crate) fn gradient_norms(
    network: &Network,
    inputs: &[f32],
    labels: &[usize],
) -> Result<Vec<f64>, HeuristicError> {
    let example = inputs.len() / labels.len();
    let mut sums: Vec<Mat<f64>> = network
        .layers()
        .iter()
        .map(|layer| Mat::zeros(layer.outputs, layer.inputs))
        .collect();
    for (inputs, labels) in inputs.chunks(CHUNK * example).zip(labels.chunks(CHUNK)) {
        let x = network.batch(inputs)?;
        let (traces, outputs) = network.activations(x.clone())?;
        let selector = loss_gradient(&outputs.to_vec()?, labels, ends_in_softmax(network));
        let selector = Value::from_f64(
            &selector,
            &outputs.shape(),
            network.device(),
            network.precision(),
        )?;
        let deltas = network.sensitivities(x, selector)?;
        for ((sum, trace), delta) in sums.iter_mut().zip(&traces).zip(&deltas) {
            let (h, delta) = (trace.input.to_vec()?, delta.to_vec()?);
            let (p, m) = (sum.nrows(), sum.ncols());
            let delta = MatRef::from_row_major_slice(&delta, labels.len(), p);
            let h = MatRef::from_row_major_slice(&h, labels.len(), m);
            matmul(
                sum.as_mut(),
                Accum::Add,
                delta.transpose(),
                h,
                1.0,
                Par::Seq,
            );
        }
    }
    Ok(sums
        .iter()
        .map(|sum| sum.norm_l2() / labels.len() as f64)
        .collect())
}

/// Whether the outputs are probabilities already.
fn ends_in_softmax(network: &Network) -> bool {
    matches!(
        network.graph().nodes()[network.graph().output()].op,
        Op::Softmax
    )
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
