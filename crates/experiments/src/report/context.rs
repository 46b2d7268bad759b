//! What the report's template shows, computed from the results.

use serde::Serialize;

use crate::error::Result;
use crate::record::{Outcome, Price, TrialRecord};
use crate::regret::{BRUTE_FORCE, Oracle, Regret, RegretRecord};
use crate::results::Results;
use crate::run::{SetKey, sets};
use crate::statistics::{Interval, bootstrap_mean, mean, median};
use crate::table::{ANY, number};

use super::picture;

/// Resamples of every bootstrap interval.
const RESAMPLES: usize = 10_000;
/// Examples shown.
const EXAMPLES: usize = 12;

/// A number under its name at the top of the page.
#[derive(Debug, Serialize)]
pub(crate) struct Tile {
    value: String,
    unit: &'static str,
    name: &'static str,
    note: String,
}

/// The opening answer.
#[derive(Debug, Serialize)]
pub(crate) struct Headline {
    sentences: Vec<String>,
    tiles: Vec<Tile>,
}

/// A row of the table of methods.
#[derive(Debug, Serialize)]
pub(crate) struct MethodRow {
    network: String,
    name: String,
    margin: f64,
    time_limit: Option<f64>,
    trials: usize,
    repaired: usize,
    infeasible: usize,
    unknown: usize,
    least_efficacy: String,
    drawdown: String,
    generalization: String,
    agreement: String,
    rows: String,
    rounds: String,
    seconds: String,
    memory: String,
}

/// A row of the table of heuristics.
#[derive(Debug, Serialize)]
pub(crate) struct HeuristicRow {
    pub(crate) name: String,
    pub(crate) drawdown: Option<Interval>,
    pub(crate) generalization: Option<Interval>,
    drawdown_text: String,
    generalization_text: String,
    picks: String,
    spearman_drawdown: String,
    spearman_generalization: String,
    kendall_drawdown: String,
    kendall_generalization: String,
    seconds: String,
}

/// A picture with the answers before and after.
#[derive(Debug, Serialize)]
pub(crate) struct ExampleCard {
    picture: String,
    id: String,
    split: String,
    label: usize,
    before: usize,
    after: usize,
}

/// Where the change comes from, of one size of repair sets.
#[derive(Debug, Serialize)]
pub(crate) struct PriceRow {
    points: usize,
    trials: usize,
    decisive: String,
}

/// A row of the table of splits.
#[derive(Debug, Serialize)]
pub(crate) struct SplitRow {
    name: String,
    source: String,
    corruption: String,
    range: String,
    keep: String,
    size: String,
}

/// A trial that is not repaired.
#[derive(Debug, Serialize)]
pub(crate) struct FailureRow {
    trial: String,
    outcome: String,
    reason: String,
    efficacy: String,
}

/// The heuristic whose picks open the report: the plan's default, or brute force, which picks on splits of its
/// own. The best in hindsight would be chosen on the sets that score it.
fn opening_heuristic(results: &Results) -> &str {
    results
        .plan
        .heuristics
        .default
        .as_deref()
        .unwrap_or(BRUTE_FORCE)
}

/// The trials of the reference method at the layers that the opening heuristic picks.
fn picked(results: &Results) -> Vec<&TrialRecord> {
    let heuristic = opening_heuristic(results);
    let picks = results
        .selections
        .iter()
        .filter(|pick| pick.heuristic == heuristic);
    picks
        .filter_map(|pick| {
            let set = pick.set();
            results.trials.iter().find(|trial| {
                trial.method_name == results.plan.heuristics.reference
                    && trial.layer == pick.layer
                    && trial.set() == set
            })
        })
        .collect()
}

/// The repair sets that the reference method has tried at every layer.
fn done_sets(results: &Results) -> Vec<SetKey> {
    let reference = &results.plan.heuristics.reference;
    let is_done = |set: &SetKey| {
        let layers = results
            .manifest
            .layers
            .get(&set.network)
            .map_or(0, Vec::len);
        let tried = results
            .trials
            .iter()
            .filter(|trial| trial.method_name == *reference && trial.set() == *set);
        tried.count() == layers
    };
    sets(&results.plan).into_iter().filter(is_done).collect()
}

