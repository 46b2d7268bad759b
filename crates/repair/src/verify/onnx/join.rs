//! Values one after the other along an axis.

use super::error::OnnxError;
use super::operators::{Call, Operator};
use super::tensor::{Data, Tensor};

pub(super) const OPERATORS: &[Operator] = &[Operator::new(
    "Concat",
    1,
    usize::MAX,
    &["axis"],
    concatenate,
)];

/// The operands, equal in the other axes, one after the other.
fn concatenate(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let operands = call.all_inputs()?;
    let first = call.input(0)?;
    let Some(axis) = call.attributes.int("axis", call.at)? else {
        return Err(call.misfit("attribute `axis`", "none"));
    };
    let axis = call.axis(axis, first.shape.len())?;
    let mut shape = first.shape.clone();
    shape[axis] = 0;
    for operand in &operands {
        call.check_same_type(first, operand)?;
        let fits = |(place, (a, b)): (usize, (&usize, &usize))| place == axis || a == b;
        let same_rank = operand.shape.len() == shape.len();
        if !same_rank || !shape.iter().zip(&operand.shape).enumerate().all(fits) {
            let expected = format!("{:?} but for axis {axis}", first.shape);
            return Err(call.misshapen(expected, &operand.shape));
        }
        shape[axis] += operand.shape[axis];
    }
    call.elements(&shape)?;
    let outer: usize = shape[..axis].iter().product();
    let data = match &*first.data {
        Data::Floats(_) => Data::Floats(joined(&operands, outer, |data| match data {
            Data::Floats(numbers) => numbers,
            _ => &[],
        })),
        Data::Ints(_) => Data::Ints(joined(&operands, outer, |data| match data {
            Data::Ints(numbers) => numbers,
            _ => &[],
        })),
        Data::Bools(_) => Data::Bools(joined(&operands, outer, |data| match data {
            Data::Bools(numbers) => numbers,
            _ => &[],
        })),
    };
    Ok(vec![Tensor::new(shape, first.element, data)])
}

/// The blocks of all operands, in turn.
fn joined<T: Copy>(operands: &[&Tensor], outer: usize, numbers: impl Fn(&Data) -> &[T]) -> Vec<T> {
    let mut all = Vec::with_capacity(operands.iter().map(|operand| operand.len()).sum());
    for block in 0..outer {
        for operand in operands {
            let numbers = numbers(&operand.data);
            let size = numbers.len() / outer;
            all.extend_from_slice(&numbers[block * size..][..size]);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Attribute;
    use super::super::testing::{float, int, one, refused};

    #[test]
    fn values_are_joined_along_an_axis() {
        let a = int(&[2, 1], &[1, 2]);
        let b = int(&[2, 2], &[3, 4, 5, 6]);
        let along = |axis| [("axis", Attribute::Int(axis))];
        assert_eq!(
            one("Concat", 13, &along(-1), &[&a, &b]),
            int(&[2, 3], &[1, 3, 4, 2, 5, 6])
        );
        let none = int(&[0, 1], &[]);
        assert_eq!(
            one("Concat", 13, &along(0), &[&none, &a, &a]),
            int(&[4, 1], &[1, 2, 1, 2])
        );
        assert!(refused("Concat", 13, &along(0), &[&a, &b]).contains("[2, 1] but for axis 0"));
        assert!(refused("Concat", 13, &along(2), &[&a, &a]).contains("an axis of 2"));
        assert!(refused("Concat", 13, &[], &[&a]).contains("`axis`"));
        let c = float(&[2, 1], &[0.0; 2]);
        assert!(refused("Concat", 13, &along(0), &[&a, &c]).contains("int64 and float"));
        assert!(
            refused("Concat", 13, &along(0), &[&a, &int(&[2], &[1, 2])]).contains("got shape [2]")
        );
    }
}
