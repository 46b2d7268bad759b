//! Operators on tensors: one file per family of [`model::ops`].

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod conv2d;
pub(crate) mod elementwise;
pub(crate) mod embedding;
pub(crate) mod join;
mod kernels;
pub(crate) mod linear;
pub(crate) mod norm;
pub(crate) mod patches;
pub(crate) mod pool;
pub(crate) mod rearrange;
pub(crate) mod scaling;
pub(crate) mod softmax;
