//! The preprocessing that a checkpoint's configuration files describe.
//!
//! | file | library | read from it |
//! |---|---|---|
//! | `config.json` | timm | `pretrained_cfg`: input size, interpolation, crop share and mode, mean, std |
//! | `preprocessor_config.json` | transformers | resize, crop, rescale, normalise, channel flip |
//!
//! What is not understood is refused, never guessed.

use std::path::Path;

use disk::{MOST_SETTINGS, Place};
use serde::Deserialize;
use serde_json::Value;

use super::preprocess::{
    Arithmetic, ChannelOrder, Crop, CropRounding, Filter, Preprocessing, Resize,
};
use crate::DataError;

/// Reads timm's `config.json`.
///
/// A picture is resized so that its short side is floor(input size / crop share), or exactly for the
/// crop mode `squash`, and its centre is kept.
///
/// # Errors
/// [`DataError::Io`], [`DataError::Json`], and [`DataError::Preprocessing`] for what is missing or not
/// supported: inputs that are not square or not of three channels, other interpolations than
/// bilinear, bicubic and lanczos, the crop mode `border`.
pub fn read_timm(path: &Path) -> Result<Preprocessing, DataError> {
    let whole: Value = read_json(path)?;
    // Files by older versions have the fields at the top.
    let fields = whole.get("pretrained_cfg").cloned().unwrap_or(whole);
    let timm = serde_json::from_value(fields).map_err(|source| DataError::Json {
        path: path.to_owned(),
        source,
    })?;
    from_timm(&timm, &Origin(path))
}

/// Reads transformers' `preprocessor_config.json`.
///
/// # Errors
/// [`DataError::Io`], [`DataError::Json`], and [`DataError::Preprocessing`] for what is missing or not
/// supported: a resize by the longest edge, other filters than bilinear, bicubic, lanczos and box,
/// normalisation together with flipped channels.
pub fn read_transformers(path: &Path) -> Result<Preprocessing, DataError> {
    from_transformers(&read_json(path)?, &Origin(path))
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, DataError> {
    // Nobody names the file: it is found beside the weights.
    let place = Place::of_folder(path.parent().unwrap_or(Path::new("")))?;
    serde_json::from_slice(&place.read(path, MOST_SETTINGS)?).map_err(|source| DataError::Json {
        path: path.to_owned(),
        source,
    })
}

/// The file, for errors.
struct Origin<'a>(&'a Path);

impl Origin<'_> {
    fn refuse(&self, field: &'static str, expected: &'static str, got: impl ToString) -> DataError {
        DataError::Preprocessing {
            origin: self.0.display().to_string(),
            field,
            expected,
            got: got.to_string(),
        }
    }

    fn require<T>(
        &self,
        field: &'static str,
        expected: &'static str,
        value: Option<T>,
    ) -> Result<T, DataError> {
        value.ok_or_else(|| self.refuse(field, expected, "nothing"))
    }
}

/// The fields of timm's `pretrained_cfg` that describe inputs; it has others.
#[derive(Deserialize)]
struct Timm {
    input_size: Option<[usize; 3]>,
    interpolation: Option<String>,
    crop_pct: Option<f64>,
    crop_mode: Option<String>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
}

fn from_timm(timm: &Timm, origin: &Origin<'_>) -> Result<Preprocessing, DataError> {
    const SQUARE: &str = "three channels and a square";
    let [channels, height, width] = origin.require("input_size", SQUARE, timm.input_size)?;
    if channels != 3 || height != width {
        let got = format!("{channels} x {height} x {width}");
        return Err(origin.refuse("input_size", SQUARE, got));
    }
    const SHARE: &str = "a share above 0 and up to 1";
    let share = origin.require("crop_pct", SHARE, timm.crop_pct)?;
    if !(share > 0.0 && share <= 1.0) {
        return Err(origin.refuse("crop_pct", SHARE, share));
    }
    let side = (height as f64 / share).floor() as usize;
    let resize = match timm.crop_mode.as_deref() {
        None | Some("center") => Resize::ShortSide(side),
        Some("squash") => Resize::Exact {
            height: side,
            width: side,
        },
        Some(mode) => return Err(origin.refuse("crop_mode", "center or squash", mode)),
    };
    const FILTERS: &str = "bilinear, bicubic or lanczos";
    let filter = match origin.require("interpolation", FILTERS, timm.interpolation.as_deref())? {
        "bilinear" => Filter::Bilinear,
        "bicubic" => Filter::Bicubic,
        "lanczos" => Filter::Lanczos,
        other => return Err(origin.refuse("interpolation", FILTERS, other)),
    };
    let preprocessing = Preprocessing {
        resize: Some(resize),
        filter,
        antialias: true,
        arithmetic: Arithmetic::Bytes,
        crop: Some(Crop {
            height,
            width,
            rounding: CropRounding::HalfEven,
        }),
        order: ChannelOrder::Rgb,
        range: 1.0,
        mean: origin.require("mean", "three numbers", timm.mean)?,
        std: origin.require("std", "three numbers", timm.std)?,
    };
    preprocessing.validate()?;
    Ok(preprocessing)
}

