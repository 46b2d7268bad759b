//! JPEGs of every layout against Pillow (libjpeg-turbo), bit for bit.
//!
//! The pictures and what Pillow makes of them are in `tests/reference/jpeg`, made by
//! `tests/reference/make_jpegs.py`; digests of real pictures are compared where `INFORMED_REPAIR_ASSETS`
//! (`../shared/assets` beside the repository unless set) holds them.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use data::DataError;
use data::image::{Bitmap, decode};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Progressive files whose low frequencies miss bits, which libjpeg makes up from the blocks around.
const SMOOTHED: [&str; 2] = ["low_bits_missing", "bands_missing"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/jpeg")
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder().join(name)).unwrap()).unwrap()
}

fn stored(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.jpg"))).unwrap()
}

fn digest(picture: &Bitmap) -> String {
    let bytes = Sha256::digest(picture.rgb());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Height, width and digest, as the script stores them.
fn described(picture: &Bitmap) -> Value {
    serde_json::json!({
        "height": picture.height(), "width": picture.width(), "sha256": digest(picture),
    })
}

/// An error and its cause, which name the file.
fn told(error: &DataError) -> String {
    let text = error.to_string();
    assert!(text.starts_with("picture: "), "{text}");
    match error.source() {
        Some(cause) => format!("{text}: {cause}"),
        None => text,
    }
}

#[test]
fn every_layout_decodes_to_pillows_bytes() {
    let pixels = json("pixels.json");
    let pixels = pixels.as_object().unwrap();
    assert!(pixels.len() > 150);
    for (name, theirs) in pixels {
        match decode::decode(&stored(name), "picture") {
            Ok(ours) => assert_eq!(described(&ours), *theirs, "{name}"),
            Err(error) if SMOOTHED.contains(&name.as_str()) => {
                let text = told(&error);
                assert!(
                    text.contains("of its first ten coefficients are missing"),
                    "{text}"
                );
            }
            Err(error) => assert!(theirs.is_null(), "{name}: {}", told(&error)),
        }
    }
}

#[test]
fn what_pillow_refuses_is_refused_by_name() {
    let pixels = json("pixels.json");
    let refused = pixels.as_object().unwrap().iter();
    let refused: Vec<(&str, String)> = refused
        .filter(|(_, theirs)| theirs.is_null())
        .map(|(name, _)| {
            let error = decode::decode(&stored(name), "picture").unwrap_err();
            (name.as_str(), told(&error))
        })
        .collect();
    let reasons = [
        ("too_large_units", "at most 10 blocks in a unit, got 19"),
        ("fractional", "sampling 2 x 1 beside 3 x 1 is not supported"),
        (
            "two_components",
            "a picture of 2 components is not supported",
        ),
        (
            "no_code_tables_progressive",
            "expected the tables of its components before it, got no table 0",
        ),
    ];
    assert_eq!(refused.len(), reasons.len());
    for (name, reason) in reasons {
        let (_, text) = refused.iter().find(|(other, _)| *other == name).unwrap();
        assert!(text.contains(reason), "{text}");
    }
}

/// Damage is refused, or leaves the pixels that libjpeg makes of it.
#[test]
fn damaged_pictures_have_pillows_pixels_or_none() {
    let cases = json("damaged.json");
    let (mut decoded, mut refused) = (0, 0);
    for case in cases.as_array().unwrap() {
        let mut jpeg = stored(case[0].as_str().unwrap());
        for (at, byte) in case[1].as_object().unwrap() {
            jpeg[at.parse::<usize>().unwrap()] = byte.as_u64().unwrap() as u8;
        }
        match decode::decode(&jpeg, "picture") {
            Ok(picture) => {
                decoded += 1;
                assert_eq!(digest(&picture)[..16], *case[2].as_str().unwrap(), "{case}");
            }
            Err(error) => {
                refused += 1;
                told(&error);
            }
        }
    }
    // Half of what Pillow shows must not pass for a picture.
    assert!(decoded > 100 && refused > 100, "{decoded}, {refused}");
}

/// Sets, inserts, removes and repeats bytes.
fn mutated(random: &mut ChaCha8Rng, mut jpeg: Vec<u8>) -> Vec<u8> {
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(2..jpeg.len());
        match random.random_range(0..6) {
            0 => jpeg[at] = random.random(),
            1 => jpeg[at] ^= 1 << random.random_range(0..8),
            2 => jpeg[at] = 0xff,
            3 => jpeg.insert(at, random.random()),
            4 => {
                jpeg.remove(at);
            }
            _ => {
                let end = (at + random.random_range(1..200)).min(jpeg.len());
                let part = jpeg[at..end].to_vec();
                jpeg.splice(at..at, part);
            }
        }
    }
    jpeg
}

#[test]
fn mutated_pictures_neither_panic_nor_hang() {
    let names: Vec<String> = json("pixels.json")
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut decoded, mut refused) = (0, 0);
    for i in 0..800 {
        let jpeg = mutated(&mut random, stored(&names[i % names.len()]));
        let started = Instant::now();
        match decode::decode(&jpeg, "picture") {
            Ok(picture) => {
                decoded += 1;
                assert_eq!(picture.rgb().len(), 3 * picture.height() * picture.width());
            }
            Err(error) => {
                refused += 1;
                told(&error);
            }
        }
        let seconds = started.elapsed();
        assert!(
            seconds < Duration::from_secs(5),
            "mutation {i}: {seconds:?}"
        );
    }
    assert!(decoded > 50 && refused > 50, "{decoded}, {refused}");
}

#[test]
fn a_cut_off_picture_is_an_error_at_every_length() {
    for name in [
        "33x47_420",
        "restart_2",
        "411_separate",
        "cmyk_420_progressive",
    ] {
        let whole = stored(name);
        for length in (3..whole.len() - 2).step_by(5).chain([whole.len() - 1]) {
            let error = decode::decode(&whole[..length], "picture").unwrap_err();
            assert!(
                matches!(error, DataError::ImageTruncated { .. }),
                "{name} from {length} bytes: {}",
                told(&error)
            );
        }
    }
}

#[test]
fn real_pictures_decode_to_pillows_bytes() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/assets");
    let assets = std::env::var_os("INFORMED_REPAIR_ASSETS").map_or(beside.into(), PathBuf::from);
    if !assets.join("imagenet_sample").exists() {
        let assets = assets.display();
        return eprintln!("skipped: no {assets}; set INFORMED_REPAIR_ASSETS");
    }
    for (path, theirs) in json("real.json").as_object().unwrap() {
        let ours = decode::read(&assets.join(path)).unwrap();
        assert_eq!(described(&ours), *theirs, "{path}");
    }
}
