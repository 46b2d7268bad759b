//! A network in a file: tensors, graph, and what the outputs mean.

mod writing;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use safetensors::Dtype;

use crate::formats::onnx::{self, OnnxFile, SideFiles, Written};
use crate::formats::{self, Opened, StoredTensor};
use crate::ops::{Constants, Rearrange};
use crate::{Activation, AnswerRule, Checkpoint, Graph, ModelError, Note, Op, architectures};

/// What a file does not say, or what is to be read instead of what it says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenOptions {
    /// Key of the container that holds the weights, where a PyTorch file has several.
    pub key: Option<String>,
    /// Activation between the layers of a perceptron whose file does not name it.
    pub activation: Option<Activation>,
    /// The rule for an answer.
    pub answer: Option<AnswerRule>,
    /// Length to which token sequences are padded, for graphs that leave it open.
    pub tokens: Option<usize>,
}

/// A network as its file says, and what was assumed where the file is silent.
///
/// The graph ends in the scores of the answers ([`AnswerRule`]): the answer is the largest score.
#[derive(Clone, Debug)]
pub struct Model {
    checkpoint: Checkpoint,
    meaning: Arc<Meaning>,
}

#[derive(Clone, Debug)]
struct Meaning {
    /// The graph up to the outputs.
    outputs: Graph,
    /// The graph up to the scores.
    scores: Graph,
    architecture: &'static str,
    answer: AnswerRule,
    class_names: Vec<String>,
    notes: Vec<Note>,
    options: OpenOptions,
    /// The file of a graph, where the model was read from one.
    onnx: Option<Arc<OnnxFile>>,
}

/// The format in which a model is written: that of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Named tensors; the architecture is told from them.
    Safetensors,
    /// A graph with its tensors.
    Onnx,
}

impl Format {
    /// The ending of its files.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Onnx => "onnx",
        }
    }
}

/// The architecture's name of a model that was read from a graph.
const GRAPH: &str = "onnx";

