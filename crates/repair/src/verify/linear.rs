//! Affine maps of features and products of matrices.

use faer::{MatMut, MatRef};
use model::ops::Linear;

use super::value::{Value, add_product, misfit};
use crate::RepairError;

/// `y = x Wᵀ + b` on the last axis: `[.., inputs]` to `[.., outputs]`.
pub(super) fn linear(
    op: &Linear,
    x: &Value,
    weight: &[f64],
    bias: Option<&[f64]>,
    at: &str,
) -> Result<Value, RepairError> {
    x.check_features(op.inputs, at)?;
    let rows = x.numbers.len() / op.inputs;
    let mut y = match bias {
        Some(bias) => bias.repeat(rows),
        None => vec![0.0; rows * op.outputs],
    };
    add_product(
        MatMut::from_row_major_slice_mut(&mut y, rows, op.outputs),
        MatRef::from_row_major_slice(&x.numbers, rows, op.inputs),
        MatRef::from_row_major_slice(weight, op.outputs, op.inputs).transpose(),
    );
    let mut shape = x.shape.clone();
    if let Some(last) = shape.last_mut() {
        *last = op.outputs;
    }
    Ok(Value::new(&shape, y))
}

/// Products of the matrices in the last two axes: `[n, a, b]` and `[n, b, c]`, or `[n, c, b]` when
/// `transposed`, to `[n, a, c]`.
pub(super) fn matrix_products(
    left: &Value,
    right: &Value,
    transposed: bool,
    at: &str,
) -> Result<Value, RepairError> {
    let [n, a, b] = left.extents("[matrices, rows, columns]", at)?;
    let [m, rows, columns] = right.extents("[matrices, rows, columns]", at)?;
    let (inner, c) = match transposed {
        true => (columns, rows),
        false => (rows, columns),
    };
    if (m, inner) != (n, b) {
        let expected = format!("a right factor for {:?}", left.shape);
        return Err(misfit(at, expected, &right.shape));
    }
    let mut products = vec![0.0; n * a * c];
    let factors = left.numbers.chunks_exact(a * b);
    let factors = factors.zip(right.numbers.chunks_exact(b * c));
    for (product, (left, right)) in products.chunks_exact_mut(a * c).zip(factors) {
        let right = MatRef::from_row_major_slice(right, rows, columns);
        add_product(
            MatMut::from_row_major_slice_mut(product, a, c),
            MatRef::from_row_major_slice(left, a, b),
            if transposed { right.transpose() } else { right },
        );
    }
    Ok(Value::new(&[n, a, c], products))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_mapped_alike() {
        let op = Linear {
            weight: "w".into(),
            bias: None,
            inputs: 2,
            outputs: 3,
        };
        let x = Value::new(&[2, 2], vec![1.0, 2.0, -1.0, 0.5]);
        let weight = [1.0, 0.0, 0.0, 1.0, 1.0, -1.0];
        let y = linear(&op, &x, &weight, Some(&[0.0, 10.0, 100.0]), "here").unwrap();
        assert_eq!(
            y,
            Value::new(&[2, 3], vec![1.0, 12.0, 99.0, -1.0, 10.5, 98.5])
        );
    }

    #[test]
    fn a_weight_of_zero_does_not_hide_an_overflow() {
        let op = Linear {
            weight: "w".into(),
            bias: None,
            inputs: 2,
            outputs: 2,
        };
        for tokens in [1, 3] {
            let x = Value::new(&[tokens, 2], [f64::INFINITY, 1.0].repeat(tokens));
            let y = linear(&op, &x, &[0.0, 1.0, 1.0, 0.0], None, "here").unwrap();
            for row in y.numbers.chunks(2) {
                assert!(row[0].is_nan() && row[1] == f64::INFINITY, "{row:?}");
            }
        }
    }

    #[test]
    fn matrices_are_multiplied_pairwise() {
        let left = Value::new(&[2, 1, 2], vec![1.0, 2.0, 3.0, 4.0]);
        let right = Value::new(&[2, 2, 2], (1..=8).map(f64::from).collect());
        let plain = matrix_products(&left, &right, false, "here").unwrap();
        assert_eq!(plain, Value::new(&[2, 1, 2], vec![7.0, 10.0, 43.0, 50.0]));
        let transposed = matrix_products(&left, &right, true, "here").unwrap();
        assert_eq!(transposed.numbers, [5.0, 11.0, 39.0, 53.0]);
    }
}
