//! The network that is repaired, and what it takes.

use std::fmt;
use std::path::{Path, PathBuf};

use data::image::{config, presets};
use data::labelled::{Intake, Limit, Reader};
use data::{Preprocessing, Tokenizer};
use network::{DeviceChoice, Layer, Model, Network, Precision};

use super::arguments::{PREPROCESSINGS, SourceArguments};
use crate::error::{ExperimentError, Result, prepare};

/// Classes of the checkpoints whose architecture alone tells their preprocessing.
const IMAGENET_CLASSES: usize = 1000;

/// A loaded network.
pub(crate) struct Subject {
    pub(crate) path: PathBuf,
    pub(crate) checkpoint: Model,
    pub(crate) network: Network,
    /// The layers to edit.
    pub(crate) layers: Vec<Layer>,
    architecture: &'static str,
    pub(crate) device: DeviceChoice,
    intake: Intake,
    class_names: Vec<String>,
}

impl Subject {
    /// Loads network and tokenizer, and decides on the preprocessing; `layers` names the layers to
    /// edit, if any.
    pub(crate) fn open<'a>(
        arguments: &SourceArguments,
        layers: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        let path = &arguments.network;
        let what = || format!("network {}", path.display());
        let checkpoint = Model::open(path).map_err(prepare(what))?;
        let architecture = checkpoint.architecture();
        let device = arguments.device.resolve();
        let precision = arguments.dtype.unwrap_or(match architecture {
            "mlp" => device.default_precision(),
            _ => Precision::F32,
        });
        let opened = device
            .open()
            .map_err(prepare(|| format!("device {device}")))?;
        let network = Network::load(&checkpoint, &opened, precision).map_err(prepare(what))?;
        Ok(Self {
            path: path.clone(),
            layers: layers
                .into_iter()
                .map(|name| layer(&network, path, name.trim()))
                .collect::<Result<_>>()?,
            intake: intake(arguments, architecture, &checkpoint, &network)?,
            class_names: checkpoint.class_names().to_vec(),
            architecture,
            device,
            checkpoint,
            network,
        })
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

    /// A reader of sets for this network.
    pub(crate) fn reader(&self, limit: Option<Limit>) -> Reader<'_> {
        Reader {
            intake: &self.intake,
            classes: self.network.classes(),
            class_names: &self.class_names,
            limit,
        }
    }

    /// Whether inputs are token ids, which are no magnitudes.
    pub(crate) fn reads_text(&self) -> bool {
        matches!(self.intake, Intake::Tokens(_))
    }

    /// The name of a class, or its number.
    pub(crate) fn class(&self, class: usize) -> String {
        let name = self.class_names.get(class).cloned();
        name.unwrap_or_else(|| class.to_string())
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
        )
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

/// What a network takes, from its architecture and the files beside its weights.
fn intake(
    arguments: &SourceArguments,
    architecture: &str,
    checkpoint: &Model,
    network: &Network,
) -> Result<Intake> {
    let named = arguments.preprocessing.as_deref();
    let folder = folder_of(&arguments.network);
    match architecture {
        "distilbert" | "mlp" if named.is_some() => Err(ExperimentError::Usage {
            problem: format!("--preprocessing: a network of kind {architecture} takes no pictures"),
        }),
        "distilbert" => {
            let what = || format!("tokenizer in {}", folder.display());
            let tokenizer = Tokenizer::load(&folder).map_err(prepare(what))?;
            Ok(Intake::Tokens(Box::new(tokenizer)))
        }
        "mlp" => Ok(Intake::Vector {
            features: network.graph().input_shape().iter().product(),
        }),
        _ => {
            let preset = PREPROCESSINGS.iter().find(|(name, _)| Some(*name) == named);
            match preset {
                Some((_, preset)) => Ok(Intake::Images(preset())),
                None => {
                    preprocessing(architecture, checkpoint, network, &folder).map(Intake::Images)
                }
            }
        }
    }
}

/// The preprocessing that lies beside the weights, else that of the architecture's published checkpoint.
fn preprocessing(
    architecture: &str,
    checkpoint: &Model,
    network: &Network,
    folder: &Path,
) -> Result<Preprocessing> {
    let transformers = folder.join("preprocessor_config.json");
    let timm = folder.join("config.json");
    let what = || format!("preprocessing in {}", folder.display());
    if transformers.is_file() {
        return config::read_transformers(&transformers).map_err(prepare(what));
    }
    let is_timm = |config: &serde_json::Value| config.get("pretrained_cfg").is_some();
    if timm.is_file() && checkpoint.config().is_some_and(is_timm) {
        return config::read_timm(&timm).map_err(prepare(what));
    }
    let published = network.classes() == IMAGENET_CLASSES;
    match architecture {
        "squeezenet" => Ok(presets::squeezenet()),
        "mobilevit" if published && checkpoint.shape("stem.conv.weight").is_ok() => {
            Ok(presets::mobilevit_xxs_timm())
        }
        "mobilevit" if published => Ok(presets::mobilevit_transformers()),
        _ => Err(ExperimentError::Usage {
            problem: format!(
                "no file beside the weights says how pictures become inputs: name it with --preprocessing, one of {}",
                PREPROCESSINGS.map(|(name, _)| name).join(", ")
            ),
        }),
    }
}

/// The folder of a network's files.
fn folder_of(network: &Path) -> PathBuf {
    if network.is_dir() {
        return network.to_owned();
    }
    match network.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