/// On how many of the `done` repair sets the pick is repaired, and on how many no layer is.
fn repaired_sentence(results: &Results, done: &[SetKey], repaired: usize) -> String {
    let reference = &results.plan.heuristics.reference;
    let heuristic = opening_heuristic(results);
    if done.is_empty() {
        return format!(
            "{reference} has not tried every layer of any repair set: {} of {} trials are done.",
            results.trials.len(),
            results.expected
        );
    }
    let hopeless = done
        .iter()
        .filter(|set| Oracle::new(&results.trials, set, reference).is_none())
        .count();
    let mut sentence = format!(
        "At the layer that {heuristic} picks, {reference} repairs {repaired} of {} repair sets.",
        done.len()
    );
    if hopeless > 0 {
        sentence += &format!(" It repairs {hopeless} of them at no layer.");
    }
    sentence
}

pub(crate) fn headline(results: &Results) -> Headline {
    let done = done_sets(results);
    let mut repaired = picked(results);
    repaired.retain(|trial| trial.outcome.is_repaired() && done.contains(&trial.set()));
    let drawdown = middle(&repaired, |trial| trial.drawdown);
    let gain = middle(&repaired, |trial| trial.generalization);
    let seconds = middle(&repaired, |trial| Some(trial.repair_seconds));
    let heuristic = opening_heuristic(results);
    let mut sentences = vec![repaired_sentence(results, &done, repaired.len())];
    if !repaired.is_empty() {
        sentences.push(format!(
            "Every point of these is right on the weights as saved; the median repair gains {} percentage points on \
             unseen corrupted images and loses {} on clean ones.",
            number(gain, 1),
            number(drawdown, 2)
        ));
    }
    if let Some(random) = random_regret(results) {
        sentences.push(format!(
            "Against the best layer in hindsight, a layer picked at random costs a mean of {:.2} points of drawdown \
             and {:.1} points of generalization.",
            random.drawdown, random.generalization
        ));
    }
    let all_repaired = results
        .trials
        .iter()
        .filter(|trial| trial.outcome.is_repaired());
    let note = format!("median at the layer that {heuristic} picks");
    let tiles = vec![
        Tile {
            value: format!("{} / {}", all_repaired.count(), results.trials.len()),
            unit: "",
            name: "trials repaired",
            note: "every point right on the weights as saved".to_owned(),
        },
        Tile {
            value: number(drawdown, 2),
            unit: "points",
            name: "drawdown",
            note: note.clone(),
        },
        Tile {
            value: number(gain, 1),
            unit: "points",
            name: "generalization",
            note: note.clone(),
        },
        Tile {
            value: number(seconds, 2),
            unit: "s",
            name: "repair time",
            note,
        },
    ];
    Headline { sentences, tiles }
}

/// Mean over repair sets of the expected regret of a uniformly random layer.
pub(crate) fn random_regret(results: &Results) -> Option<Regret> {
    let mut drawdowns = Vec::new();
    let mut gains = Vec::new();
    for set in sets(&results.plan) {
        let layers = results.manifest.layers.get(&set.network)?;
        let layers: Vec<usize> = layers.iter().map(|layer| layer.index).collect();
        let oracle = Oracle::new(&results.trials, &set, &results.plan.heuristics.reference);
        if let Some(random) = oracle.and_then(|oracle| oracle.random(&layers)) {
            drawdowns.push(random.drawdown);
            gains.push(random.generalization);
        }
    }
    Some(Regret {
        drawdown: mean(&drawdowns)?,
        generalization: mean(&gains)?,
    })
}

fn middle(trials: &[&TrialRecord], value: impl Fn(&TrialRecord) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = trials.iter().filter_map(|&trial| value(trial)).collect();
    median(&values)
}

