//! The run directory.
//!
//! | file | content |
//! |---|---|
//! | `plan.toml` | the resolved plan |
//! | `splits.json` | the examples of every split and repair set |
//! | `manifest.json` | builds, seeds, hashes, machine |
//! | `device_check.json` | on a device that is not the reference: how far it is from it, each time that the run goes on |
//! | `results.jsonl` | a line per trial, as soon as it is done |
//! | `selections.jsonl` | a line per repair set: every heuristic's scores, brute force's overhead |
//! | `results.csv`, `heuristics.csv`, `report.html` | written at the end, and by `report` |
//! | `networks/` | repaired networks, if asked for |
//!
//! The manifest is written last: a folder without one holds nothing yet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use network::{DeviceCheck, Output};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{ExperimentError, Result};
use crate::journal::{self, Journal};
use crate::manifest::{Manifest, SplitSummary, now};
use crate::plan::{Files, ResolvedPlan, Vocabulary, repository_root};
use crate::record::{SelectionRecord, TrialRecord};
use crate::regret::Overhead;
use crate::run::{Done, SetKey};
use crate::terminal::shown_json;

pub(crate) const PLAN: &str = "plan.toml";
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const SPLITS: &str = "splits.json";
pub(crate) const RESULTS: &str = "results.jsonl";
pub(crate) const SELECTIONS: &str = "selections.jsonl";
pub(crate) const DEVICE_CHECKS: &str = "device_check.json";

/// What was found of the device when a run was started or continued; an entry of `device_check.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceChecks {
    /// When, UTC.
    pub since: String,
    /// What was found, by the name of the network.
    pub networks: BTreeMap<String, DeviceCheck>,
}

/// A line of `selections.jsonl`: all heuristics on one repair set, so that a set is scored or is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoredSet {
    /// The repair set.
    pub set: SetKey,
    /// A record per heuristic that scores a layer.
    pub records: Vec<SelectionRecord>,
    /// What brute force costs beside its repairs; nothing where it is not known.
    #[serde(default)]
    pub overhead: Overhead,
}

/// A run directory open for writing.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    trials: Journal,
    selections: Journal,
}

