//! Numbers that a graph holds itself: they are no parameters, and nothing edits them.

use std::fmt;
use std::sync::Arc;

/// One number for every number of an example, in row-major order.
#[derive(Clone, PartialEq)]
pub struct Constants {
    numbers: Arc<[f64]>,
}

impl Constants {
    /// As many numbers as an example of the source has.
    pub fn new(numbers: Vec<f64>) -> Self {
        Self {
            numbers: numbers.into(),
        }
    }

    /// The numbers.
    pub fn numbers(&self) -> &[f64] {
        &self.numbers
    }
}

/// Counts the numbers: an image has too many to show.
impl fmt::Debug for Constants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Constants({})", self.numbers.len())
    }
}
