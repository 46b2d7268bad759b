//! The short table that ends a run on the terminal.

use std::fmt::Write as _;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use crate::record::TrialRecord;
use crate::results::Results;
use crate::statistics::{mean, median};

/// The pick of a heuristic that scores no layer.
pub(crate) const ANY: &str = "any";

/// Per network, method and layer the medians over repaired trials; then each heuristic's mean regret.
pub fn render(results: &Results) -> String {
    let mut text = format!("{}\n", trial_table(results));
    let _ = writeln!(
        text,
        "medians over repaired trials; drawdown and generalization in percentage points"
    );
    if !results.regrets.is_empty() {
        let _ = writeln!(text, "{}", heuristic_table(results));
        let _ = writeln!(
            text,
            "mean regret in percentage points against the best layer of {}",
            results.plan.heuristics.reference
        );
        if results.regrets.iter().any(|row| row.layer.is_none()) {
            let _ = writeln!(
                text,
                "{ANY}: sets without a score, which count as a layer picked at random"
            );
        }
    }
    text
}

fn trial_table(results: &Results) -> Table {
    let mut table = table(&[
        "network",
        "method",
        "layer",
        "repaired",
        "efficacy %",
        "drawdown",
        "generalization",
        "repair s",
    ]);
    for (network, layers) in &results.manifest.layers {
        for method in &results.plan.methods {
            for layer in layers {
                let group: Vec<&TrialRecord> = results
                    .trials
                    .iter()
                    .filter(|trial| trial.network == *network && trial.method_name == method.name)
                    .filter(|trial| trial.layer == layer.index)
                    .collect();
                let repaired: Vec<&TrialRecord> = group
                    .iter()
                    .copied()
                    .filter(|trial| trial.outcome.is_repaired())
                    .collect();
                let middle = |value: fn(&TrialRecord) -> Option<f64>, digits| {
                    let values: Vec<f64> =
                        repaired.iter().filter_map(|&trial| value(trial)).collect();
                    number(median(&values), digits)
                };
                table.add_row([
                    network.clone(),
                    method.name.clone(),
                    format!("{} ({})", layer.index, layer.name),
                    format!("{}/{}", repaired.len(), group.len()),
                    middle(|trial| trial.efficacy, 1),
                    middle(|trial| trial.drawdown, 2),
                    middle(|trial| trial.generalization, 2),
                    middle(|trial| Some(trial.repair_seconds), 2),
                ]);
            }
        }
    }
    right_align(&mut table, 3);
    table
}

fn heuristic_table(results: &Results) -> Table {
    let mut table = table(&[
        "heuristic",
        "picks",
        "drawdown",
        "generalization",
        "seconds",
    ]);
    let mut rest = results.regrets.as_slice();
    while let Some(first) = rest.first() {
        let count = rest
            .iter()
            .take_while(|regret| regret.heuristic == first.heuristic)
            .count();
        let (group, others) = rest.split_at(count);
        rest = others;
        let mut layers: Vec<usize> = group.iter().filter_map(|regret| regret.layer).collect();
        layers.sort_unstable();
        layers.dedup();
        let mut picks: Vec<String> = layers.iter().map(usize::to_string).collect();
        if group.iter().any(|regret| regret.layer.is_none()) {
            picks.push(ANY.to_owned());
        }
        let drawdown: Vec<f64> = group.iter().filter_map(|r| r.regret_drawdown).collect();
        let gain: Vec<f64> = group
            .iter()
            .filter_map(|r| r.regret_generalization)
            .collect();
        let seconds: Vec<f64> = group.iter().filter_map(|r| r.seconds).collect();
        table.add_row([
            first.heuristic.clone(),
            picks.join(" "),
            number(mean(&drawdown), 2),
            number(mean(&gain), 2),
            number(mean(&seconds), 3),
        ]);
    }
    right_align(&mut table, 2);
    table
}

pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    table
}

pub(crate) fn right_align(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// A number as somebody would type it: short, and exact.
pub(crate) fn as_typed(value: f64) -> String {
    match value.abs() {
        size if size == 0.0 || (1e-4..1e7).contains(&size) => value.to_string(),
        _ => format!("{value:e}"),
    }
}

/// A number of things whose plural is regular, such as `1 point` or `2 points`.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    counted_as(count, thing, &format!("{thing}s"))
}

/// A number of things.
pub(crate) fn counted_as(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// A number with fixed digits, a dash where there is none.
pub(crate) fn number(value: Option<f64>, digits: usize) -> String {
    match value {
        // A rounded negative zero would show as -0.00.
        Some(value) if value.abs() < 0.5 * 0.1_f64.powi(digits as i32) => {
            format!("{:.digits$}", 0.0)
        }
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_echoed_as_they_would_be_typed() {
        for (value, text) in [
            (0.1, "0.1"),
            (0.0, "0"),
            (1e-300, "1e-300"),
            (-2.5e-7, "-2.5e-7"),
            (100_000.0, "100000"),
            (1e300, "1e300"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(as_typed(value), text);
            assert_eq!(text.parse(), Ok(value));
        }
    }

    #[test]
    fn one_thing_is_no_plural() {
        assert_eq!(counted(1, "point"), "1 point");
        assert_eq!(counted(0, "point"), "0 points");
        assert_eq!(counted_as(2, "class", "classes"), "2 classes");
    }
}