/// The fields of a transformers image processor.
#[derive(Deserialize)]
struct Transformers {
    #[serde(alias = "feature_extractor_type")]
    image_processor_type: Option<String>,
    do_resize: Option<bool>,
    size: Option<Size>,
    resample: Option<u8>,
    do_center_crop: Option<bool>,
    crop_size: Option<Size>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    #[serde(alias = "do_flip_channels")]
    do_flip_channel_order: Option<bool>,
}

/// A size as a number or by its parts.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Size {
    Side(usize),
    Parts {
        height: Option<usize>,
        width: Option<usize>,
        shortest_edge: Option<usize>,
    },
}

fn from_transformers(
    fields: &Transformers,
    origin: &Origin<'_>,
) -> Result<Preprocessing, DataError> {
    // Absent fields have the defaults of the class; for MobileViT those are known.
    let class = fields.image_processor_type.as_deref().unwrap_or("");
    let mobilevit = class.starts_with("MobileViT");
    let flag = |value: Option<bool>, field| match value {
        Some(flag) => Ok(flag),
        None if mobilevit => Ok(true),
        None => Err(origin.refuse(field, "true or false", "nothing")),
    };

    let resize = if flag(fields.do_resize, "do_resize")? {
        Some(match origin.require("size", "a size", fields.size)? {
            Size::Side(side) if mobilevit => Resize::ShortSide(side),
            size => resize_to(size).ok_or_else(|| {
                origin.refuse("size", "height and width, or shortest_edge", describe(size))
            })?,
        })
    } else {
        None
    };
    let crops = match (fields.do_center_crop, fields.crop_size) {
        (None, None) if !mobilevit => false,
        (given, _) => flag(given, "do_center_crop")?,
    };
    let crop = if crops {
        let size = origin.require("crop_size", "a size", fields.crop_size)?;
        let (height, width) = match size {
            Size::Side(side) => (side, side),
            Size::Parts {
                height: Some(height),
                width: Some(width),
                ..
            } => (height, width),
            size => {
                return Err(origin.refuse("crop_size", "height and width", describe(size)));
            }
        };
        Some(Crop {
            height,
            width,
            rounding: CropRounding::Down,
        })
    } else {
        None
    };
    let filter = match fields.resample {
        Some(1) => Filter::Lanczos,
        Some(2) => Filter::Bilinear,
        Some(3) => Filter::Bicubic,
        Some(4) => Filter::Box,
        None if mobilevit => Filter::Bilinear,
        other => {
            let got = other.map_or("nothing".to_owned(), |code| code.to_string());
            return Err(origin.refuse("resample", "1, 2, 3 or 4", got));
        }
    };
    // Every processor rescales by 1/255 unless it says otherwise.
    let range = if fields.do_rescale.unwrap_or(true) {
        fields
            .rescale_factor
            .map_or(1.0, |factor| (factor * 255.0) as f32)
    } else {
        255.0
    };
    let normalises = fields.do_normalize.unwrap_or(fields.image_mean.is_some());
    let (mean, std) = if normalises {
        (
            origin.require("image_mean", "three numbers", fields.image_mean)?,
            origin.require("image_std", "three numbers", fields.image_std)?,
        )
    } else {
        ([0.0; 3], [1.0; 3])
    };
    let flips = fields.do_flip_channel_order.unwrap_or(mobilevit);
    if flips && normalises {
        return Err(origin.refuse("do_normalize", "false where channels are flipped", true));
    }
    let preprocessing = Preprocessing {
        resize,
        filter,
        antialias: true,
        arithmetic: Arithmetic::Bytes,
        crop,
        order: if flips {
            ChannelOrder::Bgr
        } else {
            ChannelOrder::Rgb
        },
        range,
        mean,
        std,
    };
    preprocessing.validate()?;
    Ok(preprocessing)
}

