//! Functions of one number.

use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};

use super::error::OnnxError;
use super::operators::{Call, Operator};
use super::tensor::{Data, Tensor};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Relu", 1, 1, &[], relu),
    Operator::new("LeakyRelu", 1, 1, &["alpha"], |call| {
        let alpha = call.float_attribute("alpha", 0.01f32.into())?;
        call.each(|x| if x < 0.0 { alpha * x } else { x })
    }),
    Operator::new("Elu", 1, 1, &["alpha"], |call| {
        let alpha = call.float_attribute("alpha", 1.0)?;
        call.each(|x| if x < 0.0 { alpha * x.exp_m1() } else { x })
    }),
    Operator::new("Selu", 1, 1, &["alpha", "gamma"], selu),
    Operator::new("Tanh", 1, 1, &[], |call| call.each(f64::tanh)),
    Operator::new("Sigmoid", 1, 1, &[], |call| {
        call.each(|x| 1.0 / (1.0 + (-x).exp()))
    }),
    Operator::new("HardSigmoid", 1, 1, &["alpha", "beta"], |call| {
        let alpha = call.float_attribute("alpha", 0.2f32.into())?;
        let beta = call.float_attribute("beta", 0.5)?;
        call.each(|x| (alpha * x + beta).clamp(0.0, 1.0))
    }),
    Operator::new("HardSwish", 1, 1, &[], |call| {
        call.each(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0))
    })
    .since(14),
    Operator::new("Gelu", 1, 1, &["approximate"], gelu).since(20),
    Operator::new("Mish", 1, 1, &[], |call| {
        call.each(|x| x * softplus(x).tanh())
    })
    .since(18),
    Operator::new("Softplus", 1, 1, &[], |call| call.each(softplus)),
    Operator::new("Softsign", 1, 1, &[], |call| {
        call.each(|x| x / (1.0 + x.abs()))
    }),
    Operator::new("Erf", 1, 1, &[], |call| call.each(libm::erf)).since(9),
    Operator::new("Exp", 1, 1, &[], |call| call.each(f64::exp)),
    Operator::new("Log", 1, 1, &[], |call| call.each(f64::ln)),
    Operator::new("Sqrt", 1, 1, &[], |call| call.each(f64::sqrt)),
    Operator::new("Reciprocal", 1, 1, &[], |call| call.each(f64::recip)),
    Operator::new("Sin", 1, 1, &[], |call| call.each(f64::sin)),
    Operator::new("Cos", 1, 1, &[], |call| call.each(f64::cos)),
    Operator::new("Floor", 1, 1, &[], |call| call.each(f64::floor)),
    Operator::new("Ceil", 1, 1, &[], |call| call.each(f64::ceil)),
    // Halves go to the even neighbour.
    Operator::new("Round", 1, 1, &[], |call| call.each(f64::round_ties_even)).since(11),
    Operator::new("Neg", 1, 1, &[], |call| {
        either(call, |x| -x, i64::checked_neg)
    }),
    Operator::new("Abs", 1, 1, &[], |call| {
        either(call, f64::abs, i64::checked_abs)
    }),
    Operator::new("Sign", 1, 1, &[], |call| {
        either(call, sign, |x| Some(x.signum()))
    })
    .since(9),
];

/// A function of floats or of integers.
fn either(
    call: &Call<'_>,
    floats: fn(f64) -> f64,
    ints: fn(i64) -> Option<i64>,
) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    let Data::Ints(numbers) = &*x.data else {
        return call.each(floats);
    };
    let mapped = numbers
        .iter()
        .map(|&number| call.in_range(ints(number), x.element));
    let mapped = mapped.collect::<Result<_, _>>()?;
    Ok(vec![Tensor::ints(&x.shape, x.element, mapped)])
}

/// `max(x, 0)`, NaN staying NaN; integers are allowed from version 14 on.
fn relu(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    let x = call.input(0)?;
    if !x.element.is_float() && call.version < 14 {
        return Err(call.misfit("floats", x.element.name()));
    }
    either(call, |x| if x < 0.0 { 0.0 } else { x }, |x| Some(x.max(0)))
}

fn selu(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    // The defaults are floats of the specification: f32.
    let alpha = call.float_attribute("alpha", 1.673_263_2_f32.into())?;
    let gamma = call.float_attribute("gamma", 1.050_701_f32.into())?;
    call.each(|x| gamma * if x <= 0.0 { alpha * x.exp_m1() } else { x })
}

/// `x Φ(x)`, or `x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2`.
fn gelu(call: &Call<'_>) -> Result<Vec<Tensor>, OnnxError> {
    match call.text_attribute("approximate", "none")? {
        "none" => call.each(|x| 0.5 * x * (1.0 + libm::erf(x / SQRT_2))),
        "tanh" => call.each(|x| {
            let root = FRAC_2_SQRT_PI / SQRT_2;
            0.5 * x * (1.0 + (root * (x + 0.044715 * x.powi(3))).tanh())
        }),
        other => Err(call.misfit("`approximate` of none or tanh", other)),
    }
}

/// `ln(1 + exp(x))` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// -1, 0 or 1; NaN stays NaN.
fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

#[cfg(test)]
mod tests {
    use super::super::attributes::Attribute;
    use super::super::testing::{float, floats, int, one, refused};

