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
    let [rows, columns] = patches([b, c], [h, w], patch, at)?;
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
    let [b, c] = match &x {
        Value::R4(x) => [x.dims()[0], x.dims()[3]],
        other => return Err(NetworkError::shape(at, "[*, *, *, *]", &other.shape())),
    };
    let [rows, columns] = patches([b, c], [h, w], patch, at)?;
    match x {
        Value::R4(x) if x.dims()[1..3] == [patch * patch, rows * columns] => {
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

/// Rows and columns of patches of an image of height and width `size`, if the image that they cover can
/// be counted: the backend multiplies its extents unchecked, and writes through the product.
fn patches(
    planes: [usize; 2],
    size: [usize; 2],
    patch: usize,
    at: &str,
) -> Result<[usize; 2], NetworkError> {
    let refused = || {
        let expected = format!("an image that patches of {patch} x {patch} pixels can cover");
        NetworkError::shape(at, expected, &size)
    };
    let counts = size.map(|extent| extent.checked_div(patch).map(|_| extent.div_ceil(patch)));
    let [Some(rows), Some(columns)] = counts else {
        return Err(refused());
    };
    let extents = [planes[0], planes[1], rows, patch, columns, patch];
    let bytes = extents
        .into_iter()
        .try_fold(size_of::<f64>(), |product, extent| {
            product.checked_mul(extent)
        });
    match bytes {
        Some(bytes) if bytes <= isize::MAX as usize => Ok([rows, columns]),
        _ => Err(refused()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceChoice, Precision};

    fn image(numbers: usize, shape: &[usize]) -> Value {
        let device = DeviceChoice::Flex.open().unwrap();
        let numbers: Vec<f64> = (0..numbers).map(|i| i as f64).collect();
        Value::from_f64(&numbers, shape, &device, Precision::F32).unwrap()
    }

    #[test]
    fn an_image_comes_back_from_its_patches() {
        let x = image(2 * 3 * 4 * 6, &[2, 3, 4, 6]);
        let tokens = unfold(x.clone(), 2, "unfold").unwrap();
        assert_eq!(tokens.shape(), [2, 4, 6, 3]);
        let folded = fold(tokens, &x, 2, "fold").unwrap();
        assert_eq!(folded.to_vec().unwrap(), x.to_vec().unwrap());
    }

    #[test]
    fn patches_whose_products_wrap_are_refused_before_they_are_made() {
        let x = image(64, &[1, 64, 1, 1]);
        // 64 · p² of the second is 576 once 64 bits are full.
        for patch in [
            0,
            (1 << 57) + 3,
            1 << 31,
            1 << 32,
            1 << 53,
            1 << 63,
            usize::MAX,
        ] {
            let refusal = unfold(x.clone(), patch, "there").unwrap_err().to_string();
            assert!(refusal.contains("there"), "{patch}: {refusal}");
            let tokens = image(64, &[1, 1, 1, 64]);
            fold(tokens, &x, patch, "there").unwrap_err();
        }
    }
}
