//! Normalisations: of channels by stored moments or their own, of features by their own, of scores
//! to shares.

use super::arithmetic::{expanded, larger};
use super::error::OnnxError;
use super::operators::{Call, Operator};
use super::tensor::Tensor;

pub(super) const OPERATORS: &[Operator] = &[
    // Outputs beyond the first are moments that training collects.
    Operator::new(
        "BatchNormalization",
        5,
        5,
        &["epsilon", "momentum", "spatial"],
        batch,
    )
    .until(8),
    Operator::new("BatchNormalization", 5, 5, &["epsilon", "momentum"], batch)
        .since(9)
        .until(13),
    Operator::new(
        "BatchNormalization",
        5,
        5,
        &["epsilon", "momentum", "training_mode"],
        batch,
    )
    .since(14),
    Operator::new("InstanceNormalization", 3, 3, &["epsilon"], instance),
    Operator::new(
        "LayerNormalization",
        2,
        3,
        &["axis", "epsilon", "stash_type"],
        layer,
    )
    .since(17)
    .with_results(3),
    Operator::new("Softmax", 1, 1, &["axis"], |call| shares(call, softmax)),
    Operator::new("LogSoftmax", 1, 1, &["axis"], |call| {
        shares(call, log_softmax)
    }),
];

/// The default of `epsilon`, a float of the specification: f32.
const EPSILON: f32 = 1e-5;

/// `(x - mean) / √(variance + ε) · scale + bias` per channel.
fn batch(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    if !call.flag("spatial", true)? {
        return Err(call.misfit("`spatial` of 1", "0"));
    }
    if call.flag("training_mode", false)? {
        return Err(call.misfit("`training_mode` of 0", "1"));
    }
    let (x, numbers) = call.floats(0)?;
    let [scale, bias, mean, variance] = [1, 2, 3, 4].map(|index| per_channel(call, x, index));
    let (scale, bias, mean, variance) = (scale?, bias?, mean?, variance?);
    let epsilon = call.float_attribute("epsilon", EPSILON.into())?;
    let mut y = numbers.to_vec();
    for (plane, channel) in y.chunks_exact_mut(plane(x)).zip((0..scale.len()).cycle()) {
        let gain = scale[channel] / (variance[channel] + epsilon).sqrt();
        plane
            .iter_mut()
            .for_each(|x| *x = (*x - mean[channel]) * gain + bias[channel]);
    }
    Ok(vec![Tensor::floats(&x.shape, x.element, y)])
}

/// The same with the moments of each plane of the value itself.
fn instance(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (x, numbers) = call.floats(0)?;
    if x.shape.len() < 3 {
        return Err(call.misshapen("[batch, channels, ..] with spatial axes", &x.shape));
    }
    let (scale, bias) = (per_channel(call, x, 1)?, per_channel(call, x, 2)?);
    let epsilon = call.float_attribute("epsilon", EPSILON.into())?;
    let mut y = numbers.to_vec();
    for (plane, channel) in y.chunks_exact_mut(plane(x)).zip((0..scale.len()).cycle()) {
        let (mean, deviation) = moments(plane, epsilon);
        let normal = |x: f64| (x - mean) / deviation * scale[channel] + bias[channel];
        plane.iter_mut().for_each(|x| *x = normal(*x));
    }
    Ok(vec![Tensor::floats(&x.shape, x.element, y)])
}

/// An operand with one number for every channel of `x`, `[batch, channels, ..]`.
fn per_channel<'a>(call: &Call<'a>, x: &Tensor, index: usize) -> Result<&'a [f64], OnnxError> {
    let (operand, numbers) = call.floats(index)?;
    match x.shape.as_slice() {
        [_, channels, ..] if operand.shape == [*channels] => Ok(numbers),
        [_, channels, ..] => Err(call.misshapen(format!("[{channels}]"), &operand.shape)),
        _ => Err(call.misshapen("[batch, channels, ..]", &x.shape)),
    }
}

/// Elements of a channel of one example; at least one, so that empty values have no planes.
fn plane(x: &Tensor) -> usize {
    x.shape.iter().skip(2).product::<usize>().max(1)
}

/// The mean and `√(variance + ε)` of some numbers.
fn moments(numbers: &[f64], epsilon: f64) -> (f64, f64) {
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    (mean, (variance + epsilon).sqrt())
}

