//! Reductions along axes, and sums so far.

use super::arithmetic::{larger, smaller};
use super::error::OnnxError;
use super::operators::{Call, Operator};
use super::tensor::{Data, Tensor};

/// A reduction whose axes become an operand in a version.
macro_rules! reduction {
    ($name:literal, $apply:expr, $version:literal) => {
        [
            Operator::new($name, 1, 1, &["axes", "keepdims"], $apply).until($version - 1),
            Operator::new($name, 1, 2, &["keepdims", "noop_with_empty_axes"], $apply)
                .since($version),
        ]
    };
}

const SUM: [Operator; 2] = reduction!("ReduceSum", |call| reduce(call, &Reduction::SUM), 13);
const MEAN: [Operator; 2] = reduction!("ReduceMean", |call| reduce(call, &Reduction::MEAN), 18);
const MAX: [Operator; 2] = reduction!("ReduceMax", |call| reduce(call, &Reduction::MAX), 18);
const MIN: [Operator; 2] = reduction!("ReduceMin", |call| reduce(call, &Reduction::MIN), 18);
const PROD: [Operator; 2] = reduction!("ReduceProd", |call| reduce(call, &Reduction::PROD), 18);
const L1: [Operator; 2] = reduction!("ReduceL1", |call| reduce(call, &Reduction::L1), 18);
const L2: [Operator; 2] = reduction!("ReduceL2", |call| reduce(call, &Reduction::L2), 18);
const SQUARES: [Operator; 2] = reduction!(
    "ReduceSumSquare",
    |call| reduce(call, &Reduction::SQUARES),
    18
);

pub(super) const OPERATORS: &[Operator] = &{
    let [[a, b], [c, d], [e, f], [g, h]] = [SUM, MEAN, MAX, MIN];
    let [[i, j], [k, l], [m, n], [o, p]] = [PROD, L1, L2, SQUARES];
    let sums_so_far = Operator::new("CumSum", 2, 2, &["exclusive", "reverse"], running_sums);
    [
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        h,
        i,
        j,
        k,
        l,
        m,
        n,
        o,
        p,
        sums_so_far.since(11),
    ]
};

/// What becomes of the elements along the reduced axes; nothing where there is no result, as for
/// the largest of no elements.
struct Reduction {
    floats: fn(&[f64]) -> Option<f64>,
    ints: fn(&[i64]) -> Option<i64>,
}

impl Reduction {
    const SUM: Self = Self {
        floats: |x| Some(x.iter().sum()),
        ints: |x| x.iter().try_fold(0i64, |sum, &x| sum.checked_add(x)),
    };
    const MEAN: Self = Self {
        floats: |x| (!x.is_empty()).then(|| x.iter().sum::<f64>() / x.len() as f64),
        // How the mean of integers is rounded is left open by the specification.
        ints: |_| None,
    };
    const MAX: Self = Self {
        floats: |x| x.iter().copied().reduce(larger),
        ints: |x| x.iter().copied().max(),
    };
    const MIN: Self = Self {
        floats: |x| x.iter().copied().reduce(smaller),
        ints: |x| x.iter().copied().min(),
    };
    const PROD: Self = Self {
        floats: |x| Some(x.iter().product()),
        ints: |x| {
            x.iter()
                .try_fold(1i64, |product, &x| product.checked_mul(x))
        },
    };
    const L1: Self = Self {
        floats: |x| Some(x.iter().map(|x| x.abs()).sum()),
        ints: |x| {
            x.iter()
                .try_fold(0i64, |sum, x| sum.checked_add(x.checked_abs()?))
        },
    };
    const L2: Self = Self {
        floats: |x| Some(x.iter().map(|x| x * x).sum::<f64>().sqrt()),
        ints: |_| None,
    };
    const SQUARES: Self = Self {
        floats: |x| Some(x.iter().map(|x| x * x).sum()),
        ints: |x| {
            x.iter()
                .try_fold(0i64, |sum, x| sum.checked_add(x.checked_mul(*x)?))
        },
    };
}

