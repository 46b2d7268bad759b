//! Time per phase: stacked bars, a row per layer and size of the repair set.

use crate::record::Phases;
use crate::results::Results;
use crate::statistics::median;
use crate::table::number;

use super::color::category;
use super::scale::Scale;
use super::svg::{Anchor, Area, Svg};

/// A phase's name and its seconds.
type Phase = (&'static str, fn(&Phases) -> f64);

const PHASES: [Phase; 4] = [
    ("prepare", |phases| phases.prepare),
    ("solve", |phases| phases.solve),
    ("verify", |phases| phases.verify),
    ("evaluate", |phases| phases.evaluate),
];

const WIDTH: f64 = 520.0;
const ROW: f64 = 19.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 44.0;

/// Median seconds of every phase over all trials of one network and method, repaired or not.
pub(crate) fn draw(results: &Results, network: &str, method: &str) -> String {
    let layers = results
        .manifest
        .layers
        .get(network)
        .map_or(&[][..], Vec::as_slice);
    let mut rows: Vec<(String, [f64; 4])> = Vec::new();
    for layer in layers {
        for &points in &results.plan.points {
            let phases: Vec<Phases> = results
                .trials
                .iter()
                .filter(|trial| trial.network == network && trial.method_name == method)
                .filter(|trial| trial.layer == layer.index && trial.points == points)
                .map(|trial| trial.phases)
                .collect();
            if !phases.is_empty() {
                let middle = PHASES.map(|(_, of)| {
                    let values: Vec<f64> = phases.iter().map(of).collect();
                    median(&values).unwrap_or(0.0)
                });
                rows.push((format!("layer {}, n={points}", layer.index), middle));
            }
        }
    }
    let left = 130.0;
    let bottom = TOP + rows.len() as f64 * ROW;
    let totals: Vec<f64> = rows.iter().map(|(_, phases)| phases.iter().sum()).collect();
    let longest = totals.iter().copied().fold(0.0, f64::max);
    // Stacked lengths add up only on a linear axis.
    let scale = Scale::linear(longest, left, left + WIDTH);
    let mut svg = Svg::new(left + WIDTH + 70.0, bottom + BOTTOM);
    for (n, (name, _)) in PHASES.iter().enumerate() {
        let x = left + n as f64 * 90.0;
        let area = Area {
            x,
            y: 5.0,
            width: 11.0,
            height: 11.0,
        };
        svg.rect(area, category(n), name);
        svg.text("tick", x + 16.0, 15.0, Anchor::Start, name);
    }
    for (value, text) in scale.ticks() {
        let x = scale.at(value);
        svg.line(
            if value == 0.0 { "zero" } else { "grid" },
            x,
            TOP - 4.0,
            x,
            bottom,
        );
        svg.text("tick", x, bottom + 16.0, Anchor::Middle, &text);
    }
    svg.text(
        "axis",
        left + WIDTH / 2.0,
        bottom + 37.0,
        Anchor::Middle,
        "seconds, median",
    );
    for (row, (name, phases)) in rows.iter().enumerate() {
        let y = TOP + row as f64 * ROW;
        svg.text("tick", left - 8.0, y + 13.0, Anchor::End, name);
        let mut from = 0.0;
        for (n, seconds) in phases.iter().enumerate() {
            let area = Area {
                x: scale.at(from),
                y: y + 2.0,
                width: scale.at(from + seconds) - scale.at(from),
                height: ROW - 4.0,
            };
            svg.rect(
                area,
                category(n),
                &format!("{} {seconds:.3} s", PHASES[n].0),
            );
            from += seconds;
        }
        let total = number(Some(totals[row]), 2);
        svg.text(
            "tick",
            scale.at(from) + 6.0,
            y + 13.0,
            Anchor::Start,
            &total,
        );
    }
    svg.finish(&format!(
        "median seconds per phase of {method} on {network}"
    ))
}
