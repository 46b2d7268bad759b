//! The answers of a network.

use network::Network;

use crate::RepairError;
use crate::behind::Behind;

/// The class with the largest output for each of `inputs` (`n x shape`, row-major), the first
/// one where two are equal.
///
/// # Errors
/// [`RepairError::Network`] when the inputs do not fit.
pub fn classify(
    network: &Network,
    inputs: &[f32],
    shape: &[usize],
) -> Result<Vec<usize>, RepairError> {
    let outputs = outputs(network, inputs, shape)?;
    Ok(classes(&outputs, network.classes()).collect())
}

/// The class with the largest output of every example, from outputs `n x classes`.
pub(crate) fn classes(outputs: &[f64], classes: usize) -> impl Iterator<Item = usize> + '_ {
    outputs.chunks_exact(classes.max(1)).map(largest)
}

/// The outputs for each of `inputs`, `n x classes`.
///
/// # Errors
/// As [`classify`].
pub fn outputs(
    network: &Network,
    inputs: &[f32],
    shape: &[usize],
) -> Result<Vec<f64>, RepairError> {
    Behind::new(network, inputs, shape)?.outputs(network)
}

/// The class with the largest output; the first one where two are equal.
pub fn largest(outputs: &[f64]) -> usize {
    (0..outputs.len()).fold(
        0,
        |best, c| if outputs[c] > outputs[best] { c } else { best },
    )
}

/// Share of the answers that are the labels, in percent.
pub fn accuracy(answers: &[usize], labels: &[usize]) -> f64 {
    let right = answers.iter().zip(labels).filter(|(a, b)| a == b).count();
    100.0 * right as f64 / labels.len().max(1) as f64
}
