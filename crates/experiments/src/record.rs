//! What one trial, and one scoring of the layers, leave behind.
//!
//! Drawdown and generalization are in percentage points, efficacy and agreement in percent, accuracies in
//! percent, times in seconds. A measure that does not exist (no repaired network to measure) is empty.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::run::{SetKey, Trial};

/// How a repair ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Outcome {
    /// Every point is right on the weights as saved.
    Repaired,
    /// No change of the layer meets the specification (under the method's restrictions).
    Infeasible {
        /// Which points conflict, in words.
        reason: String,
    },
    /// Neither a repair nor a proof that there is none.
    Unknown {
        /// What stopped the search, in one word, such as `time` or `rounds`.
        stop: String,
        /// The same in words, with what was reached.
        reason: String,
    },
}

impl Outcome {
    /// Whether every point is right.
    pub fn is_repaired(&self) -> bool {
        matches!(self, Self::Repaired)
    }

    /// The reason of a repair that failed.
    pub fn reason(&self) -> &str {
        match self {
            Self::Repaired => "",
            Self::Infeasible { reason } | Self::Unknown { reason, .. } => reason,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repaired => out.write_str("Repaired"),
            Self::Infeasible { .. } => out.write_str("Infeasible"),
            Self::Unknown { stop, .. } => write!(out, "Unknown({stop})"),
        }
    }
}

/// Seconds spent in the phases of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Phases {
    /// Activations, patterns, guard metric.
    pub prepare: f64,
    /// Master problems and row generation.
    pub solve: f64,
    /// Evaluation of the specification on the saved weights.
    pub verify: f64,
    /// Accuracies on the other splits.
    pub evaluate: f64,
}

/// Accuracies in percent.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Accuracies {
    /// On the repair set.
    pub repair: Option<f64>,
    /// On the generalization split.
    pub generalization: Option<f64>,
    /// On the drawdown split.
    pub drawdown: Option<f64>,
}

/// A grey picture with the answers of the network before and after the repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Split and position of the picture.
    pub id: String,
    /// Name of its split.
    pub split: String,
    /// Pixels in one row.
    pub width: u32,
    /// Grey values row by row, 0 is black.
    pub pixels: Vec<u8>,
    /// The right answer.
    pub label: usize,
    /// The answer before the repair.
    pub before: usize,
    /// The answer after it.
    pub after: usize,
}

/// The dual price of a repair point: how fast the objective rises with the bounds of its specification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// The point.
    pub id: String,
    /// Its price, from 0.
    pub price: f64,
}

/// The result of one trial: one line of `results.jsonl`, one row of `results.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialRecord {
    /// Identifier of the trial.
    pub trial: String,
    /// Name of the network.
    pub network: String,
    /// Source and corruption of the repair set.
    pub dataset: String,
    /// Repair method.
    pub method: String,
    /// Objective.
    pub objective: String,
    /// Name of method and objective in the plan.
    pub method_name: String,
    /// Margin asked for.
    pub margin: f64,
    /// Index of the start layer among the layers that bear weights, counted from 0.
    pub layer: usize,
    /// Its name in the checkpoint.
    pub layer_name: String,
    /// Size of the repair set.
    pub points: usize,
    /// Seed of the repair set.
    pub seed: u64,
    /// How the repair ended.
    pub outcome: Outcome,
    /// Share of the repair set that is right after the repair, in percent.
    pub efficacy: Option<f64>,
    /// Accuracy gained on unseen similar examples, in percentage points.
    pub generalization: Option<f64>,
    /// Accuracy lost on held-out clean examples, in percentage points.
    pub drawdown: Option<f64>,
    /// Share of held-out clean examples that keep their predicted class, in percent.
    pub agreement: Option<f64>,
    /// Least margin over the repair set, re-evaluated on the weights as saved.
    pub least_margin: Option<f64>,
    /// Rows that the solver used.
    pub rows: u64,
    /// Rows of the whole problem.
    pub rows_total: u64,
    /// Rounds of row generation or of linearisation.
    pub rounds: u64,
    /// Seconds to choose the layer, if the trial chose it.
    pub select_seconds: Option<f64>,
    /// Seconds of the repair: prepare, solve and verify.
    pub repair_seconds: f64,
    /// Peak heap of the repair, in bytes.
    pub peak_bytes: Option<u64>,
    /// Generalization on the selection split, in percentage points.
    pub selection_generalization: Option<f64>,
    /// Drawdown on the selection split, in percentage points.
    pub selection_drawdown: Option<f64>,
    /// Euclidean norm of the change of the parameters.
    pub change_norm: Option<f64>,
    /// Seconds by phase.
    pub phases: Phases,
    /// Accuracies before the repair.
    pub before: Accuracies,
    /// Accuracies after it.
    pub after: Accuracies,
    /// A few examples for the report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
    /// Dual prices of the repair points, where the method has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<Price>,
}

