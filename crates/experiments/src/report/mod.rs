//! The report: one HTML file with everything in it, no script, no address to load from.

mod bars;
mod color;
mod context;
mod device;
mod heatmap;
mod intervals;
mod picture;
mod scale;
mod scatter;
mod svg;

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use serde::Serialize;

use crate::error::{ExperimentError, Result};
use crate::manifest::{Machine, Manifest};
use crate::results::Results;

const TEMPLATE: &str = include_str!("template.html");

/// Everything that the template reads.
#[derive(Debug, Serialize)]
struct Report<'a> {
    name: &'a str,
    done: usize,
    expected: usize,
    reference: &'a str,
    manifest: &'a Manifest,
    machine: String,
    headline: context::Headline,
    methods: Vec<context::MethodRow>,
    examples: Vec<context::ExampleCard>,
    networks: Vec<NetworkFigures<'a>>,
    regret_figure: String,
    heuristics: Vec<context::HeuristicRow>,
    prices: Vec<context::PriceRow>,
    splits: Vec<context::SplitRow>,
    failures: Vec<context::FailureRow>,
    devices: Vec<device::DeviceRow<'a>>,
    repair_sets: usize,
    seeds: String,
    points: String,
    plan: String,
}

/// The figures of one network.
#[derive(Debug, Serialize)]
struct NetworkFigures<'a> {
    name: &'a str,
    scatter: String,
    methods: Vec<MethodFigures<'a>>,
}

/// The figures of one method on one network.
#[derive(Debug, Serialize)]
struct MethodFigures<'a> {
    name: &'a str,
    heatmap: String,
    bars: String,
}

/// The report of a run, as HTML.
///
/// # Errors
/// [`ExperimentError::Encode`] if the template or a picture cannot be rendered.
pub fn render(results: &Results) -> Result<String> {
    let heuristics = context::heuristics(results);
    let repair_sets = results.splits.iter().filter(|split| split.points.is_some());
    let report = Report {
        name: &results.plan.name,
        done: results.trials.len(),
        expected: results.expected,
        reference: &results.plan.heuristics.reference,
        manifest: &results.manifest,
        machine: machine(&results.manifest.machine),
        headline: context::headline(results),
        methods: context::methods(results),
        examples: context::examples(results)?,
        networks: networks(results),
        regret_figure: intervals::draw(&heuristics, context::random_regret(results)),
        heuristics,
        prices: context::prices(results),
        splits: context::splits(results),
        failures: context::failures(results),
        devices: device::rows(&results.device_checks),
        repair_sets: repair_sets.count(),
        seeds: list(&results.plan.seeds),
        points: list(&results.plan.points),
        plan: results.plan.to_toml()?,
    };
    fill(&report).map_err(|source| ExperimentError::Encode {
        what: "report.html".to_owned(),
        source: Box::new(source),
    })
}

fn fill(report: &Report<'_>) -> std::result::Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.add_template("report.html", TEMPLATE)?;
    environment
        .get_template("report.html")?
        .render(Serde(report))
}

fn networks(results: &Results) -> Vec<NetworkFigures<'_>> {
    let methods = |network: &str| {
        let figures = results.plan.methods.iter().map(|method| MethodFigures {
            name: &method.name,
            heatmap: heatmap::draw(results, network, &method.name),
            bars: bars::draw(results, network, &method.name),
        });
        figures.collect()
    };
    let networks = results.plan.networks.iter().map(|network| NetworkFigures {
        name: &network.name,
        scatter: scatter::draw(results, &network.name),
        methods: methods(&network.name),
    });
    networks.collect()
}

fn machine(machine: &Machine) -> String {
    let memory = machine.memory_bytes.map_or_else(String::new, |bytes| {
        format!(", {:.1} GiB of memory", bytes as f64 / 1_073_741_824.0)
    });
    format!(
        "{} on {} {}, {} threads{memory}",
        machine.cpu.as_deref().unwrap_or("processor unknown"),
        machine.os,
        machine.architecture,
        machine.cores
    )
}

fn list(values: &[impl ToString]) -> String {
    values
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