fn resize_to(size: Size) -> Option<Resize> {
    match size {
        Size::Parts {
            height: Some(height),
            width: Some(width),
            shortest_edge: None,
        } => Some(Resize::Exact { height, width }),
        Size::Parts {
            height: None,
            width: None,
            shortest_edge: Some(side),
        } => Some(Resize::ShortSide(side)),
        _ => None,
    }
}

fn describe(size: Size) -> String {
    match size {
        Size::Side(side) => format!("the number {side}"),
        Size::Parts {
            height,
            width,
            shortest_edge,
        } => {
            let parts = [
                ("height", height),
                ("width", width),
                ("shortest_edge", shortest_edge),
            ];
            let given = parts
                .iter()
                .filter_map(|(name, value)| value.map(|_| *name));
            let given: Vec<_> = given.collect();
            if given.is_empty() {
                "none of them".to_owned()
            } else {
                given.join(" and ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::presets;
    use super::*;

    fn read(
        text: &str,
        reader: impl Fn(&Path) -> Result<Preprocessing, DataError>,
    ) -> Result<Preprocessing, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        reader(&path)
    }

    const TIMM: &str = r#"{"architecture": "mobilevit_xxs", "num_classes": 1000, "pretrained_cfg": {
        "tag": "cvnets_in1k", "custom_load": false, "input_size": [3, 256, 256],
        "fixed_input_size": false, "interpolation": "bicubic", "crop_pct": 0.9,
        "crop_mode": "center", "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0],
        "num_classes": 1000, "pool_size": [8, 8], "first_conv": "stem.conv"}}"#;

    const TRANSFORMERS: &str = r#"{"crop_size": {"height": 256, "width": 256},
        "do_center_crop": true, "do_flip_channel_order": true, "do_resize": true,
        "feature_extractor_type": "MobileViTFeatureExtractor", "resample": 2,
        "size": {"shortest_edge": 288}}"#;

    #[test]
    fn the_files_of_mobilevit_give_its_presets() {
        assert_eq!(
            read(TIMM, read_timm).unwrap(),
            presets::mobilevit_xxs_timm()
        );
        let sides = TRANSFORMERS
            .replace(r#"{"shortest_edge": 288}"#, "288")
            .replace(r#"{"height": 256, "width": 256}"#, "256");
        for text in [TRANSFORMERS, &sides] {
            assert_eq!(
                read(text, read_transformers).unwrap(),
                presets::mobilevit_transformers()
            );
        }
    }

    #[test]
    fn a_processor_that_normalises_is_read() {
        let vit = r#"{"image_processor_type": "ViTImageProcessor", "do_resize": true,
            "size": {"height": 224, "width": 224}, "resample": 3, "do_rescale": true,
            "rescale_factor": 0.00392156862745098, "do_normalize": true,
            "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
        let preprocessing = read(vit, read_transformers).unwrap();
        assert_eq!(preprocessing.shape(), Some([3, 224, 224]));
        assert_eq!((preprocessing.range, preprocessing.mean), (1.0, [0.5; 3]));
        assert_eq!(preprocessing.order, ChannelOrder::Rgb);
        let bytes = vit.replace(r#""do_rescale": true"#, r#""do_rescale": false"#);
        assert_eq!(read(&bytes, read_transformers).unwrap().range, 255.0);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let timm = [
            (
                r#""crop_mode": "center""#,
                r#""crop_mode": "border""#,
                "crop_mode",
            ),
            (r#""interpolation": "bicubic","#, "", "interpolation"),
            ("[3, 256, 256]", "[3, 256, 192]", "input_size"),
            ("0.9", "0.0", "crop_pct"),
        ];
        for (old, wrong, field) in timm {
            let message = read(&TIMM.replace(old, wrong), read_timm)
                .unwrap_err()
                .to_string();
            assert!(
                message.contains(&format!("config.json: {field}: expected")),
                "{message}"
            );
        }
        let transformers = [
            (
                "MobileViTFeatureExtractor",
                "OtherImageProcessor",
                "288}",
                "288, \"height\": 2}",
                "size",
            ),
            ("2,", "0,", "", "", "resample"),
        ];
        for (old, wrong, other, also, field) in transformers {
            let text = TRANSFORMERS.replace(old, wrong).replace(other, also);
            let message = read(&text, read_transformers).unwrap_err().to_string();
            assert!(
                message.contains(&format!("config.json: {field}: expected")),
                "{message}"
            );
        }
        assert!(matches!(read("{", read_timm), Err(DataError::Json { .. })));
    }
}
