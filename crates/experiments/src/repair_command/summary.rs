//! What is printed and written about a repair.

use std::io::Write;
use std::path::Path;

use repair::{Outcome, Repair, Report, StopReason};
use serde::Serialize;

use super::Answer;
use super::arguments::RepairArguments;
use super::attributed::{self, Attributed};
use super::sets::{PointSet, Sets};
use super::subject::Subject;
use crate::error::{ExperimentError, Result};
use crate::manifest::{hash, hash_file};

/// What a repair came to, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every point is right in the network as written.
    Repaired,
    /// No change of the layer under the method repairs all points.
    Infeasible,
    /// Neither was shown.
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

/// The file as written, evaluated again.
pub(super) struct SelfCheck {
    /// Points that are right.
    pub(super) right: usize,
    pub(super) least_margin: f64,
}

/// What the repaired network does on the guard set.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Guarded {
    inputs: usize,
    unchanged: usize,
    wrong_before: usize,
    wrong_after: usize,
}

impl Guarded {
    pub(super) fn new(guard: &PointSet, after: &[usize]) -> Self {
        let unchanged = guard
            .before
            .iter()
            .zip(after)
            .filter(|(a, b)| a == b)
            .count();
        Self {
            inputs: after.len(),
            unchanged,
            wrong_before: guard.wrong(&guard.before),
            wrong_after: guard.wrong(after),
        }
    }
}

/// What is known of a network that was written.
pub(super) struct Evidence {
    pub(super) check: SelfCheck,
    /// Classes of the repair points.
    pub(super) after: Vec<usize>,
    pub(super) guarded: Option<Guarded>,
    pub(super) attributed: Attributed,
}

/// Everything an answer is made of.
pub(super) struct Summary<'a> {
    pub(super) arguments: &'a RepairArguments,
    pub(super) subject: &'a Subject,
    pub(super) sets: &'a Sets,
    pub(super) margin: f64,
    pub(super) outcome: &'a Outcome,
    pub(super) evidence: Option<&'a Evidence>,
    pub(super) seconds: f64,
}

/// An answer whose report is not written yet.
pub(super) struct Draft {
    lines: Vec<String>,
    report: Record,
}

/// The report in JSON.
#[derive(Serialize)]
struct Record {
    outcome: Verdict,
    /// Why, unless repaired.
    reason: Option<String>,
    /// Names of the points at fault: of the conflict, or those that are still wrong.
    conflict: Vec<String>,
    layer: Option<String>,
    margin: Option<f64>,
    efficacy: Option<f64>,
    least_margin: Option<f64>,
    change_l2: Option<f64>,
    change_linf: Option<f64>,
    points: Vec<Point>,
    guard: Option<Guarded>,
    /// What the repair did to the weights and to the answers on the guard set.
    attribution: Option<Attributed>,
    sizes: Option<Sizes>,
    seconds: Option<Seconds>,
    files: Vec<FileRecord>,
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

/// A file or set: of a set the hash of its inputs and labels as the network takes them.
#[derive(Serialize)]
struct FileRecord {
    role: &'static str,
    path: String,
    sha256: String,
}

impl Summary<'_> {
    /// The lines to print and the record to write.
    pub(super) fn answer(&self) -> Result<Draft> {
        let points = &self.sets.repair.set;
        let names = |indices: &[usize]| -> Vec<String> {
            let protected = |i: usize| format!("guard set [{}]", i - points.names.len());
            let name = |&i: &usize| points.names.get(i).cloned().unwrap_or_else(|| protected(i));
            indices.iter().map(name).collect()
        };
        let layer = &self.subject.layer_names();
        let (verdict, reason, conflict, repair, report) = match self.outcome {
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
                let reason = format!(
                    "{kind} of {} points; no change of norm below {:.1e} exists",
                    conflict.points.len(),
                    conflict.radius
                );
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
                format!("repaired: layer {layer} of {}", self.subject.path.display())
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
        }
        if let Some(evidence) = self.evidence {
            let class = |class| self.subject.class(class);
            lines.extend(evidence.attributed.lines(class));
        }
        lines.push(work(report, self.seconds));
        if let Some(repair) = repair.filter(|_| verdict == Verdict::Repaired) {
            let own = &repair.prices[..points.names.len().min(repair.prices.len())];
            lines.push(attributed::prices(own, &points.names));
        }

        let record = Record {
            outcome: verdict,
            reason,
            conflict,
            layer: Some(layer.clone()),
            margin: Some(self.margin),
            efficacy: repair.map(|repair| repair.efficacy),
            least_margin: repair.map(|repair| repair.least_slack + self.margin),
            change_l2: repair.map(|repair| repair.change.norm_l2()),
            change_linf: repair.map(|repair| repair.change.norm_linf()),
            points: self.points(repair),
            guard: self.evidence.and_then(|evidence| evidence.guarded),
            attribution: self.evidence.map(|evidence| evidence.attributed.clone()),
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
            files: self.files()?,
        };
        Ok(Draft {
            lines,
            report: record,
        })
    }

