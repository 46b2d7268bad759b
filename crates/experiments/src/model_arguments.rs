//! The flags that name a network, and what its file does not say.

use std::path::PathBuf;

use clap::Args;
use network::{Activation, AnswerRule, Model, OpenOptions};
use serde::{Serialize, Serializer};

use crate::error::{ExperimentError, Result, prepare};

// Its flags are those of several commands, whose descriptions a doc comment here would replace.
#[allow(missing_docs)]
#[derive(Clone, Debug, Args, Serialize)]
pub struct ModelArguments {
    /// Network: a weight file (safetensors, ONNX, PyTorch, .nnet), or a folder with one and its tokenizer and
    /// configuration
    #[arg(long, value_name = "FILE|DIR")]
    pub network: PathBuf,
    /// The output that is the network's answer: largest or smallest [default: that of the file, else the largest]
    #[arg(long, value_name = "largest|smallest", value_parser = ["largest", "smallest"], conflicts_with = "threshold")]
    pub answer: Option<String>,
    /// Answer yes where the only output exceeds this number; of a network with several labels per input, each
    /// output that exceeds it is a label
    #[arg(long, value_name = "NUMBER", value_parser = finite, allow_negative_numbers = true)]
    pub threshold: Option<f64>,
    /// Several labels per input: every output above --threshold (or above 0) is one
    #[arg(long)]
    pub several_labels: bool,
    /// Activation between the layers of a perceptron whose file does not name it, e.g. relu, gelu or leaky_relu
    #[arg(long, value_name = "NAME", value_parser = activation)]
    #[serde(serialize_with = "activation_name")]
    pub activation: Option<Activation>,
    /// Key of the weights in a PyTorch file that holds several, e.g. state_dict_ema
    #[arg(long, value_name = "NAME")]
    pub weights_key: Option<String>,
    /// Tokens to which sentences are padded for an ONNX graph that leaves their number open [default: 128]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub tokens: Option<u16>,
}

impl ModelArguments {
    /// What the file does not say.
    pub fn options(&self) -> OpenOptions {
        let answer = match (self.several_labels, self.threshold, self.answer.as_deref()) {
            (true, threshold, _) => Some(AnswerRule::EachAbove(threshold.unwrap_or(0.0))),
            (false, Some(threshold), _) => Some(AnswerRule::Above(threshold)),
            (false, None, Some("smallest")) => Some(AnswerRule::Smallest),
            (false, None, Some(_)) => Some(AnswerRule::Largest),
            (false, None, None) => None,
        };
        OpenOptions {
            key: self.weights_key.clone(),
            activation: self.activation,
            answer,
            tokens: self.tokens.map(usize::from),
        }
    }

    /// Opens the model.
    ///
    /// # Errors
    /// [`ExperimentError::Usage`] where the file leaves a question that a flag answers,
    /// [`ExperimentError::Prepare`] where it cannot be read.
    pub fn open(&self) -> Result<Model> {
        let what = || format!("network {}", self.network.display());
        Model::open_with(&self.network, &self.options()).map_err(|error| {
            if error.is_a_question() {
                return ExperimentError::Usage {
                    problem: error.to_string(),
                };
            }
            prepare(what)(error)
        })
    }
}

fn finite(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| "expected a finite number".to_owned())
}

fn activation(name: &str) -> Result<Activation, String> {
    name.parse()
        .map_err(|error: network::ModelError| error.to_string())
}

fn activation_name<S: Serializer>(
    activation: &Option<Activation>,
    to: S,
) -> Result<S::Ok, S::Error> {
    activation.map(|activation| activation.name()).serialize(to)
}
