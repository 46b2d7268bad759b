//! Numbers copied to other places: reshape, transpose, slice, gather, split, expand and pad are all
//!
//! ```text
//! y[i] = x[s(i)]    or    y[i] = fill
//! ```
//!
//! on the numbers of an example in row-major order.

use std::fmt;
use std::sync::Arc;

/// Where every number of the result comes from.
#[derive(Clone, PartialEq)]
pub struct Rearrange {
    /// Extents of an example of the result.
    pub shape: Vec<usize>,
    /// Numbers in an example of the source.
    pub reads: usize,
    /// For every number of the result its position in the source, [`Rearrange::FILL`] for `fill`;
    /// `None` when all numbers stay in order and only the extents change.
    pub sources: Option<Arc<[u32]>>,
    /// The number where nothing is copied.
    pub fill: f64,
}

impl Rearrange {
    /// The position of a number that is not copied.
    pub const FILL: u32 = u32::MAX;

    /// The same numbers with other extents.
    pub fn reshape(shape: &[usize]) -> Self {
        Self {
            shape: shape.to_vec(),
            reads: shape.iter().product(),
            sources: None,
            fill: 0.0,
        }
    }

    /// Numbers in an example of the result.
    pub fn writes(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Shows the extents: an image has too many positions to show.
impl fmt::Debug for Rearrange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rearrange")
            .field("shape", &self.shape)
            .field("reads", &self.reads)
            .field("copies", &self.sources.is_some())
            .finish_non_exhaustive()
    }
}
