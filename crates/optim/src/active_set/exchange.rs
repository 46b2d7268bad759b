//! Dependent rows.
//!
//! A row p (nearly) in the span of the active rows A has no curvature of its own: with
//! r = K_AA^{-1} K_Ap the dual grows along (1 on p, -r on A) at the rate of p's violation while
//! x stands still. The step ends where a multiplier reaches 0; that row leaves, and p is tried
//! again. If no entry of r is positive the step never ends, and (1, -r) >= 0 is a proof of
//! infeasibility ([`proof`](super::proof)).

use super::ActiveSet;
use crate::rows::{adjoint, apply, dot};
use crate::solution::Farkas;

/// The same share, accurately computed, below which a row counts as dependent in an exchange.
const DEPENDENT: f64 = 1e-15;
/// Share of its squared norm below which the distance is computed from x, not by subtraction.
const CANCELLED: f64 = 1e-6;

/// Outcome of an exchange.
pub(super) enum Exchange {
    Entered,
    Infeasible(Farkas),
    Failed,
}

impl ActiveSet {
    /// Brings in row `p`, which (nearly) depends on the active rows, one blocking row at a time.
    pub(super) fn exchange(&mut self, p: usize, mut violation: f64) -> Exchange {
        let entering = self
            .kernel
            .stack(&self.inputs, std::iter::once(&self.rows[p]));
        let mut multiplier = 0.0;
        loop {
            let cross = self.kernel.products(&self.stack, &entering);
            let (r, curvature) = self.direction(p, cross.col_as_slice(0));
            let dependent = curvature <= DEPENDENT * self.diagonal[p];
            if dependent {
                let y = self
                    .active
                    .iter()
                    .zip(&r)
                    .map(|(&j, &r)| (j, (-r).max(0.0)));
                if let Some(proof) = self.prove(y.chain([(p, 1.0)])) {
                    return Exchange::Infeasible(proof);
                }
            }
            let negligible = 1e-13 * r.iter().copied().map(f64::abs).fold(0.0, f64::max);
            let blocking = (0..r.len())
                .filter(|&j| r[j] > negligible)
                .map(|j| (j, self.lambda[j] / r[j]))
                .min_by(|(_, a), (_, b)| a.total_cmp(b));
            let partial = blocking.map_or(f64::INFINITY, |(_, step)| step);
            let full = if dependent {
                f64::INFINITY
            } else {
                violation / curvature
            };
            let step = partial.min(full);
            if !step.is_finite() {
                return Exchange::Failed;
            }
            for (lambda, r) in self.lambda.iter_mut().zip(&r) {
                *lambda = (*lambda - step * r).max(0.0);
            }
            multiplier += step;
            violation -= step * curvature;
            match blocking {
                Some((j, _)) if partial < full => self.leave(&[j]),
                _ => {
                    self.factor.append_with_pivot(cross, curvature);
                    self.stack.extend(&entering, &[0]);
                    self.active.push(p);
                    self.is_active[p] = true;
                    self.lambda.push(multiplier);
                    return Exchange::Entered;
                }
            }
        }
    }

    /// r = K_AA^{-1} K_Ap and the curvature K_pp - K_pA r of d along (1, -r).
    ///
    /// The curvature is min_r ||a_p - J_A^T r||^2 (+ softness), a least-squares problem. Where
    /// the subtraction cancels, it is solved by corrected semi-normal equations, whose residual
    /// is a vector in the space of x.
    fn direction(&self, p: usize, cross: &[f64]) -> (Vec<f64>, f64) {
        let mut r = cross.to_vec();
        self.factor.solve(&mut r);
        let curvature = self.diagonal[p] - dot(cross, &r);
        if curvature > CANCELLED * self.diagonal[p] {
            return (r, curvature);
        }
        let mut curvature = 0.0;
        for correction in 0..3 {
            let negative = self
                .active
                .iter()
                .zip(&r)
                .map(|(&j, &r)| (&self.rows[j], -r));
            let whole = negative.chain(std::iter::once((&self.rows[p], 1.0)));
            let rest = adjoint(&self.shape, &self.inputs, whole);
            let soft: f64 = self
                .active
                .iter()
                .zip(&r)
                .map(|(&j, r)| self.rows[j].softness * r * r)
                .sum();
            curvature = rest.norm_squared() + soft + self.rows[p].softness;
            if correction == 2 {
                break;
            }
            let active = self.active.iter().map(|&j| &self.rows[j]);
            let mut gradient = apply(&self.shape, &self.inputs, active, &rest);
            for ((gradient, &j), r) in gradient.iter_mut().zip(&self.active).zip(&r) {
                *gradient -= self.rows[j].softness * r;
            }
            self.factor.solve(&mut gradient);
            r.iter_mut().zip(&gradient).for_each(|(r, d)| *r += d);
        }
        (r, curvature)
    }
}
