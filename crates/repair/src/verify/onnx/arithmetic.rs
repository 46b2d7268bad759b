//! Arithmetic on several operands, which broadcast to a common shape.

use std::borrow::Cow;

use super::error::OnnxError;
use super::operators::{Call, Operator};
use super::tensor::{Data, Element, Tensor, broadcast};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Add", 2, 2, &[], |call| {
        pairs(call, |a, b| a + b, i64::checked_add)
    }),
    Operator::new("Sub", 2, 2, &[], |call| {
        pairs(call, |a, b| a - b, i64::checked_sub)
    }),
    Operator::new("Mul", 2, 2, &[], |call| {
        pairs(call, |a, b| a * b, i64::checked_mul)
    }),
    // Integers are divided towards zero.
    Operator::new("Div", 2, 2, &[], |call| {
        pairs(call, |a, b| a / b, i64::checked_div)
    }),
    Operator::new("Mod", 2, 2, &["fmod"], modulo).since(10),
    Operator::new("Pow", 2, 2, &[], power),
    Operator::new("PRelu", 2, 2, &[], prelu),
    Operator::new("Max", 1, usize::MAX, &[], |call| {
        fold(call, larger, |a, b| Some(a.max(b)))
    }),
    Operator::new("Min", 1, usize::MAX, &[], |call| {
        fold(call, smaller, |a, b| Some(a.min(b)))
    }),
    Operator::new("Sum", 1, usize::MAX, &[], |call| {
        fold(call, |a, b| a + b, |_, _| None)
    }),
    Operator::new("Mean", 1, usize::MAX, &[], mean),
];

/// The shape that operands broadcast to.
pub(super) fn common_shape(call: &Call<'_>, operands: &[&Tensor]) -> Result<Vec<usize>, OnnxError> {
    let mut shape = Vec::new();
    for operand in operands {
        let misshapen = || {
            let expected = format!("a shape that broadcasts with {shape:?}");
            call.misshapen(expected, &operand.shape)
        };
        shape = broadcast(&shape, &operand.shape).ok_or_else(misshapen)?;
    }
    call.elements(&shape)?;
    Ok(shape)
}

/// An operand in a shape that it broadcasts to.
pub(super) fn expanded<'a>(
    call: &Call<'_>,
    operand: &'a Tensor,
    shape: &[usize],
) -> Result<Cow<'a, Tensor>, OnnxError> {
    let misshapen = || {
        let expected = format!("a shape that broadcasts to {shape:?}");
        call.misshapen(expected, &operand.shape)
    };
    operand.expanded(shape).ok_or_else(misshapen)
}

/// A function of two operands of one numeric type; a result of integers that is `None` or out of
/// the range of their type is refused.
fn pairs(
    call: &Call<'_>,
    floats: fn(f64, f64) -> f64,
    ints: fn(i64, i64) -> Option<i64>,
) -> Result<Vec<Tensor>, OnnxError> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    Ok(vec![combine(call, a, b, floats, ints)?])
}

fn combine(
    call: &Call<'_>,
    a: &Tensor,
    b: &Tensor,
    floats: fn(f64, f64) -> f64,
    ints: fn(i64, i64) -> Option<i64>,
) -> Result<Tensor, OnnxError> {
    call.check_same_type(a, b)?;
    let shape = common_shape(call, &[a, b])?;
    let (left, right) = (expanded(call, a, &shape)?, expanded(call, b, &shape)?);
    let data = match (&*left.data, &*right.data) {
        (Data::Floats(a), Data::Floats(b)) => {
            Data::Floats(a.iter().zip(b).map(|(&a, &b)| floats(a, b)).collect())
        }
        (Data::Ints(a), Data::Ints(b)) => {
            let result = |(&a, &b)| call.in_range(ints(a, b), left.element);
            Data::Ints(a.iter().zip(b).map(result).collect::<Result<_, _>>()?)
        }
        _ => return Err(call.misfit("numbers", "booleans")),
    };
    Ok(Tensor::new(shape, a.element, data))
}

/// A function of any number of operands, from left to right.
fn fold(
    call: &Call<'_>,
    floats: fn(f64, f64) -> f64,
    ints: fn(i64, i64) -> Option<i64>,
) -> Result<Vec<Tensor>, OnnxError> {
    let operands = call.all_inputs()?;
    let mut result = call.input(0)?.clone();
    if result.element == Element::Bool {
        return Err(call.misfit("numbers", "booleans"));
    }
    for operand in operands.into_iter().skip(1) {
        result = combine(call, &result, operand, floats, ints)?;
    }
    Ok(vec![result])
}

