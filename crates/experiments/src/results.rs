//! A run read back: what tables and the report are made of.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;

use crate::error::{ExperimentError, Result};
use crate::manifest::{Manifest, SplitSummary};
use crate::plan::{ResolvedPlan, Vocabulary};
use crate::record::{SelectionRecord, TrialRecord};
use crate::regret::{BRUTE_FORCE, Overhead, RegretRecord, brute_force, regrets, undecided};
use crate::report;
use crate::run::{SetKey, sets, trials};
use crate::store::{self, DeviceChecks, ScoredSet};

/// Everything that a run directory holds, in plan order whatever the order of completion.
#[derive(Debug, Clone)]
pub struct Results {
    /// The resolved plan.
    pub plan: ResolvedPlan,
    /// Versions, seeds, hashes, machine.
    pub manifest: Manifest,
    /// The examples of every split and repair set.
    pub splits: Vec<SplitSummary>,
    /// The trials that are done.
    pub trials: Vec<TrialRecord>,
    /// The number of trials of the plan.
    pub expected: usize,
    /// Scores and picks, brute force's included.
    pub selections: Vec<SelectionRecord>,
    /// Regret of every pick, and of the sets without one.
    pub regrets: Vec<RegretRecord>,
    /// What was found of the device each time that the run went on; nothing on the reference device.
    pub device_checks: Vec<DeviceChecks>,
}

impl Results {
    /// Reads a run directory, finished or not.
    ///
    /// # Errors
    /// [`ExperimentError::NotARun`] if a file is missing or unreadable.
    pub fn read(path: &Path, vocabulary: &Vocabulary<'_>) -> Result<Self> {
        let plan = store::read_plan(path, vocabulary)?;
        let results = Self::assemble(
            plan,
            store::read_manifest(path)?,
            store::read_splits(path)?,
            store::read_trials(path)?,
            store::read_selections(path)?,
        )?;
        Ok(Self {
            device_checks: store::read_device_checks(path)?,
            ..results
        })
    }

    /// Orders the records and scores the picks.
    ///
    /// # Errors
    /// [`ExperimentError::NotARun`] if a record belongs to no trial of the plan.
    pub fn assemble(
        plan: ResolvedPlan,
        manifest: Manifest,
        splits: Vec<SplitSummary>,
        mut records: Vec<TrialRecord>,
        scored: Vec<ScoredSet>,
    ) -> Result<Self> {
        let order: HashMap<String, usize> = trials(&plan, &manifest.layers)
            .into_iter()
            .enumerate()
            .map(|(position, trial)| (trial.id, position))
            .collect();
        if let Some(stray) = records
            .iter()
            .find(|record| !order.contains_key(&record.trial))
        {
            return Err(ExperimentError::NotARun {
                path: store::RESULTS.into(),
                problem: format!("trial {} is not in the plan", stray.trial),
            });
        }
        records.sort_by_key(|record| order[&record.trial]);
        records.dedup_by(|later, first| later.trial == first.trial);
        let overheads: HashMap<SetKey, Overhead> = scored
            .iter()
            .map(|scored| (scored.set.clone(), scored.overhead))
            .collect();
        let mut selections: Vec<SelectionRecord> = scored
            .into_iter()
            .flat_map(|scored| scored.records)
            .collect();
        fill_selection_time(&plan, &mut records, &selections);

        let (reference, weights) = (&plan.heuristics.reference, plan.heuristics.weights);
        let sets = sets(&plan);
        selections.retain(|selection| selection.heuristic != BRUTE_FORCE);
        selections.extend(sets.iter().filter_map(|set| {
            let overhead = overheads.get(set).copied().unwrap_or_default();
            brute_force(&records, set, reference, weights, overhead)
        }));
        let place = |heuristic: &str, set: &SetKey| {
            let names = &plan.heuristics.names;
            let position = names.iter().position(|name| name == heuristic);
            (
                position.unwrap_or(names.len()),
                heuristic.to_owned(),
                sets.iter().position(|known| known == set),
            )
        };
        selections.sort_by_cached_key(|pick| place(&pick.heuristic, &pick.set()));
        let mut regrets = regrets(&plan, &records, &selections);
        regrets.extend(undecided(&plan, &manifest.layers, &records, &selections));
        regrets.sort_by_cached_key(|row| place(&row.heuristic, &row.set()));
        Ok(Self {
            expected: order.len(),
            plan,
            manifest,
            splits,
            trials: records,
            selections,
            regrets,
            device_checks: Vec::new(),
        })
    }

