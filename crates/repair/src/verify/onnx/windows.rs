//! The geometry of convolutions and pools: which elements of an axis each window reads.

use std::ops::Range;

use super::error::OnnxError;
use super::operators::Call;
use super::tensor::LIMIT;

/// The windows along one axis: window `o` reads the elements `stride · o + dilation · tap - before`
/// for its taps, those of them that are inside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Windows {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    /// Padding before the first and after the last element.
    pub(super) before: usize,
    pub(super) after: usize,
    pub(super) input: usize,
    /// How many windows there are.
    pub(super) output: usize,
}

impl Windows {
    /// An axis of one element that one window reads.
    const UNIT: Self = Self {
        kernel: 1,
        stride: 1,
        dilation: 1,
        before: 0,
        after: 0,
        input: 1,
        output: 1,
    };

    /// The windows whose `tap` reads inside:
    /// `0 <= stride · o + dilation · tap - before < input`.
    pub(super) fn inside(&self, tap: usize) -> Range<usize> {
        self.reading(tap, self.before, self.before + self.input)
    }

    /// The windows whose `tap` reads inside or in the padding.
    fn inside_padded(&self, tap: usize) -> Range<usize> {
        self.reading(tap, 0, self.before + self.input + self.after)
    }

    /// The windows whose `tap` reads an element of a range, counted from the start of the padding.
    fn reading(&self, tap: usize, start: usize, end: usize) -> Range<usize> {
        let offset = tap * self.dilation;
        let reaching = |end: usize| end.saturating_sub(offset).div_ceil(self.stride);
        let first = reaching(start).min(self.output);
        first..reaching(end).clamp(first, self.output)
    }

    /// The element that a window's tap reads, which must be inside.
    pub(super) fn element(&self, window: usize, tap: usize) -> usize {
        self.stride * window + self.dilation * tap - self.before
    }

    /// How many elements each window reads, those in the padding counted or not.
    pub(super) fn counts(&self, padded: bool) -> Vec<usize> {
        let mut counts = vec![0; self.output];
        for tap in 0..self.kernel {
            let windows = match padded {
                true => self.inside_padded(tap),
                false => self.inside(tap),
            };
            counts[windows].iter_mut().for_each(|count| *count += 1);
        }
        counts
    }
}

/// The windows along the one or two axes of an image, as two axes: a line is an image of one row.
///
/// Reads the attributes `auto_pad`, `pads`, `strides` and `dilations`. With `ceil` the last window
/// may end outside the padding but begins before the padding at the end.
///
/// # Errors
/// [`OnnxError::Misfit`] for numbers that are not one per axis or out of range, for windows that do
/// not fit, and for what runtimes read otherwise than the specification: `auto_pad` of SAME with
/// dilations, and of VALID with `ceil` where it would matter.
pub(super) fn windows(
    call: &Call<'_>,
    spatial: &[usize],
    kernel: &[usize],
    ceil: bool,
) -> Result<[Windows; 2], OnnxError> {
    let rank = spatial.len();
    if !(1..=2).contains(&rank) || spatial.contains(&0) {
        return Err(call.misshapen("one or two spatial axes, not empty", spatial));
    }
    if kernel.len() != rank || kernel.iter().any(|extent| !(1..=LIMIT).contains(extent)) {
        let expected = format!("a kernel of {rank} extents from 1 to {LIMIT}");
        return Err(call.misshapen(expected, kernel));
    }
    let strides = counts(call, "strides", rank, 1)?;
    let dilations = counts(call, "dilations", rank, 1)?;
    let pads = counts(call, "pads", 2 * rank, 0)?;
    let automatic = call.text_attribute("auto_pad", "NOTSET")?;
    if automatic != "NOTSET" && pads.iter().any(|&pad| pad != 0) {
        return Err(call.misfit(
            format!("no `pads` with `auto_pad` {automatic}"),
            format!("{pads:?}"),
        ));
    }
    if automatic.starts_with("SAME") && dilations.iter().any(|&dilation| dilation > 1) {
        return Err(call.misfit("`dilations` of 1 with `auto_pad`", automatic));
    }
    let mut all = [Windows::UNIT; 2];
    for axis in 0..rank {
        let open = Windows {
            kernel: kernel[axis],
            stride: strides[axis],
            dilation: dilations[axis],
            before: pads[axis],
            after: pads[axis + rank],
            input: spatial[axis],
            output: 0,
        };
        all[2 - rank + axis] = placed(call, open, automatic, ceil)?;
    }
    Ok(all)
}

