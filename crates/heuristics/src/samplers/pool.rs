//! What samplers draw from.

use std::cell::OnceCell;

use data::Dataset;
use network::Network;

use crate::HeuristicError;
use crate::error::check_count;
use crate::profile::{self, Points};

/// Labelled inputs, what a network answers, and where they lie.
#[derive(Clone, Debug)]
pub struct Pool<'a> {
    network: &'a Network,
    set: &'a Dataset,
    outputs: &'a [f64],
    representation: Points<'a>,
    margins: Vec<f64>,
    geometric: OnceCell<Vec<f64>>,
}

impl<'a> Pool<'a> {
    /// A pool of the inputs of `set` with the network's `outputs` (`points x classes`) and
    /// the points as some layer, or the input space, represents them.
    ///
    /// # Errors
    /// [`HeuristicError::Count`] and [`HeuristicError::Label`] when these do not match.
    pub fn new(
        network: &'a Network,
        set: &'a Dataset,
        outputs: &'a [f64],
        representation: Points<'a>,
    ) -> Result<Self, HeuristicError> {
        check_count("represented points", set.len(), representation.count())?;
        Ok(Self {
            margins: profile::margins(outputs, network.classes(), &set.labels)?,
            network,
            set,
            outputs,
            representation,
            geometric: OnceCell::new(),
        })
    }

    /// How many points.
    pub fn len(&self) -> usize {
        self.margins.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.margins.is_empty()
    }

    /// The labels.
    pub fn labels(&self) -> &[usize] {
        &self.set.labels
    }

    /// The points as they are represented.
    pub fn representation(&self) -> Points<'a> {
        self.representation
    }

    /// [`profile::margins`].
    pub fn margins(&self) -> &[f64] {
        &self.margins
    }

    /// [`profile::confidences`].
    pub fn confidences(&self) -> Vec<f64> {
        let probabilities = self.network.ends_in_softmax();
        profile::confidences(self.outputs, self.network.classes(), probabilities)
    }

    /// [`profile::geometric_margins`], computed when they are first asked for.
    ///
    /// # Errors
    /// As [`profile::geometric_margins`].
    pub fn geometric_margins(&self) -> Result<&[f64], HeuristicError> {
        if let Some(found) = self.geometric.get() {
            return Ok(found);
        }
        let found = profile::geometric_margins(self.network, self.set, self.outputs)?;
        Ok(self.geometric.get_or_init(|| found))
    }
}
