//! Shapes: the same numbers in another one, in another order, or repeated.

use super::arithmetic::expanded;
use super::error::OnnxError;
use super::operators::{Call, Operator};
use super::tensor::{Element, Tensor, broadcast, of_any_kind};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Reshape", 2, 2, &[], reshape).until(13),
    Operator::new("Reshape", 2, 2, &["allowzero"], reshape).since(14),
    Operator::new("Flatten", 1, 1, &["axis"], flatten),
    Operator::new("Squeeze", 1, 1, &["axes"], squeeze).until(12),
    Operator::new("Squeeze", 1, 2, &[], squeeze).since(13),
    Operator::new("Unsqueeze", 1, 1, &["axes"], unsqueeze).until(12),
    Operator::new("Unsqueeze", 2, 2, &[], unsqueeze).since(13),
    Operator::new("Transpose", 1, 1, &["perm"], transpose),
    Operator::new("Expand", 2, 2, &[], expand).since(8),
    Operator::new("Tile", 2, 2, &[], tile),
    Operator::new("Shape", 1, 1, &[], shape).until(14),
    Operator::new("Shape", 1, 1, &["end", "start"], shape).since(15),
    Operator::new("Size", 1, 1, &[], |call| {
        let size = call.input(0)?.len() as i64;
        Ok(vec![Tensor::ints(&[], Element::Int64, vec![size])])
    }),
];

/// A shape in which 0 stands for the extent of the operand (unless `allowzero`), and one -1 for
/// what is left.
fn reshape(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (x, wanted) = (call.input(0)?, call.ints(1)?);
    let zero = call.flag("allowzero", false)?;
    let misfit = || {
        let expected = format!("a shape of {} numbers in place of {:?}", x.len(), x.shape);
        call.misfit(expected, format!("{wanted:?}"))
    };
    let mut open = None;
    let mut shape = Vec::with_capacity(wanted.len());
    for (axis, &extent) in wanted.iter().enumerate() {
        shape.push(match extent {
            -1 if open.replace(axis).is_some() => return Err(misfit()),
            -1 => 1,
            0 if !zero => *x.shape.get(axis).ok_or_else(misfit)?,
            _ => call.extent(extent)?,
        });
    }
    let known = call.elements(&shape)?;
    if let Some(axis) = open {
        // Beside an empty axis nothing says how long the open one is.
        if known == 0 || !x.len().is_multiple_of(known) {
            return Err(misfit());
        }
        shape[axis] = x.len() / known;
    }
    if shape.iter().product::<usize>() != x.len() {
        return Err(misfit());
    }
    Ok(vec![x.reshaped(&shape)])
}

/// A matrix: the axes before `axis` and those from it on.
fn flatten(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    let rank = x.shape.len();
    let axis = match call.int_attribute("axis", 1)? {
        axis if axis == rank as i64 => rank,
        axis => call.axis(axis, rank)?,
    };
    let (rows, columns) = x.shape.split_at(axis);
    let extent = |extents: &[usize]| extents.iter().product::<usize>();
    Ok(vec![x.reshaped(&[extent(rows), extent(columns)])])
}

/// Axes from an operand or attribute.
fn stated_axes<'a>(call: &Call<'a>) -> Result<Option<&'a [i64]>, OnnxError> {
    match call.optional_ints(1)? {
        Some(axes) => Ok(Some(axes)),
        None => call.ints_attribute("axes"),
    }
}

/// Without some axes of extent one, or without all of them.
fn squeeze(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    let axes = match stated_axes(call)? {
        Some(axes) => call.axes(axes, x.shape.len())?,
        None => (0..x.shape.len())
            .filter(|&axis| x.shape[axis] == 1)
            .collect(),
    };
    if axes.iter().any(|&axis| x.shape[axis] != 1) {
        return Err(call.misshapen(format!("extents of one on axes {axes:?}"), &x.shape));
    }
    let extents = x.shape.iter().enumerate();
    let kept = extents
        .filter(|(axis, _)| !axes.contains(axis))
        .map(|(_, &extent)| extent);
    Ok(vec![x.reshaped(&kept.collect::<Vec<_>>())])
}

/// With further axes of extent one, at places counted in the result.
fn unsqueeze(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    let Some(axes) = stated_axes(call)? else {
        return Err(call.misfit("attribute `axes`", "none"));
    };
    let rank = x.shape.len() + axes.len();
    let axes = call.axes(axes, rank)?;
    let mut extents = x.shape.iter();
    let extent = |axis: usize| match axes.contains(&axis) {
        true => Some(1),
        false => extents.next().copied(),
    };
    let shape: Vec<usize> = (0..rank).filter_map(extent).collect();
    Ok(vec![x.reshaped(&shape)])
}

