//! Sums and products with constants of a graph.

use model::Constants;

use crate::value::map_value;
use crate::{Device, NetworkError, Precision, Value};

/// Every number of `x` plus its constant.
pub(crate) fn add(
    constants: &Constants,
    x: Value,
    device: &Device,
    precision: Precision,
    at: &str,
) -> Result<Value, NetworkError> {
    let constants = tensor(constants, &x, device, precision, at)?;
    x.add(constants, at)
}

/// Every number of `x` times its constant.
pub(crate) fn multiply(
    constants: &Constants,
    x: Value,
    device: &Device,
    precision: Precision,
    at: &str,
) -> Result<Value, NetworkError> {
    let constants = tensor(constants, &x, device, precision, at)?;
    x.mul(constants, at)
}

/// The constants as one example of the shape of `x`'s.
fn tensor(
    constants: &Constants,
    x: &Value,
    device: &Device,
    precision: Precision,
    at: &str,
) -> Result<Value, NetworkError> {
    let mut shape = x.shape();
    let example: usize = shape[1..].iter().product();
    let numbers = constants.numbers();
    if example != numbers.len() {
        let expected = format!("[*, ..] of {} numbers", numbers.len());
        return Err(NetworkError::shape(at, expected, &shape));
    }
    shape[0] = 1;
    Value::from_f64(numbers, &shape, device, precision)
}

/// Every number times one constant.
pub(crate) fn scale(x: Value, factor: f64) -> Value {
    map_value!(x, t => t * factor)
}
