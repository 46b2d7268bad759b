//! The network that is repaired, and what it takes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use data::labelled::Intake;
use network::AnswerRule;
use network::{DeviceCheck, DeviceChoice, Layer, Model, Network, Precision};

use super::arguments::SourceArguments;
use super::intake::{self, Resolved};
use crate::error::{ExperimentError, Result, prepare};
use crate::progress::Progress;
use crate::terminal;

/// A loaded network.
pub(crate) struct Subject {
    pub(crate) path: PathBuf,
    pub(crate) checkpoint: Model,
    pub(crate) network: Network,
    /// The layers to edit.
    pub(crate) layers: Vec<Layer>,
    architecture: &'static str,
    pub(crate) device: DeviceChoice,
    /// What was found of the device; of the reference device nothing.
    check: OnceLock<Option<DeviceCheck>>,
    progress: Progress,
    intake: Intake,
    /// That of guard and clean sets, where it is another one.
    clean_intake: Option<Intake>,
    /// A sentence that says how inputs are made.
    inputs: String,
    class_names: Vec<String>,
}

impl Subject {
    /// Loads network and tokenizer, and decides on the preprocessing; `layers` names the layers to
    /// edit, if any. Says what it is.
    pub(crate) fn open<'a>(
        arguments: &SourceArguments,
        layers: impl IntoIterator<Item = &'a str>,
        progress: &Progress,
    ) -> Result<Self> {
        let path = &arguments.model.network;
        let what = || format!("network {}", path.display());
        let model = arguments.model.open()?;
        let architecture = model.architecture();
        let device = arguments.device.resolve();
        let precision = arguments.dtype.unwrap_or(match architecture {
            "mlp" => device.default_precision(),
            _ => Precision::F32,
        });
        let opened = device
            .open()
            .map_err(prepare(|| format!("device {device}")))?;
        let network = Network::load(&model, &opened, precision).map_err(prepare(what))?;
        let Resolved { intake, sentence } =
            intake::resolve(&model, path, arguments.preprocessing.as_deref())?;
        let clean = arguments.guard_preprocessing.as_deref();
        let clean = clean.map(|name| intake::resolve(&model, path, Some(name)));
        let clean_intake = clean.transpose()?.map(|resolved| resolved.intake);
        let subject = Self {
            path: path.clone(),
            layers: layers
                .into_iter()
                .map(|name| layer(&network, path, name.trim()))
                .collect::<Result<_>>()?,
            intake,
            clean_intake,
            inputs: sentence,
            class_names: model.class_names().to_vec(),
            architecture,
            device,
            check: OnceLock::new(),
            progress: progress.clone(),
            checkpoint: model,
            network,
        };
        progress.say(&subject.to_string());
        Ok(subject)
    }

    /// Compares the device with the reference device, unless that was done: before the network runs
    /// on inputs of `shape`, in the largest batch that they make.
    ///
    /// # Errors
    /// [`ExperimentError::Prepare`] when the device is wrong or cannot compute the network.
    pub(crate) fn trust_device(&self, shape: &[usize]) -> Result<()> {
        if self.check.get().is_some() {
            return Ok(());
        }
        let check = DeviceCheck::of(
            &self.checkpoint,
            self.device,
            self.network.device(),
            self.network.precision(),
            repair::batch_size(&self.network, shape),
            shape,
        );
        let check = check.map_err(prepare(|| format!("device {}", self.device)))?;
        if let Some(check) = &check {
            self.progress.say(&check.to_string());
        }
        // It is empty: nothing else fills it.
        let _ = self.check.set(check);
        Ok(())
    }

    /// What was found of the device; nothing of the reference device, or before the network has run.
    pub(crate) fn device_check(&self) -> Option<&DeviceCheck> {
        self.check.get()?.as_ref()
    }

    /// The layer of a name, `last`, or the only one whose name ends in the given one.
    pub(crate) fn layer(&self, name: &str) -> Result<Layer> {
        layer(&self.network, &self.path, name)
    }

    /// The names of the layers to edit.
    pub(crate) fn layer_names(&self) -> String {
        let names: Vec<&str> = self
            .layers
            .iter()
            .map(|layer| layer.name.as_str())
            .collect();
        names.join(", ")
    }

    /// How inputs are made.
    pub(crate) fn intake(&self) -> &Intake {
        &self.intake
    }

    /// How inputs of guard and clean sets are made.
    pub(crate) fn clean_intake(&self) -> &Intake {
        self.clean_intake.as_ref().unwrap_or(&self.intake)
    }

    /// The names of what a label may be; none unless all have one.
    pub(crate) fn class_names(&self) -> &[String] {
        match self.class_names.len() {
            names if names == self.labels() => &self.class_names,
            _ => &[],
        }
    }

    /// Number of labels: of answers, or of outputs where an answer is a number of labels at once.
    pub(crate) fn labels(&self) -> usize {
        match self.checkpoint.answer() {
            AnswerRule::EachAbove(_) => self.checkpoint.output_graph().classes(),
            _ => self.network.classes(),
        }
    }

    /// Whether inputs are token ids, which are no magnitudes.
    pub(crate) fn reads_text(&self) -> bool {
        matches!(self.intake, Intake::Tokens(_))
    }

    /// What was read and assumed of the network, a sentence each.
    pub(crate) fn reading(&self) -> Vec<String> {
        let notes = self.checkpoint.notes().iter().map(ToString::to_string);
        notes.chain([self.inputs.clone()]).collect()
    }

    /// The name of an answer, or its number; of several labels all their names.
    pub(crate) fn class(&self, class: usize) -> String {
        let name = |class: usize| {
            let name = self.class_names().get(class);
            name.map_or_else(|| class.to_string(), |name| terminal::in_line(name))
        };
        match self.checkpoint.answer() {
            AnswerRule::EachAbove(_) => {
                let labels = (0..self.labels()).filter(|label| class >> label & 1 == 1);
                format!("{{{}}}", labels.map(name).collect::<Vec<_>>().join(", "))
            }
            _ => name(class),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "network: {} ({}, {} layers, {} outputs) on {} in {}",
            self.path.display(),
            self.architecture,
            self.network.layers().len(),
            self.network.classes(),
            self.device,
            self.network.precision(),
        )?;
        self.reading()
            .iter()
            .try_for_each(|line| write!(f, "\n  {line}"))
    }
}

fn layer(network: &Network, path: &Path, name: &str) -> Result<Layer> {
    let layers = network.layers();
    let found = match name {
        "last" => layers.last(),
        name => named(layers, name),
    };
    found.cloned().ok_or_else(|| {
        let known: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        ExperimentError::UnknownLayer {
            network: path.display().to_string(),
            layer: name.to_owned(),
            known: known.join(", "),
        }
    })
}

/// The layer of a name, or the only one whose name ends in it.
fn named<'a>(layers: &'a [Layer], name: &str) -> Option<&'a Layer> {
    let exact = layers.iter().find(|layer| layer.name == name);
    let ends = |layer: &&Layer| layer.name.ends_with(&format!(".{name}"));
    let mut ending = layers.iter().filter(ends);
    let only = ending.next().filter(|_| ending.next().is_none());
    exact.or(only)
}
