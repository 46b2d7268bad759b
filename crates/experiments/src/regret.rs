//! How much worse a heuristic's layer is than the best one.
//!
//! The oracle's table is every repair of the reference method for one repair set, one per layer. For a
//! pick `k` among the repaired layers `R`,
//!
//! ```text
//! regret_drawdown(k)       = D(k) - min { D(j) : j in R }
//! regret_generalization(k) = max { G(j) : j in R } - G(k)
//! ```
//!
//! both in percentage points and never negative. Only layers whose outcome is `Repaired` are in `R`: the
//! oracle never picks another one, and a heuristic that does gets the worst value in `R`. Without any
//! repaired layer there is no regret. A heuristic that scores no layer of a set gets the expected regret of a
//! random layer there, so that all heuristics are averaged over the same sets.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::plan::{ResolvedPlan, Weights};
use crate::record::{LayerScore, SelectionRecord, TrialRecord};
use crate::run::{Layers, SetKey};
use crate::statistics::{kendall, mean, spearman};

/// The name under which repairing at every layer, and keeping the best on the selection splits, is scored.
pub const BRUTE_FORCE: &str = "brute-force";

/// A repaired layer's two measures.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Entry {
    layer: usize,
    drawdown: f64,
    generalization: f64,
}

/// Percentage points lost against the oracle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Regret {
    /// Drawdown above the least one.
    pub drawdown: f64,
    /// Generalization below the largest one.
    pub generalization: f64,
}

/// The repaired layers of one repair set.
#[derive(Debug, Clone, PartialEq)]
pub struct Oracle {
    entries: Vec<Entry>,
    least_drawdown: f64,
    most_generalization: f64,
}

impl Oracle {
    /// The table of `set` by the method named `reference`; `None` if no layer of it is repaired.
    pub fn new(trials: &[TrialRecord], set: &SetKey, reference: &str) -> Option<Self> {
        let entries: Vec<Entry> = trials
            .iter()
            .filter(|trial| trial.method_name == reference && trial.set() == *set)
            .filter(|trial| trial.outcome.is_repaired())
            .filter_map(|trial| {
                Some(Entry {
                    layer: trial.layer,
                    drawdown: trial.drawdown?,
                    generalization: trial.generalization?,
                })
            })
            .collect();
        let least_drawdown = entries
            .iter()
            .map(|entry| entry.drawdown)
            .reduce(f64::min)?;
        let most_generalization = entries
            .iter()
            .map(|entry| entry.generalization)
            .reduce(f64::max)?;
        Some(Self {
            entries,
            least_drawdown,
            most_generalization,
        })
    }

    /// The regret of picking `layer`: that of the worst repaired layer, measure by measure, if `layer` is
    /// not repaired.
    pub fn regret(&self, layer: usize) -> Regret {
        match self.entries.iter().find(|entry| entry.layer == layer) {
            Some(entry) => self.regret_of(entry),
            None => self.entries.iter().map(|entry| self.regret_of(entry)).fold(
                Regret {
                    drawdown: 0.0,
                    generalization: 0.0,
                },
                |worst, regret| Regret {
                    drawdown: worst.drawdown.max(regret.drawdown),
                    generalization: worst.generalization.max(regret.generalization),
                },
            ),
        }
    }

    fn regret_of(&self, entry: &Entry) -> Regret {
        Regret {
            drawdown: entry.drawdown - self.least_drawdown,
            generalization: self.most_generalization - entry.generalization,
        }
    }

    /// The expected regret of picking one of `layers` uniformly at random.
    pub fn random(&self, layers: &[usize]) -> Option<Regret> {
        let regrets: Vec<Regret> = layers.iter().map(|&layer| self.regret(layer)).collect();
        let drawdowns: Vec<f64> = regrets.iter().map(|regret| regret.drawdown).collect();
        let generalizations: Vec<f64> =
            regrets.iter().map(|regret| regret.generalization).collect();
        Some(Regret {
            drawdown: mean(&drawdowns)?,
            generalization: mean(&generalizations)?,
        })
    }

    /// Scores and measures of the repaired layers that have a score.
    fn paired(&self, scores: &[LayerScore]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let mut columns = (Vec::new(), Vec::new(), Vec::new());
        for entry in &self.entries {
            let score = scores
                .iter()
                .find(|score| score.layer == entry.layer)
                .and_then(|score| score.score);
            if let Some(score) = score {
                columns.0.push(score);
                columns.1.push(-entry.drawdown);
                columns.2.push(entry.generalization);
            }
        }
        columns
    }
}

/// How one heuristic fares on one repair set: one row of `heuristics.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegretRecord {
    /// Name of the heuristic.
    pub heuristic: String,
    /// Name of the network.
    pub network: String,
    /// Size of the repair set.
    pub points: usize,
    /// Seed of the repair set.
    pub seed: u64,
    /// Index of the layer that it picks; none where it scores no layer and counts as random.
    pub layer: Option<usize>,
    /// Drawdown above the oracle's, in percentage points.
    pub regret_drawdown: Option<f64>,
    /// Generalization below the oracle's, in percentage points.
    pub regret_generalization: Option<f64>,
    /// Seconds that scoring and picking took, where it picks.
    pub seconds: Option<f64>,
    /// Spearman's correlation of scores with negated drawdown over the repaired layers: 1 if the heuristic
    /// ranks them as the oracle does.
    pub spearman_drawdown: Option<f64>,
    /// Spearman's correlation of scores with generalization.
    pub spearman_generalization: Option<f64>,
    /// Kendall's correlation of scores with negated drawdown.
    pub kendall_drawdown: Option<f64>,
    /// Kendall's correlation of scores with generalization.
    pub kendall_generalization: Option<f64>,
}

