//! Normalisations: of channels by stored moments, of features by their own, of scores to shares.

use model::ops::{BatchNorm, LayerNorm};

use super::value::{Value, misfit};
use crate::RepairError;

/// `(x - mean) / √(variance + ε) · weight + bias` per channel of an image; `tensors` are weight,
/// bias, mean and variance.
pub(super) fn batch_norm(
    op: &BatchNorm,
    mut x: Value,
    tensors: [&[f64]; 4],
    at: &str,
) -> Result<Value, RepairError> {
    let [channels, height, width] = x.image(at)?;
    if channels != op.channels {
        let expected = format!("[{}, h, w]", op.channels);
        return Err(misfit(at, expected, &x.shape));
    }
    let [weight, bias, mean, variance] = tensors;
    for (channel, plane) in x.numbers.chunks_exact_mut(height * width).enumerate() {
        let gain = weight[channel] / (variance[channel] + op.epsilon).sqrt();
        for x in plane {
            *x = (*x - mean[channel]) * gain + bias[channel];
        }
    }
    Ok(x)
}

/// `(x - mean(x)) / √(var(x) + ε) · weight + bias` over the last axis.
pub(super) fn layer_norm(
    op: &LayerNorm,
    mut x: Value,
    weight: &[f64],
    bias: &[f64],
    at: &str,
) -> Result<Value, RepairError> {
    x.check_features(op.features, at)?;
    let count = op.features as f64;
    for row in x.numbers.chunks_exact_mut(op.features) {
        let mean = row.iter().sum::<f64>() / count;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let deviation = (variance + op.epsilon).sqrt();
        for ((x, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
            *x = (*x - mean) / deviation * weight + bias;
        }
    }
    Ok(x)
}

/// `(x - mean(x)) / √(var(x) + ε)` over the last axis.
pub(super) fn standardise(mut x: Value, epsilon: f64, at: &str) -> Result<Value, RepairError> {
    let Some(&features) = x.shape.last().filter(|&&features| features > 0) else {
        return Err(misfit(at, "[.., features]", &x.shape));
    };
    let count = features as f64;
    for row in x.numbers.chunks_exact_mut(features) {
        let mean = row.iter().sum::<f64>() / count;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let deviation = (variance + epsilon).sqrt();
        row.iter_mut().for_each(|x| *x = (*x - mean) / deviation);
    }
    Ok(x)
}

/// The mean over the last axis, which keeps the extent 1.
pub(super) fn mean(x: &Value, at: &str) -> Result<Value, RepairError> {
    let Some(&features) = x.shape.last().filter(|&&features| features > 0) else {
        return Err(misfit(at, "[.., features]", &x.shape));
    };
    let mut shape = x.shape.clone();
    shape.pop();
    shape.push(1);
    let rows = x.numbers.chunks_exact(features);
    let means = rows.map(|row| row.iter().sum::<f64>() / features as f64);
    Ok(Value::new(&shape, means.collect()))
}

/// `x_j - log Σ_l exp(x_l)` over the last axis; NaN among the scores gives NaN for all.
pub(super) fn log_softmax(mut x: Value, at: &str) -> Result<Value, RepairError> {
    let Some(&features) = x.shape.last().filter(|&&features| features > 0) else {
        return Err(misfit(at, "[.., features]", &x.shape));
    };
    for row in x.numbers.chunks_exact_mut(features) {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
        let log = largest + sum.ln();
        row.iter_mut().for_each(|x| *x -= log);
    }
    Ok(x)
}

/// `exp(x_j) / Σ_l exp(x_l)` over the last axis; NaN among the scores gives NaN for all.
pub(super) fn softmax(mut x: Value, at: &str) -> Result<Value, RepairError> {
    let Some(&features) = x.shape.last().filter(|&&features| features > 0) else {
        return Err(misfit(at, "[.., features]", &x.shape));
    };
    for row in x.numbers.chunks_exact_mut(features) {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.iter_mut().for_each(|x| *x = (*x - largest).exp());
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|x| *x /= sum);
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_normalised_by_stored_moments() {
        let op = BatchNorm {
            weight: "w".into(),
            bias: "b".into(),
            mean: "m".into(),
            variance: "v".into(),
            channels: 2,
            epsilon: 1.0,
        };
        let x = Value::new(&[2, 1, 2], vec![1.0, 3.0, 5.0, 7.0]);
        let tensors: [&[f64]; 4] = [&[2.0, 1.0], &[0.5, 0.0], &[1.0, 5.0], &[3.0, 0.0]];
        let y = batch_norm(&op, x, tensors, "norm").unwrap();
        assert_eq!(y.numbers, [0.5, 2.5, 0.0, 2.0]);
    }

    #[test]
    fn features_are_normalised_by_their_own_moments() {
        let op = LayerNorm {
            weight: "w".into(),
            bias: "b".into(),
            features: 2,
            epsilon: 0.0,
        };
        let x = Value::new(&[2, 2], vec![1.0, 3.0, -5.0, -1.0]);
        let y = layer_norm(&op, x, &[1.0, 2.0], &[0.0, 10.0], "norm").unwrap();
        assert_eq!(y.numbers, [-1.0, 12.0, -1.0, 12.0]);
    }

    #[test]
    fn shares_add_up_and_large_scores_do_not_overflow() {
        let x = Value::new(&[2, 2], vec![1000.0, 1000.0, 0.0, 3.0f64.ln()]);
        let y = softmax(x, "softmax").unwrap();
        for (got, expected) in y.numbers.iter().zip([0.5, 0.5, 0.25, 0.75]) {
            assert!((got - expected).abs() < 1e-15, "{got} {expected}");
        }
    }

    #[test]
    fn one_bad_score_spoils_its_row_only() {
        for bad in [f64::NAN, f64::INFINITY] {
            let x = Value::new(&[2, 2], vec![bad, 0.0, 0.0, 0.0]);
            let y = softmax(x, "softmax").unwrap();
            assert!(y.numbers[0].is_nan(), "{:?}", y.numbers);
            assert_eq!(y.numbers[2..], [0.5, 0.5]);
        }
    }
}