impl Model {
    /// Reads a file or a folder of any supported format, told from its content.
    ///
    /// # Errors
    /// [`ModelError::Io`] or [`ModelError::Malformed`] for a file that cannot be read;
    /// [`ModelError::Architecture`] or [`ModelError::Mismatch`] when it does not say what to compute;
    /// [`ModelError::Activation`] when the activation of a perceptron is all that is missing;
    /// [`ModelError::Answer`] when its outputs have no rule.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// As [`Model::open`], with what the file does not say.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Self, ModelError> {
        Self::of_opened(
            formats::read(path, options.key.as_deref(), options.tokens)?,
            options,
        )
    }

    /// The model of the bytes of an ONNX file, with the files beside it that it names.
    ///
    /// # Errors
    /// As [`Model::open_with`].
    pub fn from_onnx(
        bytes: Vec<u8>,
        beside: Vec<(String, Vec<u8>)>,
        origin: &str,
        options: &OpenOptions,
    ) -> Result<Self, ModelError> {
        let read = onnx::read(bytes, SideFiles::in_memory(beside), origin, options.tokens)?;
        Self::of_opened(Opened::Onnx(Box::new(read)), options)
    }

    fn of_opened(opened: Opened, options: &OpenOptions) -> Result<Self, ModelError> {
        let read = match opened {
            Opened::Tensors(checkpoint) => return Self::with_options(checkpoint, options),
            Opened::Onnx(read) => read,
        };
        if let Some(given) = options.activation {
            let given = given.name();
            return Err(ModelError::Activation {
                origin: read.checkpoint.origin().to_owned(),
                reason: format!("an ONNX graph says its own activations, {given} was asked for"),
            });
        }
        let stated = options.answer.or(read.answer);
        let applied = OpenOptions {
            answer: stated,
            ..options.clone()
        };
        let mut model = Self::of_graph(read.checkpoint, read.graph, GRAPH, read.notes, &applied)?;
        let meaning = Arc::make_mut(&mut model.meaning);
        meaning.options = options.clone();
        meaning.onnx = Some(read.file);
        if let (None, Some(rule)) = (options.answer, stated)
            && let Some(note) = meaning.notes.last_mut()
        {
            *note = Note::Read(format!("the answer is {rule}: the file ends in it"));
        }
        Ok(model)
    }

    /// The model of a checkpoint whose architecture is told from its tensors.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn new(checkpoint: Checkpoint) -> Result<Self, ModelError> {
        Self::with_options(checkpoint, &OpenOptions::default())
    }

    /// As [`Model::new`], with what the checkpoint does not say.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn with_options(checkpoint: Checkpoint, options: &OpenOptions) -> Result<Self, ModelError> {
        let architecture = architectures::of(&checkpoint)?;
        let (checkpoint, notes) = architecture.resolved(checkpoint, options)?;
        let graph = (architecture.graph)(&checkpoint)?;
        Self::of_graph(checkpoint, graph, architecture.name, notes, options)
    }

    /// The model of a checkpoint that a given graph reads.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] names every missing, unused and misshapen tensor;
    /// [`ModelError::Answer`] when the outputs have no rule.
    pub fn of_graph(
        checkpoint: Checkpoint,
        graph: Graph,
        architecture: &'static str,
        mut notes: Vec<Note>,
        options: &OpenOptions,
    ) -> Result<Self, ModelError> {
        graph.check_tensors(&checkpoint)?;
        let (answer, note) = answer_rule(&checkpoint, options);
        notes.push(note);
        let meaning = Meaning {
            scores: scored(&graph, answer, checkpoint.origin())?,
            class_names: class_names(&checkpoint, graph.classes()),
            outputs: graph,
            architecture,
            answer,
            notes,
            options: options.clone(),
            onnx: None,
        };
        Ok(Self {
            checkpoint,
            meaning: Arc::new(meaning),
        })
    }

    /// A model from named f32 tensors, as [`Checkpoint::from_f32`].
    ///
    /// # Errors
    /// As [`Checkpoint::from_f32`] and [`Model::new`].
    pub fn from_f32(
        tensors: &[(String, Vec<usize>, Vec<f32>)],
        metadata: &BTreeMap<String, String>,
        origin: &str,
    ) -> Result<Self, ModelError> {
        Self::new(Checkpoint::from_f32(tensors, metadata, origin)?)
    }

    /// A model from tensors of any dtype, as [`Checkpoint::from_tensors`].
    ///
    /// # Errors
    /// As [`Checkpoint::from_tensors`] and [`Model::new`].
    pub fn from_tensors(
        tensors: &[StoredTensor],
        metadata: &BTreeMap<String, String>,
        origin: &str,
    ) -> Result<Self, ModelError> {
        Self::new(Checkpoint::from_tensors(tensors, metadata, origin)?)
    }

    /// The model of the bytes of a safetensors file, as [`Checkpoint::from_bytes`].
    ///
    /// # Errors
    /// As [`Checkpoint::from_bytes`] and [`Model::new`].
    pub fn from_bytes(bytes: Vec<u8>, origin: &str) -> Result<Self, ModelError> {
        Self::new(Checkpoint::from_bytes(bytes, origin)?)
    }

    /// The same network with another rule for its answers.
    ///
    /// # Errors
    /// [`ModelError::Answer`] when the rule is not for its outputs.
    pub fn with_answer(&self, answer: AnswerRule) -> Result<Self, ModelError> {
        let mut meaning = Meaning::clone(&self.meaning);
        meaning.scores = scored(&meaning.outputs, answer, self.origin())?;
        meaning.answer = answer;
        meaning.options.answer = Some(answer);
        Ok(Self {
            checkpoint: self.checkpoint.clone(),
            meaning: Arc::new(meaning),
        })
    }

    /// The same network in which the given tensors hold other numbers, rounded to nearest in each
    /// tensor's own dtype.
    ///
    /// # Errors
    /// As [`Checkpoint::with_tensors`].
    pub fn with_tensors(&self, changes: &BTreeMap<String, Vec<f64>>) -> Result<Self, ModelError> {
        Ok(Self {
            checkpoint: self.checkpoint.with_tensors(changes)?,
            meaning: Arc::clone(&self.meaning),
        })
    }

    /// The model that a reader of the same file with the changed bytes gets: everything is told from the
    /// bytes again.
    ///
    /// # Errors
    /// As [`Model::open_with`].
    pub fn parsed_again(&self) -> Result<Self, ModelError> {
        let opened = match &self.meaning.onnx {
            Some(file) => {
                let written = file.written(&self.checkpoint, &BTreeMap::new())?;
                let side = SideFiles::in_memory(written.external);
                let tokens = self.meaning.options.tokens;
                let read = onnx::read(written.model, side, self.origin(), tokens)?;
                Opened::Onnx(Box::new(read))
            }
            None => {
                let bytes = self.checkpoint.bytes().to_vec();
                Opened::Tensors(Checkpoint::from_bytes(bytes, self.origin())?)
            }
        };
        self.told_again(opened)
    }

    /// The model in another file that was written of this one: what the file does not say is what it
    /// was here, the configuration beside the original included.
    ///
    /// # Errors
    /// As [`Model::open_with`].
    pub fn reopened(&self, path: &Path) -> Result<Self, ModelError> {
        self.told_again(formats::read(path, None, self.meaning.options.tokens)?)
    }

    fn told_again(&self, opened: Opened) -> Result<Self, ModelError> {
        let opened = match self.checkpoint.config() {
            Some(config) => opened.with_config(config.clone()),
            None => opened,
        };
        Self::of_opened(opened, &self.meaning.options)
    }

    /// The tensors.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The graph from the input to the scores of the answers.
    pub fn graph(&self) -> &Graph {
        &self.meaning.scores
    }

    /// The graph from the input to the outputs of the network.
    pub fn output_graph(&self) -> &Graph {
        &self.meaning.outputs
    }

    /// The architecture's name.
    pub fn architecture(&self) -> &'static str {
        self.meaning.architecture
    }

    /// How outputs become an answer.
    pub fn answer(&self) -> AnswerRule {
        self.meaning.answer
    }

    /// The names of the outputs, in their order; none unless every output has one.
    pub fn class_names(&self) -> &[String] {
        &self.meaning.class_names
    }

    /// What was read and assumed.
    pub fn notes(&self) -> &[Note] {
        &self.meaning.notes
    }

    /// What the file did not say and the user gave.
    pub fn options(&self) -> &OpenOptions {
        &self.meaning.options
    }

    /// Where the model comes from, for messages.
    pub fn origin(&self) -> &str {
        self.checkpoint.origin()
    }

    /// The bytes of its tensors as a safetensors file.
    pub fn bytes(&self) -> &[u8] {
        self.checkpoint.bytes()
    }

    /// The configuration beside the file.
    pub fn config(&self) -> Option<&serde_json::Value> {
        self.checkpoint.config()
    }

    /// The metadata of its file.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        self.checkpoint.metadata()
    }

    /// The names of its tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.checkpoint.names()
    }

    /// The extents of a tensor.
    ///
    /// # Errors
    /// [`ModelError::Unknown`].
    pub fn shape(&self, name: &str) -> Result<&[usize], ModelError> {
        self.checkpoint.shape(name)
    }

    /// The element type of a tensor.
    ///
    /// # Errors
    /// [`ModelError::Unknown`].
    pub fn dtype(&self, name: &str) -> Result<Dtype, ModelError> {
        self.checkpoint.dtype(name)
    }

    /// The bytes of a tensor.
    ///
    /// # Errors
    /// [`ModelError::Unknown`].
    pub fn raw(&self, name: &str) -> Result<&[u8], ModelError> {
        self.checkpoint.raw(name)
    }

    /// The numbers of a tensor, row-major.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor`].
    pub fn tensor(&self, name: &str) -> Result<Vec<f64>, ModelError> {
        self.checkpoint.tensor(name)
    }

    /// The numbers of a tensor in f32, row-major.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor_f32`].
    pub fn tensor_f32(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        self.checkpoint.tensor_f32(name)
    }

    /// Rounds numbers to the dtype of a tensor.
    ///
    /// # Errors
    /// As [`Checkpoint::round`].
    pub fn round(&self, name: &str, numbers: &mut [f64]) -> Result<(), ModelError> {
        self.checkpoint.round(name, numbers)
    }

    /// The integers of a tensor.
    ///
    /// # Errors
    /// As [`Checkpoint::integers`].
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, ModelError> {
        self.checkpoint.integers(name)
    }

    /// The format in which the model is written.
    pub fn format(&self) -> Format {
        match self.meaning.onnx {
            Some(_) => Format::Onnx,
            None => Format::Safetensors,
        }
    }

    /// The ONNX file with the present numbers, and the files beside it by their names; `None` for a
    /// model that was read from another format. Only the elements of edited tensors differ from the file
    /// that was read.
    ///
    /// # Errors
    /// [`ModelError::Malformed`] when a tensor was changed that the file does not store.
    pub fn onnx_bytes(&self) -> Result<Option<Written>, ModelError> {
        let Some(file) = &self.meaning.onnx else {
            return Ok(None);
        };
        file.written(&self.checkpoint, &BTreeMap::new()).map(Some)
    }
}

