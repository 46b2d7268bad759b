//! A change Δ of some tensors of a network.

use std::collections::BTreeMap;

use network::{Model, ModelError};

/// Δ, per tensor in the checkpoint's names and layouts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    tensors: BTreeMap<String, Vec<f64>>,
}

impl Change {
    /// The change of a tensor, if it has one.
    pub fn get(&self, name: &str) -> Option<&[f64]> {
        self.tensors.get(name).map(Vec::as_slice)
    }

    /// Sets the change of a tensor.
    pub fn set(&mut self, name: &str, change: Vec<f64>) {
        self.tensors.insert(name.to_owned(), change);
    }

    /// Takes over the tensors of another change.
    pub fn extend(&mut self, other: Self) {
        self.tensors.extend(other.tensors);
    }

    /// Adds another change.
    pub fn add(&mut self, other: &Self) {
        for (name, numbers) in &other.tensors {
            match self.tensors.get_mut(name) {
                Some(own) => own.iter_mut().zip(numbers).for_each(|(a, b)| *a += b),
                None => self.set(name, numbers.clone()),
            }
        }
    }

    /// The changed tensors, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.tensors
            .iter()
            .map(|(name, d)| (name.as_str(), d.as_slice()))
    }

    /// Euclidean norm over all entries.
    pub fn norm_l2(&self) -> f64 {
        self.entries().map(|d| d * d).sum::<f64>().sqrt()
    }

    /// Sum of the absolute entries.
    pub fn norm_l1(&self) -> f64 {
        self.entries().map(f64::abs).sum()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.tensors.values().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Largest absolute entry.
    pub fn norm_linf(&self) -> f64 {
        self.entries().fold(0.0, |largest, d| largest.max(d.abs()))
    }

    fn entries(&self) -> impl Iterator<Item = f64> + '_ {
        self.tensors.values().flatten().copied()
    }

    /// What leads from the tensors of `original` to those of `edited`: the change that an
    /// earlier repair made.
    ///
    /// # Errors
    /// [`ModelError`] when `edited` lacks a tensor or has another shape.
    pub fn between(original: &Model, edited: &Model) -> Result<Self, ModelError> {
        let mut change = Self::default();
        for name in original.names() {
            let shape = original.shape(name)?;
            if edited.shape(name)? != shape {
                return Err(ModelError::Shape {
                    at: format!("tensor `{name}` of the edited checkpoint"),
                    expected: format!("{shape:?}"),
                    got: edited.shape(name)?.to_vec(),
                });
            }
            if original.raw(name)? != edited.raw(name)? {
                let numbers = edited.tensor(name)?.into_iter();
                let difference = numbers.zip(original.tensor(name)?).map(|(a, b)| a - b);
                change.set(name, difference.collect());
            }
        }
        Ok(change)
    }

    /// The edited tensors of `checkpoint`: stored number plus change. What does not change is
    /// left out.
    ///
    /// # Errors
    /// [`ModelError`] when the checkpoint lacks one of the tensors.
    pub fn edited(&self, checkpoint: &Model) -> Result<BTreeMap<String, Vec<f64>>, ModelError> {
        let moving = self
            .tensors
            .iter()
            .filter(|(_, change)| change.iter().any(|&d| d != 0.0));
        moving
            .map(|(name, change)| {
                let mut numbers = checkpoint.tensor(name)?;
                numbers.iter_mut().zip(change).for_each(|(x, d)| *x += d);
                Ok((name.clone(), numbers))
            })
            .collect()
    }
}