/// `(x - mean(x)) / √(var(x) + ε) · scale + bias` over the axes from `axis` on; also the means and
/// the reciprocals of the deviations.
fn layer(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let (x, numbers) = call.floats(0)?;
    let axis = call.axis(call.int_attribute("axis", -1)?, x.shape.len())?;
    let epsilon = call.float_attribute("epsilon", EPSILON.into())?;
    if call.int_attribute("stash_type", 1)? != 1 {
        return Err(call.misfit("`stash_type` of 1", "another"));
    }
    let count: usize = x.shape[axis..].iter().product();
    if count == 0 {
        return Err(call.misshapen("features, at least one", &x.shape));
    }
    let features = &x.shape[axis..];
    let scale = expanded(call, call.input(1)?, features)?;
    let bias = call
        .optional(2)
        .map(|bias| expanded(call, bias, features))
        .transpose()?;
    let scale = call.floats_of(&scale)?;
    let bias = bias.as_ref().map(|bias| call.floats_of(bias)).transpose()?;
    let (mut y, mut means, mut inverses) = (numbers.to_vec(), Vec::new(), Vec::new());
    for row in y.chunks_exact_mut(count) {
        let (mean, deviation) = moments(row, epsilon);
        for (feature, x) in row.iter_mut().enumerate() {
            let shift = bias.map_or(0.0, |bias| bias[feature]);
            *x = (*x - mean) / deviation * scale[feature] + shift;
        }
        means.push(mean);
        inverses.push(1.0 / deviation);
    }
    let mut kept = x.shape.clone();
    kept[axis..].fill(1);
    let of_rows = |numbers| Tensor::floats(&kept, x.element, numbers);
    let y = Tensor::floats(&x.shape, x.element, y);
    Ok(vec![y, of_rows(means), of_rows(inverses)])
}

/// A function of the scores along an axis; before version 13 of those in all axes from it on.
fn shares(call: &Call<'_>, map: fn(&mut [f64])) -> Result<Vec<Tensor>, OnnxError> {
    let (x, numbers) = call.floats(0)?;
    let joined = call.version < 13;
    let axis = call.int_attribute("axis", if joined { 1 } else { -1 })?;
    let axis = call.axis(axis, x.shape.len())?;
    let count: usize = match joined {
        true => x.shape[axis..].iter().product(),
        false => x.shape[axis],
    };
    if x.len() == 0 {
        return Ok(vec![x.clone()]);
    }
    let stride: usize = if joined {
        1
    } else {
        x.shape[axis + 1..].iter().product()
    };
    let mut y = numbers.to_vec();
    let mut scores = Vec::with_capacity(count);
    for block in y.chunks_exact_mut(count * stride) {
        for first in 0..stride {
            scores.clear();
            scores.extend(block[first..].iter().step_by(stride));
            map(&mut scores);
            let places = block[first..].iter_mut().step_by(stride);
            places.zip(&scores).for_each(|(y, score)| *y = *score);
        }
    }
    Ok(vec![Tensor::floats(&x.shape, x.element, y)])
}

/// `exp(x_j) / Σ_l exp(x_l)`: a score of -∞ has no share; NaN, or nothing but -∞, gives NaN.
fn softmax(scores: &mut [f64]) {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, larger);
    scores.iter_mut().for_each(|x| *x = (*x - largest).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|x| *x /= sum);
}