/// Reduces along axes, which stay as ones with `keepdims`; without axes along all of them.
fn reduce(call: &Call<'_>, reduction: &Reduction) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    let stated = match call.optional_ints(1)? {
        Some(axes) => Some(axes),
        None => call.ints_attribute("axes")?,
    };
    let keep = call.flag("keepdims", true)?;
    let rank = x.shape.len();
    let axes = match stated.filter(|axes| !axes.is_empty()) {
        Some(axes) => call.axes(axes, rank)?,
        // Every element is then reduced by itself, which a norm does not leave as it is.
        None if call.flag("noop_with_empty_axes", false)? => Vec::new(),
        None => (0..rank).collect(),
    };
    let kept: Vec<usize> = (0..rank).filter(|axis| !axes.contains(axis)).collect();
    let shape: Vec<usize> = match keep {
        true => (0..rank)
            .map(|axis| {
                if axes.contains(&axis) {
                    1
                } else {
                    x.shape[axis]
                }
            })
            .collect(),
        false => kept.iter().map(|&axis| x.shape[axis]).collect(),
    };
    let count = axes.iter().map(|&axis| x.shape[axis]).product();
    let results = call.elements(&shape)?;
    let rows = x.transposed(&[&kept[..], &axes[..]].concat());
    let data = match &*rows.data {
        Data::Floats(numbers) => {
            let result = |row: &[f64]| (reduction.floats)(row);
            let missing = || call.misshapen("elements to reduce", &x.shape);
            Data::Floats(reduced(numbers, count, results, result).ok_or_else(missing)?)
        }
        Data::Ints(numbers) => {
            let result = |row: &[i64]| {
                (reduction.ints)(row).filter(|number| x.element.integers().contains(number))
            };
            let missing = || {
                let expected = "floats, or integers with a result in their range";
                call.misfit(expected, x.element.name())
            };
            Data::Ints(reduced(numbers, count, results, result).ok_or_else(missing)?)
        }
        Data::Bools(_) => return Err(call.misfit("numbers", "booleans")),
    };
    Ok(vec![Tensor::new(shape, x.element, data)])
}

/// The results of rows of `count` numbers, if each has one.
fn reduced<T>(
    numbers: &[T],
    count: usize,
    results: usize,
    result: impl Fn(&[T]) -> Option<T>,
) -> Option<Vec<T>> {
    (0..results)
        .map(|row| result(&numbers[row * count..][..count]))
        .collect()
}

/// Sums of the elements up to each along an axis: without it when `exclusive`, from the end when
/// `reverse`.
fn running_sums(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    let axis = call.axis(call.single(call.ints(1)?)?, x.shape.len())?;
    let (exclusive, reverse) = (call.flag("exclusive", false)?, call.flag("reverse", false)?);
    let (count, stride) = (x.shape[axis], x.shape[axis + 1..].iter().product::<usize>());
    let along = Line {
        count,
        stride,
        exclusive,
        reverse,
    };
    let data = match &*x.data {
        Data::Floats(numbers) => along.sums(numbers, |a, b| Ok(a + b)).map(Data::Floats)?,
        Data::Ints(numbers) => {
            let add = |a: i64, b| call.in_range(a.checked_add(b), x.element);
            along.sums(numbers, add).map(Data::Ints)?
        }
        Data::Bools(_) => return Err(call.misfit("numbers", "booleans")),
    };
    Ok(vec![Tensor::new(x.shape.clone(), x.element, data)])
}

/// Elements along an axis and the order in which they are summed.
struct Line {
    count: usize,
    stride: usize,
    exclusive: bool,
    reverse: bool,
}

