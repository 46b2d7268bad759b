//! Values joined and taken apart.

use burn::tensor::Tensor;

use crate::value::map_value;
use crate::{NetworkError, Value};

/// The channels of all sources, one source after the other.
pub(crate) fn concat(sources: Vec<Value>, at: &str) -> Result<Value, NetworkError> {
    let mut images = Vec::with_capacity(sources.len());
    for source in sources {
        match (source, images.first().map(Tensor::<4>::dims)) {
            (Value::R4(x), None) => images.push(x),
            (Value::R4(x), Some([batch, _, height, width]))
                if [x.dims()[0], x.dims()[2], x.dims()[3]] == [batch, height, width] =>
            {
                images.push(x);
            }
            (other, first) => {
                return Err(NetworkError::shape(
                    at,
                    format!("an image like {first:?}"),
                    &other.shape(),
                ));
            }
        }
    }
    Ok(Value::R4(Tensor::cat(images, 1)))
}

/// The features `start .. start + len` of the last axis.
pub(crate) fn slice(x: Value, start: usize, len: usize, at: &str) -> Result<Value, NetworkError> {
    let shape = x.shape();
    let axis = shape.len() - 1;
    if start + len > shape[axis] {
        return Err(NetworkError::shape(
            at,
            format!("at least {} features", start + len),
            &shape,
        ));
    }
    Ok(map_value!(x, t => t.narrow(axis, start, len)))
}

/// Every number times a constant.
pub(crate) fn scale(x: Value, factor: f64) -> Value {
    map_value!(x, t => t * factor)
}
