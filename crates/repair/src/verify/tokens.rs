//! Token sequences: words and positions, padding, attention heads.

use model::ops::Embedding;
use model::ops::embedding::Key;
use network::NetworkError;

use super::value::{Value, misfit};
use crate::RepairError;

/// What a score at padding loses: more than any score, so that its share is 0.
const PADDING_LOSS: f64 = 1e30;

/// Rows of a table for the tokens of `x`, `[2, tokens]` (word numbers, mask), to `[tokens, features]`.
pub(super) fn embedding(
    op: &Embedding,
    x: &Value,
    table: &[f64],
    at: &str,
) -> Result<Value, RepairError> {
    let [words, _] = planes(x, at)?;
    let rows: Vec<usize> = match op.key {
        Key::Position if words.len() > op.rows => {
            return Err(misfit(at, format!("at most {} tokens", op.rows), &x.shape));
        }
        Key::Position => (0..words.len()).collect(),
        Key::Word => words
            .iter()
            .map(|&word| row_of(word, op.rows, at))
            .collect::<Result<_, _>>()?,
    };
    let row = |&row: &usize| &table[row * op.features..(row + 1) * op.features];
    let numbers: Vec<f64> = rows.iter().flat_map(row).copied().collect();
    Ok(Value::new(&[rows.len(), op.features], numbers))
}

fn row_of(word: f64, rows: usize, at: &str) -> Result<usize, RepairError> {
    if word >= 0.0 && word < rows as f64 && word.fract() == 0.0 {
        return Ok(word as usize);
    }
    Err(RepairError::Network(NetworkError::Word {
        at: at.to_owned(),
        word,
        rows,
    }))
}

/// What attention scores lose at each token, `[2, tokens]` to `[1, 1, tokens]`: 0 where the mask is
/// 1, a loss that outweighs every score where it is 0.
pub(super) fn token_mask(x: &Value, at: &str) -> Result<Value, RepairError> {
    let [_, mask] = planes(x, at)?;
    let losses = mask.iter().map(|m| (m - 1.0) * PADDING_LOSS).collect();
    Ok(Value::new(&[1, 1, mask.len()], losses))
}

/// Word numbers and mask.
fn planes<'a>(x: &'a Value, at: &str) -> Result<[&'a [f64]; 2], RepairError> {
    let [planes, tokens] = x.extents("[2, tokens]", at)?;
    if planes != 2 {
        return Err(misfit(at, "[2, tokens]", &x.shape));
    }
    let (words, mask) = x.numbers.split_at(tokens);
    Ok([words, mask])
}

/// The features of one token, `[tokens, features]` to `[features]`.
pub(super) fn select_token(x: &Value, index: usize, at: &str) -> Result<Value, RepairError> {
    let [tokens, features] = x.extents("[tokens, features]", at)?;
    if index >= tokens {
        return Err(misfit(
            at,
            format!("[more than {index}, features]"),
            &x.shape,
        ));
    }
    let token = &x.numbers[index * features..(index + 1) * features];
    Ok(Value::new(&[features], token.to_vec()))
}

/// `[tokens, features]` or `[sequences, tokens, features]` to
/// `[sequences · heads, tokens, features / heads]`.
pub(super) fn split_heads(x: &Value, heads: usize, at: &str) -> Result<Value, RepairError> {
    let [sequences, tokens, features] = match *x.shape.as_slice() {
        [tokens, features] => [1, tokens, features],
        _ => x.extents("[tokens, features] or [sequences, tokens, features]", at)?,
    };
    if heads == 0 || features == 0 || !features.is_multiple_of(heads) {
        let expected = format!("features a multiple of {heads}");
        return Err(misfit(at, expected, &x.shape));
    }
    let width = features / heads;
    let numbers = swap_middle_axes(&x.numbers, [tokens, heads, width]);
    Ok(Value::new(&[sequences * heads, tokens, width], numbers))
}

