//! Values joined and taken apart.

use std::rc::Rc;

use super::value::{Value, misfit};
use crate::RepairError;

/// The values one after the other along their first axis: channels of images, features of vectors.
pub(super) fn concat(values: &[Rc<Value>], at: &str) -> Result<Value, RepairError> {
    let Some([_, rest @ ..]) = values.first().map(|first| first.shape.as_slice()) else {
        return Err(misfit(at, "at least one value with an axis", &[]));
    };
    let mut extent = 0;
    let mut numbers = Vec::with_capacity(values.iter().map(|value| value.numbers.len()).sum());
    for value in values {
        match value.shape.as_slice() {
            [more, others @ ..] if others == rest => extent += more,
            _ => return Err(misfit(at, format!("[*, {rest:?}]"), &value.shape)),
        }
        numbers.extend_from_slice(&value.numbers);
    }
    Ok(Value::new(&[&[extent], rest].concat(), numbers))
}

/// The features `start .. start + len` of the last axis.
pub(super) fn slice(x: &Value, start: usize, len: usize, at: &str) -> Result<Value, RepairError> {
    let mut shape = x.shape.clone();
    match shape.last_mut() {
        Some(features) if *features > 0 && start + len <= *features => {
            let rows = x.numbers.chunks_exact(*features);
            let numbers = rows.flat_map(|row| &row[start..start + len]);
            let numbers = numbers.copied().collect();
            *features = len;
            Ok(Value::new(&shape, numbers))
        }
        _ => {
            let expected = format!("at least {} features", start + len);
            Err(misfit(at, expected, &x.shape))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_follow_one_another() {
        let a = Rc::new(Value::new(&[1, 1, 2], vec![1.0, 2.0]));
        let b = Rc::new(Value::new(&[2, 1, 2], vec![3.0, 4.0, 5.0, 6.0]));
        let both = concat(&[a.clone(), b], "concat").unwrap();
        assert_eq!(
            both,
            Value::new(&[3, 1, 2], (1..=6).map(f64::from).collect())
        );
        let other = Rc::new(Value::new(&[1, 2, 1], vec![0.0; 2]));
        assert!(concat(&[a, other], "concat").is_err());
    }

    #[test]
    fn features_are_cut_from_every_token() {
        let x = Value::new(&[2, 3], (0..6).map(f64::from).collect());
        let y = slice(&x, 1, 2, "slice").unwrap();
        assert_eq!(y, Value::new(&[2, 2], vec![1.0, 2.0, 4.0, 5.0]));
        assert!(slice(&x, 2, 2, "slice").is_err());
    }
}
