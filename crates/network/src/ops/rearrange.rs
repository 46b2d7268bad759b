//! Numbers copied to other places.

use burn::tensor::{Int, Tensor, TensorData};
use model::Rearrange;

use crate::{Device, NetworkError, Precision, Value};

/// The numbers of every example of `x` where `op` puts them.
///
/// # Errors
/// [`NetworkError::Shape`] when an example has another number of numbers.
pub(crate) fn forward(
    op: &Rearrange,
    x: Value,
    device: &Device,
    precision: Precision,
    at: &str,
) -> Result<Value, NetworkError> {
    let shape = x.shape();
    let (batch, example) = (shape[0], shape[1..].iter().product::<usize>());
    if example != op.reads {
        let expected = format!("[*, ..] of {} numbers", op.reads);
        return Err(NetworkError::shape(at, expected, &shape));
    }
    let mut result = vec![batch];
    result.extend(&op.shape);
    let Some(sources) = &op.sources else {
        return x.reshaped(&result, at);
    };
    let flat = x.reshaped(&[batch, example], at)?;
    let Value::R2(mut flat) = flat else {
        return Err(NetworkError::shape(at, "[*, *]", &flat.shape()));
    };
    if sources.contains(&Rearrange::FILL) {
        let fill = Value::from_f64(&vec![op.fill; batch], &[batch, 1], device, precision)?;
        if let Value::R2(fill) = fill {
            flat = Tensor::cat(vec![flat, fill], 1);
        }
    }
    let position = |&source: &u32| match source {
        Rearrange::FILL => example as i64,
        source => i64::from(source),
    };
    let positions: Vec<i64> = sources.iter().map(position).collect();
    let count = positions.len();
    let positions = TensorData::new(positions, [count]);
    let positions = Tensor::<1, Int>::from_data(positions, device);
    Value::R2(flat.select(1, positions)).reshaped(&result, at)
}
