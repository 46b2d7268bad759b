//! Networks as the attacks of `data` see them.

use std::error::Error;

use data::TokenBatch;
use data::adversarial::Gradient;
use data::text::EmbeddingGradient;
use network::{LayerKind, Network, NetworkError, NodeId};

/// Examples per backward pass.
const BATCH: usize = 16;

type Answer = std::result::Result<Vec<f32>, Box<dyn Error + Send + Sync>>;

/// A network whose loss gradients attacks follow.
pub struct Attacked<'a> {
    network: &'a Network,
    /// Shape of an example.
    shape: Vec<usize>,
}

impl<'a> Attacked<'a> {
    /// A network that reads examples of that shape.
    pub fn new(network: &'a Network, shape: &[usize]) -> Self {
        Self {
            network,
            shape: shape.to_vec(),
        }
    }

    /// The gradient at `node` for inputs of that shape, in batches.
    fn gradient(&self, node: NodeId, inputs: &[f32], shape: &[usize], labels: &[usize]) -> Answer {
        let example: usize = shape.iter().product();
        let mut gradient = Vec::new();
        let batches = inputs.chunks(BATCH * example.max(1));
        for (inputs, labels) in batches.zip(labels.chunks(BATCH)) {
            let x = self.network.batch_of(inputs, shape)?;
            let slopes = self.network.loss_gradient(node, x, labels)?.to_vec()?;
            gradient.extend(slopes.iter().map(|&slope| slope as f32));
        }
        Ok(gradient)
    }
}

impl Gradient for Attacked<'_> {
    fn loss_gradient(&mut self, inputs: &[f32], labels: &[usize]) -> Answer {
        self.gradient(0, inputs, &self.shape, labels)
    }
}

impl EmbeddingGradient for Attacked<'_> {
    fn embedding_gradient(&mut self, batch: &TokenBatch, labels: &[usize]) -> Answer {
        let words = word_embeddings(self.network)?;
        let (inputs, [_, planes, length]) = batch.to_input();
        self.gradient(words, &inputs, &[planes, length], labels)
    }
}

/// The node that looks words up.
///
/// # Errors
/// [`NetworkError::Unknown`] for a network that reads no words.
fn word_embeddings(network: &Network) -> std::result::Result<NodeId, NetworkError> {
    network
        .layers()
        .iter()
        .find(|layer| layer.kind == LayerKind::Embedding)
        .map(|layer| layer.node)
        .ok_or_else(|| NetworkError::Unknown {
            kind: "layer of kind",
            name: LayerKind::Embedding.name().to_owned(),
            known: network
                .layers()
                .iter()
                .map(|layer| layer.name.clone())
                .collect(),
        })
}
