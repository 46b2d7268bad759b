//! Images as token sequences and back (MobileViT, Mehta & Rastegari 2022, section 3.1).
//!
//! An image is cut into patches of `p x p` pixels; the pixels at one position in their patches
//! form one sequence, so there are p² sequences of as many tokens as there are patches. An image
//! whose extents are no multiples of p is resized to the next multiple and back, bilinearly with
//! half-pixel centres, as the reference implementations do.

use burn::tensor::Tensor;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};

use crate::{NetworkError, Value};

/// `[batch, channels, h, w]` to `[batch, p², patches, channels]`.
pub(crate) fn unfold(x: Value, patch: usize, at: &str) -> Result<Value, NetworkError> {
    let channels = x.shape().get(1).copied().unwrap_or_default();
    let x = x.image(channels, [1, 1], at)?;
    let [b, c, h, w] = x.dims();
    let (rows, columns) = (h.div_ceil(patch), w.div_ceil(patch));
    let x = resize(x, [rows * patch, columns * patch]);
    let x: Tensor<6> = x.reshape([b, c, rows, patch, columns, patch]);
    let x = x.permute([0, 3, 5, 2, 4, 1]);
    Ok(Value::R4(x.reshape([b, patch * patch, rows * columns, c])))
}

/// The inverse of [`unfold`] with the extents of `like`.
pub(crate) fn fold(x: Value, like: &Value, patch: usize, at: &str) -> Result<Value, NetworkError> {
    let &[_, _, h, w] = like.shape().as_slice() else {
        return Err(NetworkError::shape(at, "[*, *, h, w]", &like.shape()));
    };
    let (rows, columns) = (h.div_ceil(patch), w.div_ceil(patch));
    match x {
        Value::R4(x) if x.dims()[1..3] == [patch * patch, rows * columns] => {
            let [b, _, _, c] = x.dims();
            let x: Tensor<6> = x.reshape([b, patch, patch, rows, columns, c]);
            let x = x.permute([0, 5, 3, 1, 4, 2]);
            let x: Tensor<4> = x.reshape([b, c, rows * patch, columns * patch]);
            Ok(Value::R4(resize(x, [h, w])))
        }
        other => Err(NetworkError::shape(
            at,
            format!("[*, {}, {}, *]", patch * patch, rows * columns),
            &other.shape(),
        )),
    }
}

fn resize(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    if x.dims()[2..] == size {
        return x;
    }
    let options = InterpolateOptions::new(InterpolateMode::Bilinear)
        .with_align_corners(false)
        .with_output_size(size);
    interpolate(x, options)
}
