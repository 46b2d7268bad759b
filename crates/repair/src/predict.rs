//! The answers of a network.

use network::Network;

use crate::RepairError;

/// Numbers of inputs that are pushed through a network at once.
const NUMBERS: usize = 1 << 22;

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
    Ok(outputs(network, inputs, shape)?
        .chunks_exact(network.classes().max(1))
        .map(largest)
        .collect())
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
    let example: usize = shape.iter().product::<usize>().max(1);
    let mut outputs = Vec::new();
    for chunk in inputs.chunks((NUMBERS / example).max(1) * example) {
        let y = network.forward(network.batch_of(chunk, shape)?)?;
        outputs.extend(y.to_vec()?);
    }
    Ok(outputs)
}

/// The first largest of some outputs.
pub(crate) fn largest(outputs: &[f64]) -> usize {
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
