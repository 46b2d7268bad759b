//! What is printed and written about the layers.

use heuristics::{ALL, Attempt, Choice, PRIOR_GUARD, PRIOR_POINTS, Prior};
use network::Network;
use serde::Serialize;
use std::collections::BTreeMap;

use crate::repair_command::written::SelfCheck;
use crate::table::{as_typed, number, right_align, table};

/// Everything that is known; the report in JSON.
#[derive(Serialize)]
pub(super) struct Ranking {
    pub(super) network: String,
    pub(super) repair: String,
    pub(super) points: usize,
    pub(super) guard: usize,
    pub(super) selection: usize,
    /// Guard moments of all layers, from some of the guard inputs.
    pub(super) moments_seconds: f64,
    pub(super) score_seconds: f64,
    pub(super) layers: Vec<ScoredLayer>,
    pub(super) choice: Option<Chosen>,
    /// The network as written on the repair set.
    pub(super) self_check: Option<SelfCheck>,
    pub(super) seconds: f64,
}

/// A layer and what every heuristic says of it.
#[derive(Serialize)]
pub(super) struct ScoredLayer {
    name: String,
    kind: &'static str,
    /// The combination that orders the layers.
    combined: Option<f64>,
    scores: BTreeMap<&'static str, Option<f64>>,
}

/// What was tried and kept.
#[derive(Serialize)]
pub(super) struct Chosen {
    pilots: Vec<PilotRow>,
    attempts: Vec<AttemptRow>,
    /// Position of the recommended attempt.
    best: Option<usize>,
    /// How sure it is that no other tried layer does less harm.
    confidence: Option<f64>,
}

#[derive(Serialize)]
struct PilotRow {
    layer: String,
    efficacy: f64,
    /// `None` unless repaired.
    divergence: Option<f64>,
    seconds: f64,
}

#[derive(Serialize)]
struct AttemptRow {
    layers: String,
    method: String,
    margin: f64,
    efficacy: f64,
    drawdown: Option<f64>,
    changed: Option<f64>,
    divergence: Option<f64>,
    /// Accuracy gained on similar inputs.
    generalization: Option<f64>,
    seconds: f64,
}

/// The layers, those of the highest combined score first.
pub(super) fn scored(prior: &Prior) -> Vec<ScoredLayer> {
    let statistics = &prior.statistics;
    let by_heuristic: Vec<_> = ALL
        .iter()
        .map(|h| (h.name(), h.scores(statistics)))
        .collect();
    let layers = statistics.layers.iter().enumerate();
    let mut found: Vec<ScoredLayer> = layers
        .map(|(k, layer)| ScoredLayer {
            name: layer.layer.name.clone(),
            kind: layer.layer.kind.name(),
            combined: prior.scores.get(layer.layer.index).copied().flatten(),
            scores: by_heuristic
                .iter()
                .map(|(name, scores)| (*name, scores[k]))
                .collect(),
        })
        .collect();
    let value = |layer: &ScoredLayer| layer.combined.unwrap_or(f64::NEG_INFINITY);
    found.sort_by(|a, b| value(b).total_cmp(&value(a)));
    found
}

pub(super) fn chosen(network: &Network, choice: &Choice) -> Chosen {
    let name = |layer: usize| network.layers()[layer].name.clone();
    let pilots = choice.pilots.iter().map(|pilot| PilotRow {
        layer: name(pilot.layer),
        efficacy: pilot.efficacy,
        divergence: pilot.harm.is_finite().then_some(pilot.harm),
        seconds: pilot.seconds,
    });
    let attempt = |attempt: &Attempt| {
        let effects = attempt.trial.effects;
        let names: Vec<String> = attempt.layers.iter().map(|&layer| name(layer)).collect();
        AttemptRow {
            layers: names.join(","),
            method: attempt.method.to_string(),
            margin: attempt.margin,
            efficacy: attempt.trial.efficacy(),
            drawdown: effects.map(|e| e.drawdown),
            changed: effects.map(|e| e.changed),
            divergence: effects.map(|e| e.divergence),
            generalization: attempt.similar.map(|e| 0.0 - e.drawdown),
            seconds: attempt.seconds,
        }
    };
    Chosen {
        pilots: pilots.collect(),
        attempts: choice.attempts.iter().map(attempt).collect(),
        best: choice.best,
        confidence: choice.confidence(),
    }
}

