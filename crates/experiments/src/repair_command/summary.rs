//! What is printed and written about a repair.

use repair::{MarginTrial, Outcome, Repair, Report, StopReason};
use serde::Serialize;

use super::arguments::Margin;
use super::attributed::{self, Attributed};
use super::deadline::Deadline;
use super::sets::PointSet;
use super::written::{SelfCheck, Written};
use super::{Answer, Solved, Task};
use crate::table::counted;

/// What a repair came to, in a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every point is right in the network as saved.
    Repaired,
    /// No change of the layer under the method repairs all points.
    Infeasible,
    /// Neither was shown.
    #[default]
    Unknown,
}

impl Verdict {
    /// The exit code of the command.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Repaired => 0,
            Self::Infeasible => 3,
            Self::Unknown => 4,
        }
    }
}

/// What the repaired network does on a set, against the original.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Compared {
    inputs: usize,
    unchanged: usize,
    /// Inputs with a label, which can be wrong.
    labelled: usize,
    wrong_before: usize,
    wrong_after: usize,
}

impl Compared {
    pub(super) fn new(set: &PointSet, after: &[usize]) -> Self {
        let unchanged = set.before.iter().zip(after).filter(|(a, b)| a == b).count();
        Self {
            inputs: after.len(),
            unchanged,
            labelled: set.labelled(),
            wrong_before: set.wrong(&set.before),
            wrong_after: set.wrong(after),
        }
    }

    /// Share of the right answers among the inputs with a label, in percent.
    fn accuracy(&self, wrong: usize) -> f64 {
        100.0 * (self.labelled - wrong) as f64 / self.labelled.max(1) as f64
    }

    /// Accuracy gained, in points.
    fn gained(&self) -> f64 {
        let gained = self.wrong_before as f64 - self.wrong_after as f64;
        100.0 * gained / self.labelled.max(1) as f64
    }

    fn line(&self, what: &str) -> String {
        let accuracy = match self.labelled {
            0 => "no labels".to_owned(),
            _ => format!(
                "accuracy {:.2} % before, {:.2} % after",
                self.accuracy(self.wrong_before),
                self.accuracy(self.wrong_after)
            ),
        };
        format!(
            "{what}: {} of {} predictions unchanged ({:.2} %); {accuracy}",
            self.unchanged,
            self.inputs,
            100.0 * self.unchanged as f64 / self.inputs.max(1) as f64,
        )
    }
}

/// What is known of a network that was written.
pub(super) struct Evidence {
    pub(super) written: Written,
    /// Classes of the repair points.
    pub(super) after: Option<Vec<usize>>,
    pub(super) guard: Option<Compared>,
    /// Held-out inputs on which nothing was chosen.
    pub(super) clean: Option<Compared>,
    pub(super) similar: Option<Compared>,
    /// Sets for which there was no time.
    pub(super) unmeasured: Vec<&'static str>,
    pub(super) attributed: Attributed,
}

impl Evidence {
    /// Accuracy lost on clean inputs, in points.
    fn drawdown(&self) -> Option<f64> {
        self.clean.map(|clean| 0.0 - clean.gained())
    }

    /// Accuracy gained on similar inputs, in points.
    fn generalization(&self) -> Option<f64> {
        self.similar.map(|similar| similar.gained())
    }
}

/// Everything an answer is made of.
pub(super) struct Summary<'a> {
    pub(super) task: &'a Task,
    pub(super) solved: &'a Solved,
    pub(super) evidence: Option<&'a Evidence>,
    pub(super) seconds: f64,
}

/// An answer whose report is not written yet.
pub(super) struct Draft {
    lines: Vec<String>,
    pub(super) report: Record,
}

/// The report in JSON.
#[derive(Default, Serialize)]
pub(super) struct Record {
    outcome: Verdict,
    /// Why, unless repaired.
    reason: Option<String>,
    /// Names of the points at fault: of the conflict, or those that are still wrong.
    conflict: Vec<String>,
    layer: Option<String>,
    margin: Option<f64>,
    /// The choice of the margin, where there was one: what it might cost, and what was tried.
    tolerance: Option<f64>,
    margin_trials: Vec<MarginRow>,
    efficacy: Option<f64>,
    least_margin: Option<f64>,
    change_l2: Option<f64>,
    change_linf: Option<f64>,
    /// Whether the objective could not be minimised in its own units.
    rescaled: bool,
    points: Vec<Point>,
    /// The network as written on what was asked of it.
    self_check: Option<SelfCheck>,
    guard: Option<Compared>,
    clean: Option<Compared>,
    similar: Option<Compared>,
    /// Accuracy lost on clean inputs, in points.
    drawdown: Option<f64>,
    /// Accuracy gained on similar inputs, in points.
    generalization: Option<f64>,
    /// What the repair did to the weights and to the answers on the guard set.
    attribution: Option<Attributed>,
    sizes: Option<Sizes>,
    seconds: Option<Seconds>,
}

