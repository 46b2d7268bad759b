//! What a perceptron's file, its configuration and the user say that it does.

use std::collections::{BTreeMap, BTreeSet};

use super::super::configured::Configured;
use super::order::{Matrix, chains, order};
use super::steps::{Forward, Step, bias_of, from_json, linears, to_json, weight_of};
use super::{INPUT, OUTPUT, companions};
use crate::{Activation, Checkpoint, ModelError, Note};

/// Metadata key of the steps.
const LAYERS: &str = "layers";
/// Metadata key of the activation between any two layers.
const ACTIVATION: &str = "activation";
/// Metadata key of LeakyReLU's slope.
const SLOPE: &str = "negative_slope";
/// Metadata key of ELU's limit.
const ALPHA: &str = "alpha";
/// Metadata key of the function behind the last layer.
const OUTPUT_FUNCTION: &str = "output";

/// Keys of the configuration that name an activation.
const CONFIGURED: [&str; 3] = ["activation", "hidden_act", "activation_function"];

/// The steps of a perceptron, and who says so.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) notes: Vec<Note>,
}

/// Whether a checkpoint looks like a perceptron: layers `<number>`, or nothing but matrices and biases.
pub(crate) fn recognises(checkpoint: &Checkpoint) -> bool {
    let mut has_matrix = false;
    let mut has_number = false;
    let mut has_other = false;
    let accompanying: BTreeSet<&str> = companions(checkpoint).collect();
    for name in checkpoint.names() {
        let rank = checkpoint.shape(name).map_or(0, <[usize]>::len);
        let known = INPUT.contains(&name) || OUTPUT.contains(&name) || accompanying.contains(name);
        match layer_of(name) {
            Some(layer) => {
                has_number |= layer.parse::<u64>().is_ok();
                has_matrix |= rank == 2;
                has_other |= rank != 2;
            }
            None => has_other |= !(known || is_bias(name) && rank == 1),
        }
    }
    has_number || (has_matrix && !has_other)
}

/// The layer of a weight.
fn layer_of(tensor: &str) -> Option<&str> {
    match tensor {
        "weight" => Some(""),
        _ => tensor.strip_suffix(".weight"),
    }
}

fn is_bias(tensor: &str) -> bool {
    tensor == "bias" || tensor.ends_with(".bias")
}

/// The checkpoint with metadata that say its steps by themselves, and who said them.
///
/// # Errors
/// As [`graph`](super::graph); [`ModelError::Activation`] too when the user names another activation
/// than the file.
pub(crate) fn resolved(
    checkpoint: Checkpoint,
    given: Option<Activation>,
) -> Result<(Checkpoint, Vec<Note>), ModelError> {
    let told = plan(&checkpoint, given)?;
    let bare = checkpoint.clone().without_source();
    if plan(&bare, None).is_ok_and(|alone| alone.steps == told.steps) {
        return Ok((checkpoint, told.notes));
    }
    // The plain form is enough where names tell the order and one activation is everywhere.
    if let Some(activation) = super::steps::activations(&told.steps).next() {
        let plain = BTreeMap::from_iter(metadata_of(activation));
        let stated = checkpoint.with_metadata(&plain)?;
        let alone = plan(&stated.clone().without_source(), None);
        if alone.is_ok_and(|alone| alone.steps == told.steps) {
            return Ok((stated, told.notes));
        }
    }
    let layers = BTreeMap::from([(LAYERS.to_owned(), to_json(&told.steps))]);
    Ok((checkpoint.with_metadata(&layers)?, told.notes))
}

/// The metadata that say an activation.
pub(super) fn metadata_of(activation: Activation) -> Vec<(String, String)> {
    let mut metadata = vec![(ACTIVATION.to_owned(), activation.name().to_owned())];
    match activation {
        Activation::LeakyRelu { slope } => metadata.push((SLOPE.to_owned(), slope.to_string())),
        Activation::Elu { alpha } => metadata.push((ALPHA.to_owned(), alpha.to_string())),
        _ => {}
    }
    metadata
}

