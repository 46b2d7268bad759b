//! The parts of scaled dot-product attention, `softmax(Q Kᵀ / √d + mask) V` per head.

use burn::tensor::Tensor;

use crate::ops::embedding::plane;
use crate::{NetworkError, Value};

/// What a score at padding loses: its exponential is 0 in f32 and f64.
const PADDING_LOSS: f64 = 1e30;

/// The products of the matrices in the last two axes.
pub(crate) fn matmul(
    a: Value,
    b: Value,
    transposed: bool,
    at: &str,
) -> Result<Value, NetworkError> {
    let (left, right) = (a.shape(), b.shape());
    match (a, b) {
        (Value::R4(a), Value::R4(b)) if fits(&left, &right, transposed) => {
            let b = if transposed { b.swap_dims(2, 3) } else { b };
            Ok(Value::R4(a.matmul(b)))
        }
        _ => Err(NetworkError::shape(
            at,
            format!("a right factor for {left:?}"),
            &right,
        )),
    }
}

fn fits(left: &[usize], right: &[usize], transposed: bool) -> bool {
    let shared = if transposed { right[3] } else { right[2] };
    left[..2] == right[..2] && left[3] == shared
}

/// `[batch, tokens, features]` or `[batch, sequences, tokens, features]` to
/// `[batch, sequences · heads, tokens, features / heads]`.
pub(crate) fn split_heads(x: Value, heads: usize, at: &str) -> Result<Value, NetworkError> {
    let shape = x.shape();
    let refused = || NetworkError::shape(at, format!("features a multiple of {heads}"), &shape);
    if heads == 0 || !shape.last().is_some_and(|f| f.is_multiple_of(heads)) {
        return Err(refused());
    }
    match x {
        Value::R3(x) => {
            let [b, t, f] = x.dims();
            let x: Tensor<4> = x.reshape([b, t, heads, f / heads]);
            Ok(Value::R4(x.swap_dims(1, 2)))
        }
        Value::R4(x) => {
            let [b, s, t, f] = x.dims();
            let x: Tensor<5> = x.reshape([b, s, t, heads, f / heads]);
            Ok(Value::R4(x.swap_dims(2, 3).reshape([
                b,
                s * heads,
                t,
                f / heads,
            ])))
        }
        _ => Err(refused()),
    }
}

/// The inverse of [`split_heads`].
pub(crate) fn merge_heads(
    x: Value,
    heads: usize,
    sequences: Option<usize>,
    at: &str,
) -> Result<Value, NetworkError> {
    let count = heads.saturating_mul(sequences.unwrap_or(1));
    match (x, sequences) {
        (Value::R4(x), None) if x.dims()[1] == count => {
            let [b, _, t, d] = x.dims();
            Ok(Value::R3(x.swap_dims(1, 2).reshape([b, t, heads * d])))
        }
        (Value::R4(x), Some(s)) if x.dims()[1] == count => {
            let [b, _, t, d] = x.dims();
            let x: Tensor<5> = x.reshape([b, s, heads, t, d]);
            Ok(Value::R4(x.swap_dims(2, 3).reshape([b, s, t, heads * d])))
        }
        (other, _) => Err(NetworkError::shape(
            at,
            format!("[*, {count}, *, *]"),
            &other.shape(),
        )),
    }
}

/// The mask of a token input, `[batch, 2, tokens]` to `[batch, 1, 1, tokens]`.
pub(crate) fn token_mask(x: &Value, at: &str) -> Result<Value, NetworkError> {
    let mask = plane(x, 1, at)?;
    let [batch, tokens] = mask.dims();
    let scores = (mask - 1.0) * PADDING_LOSS;
    Ok(Value::R4(scores.reshape([batch, 1, 1, tokens])))
}

/// The features of one token.
pub(crate) fn select_token(x: Value, index: usize, at: &str) -> Result<Value, NetworkError> {
    match x {
        Value::R3(x) if index < x.dims()[1] => {
            let [batch, _, features] = x.dims();
            let token = x.slice([0..batch, index..index + 1, 0..features]);
            Ok(Value::R2(token.reshape([batch, features])))
        }
        other => Err(NetworkError::shape(
            at,
            format!("[*, more than {index}, *]"),
            &other.shape(),
        )),
    }
}
