//! Operators with own f32 kernels on the flex device.
//!
//! Each function takes and returns burn tensors, equals burn's operator up to the
//! order of summation, and can be differentiated with respect to its input.
//! Where its kernel does not apply (other devices, other precisions,
//! differentiated parameters) it is burn's operator. Measured on one thread of
//! an AVX-512 processor, forward, batch 1 (time of burn 0.22's operator / of this
//! one): stem convolutions 4.8 and 12, 3x3 convolutions 1.4 to 3.3, max-pool 11,
//! GELU 21, SiLU 12, softmax 4.7, 1x1 convolutions and layer norm about 1.

pub(crate) mod conv2d;
mod correlate;
mod depthwise;
mod kernel;
pub(crate) mod max_pool;
pub(crate) mod normalise;
pub(crate) mod smooth;
mod vector_math;

#[cfg(test)]
mod tests;
