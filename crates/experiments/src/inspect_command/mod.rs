//! `experiments inspect`: what a network in a file is, before anything is done with it.
//!
//! Exit codes: 0 described; 1 the file cannot be read; 2 it leaves a question that a flag answers.

use std::path::PathBuf;

use clap::Args;
use network::{Editing, Layer, Model};
use serde::Serialize;

use crate::error::Result;
use crate::model_arguments::ModelArguments;
use crate::repair_command::PREPROCESSINGS;
use crate::repair_command::intake;
use crate::store::json;
use crate::table::{right_align, table};
use crate::terminal;

/// The most class names that are printed.
const SHOWN_CLASSES: usize = 20;

/// Say what a network in a file is: its inputs, the rule for its answers, its layers, and what was assumed.
///
/// Exit codes: 0 described; 1 the file cannot be read; 2 it leaves a question that a flag answers.
#[derive(Clone, Debug, Args, Serialize)]
pub struct InspectArguments {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub model: ModelArguments,
    /// How pictures become inputs [default: that of the network's files or architecture]
    #[arg(long, value_name = "NAME", value_parser = PREPROCESSINGS.map(|(name, _)| name))]
    pub preprocessing: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Everything that is known of a network before it is used.
#[derive(Serialize)]
struct Description {
    network: PathBuf,
    architecture: &'static str,
    /// Extents of an input.
    input_shape: Vec<usize>,
    /// How inputs are made, or why that is not known.
    inputs: String,
    answers: usize,
    rule: String,
    class_names: Vec<String>,
    parameters: usize,
    /// What was read and assumed.
    notes: Vec<String>,
    layers: Vec<LayerRow>,
}

/// A weight-bearing layer.
#[derive(Serialize)]
struct LayerRow {
    index: usize,
    name: String,
    kind: &'static str,
    /// Extents of its weight.
    shape: Vec<usize>,
    parameters: usize,
    /// `exactly`, `sequentially` or `no`.
    editable: &'static str,
    /// Why nothing edits it.
    reason: Option<String>,
}

/// Describes as the flags say and returns the text to print.
///
/// # Errors
/// [`ExperimentError`](crate::error::ExperimentError) where the file cannot be read or leaves a question.
pub fn execute(arguments: &InspectArguments) -> Result<String> {
    let model = arguments.model.open()?;
    let description = Description::new(&model, arguments);
    if arguments.json {
        return json(&description, || "description".to_owned());
    }
    Ok(description.text())
}

/// An error and what it is due to, in a line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let causes = causes.map(|cause| format!(": {cause}"));
    [error.to_string()].into_iter().chain(causes).collect()
}

impl Description {
    fn new(model: &Model, arguments: &InspectArguments) -> Self {
        let graph = model.graph();
        let path = &arguments.model.network;
        let inputs = intake::resolve(model, path, arguments.preprocessing.as_deref());
        let count = |shape: &[usize]| shape.iter().product::<usize>();
        let parameters = graph.parameters();
        Self {
            network: path.clone(),
            architecture: model.architecture(),
            input_shape: graph.input_shape().to_vec(),
            // A network can be described without the files of its tokenizer or preprocessing.
            inputs: inputs.map_or_else(
                |error| format!("not known: {}", with_causes(&error)),
                |resolved| resolved.sentence,
            ),
            answers: graph.classes(),
            rule: model.answer().to_string(),
            class_names: model.class_names().to_vec(),
            parameters: parameters.iter().map(|spec| count(&spec.shape)).sum(),
            notes: model.notes().iter().map(ToString::to_string).collect(),
            layers: graph
                .layers()
                .iter()
                .map(|layer| LayerRow::new(model, layer))
                .collect(),
        }
    }

    fn text(&self) -> String {
        let mut lines = vec![
            format!(
                "network: {} ({}, {} layers, {} parameters)",
                self.network.display(),
                self.architecture,
                self.layers.len(),
                self.parameters
            ),
            format!("input: {:?}; {}", self.input_shape, self.inputs),
            format!("answer: {}, one of {}", self.rule, self.answers),
        ];
        if !self.class_names.is_empty() {
            let names = self.class_names.iter().enumerate().take(SHOWN_CLASSES);
            let names: Vec<String> = names
                .map(|(class, name)| format!("{class} {}", terminal::in_line(name)))
                .collect();
            let more = self.class_names.len().saturating_sub(SHOWN_CLASSES);
            let more = if more > 0 {
                format!(", and {more} more")
            } else {
                String::new()
            };
            lines.push(format!("classes: {}{more}", names.join(", ")));
        }
        lines.extend(self.notes.iter().cloned());
        let mut rows = table(&["layer", "name", "kind", "weight", "parameters", "editable"]);
        for layer in &self.layers {
            let reason = layer.reason.as_deref().map(|reason| format!(": {reason}"));
            rows.add_row([
                layer.index.to_string(),
                layer.name.clone(),
                layer.kind.to_owned(),
                format!("{:?}", layer.shape),
                layer.parameters.to_string(),
                layer.editable.to_owned() + &reason.unwrap_or_default(),
            ]);
        }
        right_align(&mut rows, 6);
        lines.push(rows.to_string());
        lines.join("\n")
    }
}

impl LayerRow {
    fn new(model: &Model, layer: &Layer) -> Self {
        let shape = |name: &str| model.shape(name).unwrap_or_default().to_vec();
        let count = |name: &str| shape(name).iter().product::<usize>();
        let (editable, reason) = match model.graph().editing(layer) {
            Editing::Exactly => ("exactly", None),
            Editing::Sequentially => ("sequentially", None),
            Editing::Never(reason) => ("no", Some(reason)),
        };
        Self {
            index: layer.index,
            name: layer.name.clone(),
            kind: layer.kind.name(),
            shape: shape(&layer.weight),
            parameters: count(&layer.weight) + layer.bias.as_deref().map_or(0, count),
            editable,
            reason,
        }
    }
}
