//! Developer commands, run as `cargo xtask <command>`.

mod slice_mnist;
mod tidy;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer commands of the workspace.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check what must not be in the workspace; exit 1 with all findings
    Tidy,
    /// Make the shipped MNIST files from the four original ones
    SliceMnist(slice_mnist::Args),
    /// Train a network that ships in `weights/`
    Train(train::Args),
}

fn main() -> miette::Result<ExitCode> {
    match Cli::parse().command {
        Command::Tidy => tidy::run(),
        Command::SliceMnist(args) => slice_mnist::run(&args),
        Command::Train(args) => train::run(&args),
    }
}
