//! The stored corpus of every fuzz target is read as the target reads it: without a panic, and in time.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use workspace_tests::formats::{TARGETS, Target};
use workspace_tests::{repository, stems};

/// The longest that one file may take, on a busy machine and without optimisation. Most take milliseconds.
const LONGEST: Duration = Duration::from_secs(20);

fn fuzz() -> PathBuf {
    repository().join("tests/fuzz")
}

/// The files of a target in `corpus` or `regressions`, in the order of their names.
fn files(kind: &str, target: &Target) -> Vec<PathBuf> {
    let folder = fuzz().join(kind).join(target.name);
    let mut files = entries(&folder);
    files.sort();
    files
}

/// What is in a folder; nothing where there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Reads a file; whether it was read, or what went wrong.
fn read(target: &Target, file: &Path) -> Result<bool, String> {
    let bytes = std::fs::read(file).unwrap();
    let start = Instant::now();
    let read = catch_unwind(AssertUnwindSafe(|| (target.read)(&bytes)));
    let took = start.elapsed();
    let read = read.map_err(|_| format!("{}: panicked", file.display()))?;
    if took > LONGEST {
        return Err(format!("{}: took {took:.1?}", file.display()));
    }
    Ok(read)
}

#[test]
fn every_file_of_the_corpus_is_read_or_refused() {
    let mut failures = Vec::new();
    for target in &TARGETS {
        let mut any = false;
        for file in files("corpus", target) {
            match read(target, &file) {
                Ok(read) => any |= read,
                Err(failure) => failures.push(failure),
            }
        }
        if !any {
            failures.push(format!("{}: its whole corpus is refused", target.name));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn what_fuzzing_found_stays_mended() {
    let found = TARGETS.iter().flat_map(|target| {
        let files = files("regressions", target).into_iter();
        files.filter_map(|file| read(target, &file).err())
    });
    let failures: Vec<String> = found.collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let names: BTreeSet<String> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    assert_eq!(names.len(), TARGETS.len(), "names are unique");
    assert_eq!(stems(&fuzz().join("fuzz_targets"), "rs"), names);
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in &names {
        let path = format!("path = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&path), "{path} is in the manifest");
    }
    let folders = |kind: &str| -> BTreeSet<String> {
        let folders = entries(&fuzz().join(kind)).into_iter();
        let name = |folder: PathBuf| folder.file_name().unwrap().to_str().unwrap().to_owned();
        folders.map(name).collect()
    };
    assert_eq!(folders("corpus"), names);
    assert!(folders("regressions").is_subset(&names));
}
