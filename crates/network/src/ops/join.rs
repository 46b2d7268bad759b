//! Values joined and taken apart.

use crate::value::map_value;
use crate::{NetworkError, Value};

/// The sources one after the other along the first axis of an example; all other axes must agree.
pub(crate) fn concat(sources: Vec<Value>, at: &str) -> Result<Value, NetworkError> {
    let shapes: Vec<Vec<usize>> = sources.iter().map(Value::shape).collect();
    let first = shapes.first().map_or(&[][..], Vec::as_slice);
    let fits = |shape: &Vec<usize>| {
        let agree = shape.iter().zip(first).enumerate();
        shape.len() == first.len()
            && shape.len() > 1
            && agree.into_iter().all(|(axis, (a, b))| axis == 1 || a == b)
    };
    if let Some(other) = shapes.iter().find(|shape| !fits(shape)) {
        return Err(NetworkError::shape(
            at,
            format!("a value like {first:?}"),
            other,
        ));
    }
    Value::joined(sources, 1, at)
}

/// The features `start .. start + len` of the last axis.
pub(crate) fn slice(x: Value, start: usize, len: usize, at: &str) -> Result<Value, NetworkError> {
    let shape = x.shape();
    let axis = shape.len() - 1;
    let end = start.saturating_add(len);
    if end > shape[axis] {
        return Err(NetworkError::shape(
            at,
            format!("at least {end} features"),
            &shape,
        ));
    }
    Ok(map_value!(x, t => t.narrow(axis, start, len)))
}
