//! Configurations beside weights: what a network computes, and what is done to its pictures.

use data::image::config::{read_timm, read_transformers};
use data::image::preprocess::Resize;
use data::{Preprocessing, image::Bitmap};
use serde_json::{Map, Value};

use super::choices::Choices;
use super::{Folder, checkpoints, networks};

/// Keys of configurations that an architecture may look at.
const KEYS: [&str; 40] = [
    "patch_size",
    "num_attention_heads",
    "n_heads",
    "activation",
    "dim",
    "vocab_size",
    "max_position_embeddings",
    "n_layers",
    "hidden_dim",
    "image_size",
    "hidden_act",
    "layer_norm_eps",
    "output_stride",
    "conv_kernel_size",
    "hidden_sizes",
    "neck_hidden_sizes",
    "mlp_ratio",
    "expand_ratio",
    "num_channels",
    "num_labels",
    "num_classes",
    "id2label",
    "label2id",
    "label_names",
    "architectures",
    "architecture",
    "model_type",
    "problem_type",
    "sinusoidal_pos_embds",
    "pretrained_cfg",
    "negative_slope",
    "alpha",
    "output",
    "answer",
    "qkv_bias",
    "attention_dropout",
    "initializer_range",
    "torch_dtype",
    "tie_weights_",
    "pad_token_id",
];

const WORDS: [&str; 20] = [
    "relu",
    "gelu",
    "silu",
    "leaky_relu",
    "elu",
    "softmax",
    "none",
    "0",
    "1",
    "2",
    "-1",
    "18446744073709551616",
    "MobileViTForImageClassification",
    "DistilBertForSequenceClassification",
    "multi_label_classification",
    "regression",
    "float16",
    "",
    "cat\u{1b}[2J",
    "<script>",
];

/// A `config.json` of chosen keys and values beside a small checkpoint of a chosen architecture.
pub(super) fn config(bytes: &[u8]) -> bool {
    let mut choices = Choices::new(bytes);
    let all = checkpoints::all();
    let (_, tensors, needed) = &all[choices.below(all.len())];
    let mut config = needed.as_object().cloned().unwrap_or_default();
    if let Value::Object(chosen) = choices.object(&KEYS, &WORDS) {
        config.extend(chosen);
    }
    let mut file = networks::Header::default();
    for (name, shape) in tensors {
        let numbers = checkpoints::numbers(shape);
        let data: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        file.add(name, "F32", shape, &data);
    }
    let folder = Folder::new();
    folder.file("config.json", Value::Object(config).to_string().as_bytes());
    let weights = folder.file("model.safetensors", &file.bytes(Map::new()));
    networks::opened(&weights, &folder)
}

/// The bytes as the preprocessing of both libraries.
pub(super) fn preprocessing(bytes: &[u8]) -> bool {
    let folder = Folder::new();
    let path = folder.file("preprocessor_config.json", bytes);
    let read = [read_timm(&path), read_transformers(&path)];
    let mut read = read.into_iter().flatten().peekable();
    let any = read.peek().is_some();
    read.for_each(|preprocessing| apply(&preprocessing));
    any
}

/// A preprocessing of chosen keys and values.
pub(super) fn preprocessing_fields(bytes: &[u8]) -> bool {
    const KEYS: [&str; 24] = [
        "do_resize",
        "size",
        "resample",
        "do_center_crop",
        "crop_size",
        "do_rescale",
        "rescale_factor",
        "do_normalize",
        "image_mean",
        "image_std",
        "do_flip_channel_order",
        "do_convert_rgb",
        "crop_pct",
        "image_processor_type",
        "feature_extractor_type",
        "pretrained_cfg",
        "input_size",
        "interpolation",
        "crop_mode",
        "mean",
        "std",
        "fixed_input_size",
        "num_classes",
        "classifier",
    ];
    const WORDS: [&str; 12] = [
        "shortest_edge",
        "height",
        "width",
        "longest_edge",
        "bicubic",
        "bilinear",
        "lanczos",
        "center",
        "squash",
        "border",
        "",
        "3",
    ];
    const BASES: [&str; 2] = [
        r#"{"do_resize": true, "size": {"shortest_edge": 8}, "resample": 2, "do_center_crop": true,
            "crop_size": {"height": 6, "width": 6}, "do_rescale": true, "rescale_factor": 0.00392156862745098,
            "do_normalize": false, "do_flip_channel_order": true}"#,
        r#"{"input_size": [3, 8, 8], "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center",
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}"#,
    ];
    let mut choices = Choices::new(bytes);
    let mut config: Map<String, Value> = serde_json::from_str(choices.one_of(&BASES)).unwrap();
    if let Value::Object(chosen) = choices.object(&KEYS, &WORDS) {
        config.extend(chosen);
    }
    preprocessing(Value::Object(config).to_string().as_bytes())
}

/// Applies a preprocessing to a small picture, unless its result is large.
fn apply(preprocessing: &Preprocessing) {
    /// Rows or columns that take long to compute, though they are allowed.
    const LARGE: usize = 512;
    let picture = Bitmap::new(3, 5, (0..45).collect()).unwrap();
    // Without a crop the resize alone states a size.
    let resized = match preprocessing.resize {
        Some(Resize::ShortSide(side)) => [side; 2],
        Some(Resize::Exact { height, width }) => [height, width],
        None => [0; 2],
    };
    let cropped = preprocessing.shape().unwrap_or_default();
    if resized.iter().chain(&cropped).any(|&side| side > LARGE) {
        return;
    }
    if let Ok((shape, numbers)) = preprocessing.apply(&picture) {
        assert_eq!(shape.iter().product::<usize>(), numbers.len());
        if let Some(stated) = preprocessing.shape() {
            assert_eq!(stated, shape);
        }
    }
}