    #[test]
    fn activations_have_their_values() {
        let e = std::f64::consts::E;
        let x = float(&[4], &[-1.0, 0.0, 1.0, 4.0]);
        let cases: [(&str, i64, [f64; 4]); 12] = [
            ("Relu", 7, [0.0, 0.0, 1.0, 4.0]),
            ("LeakyRelu", 7, [-f64::from(0.01f32), 0.0, 1.0, 4.0]),
            ("Elu", 7, [1.0 / e - 1.0, 0.0, 1.0, 4.0]),
            (
                "Sigmoid",
                7,
                [
                    1.0 / (1.0 + e),
                    0.5,
                    e / (1.0 + e),
                    1.0 / (1.0 + (-4f64).exp()),
                ],
            ),
            (
                "HardSigmoid",
                7,
                [0.5 - f64::from(0.2f32), 0.5, 0.5 + f64::from(0.2f32), 1.0],
            ),
            ("HardSwish", 14, [-1.0 / 3.0, 0.0, 2.0 / 3.0, 4.0]),
            (
                "Softplus",
                7,
                [
                    (1.0 + 1.0 / e).ln(),
                    2f64.ln(),
                    (1.0 + e).ln(),
                    4.018149927917809,
                ],
            ),
            ("Softsign", 7, [-0.5, 0.0, 0.5, 0.8]),
            (
                "Gelu",
                20,
                [
                    -0.15865525393145707,
                    0.0,
                    0.8413447460685429,
                    3.9998733150326675,
                ],
            ),
            (
                "Mish",
                18,
                [
                    -0.30340146137410895,
                    0.0,
                    0.8650983882673103,
                    3.9974128069762385,
                ],
            ),
            (
                "Erf",
                9,
                [
                    -0.8427007929497149,
                    0.0,
                    0.8427007929497149,
                    0.9999999845827421,
                ],
            ),
            ("Sign", 9, [-1.0, 0.0, 1.0, 1.0]),
        ];
        for (operator, version, expected) in cases {
            for (y, expected) in floats(operator, version, &[], &[&x]).iter().zip(expected) {
                assert!((y - expected).abs() < 1e-13, "{operator}: {y} {expected}");
            }
        }
    }

    #[test]
    fn attributes_change_activations() {
        let x = float(&[2], &[-2.0, 3.0]);
        let alpha = |alpha| [("alpha", Attribute::Float(alpha))];
        assert_eq!(floats("LeakyRelu", 16, &alpha(0.5), &[&x]), [-1.0, 3.0]);
        let elu = floats("Elu", 7, &alpha(2.0), &[&x]);
        assert!(
            (elu[0] - 2.0 * ((-2f64).exp() - 1.0)).abs() < 1e-15,
            "{elu:?}"
        );
        let both = [
            ("alpha", Attribute::Float(2.0)),
            ("gamma", Attribute::Float(3.0)),
        ];
        let selu = floats("Selu", 7, &both, &[&x]);
        assert!(
            (selu[0] - 3.0 * elu[0]).abs() < 1e-15 && selu[1] == 9.0,
            "{selu:?}"
        );
        let tanh = [("approximate", Attribute::Text("tanh".into()))];
        let gelu = floats("Gelu", 20, &tanh, &[&float(&[1], &[1.0])]);
        assert!((gelu[0] - 0.8411919906082768).abs() < 1e-15, "{gelu:?}");
        let other = [("approximate", Attribute::Text("sigmoid".into()))];
        assert!(refused("Gelu", 20, &other, &[&x]).contains("got sigmoid"));
    }

    #[test]
    fn nan_passes_and_infinities_have_limits() {
        let nan = float(&[1], &[f64::NAN]);
        for operator in ["Relu", "HardSigmoid", "Softplus", "Sign", "Selu", "Elu"] {
            assert!(floats(operator, 13, &[], &[&nan])[0].is_nan(), "{operator}");
        }
        let ends = float(&[2], &[f64::NEG_INFINITY, f64::INFINITY]);
        assert_eq!(floats("Sigmoid", 13, &[], &[&ends]), [0.0, 1.0]);
        assert_eq!(floats("Softplus", 13, &[], &[&ends]), [0.0, f64::INFINITY]);
    }

    #[test]
    fn halves_are_rounded_to_even() {
        let x = float(&[5], &[0.5, 1.5, 2.5, -0.5, -1.5]);
        assert_eq!(floats("Round", 11, &[], &[&x]), [0.0, 2.0, 2.0, 0.0, -2.0]);
    }

    #[test]
    fn integers_have_a_sign_and_a_size() {
        let x = int(&[3], &[-3, 0, 5]);
        assert_eq!(one("Abs", 13, &[], &[&x]), int(&[3], &[3, 0, 5]));
        assert_eq!(one("Neg", 13, &[], &[&x]), int(&[3], &[3, 0, -5]));
        assert_eq!(one("Relu", 14, &[], &[&x]), int(&[3], &[0, 0, 5]));
        assert!(refused("Relu", 13, &[], &[&x]).contains("got int64"));
        assert!(refused("Tanh", 13, &[], &[&x]).contains("got int64"));
        assert!(refused("Neg", 13, &[], &[&int(&[1], &[i64::MIN])]).contains("range of int64"));
    }
}
