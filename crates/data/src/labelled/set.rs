//! Examples as a network takes them.

use super::names::Names;
use super::passed::PassedOver;
use crate::{DataError, Dataset};

/// Examples as a network takes them, and where each comes from.
#[derive(Clone, Debug)]
pub struct LabelledSet {
    /// The examples; `[3, rows, columns]` for pictures, `[2, tokens]` for texts, padded to the longest,
    /// `[features]` for vectors.
    pub dataset: Dataset,
    /// What people call each example: its file, file and line, or file and position.
    pub names: Names,
    /// Examples that the file or folder holds.
    pub available: usize,
    /// What was not read, by reason. A set that [`OpenSet::read`](super::OpenSet::read) gives counts
    /// what *that* call passed over; what opening passed over is the open set's.
    pub passed_over: PassedOver,
    /// The id of the token that fills up short texts.
    pub(super) padding: Option<f32>,
}

impl LabelledSet {
    /// The examples at `indices`, in that order.
    ///
    /// # Errors
    /// [`DataError::Index`] when an index is not below the number of examples.
    pub fn subset(&self, indices: &[usize]) -> Result<Self, DataError> {
        Ok(Self {
            dataset: self.dataset.subset(indices)?,
            names: self.names.subset(indices),
            available: self.available,
            passed_over: self.passed_over.clone(),
            padding: self.padding,
        })
    }

    /// The examples of several parts of one set, one part after the other. Texts are padded to the
    /// longest of all parts; parts without examples are left out.
    ///
    /// # Errors
    /// [`DataError::NoParts`] without parts, [`DataError::Shape`] and [`DataError::Classes`] when parts
    /// have examples of different shapes or other classes.
    pub fn concat(parts: &[&Self]) -> Result<Self, DataError> {
        let first = parts.first().ok_or(DataError::NoParts)?;
        let mut passed_over = PassedOver::default();
        for part in parts {
            passed_over.merge(part.passed_over.clone());
        }
        let filled = || parts.iter().filter(|part| !part.dataset.is_empty());
        let longest = filled().map(|part| part.tokens()).max().flatten();
        let datasets: Vec<Dataset> = filled()
            .map(|part| match longest {
                Some(length) => part.padded(length),
                None => part.dataset.clone(),
            })
            .collect();
        let dataset = match &datasets[..] {
            [] => first.dataset.clone(),
            datasets => Dataset::concat(&datasets.iter().collect::<Vec<_>>())?,
        };
        Ok(Self {
            dataset,
            names: Names::concat(filled().map(|part| &part.names)),
            available: first.available,
            passed_over,
            padding: first.padding,
        })
    }

    /// The number of tokens of each text; none of other examples.
    fn tokens(&self) -> Option<usize> {
        match self.dataset.shape[..] {
            [2, length] if self.padding.is_some() => Some(length),
            _ => None,
        }
    }

    /// The same texts, filled up to `length` tokens.
    fn padded(&self, length: usize) -> Dataset {
        let (Some(own), Some(pad)) = (self.tokens(), self.padding) else {
            return self.dataset.clone();
        };
        let missing = length.saturating_sub(own);
        let mut inputs = Vec::with_capacity(self.dataset.len() * 2 * (own + missing));
        for i in 0..self.dataset.len() {
            let (ids, mask) = self.dataset.example(i).split_at(own);
            inputs.extend_from_slice(ids);
            inputs.extend(std::iter::repeat_n(pad, missing));
            inputs.extend_from_slice(mask);
            inputs.extend(std::iter::repeat_n(0.0, missing));
        }
        Dataset {
            shape: vec![2, own + missing],
            inputs,
            labels: self.dataset.labels.clone(),
            classes: self.dataset.classes,
            ids: self.dataset.ids.clone(),
        }
    }
}
