//! Heuristics' mean regrets with their intervals.

use super::context::HeuristicRow;
use super::scale::Scale;
use super::svg::{Anchor, Marker, Svg};
use crate::regret::Regret;
use crate::statistics::Interval;

const PANEL: f64 = 330.0;
const ROW: f64 = 24.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 46.0;
const GAP: f64 = 52.0;

/// A row per heuristic, a panel per measure; the dashed line is a layer picked at random.
pub(crate) fn draw(rows: &[HeuristicRow], random: Option<Regret>) -> String {
    let longest = rows.iter().map(|row| row.name.chars().count()).max();
    let left = 18.0 + 7.0 * longest.unwrap_or(0) as f64;
    let bottom = TOP + rows.len() as f64 * ROW;
    let mut svg = Svg::new(left + 2.0 * PANEL + GAP + 16.0, bottom + BOTTOM);
    for (i, row) in rows.iter().enumerate() {
        let y = TOP + (i as f64 + 0.5) * ROW;
        svg.text("label", left - 10.0, y + 4.0, Anchor::End, &row.name);
    }
    let drawdown: Vec<_> = rows.iter().map(|row| row.drawdown).collect();
    let gain: Vec<_> = rows.iter().map(|row| row.generalization).collect();
    let panels = [
        (
            "regret in drawdown",
            drawdown,
            random.map(|random| random.drawdown),
            "#0072b2",
        ),
        (
            "regret in generalization",
            gain,
            random.map(|random| random.generalization),
            "#009e73",
        ),
    ];
    for (panel, (title, intervals, random, color)) in panels.into_iter().enumerate() {
        let start = left + panel as f64 * (PANEL + GAP);
        let values: Vec<f64> = intervals
            .iter()
            .flatten()
            .flat_map(|interval: &Interval| [interval.low, interval.high])
            .chain(random)
            .collect();
        let scale = Scale::fit(&values, start, start + PANEL);
        svg.text("title", start + PANEL / 2.0, 14.0, Anchor::Middle, title);
        for (value, text) in scale.ticks() {
            let x = scale.at(value);
            let class = if value == 0.0 { "zero" } else { "grid" };
            svg.line(class, x, TOP - 4.0, x, bottom);
            svg.text("tick", x, bottom + 16.0, Anchor::Middle, &text);
        }
        let label = format!("percentage points{}", scale.note());
        svg.text(
            "axis",
            start + PANEL / 2.0,
            bottom + 38.0,
            Anchor::Middle,
            &label,
        );
        if let Some(random) = random {
            let x = scale.at(random);
            svg.line("reference", x, TOP - 4.0, x, bottom);
            svg.text("muted", x + 4.0, TOP + 4.0, Anchor::Start, "random");
        }
        for (i, interval) in intervals.iter().enumerate() {
            let y = TOP + (i as f64 + 0.5) * ROW;
            let Some(interval) = interval else {
                svg.text(
                    "muted",
                    start + 6.0,
                    y + 4.0,
                    Anchor::Start,
                    "no repaired layer",
                );
                continue;
            };
            svg.line(
                "whisker",
                scale.at(interval.low),
                y,
                scale.at(interval.high),
                y,
            );
            let tip = format!(
                "{}: {:.2}, 95 % interval {:.2} to {:.2}",
                rows[i].name, interval.estimate, interval.low, interval.high
            );
            svg.marker(Marker::Circle, scale.at(interval.estimate), y, color, &tip);
        }
    }
    svg.finish("mean regret of every heuristic with its 95 % bootstrap interval; the table below has the numbers")
}
