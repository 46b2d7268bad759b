//! A change Δ of a layer's weights and of later biases.

use std::collections::BTreeMap;

use network::{Checkpoint, Layer, NetworkError};

/// Δ = (ΔW_k, Δb_k, Δb of later layers).
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// ΔW_k, p x m, row-major.
    pub weight: Vec<f64>,
    /// Δb_k, p numbers.
    pub bias: Vec<f64>,
    /// Δb of each later layer whose bias may change, in layer order.
    pub later: Vec<Vec<f64>>,
}

impl Change {
    /// Euclidean norm over all entries.
    pub fn norm_l2(&self) -> f64 {
        self.entries().map(|d| d * d).sum::<f64>().sqrt()
    }

    /// Largest absolute entry.
    pub fn norm_linf(&self) -> f64 {
        self.entries().fold(0.0, |largest, d| largest.max(d.abs()))
    }

    /// All entries in the order of the unknown: the rows of [ΔW Δb], then later biases.
    pub fn interleaved(&self) -> impl Iterator<Item = f64> + '_ {
        let width = self.weight.len() / self.bias.len().max(1);
        let rows = self.weight.chunks_exact(width.max(1)).zip(&self.bias);
        let matrix = rows.flat_map(|(row, &b)| row.iter().copied().chain([b]));
        matrix.chain(self.later.iter().flatten().copied())
    }

    fn entries(&self) -> impl Iterator<Item = f64> + '_ {
        let later = self.later.iter().flatten();
        self.weight.iter().chain(&self.bias).chain(later).copied()
    }

    /// The edited tensors of `checkpoint`: stored number plus change.
    ///
    /// # Errors
    /// [`NetworkError`] when the checkpoint lacks one of the tensors.
    pub fn edited(
        &self,
        checkpoint: &Checkpoint,
        layer: &Layer,
        later: &[Layer],
    ) -> Result<BTreeMap<String, Vec<f64>>, NetworkError> {
        let mut tensors = BTreeMap::new();
        let mut add = |name: &str, change: &[f64]| -> Result<(), NetworkError> {
            if change.iter().any(|&d| d != 0.0) {
                let mut numbers = checkpoint.tensor(name)?;
                numbers.iter_mut().zip(change).for_each(|(x, d)| *x += d);
                tensors.insert(name.to_owned(), numbers);
            }
            Ok(())
        };
        add(&layer.weight, &self.weight)?;
        let biases = [(layer, &self.bias)]
            .into_iter()
            .chain(later.iter().zip(&self.later));
        for (layer, change) in biases {
            if let Some(bias) = &layer.bias {
                add(bias, change)?;
            }
        }
        Ok(tensors)
    }
}
