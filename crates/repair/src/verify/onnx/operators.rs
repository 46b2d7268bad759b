//! The operators that are evaluated: their forms over the versions of the operator set, and what
//! a node gives its operator.

use std::sync::Arc;

use super::attributes::Attributes;
use super::error::OnnxError;
use super::tensor::{Data, Element, Tensor, elements};
use super::{
    arithmetic, choice, constant, convolution, gather, join, layout, logic, matrices, norm, pad,
    pointwise, pool, reduce, slice,
};

/// The versions of the standard operator set that are understood.
pub(super) const VERSIONS: std::ops::RangeInclusive<i64> = 7..=21;

/// What an operator computes from a node.
type Apply = fn(&Call<'_>) -> Result<Vec<Tensor>, OnnxError>;

/// An operator as some versions of the operator set define it.
pub(super) struct Operator {
    pub(super) name: &'static str,
    since: i64,
    until: i64,
    least: usize,
    most: usize,
    results: usize,
    pub(super) attributes: &'static [&'static str],
    pub(super) apply: Apply,
}

impl Operator {
    /// An operator of all versions with from `least` to `most` inputs and one output.
    pub(super) const fn new(
        name: &'static str,
        least: usize,
        most: usize,
        attributes: &'static [&'static str],
        apply: Apply,
    ) -> Self {
        Self {
            name,
            since: *VERSIONS.start(),
            until: *VERSIONS.end(),
            least,
            most,
            results: 1,
            attributes,
            apply,
        }
    }

    /// The form that begins with a version.
    pub(super) const fn since(self, since: i64) -> Self {
        Self { since, ..self }
    }

    /// The form whose last version is this one.
    pub(super) const fn until(self, until: i64) -> Self {
        Self { until, ..self }
    }

    /// The form with up to this many outputs.
    pub(super) const fn with_results(self, results: usize) -> Self {
        Self { results, ..self }
    }

    /// Checks how many inputs and outputs a node names, trailing empty names left aside.
    pub(super) fn check_arity(
        &self,
        inputs: &[String],
        outputs: &[String],
        at: &str,
    ) -> Result<(), OnnxError> {
        let (least, most) = (self.least, self.most);
        if !(least..=most).contains(&inputs.len())
            || inputs.iter().take(least).any(String::is_empty)
        {
            let expected = match most {
                usize::MAX => format!("{least} inputs or more"),
                _ => format!("{least} to {most} inputs"),
            };
            return Err(OnnxError::misfit(at, expected, format!("{inputs:?}")));
        }
        if outputs.is_empty() || outputs.len() > self.results {
            let expected = format!("1 to {} outputs", self.results);
            return Err(OnnxError::misfit(at, expected, format!("{outputs:?}")));
        }
        Ok(())
    }
}

const FAMILIES: [&[Operator]; 15] = [
    arithmetic::OPERATORS,
    choice::OPERATORS,
    constant::OPERATORS,
    convolution::OPERATORS,
    gather::OPERATORS,
    join::OPERATORS,
    layout::OPERATORS,
    logic::OPERATORS,
    matrices::OPERATORS,
    norm::OPERATORS,
    pad::OPERATORS,
    pointwise::OPERATORS,
    pool::OPERATORS,
    reduce::OPERATORS,
    slice::OPERATORS,
];

/// The operator of a name in a version of the operator set.
pub(super) fn find(name: &str, version: i64) -> Option<&'static Operator> {
    let mut all = FAMILIES.iter().copied().flatten();
    all.find(|operator| {
        operator.name == name && (operator.since..=operator.until).contains(&version)
    })
}

/// A node that is being evaluated.
pub(super) struct Call<'a> {
    /// What names the node in errors.
    pub(super) at: &'a str,
    /// Version of the operator set.
    pub(super) version: i64,
    pub(super) attributes: &'a Attributes,
    /// One per name of the node, nothing for an empty name.
    pub(super) inputs: &'a [Option<Arc<Tensor>>],
    /// Outputs that the node has.
    pub(super) results: usize,
}

impl<'a> Call<'a> {
    /// An operand or attribute that is not what the operator needs.
    pub(super) fn misfit(&self, expected: impl Into<String>, got: impl Into<String>) -> OnnxError {
        OnnxError::misfit(self.at, expected, got)
    }

    /// An operand that does not have the shape that the operator needs.
    pub(super) fn misshapen(&self, expected: impl Into<String>, got: &[usize]) -> OnnxError {
        self.misfit(expected, format!("shape {got:?}"))
    }