/// Metadata key of the rule for an answer, in the words of [`AnswerRule`]'s `FromStr`.
const ANSWER: &str = "answer";

/// Tensors that only the networks of ACAS Xu have, whose advisory is the smallest score (Katz et al. 2017).
const ACAS_XU: [&str; 2] = ["input_means", "output_range"];

/// The rule that is given, else the one that the file states, else the convention.
fn answer_rule(checkpoint: &Checkpoint, options: &OpenOptions) -> (AnswerRule, Note) {
    let says = |rule: AnswerRule| format!("the answer is {rule}");
    if let Some(rule) = options.answer {
        return (rule, Note::Given(says(rule)));
    }
    let stated = checkpoint.metadata().get(ANSWER);
    if let Some(rule) = stated.and_then(|text| text.parse().ok()) {
        return (rule, Note::Read(says(rule)));
    }
    if ACAS_XU.iter().all(|name| checkpoint.shape(name).is_ok()) {
        let rule = AnswerRule::Smallest;
        let why = "as in every network of ACAS Xu";
        return (rule, Note::Read(format!("{}, {why}", says(rule))));
    }
    let problem = checkpoint
        .config()
        .and_then(|config| config.get("problem_type"));
    if problem.and_then(serde_json::Value::as_str) == Some("multi_label_classification") {
        // Logits, as transformers has them: a probability of one half.
        let rule = AnswerRule::EachAbove(0.0);
        return (rule, Note::Read(says(rule)));
    }
    let rule = AnswerRule::Largest;
    (rule, Note::Assumed(says(rule)))
}