pub(crate) fn methods(results: &Results) -> Vec<MethodRow> {
    let mut rows = Vec::new();
    for network in &results.plan.networks {
        for method in &results.plan.methods {
            let trials: Vec<&TrialRecord> = results
                .trials
                .iter()
                .filter(|trial| trial.network == network.name && trial.method_name == method.name)
                .collect();
            let count = |holds: fn(&Outcome) -> bool| {
                trials.iter().filter(|trial| holds(&trial.outcome)).count()
            };
            let repaired: Vec<&TrialRecord> = trials
                .iter()
                .copied()
                .filter(|trial| trial.outcome.is_repaired())
                .collect();
            let least = repaired
                .iter()
                .filter_map(|trial| trial.efficacy)
                .reduce(f64::min);
            let memory = trials.iter().filter_map(|trial| trial.peak_bytes).max();
            rows.push(MethodRow {
                network: network.name.clone(),
                name: method.name.clone(),
                margin: method.margin,
                time_limit: method.time_limit,
                trials: trials.len(),
                repaired: repaired.len(),
                infeasible: count(|outcome| matches!(outcome, Outcome::Infeasible { .. })),
                unknown: count(|outcome| matches!(outcome, Outcome::Unknown { .. })),
                least_efficacy: number(least, 1),
                drawdown: number(middle(&repaired, |trial| trial.drawdown), 2),
                generalization: number(middle(&repaired, |trial| trial.generalization), 1),
                agreement: number(middle(&repaired, |trial| trial.agreement), 1),
                rows: format!(
                    "{}/{}",
                    number(middle(&repaired, |trial| Some(trial.rows as f64)), 0),
                    number(middle(&repaired, |trial| Some(trial.rows_total as f64)), 0)
                ),
                rounds: number(middle(&repaired, |trial| Some(trial.rounds as f64)), 0),
                seconds: number(middle(&repaired, |trial| Some(trial.repair_seconds)), 2),
                memory: number(memory.map(|bytes| bytes as f64 / 1_048_576.0), 0),
            });
        }
    }
    rows
}

/// A row per heuristic, the least mean regret in drawdown first, then in generalization.
pub(crate) fn heuristics(results: &Results) -> Vec<HeuristicRow> {
    let mut names: Vec<&str> = results
        .regrets
        .iter()
        .map(|r| r.heuristic.as_str())
        .collect();
    names.dedup();
    let mut rows: Vec<HeuristicRow> = names
        .into_iter()
        .map(|name| {
            let group = results
                .regrets
                .iter()
                .filter(|regret| regret.heuristic == name);
            heuristic(name, &group.collect::<Vec<_>>())
        })
        .collect();
    let estimate = |interval: Option<Interval>| interval.map_or(f64::INFINITY, |i| i.estimate);
    rows.sort_by(|a, b| {
        let drawdown = estimate(a.drawdown).total_cmp(&estimate(b.drawdown));
        drawdown.then(estimate(a.generalization).total_cmp(&estimate(b.generalization)))
    });
    rows
}

fn heuristic(name: &str, group: &[&RegretRecord]) -> HeuristicRow {
    let values = |value: fn(&RegretRecord) -> Option<f64>| -> Vec<f64> {
        group.iter().filter_map(|&regret| value(regret)).collect()
    };
    let drawdown = bootstrap_mean(&values(|r| r.regret_drawdown), 0.95, RESAMPLES, 0);
    let generalization = bootstrap_mean(&values(|r| r.regret_generalization), 0.95, RESAMPLES, 0);
    let with_ends = |interval: Option<Interval>| match interval {
        Some(Interval {
            estimate,
            low,
            high,
        }) => format!("{estimate:.2} [{low:.2}, {high:.2}]"),
        None => "-".to_owned(),
    };
    let correlation = |value: fn(&RegretRecord) -> Option<f64>| number(mean(&values(value)), 2);
    let mut picks: Vec<(Option<usize>, usize)> = Vec::new();
    for regret in group {
        match picks.iter_mut().find(|(layer, _)| *layer == regret.layer) {
            Some((_, count)) => *count += 1,
            None => picks.push((regret.layer, 1)),
        }
    }
    picks.sort_unstable_by_key(|&(layer, _)| (layer.is_none(), layer));
    let picks: Vec<String> = picks
        .into_iter()
        .map(|(layer, count)| {
            let layer = layer.map_or_else(|| ANY.to_owned(), |layer| layer.to_string());
            format!("{layer} ({count}×)")
        })
        .collect();
    HeuristicRow {
        name: name.to_owned(),
        drawdown,
        generalization,
        drawdown_text: with_ends(drawdown),
        generalization_text: with_ends(generalization),
        picks: picks.join(", "),
        spearman_drawdown: correlation(|r| r.spearman_drawdown),
        spearman_generalization: correlation(|r| r.spearman_generalization),
        kendall_drawdown: correlation(|r| r.kendall_drawdown),
        kendall_generalization: correlation(|r| r.kendall_generalization),
        seconds: number(mean(&values(|r| r.seconds)), 3),
    }
}

