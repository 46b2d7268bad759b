//! Developer commands, run as `cargo xtask <command>`.

mod fetch;
mod files;
mod parity;
mod slice_mnist;
mod targets;
mod tidy;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use experiments::laboratory::HeapCounter;
use experiments::terminal;
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Developer commands of the workspace.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring weights from the hub, or check that they are there; exit 1 when one cannot be had
    FetchWeights(fetch::Args),
    /// Bring datasets from the hub, or check that they are there; exit 1 when one cannot be had
    FetchDatasets(fetch::Args),
    /// Compare every network with PyTorch's stored outputs; exit 1 when one is off
    Parity(parity::Args),
    /// Check what must not be in the workspace; exit 1 with all findings
    Tidy,
    /// Make the shipped MNIST files from the four original ones
    SliceMnist(slice_mnist::Args),
    /// Measure a table of targets; exit 1 when one is not met
    Targets(targets::Args),
    /// Train a network that ships in `weights/`
    Train(train::Args),
}

fn main() -> ExitCode {
    let outcome = terminal::arguments::<Cli>().map(|Cli { command }| execute(command));
    terminal::exit(match outcome {
        Ok(Ok(code)) | Err(code) => code,
        Ok(Err(report)) => {
            terminal::report(report.as_ref());
            ExitCode::FAILURE
        }
    })
}

fn execute(command: Command) -> miette::Result<ExitCode> {
    match command {
        Command::FetchWeights(args) => fetch::weights(&args),
        Command::FetchDatasets(args) => fetch::datasets(&args),
        Command::Parity(args) => parity::run(&args),
        Command::Tidy => tidy::run(),
        Command::SliceMnist(args) => slice_mnist::run(&args),
        Command::Targets(args) => {
            let heap = HeapCounter {
                live: || HEAP.current_usage(),
                peak: || HEAP.peak_usage(),
                reset: || HEAP.reset_peak_usage(),
            };
            targets::run(&args, heap)
        }
        Command::Train(args) => train::run(&args),
    }
}
