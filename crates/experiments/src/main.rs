//! The `experiments` command.

use std::process::ExitCode;

use experiments::cli::{self, Cli, Finished};
use experiments::laboratory::{self, HeapCounter, Laboratory};
use experiments::progress::Progress;
use experiments::{phases, terminal};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn main() -> ExitCode {
    let arguments = match terminal::arguments::<Cli>() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let progress = Progress::detect();
    if let Err(error) = phases::install(&progress) {
        terminal::say(format_args!("no log: {error}"));
    }
    let heap = HeapCounter {
        live: || HEAP.current_usage(),
        peak: || HEAP.peak_usage(),
        reset: || HEAP.reset_peak_usage(),
    };
    let finished = cli::execute(
        arguments,
        &laboratory::vocabulary().borrow(),
        &progress,
        |plan, options| Ok(Box::new(Laboratory::open(plan, options, Some(heap))?)),
    );
    terminal::exit(match finished {
        Ok(Finished::Run { table, run }) => {
            terminal::print(table.trim_end());
            let report = run.join("report.html");
            terminal::print(format_args!("report: {}", report.display()));
            ExitCode::SUCCESS
        }
        Ok(Finished::Repair(answer)) => {
            terminal::print(answer.text);
            ExitCode::from(answer.verdict.exit_code())
        }
        Ok(Finished::Analyze(text) | Finished::Inspect(text)) => {
            terminal::print(text);
            ExitCode::SUCCESS
        }
        Ok(Finished::RankLayers(ranked)) => {
            terminal::print(ranked.text.trim_end());
            ExitCode::from(ranked.exit_code())
        }
        Err(error) => {
            terminal::report(&error);
            ExitCode::from(error.exit_code())
        }
    })
}