/// The steps of a checkpoint; `given` is the user's activation.
pub(super) fn plan(checkpoint: &Checkpoint, given: Option<Activation>) -> Result<Plan, ModelError> {
    let unclear = |reason: String| ModelError::Architecture {
        origin: checkpoint.origin().to_owned(),
        reason,
    };
    let matrices = matrices(checkpoint).map_err(unclear)?;
    let mut plan = Plan {
        steps: Vec::new(),
        notes: Vec::new(),
    };
    if let Some(text) = checkpoint.metadata().get(LAYERS) {
        let steps = from_json(text);
        plan.steps = steps.map_err(|reason| unclear(format!("metadata `{LAYERS}`: {reason}")))?;
        check_given(checkpoint, &plan.steps, given)?;
    } else {
        match &checkpoint.source().forward {
            Some(forward) => plan.of_module(checkpoint, forward, &matrices, given)?,
            None => {
                let file = &checkpoint.source().order;
                plan.of_names(checkpoint, &matrices, file, &[], given)?;
            }
        }
    }
    if ends_in_softmax(checkpoint)? && plan.steps.last() != Some(&Step::Softmax) {
        plan.steps.push(Step::Softmax);
    }
    check_steps(&plan.steps, &matrices).map_err(unclear)?;
    plan.notes.extend(biases(checkpoint, &plan.steps));
    Ok(plan)
}

/// The layers of a checkpoint, sorted by name.
fn matrices(checkpoint: &Checkpoint) -> Result<Vec<Matrix>, String> {
    let mut matrices = Vec::new();
    for name in checkpoint.names() {
        let Some(layer) = layer_of(name) else {
            continue;
        };
        let shape = checkpoint.shape(name).unwrap_or_default();
        let &[outputs, inputs] = shape else {
            return Err(format!("tensor `{name}` is no matrix"));
        };
        if outputs == 0 || inputs == 0 {
            return Err(format!(
                "tensor `{name}` of shape [{outputs}, {inputs}] is empty"
            ));
        }
        matrices.push(Matrix {
            name: layer.to_owned(),
            inputs,
            outputs,
        });
    }
    if matrices.is_empty() {
        return Err("there is no tensor named `<name>.weight`".to_owned());
    }
    Ok(matrices)
}

fn ends_in_softmax(checkpoint: &Checkpoint) -> Result<bool, ModelError> {
    match checkpoint
        .metadata()
        .get(OUTPUT_FUNCTION)
        .map(String::as_str)
    {
        None => Ok(false),
        Some("softmax") => Ok(true),
        Some(other) => Err(ModelError::Unknown {
            kind: "output function",
            name: other.to_owned(),
            known: vec!["softmax".to_owned()],
        }),
    }
}

/// Checks that the steps use every layer once, that widths fit, and that softmax comes last.
fn check_steps(steps: &[Step], matrices: &[Matrix]) -> Result<(), String> {
    let known: BTreeMap<&str, &Matrix> = matrices
        .iter()
        .map(|matrix| (matrix.name.as_str(), matrix))
        .collect();
    let mut used = BTreeSet::new();
    let mut chain = Vec::new();
    for name in linears(steps) {
        let Some(&matrix) = known.get(name) else {
            return Err(format!("there is no tensor `{}`", weight_of(name)));
        };
        if !used.insert(name) {
            return Err(format!("layer `{name}` is applied twice"));
        }
        chain.push(matrix.clone());
    }
    if let Some(unused) = matrices
        .iter()
        .find(|matrix| !used.contains(matrix.name.as_str()))
    {
        return Err(format!(
            "no step uses the tensor `{}`",
            weight_of(&unused.name)
        ));
    }
    chains(&chain)?;
    let softmax = steps.iter().position(|step| *step == Step::Softmax);
    if softmax.is_some_and(|place| place + 1 < steps.len()) {
        return Err("softmax is followed by other steps".to_owned());
    }
    Ok(())
}

/// Says which layers have no bias where others have.
fn biases(checkpoint: &Checkpoint, steps: &[Step]) -> Option<Note> {
    let (with, without): (Vec<&str>, Vec<&str>) =
        linears(steps).partition(|layer| checkpoint.shape(&bias_of(layer)).is_ok());
    let names: Vec<String> = without.iter().map(|layer| format!("`{layer}`")).collect();
    match (
        names.is_empty(),
        with.is_empty(),
        &checkpoint.source().forward,
    ) {
        (true, ..) => None,
        (_, true, _) => Some(Note::Read("no layer has a bias".to_owned())),
        (.., Some(_)) => Some(Note::Read(format!("no bias: {}", names.join(", ")))),
        _ => Some(Note::Assumed(format!(
            "layers without a bias in the file have none: {}",
            names.join(", ")
        ))),
    }
}