impl TrialRecord {
    /// A record of `trial` with its identity filled in and every measure empty.
    pub fn new(trial: &Trial, outcome: Outcome) -> Self {
        Self {
            trial: trial.id.clone(),
            network: trial.set.network.clone(),
            dataset: trial.dataset.clone(),
            method: trial.method.method.clone(),
            objective: trial.method.objective.clone(),
            method_name: trial.method.name.clone(),
            margin: trial.method.margin,
            layer: trial.layer.index,
            layer_name: trial.layer.name.clone(),
            points: trial.set.points,
            seed: trial.set.seed,
            outcome,
            efficacy: None,
            generalization: None,
            drawdown: None,
            agreement: None,
            least_margin: None,
            rows: 0,
            rows_total: 0,
            rounds: 0,
            select_seconds: None,
            repair_seconds: 0.0,
            peak_bytes: None,
            selection_generalization: None,
            selection_drawdown: None,
            change_norm: None,
            phases: Phases::default(),
            before: Accuracies::default(),
            after: Accuracies::default(),
            examples: Vec::new(),
            prices: Vec::new(),
        }
    }

    /// The repair set of the trial.
    pub fn set(&self) -> SetKey {
        SetKey {
            network: self.network.clone(),
            points: self.points,
            seed: self.seed,
        }
    }

    /// The record as a row of `results.csv`.
    pub fn row(&self) -> TrialRow<'_> {
        TrialRow {
            trial: &self.trial,
            network: &self.network,
            dataset: &self.dataset,
            method: &self.method,
            objective: &self.objective,
            layer: self.layer,
            points: self.points,
            seed: self.seed,
            outcome: self.outcome.to_string(),
            efficacy: self.efficacy,
            generalization: self.generalization,
            drawdown: self.drawdown,
            agreement: self.agreement,
            least_margin: self.least_margin,
            rows: self.rows,
            rows_total: self.rows_total,
            rounds: self.rounds,
            select_seconds: self.select_seconds,
            repair_seconds: self.repair_seconds,
            peak_bytes: self.peak_bytes,
            layer_name: &self.layer_name,
            method_name: &self.method_name,
            margin: self.margin,
            reason: self.outcome.reason(),
            selection_generalization: self.selection_generalization,
            selection_drawdown: self.selection_drawdown,
            change_norm: self.change_norm,
            prepare_seconds: self.phases.prepare,
            solve_seconds: self.phases.solve,
            verify_seconds: self.phases.verify,
            evaluate_seconds: self.phases.evaluate,
            repair_accuracy_before: self.before.repair,
            repair_accuracy_after: self.after.repair,
            generalization_accuracy_before: self.before.generalization,
            generalization_accuracy_after: self.after.generalization,
            drawdown_accuracy_before: self.before.drawdown,
            drawdown_accuracy_after: self.after.drawdown,
        }
    }
}

/// A row of `results.csv`; its fields are the columns, in their order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "every field is the field of TrialRecord with that name"
)]
pub struct TrialRow<'a> {
    pub trial: &'a str,
    pub network: &'a str,
    pub dataset: &'a str,
    pub method: &'a str,
    pub objective: &'a str,
    pub layer: usize,
    pub points: usize,
    pub seed: u64,
    pub outcome: String,
    pub efficacy: Option<f64>,
    pub generalization: Option<f64>,
    pub drawdown: Option<f64>,
    pub agreement: Option<f64>,
    pub least_margin: Option<f64>,
    pub rows: u64,
    pub rows_total: u64,
    pub rounds: u64,
    pub select_seconds: Option<f64>,
    pub repair_seconds: f64,
    pub peak_bytes: Option<u64>,
    pub layer_name: &'a str,
    pub method_name: &'a str,
    pub margin: f64,
    pub reason: &'a str,
    pub selection_generalization: Option<f64>,
    pub selection_drawdown: Option<f64>,
    pub change_norm: Option<f64>,
    pub prepare_seconds: f64,
    pub solve_seconds: f64,
    pub verify_seconds: f64,
    pub evaluate_seconds: f64,
    pub repair_accuracy_before: Option<f64>,
    pub repair_accuracy_after: Option<f64>,
    pub generalization_accuracy_before: Option<f64>,
    pub generalization_accuracy_after: Option<f64>,
    pub drawdown_accuracy_before: Option<f64>,
    pub drawdown_accuracy_after: Option<f64>,
}

/// The score of one layer; higher is better, empty where the heuristic has none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LayerScore {
    /// Index of the layer.
    pub layer: usize,
    /// Its score.
    pub score: Option<f64>,
}

/// The scores that one heuristic gives to the layers for one repair set, and its pick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectionRecord {
    /// Name of the heuristic.
    pub heuristic: String,
    /// Name of the network.
    pub network: String,
    /// Size of the repair set.
    pub points: usize,
    /// Seed of the repair set.
    pub seed: u64,
    /// Index of the layer that it picks.
    pub layer: usize,
    /// Score of every layer.
    pub scores: Vec<LayerScore>,
    /// Seconds that scoring and picking took.
    pub seconds: f64,
}

impl SelectionRecord {
    /// The repair set.
    pub fn set(&self) -> SetKey {
        SetKey {
            network: self.network.clone(),
            points: self.points,
            seed: self.seed,
        }
    }
}
