//! Drawdown against generalization, a panel per size of the repair set.

use crate::record::TrialRecord;
use crate::results::Results;

use super::color::ordered;
use super::scale::Scale;
use super::svg::{Anchor, Marker, Svg};

const PANEL: (f64, f64) = (270.0, 250.0);
const LEFT: f64 = 58.0;
const GAP: f64 = 26.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 46.0;
const LEGEND: f64 = 150.0;

/// The repaired trials of one network: shape is the method, colour is the layer. The top left is best.
pub(crate) fn draw(results: &Results, network: &str) -> String {
    let trials: Vec<(&TrialRecord, f64, f64)> = results
        .trials
        .iter()
        .filter(|trial| trial.network == network && trial.outcome.is_repaired())
        .filter_map(|trial| Some((trial, trial.drawdown?, trial.generalization?)))
        .collect();
    let drawdowns: Vec<f64> = trials.iter().map(|trial| trial.1).collect();
    let gains: Vec<f64> = trials.iter().map(|trial| trial.2).collect();
    let x_scale = Scale::fit(&drawdowns, 0.0, PANEL.0);
    let y_scale = Scale::fit(&gains, TOP + PANEL.1, TOP);
    let points = &results.plan.points;
    let panels = points.len() as f64 * (PANEL.0 + GAP);
    let mut svg = Svg::new(LEFT + panels + LEGEND, TOP + PANEL.1 + BOTTOM);
    svg.upward_text(
        "axis",
        14.0,
        TOP + PANEL.1 / 2.0,
        &format!("generalization, percentage points{}", y_scale.note()),
    );
    let layers = results
        .manifest
        .layers
        .get(network)
        .map_or(&[][..], Vec::as_slice);
    let place = |trial: &TrialRecord| {
        let method = results
            .plan
            .methods
            .iter()
            .position(|method| method.name == trial.method_name);
        let layer = layers.iter().position(|layer| layer.index == trial.layer);
        (method.unwrap_or(0), layer.unwrap_or(0))
    };
    for (panel, size) in points.iter().enumerate() {
        let left = LEFT + panel as f64 * (PANEL.0 + GAP);
        let x_scale = x_scale.moved(left, left + PANEL.0);
        frame(&mut svg, &x_scale, &y_scale, left, panel == 0);
        svg.text(
            "title",
            left + PANEL.0 / 2.0,
            14.0,
            Anchor::Middle,
            &format!("{size} points"),
        );
        for (trial, drawdown, gain) in trials.iter().filter(|(trial, ..)| trial.points == *size) {
            let (method, layer) = place(trial);
            let tip = format!(
                "{}: drawdown {drawdown:.2}, generalization {gain:.2}",
                trial.trial
            );
            let color = ordered(layer, layers.len());
            svg.marker(
                Marker::nth(method),
                x_scale.at(*drawdown),
                y_scale.at(*gain),
                &color,
                &tip,
            );
        }
    }
    let middle = LEFT + (panels - GAP) / 2.0;
    let label = format!("drawdown, percentage points{}", x_scale.note());
    svg.text("axis", middle, TOP + PANEL.1 + 38.0, Anchor::Middle, &label);
    legend(&mut svg, results, network, LEFT + panels);
    svg.finish(&format!(
        "scatter of drawdown against generalization on {network}, {} repaired trials",
        trials.len()
    ))
}

fn frame(svg: &mut Svg, x_scale: &Scale, y_scale: &Scale, left: f64, labelled: bool) {
    let bottom = TOP + PANEL.1;
    for (value, text) in x_scale.ticks() {
        let x = x_scale.at(value);
        let class = if value == 0.0 { "zero" } else { "grid" };
        svg.line(class, x, TOP, x, bottom);
        svg.text("tick", x, bottom + 16.0, Anchor::Middle, &text);
    }
    for (value, text) in y_scale.ticks() {
        let y = y_scale.at(value);
        let class = if value == 0.0 { "zero" } else { "grid" };
        svg.line(class, left, y, left + PANEL.0, y);
        if labelled {
            svg.text("tick", left - 8.0, y + 4.0, Anchor::End, &text);
        }
    }
}

fn legend(svg: &mut Svg, results: &Results, network: &str, x: f64) {
    let mut y = TOP + 4.0;
    svg.text("title", x, y, Anchor::Start, "method");
    for (method, plan) in results.plan.methods.iter().enumerate() {
        y += 18.0;
        svg.marker(Marker::nth(method), x + 6.0, y - 4.0, "#8a94a0", &plan.name);
        svg.text("tick", x + 18.0, y, Anchor::Start, &plan.name);
    }
    y += 28.0;
    svg.text("title", x, y, Anchor::Start, "layer");
    let layers = results
        .manifest
        .layers
        .get(network)
        .map_or(&[][..], Vec::as_slice);
    for (position, layer) in layers.iter().enumerate() {
        // Of many layers the legend names the ends and some between.
        let stride = layers.len().div_ceil(9).max(1);
        if position % stride != 0 && position + 1 != layers.len() {
            continue;
        }
        y += 17.0;
        svg.marker(
            Marker::Circle,
            x + 6.0,
            y - 4.0,
            &ordered(position, layers.len()),
            &layer.name,
        );
        svg.text(
            "tick",
            x + 18.0,
            y,
            Anchor::Start,
            &format!("{} ({})", layer.index, layer.name),
        );
    }
}