/// A margin that was tried.
#[derive(Serialize)]
struct MarginRow {
    margin: f64,
    /// `None` without similar inputs.
    generalization: Option<f64>,
    drawdown: f64,
}

/// A repair point.
#[derive(Serialize)]
struct Point {
    name: String,
    label: usize,
    before: usize,
    /// In the network as written, if it was.
    after: Option<usize>,
    price: Option<f64>,
}

#[derive(Serialize)]
struct Sizes {
    rows: usize,
    rows_total: usize,
    rounds: usize,
}

#[derive(Serialize)]
struct Seconds {
    prepare: f64,
    solve: f64,
    verify: f64,
    whole: f64,
}

impl Summary<'_> {
    /// The lines to print and the record to write.
    pub(super) fn answer(&self) -> Draft {
        let Task { subject, sets, .. } = self.task;
        let points = &sets.repair.set;
        let names = |indices: &[usize]| -> Vec<String> {
            let protected = |i: usize| format!("guard set [{}]", i - points.names.len());
            let name = |&i: &usize| points.names.get(i).unwrap_or_else(|| protected(i));
            indices.iter().map(name).collect()
        };
        let layer = &subject.layer_names();
        let (verdict, reason, conflict, repair, report) = match &self.solved.outcome {
            Outcome::Repaired(repair) => (
                Verdict::Repaired,
                None,
                vec![],
                Some(repair.as_ref()),
                &repair.report,
            ),
            Outcome::Infeasible(conflict) => {
                let kind = if conflict.minimal {
                    "minimal conflict"
                } else {
                    "conflict"
                };
                let points = counted(conflict.points.len(), "point");
                let reason = format!("{kind} of {points}; {}", conflict.excluded());
                (
                    Verdict::Infeasible,
                    Some(reason),
                    names(&conflict.points),
                    None,
                    &conflict.report,
                )
            }
            Outcome::Unknown(unfinished) => {
                let stalled = match &unfinished.reason {
                    StopReason::Stalled {
                        points, conflict, ..
                    } => names(if conflict.is_empty() {
                        points
                    } else {
                        conflict
                    }),
                    _ => vec![],
                };
                let reason = Some(unfinished.reason.to_string());
                (
                    Verdict::Unknown,
                    reason,
                    stalled,
                    unfinished.best.as_ref(),
                    &unfinished.report,
                )
            }
        };

        let mut lines = vec![match (verdict, &reason) {
            (Verdict::Repaired, _) => {
                format!("repaired: layer {layer} of {}", subject.path.display())
            }
            (Verdict::Infeasible, Some(reason)) => format!("infeasible: {reason}"),
            (_, reason) => format!("unknown: {}", reason.as_deref().unwrap_or("no reason")),
        }];
        lines.extend(conflict.iter().map(|name| format!("  {name}")));
        if let Some(evidence) = self.evidence {
            lines.extend(self.check(evidence));
        } else if repair.is_some() {
            lines.push("the best attempt is not written; --keep-unfinished writes it".to_owned());
        }
        if let Some(repair) = repair {
            let (l2, linf) = (repair.change.norm_l2(), repair.change.norm_linf());
            lines.push(format!("change: norm {l2:.3e}, largest entry {linf:.3e}"));
            if report.rescaled {
                let objective = self.task.arguments.objective;
                lines.push(format!(
                    "rounding hides the minimum of {objective}: the change was found in other units and need not be the smallest"
                ));
            }
        }
        if let Some(evidence) = self.evidence {
            let class = |class| subject.class(class);
            lines.extend(evidence.attributed.lines(class));
        }
        lines.push(work(report, self.seconds));
        if let Some(repair) = repair.filter(|_| verdict == Verdict::Repaired) {
            let own = &repair.prices[..points.names.len().min(repair.prices.len())];
            lines.push(attributed::prices(own, &points.names.to_vec()));
        }

        Draft {
            lines,
            report: Record {
                outcome: verdict,
                reason,
                conflict,
                ..self.record(repair, report)
            },
        }
    }

    /// The record but for the outcome.
    fn record(&self, repair: Option<&Repair>, report: &Report) -> Record {
        let Task {
            arguments, subject, ..
        } = self.task;
        let Solved { margin, trials, .. } = self.solved;
        let evidence = self.evidence;
        let check = evidence.map(|evidence| evidence.written.check);
        let least_margin = repair.map(|repair| repair.least_slack + margin);
        let is_picked = arguments.margin == Margin::Auto;
        Record {
            layer: Some(subject.layer_names()),
            margin: Some(*margin),
            tolerance: is_picked.then(|| arguments.tolerance()),
            margin_trials: trials.iter().map(|trial| self.margin_row(trial)).collect(),
            efficacy: repair.map(|repair| repair.efficacy),
            least_margin: check.map(|check| check.least_margin).or(least_margin),
            change_l2: repair.map(|repair| repair.change.norm_l2()),
            change_linf: repair.map(|repair| repair.change.norm_linf()),
            rescaled: report.rescaled,
            points: self.points(repair),
            self_check: check,
            guard: evidence.and_then(|evidence| evidence.guard),
            clean: evidence.and_then(|evidence| evidence.clean),
            similar: evidence.and_then(|evidence| evidence.similar),
            drawdown: evidence.and_then(Evidence::drawdown),
            generalization: evidence.and_then(Evidence::generalization),
            attribution: evidence.map(|evidence| evidence.attributed.clone()),
            sizes: Some(Sizes {
                rows: report.rows,
                rows_total: report.rows_total,
                rounds: report.rounds,
            }),
            seconds: Some(Seconds {
                prepare: report.prepare_seconds,
                solve: report.solve_seconds,
                verify: report.verify_seconds,
                whole: self.seconds,
            }),
            ..Record::default()
        }
    }

    fn margin_row(&self, trial: &MarginTrial) -> MarginRow {
        let similar = self.task.sets.held_out.similar.as_ref();
        MarginRow {
            margin: trial.margin,
            generalization: similar.map(|_| trial.generalization),
            drawdown: trial.drawdown,
        }
    }

    /// What the file as written does.
    fn check(&self, evidence: &Evidence) -> Vec<String> {
        let points = &self.task.sets.repair;
        let right_before = points.before.len() - points.wrong(&points.before);
        let mut lines = vec![evidence.written.line(right_before)];
        let sets = [
            ("guard set", evidence.guard, None),
            (
                "clean inputs",
                evidence.clean,
                evidence.drawdown().map(|d| ("drawdown", d)),
            ),
            (
                "similar inputs",
                evidence.similar,
                evidence.generalization().map(|g| ("generalization", g)),
            ),
        ];
        for (what, compared, measure) in sets {
            let Some(compared) = compared else { continue };
            let measure = measure.map(|(name, points)| format!("; {name} {points:.2} points"));
            lines.push(compared.line(what) + &measure.unwrap_or_default());
        }
        if !evidence.unmeasured.is_empty() {
            let sets = evidence.unmeasured.join(", ");
            lines.push(format!("not measured for want of time: {sets}"));
        }
        lines
    }

    fn points(&self, repair: Option<&Repair>) -> Vec<Point> {
        let PointSet { set, before, .. } = &self.task.sets.repair;
        let after = self.evidence.and_then(|evidence| evidence.after.as_ref());
        (0..before.len())
            .map(|i| Point {
                name: set.names.name(i),
                label: set.dataset.labels[i],
                before: before[i],
                after: after.map(|after| after[i]),
                price: repair.and_then(|repair| repair.prices.get(i).copied()),
            })
            .collect()
    }
}

/// The answer where time ran out before everything was read; there is nothing to report on.
pub(super) fn unread(deadline: &Deadline) -> Answer {
    let limit = deadline.limit().unwrap_or_default();
    let reason = StopReason::Time(limit);
    Answer {
        text: format!("unknown: {reason} passed while files were read; nothing is written"),
        verdict: Verdict::Unknown,
    }
}

/// One input with two labels.
pub(super) fn contradiction(points: &PointSet, pair: [usize; 2]) -> Draft {
    let found = points.contradiction(pair);
    Draft {
        lines: found.lines(),
        report: Record {
            outcome: found.outcome,
            reason: Some(found.reason),
            conflict: found.conflict,
            ..Record::default()
        },
    }
}

impl Draft {
    /// The answer, once its report is written.
    pub(super) fn answer(self) -> Answer {
        Answer {
            text: self.lines.join("\n"),
            verdict: self.report.outcome,
        }
    }
}

fn work(report: &Report, seconds: f64) -> String {
    format!(
        "work: {} of {} rows, {}; {seconds:.1} s, of which {:.1} s solving and {:.1} s verifying",
        report.rows,
        report.rows_total,
        counted(report.rounds, "round"),
        report.solve_seconds,
        report.verify_seconds,
    )
}
