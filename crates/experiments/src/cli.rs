//! The command line: flags, and what they do.
//!
//! Exit codes: 0 every trial ran, whatever its outcome; 1 an error while running; 2 bad usage or a bad plan.
//! A single repair has two more, see [`repair_command`](crate::repair_command).

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use network::{DeviceChoice, Precision};

use crate::analyze_command::{self, AnalyzeArguments};
use crate::error::{ExperimentError, Result};
use crate::inspect_command::{self, InspectArguments};
use crate::manifest::Manifest;
use crate::plan::{DEFAULT_PLAN, Files, ResolvedPlan, Vocabulary, repository_root};
use crate::progress::Progress;
use crate::rank_command::{self, RankArguments, Ranked};
use crate::repair_command::{self, Answer, RepairArguments};
use crate::results::Results;
use crate::run::{Done, Lab, execute as execute_trials, layers};
use crate::store::{PLAN, RunDirectory, fresh_directory, latest_directory, read_manifest};
use crate::table;

/// Where run directories are made.
const RUNS: &str = "runs";

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
    Inspect(Box<InspectArguments>),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// Plan to run, a TOML file [default: the shipped plan]
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Run directory [default: runs/<plan name>-<n>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue the run directory, by default the latest of this plan, as it was started; at most the repair
    /// in flight is lost
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
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
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
    /// A network was described, in this text.
    Inspect(String),
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
    let finished = match cli.command {
        Some(Command::Report { run }) => report(run, vocabulary),
        Some(Command::Run(arguments)) => run(arguments, vocabulary, progress, open),
        Some(Command::Repair(arguments)) => {
            repair_command::execute(&arguments, progress).map(Finished::Repair)
        }
        Some(Command::Analyze(arguments)) => {
            analyze_command::execute(&arguments, progress).map(Finished::Analyze)
        }
        Some(Command::RankLayers(arguments)) => {
            rank_command::execute(&arguments, progress).map(Finished::RankLayers)
        }
        Some(Command::Inspect(arguments)) => {
            inspect_command::execute(&arguments).map(Finished::Inspect)
        }
        None => run(cli.run, vocabulary, progress, open),
    };
    progress.finish();
    finished
}