    /// Writes `results.csv`, `heuristics.csv` and `report.html` into a run directory, each atomically.
    ///
    /// # Errors
    /// [`ExperimentError::Io`] if the disk does not take them, [`ExperimentError::Encode`] if the report
    /// cannot be rendered.
    pub fn write(&self, path: &Path) -> Result<()> {
        let rows = self.trials.iter().map(TrialRecord::row);
        store::write_atomically(&path.join("results.csv"), &csv_bytes("results.csv", rows)?)?;
        let rows = self.regrets.iter();
        store::write_atomically(
            &path.join("heuristics.csv"),
            &csv_bytes("heuristics.csv", rows)?,
        )?;
        store::write_atomically(&path.join("report.html"), report::render(self)?.as_bytes())
    }
}

/// A trial of the table chooses no layer itself: what choosing costs is the time of the default heuristic on
/// its repair set.
fn fill_selection_time(
    plan: &ResolvedPlan,
    records: &mut [TrialRecord],
    selections: &[SelectionRecord],
) {
    let Some(default) = &plan.heuristics.default else {
        return;
    };
    for record in records {
        let set = record.set();
        let selection = selections
            .iter()
            .find(|selection| selection.heuristic == *default && selection.set() == set);
        if record.select_seconds.is_none() {
            record.select_seconds = selection.map(|selection| selection.seconds);
        }
    }
}

/// Rows under a header of their fields' names.
fn csv_bytes<R: Serialize>(name: &str, rows: impl Iterator<Item = R>) -> Result<Vec<u8>> {
    let encode = |source: csv::Error| ExperimentError::Encode {
        what: name.to_owned(),
        source: Box::new(source),
    };
    let whole = |writer: csv::Writer<Vec<u8>>| {
        writer
            .into_inner()
            .map_err(|error| ExperimentError::Encode {
                what: name.to_owned(),
                source: Box::new(error.into_error()),
            })
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(encode)?;
    }
    let bytes = whole(writer)?;
    let mut cells = csv::ReaderBuilder::new();
    let mut cells = cells.has_headers(false).from_reader(&bytes[..]);
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in cells.records() {
        let row = row.map_err(encode)?;
        writer
            .write_record(row.iter().map(|cell| defused(cell).into_owned()))
            .map_err(encode)?;
    }
    whole(writer)
}

/// A cell that no spreadsheet takes for a formula: what begins like one and is no number gets an
/// apostrophe, which spreadsheets read as the mark of a text.
fn defused(cell: &str) -> Cow<'_, str> {
    let is_number = cell.parse().is_ok_and(f64::is_finite);
    match cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) && !is_number {
        true => Cow::Owned(format!("'{cell}")),
        false => Cow::Borrowed(cell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_texts_are_no_formulas_and_numbers_stay_numbers() {
        #[derive(Serialize)]
        struct Row {
            text: &'static str,
            number: f64,
            none: Option<f64>,
        }
        let row = |text, number| Row {
            text,
            number,
            none: None,
        };
        let rows = [
            row("=cmd|' /C calc'!A1", -1.5),
            row("+1+1", 1e-300),
            row("-2+3", -2e9),
            row("@SUM(A1)", 0.0),
            row("\t=1", 1.0),
            row("\r=1", 1.0),
            row("\n=1", 1.0),
            row("a=1, \"b\"", 1.0),
            row("-7", 1.0),
            row("'=1", 1.0),
        ];
        let bytes = csv_bytes("rows.csv", rows.iter()).unwrap();
        let mut reader = csv::Reader::from_reader(&bytes[..]);
        assert_eq!(reader.headers().unwrap(), &["text", "number", "none"][..]);
        for (row, cells) in rows.iter().zip(reader.records()) {
            let cells = cells.unwrap();
            let is_plain = row.text.starts_with(['a', '\'']) || row.text == "-7";
            let expected = if is_plain {
                row.text.to_owned()
            } else {
                format!("'{}", row.text)
            };
            assert_eq!(cells[0], expected);
            assert_eq!(cells[1].parse(), Ok(row.number));
            assert_eq!(&cells[2], "");
        }
        let none: [Row; 0] = [];
        assert_eq!(csv_bytes("rows.csv", none.iter()).unwrap(), b"");
    }
}
