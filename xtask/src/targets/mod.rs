//! `cargo xtask targets <table>`: what the project must reach, measured.
//!
//! | module | holds |
//! |---|---|
//! | `row` | a row, its bounds and its verdict |
//! | `points` | the rows of the table of point repair |
//! | `compare` | rows of other methods, for comparison |
//! | `images`, `sentences`, `perceptrons` | networks, data and splits of each family |
//! | `measure` | one repair: its points, its guard moments, its costs |
//! | `score` | what the repaired network answers |
//! | `pick` | rows that choose their layer by a prediction |
//! | `world` | what is loaded once |
//!
//! Rows for comparison are measured with `--all`, or where `--only` begins like their names.
//!
//! Exit codes: 0 every row that could be measured is met; 1 one is not, or failed, or none could be
//! measured, or a flag is the other table's; 2 bad usage.

mod compare;
mod images;
mod layers;
mod measure;
mod perceptrons;
mod pick;
mod points;
mod row;
mod score;
mod sentences;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use comfy_table::{Table, presets};
use experiments::laboratory::HeapCounter;
use experiments::phases;
use experiments::progress::Progress;
use experiments::terminal;
use miette::{IntoDiagnostic, miette};

use crate::files::assets;
use crate::tidy::workspace_root;
use row::{Row, Sample};
use world::{World, say};

/// Defaults of `--seeds` and `--sets`.
const SEEDS: u64 = 3;
const SETS: usize = 20;

/// A table of targets.
struct Targets {
    name: &'static str,
    rows: fn() -> Vec<Row>,
}

/// The tables there are.
static TABLES: [Targets; 1] = [Targets {
    name: "points",
    rows: points::rows,
}];

/// Flags of `cargo xtask targets`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The table to measure
    #[arg(value_name = "TABLE", value_parser = ["points", layers::NAME])]
    table: String,
    /// Only rows whose name contains this; `baseline` are those for comparison, which are left out otherwise
    #[arg(long, value_name = "SUBSTRING", default_value = "")]
    only: String,
    /// Also rows for comparison: the baselines, which have no targets (points)
    #[arg(long)]
    all: bool,
    /// Runs of a row that draws its repair set; the median is judged (points) [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Print names and targets, and measure nothing (points)
    #[arg(long)]
    list: bool,
    /// Repair sets of each network (layers) [default: 20]
    #[arg(long, value_name = "N")]
    sets: Option<usize>,
    /// Folder in which results are kept, and from which a study goes on (layers) [default: target/layers]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Margin of every repair (points) [default: the rule of the table]
    #[arg(long, value_name = "NUMBER")]
    margin: Option<f64>,
    /// Folder of weights and data [default: $INFORMED_REPAIR_ASSETS, else shared/assets beside the repository]
    #[arg(long, value_name = "DIR")]
    assets: Option<PathBuf>,
}

/// What became of a row.
enum Verdict {
    Met,
    Missed,
    Failed,
    Skipped,
    /// There is nothing to judge.
    Shown,
}

/// Measures a table and prints it; exit code 1 when a target is not met.
pub(crate) fn run(args: &Args, heap: HeapCounter) -> miette::Result<ExitCode> {
    refuse_flags_of_the_other(args)?;
    if args.list {
        list(&chosen(args)?);
        return Ok(ExitCode::SUCCESS);
    }
    phases::install(&Progress::lines()).into_diagnostic()?;
    let world = World::new(assets(args.assets.as_deref()), heap, args.margin)?;
    if args.table == layers::NAME {
        let store = args.store.clone();
        let study = layers::Study {
            only: args.only.clone(),
            sets: args.sets.unwrap_or(SETS),
            store: store.unwrap_or_else(|| workspace_root().join("target/layers")),
        };
        return layers::run(&world, &study);
    }
    judge(&chosen(args)?, &world, args.seeds.unwrap_or(SEEDS))
}

/// A flag of one table says nothing to the other.
fn refuse_flags_of_the_other(args: &Args) -> miette::Result<()> {
    let of_points = [
        ("--all", args.all),
        ("--seeds", args.seeds.is_some()),
        ("--list", args.list),
        ("--margin", args.margin.is_some()),
    ];
    let of_layers = [
        ("--sets", args.sets.is_some()),
        ("--store", args.store.is_some()),
    ];
    let others = match args.table == layers::NAME {
        true => of_points.as_slice(),
        false => of_layers.as_slice(),
    };
    match others.iter().find(|(_, is_given)| *is_given) {
        Some((flag, _)) => Err(miette!(
            "{flag} does not go with the table of {}",
            args.table
        )),
        None => Ok(()),
    }
}

fn list(rows: &[Row]) {
    let mut table = table(&["row", "target"]);
    for row in rows {
        table.add_row([row.name.clone(), row.target()]);
    }
    terminal::print(format_args!("{table}"));
}

