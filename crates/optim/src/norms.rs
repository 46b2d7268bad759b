//! Norms of the unknown, their duals and their extreme points.
//!
//! Every norm here is a member of one family, over n entries:
//!
//! ```text
//! ||x|| = alpha ||x||_1 + beta ||x||_inf
//!
//!            alpha   beta
//! l1         1       0
//! linf       0       1
//! l1+linf    1/n     1
//! ```
//!
//! The extreme points of the unit ball ("atoms") have k entries of one magnitude
//! tau_k = 1 / (alpha k + beta) and zeros elsewhere. So the dual norm needs only
//! the entries of c in decreasing order of magnitude:
//!
//! ```text
//! ||c||* = max over k of (|c|_(1) + ... + |c|_(k)) / (alpha k + beta)
//! ```

use std::fmt;
use std::str::FromStr;

use crate::error::OptimError;
use crate::rows::{Shape, Unknown};

/// A norm of the change of the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Norm {
    /// Sum of absolute values: few entries change.
    L1,
    /// Largest absolute value: no entry changes much.
    LInf,
    /// `||x||_1 / n + ||x||_inf`, n = number of entries (APRNN, PLDI 2023).
    L1PlusLInf,
}

impl Norm {
    /// All of them.
    pub const ALL: [Norm; 3] = [Norm::L1, Norm::LInf, Norm::L1PlusLInf];

    /// The name used in plans and reports.
    pub fn name(self) -> &'static str {
        match self {
            Norm::L1 => "l1",
            Norm::LInf => "linf",
            Norm::L1PlusLInf => "l1+linf",
        }
    }

    /// `(alpha, beta)` of the family above, for an unknown of this shape.
    pub fn weights(self, shape: &Shape) -> (f64, f64) {
        match self {
            Norm::L1 => (1.0, 0.0),
            Norm::LInf => (0.0, 1.0),
            Norm::L1PlusLInf => (1.0 / shape.entries().max(1) as f64, 1.0),
        }
    }

    /// `||x||`.
    pub fn value(self, shape: &Shape, x: &Unknown) -> f64 {
        let (alpha, beta) = self.weights(shape);
        alpha * x.norm_l1() + beta * x.norm_linf()
    }

    /// The dual norm, `max c.v` over `||v|| <= 1`.
    pub fn dual(self, shape: &Shape, c: &Unknown) -> f64 {
        self.best_size(shape, c).1
    }

    /// An extreme point v of the unit ball with `c.v = ||c||*`.
    ///
    /// At c = 0 every point is best, and any atom is returned.
    pub fn atom(self, shape: &Shape, c: &Unknown) -> Unknown {
        let (size, _) = self.best_size(shape, c);
        let (alpha, beta) = self.weights(shape);
        let magnitude = 1.0 / (alpha * size as f64 + beta);
        let split = c.matrix.len();
        let mut atom = Unknown::zeros(shape);
        for &j in &decreasing(c)[..size] {
            let (source, target) = if j < split {
                (c.matrix[j], &mut atom.matrix[j])
            } else {
                (c.tail[j - split], &mut atom.tail[j - split])
            };
            *target = magnitude.copysign(source);
        }
        atom
    }

    /// Number of entries of the best atom, and the dual norm that it attains.
    fn best_size(self, shape: &Shape, c: &Unknown) -> (usize, f64) {
        let (alpha, beta) = self.weights(shape);
        let mut magnitudes: Vec<f64> = c.entries().map(f64::abs).collect();
        magnitudes.sort_unstable_by(|a, b| b.total_cmp(a));
        let mut sum = 0.0;
        let mut best = (0, 0.0);
        for (k, magnitude) in magnitudes.into_iter().enumerate() {
            sum += magnitude;
            let value = sum / (alpha * (k + 1) as f64 + beta);
            if value > best.1 || k == 0 {
                best = (k + 1, value);
            }
        }
        best
    }
}

/// Indices of the entries, the largest magnitude first; ties by index.
fn decreasing(c: &Unknown) -> Vec<usize> {
    let entries: Vec<f64> = c.entries().collect();
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by(|&i, &j| entries[j].abs().total_cmp(&entries[i].abs()));
    order
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Norm {
    type Err = OptimError;

    fn from_str(name: &str) -> Result<Self, OptimError> {
        let found = Norm::ALL.into_iter().find(|norm| norm.name() == name);
        found.ok_or_else(|| OptimError::UnknownNorm {
            got: name.to_owned(),
            expected: Norm::ALL.map(Norm::name).join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unknown(shape: &Shape, entries: &[f64]) -> Unknown {
        Unknown::from_entries(shape, entries[..shape.entries()].to_vec()).unwrap()
    }

    fn inner(a: &Unknown, b: &Unknown) -> f64 {
        a.entries().zip(b.entries()).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn the_dual_of_l1_is_linf_and_the_other_way_round() {
        let shape = Shape {
            outputs: 1,
            inputs: 2,
            tail: 1,
        };
        let c = unknown(&shape, &[3.0, -4.0, 1.0]);
        assert_eq!(Norm::L1.dual(&shape, &c), 4.0);
        assert_eq!(Norm::LInf.dual(&shape, &c), 8.0);
        // k = 2 is best: (4 + 3) / (2/3 + 1).
        assert!((Norm::L1PlusLInf.dual(&shape, &c) - 4.2).abs() < 1e-12);
    }

    #[test]
    fn names_round_trip() {
        for norm in Norm::ALL {
            assert_eq!(norm.name().parse::<Norm>().unwrap(), norm);
        }
        let message = "l3".parse::<Norm>().unwrap_err().to_string();
        assert!(message.contains("l1, linf, l1+linf"), "{message}");
    }

    proptest! {
        #[test]
        fn the_atom_has_norm_one_and_attains_the_dual_norm(
            outputs in 0_usize..4, inputs in 1_usize..4, tail in 1_usize..3,
            entries in prop::collection::vec(-1.0..1.0, 16),
        ) {
            let shape = Shape { outputs, inputs, tail };
            let c = unknown(&shape, &entries);
            for norm in Norm::ALL {
                let atom = norm.atom(&shape, &c);
                prop_assert!((norm.value(&shape, &atom) - 1.0).abs() < 1e-12);
                prop_assert!((inner(&c, &atom) - norm.dual(&shape, &c)).abs() < 1e-12);
            }
        }

        #[test]
        fn no_point_exceeds_norm_times_dual_norm(
            a in prop::collection::vec(-1.0..1.0, 8), b in prop::collection::vec(-1.0..1.0, 8),
        ) {
            let shape = Shape { outputs: 2, inputs: 3, tail: 2 };
            let (c, x) = (unknown(&shape, &a), unknown(&shape, &b));
            for norm in Norm::ALL {
                let bound = norm.value(&shape, &x) * norm.dual(&shape, &c);
                prop_assert!(inner(&c, &x) <= bound + 1e-12);
            }
        }
    }
}