/// `x_j - ln Σ_l exp(x_l)`
fn log_softmax(scores: &mut [f64]) {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, larger);
    let sum: f64 = scores.iter().map(|x| (x - largest).exp()).sum();
    scores
        .iter_mut()
        .for_each(|x| *x = (*x - largest) - sum.ln());
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Attribute;
    use super::super::testing::{assert_near, float, floats, int, one, refused, run_for};

    fn epsilon(epsilon: f64) -> (&'static str, Attribute) {
        ("epsilon", Attribute::Float(epsilon))
    }

    #[test]
    fn stored_moments_normalise_every_channel() {
        let x = float(&[2, 2, 1], &[1.0, 2.0, 3.0, 4.0]);
        let [scale, bias, mean, variance] =
            [[2.0, 3.0], [0.5, 0.0], [1.0, 0.0], [3.0, 0.0]].map(|x| float(&[2], &x));
        let operands = [&x, &scale, &bias, &mean, &variance];
        let y = floats("BatchNormalization", 9, &[epsilon(1.0)], &operands);
        assert_eq!(y, [0.5, 6.0, 2.5, 12.0]);
        let flat = x.reshaped(&[2, 2]);
        let operands = [&flat, &scale, &bias, &mean, &variance];
        assert_eq!(
            floats("BatchNormalization", 15, &[epsilon(1.0)], &operands),
            y
        );
        let training = [("training_mode", Attribute::Int(1))];
        assert!(refused("BatchNormalization", 14, &training, &operands).contains("training_mode"));
        let pixels = [("spatial", Attribute::Int(0))];
        assert!(refused("BatchNormalization", 7, &pixels, &operands).contains("`spatial` of 1"));
        let wide = float(&[3], &[0.0; 3]);
        let operands = [&x, &scale, &wide, &mean, &variance];
        assert!(refused("BatchNormalization", 9, &[], &operands).contains("expected [2]"));
    }

    #[test]
    fn planes_are_normalised_by_their_own_moments() {
        let x = float(&[1, 2, 2], &[1.0, 3.0, 5.0, 5.0]);
        let (scale, bias) = (float(&[2], &[2.0, 1.0]), float(&[2], &[0.5, 7.0]));
        let y = floats(
            "InstanceNormalization",
            6 + 1,
            &[epsilon(3.0)],
            &[&x, &scale, &bias],
        );
        assert_eq!(y, [-0.5, 1.5, 7.0, 7.0]);
    }

    #[test]
    fn features_from_an_axis_on_are_normalised() {
        let x = float(&[2, 1, 2], &[1.0, 3.0, 0.0, 8.0]);
        let scale = float(&[2], &[2.0, 1.0]);
        let bias = float(&[1], &[0.5]);
        let operands = [Some(&x), Some(&scale), Some(&bias)];
        let attributes = [epsilon(0.0), ("axis", Attribute::Int(1))];
        let all = run_for("LayerNormalization", 17, &attributes, &operands, 3).unwrap();
        assert_eq!(all[0], float(&[2, 1, 2], &[-1.5, 1.5, -1.5, 1.5]));
        assert_eq!(all[1], float(&[2, 1, 1], &[2.0, 4.0]));
        assert_eq!(all[2], float(&[2, 1, 1], &[1.0, 0.25]));
        let bad = [Some(&x), Some(&x)];
        assert!(run_for("LayerNormalization", 17, &attributes, &bad, 1).is_err());
    }

    #[test]
    fn shares_are_of_one_axis_or_before_version_13_of_all_from_it_on() {
        let x = float(&[1, 2, 2], &[0.0, 3f64.ln(), 0.0, 0.0]);
        let one_axis = floats("Softmax", 13, &[], &[&x]);
        assert_near(&one_axis, &[0.25, 0.75, 0.5, 0.5], 1e-15);
        let columns = floats("Softmax", 13, &[("axis", Attribute::Int(1))], &[&x]);
        assert_near(&columns, &[0.5, 0.75, 0.5, 0.25], 1e-15);
        let joined = floats("Softmax", 11, &[], &[&x]);
        assert_near(&joined, &[1.0 / 6.0, 0.5, 1.0 / 6.0, 1.0 / 6.0], 1e-15);
        let logs: Vec<f64> = joined.iter().map(|x| x.ln()).collect();
        assert_near(&floats("LogSoftmax", 11, &[], &[&x]), &logs, 1e-15);
        let last = [("axis", Attribute::Int(-1))];
        assert_near(&floats("Softmax", 11, &last, &[&x]), &one_axis, 1e-15);
        assert!(refused("Softmax", 13, &[("axis", Attribute::Int(3))], &[&x]).contains("axis"));
        assert!(refused("Softmax", 13, &[], &[&float(&[], &[0.0])]).contains("axis"));
        assert!(refused("Softmax", 13, &[], &[&int(&[1], &[0])]).contains("floats"));
    }

    #[test]
    fn a_masked_score_has_no_share_and_large_ones_do_not_overflow() {
        let minus = f64::NEG_INFINITY;
        let x = float(&[2, 3], &[0.0, minus, 3f64.ln(), 1e4, 1e4, minus]);
        let y = floats("Softmax", 13, &[], &[&x]);
        assert_near(&y, &[0.25, 0.0, 0.75, 0.5, 0.5, 0.0], 1e-15);
        let logs = floats("LogSoftmax", 13, &[], &[&x]);
        assert_eq!((logs[1], logs[3]), (minus, -2f64.ln()));
        let nothing = one("Softmax", 13, &[], &[&float(&[1, 0], &[])]);
        assert_eq!(nothing.shape, [1, 0]);
        let all_masked = floats("Softmax", 13, &[], &[&float(&[1, 2], &[minus; 2])]);
        assert!(all_masked.iter().all(|y| y.is_nan()));
    }
}
