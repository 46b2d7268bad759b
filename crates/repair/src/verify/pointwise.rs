//! Functions of single numbers, sums and units.

use model::ops::scaling::Direction;
use model::ops::{Constants, Rearrange, Scaling};
use network::Activation;

use super::value::{Value, misfit};
use crate::RepairError;

/// The activation of one number; NaN gives NaN.
pub(super) fn activate(activation: Activation, z: f64) -> f64 {
    match activation {
        // `max` would turn NaN into 0.
        Activation::Relu if z < 0.0 => 0.0,
        Activation::Relu => z,
        Activation::LeakyRelu { slope } if z < 0.0 => slope * z,
        Activation::LeakyRelu { .. } => z,
        Activation::Hardswish => z * (z + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Tanh => z.tanh(),
        Activation::Sigmoid => 1.0 / (1.0 + (-z).exp()),
        Activation::Gelu => 0.5 * z * (1.0 + libm::erf(z / std::f64::consts::SQRT_2)),
        Activation::Silu => z / (1.0 + (-z).exp()),
        Activation::Elu { alpha } => elu(z, alpha),
        Activation::Selu => Activation::SELU_GAIN * elu(z, Activation::SELU_ALPHA),
        Activation::GeluTanh => {
            let root = (2.0 / std::f64::consts::PI).sqrt();
            0.5 * z * (1.0 + (root * (z + 0.044_715 * z.powi(3))).tanh())
        }
        // For large z the exponential would overflow; NaN goes through the second term.
        Activation::Softplus if z > 0.0 => z + (-z).exp().ln_1p(),
        Activation::Softplus => z.exp().ln_1p(),
        Activation::Erf => libm::erf(z),
        Activation::Exp => z.exp(),
        Activation::Log => z.ln(),
        Activation::Sqrt => z.sqrt(),
        Activation::Reciprocal => 1.0 / z,
        Activation::Abs => z.abs(),
        Activation::Power { exponent } => z.powf(exponent),
    }
}

/// `z` right of zero, `alpha · (exp(z) - 1)` left of it.
fn elu(z: f64, alpha: f64) -> f64 {
    if z < 0.0 { alpha * z.exp_m1() } else { z }
}

/// `(x - mean) / range` or `x · range + mean` on the last axis; one mean and range may serve all.
pub(super) fn scale_units(
    op: &Scaling,
    mut x: Value,
    mean: &[f64],
    range: &[f64],
    at: &str,
) -> Result<Value, RepairError> {
    if op.features != 1 {
        x.check_features(op.features, at)?;
    }
    for row in x.numbers.chunks_exact_mut(op.features) {
        for ((x, mean), range) in row.iter_mut().zip(mean).zip(range) {
            *x = match op.direction {
                Direction::Normalise => (*x - mean) / range,
                Direction::Restore => *x * range + mean,
            };
        }
    }
    Ok(x)
}

/// `combine` of the numbers of two values of one rank; extents of one are repeated.
pub(super) fn pairwise(
    mut a: Value,
    b: &Value,
    combine: impl Fn(f64, f64) -> f64,
    at: &str,
) -> Result<Value, RepairError> {
    if a.shape == b.shape {
        let pairs = a.numbers.iter_mut().zip(&b.numbers);
        pairs.for_each(|(a, b)| *a = combine(*a, *b));
        return Ok(a);
    }
    let pairs = || a.shape.iter().zip(&b.shape);
    let fits = |(a, b): (&usize, &usize)| a == b || *a == 1 || *b == 1;
    if a.shape.len() != b.shape.len() || !pairs().all(fits) {
        return Err(misfit(at, format!("{:?}", a.shape), &b.shape));
    }
    let shape: Vec<usize> = pairs().map(|(&a, &b)| if a == 1 { b } else { a }).collect();
    let entry = |index| {
        let (own, other) = (
            repeated(index, &shape, &a.shape),
            repeated(index, &shape, &b.shape),
        );
        combine(a.numbers[own], b.numbers[other])
    };
    let numbers = (0..shape.iter().product()).map(entry).collect();
    Ok(Value::new(&shape, numbers))
}

/// `combine` of every number and the constant that stands for it.
pub(super) fn with_constants(
    constants: &Constants,
    mut x: Value,
    combine: impl Fn(f64, f64) -> f64,
    at: &str,
) -> Result<Value, RepairError> {
    let constants = constants.numbers();
    if constants.len() != x.numbers.len() {
        return Err(misfit(at, format!("{} numbers", constants.len()), &x.shape));
    }
    let pairs = x.numbers.iter_mut().zip(constants);
    pairs.for_each(|(x, c)| *x = combine(*x, *c));
    Ok(x)
}

/// The numbers where `op` puts them.
pub(super) fn rearrange(op: &Rearrange, x: Value, at: &str) -> Result<Value, RepairError> {
    if x.numbers.len() != op.reads {
        return Err(misfit(at, format!("{} numbers", op.reads), &x.shape));
    }
    let Some(sources) = &op.sources else {
        return Ok(Value::new(&op.shape, x.numbers));
    };
    let copied = |&source: &u32| match source {
        Rearrange::FILL => op.fill,
        source => x.numbers[source as usize],
    };
    Ok(Value::new(&op.shape, sources.iter().map(copied).collect()))
}

/// The index, in a value of extents `own`, of what stands at `index` once it is repeated to `shape`.
fn repeated(mut index: usize, shape: &[usize], own: &[usize]) -> usize {
    let (mut position, mut stride) = (0, 1);
    for (&extent, &own) in shape.iter().zip(own).rev() {
        position += (index % extent).min(own - 1) * stride;
        index /= extent;
        stride *= own;
    }
    position
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_equal_known_values() {
        let leaky = Activation::LeakyRelu { slope: 0.1 };
        for (activation, z, y) in [
            (Activation::Relu, -2.0, 0.0),
            (Activation::Relu, 2.0, 2.0),
            (leaky, -2.0, -0.2),
            (leaky, 3.0, 3.0),
            (Activation::Hardswish, 1.0, 2.0 / 3.0),
            (Activation::Hardswish, -4.0, 0.0),
            (Activation::Hardswish, 5.0, 5.0),
            (Activation::Tanh, 0.5, 0.462_117_157_260_009_8),
            (Activation::Sigmoid, 1.0, 0.731_058_578_630_004_9),
            (Activation::Gelu, 1.0, 0.841_344_746_068_542_9),
            (Activation::Silu, -1.0, -0.268_941_421_369_995_1),
        ] {
            let got = activate(activation, z);
            assert!((got - y).abs() < 1e-15, "{activation:?} at {z}: {got}");
        }
    }

    #[test]
    fn no_activation_hides_nan() {
        for activation in Activation::NAMED {
            assert!(activate(activation, f64::NAN).is_nan(), "{activation:?}");
        }
    }

    #[test]
    fn units_are_changed_and_restored() {
        let mut op = Scaling {
            mean: "mean".into(),
            range: "range".into(),
            features: 2,
            direction: Direction::Normalise,
        };
        let x = Value::new(&[2], vec![3.0, 10.0]);
        let y = scale_units(&op, x.clone(), &[1.0, 2.0], &[2.0, 4.0], "in").unwrap();
        assert_eq!(y.numbers, [1.0, 2.0]);
        op.direction = Direction::Restore;
        assert_eq!(
            scale_units(&op, y, &[1.0, 2.0], &[2.0, 4.0], "out").unwrap(),
            x
        );
        op.features = 1;
        let one = scale_units(&op, x, &[1.0], &[2.0], "out").unwrap();
        assert_eq!(one.numbers, [7.0, 21.0]);
    }

    #[test]
    fn extents_of_one_are_repeated_in_sums() {
        let scores = Value::new(&[2, 2, 2], (1..=8).map(f64::from).collect());
        let mask = Value::new(&[1, 1, 2], vec![0.0, -100.0]);
        let expected = [1.0, -98.0, 3.0, -96.0, 5.0, -94.0, 7.0, -92.0];
        let sum = |a: f64, b: f64| a + b;
        let both = pairwise(scores.clone(), &mask, sum, "sum").unwrap();
        assert_eq!(both.numbers, expected);
        let swapped = pairwise(mask, &scores, sum, "sum").unwrap();
        assert_eq!(swapped.numbers, expected);
        let other = Value::new(&[2, 2, 3], vec![0.0; 12]);
        let error = pairwise(scores, &other, sum, "sum").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("sum: expected shape [2, 2, 2]")
        );
    }
}
