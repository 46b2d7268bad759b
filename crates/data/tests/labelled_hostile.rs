//! Damaged files of every format: each is read or refused, and nothing panics.

mod support;

use std::path::Path;

use data::image::presets;
use data::labelled::{Intake, Options, Outputs, Unlabelled};
use proptest::prelude::*;
use support::{Folder, all, stored};

/// Every way to open a set.
fn options() -> Vec<Options> {
    let plain = Options::default();
    let lenient = Options {
        unlabelled: Unlabelled::PassOver,
        skip_unreadable: true,
        max_bytes: 1 << 24,
        ..Options::default()
    };
    vec![plain, lenient]
}

/// Opens and reads a file in every way; what comes out is checked by `Dataset` alone.
fn read(intake: &Intake, path: &Path) {
    for options in options() {
        for several in [false, true] {
            let outputs = Outputs {
                several,
                ..Outputs::new(3, &[])
            };
            if let Ok(set) = all(intake, &outputs, path, &options) {
                set.dataset.validate().unwrap();
                assert_eq!(set.names.len(), set.dataset.len());
            }
        }
    }
}

/// A file with some bytes replaced and its end cut off.
fn damaged(mut bytes: Vec<u8>, changes: &[(usize, u8)], cut: usize) -> Vec<u8> {
    for &(at, byte) in changes {
        let length = bytes.len();
        bytes[at % length] = byte;
    }
    // Most are whole.
    if cut.is_multiple_of(4) {
        bytes.truncate(cut % (bytes.len() + 1));
    }
    bytes
}

const NUMBERS: [&str; 12] = [
    "f8.npy",
    "fortran.npy",
    "version_3.npy",
    "named_labels.npy",
    "objects.npy",
    "stored.npz",
    "packed.npz",
    "one_hot.npz",
    "numbers.csv",
    "species.csv",
    "headless.csv",
    "fog/test_images.npy",
];
const TEXTS: [&str; 8] = [
    "reviews.csv",
    "reviews.csv.gz",
    "reviews.jsonl",
    "reviews.parquet",
    "missing.parquet",
    "several.jsonl",
    "several.parquet",
    "mnli.parquet",
];
const PICTURES: [&str; 12] = [
    "lossless.webp",
    "lossy.webp",
    "animated.webp",
    "palette.bmp",
    "bilevel.bmp",
    "transparent.gif",
    "animated.gif",
    "lzw.tif",
    "deflate.tif",
    "bilevel.tif",
    "levels.pgm",
    "text.ppm",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn arrays_and_tables_of_numbers(
        file in 0..NUMBERS.len(),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        cut in any::<usize>(),
    ) {
        let folder = Folder::new();
        let bytes = std::fs::read(stored(NUMBERS[file])).unwrap();
        let name = Path::new(NUMBERS[file]).file_name().unwrap().to_str().unwrap();
        let path = folder.bytes(name, &damaged(bytes, &changes, cut));
        let labels = std::fs::read(stored("labels.npy")).unwrap();
        folder.bytes("labels.npy", &damaged(labels, &changes, cut));
        read(&Intake::Vector { features: 4 }, &path);
        read(&Intake::Images(presets::unit()), &path);
    }

    #[test]
    fn tables_of_texts(
        file in 0..TEXTS.len(),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        cut in any::<usize>(),
    ) {
        let folder = Folder::new();
        let tokens = folder.tokenizer();
        let bytes = std::fs::read(stored(TEXTS[file])).unwrap();
        let path = folder.bytes(TEXTS[file], &damaged(bytes, &changes, cut));
        read(&tokens, &path);
    }

    #[test]
    fn folders_of_pictures_and_their_tables(
        file in 0..PICTURES.len(),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        cut in any::<usize>(),
    ) {
        let folder = Folder::new();
        let bytes = std::fs::read(stored(PICTURES[file])).unwrap();
        folder.bytes("set/0/a.png", &damaged(bytes, &changes, cut));
        folder.bytes("set/1/b.png", &std::fs::read(stored("rgb.bmp")).unwrap());
        read(&Intake::Images(presets::unit()), &folder.path("set"));
        let table = b"file,label\n0/a.png,0\n1/b.png,2\n".to_vec();
        folder.bytes("set/labels.csv", &damaged(table, &changes, cut));
        read(&Intake::Vector { features: 441 }, &folder.path("set"));
    }

    #[test]
    fn pictures_in_parquet_files(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        cut in any::<usize>(),
    ) {
        let folder = Folder::new();
        let bytes = std::fs::read(stored("shards/test-00000-of-00002.parquet")).unwrap();
        let path = folder.bytes("a.parquet", &damaged(bytes, &changes, cut));
        read(&Intake::Images(presets::unit()), &path);
    }
}