    /// An operand that may be left out.
    pub(super) fn optional(&self, index: usize) -> Option<&'a Tensor> {
        self.inputs.get(index)?.as_deref()
    }

    pub(super) fn input(&self, index: usize) -> Result<&'a Tensor, OnnxError> {
        let missing = || self.misfit(format!("an input at position {index}"), "none");
        self.optional(index).ok_or_else(missing)
    }

    /// All operands of an operator that takes any number of them.
    pub(super) fn all_inputs(&self) -> Result<Vec<&'a Tensor>, OnnxError> {
        (0..self.inputs.len())
            .map(|index| self.input(index))
            .collect()
    }

    /// An operand of floats with its numbers.
    pub(super) fn floats(&self, index: usize) -> Result<(&'a Tensor, &'a [f64]), OnnxError> {
        let tensor = self.input(index)?;
        Ok((tensor, self.floats_of(tensor)?))
    }

    /// The numbers of floats.
    pub(super) fn floats_of<'t>(&self, tensor: &'t Tensor) -> Result<&'t [f64], OnnxError> {
        match &*tensor.data {
            Data::Floats(numbers) => Ok(numbers),
            _ => Err(self.misfit("floats", tensor.element.name())),
        }
    }

    /// The numbers of booleans.
    pub(super) fn bools_of<'t>(&self, tensor: &'t Tensor) -> Result<&'t [bool], OnnxError> {
        match &*tensor.data {
            Data::Bools(numbers) => Ok(numbers),
            _ => Err(self.misfit("booleans", tensor.element.name())),
        }
    }

    /// The integers of an operand that says how something is done: axes, extents, indices.
    pub(super) fn ints(&self, index: usize) -> Result<&'a [i64], OnnxError> {
        self.ints_of(self.input(index)?)
    }

    /// The same, nothing for an operand that is left out.
    pub(super) fn optional_ints(&self, index: usize) -> Result<Option<&'a [i64]>, OnnxError> {
        self.optional(index)
            .map(|tensor| self.ints_of(tensor))
            .transpose()
    }

    /// The integers of int32 or int64.
    pub(super) fn ints_of<'t>(&self, tensor: &'t Tensor) -> Result<&'t [i64], OnnxError> {
        match &*tensor.data {
            Data::Ints(numbers) if matches!(tensor.element, Element::Int32 | Element::Int64) => {
                Ok(numbers)
            }
            _ => Err(self.misfit("int32 or int64", tensor.element.name())),
        }
    }

    /// The one number of an operand or attribute.
    pub(super) fn single<T: Copy>(&self, numbers: &[T]) -> Result<T, OnnxError> {
        match numbers {
            [number] => Ok(*number),
            _ => Err(self.misfit("one number", format!("{} numbers", numbers.len()))),
        }
    }

    pub(super) fn float_attribute(&self, name: &str, default: f64) -> Result<f64, OnnxError> {
        Ok(self.attributes.float(name, self.at)?.unwrap_or(default))
    }

    pub(super) fn int_attribute(&self, name: &str, default: i64) -> Result<i64, OnnxError> {
        Ok(self.attributes.int(name, self.at)?.unwrap_or(default))
    }

    /// An integer that means no (0) or yes (1).
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, OnnxError> {
        match self.int_attribute(name, default.into())? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.misfit(format!("`{name}` of 0 or 1"), other.to_string())),
        }
    }

    pub(super) fn ints_attribute(&self, name: &str) -> Result<Option<&'a [i64]>, OnnxError> {
        self.attributes.ints(name, self.at)
    }

    pub(super) fn text_attribute(
        &self,
        name: &str,
        default: &'a str,
    ) -> Result<&'a str, OnnxError> {
        Ok(self.attributes.text(name, self.at)?.unwrap_or(default))
    }

    /// An axis counted from either end.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> Result<usize, OnnxError> {
        let from_end = if axis < 0 { rank as i64 } else { 0 };
        match axis.checked_add(from_end).map(usize::try_from) {
            Some(Ok(axis)) if axis < rank => Ok(axis),
            _ => Err(self.misfit(format!("an axis of {rank}"), axis.to_string())),
        }
    }

    /// Axes counted from either end, none of them twice.
    pub(super) fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>, OnnxError> {
        let mut found = Vec::with_capacity(axes.len().min(rank));
        for &axis in axes {
            let axis = self.axis(axis, rank)?;
            if found.contains(&axis) {
                return Err(self.misfit("every axis once", format!("{axes:?}")));
            }
            found.push(axis);
        }
        Ok(found)
    }

    /// An extent or count that may be zero.
    pub(super) fn extent(&self, extent: i64) -> Result<usize, OnnxError> {
        let negative = |_| self.misfit("an extent of zero or more", extent.to_string());
        usize::try_from(extent).map_err(negative)
    }

    /// The number of elements of a shape that the node makes.
    pub(super) fn elements(&self, shape: &[usize]) -> Result<usize, OnnxError> {
        elements(shape, self.at)
    }

    /// A function of every float of the first operand.
    pub(super) fn each(&self, map: impl Fn(f64) -> f64) -> Result<Vec<Tensor>, OnnxError> {
        let (x, numbers) = self.floats(0)?;
        let mapped = numbers.iter().map(|&x| map(x)).collect();
        Ok(vec![Tensor::floats(&x.shape, x.element, mapped)])
    }

    /// Checks that operands have one element type.
    pub(super) fn check_same_type(&self, a: &Tensor, b: &Tensor) -> Result<(), OnnxError> {
        if a.element == b.element {
            return Ok(());
        }
        let got = format!("{} and {}", a.element.name(), b.element.name());
        Err(self.misfit("operands of one element type", got))
    }

    /// Integers that a node computes, which must be in the range of their type.
    pub(super) fn in_range(&self, number: Option<i64>, element: Element) -> Result<i64, OnnxError> {
        let inside = number.filter(|number| element.integers().contains(number));
        let expected = || format!("a result in the range of {}", element.name());
        inside.ok_or_else(|| self.misfit(expected(), "one outside or a division by zero"))
    }
}