/// Refuses an activation of the user that the steps contradict.
fn check_given(
    checkpoint: &Checkpoint,
    steps: &[Step],
    given: Option<Activation>,
) -> Result<(), ModelError> {
    let other = given.and_then(|given| {
        let mut said = super::steps::activations(steps);
        said.find(|said| said.name() != given.name())
    });
    match (given, other) {
        (Some(given), Some(said)) => Err(contradiction(checkpoint, said, given)),
        _ => Ok(()),
    }
}

fn contradiction(checkpoint: &Checkpoint, said: Activation, given: Activation) -> ModelError {
    refused(
        checkpoint,
        format!(
            "the file says that its activation is {}, {} was asked for",
            said.name(),
            given.name()
        ),
    )
}

fn refused(checkpoint: &Checkpoint, reason: String) -> ModelError {
    ModelError::Activation {
        origin: checkpoint.origin().to_owned(),
        reason,
    }
}

impl Plan {
    /// The steps that the classes of a module say.
    fn of_module(
        &mut self,
        checkpoint: &Checkpoint,
        forward: &Forward,
        matrices: &[Matrix],
        given: Option<Activation>,
    ) -> Result<(), ModelError> {
        let unclear = |reason: String| ModelError::Architecture {
            origin: checkpoint.origin().to_owned(),
            reason,
        };
        if let Some(reason) = &forward.unread {
            return Err(unclear(reason.clone()));
        }
        let classes = forward.assumed.iter().map(|class| format!("`{class}`"));
        let classes = classes.collect::<Vec<_>>().join(", ");
        if forward.assumed.is_empty() || forward.is_complete() {
            check_given(checkpoint, &forward.steps, given)?;
            self.steps.clone_from(&forward.steps);
            self.notes.push(if forward.assumed.is_empty() {
                Note::Read("the classes of the module say its layers and activations".to_owned())
            } else {
                let names: Vec<&str> = forward.linears().collect();
                Note::Assumed(format!(
                    "{classes} computes nothing but its modules in the order in which it registers them \
                     (layers {})",
                    names.join(", ")
                ))
            });
            return Ok(());
        }
        if forward.steps.contains(&Step::Softmax) {
            return Err(unclear(format!(
                "{classes} does not say where its softmax acts"
            )));
        }
        let mut among: Vec<Activation> = Vec::new();
        for activation in forward.activations() {
            if !among.contains(&activation) {
                among.push(activation);
            }
        }
        let file: Vec<String> = forward.linears().map(str::to_owned).collect();
        self.notes.push(Note::Assumed(format!(
            "{classes} has one activation between any two layers and computes nothing else"
        )));
        self.of_names(checkpoint, matrices, &file, &among, given)
    }

    /// Layers in the order that their names, their widths or the file tell, and one activation between
    /// any two; `among` are the activations that a module has, if it has any.
    fn of_names(
        &mut self,
        checkpoint: &Checkpoint,
        matrices: &[Matrix],
        file: &[String],
        among: &[Activation],
        given: Option<Activation>,
    ) -> Result<(), ModelError> {
        let ordered = order(matrices.to_vec(), file);
        let ordered = ordered.map_err(|reason| ModelError::Architecture {
            origin: checkpoint.origin().to_owned(),
            reason,
        })?;
        let names = ordered.layers.iter().map(|layer| layer.name.clone());
        let names: Vec<String> = names.collect();
        if ordered.by_file {
            self.notes.push(Note::Assumed(format!(
                "the layers are applied in the order of the file: {}",
                names.join(", ")
            )));
        }
        let activation = match (&names[..], given) {
            ([_], None) => None,
            ([_], Some(given)) => {
                let name = given.name();
                return Err(refused(
                    checkpoint,
                    format!("one layer has no activation behind it, {name} was asked for"),
                ));
            }
            _ => Some(self.activation(checkpoint, among, given)?),
        };
        let mut names = names.into_iter();
        self.steps.extend(names.next().map(Step::Linear));
        for name in names {
            self.steps.extend(activation.map(Step::Activation));
            self.steps.push(Step::Linear(name));
        }
        Ok(())
    }

