//! Values from nothing, from a range, from another type, and values as they are.

use super::attributes::Attribute;
use super::error::OnnxError;
use super::operators::{Call, Operator};
use super::tensor::{Data, Element, LIMIT, Tensor, of_any_kind};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Constant", 0, 0, &["value"], constant).until(11),
    Operator::new(
        "Constant",
        0,
        0,
        &[
            "value",
            "value_float",
            "value_floats",
            "value_int",
            "value_ints",
        ],
        constant,
    )
    .since(12),
    Operator::new("ConstantOfShape", 1, 1, &["value"], constant_of_shape).since(9),
    Operator::new("Range", 3, 3, &[], range).since(11),
    Operator::new("Identity", 1, 1, &[], |call| {
        Ok(vec![call.input(0)?.clone()])
    }),
    Operator::new("Dropout", 1, 1, &["ratio"], dropout)
        .until(11)
        .with_results(2),
    Operator::new("Dropout", 1, 3, &["seed"], dropout)
        .since(12)
        .with_results(2),
    Operator::new("Cast", 1, 1, &["to"], cast).until(18),
    Operator::new("Cast", 1, 1, &["saturate", "to"], cast).since(19),
    Operator::new("CastLike", 2, 2, &[], cast_like)
        .since(15)
        .until(18),
    Operator::new("CastLike", 2, 2, &["saturate"], cast_like).since(19),
];

fn constant(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let mut attributes = call.attributes.iter();
    let (Some((name, attribute)), None) = (attributes.next(), attributes.next()) else {
        return Err(call.misfit("one value", "none or several"));
    };
    let (float, int) = (Element::Float, Element::Int64);
    Ok(vec![match (name, attribute) {
        ("value", Attribute::Tensor(tensor)) => tensor.clone(),
        ("value_float", Attribute::Float(number)) => Tensor::floats(&[], float, vec![*number]),
        ("value_floats", Attribute::Floats(numbers)) => {
            Tensor::floats(&[numbers.len()], float, numbers.clone())
        }
        ("value_int", Attribute::Int(number)) => Tensor::ints(&[], int, vec![*number]),
        ("value_ints", Attribute::Ints(numbers)) => {
            Tensor::ints(&[numbers.len()], int, numbers.clone())
        }
        _ => return Err(call.misfit(format!("`{name}` of its type"), "another type")),
    }])
}

/// One number, by default a float of 0, everywhere in a shape.
fn constant_of_shape(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let shape = call.ints(0)?.iter().map(|&extent| call.extent(extent));
    let shape = shape.collect::<Result<Vec<_>, _>>()?;
    let total = call.elements(&shape)?;
    let zero = Tensor::floats(&[1], Element::Float, vec![0.0]);
    let value = call.attributes.tensor("value", call.at)?.unwrap_or(&zero);
    let data = of_any_kind!(&*value.data, number => vec![call.single(number)?; total]);
    Ok(vec![Tensor::new(shape, value.element, data)])
}

/// The numbers `start`, `start + delta`, .. before `limit`.
fn range(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (start, limit, delta) = (call.input(0)?, call.input(1)?, call.input(2)?);
    call.check_same_type(start, limit)?;
    call.check_same_type(start, delta)?;
    let count = |count: f64| {
        let inside = (count <= LIMIT as f64).then_some(count.max(0.0) as usize);
        inside.ok_or_else(|| call.misfit(format!("a range of at most {LIMIT}"), count.to_string()))
    };
    let data = match (&*start.data, &*limit.data, &*delta.data) {
        (Data::Floats(start), Data::Floats(limit), Data::Floats(delta)) => {
            let (start, limit, delta) = (
                call.single(start)?,
                call.single(limit)?,
                call.single(delta)?,
            );
            let count = count(((limit - start) / delta).ceil())?;
            Data::Floats(
                (0..count)
                    .map(|index| start + index as f64 * delta)
                    .collect(),
            )
        }
        (Data::Ints(start), Data::Ints(limit), Data::Ints(delta)) => {
            let bounds = [
                call.single(start)?,
                call.single(limit)?,
                call.single(delta)?,
            ];
            let [start, limit, delta] = bounds.map(i128::from);
            if delta == 0 {
                return Err(call.misfit("a step other than 0", "0"));
            }
            // Rounded away from zero where a part of a step is left.
            let steps = (limit - start + delta - delta.signum()) / delta;
            let count = count(steps as f64)?;
            Data::Ints(
                (0..count)
                    .map(|index| (start + index as i128 * delta) as i64)
                    .collect(),
            )
        }
        _ => return Err(call.misfit("numbers", "booleans")),
    };
    Ok(vec![Tensor::new(vec![data.len()], start.element, data)])
}

