//! Inputs that have run up to a layer, for networks that differ only from there on.

use network::{Cut, Layer, Network, Precision};

use crate::RepairError;

/// Numbers of inputs that are pushed through a network at once.
const NUMBERS: usize = 1 << 22;
/// The most inputs that are: more of a few numbers each would only take memory.
const INPUTS: usize = 512;
/// The most numbers of one value of all of them, 512 MiB in 32 bits.
const VALUES: usize = 1 << 27;
/// The most token sequences that are: those of one batch should be of like length.
const SEQUENCES: usize = 32;

/// The most inputs of a shape that are pushed through a network at once: fewer where it makes large
/// values of them.
pub fn batch_size(network: &Network, shape: &[usize]) -> usize {
    let example = shape.iter().product::<usize>().max(1);
    let most = match shape {
        [2, _] => SEQUENCES,
        _ => (NUMBERS / example).clamp(1, INPUTS),
    };
    // The network itself refuses inputs of which it would make too much.
    let largest = network.graph().check_sizes(shape).unwrap_or(VALUES);
    most.min((VALUES / largest.max(1)).max(1))
}

/// Inputs, and where they fit in memory their values in front of a layer.
#[derive(Clone, Debug)]
pub struct Behind<'a> {
    inputs: &'a [f32],
    shape: &'a [usize],
    parts: Vec<Part>,
}

/// Inputs that are pushed through a network at once.
#[derive(Clone, Debug)]
struct Part {
    /// Positions of the inputs.
    chosen: Vec<usize>,
    /// Their values in front of the layer; `None` in front of the network.
    cut: Option<Cut>,
}

impl<'a> Behind<'a> {
    /// Inputs (`n x shape`, row-major) in front of the network.
    ///
    /// # Errors
    /// [`RepairError::Network`] when they are no whole number of inputs.
    pub fn new(
        network: &Network,
        inputs: &'a [f32],
        shape: &'a [usize],
    ) -> Result<Self, RepairError> {
        let example = shape.iter().product::<usize>().max(1);
        if !inputs.len().is_multiple_of(example) {
            // The network says what it expects.
            network.batch_of(inputs, shape)?;
        }
        let size = batch_size(network, shape);
        let order = network.by_length(inputs, shape);
        let parts = order.chunks(size).map(|chosen| Part {
            chosen: chosen.to_vec(),
            cut: None,
        });
        Ok(Self {
            parts: parts.collect(),
            inputs,
            shape,
        })
    }

    /// Runs the inputs on to a layer that lies no earlier than where they are. What does not fit
    /// into `memory` bytes goes back to the front of the network; returns the bytes that are left.
    ///
    /// # Errors
    /// [`RepairError::Network`].
    pub fn advance(
        &mut self,
        network: &Network,
        layer: &Layer,
        memory: usize,
    ) -> Result<usize, RepairError> {
        let number = match network.precision() {
            Precision::F32 => size_of::<f32>(),
            Precision::F64 => size_of::<f64>(),
        };
        let total = self.inputs.len() / self.shape.iter().product::<usize>().max(1);
        let (mut left, mut done) = (memory, 0);
        for part in &mut self.parts {
            let cut = match (part.cut.take(), left) {
                // The first part that does not fit ends the search for room.
                (_, 0) => continue,
                (Some(cut), _) => network.advance(cut, layer)?,
                (None, _) => {
                    tracing::debug!(done, total, "inputs up to the layer");
                    let (inputs, shape) = network.gathered(self.inputs, self.shape, &part.chosen);
                    network.run_until(layer, network.batch_of(&inputs, &shape)?)?
                }
            };
            done += part.chosen.len();
            let bytes = cut.numbers() * number;
            left = left.saturating_sub(bytes);
            part.cut = (left > 0).then_some(cut);
        }
        Ok(left)
    }

    /// The outputs, `n x classes`, of a network that differs only from the layer on.
    ///
    /// # Errors
    /// [`RepairError::Network`].
    pub fn outputs(&self, network: &Network) -> Result<Vec<f64>, RepairError> {
        let classes = network.classes();
        let count: usize = self.parts.iter().map(|part| part.chosen.len()).sum();
        let mut outputs = vec![0.0; count * classes];
        for Part { chosen, cut } in &self.parts {
            let y = match cut {
                Some(cut) => network.resume(cut)?,
                None => {
                    let (inputs, shape) = network.gathered(self.inputs, self.shape, chosen);
                    network.forward(network.batch_of(&inputs, &shape)?)?
                }
            };
            for (&i, y) in chosen.iter().zip(y.to_vec()?.chunks_exact(classes.max(1))) {
                outputs[i * classes..(i + 1) * classes].copy_from_slice(y);
            }
        }
        Ok(outputs)
    }
}