/// The graph with the scores of the answers behind its outputs.
fn scored(graph: &Graph, answer: AnswerRule, origin: &str) -> Result<Graph, ModelError> {
    let outputs = graph.classes();
    let refused = |reason| ModelError::Answer {
        origin: origin.to_owned(),
        reason,
    };
    let answers = answer.answers(outputs).map_err(refused)?;
    let Some((matrix, offsets)) = answer.affine(outputs) else {
        return Ok(graph.clone());
    };
    let mut scored = graph.clone();
    let last = scored.output();
    if answers == outputs {
        scored.push("scores", Op::Scale(-1.0), &[last])?;
    } else {
        // Σ_c M[a, c] y_c, one column at a time: every answer reads all outputs.
        let mut sum = None;
        for c in 0..outputs {
            let copies = Rearrange {
                shape: vec![answers],
                reads: outputs,
                sources: Some(vec![c as u32; answers].into()),
                fill: 0.0,
            };
            let column =
                scored.push(format!("scores.output.{c}"), Op::Rearrange(copies), &[last])?;
            let factors = (0..answers).map(|a| matrix[a * outputs + c]).collect();
            let factors = Op::MultiplyConstants(Constants::new(factors));
            let term = scored.push(format!("scores.term.{c}"), factors, &[column])?;
            sum = Some(match sum {
                None => term,
                Some(sum) => scored.push(format!("scores.sum.{c}"), Op::Add, &[sum, term])?,
            });
        }
        let sum = sum.unwrap_or(last);
        scored.push("scores", Op::AddConstants(Constants::new(offsets)), &[sum])?;
    }
    scored.set_classes(answers);
    Ok(scored)
}

/// The names under `id2label` of the configuration; none unless every output has one.
fn class_names(checkpoint: &Checkpoint, classes: usize) -> Vec<String> {
    let names = checkpoint
        .config()
        .and_then(|config| config.get("id2label"));
    let name = |class: usize| {
        let name = names?.get(class.to_string())?;
        name.as_str().map(str::to_owned)
    };
    (0..classes)
        .map(name)
        .collect::<Option<_>>()
        .unwrap_or_default()
}