fn run(
    arguments: RunArguments,
    vocabulary: &Vocabulary<'_>,
    progress: &Progress,
    open: impl FnOnce(&ResolvedPlan, &LabOptions) -> Result<Box<dyn Lab>>,
) -> Result<Finished> {
    let Request {
        plan,
        path,
        started,
    } = Request::new(&arguments, vocabulary)?;
    let kept = started.as_ref().and_then(|run| run.keep_networks);
    let keep_networks = arguments.keep_networks || kept == Some(true);
    let options = LabOptions {
        networks: keep_networks.then(|| path.join("networks")),
    };
    progress.say(&format!(
        "networks compute on {} in {}",
        plan.device, plan.dtype
    ));
    let lab = open(&plan, &options)?;
    let checks = lab.device_checks();
    for (network, check) in &checks {
        progress.say(&format!("{network}: {check}"));
    }
    let layers = layers(&plan, &*lab)?;
    let manifest = Manifest {
        keep_networks: Some(keep_networks),
        seed_offset: arguments.seed.unwrap_or(0),
        ..Manifest::new(&plan, layers.clone())?
    };
    let splits = lab.splits()?;
    let (directory, done) = match &started {
        Some(_) => RunDirectory::resume(&path, &plan, &manifest, &splits, vocabulary)?,
        None => {
            let directory = RunDirectory::create(&path, &plan, &manifest, &splits)?;
            (directory, Done::default())
        }
    };
    directory.add_device_checks(checks)?;
    if started.is_some_and(|run| run.is_of_another_build(&manifest)) {
        progress.say(&format!(
            "this build is not known to be the one that ran {} before: manifest.json names both",
            path.display()
        ));
    }
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

/// What the command line asks to run, and where.
struct Request {
    plan: ResolvedPlan,
    path: PathBuf,
    /// The manifest of the run that is continued.
    started: Option<Manifest>,
}

impl Request {
    fn new(arguments: &RunArguments, vocabulary: &Vocabulary<'_>) -> Result<Self> {
        let mut request = if arguments.resume {
            Self::continued(arguments, vocabulary)?
        } else {
            Self::fresh(arguments, vocabulary)?
        };
        let plan = &mut request.plan;
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
        Ok(request)
    }

    fn fresh(arguments: &RunArguments, vocabulary: &Vocabulary<'_>) -> Result<Self> {
        let plan = named_plan(arguments, vocabulary)?;
        let path = match &arguments.out {
            Some(out) => out.clone(),
            None => fresh_directory(Path::new(RUNS), &plan.name),
        };
        if path.join(PLAN).exists() {
            return Err(ExperimentError::RunExists { path });
        }
        Ok(Self {
            plan,
            path,
            started: None,
        })
    }

    /// The run goes on with its own plan, whose seeds are offset already, unless another one is named.
    fn continued(arguments: &RunArguments, vocabulary: &Vocabulary<'_>) -> Result<Self> {
        let path = match &arguments.out {
            Some(out) => out.clone(),
            None => latest_run(&named_plan(arguments, vocabulary)?.name)?,
        };
        let started = read_manifest(&path)?;
        let plan = match (&arguments.plan, arguments.seed) {
            (Some(_), _) => named_plan(arguments, vocabulary)?,
            (None, Some(seed)) if seed != started.seed_offset => {
                let (expected, got) = (started.seed_offset.to_string(), seed.to_string());
                return Err(ExperimentError::different_run(
                    &path, "--seed", expected, got,
                ));
            }
            (None, _) => plan_file(&path.join(PLAN), vocabulary)?,
        };
        Ok(Self {
            plan,
            path,
            started: Some(started),
        })
    }
}

/// The latest run of the plan of that name.
fn latest_run(name: &str) -> Result<PathBuf> {
    latest_directory(Path::new(RUNS), name).ok_or_else(|| ExperimentError::Usage {
        problem: format!("--resume: expected a run of plan {name} in {RUNS}, found none"),
    })
}

/// The plan that the command line names, or the shipped one, with its seeds offset.
fn named_plan(arguments: &RunArguments, vocabulary: &Vocabulary<'_>) -> Result<ResolvedPlan> {
    let mut plan = match &arguments.plan {
        Some(path) => plan_file(path, vocabulary)?,
        None => parse("default.toml", DEFAULT_PLAN, vocabulary)?,
    };
    plan.offset_seeds(arguments.seed.unwrap_or(0))?;
    Ok(plan)
}

fn plan_file(path: &Path, vocabulary: &Vocabulary<'_>) -> Result<ResolvedPlan> {
    parse(&path.display().to_string(), &read(path)?, vocabulary)
}

fn parse(name: &str, text: &str, vocabulary: &Vocabulary<'_>) -> Result<ResolvedPlan> {
    let here = std::env::current_dir().map_err(ExperimentError::io("find", "."))?;
    let root = repository_root(&here);
    ResolvedPlan::parse(name, text, vocabulary, &root, Files::Required)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laboratory;

    #[test]
    fn no_command_leaves_its_progress_on_the_terminal() {
        let commands: [&[&str]; 3] = [
            &["analyze", "--network", "nowhere", "--repair", "nowhere"],
            &["report", "nowhere"],
            &["run", "--plan", "nowhere.toml"],
        ];
        let names = laboratory::vocabulary();
        for arguments in commands {
            let cli = Cli::try_parse_from(["experiments"].iter().chain(arguments)).unwrap();
            let (progress, bar) = Progress::hidden();
            progress.note("reading");
            let finished = execute(cli, &names.borrow(), &progress, |_, _| unreachable!());
            assert!(finished.is_err(), "{arguments:?}");
            assert!(bar.is_finished(), "{arguments:?}");
        }
    }
}