/// The larger number, NaN if there is one.
pub(super) fn larger(a: f64, b: f64) -> f64 {
    if a >= b || a.is_nan() { a } else { b }
}

/// The smaller number, NaN if there is one.
pub(super) fn smaller(a: f64, b: f64) -> f64 {
    if a <= b || a.is_nan() { a } else { b }
}

fn mean(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let sums = fold(call, |a, b| a + b, |_, _| None)?;
    let count = call.inputs.len() as f64;
    let mean = |sum: &Tensor| {
        let means = call.floats_of(sum)?.iter().map(|x| x / count).collect();
        Ok(Tensor::floats(&sum.shape, sum.element, means))
    };
    sums.iter().map(mean).collect()
}

/// The remainder: with the sign of the divisor for integers, of the dividend with `fmod`, which
/// floats must have.
fn modulo(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let like_dividend = call.flag("fmod", false)?;
    if call.input(0)?.element.is_float() && !like_dividend {
        return Err(call.misfit("`fmod` of 1 for floats", "0"));
    }
    let like_divisor = |a: i64, b: i64| {
        let remainder = a.checked_rem(b)?;
        let other_sign = remainder != 0 && (remainder < 0) != (b < 0);
        Some(if other_sign { remainder + b } else { remainder })
    };
    let ints = if like_dividend {
        i64::checked_rem
    } else {
        like_divisor
    };
    pairs(call, |a, b| a % b, ints)
}

/// Powers in the type of the base; the exponent has a type of its own from version 12 on.
fn power(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (base, exponent) = (call.input(0)?, call.input(1)?);
    if call.version < 12 {
        call.check_same_type(base, exponent)?;
    }
    let shape = common_shape(call, &[base, exponent])?;
    let (bases, exponents) = (
        expanded(call, base, &shape)?,
        expanded(call, exponent, &shape)?,
    );
    let element = base.element;
    let data = match (&*bases.data, &*exponents.data) {
        (Data::Floats(a), Data::Floats(b)) => {
            Data::Floats(a.iter().zip(b).map(|(a, &b)| a.powf(b)).collect())
        }
        (Data::Floats(a), Data::Ints(b)) => {
            Data::Floats(a.iter().zip(b).map(|(a, &b)| a.powf(b as f64)).collect())
        }
        (Data::Ints(a), Data::Ints(b)) => {
            let power = |(a, &b): (&i64, &i64)| {
                let power = u32::try_from(b).ok().and_then(|b| a.checked_pow(b));
                call.in_range(power, element)
            };
            Data::Ints(a.iter().zip(b).map(power).collect::<Result<_, _>>()?)
        }
        _ => {
            let got = format!("{} to the {}", element.name(), exponent.element.name());
            return Err(call.misfit("floats to any number or integers to integers", got));
        }
    };
    Ok(vec![Tensor::new(shape, element, data)])
}