/// The value as it is: nothing is dropped where a network is used. The mask keeps everything.
fn dropout(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    if let Some(training) = call.optional(2)
        && call.bools_of(training)?.contains(&true)
    {
        return Err(call.misfit("`training_mode` of false", "true"));
    }
    let mut results = vec![x.clone()];
    if call.results > 1 {
        results.push(match call.version {
            ..10 => Tensor::floats(&x.shape, x.element, vec![1.0; call.floats(0)?.1.len()]),
            _ => Tensor::bools(&x.shape, vec![true; x.len()]),
        });
    }
    Ok(results)
}

fn cast(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let Some(code) = call.attributes.int("to", call.at)? else {
        return Err(call.misfit("attribute `to`", "none"));
    };
    let element = i32::try_from(code).ok().and_then(Element::from_code);
    let other = || call.misfit("a cast to floats, integers or bool", format!("type {code}"));
    Ok(vec![converted(
        call,
        call.input(0)?,
        element.ok_or_else(other)?,
    )?])
}

fn cast_like(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    Ok(vec![converted(
        call,
        call.input(0)?,
        call.input(1)?.element,
    )?])
}

/// The numbers in another type: floats stay as they are among float types and lose their fraction
/// as integers, in whose range they must be; integers keep their low bits; all but zero is true.
fn converted(call: &Call<'_>, x: &Tensor, element: Element) -> Result<Tensor, OnnxError> {
    if x.element == element || (x.element.is_float() && element.is_float()) {
        let same = x.clone();
        return Ok(Tensor { element, ..same });
    }
    let data = match (&*x.data, element) {
        (Data::Floats(numbers), Element::Bool) => {
            Data::Bools(numbers.iter().map(|&x| x != 0.0).collect())
        }
        (Data::Ints(numbers), Element::Bool) => {
            Data::Bools(numbers.iter().map(|&x| x != 0).collect())
        }
        (Data::Ints(numbers), _) if element.is_float() => {
            Data::Floats(numbers.iter().map(|&x| x as f64).collect())
        }
        (Data::Bools(truths), _) if element.is_float() => Data::Floats(
            truths
                .iter()
                .map(|&truth| f64::from(u8::from(truth)))
                .collect(),
        ),
        (Data::Floats(numbers), _) => {
            let truncated = numbers.iter().map(|&x| truncated(call, x, element));
            Data::Ints(truncated.collect::<Result<_, _>>()?)
        }
        (Data::Ints(numbers), _) => {
            let low = numbers
                .iter()
                .map(|&x| call.in_range(low_bits(x, element), element));
            Data::Ints(low.collect::<Result<_, _>>()?)
        }
        (Data::Bools(truths), _) => Data::Ints(truths.iter().map(|&truth| truth.into()).collect()),
    };
    Ok(Tensor::new(x.shape.clone(), element, data))
}

