//! The answers of a network.

use network::{Network, by_length, gathered};

use crate::RepairError;

/// Numbers of inputs that are pushed through a network at once.
const NUMBERS: usize = 1 << 22;
/// The most inputs that are: more of a few numbers each would only take memory.
const INPUTS: usize = 512;
/// The most token sequences that are: those of one batch should be of like length.
const SEQUENCES: usize = 32;

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

/// Inputs (`n x shape`) in parts that are pushed through a network at once.
pub(crate) fn batches<'a>(inputs: &'a [f32], shape: &[usize]) -> impl Iterator<Item = &'a [f32]> {
    let example: usize = shape.iter().product::<usize>().max(1);
    inputs.chunks((NUMBERS / example).max(1) * example)
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
    let order = by_length(inputs, shape);
    let size = match shape {
        [2, _] => SEQUENCES,
        _ => (NUMBERS / example).clamp(1, INPUTS),
    };
    if !inputs.len().is_multiple_of(example) {
        // The network says what it expects.
        network.batch_of(inputs, shape)?;
    }
    let classes = network.classes();
    let mut outputs = vec![0.0; order.len() * classes];
    for chosen in order.chunks(size) {
        let (chunk, shape) = gathered(inputs, shape, chosen);
        let y = network
            .forward(network.batch_of(&chunk, &shape)?)?
            .to_vec()?;
        for (&i, y) in chosen.iter().zip(y.chunks_exact(classes.max(1))) {
            outputs[i * classes..(i + 1) * classes].copy_from_slice(y);
        }
    }
    Ok(outputs)
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