impl Ranking {
    /// The lines to print, with at most `top` layers a table.
    pub(super) fn text(&self, top: usize) -> String {
        let mut lines = vec![
            format!(
                "scored: {} layers in {:.1} s, {:.1} s of it guard moments, from {} of {} points and {} of {} guard inputs; {} clean inputs to compare on",
                self.layers.len(),
                self.moments_seconds + self.score_seconds,
                self.moments_seconds,
                self.points.min(PRIOR_POINTS),
                self.points,
                self.guard.min(PRIOR_GUARD),
                self.guard,
                self.selection
            ),
            self.score_table(top),
        ];
        lines.extend(self.choice.iter().flat_map(|choice| choice.lines(top)));
        lines.push(format!("{:.1} s in all", self.seconds));
        lines.join("\n") + "\n"
    }

    fn score_table(&self, top: usize) -> String {
        let columns = [
            "typical_cost",
            "first_order_cost",
            "measured_divergence",
            "gradient_norm",
        ];
        let mut shown = table(&[
            "layer", "kind", "combined", columns[0], columns[1], columns[2], columns[3],
        ]);
        for layer in self.layers.iter().take(top) {
            let score = |name: &str| {
                let score = layer.scores.get(name).copied().flatten();
                score.map_or("-".to_owned(), |score| format!("{score:.3e}"))
            };
            let mut row = vec![
                layer.name.clone(),
                layer.kind.to_owned(),
                number(layer.combined, 3),
            ];
            row.extend(columns.map(score));
            shown.add_row(row);
        }
        right_align(&mut shown, 2);
        shown.to_string()
    }
}

impl Chosen {
    fn lines(&self, top: usize) -> Vec<String> {
        let mut pilots = table(&["pilot at", "efficacy %", "divergence", "s"]);
        let mut order: Vec<&PilotRow> = self.pilots.iter().collect();
        let harm = |pilot: &PilotRow| pilot.divergence.unwrap_or(f64::INFINITY);
        order.sort_by(|a, b| harm(a).total_cmp(&harm(b)));
        for pilot in order.into_iter().take(top) {
            pilots.add_row([
                pilot.layer.clone(),
                number(Some(pilot.efficacy), 0),
                divergence(pilot.divergence),
                number(Some(pilot.seconds), 1),
            ]);
        }
        right_align(&mut pilots, 1);
        let mut attempts = table(&[
            "all points at",
            "method",
            "margin",
            "efficacy %",
            "drawdown",
            "changed %",
            "divergence",
            "generalization",
            "s",
        ]);
        for attempt in &self.attempts {
            attempts.add_row([
                attempt.layers.clone(),
                attempt.method.clone(),
                as_typed(attempt.margin),
                number(Some(attempt.efficacy), 1),
                number(attempt.drawdown, 2),
                number(attempt.changed, 2),
                divergence(attempt.divergence),
                number(attempt.generalization, 2),
                number(Some(attempt.seconds), 1),
            ]);
        }
        right_align(&mut attempts, 2);
        vec![
            format!("pilots: a few points at {} layers", self.pilots.len()),
            pilots.to_string(),
            attempts.to_string(),
            self.recommendation(),
        ]
    }

    fn recommendation(&self) -> String {
        let Some(best) = self.best.and_then(|best| self.attempts.get(best)) else {
            return "recommended: none, no layer that was tried repairs all points; give it more time with --budget".to_owned();
        };
        let sure = match self.confidence {
            Some(share) => format!(
                "; less harm than at the next best layer in {:.0} % of bootstrap resamples",
                100.0 * share
            ),
            None => "; no other layer repairs all points in the time".to_owned(),
        };
        format!(
            "recommended: --layer {} --method {} --margin {}{sure}",
            best.layers,
            best.method,
            as_typed(best.margin)
        )
    }
}

fn divergence(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.2e}"))
}
