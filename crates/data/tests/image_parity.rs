//! Pictures against Pillow and torchvision.
//!
//! Expected pixels are stored in `tests/reference/images`, made by `tests/reference/make_images.py`;
//! the comparison with torchvision's inputs reads `INFORMED_REPAIR_ASSETS` (`../shared/assets` beside
//! the repository unless set) and says so when it is missing.

use std::path::{Path, PathBuf};

use data::image::preprocess::{Filter, Resize};
use data::image::source::Stage;
use data::image::{
    Bitmap, ImageFolder, ImageSource, Preprocessing, batches, decode, load, presets,
};
use data::{Corruption, Dataset, ExampleId, Severity, idx};
use safetensors::SafeTensors;
use serde_json::Value;

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/reference/images")
        .join(name)
}

fn cases() -> Value {
    let text = std::fs::read_to_string(reference("cases.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Rows, columns and RGB bytes.
fn expected(file: &str) -> (usize, usize, Vec<u8>) {
    let stored = idx::read(&reference(file), 3).unwrap();
    assert_eq!(stored.shape[2], 3);
    (stored.shape[0], stored.shape[1], stored.values)
}

/// The bytes of `[3, rows, columns]` pixels in [0, 1], the channels of a pixel beside each other.
fn bytes([_, height, width]: [usize; 3], pixels: &[f32]) -> Vec<u8> {
    let plane = height * width;
    let level = |i: usize| (pixels[i % 3 * plane + i / 3] * 255.0).round() as u8;
    (0..3 * plane).map(level).collect()
}

/// Greatest and mean difference in levels.
fn difference(ours: &[u8], theirs: &[u8]) -> (u8, f64) {
    assert_eq!(ours.len(), theirs.len());
    let differences = || ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b));
    let mean = differences().map(f64::from).sum::<f64>() / ours.len() as f64;
    (differences().max().unwrap_or(0), mean)
}

#[test]
fn pictures_decode_to_pillows_bytes() {
    for name in cases()["decode"].as_array().unwrap() {
        let name = name.as_str().unwrap();
        let ours = decode::read(&reference(name)).unwrap();
        let (height, width, theirs) = expected(&format!("{name}.idx.gz"));
        assert_eq!((ours.height(), ours.width()), (height, width), "{name}");
        assert_eq!(ours.rgb(), theirs, "{name}");
    }
}

fn filter(name: &str) -> Filter {
    serde_json::from_value(Value::from(name)).unwrap()
}

#[test]
fn pictures_resize_to_pillows_bytes() {
    let scene = decode::read(&reference("scene.png")).unwrap();
    for case in cases()["resize"].as_array().unwrap() {
        let file = case["file"].as_str().unwrap();
        let (height, width, theirs) = expected(file);
        let preprocessing = Preprocessing {
            resize: Some(Resize::Exact { height, width }),
            filter: filter(case["filter"].as_str().unwrap()),
            ..presets::unit()
        };
        let (shape, pixels) = preprocessing.pixels(&scene).unwrap();
        assert_eq!(bytes(shape, &pixels), theirs, "{file}");
    }
}

fn preset(name: &str) -> Preprocessing {
    match name {
        "squeezenet" => presets::squeezenet(),
        "mobilevit_xxs_timm" => presets::mobilevit_xxs_timm(),
        "mobilevit_transformers" => presets::mobilevit_transformers(),
        other => panic!("no preset {other}"),
    }
}

#[test]
fn presets_resize_and_crop_to_the_same_pixels() {
    let large = decode::read(&reference("large.png")).unwrap();
    for (name, file) in cases()["preset"].as_object().unwrap() {
        let (rows, columns, theirs) = expected(file.as_str().unwrap());
        let ([_, height, width], pixels) = preset(name).pixels(&large).unwrap();
        assert_eq!(
            (height.div_ceil(8), width.div_ceil(8)),
            (rows, columns),
            "{name}"
        );
        let all = bytes([3, height, width], &pixels);
        let eighth =
            |i: usize| all[(i / columns * 8 * width + i % columns * 8) * 3..][..3].to_vec();
        let ours: Vec<u8> = (0..rows * columns).flat_map(eighth).collect();
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn floating_point_resize_interpolates_between_half_pixel_centres() {
    // 28 to 64 as PyTorch's interpolate: bilinear, align_corners false.
    let levels: Vec<u8> = (0..28 * 28).map(|i| (i * 89 % 256) as u8).collect();
    let pixel = |y: usize, x: usize| f64::from(levels[y * 28 + x]) / 255.0;
    let source = |i: usize| {
        let at = ((i as f64 + 0.5) * 28.0 / 64.0 - 0.5).max(0.0);
        let low = at.floor() as usize;
        (low, (low + 1).min(27), at - at.floor())
    };
    let grey = Dataset::new(
        vec![784],
        levels
            .iter()
            .map(|&level| f32::from(level) / 255.0)
            .collect(),
        vec![3],
        10,
        vec![ExampleId::clean("drawn", 0)],
    )
    .unwrap();
    let inputs = presets::mobilevit_fashion().apply_to(&grey).unwrap();
    assert_eq!(inputs.shape, [3, 64, 64]);
    for (i, &ours) in inputs.inputs.iter().enumerate() {
        let ((top, bottom, down), (left, right, across)) = (source(i / 64 % 64), source(i % 64));
        let row = |y: usize| (1.0 - across) * pixel(y, left) + across * pixel(y, right);
        let exact = (1.0 - down) * row(top) + down * row(bottom);
        // Two roundings to f32.
        assert!(
            (f64::from(ours) - exact).abs() < 2e-7,
            "{i}: {ours} against {exact}"
        );
    }
    let coloured = Bitmap::new(
        28,
        28,
        levels.iter().flat_map(|&level| [level; 3]).collect(),
    );
    let (_, alone) = presets::mobilevit_fashion()
        .apply(&coloured.unwrap())
        .unwrap();
    assert_eq!(alone, inputs.inputs);
}

/// A stored picture as a dataset of one.
fn example(picture: &Bitmap, grey: bool) -> Dataset {
    let (shape, mut pixels) = presets::unit().pixels(picture).unwrap();
    let channels = if grey { 1 } else { 3 };
    pixels.truncate(channels * shape[1] * shape[2]);
    let shape = vec![channels, shape[1], shape[2]];
    Dataset::new(
        shape,
        pixels,
        vec![0],
        1,
        vec![ExampleId::clean("drawn", 0)],
    )
    .unwrap()
}

fn corrupted(clean: &Dataset, corruption: Corruption, case: &Value) -> Vec<u8> {
    let severity = case["severity"].as_u64().unwrap() as u8;
    let severity = Severity::try_from(severity).unwrap();
    let result = corruption.corrupt(clean, Some(severity), 0).unwrap();
    let [channels, height, width] = result.shape[..] else {
        panic!("{:?}", result.shape)
    };
    let pixels = if channels == 1 {
        result.inputs.repeat(3)
    } else {
        result.inputs
    };
    bytes([3, height, width], &pixels)
}

#[test]
fn jpeg_loses_what_pillow_loses() {
    let scene = decode::read(&reference("scene.png")).unwrap();
    let (height, width, grey) = expected("scene_grey.idx.gz");
    let grey = Bitmap::new(height, width, grey).unwrap();
    for case in cases()["jpeg"].as_array().unwrap() {
        let is_grey = case["grey"].as_bool().unwrap();
        let clean = example(if is_grey { &grey } else { &scene }, is_grey);
        let file = case["file"].as_str().unwrap();
        let ours = corrupted(&clean, Corruption::Jpeg, case);
        let (_, _, theirs) = expected(file);
        let (most, mean) = difference(&ours, &theirs);
        let original = if is_grey { grey.rgb() } else { scene.rgb() };
        let (_, lost) = difference(&ours, original);
        eprintln!("{file}: greatest difference {most}, mean {mean:.4}; lost {lost:.2}");
        // libjpeg transforms in integers: a coefficient near a tie rounds to its neighbour and changes
        // a block of 16 x 16 pixels smoothly, which is little of what the compression loses.
        assert!(mean <= 0.15 * lost, "{file}: {most}, {mean} of {lost}");
    }
}

#[test]
fn pixelate_is_pillows() {
    let scene = decode::read(&reference("even.png")).unwrap();
    for case in cases()["pixelate"].as_array().unwrap() {
        let ours = corrupted(&example(&scene, false), Corruption::Pixelate, case);
        let (_, _, theirs) = expected(case["file"].as_str().unwrap());
        assert_eq!(ours, theirs, "{case}");
    }
}

fn assets() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/assets");
    let assets = std::env::var_os("INFORMED_REPAIR_ASSETS").map_or(beside.into(), PathBuf::from);
    if assets.join("imagenet_sample").exists() {
        return Some(assets);
    }
    eprintln!(
        "skipped: no {}; set INFORMED_REPAIR_ASSETS",
        assets.display()
    );
    None
}

#[test]
fn squeezenet_inputs_are_torchvisions() {
    let Some(assets) = assets() else { return };
    let folder = ImageFolder::open(&assets.join("imagenet_sample"), "imagenet-sample").unwrap();
    assert_eq!((folder.len(), folder.classes()), (1000, 1000));
    let stored = std::fs::read(assets.join("squeezenet/squeezenet1_1.ref.safetensors")).unwrap();
    let stored = SafeTensors::deserialize(&stored).unwrap();
    let classes = stored.tensor("class_index").unwrap();
    let classes = classes
        .data()
        .chunks_exact(8)
        .map(|class| usize::try_from(i64::from_le_bytes(class.try_into().unwrap())).unwrap());
    let indices: Vec<usize> = classes
        .map(|class| {
            folder
                .labels()
                .iter()
                .position(|&label| label == class)
                .unwrap()
        })
        .collect();
    let preprocessing = presets::squeezenet();
    let mut told = 0;
    let inputs = load(
        &folder,
        &indices,
        &preprocessing,
        Stage::Inputs,
        &mut |progress| {
            told = progress.done;
        },
    )
    .unwrap();
    assert_eq!(
        (inputs.shape.as_slice(), told),
        ([3, 224, 224].as_slice(), indices.len())
    );
    let theirs = stored.tensor("input").unwrap();
    let theirs = theirs
        .data()
        .chunks_exact(4)
        .map(|value| f32::from_le_bytes(value.try_into().unwrap()));
    let theirs: Vec<f32> = theirs.collect();
    let differences = inputs
        .inputs
        .iter()
        .zip(&theirs)
        .map(|(a, b)| f64::from((a - b).abs()));
    let levels = differences.sum::<f64>() / theirs.len() as f64 * 255.0 * 0.226;
    eprintln!("mean difference {levels:.4} levels");
    // The stored inputs come from the original pictures, the folder holds them resized and compressed
    // again: Pillow's own inputs from the folder differ by 2.743 levels.
    assert!((levels - 2.743).abs() < 0.001, "{levels}");
    // From the stored bytes, the inputs are exact.
    let bytes = stored.tensor("input_u8").unwrap();
    let mut pixels: Vec<f32> = bytes
        .data()
        .iter()
        .map(|&level| f32::from(level) / 255.0)
        .collect();
    for picture in pixels.chunks_exact_mut(3 * 224 * 224) {
        preprocessing.normalise(picture);
    }
    assert_eq!(pixels, theirs);
    let again = preprocessing.normalised(
        &load(
            &folder,
            &indices,
            &preprocessing,
            Stage::Pixels,
            &mut |_| (),
        )
        .unwrap(),
    );
    assert_eq!(again.unwrap(), inputs);
}

#[test]
fn every_picture_of_the_assets_becomes_an_input() {
    let Some(assets) = assets() else { return };
    for (name, count) in [("imagenet_sample", 1000), ("imagenet_val", 1300)] {
        let folder = ImageFolder::open(&assets.join(name), name).unwrap();
        assert_eq!((folder.len(), folder.classes()), (count, 1000));
        let indices: Vec<usize> = (0..count).collect();
        let preprocessing = presets::squeezenet();
        let mut seen = 0;
        for batch in batches(&folder, &indices, &preprocessing, Stage::Inputs, 64) {
            let batch = batch.unwrap();
            assert_eq!(batch.shape, [3, 224, 224]);
            assert_eq!(batch.ids[0], ExampleId::clean(name, seen as u32));
            seen += batch.len();
        }
        assert_eq!(seen, count);
    }
}