    /// The activation between any two layers.
    fn activation(
        &mut self,
        checkpoint: &Checkpoint,
        among: &[Activation],
        given: Option<Activation>,
    ) -> Result<Activation, ModelError> {
        let says = |activation: Activation| {
            format!("the activation between the layers is {}", activation.name())
        };
        let stated = stated(checkpoint)?;
        if let (Some(stated), Some(given)) = (stated, given)
            && stated.name() != given.name()
        {
            return Err(contradiction(checkpoint, stated, given));
        }
        let configured = configured(checkpoint)?;
        let (activation, note) = if let Some(stated) = stated {
            (stated, Note::Read(says(stated)))
        } else if let Some(given) = given {
            (given, Note::Given(says(given)))
        } else if let Some((configured, key)) = configured {
            let text = format!("{} (`{key}` of its configuration)", says(configured));
            (configured, Note::Read(text))
        } else {
            return Err(refused(checkpoint, unsaid(among)));
        };
        self.notes.push(note);
        match among.iter().find(|held| held.name() == activation.name()) {
            // The module says the number of LeakyReLU and ELU.
            Some(&held) => Ok(held),
            None if among.is_empty() => Ok(activation),
            None => Err(contradiction(checkpoint, among[0], activation)),
        }
    }
}

fn unsaid(among: &[Activation]) -> String {
    let held: Vec<&str> = among.iter().map(Activation::name).collect();
    let held = match &held[..] {
        [] => String::new(),
        held => format!(
            " (its modules are {}, and not between all layers)",
            held.join(", ")
        ),
    };
    format!(
        "the file does not say the activation between its layers{held}; name it (--activation relu), \
         or write {{\"activation\": \"relu\"}} as config.json beside it"
    )
}

/// The activation that the metadata name.
fn stated(checkpoint: &Checkpoint) -> Result<Option<Activation>, ModelError> {
    let Some(name) = checkpoint.metadata().get(ACTIVATION) else {
        return Ok(None);
    };
    let number = |key: &str, range: std::ops::RangeInclusive<f64>| {
        let Some(text) = checkpoint.metadata().get(key) else {
            return Ok(None);
        };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| ModelError::Architecture {
            origin: checkpoint.origin().to_owned(),
            reason: format!(
                "metadata `{key}`: expected a number from {} to {}, got `{text}`",
                range.start(),
                range.end()
            ),
        })
    };
    Ok(Some(match name.parse()? {
        Activation::LeakyRelu { slope } => Activation::LeakyRelu {
            slope: number(SLOPE, 0.0..=1.0)?.unwrap_or(slope),
        },
        Activation::Elu { alpha } => Activation::Elu {
            alpha: number(ALPHA, 0.0..=f64::MAX)?.unwrap_or(alpha),
        },
        other => other,
    }))
}

/// The activation that the configuration names, and the key under which it does; a configuration of
/// another kind of model names none.
fn configured(checkpoint: &Checkpoint) -> Result<Option<(Activation, &'static str)>, ModelError> {
    let Some(config) = checkpoint.config() else {
        return Ok(None);
    };
    let of_other = config.get("model_type").and_then(serde_json::Value::as_str);
    if of_other.is_some_and(|kind| kind != "mlp") {
        return Ok(None);
    }
    let Some(key) = CONFIGURED.into_iter().find(|key| config.get(key).is_some()) else {
        return Ok(None);
    };
    let held = Configured(checkpoint).text(key)?;
    let name = held.unwrap_or_default().to_ascii_lowercase();
    // Other libraries' names of the same functions.
    let name = match name.as_str() {
        "swish" => "silu",
        "gelu_new" | "gelu_pytorch_tanh" => "gelu_tanh",
        "leakyrelu" => "leaky_relu",
        name => name,
    };
    let activation = match name.parse()? {
        Activation::LeakyRelu { slope } => {
            let stated = Configured(checkpoint).share(SLOPE)?;
            Activation::LeakyRelu {
                slope: stated.unwrap_or(slope),
            }
        }
        other => other,
    };
    Ok(Some((activation, key)))
}