/// `x` where it is not negative, `slope · x` where it is; the slope broadcasts to `x`.
fn prelu(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (x, numbers) = call.floats(0)?;
    let slope = call.input(1)?;
    call.check_same_type(x, slope)?;
    let slopes = expanded(call, slope, &x.shape)?;
    let pairs = numbers.iter().zip(call.floats_of(&slopes)?);
    let y = pairs.map(|(&x, &slope)| if x < 0.0 { slope * x } else { x });
    Ok(vec![Tensor::floats(&x.shape, x.element, y.collect())])
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Attribute;
    use super::super::testing::{float, floats, int, one, refused, run};
    use super::*;

    #[test]
    fn operands_broadcast_both_ways() {
        let a = float(&[2, 1], &[1.0, 2.0]);
        let b = float(&[3], &[10.0, 20.0, 30.0]);
        let sums = one("Add", 13, &[], &[&a, &b]);
        assert_eq!(sums, float(&[2, 3], &[11.0, 21.0, 31.0, 12.0, 22.0, 32.0]));
        let c = float(&[2], &[0.0, 0.0]);
        let error = refused("Mul", 13, &[], &[&b, &c]);
        assert!(
            error.contains("broadcasts with [3], got shape [2]"),
            "{error}"
        );
        let scalar = float(&[], &[4.0]);
        assert_eq!(floats("Div", 7, &[], &[&scalar, &a]), [4.0, 2.0]);
    }

    #[test]
    fn integers_are_divided_towards_zero_and_never_wrap() {
        let [a, b] = [[7, -7], [2, 2]].map(|numbers| int(&[2], &numbers));
        assert_eq!(one("Div", 14, &[], &[&a, &b]), int(&[2], &[3, -3]));
        let zero = int(&[2], &[1, 0]);
        assert!(refused("Div", 14, &[], &[&a, &zero]).contains("division by zero"));
        let large = int(&[1], &[i64::MAX]);
        assert!(refused("Add", 14, &[], &[&large, &large]).contains("range of int64"));
        let narrow = Tensor::ints(&[1], Element::Uint8, vec![200]);
        assert!(refused("Add", 14, &[], &[&narrow, &narrow]).contains("range of uint8"));
    }

    #[test]
    fn operands_of_two_types_are_refused() {
        let (a, b) = (float(&[1], &[1.0]), int(&[1], &[1]));
        assert!(refused("Add", 14, &[], &[&a, &b]).contains("got float and int64"));
        assert!(refused("Pow", 7, &[], &[&a, &b]).contains("got float and int64"));
        let flags = Tensor::bools(&[1], vec![true]);
        assert!(refused("Add", 14, &[], &[&flags, &flags]).contains("got booleans"));
        assert!(refused("Max", 14, &[], &[&flags]).contains("got booleans"));
    }

    #[test]
    fn remainders_have_the_sign_of_divisor_or_dividend() {
        let a = int(&[4], &[5, -5, 5, -5]);
        let b = int(&[4], &[3, 3, -3, -3]);
        assert_eq!(one("Mod", 13, &[], &[&a, &b]), int(&[4], &[2, 1, -1, -2]));
        let fmod = [("fmod", Attribute::Int(1))];
        assert_eq!(one("Mod", 13, &fmod, &[&a, &b]), int(&[4], &[2, -2, 2, -2]));
        let x = float(&[2], &[5.5, -5.5]);
        let y = float(&[1], &[3.0]);
        assert_eq!(floats("Mod", 13, &fmod, &[&x, &y]), [2.5, -2.5]);
        assert!(refused("Mod", 13, &[], &[&x, &y]).contains("`fmod` of 1"));
    }

    #[test]
    fn powers_keep_the_type_of_the_base() {
        let x = float(&[3], &[-2.0, 3.0, 4.0]);
        let two = int(&[], &[2]);
        assert_eq!(floats("Pow", 13, &[], &[&x, &two]), [4.0, 9.0, 16.0]);
        let half = float(&[1], &[0.5]);
        let roots = floats("Pow", 7, &[], &[&x, &half]);
        assert!(roots[0].is_nan() && roots[2] == 2.0, "{roots:?}");
        assert_eq!(
            one("Pow", 13, &[], &[&int(&[1], &[3]), &two]),
            int(&[1], &[9])
        );
    }

    #[test]
    fn extremes_keep_nan_and_take_any_number_of_operands() {
        let [a, b, c] = [[1.0, f64::NAN], [3.0, 0.0], [2.0, 5.0]].map(|x| float(&[2], &x));
        let largest = floats("Max", 13, &[], &[&a, &b, &c]);
        assert!(largest[0] == 3.0 && largest[1].is_nan(), "{largest:?}");
        let smallest = floats("Min", 13, &[], &[&c, &b, &a]);
        assert!(smallest[0] == 1.0 && smallest[1].is_nan(), "{smallest:?}");
        assert_eq!(floats("Mean", 13, &[], &[&b, &c]), [2.5, 2.5]);
        assert_eq!(floats("Sum", 13, &[], &[&b, &c, &c]), [7.0, 10.0]);
    }

    #[test]
    fn a_slope_per_channel_broadcasts_in_one_direction() {
        let x = float(&[1, 2, 1, 2], &[-1.0, 1.0, -2.0, 2.0]);
        let slope = float(&[2, 1, 1], &[0.1, 0.5]);
        assert_eq!(
            floats("PRelu", 9, &[], &[&x, &slope]),
            [-0.1, 1.0, -1.0, 2.0]
        );
        let wide = float(&[3, 1, 2, 1, 1], &[0.0; 6]);
        assert!(refused("PRelu", 9, &[], &[&x, &wide]).contains("broadcasts to [1, 2, 1, 2]"));
    }

    #[test]
    fn a_node_needs_as_many_operands_as_its_operator_has() {
        assert!(run("Add", 13, &[], &[Some(&float(&[1], &[1.0])), None]).is_err());
    }
}
