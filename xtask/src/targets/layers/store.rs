//! Lines of JSON that a study appends to, so that it goes on where it was stopped.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use hub::Checksum;
use miette::{Context, IntoDiagnostic, miette};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::files::write_atomically;

/// What results depend on. Those of other settings are not mixed with them.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) time_box_seconds: f64,
    pub(super) rounds: usize,
    /// Selection and test examples.
    pub(super) clean: [usize; 2],
    /// Guard examples of images and texts, and of vectors.
    pub(super) guard: [usize; 2],
    /// Share of brute force's time that the search gets.
    pub(super) budget_share: f64,
}

impl Settings {
    /// Writes them into a folder of results, or compares them with those that are there.
    pub(super) fn keep(&self, folder: &Path) -> miette::Result<()> {
        let path = folder.join("settings.json");
        let what = || format!("settings {}", path.display());
        if path.exists() {
            let text = std::fs::read_to_string(&path).into_diagnostic();
            let text = text.wrap_err_with(what)?;
            let kept: Self = serde_json::from_str(&text)
                .into_diagnostic()
                .wrap_err_with(what)?;
            return match kept == *self {
                true => Ok(()),
                false => Err(miette!(
                    "the results in {} are of other settings: expected {self:?}, got {kept:?}; name another folder with --store",
                    folder.display()
                )),
            };
        }
        if folder.join("trials.jsonl").exists() {
            return Err(miette!(
                "there are results in {} and no settings.json that says how they were made; name another folder with --store",
                folder.display()
            ));
        }
        std::fs::create_dir_all(folder)
            .into_diagnostic()
            .wrap_err_with(what)?;
        write_atomically(&path, serde_json::to_string_pretty(self).into_diagnostic()?)
    }
}

/// A hash of this command: which results come of one build.
pub(super) fn build() -> miette::Result<String> {
    let path = std::env::current_exe().into_diagnostic()?;
    let bytes = std::fs::read(path).into_diagnostic()?;
    Ok(Checksum::of(&bytes).to_string().chars().take(12).collect())
}

/// Makes this process the only one that writes into a folder of results, for as long as the file
/// is open: opening a [`Store`] drops what another process appends meanwhile.
pub(super) fn lock(folder: &Path) -> miette::Result<File> {
    let path = folder.join("lock");
    let what = || format!("lock {}", path.display());
    std::fs::create_dir_all(folder)
        .into_diagnostic()
        .wrap_err_with(what)?;
    let file = File::create(&path).into_diagnostic().wrap_err_with(what)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(miette!(
            "another process writes its results into {}; let it end, or name another folder with --store",
            folder.display()
        )),
        Err(TryLockError::Error(error)) => Err(error).into_diagnostic().wrap_err_with(what),
    }
}

/// A file of records.
pub(super) struct Store<T> {
    path: PathBuf,
    pub(super) records: Vec<T>,
}

impl<T: Serialize + DeserializeOwned> Store<T> {
    /// Reads what is there. A last line that was cut off is dropped.
    pub(super) fn open(path: &Path) -> miette::Result<Self> {
        let mut records = Vec::new();
        if path.exists() {
            let what = || format!("results {}", path.display());
            let file = File::open(path).into_diagnostic().wrap_err_with(what)?;
            let lines = BufReader::new(file).lines().collect::<Result<Vec<_>, _>>();
            let lines = lines.into_diagnostic().wrap_err_with(what)?;
            for (number, line) in lines.iter().enumerate() {
                match serde_json::from_str(line) {
                    Ok(record) => records.push(record),
                    Err(_) if number + 1 == lines.len() => {}
                    Err(error) => {
                        let at = format!("{}, line {}", path.display(), number + 1);
                        return Err(miette!("{at}: {error}"));
                    }
                }
            }
        }
        let store = Self {
            path: path.to_owned(),
            records,
        };
        store.rewrite()?;
        Ok(store)
    }

    /// Writes the records that could be read, so that what follows starts on a line of its own.
    fn rewrite(&self) -> miette::Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).into_diagnostic()?;
        }
        let mut text = String::new();
        for record in &self.records {
            text += &serde_json::to_string(record).into_diagnostic()?;
            text.push('\n');
        }
        write_atomically(&self.path, text)
    }

    /// Adds a record, on disk first.
    pub(super) fn push(&mut self, record: T) -> miette::Result<()> {
        let line = serde_json::to_string(&record).into_diagnostic()? + "\n";
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .into_diagnostic()
            .wrap_err_with(|| format!("results {}", self.path.display()))?;
        file.write_all(line.as_bytes()).into_diagnostic()?;
        self.records.push(record);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_goes_on_behind_a_line_that_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/trials.jsonl");
        let mut store: Store<u32> = Store::open(&path).unwrap();
        store.push(7).unwrap();
        std::fs::write(&path, "7\n[8").unwrap();
        let mut store: Store<u32> = Store::open(&path).unwrap();
        assert_eq!(store.records, [7]);
        store.push(9).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "7\n9\n");
    }

    #[test]
    fn a_folder_of_results_has_one_writer_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("deep");
        let held = lock(&store).unwrap();
        let error = lock(&store).unwrap_err().to_string();
        assert!(
            error.contains("another process") && error.contains("deep"),
            "{error}"
        );
        drop(held);
        lock(&store).unwrap();
    }

    #[test]
    fn results_of_other_settings_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let settings = |seconds| Settings {
            time_box_seconds: seconds,
            rounds: 9,
            clean: [1, 2],
            guard: [3, 4],
            budget_share: 0.5,
        };
        settings(5.0).keep(folder.path()).unwrap();
        settings(5.0).keep(folder.path()).unwrap();
        let error = settings(6.0).keep(folder.path()).unwrap_err().to_string();
        assert!(error.contains("6.0") && error.contains("5.0"), "{error}");
    }

    #[test]
    fn a_bad_line_in_the_middle_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trials.jsonl");
        std::fs::write(&path, "7\nx\n9\n").unwrap();
        let error = Store::<u32>::open(&path).err().unwrap().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
