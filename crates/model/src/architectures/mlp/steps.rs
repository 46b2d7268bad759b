//! What a perceptron does, step by step, and how its metadata say so.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::Activation;

/// One step of a perceptron.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// The linear layer whose tensors have this prefix; none for the tensors `weight` and `bias`.
    Linear(String),
    /// An elementwise function.
    Activation(Activation),
    /// Normalised exponentials of the features.
    Softmax,
}

/// What the classes of a saved module say about its layers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Forward {
    /// The layers and the functions between them, in the order in which they are registered.
    pub(crate) steps: Vec<Step>,
    /// Classes whose code, which no file holds, may do something else with them.
    pub(crate) assumed: BTreeSet<String>,
    /// Why the steps are not all there.
    pub(crate) unread: Option<String>,
    /// The functions of `torch.nn.modules.activation` anywhere in the module.
    pub(crate) functions: BTreeSet<String>,
    /// A hook or another method that changes what a class computes.
    pub(crate) altered: Option<String>,
}

impl Forward {
    /// Whether any two layers have an activation between them.
    pub(crate) fn is_complete(&self) -> bool {
        let linear = |step: &Step| matches!(step, Step::Linear(_));
        self.steps.windows(2).all(|pair| !pair.iter().all(linear))
    }

    /// The prefixes of the linear layers, in order.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &str> {
        linears(&self.steps)
    }

    /// The activations, in order.
    pub(crate) fn activations(&self) -> impl Iterator<Item = Activation> {
        activations(&self.steps)
    }

    /// Takes a prefix from the names of all layers.
    pub(crate) fn strip(&mut self, prefix: &str) {
        for step in &mut self.steps {
            if let Step::Linear(name) = step
                && let Some(rest) = format!("{name}.").strip_prefix(prefix)
            {
                *name = rest.trim_end_matches('.').to_owned();
            }
        }
    }
}

/// The name of a layer's weight.
pub(crate) fn weight_of(layer: &str) -> String {
    tensor_of(layer, "weight")
}

/// The name of a layer's bias.
pub(crate) fn bias_of(layer: &str) -> String {
    tensor_of(layer, "bias")
}

fn tensor_of(layer: &str, kind: &str) -> String {
    if layer.is_empty() {
        kind.to_owned()
    } else {
        format!("{layer}.{kind}")
    }
}

/// The prefixes of the linear layers among steps.
pub(crate) fn linears(steps: &[Step]) -> impl Iterator<Item = &str> {
    steps.iter().filter_map(|step| match step {
        Step::Linear(name) => Some(name.as_str()),
        _ => None,
    })
}

/// The activations among steps.
pub(crate) fn activations(steps: &[Step]) -> impl Iterator<Item = Activation> {
    steps.iter().filter_map(|step| match step {
        Step::Activation(activation) => Some(*activation),
        _ => None,
    })
}

/// The steps in JSON: `[{"linear": "0"}, "relu", {"linear": "2"}, "softmax"]`. An activation with a
/// number has it as its value: `{"leaky_relu": 0.2}`.
pub(crate) fn to_json(steps: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Linear(name) => json!({ "linear": name }),
        Step::Softmax => json!("softmax"),
        Step::Activation(activation) => match number(*activation) {
            Some(number) => json!({ activation.name(): number }),
            None => json!(activation.name()),
        },
    };
    Value::Array(steps.iter().map(step).collect()).to_string()
}

/// The inverse of [`to_json`], or what is wrong with the text.
pub(crate) fn from_json(text: &str) -> Result<Vec<Step>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let steps = value.as_array().ok_or("expected a list")?;
    steps.iter().map(step).collect()
}

fn step(value: &Value) -> Result<Step, String> {
    let unknown = || format!("expected a layer or a function, got {value}");
    if let Some(name) = value.as_str() {
        return match name {
            "softmax" => Ok(Step::Softmax),
            _ => match name.parse::<Activation>() {
                Ok(activation) if number(activation).is_none() => Ok(Step::Activation(activation)),
                _ => Err(unknown()),
            },
        };
    }
    let entries = value.as_object().filter(|entries| entries.len() == 1);
    let entry = entries.and_then(|entries| entries.iter().next());
    let (key, held) = entry.ok_or_else(unknown)?;
    match (key.as_str(), held.as_str(), held.as_f64()) {
        ("linear", Some(name), _) => Ok(Step::Linear(name.to_owned())),
        ("leaky_relu", _, Some(slope)) if (0.0..=1.0).contains(&slope) => {
            Ok(Step::Activation(Activation::LeakyRelu { slope }))
        }
        ("elu", _, Some(alpha)) => Ok(Step::Activation(Activation::Elu { alpha })),
        _ => Err(unknown()),
    }
}

/// The number that an activation has beside its name.
fn number(activation: Activation) -> Option<f64> {
    match activation {
        Activation::LeakyRelu { slope } => Some(slope),
        Activation::Elu { alpha } => Some(alpha),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_back_from_their_text() {
        let steps = vec![
            Step::Linear("a \"b\".0".to_owned()),
            Step::Activation(Activation::LeakyRelu { slope: 0.2 }),
            Step::Linear(String::new()),
            Step::Activation(Activation::Gelu),
            Step::Activation(Activation::Elu { alpha: 0.1 }),
            Step::Softmax,
        ];
        assert_eq!(from_json(&to_json(&steps)).unwrap(), steps);
        for wrong in [
            "[",
            "{}",
            r#"["swish"]"#,
            r#"["leaky_relu"]"#,
            r#"[{"leaky_relu": 2}]"#,
            r#"[{"linear": 3}]"#,
            r#"[{"linear": "a", "elu": 1}]"#,
        ] {
            assert!(from_json(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_is_taken_from_layers_alone() {
        let mut forward = Forward {
            steps: vec![
                Step::Linear("module.0".to_owned()),
                Step::Activation(Activation::Tanh),
                Step::Linear("module".to_owned()),
            ],
            ..Forward::default()
        };
        assert!(forward.is_complete());
        forward.strip("module.");
        assert_eq!(forward.linears().collect::<Vec<_>>(), ["0", ""]);
    }
}
