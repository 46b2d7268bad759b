//! What a network takes: how pictures, sentences and numbers become its inputs.

use std::path::{Path, PathBuf};

use data::image::preprocess::{Arithmetic, ChannelOrder, Resize};
use data::image::{config, presets};
use data::labelled::Intake;
use data::{Preprocessing, Tokenizer};
use network::Model;

use super::arguments::PREPROCESSINGS;
use crate::error::{ExperimentError, Result, prepare};

/// Classes of the checkpoints whose architecture alone tells their preprocessing.
const IMAGENET_CLASSES: usize = 1000;

/// How inputs are made, and a sentence that says it.
pub(crate) struct Resolved {
    pub(crate) intake: Intake,
    pub(crate) sentence: String,
}

/// What a model takes, from its graph and the files beside its weights; `preprocessing` names that of
/// pictures.
///
/// # Errors
/// [`ExperimentError::Usage`] where nothing says how pictures become inputs, or a preprocessing is named
/// for a network that takes none; [`ExperimentError::Prepare`] for a file that cannot be read.
pub(crate) fn resolve(model: &Model, path: &Path, preprocessing: Option<&str>) -> Result<Resolved> {
    let folder = folder_of(path);
    let shape = model.graph().input_shape();
    match shape {
        [2, tokens] if reads_tokens(model) => {
            refuse(preprocessing, "sentences")?;
            let what = || format!("tokenizer in {}", folder.display());
            let tokenizer = Tokenizer::load(&folder).map_err(prepare(what))?;
            let is_fixed = model.architecture() == "onnx";
            let tokenizer = match is_fixed {
                true => tokenizer.padded_to(*tokens).map_err(prepare(what))?,
                false => tokenizer,
            };
            let casing = if tokenizer.lower_case() {
                "lower-cased"
            } else {
                "cased"
            };
            let padded = if is_fixed { "padded to" } else { "at most" };
            let positions = tokenizer.positions();
            Ok(Resolved {
                sentence: format!("sentences: word pieces, {casing}, {padded} {positions} tokens"),
                intake: Intake::Tokens(Box::new(tokenizer)),
            })
        }
        [3, _, _] => match pictures(model, &folder, preprocessing)? {
            Some((preprocessing, origin)) => Ok(Resolved {
                sentence: format!("pictures: {} ({origin})", describe(&preprocessing)),
                intake: Intake::Images(preprocessing),
            }),
            None => Ok(numbers(shape)),
        },
        _ => {
            refuse(preprocessing, "numbers")?;
            Ok(numbers(shape))
        }
    }
}

fn reads_tokens(model: &Model) -> bool {
    let layers = model.graph().layers();
    layers
        .iter()
        .any(|layer| layer.kind == network::LayerKind::Embedding)
}

fn refuse(preprocessing: Option<&str>, takes: &str) -> Result<()> {
    match preprocessing {
        None => Ok(()),
        Some(_) => Err(ExperimentError::Usage {
            problem: format!("--preprocessing: the network takes {takes}, no pictures"),
        }),
    }
}

/// Inputs that are taken as they are stored, and pictures whose pixels are divided by 255.
fn numbers(shape: &[usize]) -> Resolved {
    let features = shape.iter().product();
    let grey = "pixels of grey pictures divided by 255, row after row, others as stored";
    Resolved {
        intake: Intake::Vector { features },
        sentence: format!("{features} numbers: {grey}"),
    }
}

/// The preprocessing that is named, else the one that lies beside the weights, else that of the
/// architecture's published checkpoint; where it comes from. `None` for a network of an unknown
/// architecture about whose pictures nothing is said.
fn pictures(
    model: &Model,
    folder: &Path,
    named: Option<&str>,
) -> Result<Option<(Preprocessing, String)>> {
    if let Some((name, preset)) = PREPROCESSINGS.iter().find(|(name, _)| Some(*name) == named) {
        return Ok(Some((preset(), format!("--preprocessing {name}"))));
    }
    let transformers = folder.join("preprocessor_config.json");
    let timm = folder.join("config.json");
    let what = || format!("preprocessing in {}", folder.display());
    if transformers.is_file() {
        let found = config::read_transformers(&transformers).map_err(prepare(what))?;
        return Ok(Some((found, transformers.display().to_string())));
    }
    let is_timm = |config: &serde_json::Value| config.get("pretrained_cfg").is_some();
    if timm.is_file() && model.config().is_some_and(is_timm) {
        let found = config::read_timm(&timm).map_err(prepare(what))?;
        return Ok(Some((found, timm.display().to_string())));
    }
    let published = model.graph().classes() == IMAGENET_CLASSES;
    let assumed = "assumed: that of the architecture's published weights".to_owned();
    match model.architecture() {
        "squeezenet" => Ok(Some((presets::squeezenet(), assumed))),
        "mobilevit" if published && model.shape("stem.conv.weight").is_ok() => {
            Ok(Some((presets::mobilevit_xxs_timm(), assumed)))
        }
        "mobilevit" if published => Ok(Some((presets::mobilevit_transformers(), assumed))),
        "onnx" => Ok(None),
        _ => Err(ExperimentError::Usage {
            problem: format!(
                "no file beside the weights says how pictures become inputs: name it with --preprocessing, one of {}",
                PREPROCESSINGS.map(|(name, _)| name).join(", ")
            ),
        }),
    }
}

/// The steps in their order.
fn describe(preprocessing: &Preprocessing) -> String {
    let Preprocessing {
        resize,
        filter,
        antialias,
        arithmetic,
        crop,
        order,
        range,
        mean,
        std,
    } = preprocessing;
    let mut steps = Vec::new();
    let how = format!(
        "{filter:?}{}{}",
        if *antialias { ", antialiased" } else { "" },
        match arithmetic {
            Arithmetic::Bytes => ", in bytes",
            Arithmetic::Float => ", in floats",
        }
    )
    .to_lowercase();
    match resize {
        Some(Resize::ShortSide(side)) => steps.push(format!("short side {side} ({how})")),
        Some(Resize::Exact { height, width }) => {
            steps.push(format!("resized to {height}x{width} ({how})"));
        }
        None => steps.push("not resized".to_owned()),
    }
    if let Some(crop) = crop {
        steps.push(format!("centre {}x{}", crop.height, crop.width));
    }
    steps.push(match order {
        ChannelOrder::Rgb => format!("RGB from 0 to {range}"),
        ChannelOrder::Bgr => format!("BGR from 0 to {range}"),
    });
    steps.push(format!("less {mean:?}, divided by {std:?}"));
    steps.join(", ")
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