impl RunDirectory {
    /// Starts a run in `path`, which is made if it does not exist.
    ///
    /// # Errors
    /// [`ExperimentError::RunExists`] if the folder holds anything.
    pub fn create(
        path: &Path,
        plan: &ResolvedPlan,
        manifest: &Manifest,
        splits: &[SplitSummary],
    ) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(ExperimentError::io("create", path))?;
        let mut entries = std::fs::read_dir(path).map_err(ExperimentError::io("list", path))?;
        if entries.next().is_some() {
            return Err(ExperimentError::RunExists {
                path: path.to_path_buf(),
            });
        }
        let run = Self::open(path)?;
        write_atomically(&path.join(PLAN), plan.to_toml()?.as_bytes())?;
        write_json(&path.join(SPLITS), &splits)?;
        write_json(&path.join(MANIFEST), manifest)?;
        Ok(run)
    }

    /// Continues the run in `path` and notes in its manifest which build does. A torn last line is cut off.
    ///
    /// # Errors
    /// [`ExperimentError::NotARun`] if none was started there; [`ExperimentError::DifferentRun`] if the plan
    /// (apart from `jobs`), a network, a dataset or a split is not the one that the run was started with, or
    /// if networks are to be kept and those of finished trials were not; [`ExperimentError::RunInUse`] if
    /// another process writes to it.
    pub fn resume(
        path: &Path,
        plan: &ResolvedPlan,
        manifest: &Manifest,
        splits: &[SplitSummary],
        vocabulary: &Vocabulary<'_>,
    ) -> Result<(Self, Done)> {
        let mut started = read_manifest(path)?;
        same_plan(path, &read_plan(path, vocabulary)?, plan)?;
        same_files(path, &started, manifest)?;
        same_splits(path, &read_splits(path)?, splits)?;
        if (started.keep_networks, manifest.keep_networks) == (Some(false), Some(true)) {
            return Err(ExperimentError::different_run(
                path,
                "--keep-networks",
                "off",
                "on",
            ));
        }
        // Locked before it is read: a torn line may be another process's that is being written.
        let run = Self::open(path)?;
        let (trials, trials_end) = journal::read::<TrialRecord>(&path.join(RESULTS))?;
        let (sets, sets_end) = journal::read::<ScoredSet>(&path.join(SELECTIONS))?;
        run.trials.truncate(trials_end)?;
        run.selections.truncate(sets_end)?;
        started.resume(manifest);
        write_json(&path.join(MANIFEST), &started)?;
        let done = Done {
            trials: trials.into_iter().map(|trial| trial.trial).collect(),
            sets: sets.into_iter().map(|scored| scored.set).collect(),
        };
        Ok((run, done))
    }

    fn open(path: &Path) -> Result<Self> {
        let trials = Journal::open(&path.join(RESULTS))?;
        if !trials.lock()? {
            return Err(ExperimentError::RunInUse {
                path: path.to_path_buf(),
            });
        }
        Ok(Self {
            path: path.to_path_buf(),
            selections: Journal::open(&path.join(SELECTIONS))?,
            trials,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends and flushes the record of one trial.
    ///
    /// # Errors
    /// [`ExperimentError::Io`] if the disk does not take it.
    pub fn append_trial(&self, record: &TrialRecord) -> Result<()> {
        self.trials.append(record)
    }

    /// Appends and flushes the scores of one repair set.
    ///
    /// # Errors
    /// [`ExperimentError::Io`] if the disk does not take it.
    pub fn append_selections(&self, scored: &ScoredSet) -> Result<()> {
        self.selections.append(scored)
    }

    /// Notes what was found of the device, after what was found before the run was continued; writes
    /// nothing on the reference device, of which nothing is found.
    ///
    /// # Errors
    /// [`ExperimentError::Io`] if the disk does not take it; [`ExperimentError::NotARun`] if the file
    /// that is there cannot be read.
    pub fn add_device_checks(&self, networks: BTreeMap<String, DeviceCheck>) -> Result<()> {
        if networks.is_empty() {
            return Ok(());
        }
        let mut all = read_device_checks(&self.path)?;
        all.push(DeviceChecks {
            since: now(),
            networks,
        });
        write_json(&self.path.join(DEVICE_CHECKS), &all)
    }

    /// Notes in the manifest that every trial is done.
    ///
    /// # Errors
    /// [`ExperimentError::Io`] if the manifest cannot be written.
    pub fn finish(&self) -> Result<()> {
        let mut manifest = read_manifest(&self.path)?;
        manifest.finished = Some(now());
        write_json(&self.path.join(MANIFEST), &manifest)
    }
}

/// `parent/<name>-<n>` with the least `n` from 1 that is free.
pub fn fresh_directory(parent: &Path, name: &str) -> PathBuf {
    let mut n = 1;
    loop {
        let path = parent.join(format!("{name}-{n}"));
        if !path.exists() {
            return path;
        }
        n += 1;
    }
}

/// `parent/<name>-<n>` with the largest `n` that exists.
pub fn latest_directory(parent: &Path, name: &str) -> Option<PathBuf> {
    let prefix = format!("{name}-");
    let number = |entry: &std::fs::DirEntry| -> Option<u64> {
        entry
            .file_name()
            .to_str()?
            .strip_prefix(&prefix)?
            .parse()
            .ok()
    };
    std::fs::read_dir(parent)
        .ok()?
        .filter_map(std::result::Result::ok)
        .filter_map(|entry| Some((number(&entry)?, entry.path())))
        .max()
        .map(|(_, path)| path)
}

/// Writes a file so that its name always refers to a whole one: a temporary file beside it is renamed.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_output(&Output::replacing(path), bytes)
}

fn write_output(output: &Output<'_>, bytes: &[u8]) -> Result<()> {
    let written = output.write(bytes);
    written.map_err(ExperimentError::output(output.path()))
}

/// Writes a value as JSON over what is there, as [`write_atomically`] does.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    write_json_to(&Output::replacing(path), value)
}

/// Writes a value as JSON.
pub(crate) fn write_json_to(output: &Output<'_>, value: &impl Serialize) -> Result<()> {
    let text = json(value, || output.path().display().to_string())?;
    write_output(output, format!("{text}\n").as_bytes())
}

/// A value as JSON for people, with nothing in it that a terminal obeys.
pub(crate) fn json(value: &impl Serialize, what: impl FnOnce() -> String) -> Result<String> {
    let text = serde_json::to_string_pretty(value).map_err(|source| ExperimentError::Encode {
        what: what(),
        source: Box::new(source),
    })?;
    Ok(shown_json(&text).into_owned())
}

/// A file of a run, which may come from elsewhere.
fn read_text(run: &Path, name: &str) -> Result<String> {
    let read = disk::read_text(&run.join(name), journal::MOST_BYTES).map_err(std::io::Error::from);
    read.map_err(|error| ExperimentError::NotARun {
        path: run.to_path_buf(),
        problem: format!("{name}: {error}"),
    })
}

