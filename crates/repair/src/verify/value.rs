//! The value of a node for one example, and the one matrix product.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use network::NetworkError;

use crate::RepairError;

/// Numbers in row-major order; there is no batch axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Value {
    pub(super) shape: Vec<usize>,
    pub(super) numbers: Vec<f64>,
}

impl Value {
    pub(super) fn new(shape: &[usize], numbers: Vec<f64>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), numbers.len());
        Self {
            shape: shape.to_vec(),
            numbers,
        }
    }

    /// The extents of a value whose rank is known and that has no empty axis.
    pub(super) fn extents<const RANK: usize>(
        &self,
        expected: &str,
        at: &str,
    ) -> Result<[usize; RANK], RepairError> {
        match <[usize; RANK]>::try_from(self.shape.as_slice()) {
            Ok(extents) if !extents.contains(&0) => Ok(extents),
            _ => Err(misfit(at, expected, &self.shape)),
        }
    }

    /// Channels, height and width.
    pub(super) fn image(&self, at: &str) -> Result<[usize; 3], RepairError> {
        self.extents("[channels, h, w]", at)
    }

    /// The vectors of the last axis, which must have `features` entries.
    pub(super) fn check_features(&self, features: usize, at: &str) -> Result<(), RepairError> {
        match self.shape.last() {
            Some(&last) if last == features && last > 0 => Ok(()),
            _ => Err(misfit(at, format!("[.., {features}]"), &self.shape)),
        }
    }

    /// Applies `map` to every number.
    pub(super) fn map(mut self, map: impl Fn(f64) -> f64) -> Self {
        self.numbers.iter_mut().for_each(|x| *x = map(*x));
        self
    }
}

/// A value that does not have the shape that its reader needs; `at` names the reader.
pub(super) fn misfit(at: &str, expected: impl Into<String>, got: &[usize]) -> RepairError {
    RepairError::Network(NetworkError::Shape {
        at: at.to_owned(),
        expected: expected.into(),
        got: got.to_vec(),
    })
}

/// `sums += a · b` on one thread: the examples are what runs in parallel.
pub(super) fn add_product(sums: MatMut<'_, f64>, a: MatRef<'_, f64>, b: MatRef<'_, f64>) {
    matmul(sums, Accum::Add, a, b, 1.0, Par::Seq);
}
