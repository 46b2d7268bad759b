//! What a repair minimises.

use std::fmt;
use std::str::FromStr;

use optim::norms::Norm;

use crate::RepairError;

/// A measure of the change Δ = (W_k, b_k, later biases).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum Objective {
    /// Half the expected squared change of the outputs on the guard set, to first order, with
    /// damped factors: `½ Δᵀ(Ã ⊗ G̃)Δ` (see [`Metric`](crate::Metric)).
    #[default]
    #[serde(rename = "guarded")]
    Guarded,
    /// `½ ‖Δ‖₂²`
    #[serde(rename = "l2")]
    L2,
    /// `‖Δ‖₁`
    #[serde(rename = "l1")]
    L1,
    /// `‖Δ‖∞`
    #[serde(rename = "linf")]
    LInf,
    /// `‖Δ‖₁/n + ‖Δ‖∞`
    #[serde(rename = "l1+linf")]
    L1PlusLInf,
    /// `‖u‖₁/n + ‖u‖∞` over u = output changes and Δ concatenated: the objective
    /// of APRNN's experiment 1 (Tao, Nawas, Mitchell & Thakur, PLDI 2023).
    #[serde(rename = "aprnn")]
    Aprnn,
}

impl Objective {
    /// Every objective, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Guarded,
        Self::L2,
        Self::L1,
        Self::LInf,
        Self::L1PlusLInf,
        Self::Aprnn,
    ];

    /// The name used in plans and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::L2 => "l2",
            Self::L1 => "l1",
            Self::LInf => "linf",
            Self::L1PlusLInf => "l1+linf",
            Self::Aprnn => "aprnn",
        }
    }

    /// Whether it is a squared Euclidean norm in some metric, which both methods
    /// minimise; the others are linear programs for frozen patterns.
    pub fn is_quadratic(self) -> bool {
        matches!(self, Self::Guarded | Self::L2)
    }

    /// The norm of a linear program that rows and columns are generated for.
    pub(crate) fn norm(self) -> Option<Norm> {
        match self {
            Self::L1 => Some(Norm::L1),
            Self::LInf => Some(Norm::LInf),
            Self::L1PlusLInf => Some(Norm::L1PlusLInf),
            Self::Guarded | Self::L2 | Self::Aprnn => None,
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Objective {
    type Err = RepairError;

    fn from_str(name: &str) -> Result<Self, RepairError> {
        Self::ALL
            .into_iter()
            .find(|objective| objective.name() == name)
            .ok_or_else(|| RepairError::Option {
                option: "objective",
                expected: format!("one of {}", Self::ALL.map(Self::name).join(", ")),
                got: name.to_owned(),
            })
    }
}

/// How activations behind the start layer are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Their pattern is kept: exact, optimal, and infeasibility is proved (APRNN).
    Frozen,
    /// Their pattern may change: linearise, solve, step, repeat. Where the outputs are affine in the
    /// layer there is no pattern, and the repair is the one quadratic program that the other method solves.
    #[default]
    Sequential,
}

impl Method {
    /// Every method, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Frozen, Self::Sequential];

    /// The name used in plans and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Sequential => "sequential",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = RepairError;

    fn from_str(name: &str) -> Result<Self, RepairError> {
        Self::ALL
            .into_iter()
            .find(|method| method.name() == name)
            .ok_or_else(|| RepairError::Option {
                option: "method",
                expected: format!("one of {}", Self::ALL.map(Self::name).join(", ")),
                got: name.to_owned(),
            })
    }
}
