//! Tables of vectors, looked up by word or by position.

use burn::tensor::{Int, Tensor};
use model::Embedding;
use model::ops::embedding::{Key, TOKEN_PLANES};

use crate::{NetworkError, Value};

/// The rows of the tokens of `x`, `[batch, 2, tokens]` to `[batch, tokens, features]`;
/// positions are the same in every example.
///
/// # Errors
/// [`NetworkError::Shape`] when `x` holds no tokens or more than there are positions;
/// [`NetworkError::Word`] for a word that is not in the table.
pub(crate) fn forward(
    op: &Embedding,
    x: &Value,
    weight: Tensor<2>,
    at: &str,
) -> Result<Value, NetworkError> {
    let (words, tokens) = planes(x, at)?;
    let [batch, length] = words.dims();
    let features = op.features;
    match op.key {
        Key::Position if length > op.rows => Err(NetworkError::shape(
            at,
            format!("at most {} tokens", op.rows),
            &[batch, length],
        )),
        Key::Position => {
            let rows = weight.slice([0..length, 0..features]).unsqueeze::<3>();
            Ok(Value::R3(rows.repeat_dim(0, batch)))
        }
        Key::Word => {
            check(op, &tokens, at)?;
            let numbers: Tensor<1, Int> = words.int().reshape([batch * length]);
            let rows = weight.select(0, numbers);
            Ok(Value::R3(rows.reshape([batch, length, features])))
        }
    }
}

fn check(op: &Embedding, words: &[f64], at: &str) -> Result<(), NetworkError> {
    let known = |&word: &f64| word >= 0.0 && word.fract() == 0.0 && word < op.rows as f64;
    match words.iter().find(|word| !known(word)) {
        None => Ok(()),
        Some(&word) => Err(NetworkError::Word {
            at: at.to_owned(),
            word,
            rows: op.rows,
        }),
    }
}

/// The word numbers of a token input, on the device and as numbers.
fn planes(x: &Value, at: &str) -> Result<(Tensor<2>, Vec<f64>), NetworkError> {
    let words = plane(x, 0, at)?;
    let numbers = Value::R2(words.clone()).to_vec()?;
    Ok((words, numbers))
}

/// One plane of a token input, `[batch, tokens]`.
pub(crate) fn plane(x: &Value, index: usize, at: &str) -> Result<Tensor<2>, NetworkError> {
    match x {
        Value::R3(x) if x.dims()[1] == TOKEN_PLANES && x.dims()[2] > 0 => {
            let [batch, _, length] = x.dims();
            let plane = x.clone().slice([0..batch, index..index + 1, 0..length]);
            Ok(plane.reshape([batch, length]))
        }
        other => Err(NetworkError::shape(
            at,
            format!("[*, {TOKEN_PLANES}, tokens]"),
            &other.shape(),
        )),
    }
}
