//! One trial: repair, then measure on every split.

use std::path::Path;
use std::time::{Duration, Instant};

use data::{Dataset, mnist};
use network::{Network, Output};
use repair::{
    Method, Objective, Options, Outcome as Answer, Problem, Repair, RepairSet, Report, accuracy,
};

use super::examples::{Scored, classes_of};
use super::{Laboratory, Specimen};
use crate::error::Cause;
use crate::plan::MethodPlan;
use crate::record::{Accuracies, Example, Outcome, Phases, Price, TrialRecord};
use crate::run::Trial;

/// Pictures per trial in the report, of each of three kinds.
const PICTURES: usize = 3;

impl Laboratory {
    pub(super) fn attempt(&self, trial: &Trial) -> Result<TrialRecord, Cause> {
        let specimen = self.specimen(&trial.set.network)?;
        let points = self.sets.repair.subset(&self.draw(&trial.set)?)?;
        let set = RepairSet::argmax(&points, trial.method.margin)?;
        let layer = specimen.network.layer(&trial.layer.name)?;
        let problem = Problem {
            network: &specimen.network,
            checkpoint: &specimen.checkpoint,
            layers: std::slice::from_ref(layer),
            set: &set,
            guard: Some(&specimen.moments),
            start: None,
        };
        let options = repair_options(&trial.method)?;

        let floor = self.heap.map(|heap| {
            (heap.reset)();
            (heap.live)()
        });
        let start = Instant::now();
        let answer = repair::repair(&problem, &options)?;
        let repair_seconds = start.elapsed().as_secs_f64();
        let peak = self
            .heap
            .zip(floor)
            .map(|(heap, floor)| (heap.peak)().saturating_sub(floor) as u64);

        let (outcome, repair, report) = describe(answer);
        let mut record = TrialRecord::new(trial, outcome);
        record.repair_seconds = repair_seconds;
        record.peak_bytes = peak;
        record.rows = report.rows as u64;
        record.rows_total = report.rows_total as u64;
        record.rounds = report.rounds as u64;
        record.phases = Phases {
            prepare: report.prepare_seconds,
            solve: report.solve_seconds,
            verify: report.verify_seconds,
            evaluate: 0.0,
        };
        let start = Instant::now();
        let before = classes_of(&specimen.network, &points)?;
        record.before = Accuracies {
            repair: Some(accuracy(&before, &points.labels)),
            generalization: Some(specimen.generalization.accuracy()),
            drawdown: Some(specimen.drawdown.accuracy()),
        };
        if let Some(repair) = repair {
            self.measure(&mut record, &repair, specimen, &points, &before)?;
            if let Some(folder) = self.keep.as_ref().filter(|_| record.outcome.is_repaired()) {
                let path = folder.join(format!("{}.safetensors", trial.id));
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                let origin = Path::new(repair.checkpoint.origin());
                let output = Output::replacing(&path).like(origin);
                repair.checkpoint.write_to(&output)?;
            }
        }
        record.phases.evaluate = start.elapsed().as_secs_f64();
        Ok(record)
    }

