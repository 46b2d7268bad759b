//! The command line: flags, and what they do.
//!
//! Exit codes: 0 every trial ran, whatever its outcome; 1 an error while running; 2 bad usage or a bad plan.
//! A single repair has two more, see [`repair_command`](crate::repair_command).

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use network::{DeviceChoice, Precision};

use crate::analyze_command::{self, AnalyzeArguments};
use crate::error::{ExperimentError, Result};
use crate::manifest::Manifest;
use crate::plan::{DEFAULT_PLAN, Files, ResolvedPlan, Vocabulary, repository_root};
use crate::progress::Progress;
use crate::rank_command::{self, RankArguments, Ranked};
use crate::repair_command::{self, Answer, RepairArguments};
use crate::results::Results;
use crate::run::{Done, Lab, execute as execute_trials, layers};
use crate::store::{PLAN, RunDirectory, fresh_directory, latest_directory};
use crate::table;

/// Repairs networks at every layer, scores layer-selection heuristics against brute force, and reports.
///
/// Without arguments runs the plan that ships with the command.
///
/// Exit codes: 0 every trial ran, whatever its outcome; 1 an error while running; 2 bad usage or a bad plan.
#[derive(Debug, Parser)]
#[command(name = "experiments", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a plan (also without the word `run`)
    Run(RunArguments),
    /// Write the tables and the report of a run directory again
    Report {
        /// The run directory
        run: PathBuf,
    },
    Repair(Box<RepairArguments>),
    Analyze(Box<AnalyzeArguments>),
    RankLayers(Box<RankArguments>),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// Plan to run, a TOML file [default: the shipped plan]
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Run directory [default: runs/<plan name>-<n>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue the run directory, by default the latest of this plan; at most the repair in flight is lost
    #[arg(long)]
    resume: bool,
    /// Repairs that run at once [default: the plan's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Where networks compute [default: the plan's]
    #[arg(long, value_name = "auto|flex|ndarray|wgpu")]
    device: Option<DeviceChoice>,
    /// Float type in which networks compute [default: the plan's, or with --device f32 on wgpu and f64 elsewhere]
    #[arg(long, value_name = "f32|f64")]
    dtype: Option<Precision>,
    /// Number added to every seed of the plan
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    seed: u64,
    /// Keep every repaired network as networks/<trial>.safetensors
    #[arg(long)]
    keep_networks: bool,
}

/// What the command line asks of a [`Lab`] beyond the plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabOptions {
    /// The folder for repaired networks, if they are kept; a trial's file is its identifier with
    /// `.safetensors`, in folders as the identifier has slashes.
    pub networks: Option<PathBuf>,
}

/// A command that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finished {
    /// A plan was run, or its report written again.
    Run {
        /// The short table.
        table: String,
        /// The run directory.
        run: PathBuf,
    },
    /// A network was repaired, or not.
    Repair(Answer),
    /// A repair set was described, in this text.
    Analyze(String),
    /// Layers were ranked.
    RankLayers(Ranked),
}

/// Does what the command line says; `open` loads the networks and datasets of a plan.
///
/// # Errors
/// Whatever stops it; [`ExperimentError::exit_code`] is the process's exit code.
pub fn execute(
    cli: Cli,
    vocabulary: &Vocabulary<'_>,
    progress: &Progress,
    open: impl FnOnce(&ResolvedPlan, &LabOptions) -> Result<Box<dyn Lab>>,
) -> Result<Finished> {
    match cli.command {
        Some(Command::Report { run }) => report(run, vocabulary),
        Some(Command::Run(arguments)) => run(arguments, vocabulary, progress, open),
        Some(Command::Repair(arguments)) => {
            let answer = repair_command::execute(&arguments, progress);
            progress.finish();
            answer.map(Finished::Repair)
        }
        Some(Command::Analyze(arguments)) => {
            analyze_command::execute(&arguments, progress).map(Finished::Analyze)
        }
        Some(Command::RankLayers(arguments)) => {
            let ranked = rank_command::execute(&arguments, progress);
            progress.finish();
            ranked.map(Finished::RankLayers)
        }
        None => run(cli.run, vocabulary, progress, open),
    }
}

fn run(
    arguments: RunArguments,
    vocabulary: &Vocabulary<'_>,
    progress: &Progress,
    open: impl FnOnce(&ResolvedPlan, &LabOptions) -> Result<Box<dyn Lab>>,
) -> Result<Finished> {
    let plan = resolve(&arguments, vocabulary)?;
    let path = directory(&arguments, &plan);
    if !arguments.resume && path.join(PLAN).exists() {
        return Err(ExperimentError::RunExists { path });
    }
    let options = LabOptions {
        networks: arguments.keep_networks.then(|| path.join("networks")),
    };
    progress.say(&format!(
        "networks compute on {} in {}",
        plan.device, plan.dtype
    ));
    let lab = open(&plan, &options)?;
    let layers = layers(&plan, &*lab)?;
    let manifest = Manifest::new(&plan, layers.clone())?;
    let splits = lab.splits()?;
    let (directory, done) = if arguments.resume {
        RunDirectory::resume(&path, &plan, &manifest, &splits, vocabulary)?
    } else {
        let directory = RunDirectory::create(&path, &plan, &manifest, &splits)?;
        (directory, Done::default())
    };
    execute_trials(&plan, &layers, &*lab, &directory, &done, progress)?;
    directory.finish()?;
    report(path, vocabulary)
}

fn report(run: PathBuf, vocabulary: &Vocabulary<'_>) -> Result<Finished> {
    let results = Results::read(&run, vocabulary)?;
    results.write(&run)?;
    Ok(Finished::Run {
        table: table::render(&results),
        run,
    })
}

/// The plan of the command line: the named one, that of the run to continue, or the shipped one, with the
/// flags' values in place of its own.
fn resolve(arguments: &RunArguments, vocabulary: &Vocabulary<'_>) -> Result<ResolvedPlan> {
    let here = std::env::current_dir().map_err(ExperimentError::io("find", "."))?;
    let root = repository_root(&here);
    let continued = arguments
        .out
        .as_ref()
        .filter(|_| arguments.resume)
        .map(|out| out.join(PLAN))
        .filter(|path| path.is_file());
    let (name, text) = match arguments.plan.as_ref().or(continued.as_ref()) {
        Some(path) => (path.display().to_string(), read(path)?),
        None => ("default.toml".to_owned(), DEFAULT_PLAN.to_owned()),
    };
    let mut plan = ResolvedPlan::parse(&name, &text, vocabulary, &root, Files::Required)?;
    plan.offset_seeds(arguments.seed)?;
    if let Some(jobs) = arguments.jobs {
        plan.jobs = usize::from(jobs);
    }
    if let Some(device) = arguments.device {
        plan.device = device.resolve();
        plan.dtype = device.default_precision();
    }
    if let Some(dtype) = arguments.dtype {
        plan.dtype = dtype;
    }
    Ok(plan)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => ExperimentError::Usage {
            problem: format!("no plan file {}", path.display()),
        },
        std::io::ErrorKind::InvalidData => ExperimentError::Usage {
            problem: format!("plan file {} is not UTF-8", path.display()),
        },
        _ => ExperimentError::io("read", path)(source),
    })
}

fn directory(arguments: &RunArguments, plan: &ResolvedPlan) -> PathBuf {
    let parent = Path::new("runs");
    let latest = || {
        let latest = latest_directory(parent, &plan.name);
        latest.filter(|_| arguments.resume)
    };
    arguments
        .out
        .clone()
        .or_else(latest)
        .unwrap_or_else(|| fresh_directory(parent, &plan.name))
}
