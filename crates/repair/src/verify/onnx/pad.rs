//! Elements around a value.

use std::iter::repeat_n;

use super::error::OnnxError;
use super::operators::{Call, Operator};
use super::tensor::{Data, LIMIT, Tensor};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Pad", 1, 1, &["mode", "pads", "value"], pad_by_attributes).until(10),
    Operator::new("Pad", 2, 3, &["mode"], pad_by_inputs)
        .since(11)
        .until(17),
    Operator::new("Pad", 2, 4, &["mode"], pad_by_inputs).since(18),
];

fn pad_by_attributes(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (x, numbers) = call.floats(0)?;
    let Some(pads) = call.ints_attribute("pads")? else {
        return Err(call.misfit("attribute `pads`", "none"));
    };
    let axes = all_pads(call, pads, x.shape.len(), None)?;
    let value = call.float_attribute("value", 0.0)?;
    let (shape, padded) = padded(call, &x.shape, numbers, &axes, value)?;
    Ok(vec![Tensor::floats(&shape, x.element, padded)])
}

fn pad_by_inputs(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (x, value) = (call.input(0)?, call.optional(2));
    if let Some(value) = value {
        call.check_same_type(x, value)?;
    }
    let axes = all_pads(call, call.ints(1)?, x.shape.len(), call.optional_ints(3)?)?;
    let (shape, data) = match (&*x.data, value.map(|value| &*value.data)) {
        (Data::Floats(numbers), Some(Data::Floats(value))) => {
            let value = call.single(value)?;
            let (shape, padded) = padded(call, &x.shape, numbers, &axes, value)?;
            (shape, Data::Floats(padded))
        }
        (Data::Floats(numbers), _) => {
            let (shape, padded) = padded(call, &x.shape, numbers, &axes, 0.0)?;
            (shape, Data::Floats(padded))
        }
        (Data::Ints(numbers), Some(Data::Ints(value))) => {
            let value = call.single(value)?;
            let (shape, padded) = padded(call, &x.shape, numbers, &axes, value)?;
            (shape, Data::Ints(padded))
        }
        (Data::Ints(numbers), _) => {
            let (shape, padded) = padded(call, &x.shape, numbers, &axes, 0)?;
            (shape, Data::Ints(padded))
        }
        (Data::Bools(numbers), value) => {
            let value = match value {
                Some(Data::Bools(value)) => call.single(value)?,
                _ => false,
            };
            let (shape, padded) = padded(call, &x.shape, numbers, &axes, value)?;
            (shape, Data::Bools(padded))
        }
    };
    Ok(vec![Tensor::new(shape, x.element, data)])
}

/// How many elements come before and after each axis; negative numbers take some away.
fn all_pads(
    call: &Call<'_>,
    pads: &[i64],
    rank: usize,
    axes: Option<&[i64]>,
) -> Result<Vec<[i64; 2]>, OnnxError> {
    let axes = match axes {
        Some(axes) => call.axes(axes, rank)?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        let expected = format!("{} pads", 2 * axes.len());
        return Err(call.misfit(expected, pads.len().to_string()));
    }
    let mut all = vec![[0; 2]; rank];
    if let Some(pad) = pads.iter().find(|pad| pad.unsigned_abs() > LIMIT as u64) {
        return Err(call.misfit(format!("pads of at most {LIMIT}"), pad.to_string()));
    }
    let (before, after) = pads.split_at(axes.len());
    for ((&axis, &before), &after) in axes.iter().zip(before).zip(after) {
        all[axis] = [before, after];
    }
    Ok(all)
}

/// What lies outside of an axis.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// One number.
    Constant,
    /// The elements in reverse, the outermost not repeated.
    Reflect,
    /// The outermost element.
    Edge,
    /// The elements from the other end.
    Wrap,
}

impl Mode {
    fn of(call: &Call<'_>) -> Result<Self, OnnxError> {
        match call.text_attribute("mode", "constant")? {
            "constant" => Ok(Self::Constant),
            "reflect" => Ok(Self::Reflect),
            "edge" => Ok(Self::Edge),
            "wrap" if call.version >= 19 => Ok(Self::Wrap),
            other => Err(call.misfit("a known `mode`", other)),
        }
    }

    /// The element that a place outside shows, if it shows one.
    fn element(self, place: i64, extent: i64) -> Option<usize> {
        let place = match self {
            Self::Constant => place,
            Self::Reflect if place < 0 => -place,
            Self::Reflect if place >= extent => 2 * (extent - 1) - place,
            Self::Reflect => place,
            Self::Edge => place.clamp(0, extent.max(1) - 1),
            Self::Wrap => place.rem_euclid(extent.max(1)),
        };
        (0..extent).contains(&place).then_some(place as usize)
    }
}

