//! Elementwise functions.
//!
//! A piecewise-linear one has, at every pre-activation where it is linear, a
//! [`Piece`]: the slope there and the half-line on which that slope holds. All
//! of them pass through the origin on every piece that is used here, so the
//! frozen function is `z ↦ slope · z`.

use std::str::FromStr;

use crate::ModelError;

/// An elementwise function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `max(z, 0)`
    Relu,
    /// `max(z, slope · z)`
    LeakyRelu {
        /// Slope left of zero.
        slope: f64,
    },
    /// `z · min(max(z + 3, 0), 6) / 6`
    Hardswish,
    /// Hyperbolic tangent.
    Tanh,
    /// `1 / (1 + exp(-z))`
    Sigmoid,
    /// `z · Φ(z)` with the error function.
    Gelu,
    /// `z / (1 + exp(-z))`
    Silu,
    /// `z` right of zero, `alpha · (exp(z) - 1)` left of it.
    Elu {
        /// Its limit on the left, with the sign reversed.
        alpha: f64,
    },
    /// `gain · elu(z)` with the `alpha` and `gain` of Klambauer et al. 2017.
    Selu,
    /// GELU with tanh in place of the error function:
    /// `z / 2 · (1 + tanh(√(2 / π) · (z + 0.044715 z³)))`.
    GeluTanh,
    /// `log(1 + exp(z))`
    Softplus,
    /// The error function.
    Erf,
    /// The exponential.
    Exp,
    /// The natural logarithm.
    Log,
    /// The square root.
    Sqrt,
    /// `1 / z`
    Reciprocal,
    /// `|z|`
    Abs,
    /// `z` to a power.
    Power {
        /// The exponent.
        exponent: f64,
    },
}

/// The linear piece of an activation at a pre-activation `z`: the function is
/// `slope · z` for every z with `side · z >= bound`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// Derivative on the piece.
    pub slope: f64,
    /// +1 for a piece that extends to the right, -1 to the left.
    pub side: f64,
    /// Where the piece ends, in units of `side · z`.
    pub bound: f64,
}

impl Piece {
    /// Whether the function is `slope · z` at `z`.
    pub fn holds(&self, z: f64) -> bool {
        self.side * z >= self.bound
    }
}

impl Activation {
    /// PyTorch's default slope of LeakyReLU.
    pub const LEAKY_SLOPE: f64 = 0.01;

    /// The limit of ELU that PyTorch and ONNX take when nothing is said.
    pub const ELU_ALPHA: f64 = 1.0;

    /// SELU's limit on the left, before its gain.
    pub const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

    /// SELU's slope right of zero.
    pub const SELU_GAIN: f64 = 1.050_700_987_355_480_5;

    /// The activations that a perceptron may name, in the order of the documentation.
    pub const NAMED: [Self; 11] = [
        Self::Relu,
        Self::LeakyRelu {
            slope: Self::LEAKY_SLOPE,
        },
        Self::Hardswish,
        Self::Tanh,
        Self::Sigmoid,
        Self::Gelu,
        Self::Silu,
        Self::Elu {
            alpha: Self::ELU_ALPHA,
        },
        Self::Selu,
        Self::GeluTanh,
        Self::Softplus,
    ];

    /// The name used in checkpoint metadata.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::Hardswish => "hardswish",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
            Self::Elu { .. } => "elu",
            Self::Selu => "selu",
            Self::GeluTanh => "gelu_tanh",
            Self::Softplus => "softplus",
            Self::Erf => "erf",
            Self::Exp => "exp",
            Self::Log => "log",
            Self::Sqrt => "sqrt",
            Self::Reciprocal => "reciprocal",
            Self::Abs => "abs",
            Self::Power { .. } => "power",
        }
    }

    /// Whether the function is made of linear pieces, at least somewhere.
    pub fn has_linear_pieces(&self) -> bool {
        self.pieces().is_some()
    }

    /// The linear pieces, the left one and the right one; `None` for a smooth function.
    pub fn pieces(&self) -> Option<[Piece; 2]> {
        let (slope, bound) = match *self {
            Self::Relu => (0.0, 0.0),
            Self::LeakyRelu { slope } => (slope, 0.0),
            Self::Abs => (-1.0, 0.0),
            Self::Hardswish => (0.0, 3.0),
            Self::Tanh
            | Self::Sigmoid
            | Self::Gelu
            | Self::Silu
            | Self::Elu { .. }
            | Self::Selu
            | Self::GeluTanh
            | Self::Softplus
            | Self::Erf
            | Self::Exp
            | Self::Log
            | Self::Sqrt
            | Self::Reciprocal
            | Self::Power { .. } => return None,
        };
        let left = Piece {
            slope,
            side: -1.0,
            bound,
        };
        let right = Piece {
            slope: 1.0,
            side: 1.0,
            bound,
        };
        Some([left, right])
    }

    /// The linear piece at `z`, if there is one. At a kink the right piece counts.
    pub fn piece(&self, z: f64) -> Option<Piece> {
        let [left, right] = self.pieces()?;
        [right, left].into_iter().find(|piece| piece.holds(z))
    }
}

/// By name; `leaky_relu:0.2` and `elu:0.5` say their numbers, which are the usual ones otherwise.
impl FromStr for Activation {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let (name, number) = match text.split_once(':') {
            Some((name, number)) => (name, Some(number.parse::<f64>().ok())),
            None => (text, None),
        };
        let mut named = Self::NAMED.into_iter();
        let named = named.find(|activation| activation.name() == name);
        let found = match (named, number) {
            (named, None) => named,
            (Some(Self::LeakyRelu { .. }), Some(Some(slope))) if (0.0..=1.0).contains(&slope) => {
                Some(Self::LeakyRelu { slope })
            }
            (Some(Self::Elu { .. }), Some(Some(alpha))) if (0.0..=f64::MAX).contains(&alpha) => {
                Some(Self::Elu { alpha })
            }
            _ => None,
        };
        found.ok_or_else(|| ModelError::Unknown {
            kind: "activation",
            name: text.to_owned(),
            known: Self::NAMED
                .map(|activation| activation.name().to_owned())
                .to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_where_the_slope_changes() {
        let relu = Activation::Relu;
        assert_eq!(
            relu.piece(2.0),
            Some(Piece {
                slope: 1.0,
                side: 1.0,
                bound: 0.0
            })
        );
        assert_eq!(
            relu.piece(-2.0),
            Some(Piece {
                slope: 0.0,
                side: -1.0,
                bound: 0.0
            })
        );
        let leaky = Activation::LeakyRelu { slope: 0.1 };
        assert_eq!(leaky.piece(-1.0).map(|p| p.slope), Some(0.1));
        assert_eq!(Activation::Hardswish.piece(0.5), None);
        assert_eq!(
            Activation::Hardswish.piece(-4.0),
            Some(Piece {
                slope: 0.0,
                side: -1.0,
                bound: 3.0
            })
        );
        assert_eq!(Activation::Gelu.piece(9.0), None);
    }

    #[test]
    fn names_may_say_their_numbers() {
        let read = |text: &str| text.parse::<Activation>().ok();
        assert_eq!(
            read("leaky_relu:0.2"),
            Some(Activation::LeakyRelu { slope: 0.2 })
        );
        assert_eq!(read("elu:0.5"), Some(Activation::Elu { alpha: 0.5 }));
        for wrong in ["leaky_relu:2", "elu:-1", "elu:NaN", "relu:1", "elu:", "x:1"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = "swish".parse::<Activation>().unwrap_err().to_string();
        assert!(error.contains("swish") && error.contains("silu"), "{error}");
    }
}