    /// What the file as written does.
    fn check(&self, evidence: &Evidence) -> Vec<String> {
        let points = evidence.after.len();
        let check = &evidence.check;
        let mut lines = vec![format!(
            "self-check: {} read back: {} of {points} points right ({} before), least margin {:.4} (asked {})",
            self.arguments.out.display(),
            check.right,
            points - self.sets.repair.wrong(&self.sets.repair.before),
            check.least_margin,
            self.margin,
        )];
        if let Some(guard) = &evidence.guarded {
            let percent = |count: usize| 100.0 * count as f64 / guard.inputs.max(1) as f64;
            lines.push(format!(
                "guard set: {} of {} predictions unchanged ({:.2} %); accuracy {:.2} % before, {:.2} % after",
                guard.unchanged,
                guard.inputs,
                percent(guard.unchanged),
                percent(guard.inputs - guard.wrong_before),
                percent(guard.inputs - guard.wrong_after),
            ));
        }
        lines
    }

    fn points(&self, repair: Option<&Repair>) -> Vec<Point> {
        let PointSet { set, before, .. } = &self.sets.repair;
        let after = self.evidence.map(|evidence| &evidence.after);
        (0..before.len())
            .map(|i| Point {
                name: set.names[i].clone(),
                label: set.dataset.labels[i],
                before: before[i],
                after: after.map(|after| after[i]),
                price: repair.and_then(|repair| repair.prices.get(i).copied()),
            })
            .collect()
    }

    fn files(&self) -> Result<Vec<FileRecord>> {
        let mut files = vec![FileRecord {
            role: "network",
            path: self.subject.path.display().to_string(),
            sha256: hash(self.subject.checkpoint.bytes()),
        }];
        let sets = [
            ("repair", Some(&self.sets.repair)),
            ("guard", self.sets.guard.as_ref()),
        ];
        for (role, set) in sets
            .into_iter()
            .filter_map(|(role, set)| Some((role, set?)))
        {
            let inputs = set.set.dataset.inputs.iter().flat_map(|x| x.to_le_bytes());
            let labels = set
                .set
                .dataset
                .labels
                .iter()
                .flat_map(|&y| (y as u64).to_le_bytes());
            files.push(FileRecord {
                role,
                path: set.path.display().to_string(),
                sha256: hash(&inputs.chain(labels).collect::<Vec<u8>>()),
            });
        }
        if self.evidence.is_some() {
            files.push(FileRecord {
                role: "out",
                path: self.arguments.out.display().to_string(),
                sha256: hash_file(&self.arguments.out)?.1,
            });
        }
        Ok(files)
    }
}

/// One input with two labels.
pub(super) fn contradiction(points: &PointSet, pair: [usize; 2]) -> Draft {
    let names = pair.map(|point| points.set.names[point].clone());
    let [first, second] = pair.map(|point| points.set.dataset.labels[point]);
    let reason = format!("one input has the labels {first} and {second}: drop one of them");
    let mut lines = vec![format!("infeasible: {reason}")];
    lines.extend(names.iter().map(|name| format!("  {name}")));
    Draft {
        lines,
        report: Record {
            outcome: Verdict::Infeasible,
            reason: Some(reason),
            conflict: names.to_vec(),
            layer: None,
            margin: None,
            efficacy: None,
            least_margin: None,
            change_l2: None,
            change_linf: None,
            points: vec![],
            guard: None,
            attribution: None,
            sizes: None,
            seconds: None,
            files: vec![],
        },
    }
}

impl Draft {
    /// Writes the report, if one is asked for.
    pub(super) fn finish(self, arguments: &RepairArguments) -> Result<Answer> {
        if let Some(path) = &arguments.report {
            let text = serde_json::to_string_pretty(&self.report).map_err(|source| {
                ExperimentError::Encode {
                    what: path.display().to_string(),
                    source: source.into(),
                }
            })?;
            write_whole(path, &text).map_err(ExperimentError::io("write", path))?;
        }
        Ok(Answer {
            text: self.lines.join("\n"),
            verdict: self.report.outcome,
        })
    }
}

/// Writes a file beside its place and renames it.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn work(report: &Report, seconds: f64) -> String {
    format!(
        "work: {} of {} rows, {} rounds; {seconds:.1} s, of which {:.1} s solving and {:.1} s verifying",
        report.rows, report.rows_total, report.rounds, report.solve_seconds, report.verify_seconds,
    )
}