/// Examples of the repairs that the headline speaks of, otherwise of any; each picture once.
pub(crate) fn examples(results: &Results) -> Result<Vec<ExampleCard>> {
    let mut cards: Vec<ExampleCard> = Vec::new();
    for trial in picked(results).into_iter().chain(&results.trials) {
        for example in &trial.examples {
            if cards.len() == EXAMPLES {
                return Ok(cards);
            }
            if cards.iter().any(|card| card.id == example.id) {
                continue;
            }
            if let Some(picture) = picture::data_address(example)? {
                cards.push(ExampleCard {
                    picture,
                    id: example.id.clone(),
                    split: example.split.clone(),
                    label: example.label,
                    before: example.before,
                    after: example.after,
                });
            }
        }
    }
    Ok(cards)
}

/// How few points bear 80 % of the dual prices, by size of the repair set.
pub(crate) fn prices(results: &Results) -> Vec<PriceRow> {
    let reference = &results.plan.heuristics.reference;
    let row = |points: usize| {
        let decisive: Vec<f64> = results
            .trials
            .iter()
            .filter(|trial| trial.points == points && trial.method_name == *reference)
            .filter_map(|trial| decisive_points(&trial.prices))
            .collect();
        Some(PriceRow {
            points,
            trials: decisive.len(),
            decisive: number(Some(median(&decisive)?), 1),
        })
    };
    results
        .plan
        .points
        .iter()
        .copied()
        .filter_map(row)
        .collect()
}

fn decisive_points(prices: &[Price]) -> Option<f64> {
    let mut prices: Vec<f64> = prices.iter().map(|price| price.price).collect();
    let total: f64 = prices.iter().sum();
    if total.is_nan() || total <= 0.0 {
        return None;
    }
    prices.sort_by(|a, b| b.total_cmp(a));
    let mut covered = 0.0;
    let count = prices.iter().take_while(|&&price| {
        let before = covered;
        covered += price;
        before < 0.8 * total
    });
    Some(count.count() as f64)
}

pub(crate) fn splits(results: &Results) -> Vec<SplitRow> {
    let named = results.plan.splits.named();
    let row = |(name, split): &(&str, &crate::plan::SplitPlan)| {
        let mut sizes: Vec<usize> = results
            .splits
            .iter()
            .filter(|summary| summary.split == *name && summary.points.is_none())
            .map(|summary| summary.ids.len())
            .collect();
        sizes.dedup();
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        let lower = |text: String| text.to_lowercase();
        SplitRow {
            name: (*name).to_owned(),
            source: split.source.clone(),
            corruption: split.corruption.clone(),
            range: format!("{} to {}", split.range[0], split.range[1] - 1),
            keep: lower(format!("{:?}, {:?}", split.keep, split.order)),
            size: if sizes.is_empty() {
                "-".to_owned()
            } else {
                sizes.join(", ")
            },
        }
    };
    named.iter().map(row).collect()
}

pub(crate) fn failures(results: &Results) -> Vec<FailureRow> {
    let failed = results
        .trials
        .iter()
        .filter(|trial| !trial.outcome.is_repaired());
    failed
        .map(|trial| FailureRow {
            trial: trial.trial.clone(),
            outcome: trial.outcome.to_string(),
            reason: trial.outcome.reason().to_owned(),
            efficacy: number(trial.efficacy, 1),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisive_points_are_the_fewest_that_bear_four_fifths() {
        let prices = [1.0, 70.0, 9.0, 20.0].map(|price| Price {
            id: String::new(),
            price,
        });
        assert_eq!(decisive_points(&prices), Some(2.0));
        assert_eq!(decisive_points(&[]), None);
    }
}