/// The axes in another order, by default backwards.
fn transpose(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    let rank = x.shape.len();
    let axes = match call.ints_attribute("perm")? {
        Some(order) if order.len() == rank && order.iter().all(|&axis| axis >= 0) => {
            call.axes(order, rank)?
        }
        Some(order) => {
            return Err(call.misfit(format!("an order of {rank} axes"), format!("{order:?}")));
        }
        None => (0..rank).rev().collect(),
    };
    Ok(vec![x.transposed(&axes)])
}

/// Repeated to the shape that its own and a given one broadcast to.
fn expand(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    let wanted = call.ints(1)?.iter().map(|&extent| call.extent(extent));
    let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
    let misshapen = || {
        let expected = format!("a shape that broadcasts with {wanted:?}");
        call.misshapen(expected, &x.shape)
    };
    let shape = broadcast(&x.shape, &wanted).ok_or_else(misshapen)?;
    call.elements(&shape)?;
    Ok(vec![expanded(call, x, &shape)?.into_owned()])
}

/// Repeated as a whole along every axis.
fn tile(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (x, repeats) = (call.input(0)?, call.ints(1)?);
    if repeats.len() != x.shape.len() {
        let expected = format!("{} repeats", x.shape.len());
        return Err(call.misfit(expected, repeats.len().to_string()));
    }
    let repeats = repeats.iter().map(|&repeat| call.extent(repeat));
    let repeats = repeats.collect::<Result<Vec<_>, _>>()?;
    let tiled = |(&extent, &repeat): (&usize, &usize)| extent.saturating_mul(repeat);
    let shape: Vec<usize> = x.shape.iter().zip(&repeats).map(tiled).collect();
    call.elements(&shape)?;
    // `[repeat, extent]` per axis, the repeats without a step.
    let steps = super::tensor::strides(&x.shape);
    let pairs = x.shape.iter().zip(&repeats);
    let doubled: Vec<usize> = pairs
        .flat_map(|(&extent, &repeat)| [repeat, extent])
        .collect();
    call.elements(&doubled)?;
    let strides: Vec<isize> = steps.into_iter().flat_map(|step| [0, step]).collect();
    let data = of_any_kind!(&*x.data, numbers => {
        super::tensor::view(numbers, &doubled, 0, &strides)
    });
    Ok(vec![Tensor::new(shape, x.element, data)])
}

