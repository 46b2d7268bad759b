//! What a run was made of: builds, seeds, hashes, machine, splits.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{ExperimentError, Result};
use crate::plan::ResolvedPlan;
use crate::run::Layers;

/// A file that the results depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHash {
    /// What the plan uses it for first.
    pub role: String,
    /// Its path as written in the plan.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// A build of this package that ran trials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Version of this package.
    pub version: String,
    /// The compiler, where the build tells.
    pub rustc: Option<String>,
    /// Cargo profile of the build.
    pub profile: String,
    /// SHA-256 of the executable, where the system tells.
    pub executable: Option<String>,
    /// When it began to run trials, UTC.
    pub since: String,
}

/// The machine of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system.
    pub os: String,
    /// Instruction set.
    pub architecture: String,
    /// Processor model, where the system tells.
    pub cpu: Option<String>,
    /// Threads that run at once.
    pub cores: usize,
    /// Memory in bytes, where the system tells.
    pub memory_bytes: Option<u64>,
}

/// Which examples a split, or one repair set, holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitSummary {
    /// Name of the split.
    pub split: String,
    /// The network that it depends on, if any.
    pub network: Option<String>,
    /// Size of the repair set, if it is one.
    pub points: Option<usize>,
    /// Seed of the repair set, if it is one.
    pub seed: Option<u64>,
    /// Name of the dataset.
    pub source: String,
    /// Corruption of its images.
    pub corruption: String,
    /// Positions of its examples in the dataset.
    pub ids: Vec<u32>,
}

impl fmt::Display for SplitSummary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "split {}", self.split)?;
        if let Some(network) = &self.network {
            write!(out, " of {network}")?;
        }
        match (self.points, self.seed) {
            (Some(points), Some(seed)) => write!(out, ", {points} points by seed {seed}"),
            _ => Ok(()),
        }
    }
}

/// The file `manifest.json` of a run directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this package in the build that started the run.
    pub version: String,
    /// Its compiler, where the build tells.
    pub rustc: Option<String>,
    /// Its Cargo profile.
    pub profile: String,
    /// SHA-256 of its executable, where it is known.
    #[serde(default)]
    pub executable: Option<String>,
    /// The builds that resumed the run after another one, in order.
    #[serde(default)]
    pub continued_by: Vec<Build>,
    /// Whether repaired networks are kept, where it is known.
    #[serde(default)]
    pub keep_networks: Option<bool>,
    /// What the command line added to the seeds of the plan file.
    #[serde(default)]
    pub seed_offset: u64,
    /// Seeds of the repair sets.
    pub seeds: Vec<u64>,
    /// SHA-256 of `plan.toml`.
    pub plan_sha256: String,
    /// Networks and datasets.
    pub files: Vec<FileHash>,
    /// The layers that are repaired, of each network.
    pub layers: Layers,
    /// The machine.
    pub machine: Machine,
    /// When the run was started, UTC.
    pub started: String,
    /// When it was resumed, UTC.
    pub resumed: Vec<String>,
    /// When its last trial was done, UTC.
    pub finished: Option<String>,
}

impl Manifest {
    /// The manifest of a run that starts now and keeps no networks. Hashes every file of the plan.
    ///
    /// # Errors
    /// [`ExperimentError::Io`] if a file cannot be read.
    pub fn new(plan: &ResolvedPlan, layers: Layers) -> Result<Self> {
        let mut files = Vec::new();
        for (role, file) in plan.files() {
            let (bytes, sha256) = hash_file(&file.path)?;
            files.push(FileHash {
                role,
                path: file.written.clone(),
                bytes,
                sha256,
            });
        }
        let profile = if cfg!(debug_assertions) {
            "dev"
        } else {
            "release"
        };
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            rustc: option_env!("BUILD_RUSTC_VERSION").map(str::to_owned),
            profile: profile.to_owned(),
            executable: executable(),
            continued_by: Vec::new(),
            keep_networks: Some(false),
            seed_offset: 0,
            seeds: plan.seeds.clone(),
            plan_sha256: hash(plan.to_toml()?.as_bytes()),
            files,
            layers,
            machine: machine(),
            started: now(),
            resumed: Vec::new(),
            finished: None,
        })
    }

    /// The build that ran it last.
    fn last_build(&self) -> Build {
        self.continued_by.last().cloned().unwrap_or_else(|| Build {
            version: self.version.clone(),
            rustc: self.rustc.clone(),
            profile: self.profile.clone(),
            executable: self.executable.clone(),
            since: self.started.clone(),
        })
    }

    /// Whether the build of `now` is not known to be the one that ran this last.
    pub(crate) fn is_of_another_build(&self, now: &Self) -> bool {
        let last = self.last_build();
        let since = last.since.clone();
        last != Build {
            since,
            ..now.last_build()
        }
    }

    /// Notes that the run goes on as `now`.
    pub(crate) fn resume(&mut self, now: &Self) {
        if self.is_of_another_build(now) {
            self.continued_by.push(now.last_build());
        }
        self.keep_networks = self.keep_networks.or(now.keep_networks);
        self.resumed.push(now.started.clone());
        self.finished = None;
    }
}

/// SHA-256 of the running program, taken once: the file may be replaced while it runs.
fn executable() -> Option<String> {
    static EXECUTABLE: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        let (_, sha256) = hash_file(&std::env::current_exe().ok()?).ok()?;
        Some(sha256)
    };
    EXECUTABLE.get_or_init(read).clone()
}

/// SHA-256 of `bytes`, hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// Length and SHA-256 of a file.
///
/// # Errors
/// [`ExperimentError::Io`] if it cannot be read.
pub fn hash_file(path: &Path) -> Result<(u64, String)> {
    let opened = disk::open(path).map_err(std::io::Error::from);
    let (mut file, _) = opened.map_err(ExperimentError::io("open", path))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let count = file
            .read(&mut buffer)
            .map_err(ExperimentError::io("read", path))?;
        if count == 0 {
            return Ok((bytes, hexadecimal(&digest.finalize())));
        }
        digest.update(&buffer[..count]);
        bytes += count as u64;
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn machine() -> Machine {
    let proc = |file: &str, key: &str| -> Option<String> {
        let text = std::fs::read_to_string(Path::new("/proc").join(file)).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let kibibytes = proc("meminfo", "MemTotal")
        .and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
    Machine {
        os: std::env::consts::OS.to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        cpu: proc("cpuinfo", "model name"),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: kibibytes.map(|count| count * 1024),
    }
}

/// The time now as `2000-01-31T23:59:59Z`.
pub(crate) fn now() -> String {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    utc(elapsed.as_secs())
}

/// Seconds since 1970 as a UTC time, by the proleptic Gregorian calendar: years are counted from March, so
/// that the leap day is a year's last, and repeat every 400 years.
fn utc(seconds: u64) -> String {
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + carry;
    format!(
        "{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z",
        clock / 3600,
        clock / 60 % 60,
        clock % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_the_calendar() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(utc(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn hash_is_sha_256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hash(b""), empty);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![7; 100_000]).unwrap();
        assert_eq!(hash_file(&path).unwrap(), (100_000, hash(&[7; 100_000])));
    }
}