/// The numbers of an attribute, which must be as many as the axes and not below a least one.
fn counts(
    call: &Call<'_>,
    name: &str,
    count: usize,
    least: usize,
) -> Result<Vec<usize>, OnnxError> {
    let Some(numbers) = call.ints_attribute(name)? else {
        return Ok(vec![least; count]);
    };
    // No axis is longer than the limit, and products of such numbers do not overflow.
    let number = |&number: &i64| usize::try_from(number).ok();
    let inside = |number: &usize| (least..=LIMIT).contains(number);
    let found: Option<Vec<usize>> = numbers
        .iter()
        .map(|found| number(found).filter(inside))
        .collect();
    found.filter(|found| found.len() == count).ok_or_else(|| {
        let expected = format!("{count} numbers from {least} to {LIMIT} as `{name}`");
        call.misfit(expected, format!("{numbers:?}"))
    })
}

/// Counts the windows along an axis and pads it as `auto_pad` says.
fn placed(
    call: &Call<'_>,
    axis: Windows,
    automatic: &str,
    ceil: bool,
) -> Result<Windows, OnnxError> {
    let reach = (axis.kernel - 1) * axis.dilation + 1;
    let same = |lower: bool| {
        let output = axis.input.div_ceil(axis.stride);
        let padding = ((output - 1) * axis.stride + reach).saturating_sub(axis.input);
        let less = padding / 2;
        let (before, after) = if lower {
            (padding - less, less)
        } else {
            (less, padding - less)
        };
        Windows {
            before,
            after,
            output,
            ..axis
        }
    };
    match automatic {
        "SAME_UPPER" => return Ok(same(false)),
        "SAME_LOWER" => return Ok(same(true)),
        "NOTSET" | "VALID" => {}
        other => return Err(call.misfit("a known `auto_pad`", other)),
    }
    let padded = axis.input + axis.before + axis.after;
    let Some(room) = padded.checked_sub(reach) else {
        let expected = format!("at least {reach} elements under a window, padding included");
        return Err(call.misfit(expected, padded.to_string()));
    };
    let output = match ceil {
        false => room / axis.stride + 1,
        // The last window must not begin in the padding after the last element.
        true => {
            let begins_inside = (axis.input + axis.before - 1) / axis.stride + 1;
            (room.div_ceil(axis.stride) + 1).min(begins_inside)
        }
    };
    // The specification counts windows without padding as if rounded down, whatever the mode says.
    if automatic == "VALID" && output != room / axis.stride + 1 {
        return Err(call.misfit("`ceil_mode` of 0 with `auto_pad` VALID", "1"));
    }
    Ok(Windows { output, ..axis })
}

#[cfg(test)]
mod tests {
    use super::super::attributes::{Attribute, Attributes};
    use super::*;

    fn along(
        input: usize,
        kernel: usize,
        attributes: &[(&str, Attribute)],
        ceil: bool,
    ) -> Result<Windows, String> {
        let call = Call {
            at: "here",
            version: 13,
            attributes: &Attributes::of(attributes),
            inputs: &[],
            results: 1,
        };
        let all = windows(&call, &[input], &[kernel], ceil);
        all.map(|[_, axis]| axis).map_err(|error| error.to_string())
    }