/// The integer towards zero.
fn truncated(call: &Call<'_>, x: f64, element: Element) -> Result<i64, OnnxError> {
    let whole = x.trunc();
    // -2⁶³ is a number of i64, 2⁶³ is none.
    let fits = (-2f64.powi(63)..2f64.powi(63)).contains(&whole);
    let inside = fits
        .then_some(whole as i64)
        .filter(|i| element.integers().contains(i));
    inside.ok_or_else(|| call.misfit(format!("a number of {}", element.name()), x.to_string()))
}

/// The low bits of an integer as a number of another type; of uint64, only those of i64.
fn low_bits(x: i64, element: Element) -> Option<i64> {
    Some(match element {
        Element::Int8 => (x as i8).into(),
        Element::Int16 => (x as i16).into(),
        Element::Int32 => (x as i32).into(),
        Element::Uint8 => (x as u8).into(),
        Element::Uint16 => (x as u16).into(),
        Element::Uint32 => (x as u32).into(),
        _ => x,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bools, float, floats, int, one, refused, run_for};
    use super::*;

    fn to(code: i64) -> [(&'static str, Attribute); 1] {
        [("to", Attribute::Int(code))]
    }

    #[test]
    fn constants_come_in_every_form() {
        let tensor = float(&[1, 2], &[1.0, 2.0]);
        let value = [("value", Attribute::Tensor(tensor.clone()))];
        assert_eq!(one("Constant", 7, &value, &[]), tensor);
        let forms = [
            (("value_float", Attribute::Float(0.5)), float(&[], &[0.5])),
            (
                ("value_floats", Attribute::Floats(vec![0.5])),
                float(&[1], &[0.5]),
            ),
            (("value_int", Attribute::Int(-3)), int(&[], &[-3])),
            (("value_ints", Attribute::Ints(vec![])), int(&[0], &[])),
        ];
        for (attribute, expected) in forms {
            assert_eq!(one("Constant", 12, &[attribute], &[]), expected);
        }
        let both = [
            ("value_int", Attribute::Int(1)),
            ("value_float", Attribute::Float(1.0)),
        ];
        assert!(refused("Constant", 12, &both, &[]).contains("one value"));
        assert!(refused("Constant", 12, &[], &[]).contains("one value"));
        let wrong = [("value_int", Attribute::Float(1.0))];
        assert!(refused("Constant", 12, &wrong, &[]).contains("`value_int` of its type"));
    }

    #[test]
    fn a_shape_is_filled() {
        let shape = int(&[2], &[2, 1]);
        assert_eq!(
            one("ConstantOfShape", 9, &[], &[&shape]),
            float(&[2, 1], &[0.0; 2])
        );
        let seven = [("value", Attribute::Tensor(int(&[1], &[7])))];
        assert_eq!(
            one("ConstantOfShape", 9, &seven, &[&shape]),
            int(&[2, 1], &[7; 2])
        );
        assert_eq!(
            one("ConstantOfShape", 9, &seven, &[&int(&[0], &[])]),
            int(&[], &[7])
        );
        let two = [("value", Attribute::Tensor(int(&[2], &[7; 2])))];
        assert!(refused("ConstantOfShape", 9, &two, &[&shape]).contains("one number"));
        let huge = int(&[2], &[1 << 20, 1 << 20]);
        assert!(refused("ConstantOfShape", 9, &[], &[&huge]).contains("at most"));
        assert!(refused("ConstantOfShape", 9, &[], &[&int(&[1], &[-1])]).contains("zero or more"));
    }

    #[test]
    fn ranges_end_before_their_limit() {
        let of = |bounds: [i64; 3]| {
            let [start, limit, delta] = bounds.map(|bound| int(&[], &[bound]));
            one("Range", 11, &[], &[&start, &limit, &delta])
        };
        assert_eq!(of([3, 9, 3]), int(&[2], &[3, 6]));
        assert_eq!(of([3, 10, 3]), int(&[3], &[3, 6, 9]));
        assert_eq!(of([10, 4, -2]), int(&[3], &[10, 8, 6]));
        assert_eq!(of([10, 5, -2]), int(&[3], &[10, 8, 6]));
        assert_eq!(of([0, -1, 1]), int(&[0], &[]));
        assert_eq!(of([5, 5, -1]), int(&[0], &[]));
        assert_eq!(
            of([i64::MIN, i64::MAX, i64::MAX]),
            int(&[3], &[i64::MIN, -1, i64::MAX - 1])
        );
        let [a, b, c] = [0.0, 1.0, 0.3].map(|x| float(&[], &[x]));
        assert_eq!(floats("Range", 11, &[], &[&a, &b, &c]).len(), 4);
        let zero = int(&[], &[0]);
        assert!(refused("Range", 11, &[], &[&zero, &zero, &zero]).contains("a step other"));
        let far = int(&[], &[i64::MAX]);
        let one = int(&[], &[1]);
        assert!(refused("Range", 11, &[], &[&zero, &far, &one]).contains("at most"));
        assert!(refused("Range", 11, &[], &[&a, &b, &a]).contains("at most"));
        assert!(refused("Range", 11, &[], &[&a, &a, &a]).contains("at most"));
    }

    #[test]
    fn nothing_is_dropped_and_training_is_refused() {
        let x = float(&[2], &[1.0, 2.0]);
        let all = run_for("Dropout", 13, &[], &[Some(&x)], 2).unwrap();
        assert_eq!(all, [x.clone(), Tensor::bools(&[2], vec![true; 2])]);
        let all = run_for("Dropout", 7, &[], &[Some(&x)], 2).unwrap();
        assert_eq!(all[1], float(&[2], &[1.0; 2]));
        let ratio = float(&[], &[0.5]);
        let [yes, no] = [true, false].map(|truth| Tensor::bools(&[], vec![truth]));
        assert_eq!(one("Dropout", 12, &[], &[&x, &ratio, &no]), x);
        assert!(refused("Dropout", 12, &[], &[&x, &ratio, &yes]).contains("training_mode"));
    }

    #[test]
    fn casts_keep_truncate_or_compare() {
        let x = float(&[4], &[-1.7, 0.0, 2.9, 0.3]);
        assert_eq!(one("Cast", 13, &to(7), &[&x]), int(&[4], &[-1, 0, 2, 0]));
        assert_eq!(bools("Cast", 13, &to(9), &[&x]), [true, false, true, true]);
        let half = one("Cast", 13, &to(10), &[&x]);
        assert_eq!((half.element, &half.data), (Element::Float16, &x.data));
        let flags = Tensor::bools(&[2], vec![true, false]);
        assert_eq!(one("Cast", 13, &to(1), &[&flags]), float(&[2], &[1.0, 0.0]));
        assert_eq!(one("Cast", 13, &to(7), &[&flags]), int(&[2], &[1, 0]));
        let y = one("CastLike", 15, &[], &[&int(&[1], &[3]), &x]);
        assert_eq!(y, float(&[1], &[3.0]));
        let narrow = one("Cast", 13, &to(3), &[&int(&[2], &[200, -129])]);
        assert_eq!(narrow, Tensor::ints(&[2], Element::Int8, vec![-56, 127]));
    }

    #[test]
    fn casts_that_have_no_number_are_refused() {
        for number in [f64::NAN, f64::INFINITY, 1e19, -1e19] {
            let error = refused("Cast", 13, &to(7), &[&float(&[1], &[number])]);
            assert!(error.contains("a number of int64"), "{error}");
        }
        assert!(refused("Cast", 13, &to(2), &[&float(&[1], &[256.0])]).contains("uint8"));
        assert!(refused("Cast", 13, &to(13), &[&int(&[1], &[-1])]).contains("uint64"));
        for code in [8, 0, 99, i64::MAX] {
            assert!(refused("Cast", 13, &to(code), &[&int(&[1], &[1])]).contains("got type"));
        }
    }
}
