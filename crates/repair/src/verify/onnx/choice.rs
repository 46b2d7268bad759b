//! Choices between numbers: by a condition, by bounds, by position.

use super::arithmetic::{common_shape, expanded};
use super::error::OnnxError;
use super::operators::{Call, Operator};
use super::tensor::{Data, Element, Tensor, of_any_kind};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Where", 3, 3, &[], choose).since(9),
    Operator::new("Clip", 1, 1, &["max", "min"], clip_by_attributes).until(10),
    Operator::new("Clip", 1, 3, &[], clip_by_inputs).since(11),
    Operator::new("Trilu", 1, 2, &["upper"], triangle).since(14),
];

/// Numbers of the second operand where the first is true, of the third where it is not.
fn choose(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (condition, x, y) = (call.input(0)?, call.input(1)?, call.input(2)?);
    call.check_same_type(x, y)?;
    let shape = common_shape(call, &[condition, x, y])?;
    let condition = expanded(call, condition, &shape)?;
    let (x, y) = (expanded(call, x, &shape)?, expanded(call, y, &shape)?);
    let truths = call.bools_of(&condition)?;
    let data = match (&*x.data, &*y.data) {
        (Data::Floats(x), Data::Floats(y)) => Data::Floats(chosen(truths, x, y)),
        (Data::Ints(x), Data::Ints(y)) => Data::Ints(chosen(truths, x, y)),
        (Data::Bools(x), Data::Bools(y)) => Data::Bools(chosen(truths, x, y)),
        _ => return Err(call.misfit("operands of one element type", "two")),
    };
    Ok(vec![Tensor::new(shape, x.element, data)])
}

fn chosen<T: Copy>(truths: &[bool], x: &[T], y: &[T]) -> Vec<T> {
    let both = x.iter().zip(y);
    let choice = |(&truth, (&x, &y))| if truth { x } else { y };
    truths.iter().zip(both).map(choice).collect()
}

fn clip_by_attributes(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let least = call.float_attribute("min", f32::MIN.into())?;
    let most = call.float_attribute("max", f32::MAX.into())?;
    call.each(|x| clipped(x, least, most))
}

/// Bounds that are left out are the finite extremes of the type.
fn clip_by_inputs(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    for bound in [1, 2].into_iter().filter_map(|index| call.optional(index)) {
        call.check_same_type(x, bound)?;
    }
    match &*x.data {
        Data::Floats(_) => {
            let bound = |index, default| match call.optional(index) {
                Some(bound) => call.single(call.floats_of(bound)?),
                None => Ok(default),
            };
            let largest = x.element.largest();
            let (least, most) = (bound(1, -largest)?, bound(2, largest)?);
            call.each(|x| clipped(x, least, most))
        }
        Data::Ints(numbers) if call.version >= 12 => {
            let bound = |index, default| match call.optional(index).map(|bound| &*bound.data) {
                Some(Data::Ints(bound)) => call.single(bound),
                _ => Ok(default),
            };
            let (least, most) = (bound(1, i64::MIN)?, bound(2, i64::MAX)?);
            let numbers = numbers.iter().map(|&x| x.max(least).min(most));
            Ok(vec![Tensor::ints(&x.shape, x.element, numbers.collect())])
        }
        _ => Err(call.misfit("floats, or integers from version 12 on", x.element.name())),
    }
}

/// `min(max(x, least), most)`, so that a lower bound above the upper one gives the upper one; NaN
/// stays.
fn clipped(x: f64, least: f64, most: f64) -> f64 {
    let raised = if x < least { least } else { x };
    if raised > most { most } else { raised }
}

/// The matrices in the last two axes with zeros below (or above) their k-th diagonal.
fn triangle(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    let diagonal = match call.optional(1) {
        Some(k) if k.element == Element::Int64 => call.single(call.ints_of(k)?)?,
        Some(k) => return Err(call.misfit("int64", k.element.name())),
        None => 0,
    };
    let upper = call.flag("upper", true)?;
    let [.., rows, columns] = *x.shape.as_slice() else {
        return Err(call.misshapen("[.., rows, columns]", &x.shape));
    };
    let kept = |position: usize| {
        let (row, column) = (position / columns % rows, position % columns);
        let distance = i128::from(column as u64) - i128::from(row as u64);
        match upper {
            true => distance >= diagonal.into(),
            false => distance <= diagonal.into(),
        }
    };
    let data = of_any_kind!(&*x.data, numbers => masked(numbers, kept));
    Ok(vec![Tensor::new(x.shape.clone(), x.element, data)])
}