fn read_json<T: DeserializeOwned>(run: &Path, name: &str) -> Result<T> {
    let text = read_text(run, name)?;
    serde_json::from_str(&text).map_err(|error| ExperimentError::NotARun {
        path: run.to_path_buf(),
        problem: format!("{name}: {error}"),
    })
}

pub(crate) fn read_manifest(run: &Path) -> Result<Manifest> {
    read_json(run, MANIFEST)
}

pub(crate) fn read_splits(run: &Path) -> Result<Vec<SplitSummary>> {
    read_json(run, SPLITS)
}

/// What was found of the device each time; nothing where only the reference device has computed.
pub(crate) fn read_device_checks(run: &Path) -> Result<Vec<DeviceChecks>> {
    match run.join(DEVICE_CHECKS).exists() {
        true => read_json(run, DEVICE_CHECKS),
        false => Ok(Vec::new()),
    }
}

/// The resolved plan of a run; its files need not be there.
pub(crate) fn read_plan(run: &Path, vocabulary: &Vocabulary<'_>) -> Result<ResolvedPlan> {
    let path = run.join(PLAN);
    let text = read_text(run, PLAN)?;
    let root = repository_root(run);
    ResolvedPlan::parse(
        &path.display().to_string(),
        &text,
        vocabulary,
        &root,
        Files::Ignored,
    )
}

pub(crate) fn read_trials(run: &Path) -> Result<Vec<TrialRecord>> {
    Ok(journal::read(&run.join(RESULTS))?.0)
}

pub(crate) fn read_selections(run: &Path) -> Result<Vec<ScoredSet>> {
    Ok(journal::read(&run.join(SELECTIONS))?.0)
}

fn same_plan(path: &Path, started: &ResolvedPlan, continued: &ResolvedPlan) -> Result<()> {
    let started = started.without_jobs().to_toml()?;
    let continued = continued.without_jobs().to_toml()?;
    if started == continued {
        return Ok(());
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (started, continued) = (lines(&started), lines(&continued));
    let differs = first_difference(&started, &continued);
    let line = |lines: &[String]| {
        let line = differs.and_then(|at| lines.get(at));
        line.map_or_else(|| "its end".to_owned(), |line| format!("`{line}`"))
    };
    let (expected, got) = (line(&started), line(&continued));
    Err(ExperimentError::different_run(
        path, "the plan", expected, got,
    ))
}

fn same_files(path: &Path, started: &Manifest, continued: &Manifest) -> Result<()> {
    for (a, b) in started.files.iter().zip(&continued.files) {
        if a.sha256 != b.sha256 {
            let what = format!("{} ({})", a.role, a.path);
            let expected = format!("sha256 {}", a.sha256);
            return Err(ExperimentError::different_run(
                path, what, expected, &b.sha256,
            ));
        }
    }
    Ok(())
}

/// Another build may draw other examples from the same files by the same plan.
fn same_splits(path: &Path, started: &[SplitSummary], continued: &[SplitSummary]) -> Result<()> {
    let Some(at) = first_difference(started, continued) else {
        return Ok(());
    };
    let (Some(a), Some(b)) = (started.get(at), continued.get(at)) else {
        let [expected, got] = [started, continued].map(|splits| splits.len().to_string());
        let what = format!("the number of splits ({SPLITS})");
        return Err(ExperimentError::different_run(path, what, expected, got));
    };
    let example = |split: &SplitSummary| {
        let id = first_difference(&a.ids, &b.ids).and_then(|at| split.ids.get(at));
        id.map_or_else(|| split.to_string(), |id| format!("example {id}"))
    };
    let (what, expected) = (format!("{a} ({SPLITS})"), example(a));
    Err(ExperimentError::different_run(
        path,
        what,
        expected,
        example(b),
    ))
}

/// The first position at which two lists differ, if they do.
fn first_difference<T: PartialEq>(a: &[T], b: &[T]) -> Option<usize> {
    let differs = a.iter().zip(b).position(|(a, b)| a != b);
    differs.or_else(|| (a.len() != b.len()).then(|| a.len().min(b.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_directories_count_up_and_the_latest_is_found_by_number() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(latest_directory(folder.path(), "fog"), None);
        for n in 1..=10 {
            let path = fresh_directory(folder.path(), "fog");
            assert!(path.ends_with(format!("fog-{n}")));
            std::fs::create_dir(path).unwrap();
        }
        std::fs::create_dir(folder.path().join("fog-quick-99")).unwrap();
        let latest = latest_directory(folder.path(), "fog").unwrap();
        assert!(latest.ends_with("fog-10"));
    }

    #[test]
    fn an_atomic_write_replaces_the_file_and_leaves_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomically(&path, b"first").unwrap();
        write_atomically(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