impl Line {
    fn sums<T: Copy + Default>(
        &self,
        numbers: &[T],
        add: impl Fn(T, T) -> Result<T, OnnxError>,
    ) -> Result<Vec<T>, OnnxError> {
        let mut sums = numbers.to_vec();
        let block = (self.count * self.stride).max(1);
        for block in sums.chunks_exact_mut(block) {
            for first in 0..self.stride {
                let mut sum = T::default();
                for step in 0..self.count {
                    let step = if self.reverse {
                        self.count - 1 - step
                    } else {
                        step
                    };
                    let place = &mut block[first + step * self.stride];
                    let next = add(sum, *place)?;
                    *place = if self.exclusive { sum } else { next };
                    sum = next;
                }
            }
        }
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Attribute;
    use super::super::testing::{float, floats, int, one, refused};

    fn axes(axes: &[i64]) -> (&'static str, Attribute) {
        ("axes", Attribute::Ints(axes.to_vec()))
    }

    const DROPPED: (&str, Attribute) = ("keepdims", Attribute::Int(0));

    #[test]
    fn axes_come_as_attributes_or_operands() {
        let x = float(&[2, 1, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 9.0]);
        let rows = float(&[2, 1, 1], &[2.0, 6.0]);
        assert_eq!(one("ReduceMean", 13, &[axes(&[-1])], &[&x]), rows);
        let last = int(&[1], &[2]);
        assert_eq!(one("ReduceMean", 18, &[], &[&x, &last]), rows);
        assert_eq!(
            one("ReduceSum", 13, &[DROPPED], &[&x, &last]),
            float(&[2, 1], &[6.0, 18.0])
        );
        assert_eq!(
            one("ReduceSum", 11, &[axes(&[0, 2]), DROPPED], &[&x]),
            float(&[1], &[24.0])
        );
        let columns = one("ReduceMax", 13, &[axes(&[0])], &[&x]);
        assert_eq!(columns, float(&[1, 1, 3], &[4.0, 5.0, 9.0]));
    }

    #[test]
    fn no_axes_mean_all_or_none() {
        let x = float(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(one("ReduceSum", 13, &[DROPPED], &[&x]), float(&[], &[10.0]));
        let none = int(&[0], &[]);
        assert_eq!(
            one("ReduceSum", 13, &[], &[&x, &none]),
            float(&[1, 1], &[10.0])
        );
        let noop = [("noop_with_empty_axes", Attribute::Int(1))];
        assert_eq!(one("ReduceSum", 13, &noop, &[&x, &none]), x);
        assert_eq!(one("ReduceMean", 18, &noop, &[&x]), x);
        assert_eq!(
            floats("ReduceSumSquare", 18, &noop, &[&x]),
            [1.0, 4.0, 9.0, 16.0]
        );
    }

    #[test]
    fn every_reduction_has_its_value() {
        let x = float(&[3], &[-3.0, 4.0, 0.5]);
        for (operator, expected) in [
            ("ReduceSum", 1.5),
            ("ReduceMean", 0.5),
            ("ReduceMax", 4.0),
            ("ReduceMin", -3.0),
            ("ReduceProd", -6.0),
            ("ReduceL1", 7.5),
            ("ReduceL2", 25.25f64.sqrt()),
            ("ReduceSumSquare", 25.25),
        ] {
            assert_eq!(floats(operator, 18, &[], &[&x]), [expected], "{operator}");
        }
        let x = int(&[2, 2], &[1, 2, 3, 4]);
        assert_eq!(
            one("ReduceProd", 13, &[axes(&[0])], &[&x]),
            int(&[1, 2], &[3, 8])
        );
        assert!(refused("ReduceMean", 13, &[], &[&x]).contains("floats, or integers"));
        let large = int(&[2], &[i64::MAX, 1]);
        assert!(refused("ReduceSum", 13, &[], &[&large]).contains("in their range"));
    }

    #[test]
    fn nothing_has_a_sum_but_no_mean_or_extreme() {
        let x = float(&[2, 0], &[]);
        let last = int(&[1], &[1]);
        assert_eq!(floats("ReduceSum", 13, &[], &[&x, &last]), [0.0, 0.0]);
        for operator in ["ReduceMean", "ReduceMax", "ReduceMin"] {
            assert!(refused(operator, 18, &[], &[&x, &last]).contains("elements to reduce"));
        }
        let nan = float(&[2], &[f64::NAN, 1.0]);
        assert!(floats("ReduceMax", 18, &[], &[&nan])[0].is_nan());
    }

    #[test]
    fn axes_that_are_not_there_are_refused() {
        let x = float(&[2, 2], &[0.0; 4]);
        assert!(refused("ReduceSum", 11, &[axes(&[2])], &[&x]).contains("an axis of 2, got 2"));
        assert!(refused("ReduceSum", 11, &[axes(&[0, -2])], &[&x]).contains("every axis once"));
        assert!(refused("ReduceSum", 11, &[axes(&[i64::MIN])], &[&x]).contains("an axis of 2"));
        let floats = float(&[1], &[1.0]);
        assert!(refused("ReduceSum", 13, &[], &[&x, &floats]).contains("int32 or int64"));
    }

    #[test]
    fn sums_so_far_run_along_an_axis_either_way() {
        let x = int(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        let flags = |exclusive, reverse| {
            [
                ("exclusive", Attribute::Int(exclusive)),
                ("reverse", Attribute::Int(reverse)),
            ]
        };
        let (rows, columns) = (int(&[], &[0]), int(&[1], &[-1]));
        let sums =
            |exclusive, reverse, axis| one("CumSum", 14, &flags(exclusive, reverse), &[&x, axis]);
        assert_eq!(sums(0, 0, &columns), int(&[2, 3], &[1, 3, 6, 4, 9, 15]));
        assert_eq!(sums(1, 0, &columns), int(&[2, 3], &[0, 1, 3, 0, 4, 9]));
        assert_eq!(sums(0, 1, &columns), int(&[2, 3], &[6, 5, 3, 15, 11, 6]));
        assert_eq!(sums(1, 1, &rows), int(&[2, 3], &[4, 5, 6, 0, 0, 0]));
    }
}
