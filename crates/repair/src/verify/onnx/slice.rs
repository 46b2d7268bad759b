//! Parts of a value: slices and splits.

use super::error::OnnxError;
use super::operators::{Call, Operator};
use super::tensor::{Tensor, strides};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new(
        "Slice",
        1,
        1,
        &["axes", "ends", "starts"],
        slice_by_attributes,
    )
    .until(9),
    Operator::new("Slice", 3, 5, &[], slice_by_inputs).since(10),
    Operator::new("Split", 1, 1, &["axis", "split"], split)
        .until(12)
        .with_results(usize::MAX),
    Operator::new("Split", 1, 2, &["axis"], split)
        .since(13)
        .until(17)
        .with_results(usize::MAX),
    Operator::new("Split", 1, 2, &["axis", "num_outputs"], split)
        .since(18)
        .with_results(usize::MAX),
];

fn slice_by_attributes(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let stated = |name: &str| {
        let missing = || call.misfit(format!("attribute `{name}`"), "none");
        call.ints_attribute(name)?.ok_or_else(missing)
    };
    let (starts, ends) = (stated("starts")?, stated("ends")?);
    slice(call, [starts, ends], call.ints_attribute("axes")?, None)
}

fn slice_by_inputs(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (axes, steps) = (call.optional_ints(3)?, call.optional_ints(4)?);
    slice(call, [call.ints(1)?, call.ints(2)?], axes, steps)
}

/// The elements from `start` on, by `step`, until before `end`, along some axes: by default the
/// first ones, by one.
fn slice(
    call: &Call<'_>,
    [starts, ends]: [&[i64]; 2],
    axes: Option<&[i64]>,
    steps: Option<&[i64]>,
) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    let count = starts.len();
    let first: Vec<i64> = (0..count as i64).collect();
    let ones = vec![1; count];
    let (axes, steps) = (axes.unwrap_or(&first), steps.unwrap_or(&ones));
    if [ends.len(), axes.len(), steps.len()] != [count; 3] {
        let expected = format!("{count} ends, axes and steps");
        let got = format!("{}, {} and {}", ends.len(), axes.len(), steps.len());
        return Err(call.misfit(expected, got));
    }
    let axes = call.axes(axes, x.shape.len())?;
    let (mut shape, mut strides, mut origin) = (x.shape.clone(), strides(&x.shape), 0);
    for (position, &axis) in axes.iter().enumerate() {
        let bounds = [starts[position], ends[position], steps[position]];
        // Runtimes read a largest end as "through the first element", the specification does not.
        if bounds[1] >= i32::MAX.into() && bounds[2] < 0 {
            let expected = "an end of INT_MIN for a slice backwards";
            return Err(call.misfit(expected, bounds[1].to_string()));
        }
        let Some((start, count)) = range(bounds, x.shape[axis]) else {
            return Err(call.misfit("a step other than 0", "0"));
        };
        origin += start * strides[axis].unsigned_abs();
        shape[axis] = count;
        // A step beyond the axis reads one element, and then its length does not matter.
        strides[axis] *= if count > 1 {
            steps[position] as isize
        } else {
            1
        };
    }
    Ok(vec![x.viewed(&shape, origin, &strides)])
}

/// The first element and the number of elements of a slice of an axis; nothing for a step of 0.
fn range([start, end, step]: [i64; 3], extent: usize) -> Option<(usize, usize)> {
    if extent == 0 {
        return (step != 0).then_some((0, 0));
    }
    let extent = extent as i64;
    let from_start = |place: i64| {
        if place < 0 {
            place.saturating_add(extent)
        } else {
            place
        }
    };
    let (start, end) = (from_start(start), from_start(end));
    let (start, distance) = match step {
        0 => return None,
        1.. => {
            let start = start.clamp(0, extent);
            (start, end.clamp(0, extent) - start)
        }
        _ => {
            // A slice backwards begins at an element and may end before the first one.
            let start = start.clamp(0, extent - 1);
            (start, start - end.clamp(-1, extent - 1))
        }
    };
    let count = distance.max(0).unsigned_abs().div_ceil(step.unsigned_abs());
    // A slice without elements begins nowhere.
    Some(if count == 0 {
        (0, 0)
    } else {
        (start as usize, count as usize)
    })
}

