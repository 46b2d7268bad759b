//! Comparisons and logic, which give booleans.

use super::arithmetic::{common_shape, expanded};
use super::error::OnnxError;
use super::operators::{Call, Operator};
use super::tensor::{Data, Tensor};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Equal", 2, 2, &[], |call| {
        compare(call, |a, b| a == b, |a, b| a == b, Some(|a, b| a == b))
    }),
    Operator::new("Less", 2, 2, &[], |call| {
        compare(call, |a, b| a < b, |a, b| a < b, None)
    }),
    Operator::new("Greater", 2, 2, &[], |call| {
        compare(call, |a, b| a > b, |a, b| a > b, None)
    }),
    Operator::new("LessOrEqual", 2, 2, &[], |call| {
        compare(call, |a, b| a <= b, |a, b| a <= b, None)
    })
    .since(12),
    Operator::new("GreaterOrEqual", 2, 2, &[], |call| {
        compare(call, |a, b| a >= b, |a, b| a >= b, None)
    })
    .since(12),
    Operator::new("And", 2, 2, &[], |call| combine(call, |a, b| a && b)),
    Operator::new("Or", 2, 2, &[], |call| combine(call, |a, b| a || b)),
    Operator::new("Xor", 2, 2, &[], |call| combine(call, |a, b| a != b)),
    Operator::new("Not", 1, 1, &[], not),
    Operator::new("IsNaN", 1, 1, &[], |call| test(call, f64::is_nan)).since(9),
    Operator::new(
        "IsInf",
        1,
        1,
        &["detect_negative", "detect_positive"],
        is_infinite,
    )
    .since(10),
];

/// A comparison of operands of one type; booleans only have equality.
fn compare(
    call: &Call<'_>,
    floats: fn(&f64, &f64) -> bool,
    ints: fn(&i64, &i64) -> bool,
    bools: Option<fn(&bool, &bool) -> bool>,
) -> Result<Vec<Tensor>, OnnxError> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    call.check_same_type(a, b)?;
    let shape = common_shape(call, &[a, b])?;
    let (a, b) = (expanded(call, a, &shape)?, expanded(call, b, &shape)?);
    let truths = match (&*a.data, &*b.data, bools) {
        (Data::Floats(a), Data::Floats(b), _) => zipped(a, b, floats),
        (Data::Ints(a), Data::Ints(b), _) => zipped(a, b, ints),
        (Data::Bools(a), Data::Bools(b), Some(bools)) => zipped(a, b, bools),
        _ => return Err(call.misfit("numbers", "booleans")),
    };
    Ok(vec![Tensor::bools(&shape, truths)])
}

fn zipped<T>(a: &[T], b: &[T], truth: fn(&T, &T) -> bool) -> Vec<bool> {
    a.iter().zip(b).map(|(a, b)| truth(a, b)).collect()
}

fn combine(call: &Call<'_>, truth: fn(bool, bool) -> bool) -> Result<Vec<Tensor>, OnnxError> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let shape = common_shape(call, &[a, b])?;
    let (a, b) = (expanded(call, a, &shape)?, expanded(call, b, &shape)?);
    let pairs = call.bools_of(&a)?.iter().zip(call.bools_of(&b)?);
    let truths = pairs.map(|(&a, &b)| truth(a, b)).collect();
    Ok(vec![Tensor::bools(&shape, truths)])
}

fn not(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    let truths = call.bools_of(x)?.iter().map(|truth| !truth).collect();
    Ok(vec![Tensor::bools(&x.shape, truths)])
}

fn test(call: &Call<'_>, truth: impl Fn(f64) -> bool) -> Result<Vec<Tensor>, OnnxError> {
    let (x, numbers) = call.floats(0)?;
    let truths = numbers.iter().map(|&x| truth(x)).collect();
    Ok(vec![Tensor::bools(&x.shape, truths)])
}

fn is_infinite(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let negative = call.flag("detect_negative", true)?;
    let positive = call.flag("detect_positive", true)?;
    test(call, |x| {
        (negative && x == f64::NEG_INFINITY) || (positive && x == f64::INFINITY)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bools, float, int, one, refused};
    use super::*;

    #[test]
    fn comparisons_broadcast_and_are_false_at_nan() {
        let a = float(&[3], &[1.0, 2.0, f64::NAN]);
        let b = float(&[], &[2.0]);
        assert_eq!(bools("Less", 13, &[], &[&a, &b]), [true, false, false]);
        assert_eq!(
            bools("LessOrEqual", 16, &[], &[&a, &b]),
            [true, true, false]
        );
        assert_eq!(bools("Greater", 13, &[], &[&b, &a]), [true, false, false]);
        assert_eq!(
            bools("GreaterOrEqual", 16, &[], &[&a, &b]),
            [false, true, false]
        );
        assert_eq!(bools("Equal", 13, &[], &[&a, &a]), [true, true, false]);
        let (c, d) = (int(&[2, 1], &[0, 1]), int(&[2], &[0, 1]));
        assert_eq!(
            one("Equal", 13, &[], &[&c, &d]),
            Tensor::bools(&[2, 2], vec![true, false, false, true])
        );
        assert!(refused("Equal", 13, &[], &[&a, &c]).contains("one element type"));
    }

    #[test]
    fn logic_takes_booleans_only() {
        let a = Tensor::bools(&[4], vec![true, true, false, false]);
        let b = Tensor::bools(&[4], vec![true, false, true, false]);
        assert_eq!(bools("And", 7, &[], &[&a, &b]), [true, false, false, false]);
        assert_eq!(bools("Or", 7, &[], &[&a, &b]), [true, true, true, false]);
        assert_eq!(bools("Xor", 7, &[], &[&a, &b]), [false, true, true, false]);
        assert_eq!(bools("Not", 7, &[], &[&a]), [false, false, true, true]);
        assert_eq!(
            bools("Equal", 7, &[], &[&a, &b]),
            [true, false, false, true]
        );
        assert!(refused("Less", 9, &[], &[&a, &b]).contains("booleans"));
        assert!(refused("Not", 7, &[], &[&int(&[1], &[1])]).contains("got int64"));
    }

    #[test]
    fn what_is_no_finite_number_is_found() {
        let x = float(&[4], &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0]);
        assert_eq!(bools("IsNaN", 9, &[], &[&x]), [true, false, false, false]);
        assert_eq!(bools("IsInf", 10, &[], &[&x]), [false, true, true, false]);
    }
}