/// The extents of the operand from `start` to before `end`.
fn shape(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    let rank = x.shape.len() as i64;
    let place = |name, default| -> Result<usize, OnnxError> {
        let place = call.int_attribute(name, default)?;
        let from_start = if place < 0 {
            place.saturating_add(rank)
        } else {
            place
        };
        Ok(from_start.clamp(0, rank) as usize)
    };
    let (start, end) = (place("start", 0)?, place("end", rank)?);
    let extents = x.shape[start..end.max(start)].iter();
    let extents: Vec<i64> = extents.map(|&extent| extent as i64).collect();
    Ok(vec![Tensor::ints(
        &[extents.len()],
        Element::Int64,
        extents,
    )])
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Attribute;
    use super::super::testing::{float, int, one, refused};
    use super::*;

    fn ints<'a>(name: &'a str, numbers: &[i64]) -> [(&'a str, Attribute); 1] {
        [(name, Attribute::Ints(numbers.to_vec()))]
    }

    fn counted(shape: &[usize]) -> Tensor {
        int(
            shape,
            &(0..shape.iter().product::<usize>() as i64).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_shape_may_copy_and_leave_open_one_extent() {
        let x = counted(&[2, 3, 4]);
        let to = |shape: &[i64]| int(&[shape.len()], shape);
        let reshaped = |shape: &[i64]| one("Reshape", 13, &[], &[&x, &to(shape)]);
        assert_eq!(reshaped(&[0, -1]), counted(&[2, 12]));
        assert_eq!(reshaped(&[-1, 1, 4]), counted(&[6, 1, 4]));
        assert_eq!(reshaped(&[4, 3, 2]), counted(&[4, 3, 2]));
        for shape in [
            &[5, -1][..],
            &[-1, -1],
            &[2, 3],
            &[-2, 12],
            &[1, 1, 1, 0],
            &[1 << 40, 1 << 40],
        ] {
            refused("Reshape", 13, &[], &[&x, &to(shape)]);
        }
        let none = counted(&[0, 3]);
        let zero = [("allowzero", Attribute::Int(1))];
        assert_eq!(
            one("Reshape", 14, &zero, &[&none, &to(&[3, 0])]).shape,
            [3, 0]
        );
        assert_eq!(
            one("Reshape", 14, &[], &[&none, &to(&[0, 1])]).shape,
            [0, 1]
        );
        refused("Reshape", 14, &zero, &[&none, &to(&[0, -1])]);
    }

    #[test]
    fn a_matrix_is_split_at_an_axis() {
        let x = counted(&[2, 3, 4]);
        let at = |axis| one("Flatten", 13, &[("axis", Attribute::Int(axis))], &[&x]).shape;
        assert_eq!(one("Flatten", 7, &[], &[&x]).shape, [2, 12]);
        assert_eq!(
            [at(0), at(2), at(3), at(-1)],
            [[1, 24], [6, 4], [24, 1], [6, 4]]
        );
        assert!(refused("Flatten", 7, &[("axis", Attribute::Int(4))], &[&x]).contains("axis"));
        assert_eq!(
            one(
                "Flatten",
                13,
                &[("axis", Attribute::Int(0))],
                &[&counted(&[])]
            )
            .shape,
            [1, 1]
        );
    }

    #[test]
    fn axes_of_one_come_and_go() {
        let x = counted(&[1, 2, 1, 3]);
        assert_eq!(one("Squeeze", 13, &[], &[&x]), counted(&[2, 3]));
        assert_eq!(
            one("Squeeze", 11, &ints("axes", &[-2]), &[&x]),
            counted(&[1, 2, 3])
        );
        assert_eq!(
            one("Squeeze", 13, &[], &[&x, &int(&[1], &[0])]),
            counted(&[2, 1, 3])
        );
        assert!(refused("Squeeze", 11, &ints("axes", &[1]), &[&x]).contains("extents of one"));
        let x = counted(&[2, 3]);
        assert_eq!(
            one("Unsqueeze", 11, &ints("axes", &[3, 0]), &[&x]),
            counted(&[1, 2, 3, 1])
        );
        assert_eq!(
            one("Unsqueeze", 13, &[], &[&x, &int(&[1], &[-1])]),
            counted(&[2, 3, 1])
        );
        assert!(refused("Unsqueeze", 11, &[], &[&x]).contains("`axes`"));
        assert!(
            refused("Unsqueeze", 11, &ints("axes", &[0, 0]), &[&x]).contains("every axis once")
        );
        assert!(refused("Unsqueeze", 11, &ints("axes", &[3]), &[&x]).contains("an axis of 3"));
    }

    #[test]
    fn axes_are_reordered() {
        let x = counted(&[2, 3]);
        assert_eq!(
            one("Transpose", 13, &[], &[&x]),
            int(&[3, 2], &[0, 3, 1, 4, 2, 5])
        );
        let x = counted(&[2, 1, 3]);
        let y = one("Transpose", 13, &ints("perm", &[2, 0, 1]), &[&x]);
        assert_eq!(y, int(&[3, 2, 1], &[0, 3, 1, 4, 2, 5]));
        for order in [&[0, 1][..], &[0, 1, 1], &[0, 1, 3], &[0, 1, -1]] {
            refused("Transpose", 13, &ints("perm", order), &[&x]);
        }
    }

    #[test]
    fn numbers_are_repeated() {
        let x = float(&[2, 1], &[1.0, 2.0]);
        let wide = one("Expand", 8, &[], &[&x, &int(&[3], &[2, 1, 2])]);
        assert_eq!(
            wide,
            float(&[2, 2, 2], &[1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0])
        );
        assert_eq!(one("Expand", 8, &[], &[&x, &int(&[1], &[1])]), x);
        assert!(refused("Expand", 8, &[], &[&x, &int(&[2], &[3, 1])]).contains("broadcasts with"));
        let huge = int(&[3], &[1 << 20, 1, 1 << 20]);
        assert!(refused("Expand", 8, &[], &[&x, &huge]).contains("at most"));
        let tiled = one("Tile", 13, &[], &[&x, &int(&[2], &[2, 3])]);
        let rows = [1.0, 1.0, 1.0, 2.0, 2.0, 2.0];
        assert_eq!(tiled, float(&[4, 3], &rows.repeat(2)));
        assert_eq!(
            one("Tile", 13, &[], &[&x, &int(&[2], &[0, 1])]).shape,
            [0, 1]
        );
        refused("Tile", 13, &[], &[&x, &int(&[2], &[1, -1])]);
        refused("Tile", 13, &[], &[&x, &int(&[1], &[1])]);
        refused("Tile", 13, &[], &[&x, &int(&[2], &[i64::MAX, i64::MAX])]);
    }

    #[test]
    fn shapes_are_values() {
        let x = counted(&[2, 3, 4]);
        assert_eq!(one("Shape", 13, &[], &[&x]), int(&[3], &[2, 3, 4]));
        let between = |start, end| {
            let attributes = [
                ("start", Attribute::Int(start)),
                ("end", Attribute::Int(end)),
            ];
            one("Shape", 15, &attributes, &[&x])
        };
        assert_eq!(between(-1, 9), int(&[1], &[4]));
        assert_eq!(between(0, -1), int(&[2], &[2, 3]));
        assert_eq!(between(2, 1), int(&[0], &[]));
        assert_eq!(one("Size", 13, &[], &[&x]), int(&[], &[24]));
    }
}