/// Parts along an axis, of given or equal extents.
fn split(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    let axis = call.axis(call.int_attribute("axis", 0)?, x.shape.len())?;
    let extents = part_extents(call, x.shape[axis])?;
    if extents.len() != call.results || extents.iter().sum::<usize>() != x.shape[axis] {
        let expected = format!("{} parts of {} elements", call.results, x.shape[axis]);
        return Err(call.misfit(expected, format!("parts of {extents:?}")));
    }
    let strides = strides(&x.shape);
    let (mut shape, mut parts, mut start) = (x.shape.clone(), Vec::new(), 0);
    for extent in extents {
        shape[axis] = extent;
        let origin = if extent > 0 {
            start * strides[axis].unsigned_abs()
        } else {
            0
        };
        parts.push(x.viewed(&shape, origin, &strides));
        start += extent;
    }
    Ok(parts)
}

/// The extents that an operand or attribute states; or equal ones, the last of which may be
/// smaller from version 18 on.
fn part_extents(call: &Call<'_>, extent: usize) -> Result<Vec<usize>, OnnxError> {
    let stated = match call.optional_ints(1)? {
        Some(extents) => Some(extents),
        None => call.ints_attribute("split")?,
    };
    let parts = call.attributes.int("num_outputs", call.at)?;
    if let Some(extents) = stated {
        if parts.is_some() {
            return Err(call.misfit("extents or `num_outputs`", "both"));
        }
        let total = |sum: Option<usize>, &part: &usize| sum?.checked_add(part);
        let extents: Vec<usize> = extents
            .iter()
            .map(|&extent| call.extent(extent))
            .collect::<Result<_, _>>()?;
        return match extents.iter().fold(Some(0), total) {
            Some(_) => Ok(extents),
            None => Err(call.misfit("extents of an axis", format!("{extents:?}"))),
        };
    }
    let count = match parts {
        Some(parts) => call.extent(parts)?,
        None if call.version < 18 => call.results,
        None => return Err(call.misfit("extents or `num_outputs`", "neither")),
    };
    let uneven = call.version < 18 && !extent.is_multiple_of(count.max(1));
    if count != call.results || uneven {
        let expected = format!("{} equal parts of {extent} elements", call.results);
        return Err(call.misfit(expected, format!("{count} parts")));
    }
    let part = extent.div_ceil(count);
    let mut extents = vec![part; count - 1];
    let rest = extent.checked_sub(part * (count - 1));
    let uneven = || {
        call.misfit(
            "parts of which only the last is smaller",
            format!("{count} of {extent}"),
        )
    };
    extents.push(rest.ok_or_else(uneven)?);
    Ok(extents)
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Attribute;
    use super::super::testing::{float, int, one, refused, run, run_for};
    use super::*;

    fn counted(shape: &[usize]) -> Tensor {
        int(
            shape,
            &(0..shape.iter().product::<usize>() as i64).collect::<Vec<_>>(),
        )
    }

    fn line(numbers: &[i64]) -> Tensor {
        int(&[numbers.len()], numbers)
    }

    /// What `list(range(10))[start:end:step]` is, but that a slice backwards always begins inside.
    #[test]
    fn bounds_are_moved_inside_the_axis() {
        let (max, min) = (i64::MAX, i64::MIN);
        for ([start, end, step], expected) in [
            ([2, 5, 1], &[2, 3, 4][..]),
            ([0, max, 4], &[0, 4, 8]),
            ([-3, max, 1], &[7, 8, 9]),
            ([-100, 2, 1], &[0, 1]),
            ([5, 5, 1], &[]),
            ([7, 3, 1], &[]),
            ([100, max, 1], &[]),
            ([-1, min, -3], &[9, 6, 3, 0]),
            ([5, 1, -2], &[5, 3]),
            ([max, -4, -1], &[9, 8, 7]),
            ([3, 100, -1], &[]),
            ([min, min, -1], &[0]),
            ([0, min, -1], &[0]),
            ([2, 9, max], &[2]),
            ([2, -100, min], &[2]),
        ] {
            let bounds = [start, end].map(|bound| line(&[bound]));
            let (axes, steps) = (line(&[0]), line(&[step]));
            let operands = [&counted(&[10]), &bounds[0], &bounds[1], &axes, &steps];
            let got = one("Slice", 13, &[], &operands);
            assert_eq!(got, line(expected), "{start} {end} {step}");
        }
    }

    #[test]
    fn several_axes_are_sliced_at_once() {
        let x = counted(&[2, 3, 4]);
        let operands = [
            &x,
            &line(&[-1, 1]),
            &line(&[-9, 3]),
            &line(&[-1, 1]),
            &line(&[-2, 1]),
        ];
        let y = one("Slice", 11, &[], &operands);
        assert_eq!(y, int(&[2, 2, 2], &[7, 5, 11, 9, 19, 17, 23, 21]));
        let attributes = [
            ("starts", Attribute::Ints(vec![1, 0])),
            ("ends", Attribute::Ints(vec![2, -1])),
        ];
        let y = one("Slice", 9, &attributes, &[&counted(&[2, 3])]);
        assert_eq!(y, int(&[1, 2], &[3, 4]));
        let steps = [
            Some(&x),
            Some(&line(&[0])),
            Some(&line(&[1])),
            None,
            Some(&line(&[2])),
        ];
        assert_eq!(run("Slice", 13, &[], &steps).unwrap()[0].shape, [1, 3, 4]);
    }

    #[test]
    fn slices_of_nothing_are_empty_and_without_meaning_refused() {
        let x = counted(&[4]);
        let [zero, two] = [[0], [2]].map(|x| line(&x));
        assert!(refused("Slice", 13, &[], &[&x, &zero, &two, &zero, &zero]).contains("step"));
        let through = line(&[i64::MAX]);
        let operands = [&x, &two, &through, &zero, &line(&[-1])];
        assert!(refused("Slice", 13, &[], &operands).contains("an end of INT_MIN"));
        let nothing = one(
            "Slice",
            13,
            &[],
            &[&counted(&[0]), &two, &zero, &zero, &line(&[-1])],
        );
        assert_eq!(nothing.shape, [0]);
        assert!(refused("Slice", 13, &[], &[&x, &zero, &two, &two]).contains("an axis of 1"));
        let pair = line(&[0, 0]);
        assert!(refused("Slice", 13, &[], &[&x, &pair, &two]).contains("2 ends"));
        assert!(refused("Slice", 13, &[], &[&x, &pair, &pair, &pair]).contains("every axis once"));
        assert!(refused("Slice", 9, &[], &[&x]).contains("`starts`"));
        let floats = float(&[1], &[0.0]);
        assert!(refused("Slice", 13, &[], &[&x, &floats, &two]).contains("int32 or int64"));
    }

    fn parts(
        version: i64,
        attributes: &[(&str, Attribute)],
        extents: Option<&Tensor>,
        count: usize,
    ) -> Result<Vec<Vec<usize>>, String> {
        let x = counted(&[2, 7]);
        let attributes = [&[("axis", Attribute::Int(1))], attributes].concat();
        let operands: Vec<_> = [Some(&x)].into_iter().chain(extents.map(Some)).collect();
        let parts = run_for("Split", version, &attributes, &operands, count);
        let parts = parts.map_err(|error| error.to_string())?;
        Ok(parts.into_iter().map(|part| part.shape).collect())
    }

    #[test]
    fn parts_have_stated_or_equal_extents() {
        let stated = [("split", Attribute::Ints(vec![1, 6]))];
        let expected = vec![vec![2, 1], vec![2, 6]];
        assert_eq!(parts(11, &stated, None, 2).unwrap(), expected);
        assert_eq!(parts(13, &[], Some(&line(&[1, 6])), 2).unwrap(), expected);
        assert_eq!(parts(13, &[], None, 7).unwrap(), vec![vec![2, 1]; 7]);
        let three = [("num_outputs", Attribute::Int(3))];
        let uneven = vec![vec![2, 3], vec![2, 3], vec![2, 1]];
        assert_eq!(parts(18, &three, None, 3).unwrap(), uneven);
        let x = counted(&[3, 2]);
        let halves = run_for("Split", 13, &[("axis", Attribute::Int(-1))], &[Some(&x)], 2).unwrap();
        assert_eq!(halves[1], int(&[3, 1], &[1, 3, 5]));
    }

    #[test]
    fn parts_that_are_not_the_whole_are_refused() {
        assert!(
            parts(13, &[], None, 2)
                .unwrap_err()
                .contains("2 equal parts of 7")
        );
        assert!(
            parts(13, &[], Some(&line(&[3, 3])), 2)
                .unwrap_err()
                .contains("parts of [3, 3]")
        );
        assert!(
            parts(13, &[], Some(&line(&[8, -1])), 2)
                .unwrap_err()
                .contains("zero or more")
        );
        let overflow = line(&[i64::MAX, i64::MAX, i64::MAX]);
        assert!(
            parts(13, &[], Some(&overflow), 3)
                .unwrap_err()
                .contains("extents of an axis")
        );
        let five = [("num_outputs", Attribute::Int(5))];
        assert!(
            parts(18, &five, None, 5)
                .unwrap_err()
                .contains("only the last is smaller")
        );
        assert!(parts(18, &[], None, 7).unwrap_err().contains("neither"));
        let two = [("num_outputs", Attribute::Int(2))];
        assert!(
            parts(18, &two, None, 3)
                .unwrap_err()
                .contains("3 equal parts")
        );
        assert!(
            parts(18, &two, Some(&line(&[3, 4])), 2)
                .unwrap_err()
                .contains("both")
        );
    }
}
