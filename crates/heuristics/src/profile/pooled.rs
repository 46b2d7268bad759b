//! What a layer makes of each input, in one vector.

use network::Network;

use crate::HeuristicError;
use crate::profile::Points;
use crate::representation::represent;

/// The outputs of a layer, averaged over positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooled {
    /// `points x width`, row-major.
    pub rows: Vec<f64>,
    /// The layer's features or channels.
    pub width: usize,
}

impl Pooled {
    /// The rows as points.
    ///
    /// # Errors
    /// As [`Points::new`].
    pub fn points(&self) -> Result<Points<'_>, HeuristicError> {
        Points::new(&self.rows, self.width)
    }
}

/// The mean over positions (pixels, patches, tokens that are no padding) of every layer's outputs
/// for each of `inputs` (`n x shape`, row-major), in layer order. Inputs are pushed through the
/// network in small batches; nothing else than their activations and the means is held.
///
/// # Errors
/// [`HeuristicError::Network`] when the inputs do not fit.
pub fn pooled(
    network: &Network,
    inputs: &[f32],
    shape: &[usize],
) -> Result<Vec<Pooled>, HeuristicError> {
    let layers = network.layers();
    let found = represent(network, layers, inputs, shape)?;
    let pairs = found.into_iter().zip(layers);
    Ok(pairs
        .map(|(representation, layer)| Pooled {
            rows: representation.into_rows(),
            width: layer.outputs,
        })
        .collect())
}
