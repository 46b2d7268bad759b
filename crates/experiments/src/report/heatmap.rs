//! Layers against measures: one table of coloured cells per method.

use crate::record::TrialRecord;
use crate::results::Results;
use crate::statistics::median;
use crate::table::number;

use super::color::heat;
use super::svg::{Anchor, Area, Svg};

/// A measure of a heat map.
struct Metric {
    name: &'static str,
    unit: &'static str,
    digits: usize,
    value: fn(&TrialRecord) -> Option<f64>,
    smaller_is_better: bool,
}

const METRICS: [Metric; 4] = [
    Metric {
        name: "drawdown",
        unit: "points",
        digits: 2,
        value: |trial| trial.drawdown,
        smaller_is_better: true,
    },
    Metric {
        name: "generalization",
        unit: "points",
        digits: 1,
        value: |trial| trial.generalization,
        smaller_is_better: false,
    },
    Metric {
        name: "agreement",
        unit: "%",
        digits: 1,
        value: |trial| trial.agreement,
        smaller_is_better: false,
    },
    Metric {
        name: "repair time",
        unit: "s",
        digits: 2,
        value: |trial| Some(trial.repair_seconds),
        smaller_is_better: true,
    },
];

const CELL: (f64, f64) = (52.0, 30.0);
const GAP: f64 = 12.0;
const TOP: f64 = 44.0;

/// The heat map of one network and method: medians over seeds of the repaired trials, a column per size of
/// the repair set. Deeper is better, on a scale that all methods of the network share.
pub(crate) fn draw(results: &Results, network: &str, method: &str) -> String {
    let layers = results
        .manifest
        .layers
        .get(network)
        .map_or(&[][..], Vec::as_slice);
    let points = &results.plan.points;
    let longest = layers.iter().map(|layer| layer.name.chars().count()).max();
    let left = (46.0 + 6.5 * longest.unwrap_or(0) as f64).max(92.0);
    let block = points.len() as f64 * CELL.0 + GAP;
    let blocks = (METRICS.len() + 1) as f64;
    let mut svg = Svg::new(
        left + blocks * block,
        TOP + layers.len() as f64 * CELL.1 + 6.0,
    );
    svg.text("axis", left - 10.0, TOP - 8.0, Anchor::End, "layer (name)");
    for (row, layer) in layers.iter().enumerate() {
        let y = TOP + row as f64 * CELL.1;
        let text = format!("{} ({})", layer.index, layer.name);
        svg.text(
            "tick",
            left - 10.0,
            y + CELL.1 / 2.0 + 4.0,
            Anchor::End,
            &text,
        );
    }
    for block_index in 0..=METRICS.len() {
        let x = left + block_index as f64 * block;
        let middle = x + (block - GAP) / 2.0;
        let title = match block_index.checked_sub(1) {
            None => "repaired, of all".to_owned(),
            Some(metric) => format!("{}, {}", METRICS[metric].name, METRICS[metric].unit),
        };
        svg.text("title", middle, 14.0, Anchor::Middle, &title);
        for (column, size) in points.iter().enumerate() {
            let x = x + column as f64 * CELL.0;
            let text = format!("n={size}");
            svg.text("tick", x + CELL.0 / 2.0, TOP - 8.0, Anchor::Middle, &text);
            for (row, layer) in layers.iter().enumerate() {
                let area = Area {
                    x: x + 1.0,
                    y: TOP + row as f64 * CELL.1 + 1.0,
                    width: CELL.0 - 2.0,
                    height: CELL.1 - 2.0,
                };
                let group = group(results, network, method, layer.index, *size);
                match block_index.checked_sub(1) {
                    None => share_cell(&mut svg, area, &group),
                    Some(metric) => {
                        let metric = &METRICS[metric];
                        let value = middle_value(metric, &group);
                        let range = range(results, network, metric);
                        metric_cell(&mut svg, area, metric, value, range);
                    }
                }
            }
        }
    }
    svg.finish(&format!(
        "heat map of {method} on {network}: layers in rows, measures in columns, the numbers are in the cells"
    ))
}

fn group<'a>(
    results: &'a Results,
    network: &str,
    method: &str,
    layer: usize,
    points: usize,
) -> Vec<&'a TrialRecord> {
    let same = |trial: &&TrialRecord| {
        trial.network == network
            && trial.method_name == method
            && trial.layer == layer
            && trial.points == points
    };
    results.trials.iter().filter(same).collect()
}

fn middle_value(metric: &Metric, group: &[&TrialRecord]) -> Option<f64> {
    let repaired = group.iter().filter(|trial| trial.outcome.is_repaired());
    let values: Vec<f64> = repaired
        .filter_map(|&trial| (metric.value)(trial))
        .collect();
    median(&values)
}

fn share_cell(svg: &mut Svg, area: Area, group: &[&TrialRecord]) {
    let repaired = group
        .iter()
        .filter(|trial| trial.outcome.is_repaired())
        .count();
    let tip = format!("{repaired} of {} trials repaired", group.len());
    if group.is_empty() {
        empty_cell(svg, area, &tip);
        return;
    }
    let share = repaired as f64 / group.len() as f64;
    filled_cell(
        svg,
        area,
        share,
        &format!("{repaired}/{}", group.len()),
        &tip,
    );
}

fn metric_cell(svg: &mut Svg, area: Area, metric: &Metric, value: Option<f64>, range: (f64, f64)) {
    let Some(value) = value else {
        empty_cell(svg, area, "no trial repaired");
        return;
    };
    let (low, high) = range;
    let share = if low < high {
        (value.asinh() - low) / (high - low)
    } else {
        0.5
    };
    let share = if metric.smaller_is_better {
        1.0 - share
    } else {
        share
    };
    let text = number(Some(value), metric.digits);
    filled_cell(
        svg,
        area,
        share,
        &text,
        &format!("{} {text} {}", metric.name, metric.unit),
    );
}

fn filled_cell(svg: &mut Svg, area: Area, share: f64, text: &str, tip: &str) {
    let (fill, ink) = heat(share);
    svg.rect(area, &fill, tip);
    let (x, y) = (area.x + area.width / 2.0, area.y + area.height / 2.0 + 4.0);
    svg.colored_text("cell", x, y, Anchor::Middle, text, Some(ink));
}

fn empty_cell(svg: &mut Svg, area: Area, tip: &str) {
    svg.empty_rect(area, "none", tip);
    let (x, y) = (area.x + area.width / 2.0, area.y + area.height / 2.0 + 4.0);
    svg.text("muted", x, y, Anchor::Middle, "–");
}

/// Least and largest cell of a measure over all methods, in hyperbolic-sine units: one far value would leave
/// the others one colour.
fn range(results: &Results, network: &str, metric: &Metric) -> (f64, f64) {
    let values = results
        .trials
        .iter()
        .filter(|trial| trial.network == network && trial.outcome.is_repaired())
        .filter_map(metric.value)
        .map(f64::asinh);
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}
