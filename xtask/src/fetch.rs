//! `fetch-weights` and `fetch-datasets`: progress bars, and a table of what is there.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use experiments::terminal;
use hub::{Fetched, Hub, HubError, Kind, Progress, Registry, Settings, Status};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use miette::{IntoDiagnostic, WrapErr};

use crate::tidy::workspace_root;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Registered names, `owner/name[@revision]` of the hub, or paths [default: the registry's defaults]
    #[arg(value_name = "NAME|ID|PATH")]
    sources: Vec<String>,
    /// Everything that is registered
    #[arg(long, conflicts_with = "sources")]
    all: bool,
    /// Use what is cached and open no connection, as with HF_HUB_OFFLINE=1
    #[arg(long)]
    offline: bool,
    /// Folder of `registry.toml` and `hub.lock` [default: `weights` or `datasets` of the repository]
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(crate) fn weights(args: &Args) -> miette::Result<ExitCode> {
    run(args, "weights", Kind::Model)
}

pub(crate) fn datasets(args: &Args) -> miette::Result<ExitCode> {
    run(args, "datasets", Kind::Dataset)
}

/// Fetches what can be fetched, then prints it, then what failed and why.
fn run(args: &Args, folder: &str, kind: Kind) -> miette::Result<ExitCode> {
    let default = || workspace_root().join(folder);
    let folder = args.dir.clone().unwrap_or_else(default);
    let mut settings = Settings::from_env().into_diagnostic()?;
    settings.offline |= args.offline;
    let mut hub = Hub::open(&folder, kind, settings).into_diagnostic()?;

    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["source", "file", "size", "sha256", "status", "path"]);
    let mut failures = Vec::new();
    for source in sources(args, hub.registry()) {
        match hub.fetch(&source, &mut Bar::default()) {
            Ok(fetched) => add_rows(&mut table, &source, &fetched),
            Err(error) => failures.push((source, error)),
        }
    }
    if let Some(sizes) = table.column_mut(2) {
        sizes.set_cell_alignment(CellAlignment::Right);
    }
    if table.row_count() > 0 {
        terminal::print(table);
    }
    Ok(report(failures))
}

/// What to fetch: groups become their members.
fn sources(args: &Args, registry: &Registry) -> Vec<String> {
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    if args.all {
        return owned(registry.names());
    }
    if args.sources.is_empty() {
        return owned(registry.defaults());
    }
    let members = |source: &String| match registry.group(source) {
        members if members.is_empty() => vec![source.clone()],
        members => owned(members),
    };
    args.sources.iter().flat_map(members).collect()
}

fn add_rows(table: &mut Table, source: &str, fetched: &Fetched) {
    for file in &fetched.files {
        let status = match file.status {
            Status::Downloaded => "downloaded",
            Status::Cached => "was there",
            Status::Local => "local",
        };
        table.add_row([
            source.to_owned(),
            file.name.clone(),
            HumanBytes(file.size).to_string(),
            file.sha256.to_string(),
            status.to_owned(),
            file.path.display().to_string(),
        ]);
    }
}

fn report(failures: Vec<(String, HubError)>) -> ExitCode {
    let code = if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    for (source, error) in failures {
        let failed: Result<(), _> = Err(error).into_diagnostic();
        if let Err(report) = failed.wrap_err_with(|| format!("cannot fetch `{source}`")) {
            terminal::report(report.as_ref());
        }
    }
    code
}

/// Draws one transfer.
#[derive(Default)]
struct Bar(Option<ProgressBar>);

impl Progress for Bar {
    fn begin(&mut self, file: &str, size: Option<u64>, have: u64) {
        let bar = size.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let template = "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        terminal::message(&bar, file);
        bar.set_position(have);
        bar.reset_eta();
        self.0 = Some(bar);
    }

    fn at(&mut self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(bytes);
        }
    }

    fn retry(&mut self, reason: &str, attempt: u32, pause: Duration) {
        let note = format!(
            "{reason}; attempt {} in {:.1} s",
            attempt + 1,
            pause.as_secs_f64()
        );
        match &self.0 {
            Some(bar) => bar.suspend(|| terminal::say(note)),
            None => terminal::say(note),
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn chosen(sources_given: &[&str], all: bool) -> Vec<String> {
        let entry = |name: &str, more: &str| {
            format!(
                "[[dataset]]\nname = '{name}'\n{more}\nrepository = 'a/b'\nrevision = 'main'\n\
                 licence = 'MIT'\nfiles = [{{ path = 'f' }}]\n"
            )
        };
        let text = [
            entry("mnist", "default = true"),
            entry("cola", "group = 'glue'"),
            entry("rte", "group = 'glue'"),
        ];
        let registry = Registry::parse(Path::new("registry.toml"), &text.concat()).unwrap();
        let args = Args {
            sources: sources_given
                .iter()
                .map(|&source| source.to_owned())
                .collect(),
            all,
            offline: false,
            dir: None,
        };
        sources(&args, &registry)
    }

    #[test]
    fn defaults_groups_names_and_everything_can_be_chosen() {
        assert_eq!(chosen(&[], false), ["mnist"]);
        assert_eq!(chosen(&[], true), ["mnist", "cola", "rte"]);
        assert_eq!(
            chosen(&["glue", "a/b", "mnist"], false),
            ["cola", "rte", "a/b", "mnist"]
        );
    }
}