impl RegretRecord {
    /// A row without time and correlations.
    fn new(heuristic: &str, set: SetKey, layer: Option<usize>, regret: Option<Regret>) -> Self {
        Self {
            heuristic: heuristic.to_owned(),
            network: set.network,
            points: set.points,
            seed: set.seed,
            layer,
            regret_drawdown: regret.map(|regret| regret.drawdown),
            regret_generalization: regret.map(|regret| regret.generalization),
            seconds: None,
            spearman_drawdown: None,
            spearman_generalization: None,
            kendall_drawdown: None,
            kendall_generalization: None,
        }
    }

    /// The repair set.
    pub fn set(&self) -> SetKey {
        SetKey {
            network: self.network.clone(),
            points: self.points,
            seed: self.seed,
        }
    }
}

/// Looks every pick up in its oracle's table. The order is that of `selections`.
pub fn regrets(
    plan: &ResolvedPlan,
    trials: &[TrialRecord],
    selections: &[SelectionRecord],
) -> Vec<RegretRecord> {
    selections
        .iter()
        .map(|selection| {
            let (set, layer) = (selection.set(), selection.layer);
            let oracle = Oracle::new(trials, &set, &plan.heuristics.reference);
            let regret = oracle.as_ref().map(|oracle| oracle.regret(layer));
            let (scores, safety, gain) = oracle
                .map(|oracle| oracle.paired(&selection.scores))
                .unwrap_or_default();
            RegretRecord {
                seconds: Some(selection.seconds),
                spearman_drawdown: spearman(&scores, &safety),
                spearman_generalization: spearman(&scores, &gain),
                kendall_drawdown: kendall(&scores, &safety),
                kendall_generalization: kendall(&scores, &gain),
                ..RegretRecord::new(&selection.heuristic, set, Some(layer), regret)
            }
        })
        .collect()
}

/// The rows of heuristics that pick a layer on some repair sets, for the scored sets on which they pick none.
pub fn undecided(
    plan: &ResolvedPlan,
    layers: &Layers,
    trials: &[TrialRecord],
    selections: &[SelectionRecord],
) -> Vec<RegretRecord> {
    let mut scored = BTreeSet::new();
    let mut decided: BTreeMap<&str, BTreeSet<SetKey>> = BTreeMap::new();
    for selection in selections {
        // Brute force picks a layer wherever there is a regret.
        if selection.heuristic != BRUTE_FORCE {
            let sets = decided.entry(&selection.heuristic).or_default();
            sets.insert(selection.set());
            scored.insert(selection.set());
        }
    }
    let mut rows = Vec::new();
    for (heuristic, sets) in decided {
        for set in scored.difference(&sets) {
            let layers = layers.get(&set.network).into_iter().flatten();
            let layers: Vec<usize> = layers.map(|layer| layer.index).collect();
            let oracle = Oracle::new(trials, set, &plan.heuristics.reference);
            let random = oracle.and_then(|oracle| oracle.random(&layers));
            rows.push(RegretRecord::new(heuristic, set.clone(), None, random));
        }
    }
    rows
}

/// What brute force costs beside its repairs, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Overhead {
    /// The guard moments of all layers, where the reference method reads them.
    pub moments: f64,
    /// The answers of one network on the selection splits.
    pub evaluation: f64,
}

/// Brute force on one repair set: of the layers that the reference method repairs, the one with the largest
/// weighted difference of generalization and drawdown on the *selection* splits, the first of equals.
///
/// Its time is that of the repairs at every layer, of the guard moments and, per repaired layer, of the
/// selection splits. `None` if no layer is repaired and measured.
pub fn brute_force(
    trials: &[TrialRecord],
    set: &SetKey,
    reference: &str,
    weights: Weights,
    overhead: Overhead,
) -> Option<SelectionRecord> {
    let table: Vec<&TrialRecord> = trials
        .iter()
        .filter(|trial| trial.method_name == reference && trial.set() == *set)
        .collect();
    let scores: Vec<LayerScore> = table
        .iter()
        .map(|trial| LayerScore {
            layer: trial.layer,
            score: selection_score(trial, weights),
        })
        .collect();
    let repairs: f64 = table.iter().map(|trial| trial.repair_seconds).sum();
    let measured = scores.iter().filter(|score| score.score.is_some()).count();
    let mut best: Option<(usize, f64)> = None;
    for score in &scores {
        if let Some(value) = score.score
            && best.is_none_or(|(_, most)| value > most)
        {
            best = Some((score.layer, value));
        }
    }
    Some(SelectionRecord {
        heuristic: BRUTE_FORCE.to_owned(),
        network: set.network.clone(),
        points: set.points,
        seed: set.seed,
        layer: best?.0,
        scores,
        seconds: repairs + overhead.moments + measured as f64 * overhead.evaluation,
    })
}

fn selection_score(trial: &TrialRecord, weights: Weights) -> Option<f64> {
    if !trial.outcome.is_repaired() {
        return None;
    }
    let gain = trial.selection_generalization?;
    let loss = trial.selection_drawdown?;
    Some(weights.generalization * gain - weights.drawdown * loss)
}
