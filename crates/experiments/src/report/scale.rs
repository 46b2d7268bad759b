//! Axes: from values to positions, with round ticks.

/// How values are spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// Evenly.
    Linear,
    /// Linear near 0, logarithmic beyond 1 in size, with both signs.
    SignedLog,
}

/// An axis from `low` to `high`, drawn from `start` to `end`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
    spread: Spread,
    /// Distance of ticks on a linear axis; both ends are multiples of it.
    step: f64,
}

impl Scale {
    /// An axis that holds every finite value, and 0, with round ends.
    ///
    /// It is logarithmic where the largest value is more than 30 times the upper quartile: most marks would
    /// share a few pixels otherwise.
    pub(crate) fn fit(values: &[f64], start: f64, end: f64) -> Self {
        let finite = values.iter().copied().filter(|value| value.is_finite());
        let low = finite.clone().fold(0.0, f64::min);
        let high = finite.clone().fold(0.0, f64::max);
        let mut sizes: Vec<f64> = finite.map(f64::abs).collect();
        sizes.sort_by(f64::total_cmp);
        let quartile = sizes.get(sizes.len() * 3 / 4).copied().unwrap_or(0.0);
        let largest = sizes.last().copied().unwrap_or(0.0);
        let spread = if largest > 5.0 && largest > 30.0 * quartile {
            Spread::SignedLog
        } else {
            Spread::Linear
        };
        let (low, high) = if low == high { (0.0, 1.0) } else { (low, high) };
        let step = round_step(high - low);
        let (low, high) = match spread {
            Spread::Linear => ((low / step).floor() * step, (high / step).ceil() * step),
            Spread::SignedLog => {
                let margin = 0.04 * (spread_out(high) - spread_out(low));
                let low = if low < 0.0 {
                    spread_out(low) - margin
                } else {
                    0.0
                };
                (gather(low), gather(spread_out(high) + margin))
            }
        };
        Self {
            low,
            high,
            start,
            end,
            spread,
            step,
        }
    }

    /// An even axis from 0 to a round value not below `high`.
    pub(crate) fn linear(high: f64, start: f64, end: f64) -> Self {
        let high = if high > 0.0 { high } else { 1.0 };
        let step = round_step(high);
        Self {
            low: 0.0,
            high: (high / step).ceil() * step,
            start,
            end,
            spread: Spread::Linear,
            step,
        }
    }

    /// The same axis drawn elsewhere.
    pub(crate) fn moved(self, start: f64, end: f64) -> Self {
        Self { start, end, ..self }
    }

    /// Where `value` is drawn.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let place = |value: f64| match self.spread {
            Spread::Linear => value,
            Spread::SignedLog => spread_out(value),
        };
        let (low, high) = (place(self.low), place(self.high));
        let share = ((place(value) - low) / (high - low)).clamp(0.0, 1.0);
        self.start + share * (self.end - self.start)
    }

    /// Round values along the axis, with their texts.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        match self.spread {
            Spread::Linear => {
                let step = self.step;
                let digits = (-step.log10().floor()).max(0.0) as usize;
                let first = (self.low / step).round() as i64;
                let last = (self.high / step).round() as i64;
                (first..=last)
                    .map(|n| (n as f64 * step, format!("{:.digits$}", n as f64 * step)))
                    .collect()
            }
            Spread::SignedLog => {
                let sizes = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 10_000.0];
                let mut values: Vec<f64> = sizes.iter().map(|size| -size).rev().collect();
                values.push(0.0);
                values.extend(sizes);
                values.retain(|value| self.low <= *value && *value <= self.high);
                values
                    .into_iter()
                    .map(|value| (value, format!("{value}")))
                    .collect()
            }
        }
    }

    /// A note for the axis label.
    pub(crate) fn note(&self) -> &'static str {
        match self.spread {
            Spread::Linear => "",
            Spread::SignedLog => ", logarithmic beyond 1",
        }
    }
}

fn spread_out(value: f64) -> f64 {
    value.asinh()
}

fn gather(value: f64) -> f64 {
    value.sinh()
}

/// A step of 1, 2 or 5 times a power of ten that divides `length` into about five.
fn round_step(length: f64) -> f64 {
    let rough = length / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let lead = rough / power;
    let lead = match lead {
        _ if lead < 1.5 => 1.0,
        _ if lead < 3.5 => 2.0,
        _ if lead < 7.5 => 5.0,
        _ => 10.0,
    };
    lead * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_has_round_ends_and_ticks() {
        let scale = Scale::fit(&[0.3, 7.8, 41.0], 0.0, 100.0);
        let ticks: Vec<String> = scale.ticks().into_iter().map(|tick| tick.1).collect();
        assert_eq!(ticks, ["0", "10", "20", "30", "40", "50"]);
        assert!((scale.at(25.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn ticks_are_evenly_spaced_up_to_the_end_of_the_axis() {
        for high in [0.07, 1.0, 17.0, 18.0, 19.9, 36.0, 99.0, 3456.0] {
            let scale = Scale::fit(&[0.8 * high, high], 0.0, 100.0);
            let places: Vec<f64> = scale.ticks().iter().map(|tick| scale.at(tick.0)).collect();
            let gap = 100.0 / (places.len() - 1) as f64;
            for (n, place) in places.iter().enumerate() {
                assert!((place - n as f64 * gap).abs() < 1e-6, "{high}: {places:?}");
            }
        }
    }

    #[test]
    fn an_axis_is_reversed_by_its_ends() {
        let scale = Scale::fit(&[-0.2, 0.4], 100.0, 0.0);
        assert!(scale.at(-0.2) > scale.at(0.4));
        assert!(
            scale
                .ticks()
                .iter()
                .any(|(value, text)| *value == 0.0 && text == "0.0")
        );
    }

    #[test]
    fn one_far_value_makes_the_axis_logarithmic() {
        let values = [-0.06, 0.03, 0.5, 0.57, 1.2, 76.0, 0.1, 0.2, 0.3];
        let scale = Scale::fit(&values, 0.0, 100.0);
        assert_eq!(scale.spread, Spread::SignedLog);
        assert!(scale.at(1.2) > 15.0 && scale.at(76.0) < 100.0);
    }

    #[test]
    fn without_values_an_axis_still_has_ticks() {
        let scale = Scale::fit(&[f64::NAN], 0.0, 1.0);
        assert!(scale.ticks().len() > 1);
    }
}