/// The inverse of [`split_heads`]; with `sequences` the result has that axis.
pub(super) fn merge_heads(
    x: &Value,
    heads: usize,
    sequences: Option<usize>,
    at: &str,
) -> Result<Value, RepairError> {
    let [all, tokens, width] = x.extents("[heads, tokens, features]", at)?;
    if all != heads * sequences.unwrap_or(1) {
        let expected = format!("[{}, tokens, features]", heads * sequences.unwrap_or(1));
        return Err(misfit(at, expected, &x.shape));
    }
    let numbers = swap_middle_axes(&x.numbers, [heads, tokens, width]);
    let shape = [tokens, heads * width];
    let shape: Vec<usize> = sequences.into_iter().chain(shape).collect();
    Ok(Value::new(&shape, numbers))
}

/// `[.., a, b, width]` to `[.., b, a, width]`.
fn swap_middle_axes(numbers: &[f64], [a, b, width]: [usize; 3]) -> Vec<f64> {
    let mut swapped = Vec::with_capacity(numbers.len());
    for block in numbers.chunks_exact(a * b * width) {
        for second in 0..b {
            for first in 0..a {
                swapped.extend_from_slice(&block[(first * b + second) * width..][..width]);
            }
        }
    }
    swapped
}

#[cfg(test)]
mod tests {
    use super::super::norm::softmax;
    use super::super::pointwise::pairwise;
    use super::*;

    fn table(key: Key) -> Embedding {
        Embedding {
            weight: "table".into(),
            key,
            rows: 3,
            features: 2,
        }
    }

    #[test]
    fn words_and_positions_pick_rows() {
        let x = Value::new(&[2, 2], vec![2.0, 0.0, 1.0, 1.0]);
        let rows = [0.0, 1.0, 10.0, 11.0, 20.0, 21.0];
        let words = embedding(&table(Key::Word), &x, &rows, "words").unwrap();
        assert_eq!(words, Value::new(&[2, 2], vec![20.0, 21.0, 0.0, 1.0]));
        let positions = embedding(&table(Key::Position), &x, &rows, "positions").unwrap();
        assert_eq!(positions.numbers, [0.0, 1.0, 10.0, 11.0]);
    }

    #[test]
    fn numbers_that_are_no_words_are_refused() {
        for word in [3.0, -1.0, 0.5, f64::NAN] {
            let x = Value::new(&[2, 1], vec![word, 1.0]);
            let error = embedding(&table(Key::Word), &x, &[0.0; 6], "words").unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("words: expected words from 0 to 2"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_masked_token_has_no_share_and_the_others_keep_theirs() {
        let scores = Value::new(&[1, 1, 3], vec![0.0, 50.0, 3.0f64.ln()]);
        let x = Value::new(&[2, 3], vec![5.0, 6.0, 7.0, 1.0, 0.0, 1.0]);
        let mask = token_mask(&x, "mask").unwrap();
        let shares = softmax(
            pairwise(scores, &mask, |a, b| a + b, "masked").unwrap(),
            "softmax",
        )
        .unwrap();
        assert_eq!(shares.numbers[1], 0.0);
        for (got, expected) in [(shares.numbers[0], 0.25), (shares.numbers[2], 0.75)] {
            assert!((got - expected).abs() < 1e-15, "{got} {expected}");
        }
    }

    #[test]
    fn heads_are_split_and_merged() {
        let x = Value::new(&[2, 4], (0..8).map(f64::from).collect());
        let split = split_heads(&x, 2, "split").unwrap();
        let expected = vec![0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0];
        assert_eq!(split, Value::new(&[2, 2, 2], expected));
        assert_eq!(merge_heads(&split, 2, None, "merge").unwrap(), x);
        // Three sequences of two tokens, four features.
        let x = Value::new(&[3, 2, 4], (0..24).map(f64::from).collect());
        let split = split_heads(&x, 2, "split").unwrap();
        assert_eq!(split.shape, [6, 2, 2]);
        assert_eq!(split.numbers[8..12], [8.0, 9.0, 12.0, 13.0]);
        assert_eq!(merge_heads(&split, 2, Some(3), "merge").unwrap(), x);
    }

    #[test]
    fn one_token_is_selected() {
        let x = Value::new(&[2, 2], vec![1.0, 2.0, 3.0, 4.0]);
        assert_eq!(select_token(&x, 1, "first").unwrap().numbers, [3.0, 4.0]);
        assert!(select_token(&x, 2, "first").is_err());
    }
}