/// Numbers, zero where they are not kept.
fn masked<T: Copy + Default>(numbers: &[T], kept: impl Fn(usize) -> bool) -> Vec<T> {
    let number = |(position, &number)| if kept(position) { number } else { T::default() };
    numbers.iter().enumerate().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Attribute;
    use super::super::testing::{float, floats, int, one, refused, run};
    use super::*;

    #[test]
    fn a_condition_chooses_after_broadcasting() {
        let condition = Tensor::bools(&[2, 1], vec![true, false]);
        let x = float(&[3], &[1.0, 2.0, 3.0]);
        let y = float(&[], &[f64::NEG_INFINITY]);
        let minus = f64::NEG_INFINITY;
        assert_eq!(
            one("Where", 16, &[], &[&condition, &x, &y]),
            float(&[2, 3], &[1.0, 2.0, 3.0, minus, minus, minus])
        );
        assert!(refused("Where", 9, &[], &[&x, &x, &y]).contains("booleans"));
    }

    #[test]
    fn bounds_come_from_attributes_or_operands() {
        let x = float(&[4], &[-1.0, 0.5, 9.0, f64::NAN]);
        let attributes = [
            ("min", Attribute::Float(0.0)),
            ("max", Attribute::Float(6.0)),
        ];
        let y = floats("Clip", 7, &attributes, &[&x]);
        assert!(y[..3] == [0.0, 0.5, 6.0] && y[3].is_nan(), "{y:?}");
        let (least, most) = (float(&[], &[0.0]), float(&[], &[6.0]));
        assert_eq!(
            floats("Clip", 13, &[], &[&x, &least, &most])[..3],
            [0.0, 0.5, 6.0]
        );
        let above = run("Clip", 13, &[], &[Some(&x), None, Some(&most)]).unwrap();
        assert_eq!(call_floats(&above[0])[..3], [-1.0, 0.5, 6.0]);
        // A lower bound above the upper one loses.
        assert_eq!(floats("Clip", 13, &[], &[&x, &most, &least])[..3], [0.0; 3]);
        let integers = int(&[2], &[-3, 3]);
        assert_eq!(
            one("Clip", 12, &[], &[&integers, &int(&[], &[0])]),
            int(&[2], &[0, 3])
        );
        assert!(refused("Clip", 11, &[], &[&integers]).contains("from version 12 on"));
        assert!(refused("Clip", 13, &[], &[&x, &int(&[], &[0])]).contains("one element type"));
    }

    fn call_floats(tensor: &Tensor) -> &[f64] {
        match &*tensor.data {
            Data::Floats(numbers) => numbers,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_infinity_is_clipped_to_the_largest_finite_number_of_its_type() {
        let x = Tensor::floats(&[1], Element::Float16, vec![f64::NEG_INFINITY]);
        assert_eq!(floats("Clip", 13, &[], &[&x]), [-65504.0]);
        let x = float(&[1], &[f64::INFINITY]);
        assert_eq!(floats("Clip", 7, &[], &[&x]), [f64::from(f32::MAX)]);
    }

    #[test]
    fn triangles_keep_their_side_of_the_diagonal() {
        let x = int(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(
            one("Trilu", 14, &[], &[&x]),
            int(&[2, 3], &[1, 2, 3, 0, 5, 6])
        );
        let lower = [("upper", Attribute::Int(0))];
        let k = int(&[], &[1]);
        assert_eq!(
            one("Trilu", 14, &lower, &[&x, &k]),
            int(&[2, 3], &[1, 2, 0, 4, 5, 6])
        );
        let k = int(&[], &[i64::MAX]);
        assert_eq!(one("Trilu", 14, &[], &[&x, &k]), int(&[2, 3], &[0; 6]));
        assert!(refused("Trilu", 14, &[], &[&int(&[2], &[1, 2])]).contains("rows, columns"));
    }
}
