//! Damaged and malicious IDX files are refused with an error that names the file and the defect.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};

use data::mnist;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hostile/idx");

fn file(name: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{name}.idx"))
}

/// The error of a pair of files and of its causes, as one text.
fn refusal(images: &str, labels: &str) -> String {
    let result = mnist::load(&file(images), &file(labels), "hostile");
    let error = result.expect_err(&format!("{images} with {labels} loads"));
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

const IMAGES: [(&str, &str); 16] = [
    ("empty", "truncated header: expected 4 bytes, got 0"),
    ("header-cut", "truncated header: expected 12 bytes, got 7"),
    ("magic", "first magic byte: expected 0x00, got 0x01"),
    ("float-elements", "element type: expected 0x08, got 0x0d"),
    (
        "four-dimensions",
        "number of dimensions: expected 0x03, got 0x04",
    ),
    ("dimensions-overflow", "exceed 1073741824 bytes"),
    ("dimensions-huge", "dimensions [4294967295, 28, 28] exceed"),
    ("no-data", "truncated data: expected 784000000 bytes, got 0"),
    ("data-cut", "truncated data: expected 784 bytes, got 783"),
    (
        "data-trailing",
        "trailing bytes after the 784 bytes of data",
    ),
    ("side-27", "expected n x 28 x 28, got [1, 27, 27]"),
    ("gzip-cut", "incomplete deflate stream"),
    ("gzip-checksum", "checksum"),
    ("gzip-trailing", "invalid gzip header"),
    ("gzip-bomb", "trailing bytes after the 784 bytes of data"),
    ("gzip-text", "first magic byte"),
];

const LABELS: [(&str, &str); 3] = [
    ("label-ten", "expected a class below 10, got 10"),
    ("two-labels", "2 labels, but"),
    ("one-image", "number of dimensions: expected 0x01, got 0x03"),
];

#[test]
fn the_readable_pair_loads() {
    let dataset = mnist::load(&file("one-image"), &file("one-label"), "hostile").unwrap();
    assert_eq!((dataset.len(), dataset.labels[0]), (1, 7));
}

#[test]
fn hostile_images_are_refused_with_their_defect() {
    for (name, defect) in IMAGES {
        let refusal = refusal(name, "one-label");
        assert!(refusal.contains(defect), "{name}: {refusal}");
        assert!(
            refusal.contains(&format!("{name}.idx")),
            "{name}: {refusal}"
        );
    }
}

#[test]
fn hostile_labels_are_refused_with_their_defect() {
    for (name, defect) in LABELS {
        let refusal = refusal("one-image", name);
        assert!(refusal.contains(defect), "{name}: {refusal}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let refusal = refusal("absent", "one-label");
    assert!(refusal.contains("absent.idx"), "{refusal}");
}

#[test]
fn every_hostile_file_is_tried() {
    let tried: BTreeSet<String> = IMAGES
        .iter()
        .chain(&LABELS)
        .map(|(name, _)| name.to_string())
        .chain(["one-label".to_owned()])
        .collect();
    let stored: BTreeSet<String> = std::fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "idx"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(stored, tried);
}