/// Pads axis by axis.
fn padded<T: Copy>(
    call: &Call<'_>,
    shape: &[usize],
    numbers: &[T],
    pads: &[[i64; 2]],
    value: T,
) -> Result<(Vec<usize>, Vec<T>), OnnxError> {
    let mode = Mode::of(call)?;
    let (mut shape, mut numbers) = (shape.to_vec(), numbers.to_vec());
    for (axis, &[before, after]) in pads.iter().enumerate().filter(|(_, pads)| **pads != [0; 2]) {
        let extent = shape[axis] as i64;
        let Ok(longer) = usize::try_from(before + extent + after) else {
            let got = format!("{before} and {after} on {extent} elements");
            return Err(call.misfit("pads that leave elements", got));
        };
        shape[axis] = longer;
        call.elements(&shape)?;
        let places = (0..longer as i64).map(|place| mode.element(place - before, extent));
        let places: Vec<Option<usize>> = places.collect();
        if mode != Mode::Constant && places.contains(&None) {
            let expected = "pads that show elements of the value";
            return Err(call.misfit(expected, format!("{before} and {after} on {extent}")));
        }
        let around = [&shape[..axis], &shape[axis + 1..]].map(|axes| axes.iter().product());
        numbers = padded_axis(&numbers, around, extent as usize, &places, value);
    }
    Ok((shape, numbers))
}

/// The blocks of an axis at some places, a number where there is no place; `outer` and `size` are
/// the products of the extents before and after the axis.
fn padded_axis<T: Copy>(
    numbers: &[T],
    [outer, size]: [usize; 2],
    extent: usize,
    places: &[Option<usize>],
    value: T,
) -> Vec<T> {
    let mut padded = Vec::with_capacity(outer * places.len() * size);
    for block in 0..outer {
        for place in places {
            match place {
                Some(place) => {
                    let start = (block * extent + place) * size;
                    padded.extend_from_slice(&numbers[start..start + size]);
                }
                None => padded.extend(repeat_n(value, size)),
            }
        }
    }
    padded
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Attribute;
    use super::super::testing::{float, floats, int, one, refused, run};
    use super::*;

    fn line(numbers: &[i64]) -> Tensor {
        int(&[numbers.len()], numbers)
    }

    fn mode(mode: &str) -> [(&'static str, Attribute); 1] {
        [("mode", Attribute::Text(mode.into()))]
    }

    #[test]
    fn every_mode_shows_its_elements_outside() {
        let x = float(&[3], &[1.0, 2.0, 3.0]);
        let pads = line(&[2, 1]);
        for (name, expected) in [
            ("constant", [0.0, 0.0, 1.0, 2.0, 3.0, 0.0]),
            ("reflect", [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]),
            ("edge", [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]),
            ("wrap", [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]),
        ] {
            assert_eq!(
                floats("Pad", 19, &mode(name), &[&x, &pads]),
                expected,
                "{name}"
            );
        }
        assert!(refused("Pad", 18, &mode("wrap"), &[&x, &pads]).contains("got wrap"));
        assert!(
            refused("Pad", 18, &mode("reflect"), &[&x, &line(&[3, 0])]).contains("3 and 0 on 3")
        );
    }

    #[test]
    fn axes_are_padded_and_cropped_apart() {
        let x = float(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let attributes = [
            ("pads", Attribute::Ints(vec![0, 1, 1, -1])),
            ("value", Attribute::Float(9.0)),
        ];
        let y = one("Pad", 7, &attributes, &[&x]);
        assert_eq!(y, float(&[3, 2], &[9.0, 1.0, 9.0, 3.0, 9.0, 9.0]));
        let (value, axes) = (float(&[], &[7.0]), line(&[-1]));
        let operands = [&x, &line(&[1, 0]), &value, &axes];
        assert_eq!(
            one("Pad", 18, &[], &operands),
            float(&[2, 3], &[7.0, 1.0, 2.0, 7.0, 3.0, 4.0])
        );
        let none = float(&[2, 0], &[]);
        let pads = line(&[0, 0, 0, 1]);
        assert_eq!(
            one("Pad", 13, &[], &[&none, &pads, &value]),
            float(&[2, 1], &[7.0, 7.0])
        );
        assert!(refused("Pad", 13, &mode("edge"), &[&none, &pads]).contains("show elements"));
        let integers = int(&[1], &[5]);
        let operands = [Some(&integers), Some(&line(&[1, 1])), None];
        assert_eq!(
            run("Pad", 13, &[], &operands).unwrap()[0],
            int(&[3], &[0, 5, 0])
        );
    }

    #[test]
    fn pads_that_leave_nothing_or_too_much_are_refused() {
        let x = float(&[2], &[1.0, 2.0]);
        assert!(refused("Pad", 13, &[], &[&x, &line(&[-2, -1])]).contains("leave elements"));
        assert!(refused("Pad", 13, &[], &[&x, &line(&[i64::MIN, i64::MAX])]).contains("at most"));
        assert!(refused("Pad", 13, &[], &[&x, &line(&[1 << 28, 1])]).contains("at most"));
        assert!(refused("Pad", 13, &[], &[&x, &line(&[1])]).contains("2 pads"));
        assert!(refused("Pad", 7, &[], &[&x]).contains("`pads`"));
        let two = float(&[2], &[0.0; 2]);
        assert!(refused("Pad", 13, &[], &[&x, &line(&[1, 1]), &two]).contains("one number"));
    }
}
