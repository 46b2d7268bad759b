//! What one step of a sequential repair sets for the next.

/// Fractions of the step that are tried.
const FRACTIONS: [f64; 3] = [1.0, 0.5, 0.2];
/// Those that are tried too beyond a trust weight: no other direction will do better, and
/// kinks may lie close.
const SMALL_FRACTIONS: [f64; 3] = [0.1, 0.03, 0.005];
const SMALL_FROM: f64 = 100.0;
/// The first trust weight, relative to the objective's own curvature.
pub(super) const FIRST_TRUST: f64 = 1.0;
/// The trust weight below which there is none, and the one beyond which no step is worth taking.
const LEAST_TRUST: f64 = 1e-3;
const LARGEST_TRUST: f64 = 1e9;
/// What is left of the trust weight where its steps save next to nothing of the objective.
const RELAXED: f64 = 0.01;
/// How far rows aim beyond the safety, relative to the worst violation: elastic rows and kinks
/// leave some of it.
const OVERSHOOT: f64 = 5.0;
/// The most that rows aim beyond the safety, in the unit of the outputs.
pub(crate) const LARGEST_OVERSHOOT: f64 = 0.05;
/// A repair crawls when its trust weight stays beyond the first number for as many steps as the
/// second, and they leave more than the third of the violation: it follows kinks, and leaps are
/// worth more than further such steps.
const CRAWL_TRUST: f64 = 1e5;
const CRAWL_STEPS: usize = 8;
const CRAWL_SHARE: f64 = 0.8;

/// The knobs that one step sets for the next.
pub(super) struct Control {
    /// ρ
    pub(super) trust: f64,
    /// ν of the merit.
    pub(super) penalty: f64,
    /// How far beyond the safety the rows aim: kinks between here and there eat some of it.
    pub(super) overshoot: f64,
    /// The most that it becomes.
    largest_overshoot: f64,
    /// Violations after the last steps, while the trust weight is that of a crawl.
    slow: Vec<f64>,
}

impl Control {
    /// For outputs of which rounding and kinks eat up to a twentieth of `unit`.
    pub(super) fn new(unit: f64) -> Self {
        Self {
            trust: 0.0,
            penalty: 0.0,
            overshoot: 0.0,
            largest_overshoot: LARGEST_OVERSHOOT * unit,
            slow: Vec::new(),
        }
    }

    /// Whether the last steps went nowhere.
    pub(super) fn crawls(&self) -> bool {
        match self.slow.as_slice() {
            [.., last] if self.slow.len() > CRAWL_STEPS => {
                let before = self.slow[self.slow.len() - 1 - CRAWL_STEPS];
                *last > CRAWL_SHARE * before
            }
            _ => false,
        }
    }

    /// Fractions of a step that are tried, the longest first.
    pub(super) fn fractions(&self) -> impl Iterator<Item = f64> + use<> {
        let small = match self.trust >= SMALL_FROM {
            true => &SMALL_FRACTIONS[..],
            false => &[],
        };
        FRACTIONS.iter().chain(small).copied()
    }

    /// Learns from a step of which this fraction was taken and which left this violation.
    pub(super) fn accept(&mut self, fraction: f64, violation: f64, safety: f64) {
        // Rounding moves slacks by about as much as the safety allows for.
        self.overshoot = (OVERSHOOT * violation).clamp(safety, self.largest_overshoot.max(safety));
        if violation == 0.0 {
            self.trust *= 0.1;
        } else if fraction == 1.0 {
            self.trust *= 0.3;
        } else if fraction < 0.5 {
            self.trust = (self.trust * 3.0).clamp(FIRST_TRUST, LARGEST_TRUST);
        }
        if self.trust < LEAST_TRUST {
            self.trust = 0.0;
        }
        match self.trust > CRAWL_TRUST {
            true => self.slow.push(violation),
            false => self.slow.clear(),
        }
    }

    /// Forgets the last steps: a leap led elsewhere.
    pub(super) fn restart(&mut self) {
        self.trust = FIRST_TRUST;
        self.slow.clear();
    }

    /// Trusts a longer step; `false` when nothing shortens it.
    pub(super) fn relax(&mut self) -> bool {
        let shortens = self.trust > 0.0;
        self.trust *= RELAXED;
        if self.trust < LEAST_TRUST {
            self.trust = 0.0;
        }
        shortens
    }

    /// Asks for a shorter step; `false` when no shorter one makes sense.
    pub(super) fn shorten(&mut self) -> bool {
        self.trust = (self.trust * 10.0).max(FIRST_TRUST);
        self.trust <= LARGEST_TRUST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A control at a trust weight after steps that left these violations.
    fn after(trust: f64, violations: impl IntoIterator<Item = f64>) -> Control {
        let mut control = Control {
            trust,
            ..Control::new(1.0)
        };
        for violation in violations {
            // Halved steps leave the trust weight as it is.
            control.accept(0.5, violation, 1e-4);
        }
        control
    }

    #[test]
    fn a_repair_crawls_when_many_steps_at_a_large_trust_weight_leave_most_of_the_violation() {
        let slow = |step: usize| 1.0 - 0.01 * step as f64;
        assert!(after(10.0 * CRAWL_TRUST, (0..=CRAWL_STEPS).map(slow)).crawls());
        assert!(!after(10.0 * CRAWL_TRUST, (0..CRAWL_STEPS).map(slow)).crawls());
        assert!(!after(0.1 * CRAWL_TRUST, (0..=CRAWL_STEPS).map(slow)).crawls());
        let fast = |step: usize| 0.9f64.powi(step as i32);
        assert!(!after(10.0 * CRAWL_TRUST, (0..=CRAWL_STEPS).map(fast)).crawls());
    }
}
