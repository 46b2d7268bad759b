//! What tests of operators share: one node applied to values.

use std::sync::Arc;

use super::attributes::{Attribute, Attributes};
use super::error::OnnxError;
use super::operators::{self, Call};
use super::tensor::{Data, Element, Tensor};

/// A value of f32 numbers.
pub(super) fn float(shape: &[usize], numbers: &[f64]) -> Tensor {
    Tensor::floats(shape, Element::Float, numbers.to_vec())
}

/// A value of int64 numbers.
pub(super) fn int(shape: &[usize], numbers: &[i64]) -> Tensor {
    Tensor::ints(shape, Element::Int64, numbers.to_vec())
}

/// Float numbers that look arbitrary, between -0.4 and 0.6.
pub(super) fn arbitrary(shape: &[usize]) -> Tensor {
    let numbers =
        (0..shape.iter().product::<usize>()).map(|i| (i as f64 * 0.754_877_666).fract() - 0.4);
    float(shape, &numbers.collect::<Vec<_>>())
}

/// An operator of a version with some attributes applied to operands, as many outputs as it makes.
pub(super) fn run(
    operator: &str,
    version: i64,
    attributes: &[(&str, Attribute)],
    operands: &[Option<&Tensor>],
) -> Result<Vec<Tensor>, OnnxError> {
    run_for(operator, version, attributes, operands, 1)
}

/// The same for a number of outputs.
pub(super) fn run_for(
    operator: &str,
    version: i64,
    attributes: &[(&str, Attribute)],
    operands: &[Option<&Tensor>],
    results: usize,
) -> Result<Vec<Tensor>, OnnxError> {
    let found = operators::find(operator, version).expect("an operator of the version");
    for (name, _) in attributes {
        assert!(found.attributes.contains(name), "{operator} has no {name}");
    }
    let inputs: Vec<_> = operands
        .iter()
        .map(|x| x.map(|x| Arc::new(x.clone())))
        .collect();
    let call = Call {
        at: "here",
        version,
        attributes: &Attributes::of(attributes),
        inputs: &inputs,
        results,
    };
    (found.apply)(&call)
}

/// The first output.
pub(super) fn one(
    operator: &str,
    version: i64,
    attributes: &[(&str, Attribute)],
    operands: &[&Tensor],
) -> Tensor {
    let operands: Vec<_> = operands.iter().copied().map(Some).collect();
    let results = run(operator, version, attributes, &operands);
    results
        .unwrap_or_else(|error| panic!("{operator}: {error}"))
        .swap_remove(0)
}

/// The numbers of the first output, which must be floats.
pub(super) fn floats(
    operator: &str,
    version: i64,
    attributes: &[(&str, Attribute)],
    operands: &[&Tensor],
) -> Vec<f64> {
    match &*one(operator, version, attributes, operands).data {
        Data::Floats(numbers) => numbers.clone(),
        other => panic!("{operator}: {other:?}"),
    }
}

/// The truths of the first output, which must be booleans.
pub(super) fn bools(
    operator: &str,
    version: i64,
    attributes: &[(&str, Attribute)],
    operands: &[&Tensor],
) -> Vec<bool> {
    match &*one(operator, version, attributes, operands).data {
        Data::Bools(truths) => truths.clone(),
        other => panic!("{operator}: {other:?}"),
    }
}

/// The reason for which an operator refuses its operands.
pub(super) fn refused(
    operator: &str,
    version: i64,
    attributes: &[(&str, Attribute)],
    operands: &[&Tensor],
) -> String {
    let operands: Vec<_> = operands.iter().copied().map(Some).collect();
    match run(operator, version, attributes, &operands) {
        Err(error) => error.to_string(),
        Ok(results) => panic!("{operator}: not refused, {results:?}"),
    }
}

/// Checks numbers up to a difference.
pub(super) fn assert_near(got: &[f64], expected: &[f64], difference: f64) {
    assert_eq!(got.len(), expected.len());
    for (position, (got, expected)) in got.iter().zip(expected).enumerate() {
        let near = (got - expected).abs() <= difference || got == expected;
        assert!(near, "{position}: {got} {expected}");
    }
}