/// Measures rows and prints them.
fn judge(rows: &[Row], world: &World, seeds: u64) -> miette::Result<ExitCode> {
    let mut table = table(&["row", "target", "measured", ""]);
    let (mut met, mut missed, mut skipped) = (0, 0, 0);
    for row in rows {
        terminal::say(format_args!("{}", row.name));
        let (verdict, measured) = measure(row, world, seeds);
        let word = match verdict {
            Verdict::Met => "met",
            Verdict::Missed => "MISSED",
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "skipped",
            Verdict::Shown => "",
        };
        let separator = if word.is_empty() { "" } else { ": " };
        terminal::say(format_args!(
            "  {word}{separator}{}",
            measured.replace('\n', "; ")
        ));
        match verdict {
            Verdict::Met => met += 1,
            Verdict::Missed | Verdict::Failed => missed += 1,
            Verdict::Skipped => skipped += 1,
            Verdict::Shown => {}
        }
        table.add_row([row.name.clone(), row.target(), measured, word.to_owned()]);
    }
    terminal::print(format_args!("{table}"));
    terminal::print(format_args!(
        "{met} met, {missed} missed, {skipped} skipped; medians over the seeds are judged"
    ));
    if skipped == rows.len() {
        return Err(miette!(
            "no row was measured: every one needs weights or data that {} lacks",
            world.assets.display()
        ));
    }
    Ok(match missed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The rows that the flags ask for.
fn chosen(args: &Args) -> miette::Result<Vec<Row>> {
    let targets = TABLES.iter().find(|targets| targets.name == args.table);
    let targets = targets.ok_or_else(|| miette!("no table is named `{}`", args.table))?;
    let compares = args.all || args.only.starts_with(compare::PREFIX);
    let (chosen, others): (Vec<Row>, Vec<Row>) = (targets.rows)()
        .into_iter()
        .partition(|row| row.name.contains(&args.only) && (compares || row.is_judged()));
    if chosen.is_empty() {
        let known: Vec<String> = others.into_iter().map(|row| row.name).collect();
        return Err(miette!(
            "no row is named like `{}`; known: {}",
            args.only,
            known.join(", ")
        ));
    }
    Ok(chosen)
}

fn measure(row: &Row, world: &World, seeds: u64) -> (Verdict, String) {
    let missing = row.needs.iter().map(|need| world.path(need));
    if let Some(path) = missing.into_iter().find(|path| !path.exists()) {
        let reason = format!("no {}", path.display());
        return (Verdict::Skipped, reason);
    }
    let runs = if row.drawn { seeds } else { 1 };
    let samples: miette::Result<Vec<Sample>> = (0..runs)
        .map(|seed| {
            if row.drawn {
                say(&format!("seed {seed}"));
            }
            (row.run)(world, seed)
        })
        .collect();
    match samples {
        // One row that cannot be measured must not cost the others.
        Err(error) => (Verdict::Failed, format!("{error:#}")),
        Ok(samples) if !row.is_judged() => (Verdict::Shown, row.measured(&samples)),
        Ok(samples) if row.is_met(&samples) => (Verdict::Met, row.measured(&samples)),
        Ok(samples) => (Verdict::Missed, row.measured(&samples)),
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_header(header.iter().copied());
    table
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::row::at_most;
    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn refusal(line: &str) -> Option<String> {
        let words = ["targets"].into_iter().chain(line.split(' '));
        let args = Cli::try_parse_from(words).unwrap().args;
        let refused = refuse_flags_of_the_other(&args).err()?;
        Some(refused.to_string())
    }

    #[test]
    fn flags_of_the_other_table_are_refused_by_name() {
        for (line, flag) in [
            ("layers --seeds 3", "--seeds"),
            ("layers --sets 2 --all", "--all"),
            ("layers --list", "--list"),
            ("layers --margin 1", "--margin"),
            ("points --sets 20", "--sets"),
            ("points --store here", "--store"),
        ] {
            let refused = refusal(line).unwrap();
            assert!(refused.starts_with(flag), "{line}: {refused}");
        }
        for line in [
            "layers --sets 2 --store here --only 3x100",
            "points --all --seeds 1 --list --margin 1",
        ] {
            assert_eq!(refusal(line), None, "{line}");
        }
    }

    #[test]
    fn rows_of_which_no_file_is_there_are_an_error_that_names_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let heap = HeapCounter {
            live: || 0,
            peak: || 0,
            reset: || (),
        };
        let world = World::new(folder.path().join("typo"), heap, None).unwrap();
        let row = Row {
            name: "row".into(),
            needs: vec!["weights".into()],
            bounds: vec![at_most(measure::EFFICACY, 1.0)],
            conflict_settles: false,
            drawn: false,
            run: Box::new(|_, _| Ok(Sample::default())),
        };
        let error = judge(&[row], &world, 1).unwrap_err().to_string();
        assert!(error.contains("typo"), "{error}");
    }
}