    /// Scores a repaired network on every split.
    fn measure(
        &self,
        record: &mut TrialRecord,
        repair: &Repair,
        specimen: &Specimen,
        points: &Dataset,
        before: &[usize],
    ) -> Result<(), Cause> {
        let repaired = Network::load(&repair.checkpoint, &self.device, self.precision)?;
        let after = classes_of(&repaired, points)?;
        let generalization = specimen.generalization.classes(&repaired)?;
        let drawdown = specimen.drawdown.classes(&repaired)?;
        let gained =
            |split: &Scored, after: &[usize]| accuracy(after, &split.set.labels) - split.accuracy();
        record.efficacy = Some(repair.efficacy);
        record.least_margin = Some(repair.least_slack + record.margin);
        record.change_norm = Some(repair.change.norm_l2());
        record.generalization = Some(gained(&specimen.generalization, &generalization));
        record.drawdown = Some(0.0 - gained(&specimen.drawdown, &drawdown));
        record.agreement = Some(accuracy(&drawdown, &specimen.drawdown.before));
        let clean = specimen.selection_clean.classes(&repaired)?;
        let corrupted = specimen.selection_corrupted.classes(&repaired)?;
        record.selection_drawdown = Some(0.0 - gained(&specimen.selection_clean, &clean));
        record.selection_generalization = Some(gained(&specimen.selection_corrupted, &corrupted));
        record.after = Accuracies {
            repair: Some(accuracy(&after, &points.labels)),
            generalization: Some(accuracy(
                &generalization,
                &specimen.generalization.set.labels,
            )),
            drawdown: Some(accuracy(&drawdown, &specimen.drawdown.set.labels)),
        };
        record.prices = points
            .ids
            .iter()
            .zip(&repair.prices)
            .filter(|(_, price)| **price > 0.0)
            .map(|(id, &price)| Price {
                id: id.to_string(),
                price,
            })
            .collect();
        if Some(&record.seed) == self.plan.seeds.first() {
            let of = |split, set, before, after| Pictures {
                set,
                split,
                before,
                after,
            };
            let (similar, clean) = (&specimen.generalization, &specimen.drawdown);
            let fixed =
                of("repair", points, before, &after).take(|_, before, after| before != after);
            let gained = of(
                "generalization",
                &similar.set,
                &similar.before,
                &generalization,
            )
            .take(|label, before, after| before != label && after == label);
            let lost = of("drawdown", &clean.set, &clean.before, &drawdown)
                .take(|label, before, after| before == label && after != label);
            record.examples = [fixed, gained, lost].concat();
        }
        Ok(())
    }
}

/// A split's examples with the answers before and after.
struct Pictures<'a> {
    set: &'a Dataset,
    split: &'a str,
    before: &'a [usize],
    after: &'a [usize],
}

impl Pictures<'_> {
    /// The first few whose `(label, before, after)` is wanted.
    fn take(&self, wanted: impl Fn(usize, usize, usize) -> bool) -> Vec<Example> {
        let chosen = (0..self.set.len())
            .filter(|&i| wanted(self.set.labels[i], self.before[i], self.after[i]));
        chosen
            .take(PICTURES)
            .map(|i| Example {
                id: self.set.ids[i].to_string(),
                split: self.split.to_owned(),
                width: mnist::SIDE as u32,
                pixels: self
                    .set
                    .example(i)
                    .iter()
                    .map(|x| (x * 255.0).round() as u8)
                    .collect(),
                label: self.set.labels[i],
                before: self.before[i],
                after: self.after[i],
            })
            .collect()
    }
}

fn repair_options(method: &MethodPlan) -> Result<Options, Cause> {
    let kind: Method = method.method.parse()?;
    let objective: Objective = method.objective.parse()?;
    Ok(Options {
        method: kind,
        objective,
        time_limit: method.time_limit.map(Duration::from_secs_f64),
        ..Options::default()
    })
}

/// The outcome in words, the network to measure, and the sizes.
fn describe(answer: Answer) -> (Outcome, Option<Repair>, Report) {
    match answer {
        Answer::Repaired(repair) => {
            let report = repair.report.clone();
            (Outcome::Repaired, Some(*repair), report)
        }
        Answer::Infeasible(conflict) => {
            let kind = if conflict.minimal {
                "minimal conflict"
            } else {
                "conflict"
            };
            let reason = format!(
                "{kind} of points {:?}; {}",
                conflict.points,
                conflict.excluded()
            );
            (Outcome::Infeasible { reason }, None, conflict.report)
        }
        Answer::Unknown(unfinished) => {
            let outcome = Outcome::Unknown {
                stop: unfinished.reason.word().to_owned(),
                reason: unfinished.reason.to_string(),
            };
            (outcome, unfinished.best, unfinished.report)
        }
    }
}
