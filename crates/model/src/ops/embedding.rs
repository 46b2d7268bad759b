//! Tables of vectors, looked up by word or by position.
//!
//! A batch of token sequences is `[batch, 2, tokens]`: the first plane holds word numbers, the
//! second 1 at tokens and 0 at padding. Word numbers below 2²⁴ are exact in f32.

use crate::graph::ParameterSpec;
use crate::ops::spec;

/// Planes of a token input: word numbers and mask.
pub const TOKEN_PLANES: usize = 2;

/// What the rows of a table belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The words of the vocabulary.
    Word,
    /// The positions in a sequence.
    Position,
}

/// A table and the name of its tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedding {
    /// Name of the `[rows, features]` matrix.
    pub weight: String,
    /// What a row belongs to.
    pub key: Key,
    /// Number of words or positions.
    pub rows: usize,
    /// Numbers per row.
    pub features: usize,
}

impl Embedding {
    pub(crate) fn parameters(&self) -> Vec<ParameterSpec> {
        vec![spec(&self.weight, &[self.rows, self.features])]
    }
}
