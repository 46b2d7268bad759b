//! The `experiments` command.

use std::process::ExitCode;

use clap::Parser;
use experiments::cli::{self, Cli, Finished};
use experiments::laboratory::{self, HeapCounter, Laboratory};
use experiments::phases;
use experiments::progress::Progress;
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn main() -> ExitCode {
    let progress = Progress::detect();
    if let Err(error) = phases::install(&progress) {
        eprintln!("no log: {error}");
    }
    let heap = HeapCounter {
        live: || HEAP.current_usage(),
        peak: || HEAP.peak_usage(),
        reset: || HEAP.reset_peak_usage(),
    };
    let finished = cli::execute(
        Cli::parse(),
        &laboratory::vocabulary().borrow(),
        &progress,
        |plan, options| Ok(Box::new(Laboratory::open(plan, options, Some(heap))?)),
    );
    match finished {
        Ok(Finished::Run { table, run }) => {
            println!("{}", table.trim_end());
            println!("report: {}", run.join("report.html").display());
            ExitCode::SUCCESS
        }
        Ok(Finished::Repair(answer)) => {
            println!("{}", answer.text);
            ExitCode::from(answer.verdict.exit_code())
        }
        Ok(Finished::Analyze(text) | Finished::Inspect(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Finished::RankLayers(ranked)) => {
            println!("{}", ranked.text.trim_end());
            ExitCode::from(ranked.exit_code())
        }
        Err(error) => {
            let code = error.exit_code();
            eprintln!("{:?}", miette::Report::new(error));
            ExitCode::from(code)
        }
    }
}
