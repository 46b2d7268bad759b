//! A row of a table of targets: what is measured, against which bounds, and the verdict.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use experiments::statistics::median;

use super::world::World;

/// A quantity that a row measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Measure {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
}

/// The values that meet a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// A measure that must keep a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) measure: Measure,
    pub(super) limit: Limit,
}

/// What one run of a row measures.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    pub(super) values: BTreeMap<Measure, f64>,
    /// The proof that there is no repair, in words.
    pub(super) conflict: Option<String>,
    /// What else is worth knowing of the run.
    pub(super) notes: Vec<String>,
}

/// Measures a row under a seed.
pub(super) type Run = Box<dyn Fn(&World, u64) -> miette::Result<Sample>>;

/// A line of a table.
pub(super) struct Row {
    pub(super) name: String,
    /// Files and folders that it reads, relative to the assets unless absolute.
    pub(super) needs: Vec<PathBuf>,
    pub(super) bounds: Vec<Bound>,
    /// Whether a proved conflict meets the target as well as a repair does.
    pub(super) conflict_settles: bool,
    /// Whether the seed changes anything; a row without draws is measured once.
    pub(super) drawn: bool,
    pub(super) run: Run,
}

pub(super) fn at_most(measure: Measure, limit: f64) -> Bound {
    let limit = Limit::AtMost(limit);
    Bound { measure, limit }
}

pub(super) fn at_least(measure: Measure, limit: f64) -> Bound {
    let limit = Limit::AtLeast(limit);
    Bound { measure, limit }
}

impl Row {
    /// Whether it is judged; a row without bounds is there for comparison.
    pub(super) fn is_judged(&self) -> bool {
        !self.bounds.is_empty()
    }

    /// The bounds in words.
    pub(super) fn target(&self) -> String {
        if !self.is_judged() {
            return "for comparison".to_owned();
        }
        let bounds: Vec<String> = self.bounds.iter().map(Bound::to_string).collect();
        let conflict = if self.conflict_settles {
            "\nor a proved conflict"
        } else {
            ""
        };
        bounds.join("\n") + conflict
    }

    /// Whether the medians over the samples meet every bound.
    ///
    /// A run that ends in a conflict has no repaired network to measure: where a conflict settles
    /// the row it is left out, elsewhere it misses.
    pub(super) fn is_met(&self, samples: &[Sample]) -> bool {
        let conflicts = samples.iter().filter(|s| s.conflict.is_some()).count();
        if conflicts > 0 && !self.conflict_settles {
            return false;
        }
        let open: Vec<&Sample> = samples.iter().filter(|s| s.conflict.is_none()).collect();
        let meets = |bound: &Bound| {
            let values = values(&open, bound.measure);
            values.len() == open.len() && median(&values).is_some_and(|m| bound.limit.allows(m))
        };
        // Without any sample nothing was shown.
        !samples.is_empty() && (open.is_empty() || self.bounds.iter().all(meets))
    }

    /// The medians, each with the values that it is the median of; bounded measures first.
    pub(super) fn measured(&self, samples: &[Sample]) -> String {
        let all: Vec<&Sample> = samples.iter().collect();
        let mut measures: Vec<Measure> = self.bounds.iter().map(|bound| bound.measure).collect();
        for measure in samples.iter().flat_map(|sample| sample.values.keys()) {
            if !measures.contains(measure) {
                measures.push(*measure);
            }
        }
        let mut lines: Vec<String> = measures
            .into_iter()
            .map(|measure| describe(measure, &values(&all, measure)))
            .collect();
        for sample in samples {
            lines.extend(sample.conflict.clone());
            lines.extend(sample.notes.iter().cloned());
        }
        let mut seen = Vec::new();
        lines.retain(|line| {
            let is_first = !seen.contains(line);
            seen.push(line.clone());
            is_first
        });
        lines.join("\n")
    }
}

impl Limit {
    fn allows(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, limit) = match self.limit {
            Limit::AtMost(limit) => ("<=", limit),
            Limit::AtLeast(limit) => (">=", limit),
        };
        let Measure { name, unit } = self.measure;
        write!(f, "{name} {sign} {limit} {unit}")
    }
}

fn describe(measure: Measure, values: &[f64]) -> String {
    let each: Vec<String> = values.iter().map(|value| format!("{value:.2}")).collect();
    let Measure { name, unit } = measure;
    match median(values) {
        None => format!("{name} not measured"),
        Some(median) if each.len() == 1 => format!("{name} {median:.2} {unit}"),
        Some(median) => format!("{name} {median:.2} {unit} ({})", each.join(", ")),
    }
}

fn values(samples: &[&Sample], measure: Measure) -> Vec<f64> {
    let values = samples.iter().map(|sample| sample.values.get(&measure));
    values.flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSS: Measure = Measure {
        name: "loss",
        unit: "points",
    };

    fn row(conflict_settles: bool) -> Row {
        Row {
            name: "row".into(),
            needs: vec![],
            bounds: vec![at_most(LOSS, 0.5)],
            conflict_settles,
            drawn: true,
            run: Box::new(|_, _| Ok(Sample::default())),
        }
    }

    fn sample(loss: f64) -> Sample {
        Sample {
            values: BTreeMap::from([(LOSS, loss)]),
            ..Sample::default()
        }
    }

    fn conflict() -> Sample {
        Sample {
            conflict: Some("conflict of 2 points".into()),
            ..Sample::default()
        }
    }

    #[test]
    fn the_median_is_judged_and_every_value_shown() {
        let samples = [sample(0.1), sample(9.0), sample(0.5)];
        assert!(row(false).is_met(&samples));
        assert_eq!(
            row(false).measured(&samples),
            "loss 0.50 points (0.10, 9.00, 0.50)"
        );
        assert!(!row(false).is_met(&[sample(0.1), sample(9.0)]));
        assert_eq!(
            row(true).target(),
            "loss <= 0.5 points\nor a proved conflict"
        );
    }

    #[test]
    fn a_conflict_meets_only_the_rows_that_accept_one() {
        assert!(row(true).is_met(&[conflict()]));
        assert!(row(true).is_met(&[conflict(), sample(0.2)]));
        assert!(!row(true).is_met(&[conflict(), sample(0.7)]));
        assert!(!row(false).is_met(&[conflict(), sample(0.2), sample(0.2)]));
    }

    #[test]
    fn a_row_without_bounds_is_shown_and_not_judged() {
        let row = Row {
            bounds: vec![],
            ..row(false)
        };
        assert!(!row.is_judged());
        assert_eq!(row.target(), "for comparison");
        assert_eq!(row.measured(&[sample(0.25)]), "loss 0.25 points");
        let refused = Sample {
            notes: vec!["refused: a convolution".into()],
            ..Sample::default()
        };
        assert_eq!(row.measured(&[refused]), "refused: a convolution");
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        assert!(!row(true).is_met(&[]));
        assert!(!row(true).is_met(&[sample(0.1), sample(0.1), Sample::default()]));
        assert_eq!(
            row(true).measured(&[Sample::default()]),
            "loss not measured"
        );
    }
}