    fn ints<'a>(name: &'a str, numbers: &[i64]) -> (&'a str, Attribute) {
        (name, Attribute::Ints(numbers.to_vec()))
    }

    fn automatic(mode: &str) -> (&'static str, Attribute) {
        ("auto_pad", Attribute::Text(mode.into()))
    }

    #[test]
    fn windows_are_counted_as_the_specification_says() {
        let pads = ints("pads", &[1, 0]);
        let by_three = ints("strides", &[3]);
        let axis = along(7, 3, &[pads.clone(), by_three.clone()], false).unwrap();
        assert_eq!((axis.before, axis.after, axis.output), (1, 0, 2));
        assert_eq!(
            along(7, 3, &[pads, by_three.clone()], true).unwrap().output,
            3
        );
        let wide = ints("dilations", &[3]);
        assert_eq!(
            along(7, 3, std::slice::from_ref(&wide), false)
                .unwrap()
                .output,
            1
        );
        assert!(
            along(6, 3, &[wide], false)
                .unwrap_err()
                .contains("at least 7 elements")
        );
        // A third window would begin behind the last element.
        assert_eq!(
            along(4, 1, &[ints("strides", &[2])], true).unwrap().output,
            2
        );
        let after = ints("pads", &[0, 2]);
        assert_eq!(
            along(4, 2, &[after, ints("strides", &[4])], true)
                .unwrap()
                .output,
            1
        );
    }

    #[test]
    fn automatic_padding_keeps_the_extent() {
        let twice = ints("strides", &[2]);
        let upper = along(5, 4, &[automatic("SAME_UPPER"), twice.clone()], false).unwrap();
        assert_eq!((upper.before, upper.after, upper.output), (1, 2, 3));
        let lower = along(5, 4, &[automatic("SAME_LOWER"), twice.clone()], false).unwrap();
        assert_eq!((lower.before, lower.after, lower.output), (2, 1, 3));
        let valid = along(5, 4, &[automatic("VALID"), twice.clone()], false).unwrap();
        assert_eq!((valid.before, valid.after, valid.output), (0, 0, 1));
        assert!(along(5, 4, &[automatic("VALID"), twice.clone()], true).is_err());
        let dilated = [automatic("SAME_LOWER"), ints("dilations", &[2])];
        assert!(
            along(5, 4, &dilated, false)
                .unwrap_err()
                .contains("`dilations` of 1")
        );
        let both = [automatic("SAME_UPPER"), ints("pads", &[1, 1])];
        assert!(along(5, 4, &both, false).unwrap_err().contains("no `pads`"));
        assert!(
            along(5, 4, &[automatic("SAME")], false)
                .unwrap_err()
                .contains("got SAME")
        );
    }

    #[test]
    fn taps_and_counts_follow_from_the_definition() {
        for [input, kernel, stride, dilation, before, after] in [
            [7, 3, 1, 1, 1, 1],
            [7, 3, 2, 2, 0, 3],
            [4, 2, 3, 1, 5, 0],
            [1, 5, 1, 1, 2, 2],
            [9, 2, 2, 4, 1, 0],
        ] {
            let attributes = [
                ints("strides", &[stride as i64]),
                ints("dilations", &[dilation as i64]),
                ints("pads", &[before as i64, after as i64]),
            ];
            let axis = along(input, kernel, &attributes, true).unwrap();
            let read = |o: usize, tap: usize| o * stride + tap * dilation;
            for o in 0..axis.output {
                let inside = |tap: &usize| (before..before + input).contains(&read(o, *tap));
                let padded = |tap: &usize| read(o, *tap) < before + input + after;
                for tap in 0..kernel {
                    assert_eq!(
                        axis.inside(tap).contains(&o),
                        inside(&tap),
                        "{axis:?} {o} {tap}"
                    );
                }
                assert_eq!(axis.counts(false)[o], (0..kernel).filter(inside).count());
                assert_eq!(axis.counts(true)[o], (0..kernel).filter(padded).count());
            }
        }
    }

    #[test]
    fn numbers_that_no_geometry_has_are_refused() {
        for attributes in [
            ints("strides", &[0]),
            ints("strides", &[1, 1]),
            ints("dilations", &[-1]),
            ints("pads", &[1]),
            ints("pads", &[-1, 0]),
            ints("strides", &[i64::MAX]),
            ints("dilations", &[1 << 29]),
        ] {
            let error = along(5, 2, std::slice::from_ref(&attributes), false).unwrap_err();
            assert!(error.contains(attributes.0), "{error}");
        }
        let far = ints("dilations", &[1 << 28]);
        assert!(
            along(5, 1 << 28, &[far], false)
                .unwrap_err()
                .contains("under a window")
        );
        assert!(
            along(5, 1 << 40, &[], false)
                .unwrap_err()
                .contains("a kernel of 1 extents")
        );
    }
}
