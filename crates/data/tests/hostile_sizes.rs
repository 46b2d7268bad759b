//! Small files that ask for much memory or time.

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use data::image::{config, presets};
use data::labelled::{Intake, Options, Outputs};
use data::text::Tokenizer;
use data::{DataError, idx};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};
use support::{Folder, all, columns, floats, npy, read, reader};

const FOUR: Intake = Intake::Vector { features: 4 };

fn message(intake: &Intake, path: &Path) -> String {
    message_with(intake, path, &Options::default())
}

/// What a set is refused with, at once.
fn message_with(intake: &Intake, path: &Path, options: &Options) -> String {
    let start = Instant::now();
    let refused = all(intake, &Outputs::new(3, &[]), path, options);
    let message = refused.unwrap_err().to_string();
    assert!(start.elapsed() < Duration::from_secs(20), "{message}");
    message
}

/// Zeros behind a start, packed.
fn packed(folder: &Folder, name: &str, start: &[u8], zeros: usize) -> PathBuf {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(start).unwrap();
    let block = vec![0; 1 << 20];
    for first in (0..zeros).step_by(block.len()) {
        encoder
            .write_all(&block[..block.len().min(zeros - first)])
            .unwrap();
    }
    folder.bytes(name, &encoder.finish().unwrap())
}

/// A plain file that holds a start and then zeros, which take no room.
fn sparse(folder: &Folder, name: &str, start: &[u8], zeros: u64) -> PathBuf {
    let path = folder.bytes(name, start);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(start.len() as u64 + zeros).unwrap();
    path
}

/// An archive of one packed entry: a start, then zeros.
fn zipped(name: &str, start: &[u8], zeros: usize) -> Vec<u8> {
    let contents = [start, &vec![0; zeros]].concat();
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&contents).unwrap();
    let packed = encoder.finish().unwrap();
    let mut checksum = flate2::Crc::new();
    checksum.update(&contents);
    let mut shared = vec![20, 0, 0, 0, 8, 0, 0, 0, 0, 0];
    shared.extend(checksum.sum().to_le_bytes());
    shared.extend((packed.len() as u32).to_le_bytes());
    shared.extend((contents.len() as u32).to_le_bytes());
    shared.extend([name.len() as u8, 0]);
    let mut file = [
        b"PK\x03\x04",
        &shared[..],
        &[0; 2],
        name.as_bytes(),
        &packed,
    ]
    .concat();
    let offset = file.len() as u32;
    let entry = [b"PK\x01\x02\x14\0", &shared[..], &[0; 16], name.as_bytes()].concat();
    file.extend(&entry);
    file.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    file.extend((entry.len() as u32).to_le_bytes());
    file.extend(offset.to_le_bytes());
    file.extend([0, 0]);
    file
}

/// The header of an IDX file of bytes.
fn header(dims: &[u32]) -> Vec<u8> {
    let start = [0, 0, 8, dims.len() as u8].into_iter();
    start
        .chain(dims.iter().flat_map(|dim| dim.to_be_bytes()))
        .collect()
}

#[test]
fn packed_files_that_become_much_more_than_they_are_are_refused() {
    let folder = Folder::new();
    let words = "when they are unpacked";
    for count in [6_000_000, 20_000_000] {
        let images = packed(
            &folder,
            "y-images-idx3-ubyte.gz",
            &header(&[count, 2, 2]),
            4 * count as usize,
        );
        packed(
            &folder,
            "y-labels-idx1-ubyte.gz",
            &header(&[count]),
            count as usize,
        );
        assert!(std::fs::metadata(&images).unwrap().len() < 100_000);
        let message = message(&FOUR, &images);
        assert!(message.contains(words), "{message}");
        let message = idx::read(&images, 3).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    let array = npy("|u1", false, &[6_000_000, 4], &[]);
    let array = packed(&folder, "inputs.npy.gz", &array, 24_000_000);
    folder.bytes("labels.npy", &npy("|u1", false, &[6_000_000], &[]));
    assert!(message(&FOUR, &array).contains(words));
    let archive = folder.bytes(
        "packed.npz",
        &zipped(
            "inputs.npy",
            &npy("|u1", false, &[6_000_000, 4], &[]),
            24_000_000,
        ),
    );
    assert!(message_with(&FOUR, &archive, &support::keep()).contains(words));
    let table = packed(&folder, "table.csv.gz", b"a,b,c,d,label\n", 24_000_000);
    assert!(message(&FOUR, &table).contains(words));
    // A thousand pictures of nothing are no more than they may be.
    let images = packed(
        &folder,
        "x-images-idx3-ubyte.gz",
        &header(&[1000, 28, 28]),
        784_000,
    );
    packed(&folder, "x-labels-idx1-ubyte.gz", &header(&[1000]), 1000);
    assert_eq!(
        read(&Intake::Vector { features: 784 }, 3, &images)
            .unwrap()
            .dataset
            .len(),
        1000
    );
}

#[test]
fn sets_of_too_many_examples_are_refused_on_their_header() {
    let folder = Folder::new();
    let count = 11_000_000_u32;
    let images = sparse(
        &folder,
        "y-images-idx3-ubyte",
        &header(&[count, 2, 2]),
        4 * u64::from(count),
    );
    sparse(
        &folder,
        "y-labels-idx1-ubyte",
        &header(&[count]),
        count.into(),
    );
    let one = npy("|u1", false, &[count as usize, 1], &[]);
    let array = sparse(&folder, "a/inputs.npy", &one, count.into());
    sparse(
        &folder,
        "a/labels.npy",
        &npy("|u1", false, &[count as usize], &[]),
        count.into(),
    );
    // The first dimensions count examples where labels have as many.
    let rows = [count as usize / 4, 4, 1];
    let nested = sparse(
        &folder,
        "b/inputs.npy",
        &npy("|u1", false, &rows, &[]),
        count.into(),
    );
    sparse(
        &folder,
        "b/labels.npy",
        &npy("|u1", false, &rows[..2], &[]),
        count.into(),
    );
    let one = Intake::Vector { features: 1 };
    for (intake, path) in [(&FOUR, &images), (&one, &array), (&one, &nested)] {
        let message = message(intake, path);
        assert!(
            message.contains("expected at most 10000000 examples"),
            "{message}"
        );
    }
    let lines = folder.bytes("lines.tsv", &b"a\n".repeat(10_000_002));
    let refused = message(&folder.tokenizer(), &lines);
    assert!(
        refused.contains("expected at most 10000000 examples"),
        "{refused}"
    );
}

#[test]
fn inputs_without_numbers_are_refused() {
    let folder = Folder::new();
    let zeros = 0_i64.to_le_bytes();
    let pictures = Intake::Images(presets::unit());
    let tokens = folder.tokenizer();
    let empty = Intake::Vector { features: 0 };
    for (intake, shape) in [
        (&pictures, &[1, 3, 0, 0][..]),
        (&pictures, &[1, 3, 4, 0]),
        (&pictures, &[1, 0, 4, 4]),
        (&pictures, &[1, 3, 0, usize::MAX / 2]),
        (&tokens, &[1, 2, 0]),
        (&tokens, &[1, 0, 5]),
        (&pictures, &[1, 3, 1 << 40, 1 << 40, 0]),
        (&pictures, &[0, 3, 1 << 40, 1 << 40]),
        (&FOUR, &[0, 1 << 40, 1 << 40]),
        (&FOUR, &[1, 0]),
        (&empty, &[1, 0]),
        (&FOUR, &[1]),
    ] {
        let rows = shape[0];
        let inputs = if shape == [1] { floats(&[1.0]) } else { vec![] };
        let header = json!({
            "inputs": {"dtype": "F32", "shape": shape, "data_offsets": [0, inputs.len()]},
            "labels": {"dtype": "I64", "shape": [rows],
                "data_offsets": [inputs.len(), inputs.len() + 8 * rows]},
        })
        .to_string();
        let length = (header.len() as u64).to_le_bytes();
        let parts = [&length[..], header.as_bytes(), &inputs, &zeros[..8 * rows]];
        let path = folder.bytes("batch.safetensors", &parts.concat());
        let message = message(intake, &path);
        assert!(
            [
                "shape of the inputs",
                "pictures",
                "examples: expected",
                "safetensors"
            ]
            .iter()
            .any(|words| message.contains(words)),
            "{shape:?}: {message}"
        );
    }
}

/// A grey PNG whose header says a size and which ends there.
fn png(height: u32, width: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 0, 0, 0, 0]);
    let mut checksum = flate2::Crc::new();
    checksum.update(&chunk);
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend(&chunk);
    bytes.extend(checksum.sum().to_be_bytes());
    bytes.extend(b"\0\0\0\x04IDAT\0\0\0\0\0\0\0\0");
    bytes
}

#[test]
fn headers_of_pictures_are_compared_with_the_network_before_one_is_decoded() {
    let folder = Folder::new();
    for (name, size) in [
        ("0/a.png", [8192, 8192]),
        ("1/b.png", [60_000, 60_000]),
        ("2/c.png", [1 << 30, 1 << 30]),
    ] {
        folder.bytes(&format!("set/{name}"), &png(size[0], size[1]));
    }
    let refused = message(&FOUR, &folder.path("set"));
    assert!(refused.contains("got 8192 x 8192"), "{refused}");
    assert!(refused.contains("1 to 67108864 pixels"), "{refused}");
    // A picture without a resize becomes as many numbers as it has.
    let mut unit = presets::unit();
    (unit.resize, unit.crop) = (None, None);
    let options = Options {
        max_bytes: 1 << 24,
        ..Options::default()
    };
    let refused = message_with(&Intake::Images(unit), &folder.path("set"), &options);
    assert!(
        refused.contains("expected at most 16777216 bytes"),
        "{refused}"
    );
}

#[test]
fn sizes_that_a_preprocessing_asks_for_are_bounded() {
    let folder = Folder::new();
    let processor = |size: Value, crop: Value| {
        let text = json!({
            "image_processor_type": "MobileViTImageProcessor", "size": size, "crop_size": crop,
        });
        let path = folder.text("preprocessor_config.json", &text.to_string());
        config::read_transformers(&path)
    };
    processor(json!({"shortest_edge": 2048}), json!(256)).unwrap();
    for huge in [2049, 8000, 8192, 1 << 20, u64::MAX] {
        processor(json!({"shortest_edge": huge}), json!(256)).unwrap_err();
        processor(json!({"height": 256, "width": huge}), json!(256)).unwrap_err();
        processor(json!(288), json!({"height": huge, "width": 256})).unwrap_err();
        processor(json!(288), json!(huge)).unwrap_err();
        let timm = json!({
            "input_size": [3, huge, huge], "crop_pct": 1.0, "interpolation": "bilinear",
            "mean": [0, 0, 0], "std": [1, 1, 1],
        });
        let path = folder.text("config.json", &timm.to_string());
        config::read_timm(&path).unwrap_err();
    }
    // A share of a size that is small may be a size that is not.
    let timm = json!({
        "input_size": [3, 224, 224], "crop_pct": 1e-300, "interpolation": "bilinear",
        "mean": [0, 0, 0], "std": [1, 1, 1],
    });
    config::read_timm(&folder.text("config.json", &timm.to_string())).unwrap_err();
    let long = data::image::Bitmap::new(1, 1 << 20, vec![0; 3 << 20]).unwrap();
    let preprocessing = processor(json!({"shortest_edge": 2048}), json!(256)).unwrap();
    let refusal = preprocessing.apply(&long).unwrap_err();
    assert!(matches!(refusal, DataError::ImageSize { .. }), "{refusal}");
}

/// A tokenizer of WordPiece with some of its parts replaced.
fn tokenizer(folder: &Folder, parts: &[(&str, Value)]) -> Result<Tokenizer, DataError> {
    let words = [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "good", "##o",
    ];
    let vocabulary: serde_json::Map<String, Value> = words
        .iter()
        .zip(0..)
        .map(|(word, id)| ((*word).to_owned(), json!(id)))
        .collect();
    let mut file = json!({
        "version": "1.0", "added_tokens": [],
        "normalizer": {"type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary},
    });
    for (part, value) in parts {
        *file.pointer_mut(part).unwrap() = value.clone();
    }
    Tokenizer::from_json(&folder.text("tokenizer.json", &file.to_string()), 16)
}

#[test]
fn steps_that_word_pieces_have_no_use_for_are_refused_by_name() {
    let folder = Folder::new();
    let replace = json!({"type": "Replace", "pattern": {"String": "o"}, "content": "o".repeat(20)});
    let expression = json!({"type": "Split", "pattern": {"Regex": "(a+)+$"},
        "behavior": "Removed", "invert": false});
    let sequence = |list: &str, steps: Vec<Value>| json!({"type": "Sequence", list: steps});
    for (part, value, word) in [
        ("/normalizer", replace.clone(), "Replace"),
        (
            "/normalizer",
            sequence("normalizers", vec![replace.clone(); 7]),
            "Replace",
        ),
        (
            "/normalizer",
            sequence("normalizers", vec![json!({"type": "NFD"}); 9]),
            "9 steps",
        ),
        (
            "/normalizer",
            sequence("normalizers", vec![sequence("normalizers", vec![replace])]),
            "Sequence",
        ),
        (
            "/normalizer",
            json!({"type": "Prepend", "prepend": "x"}),
            "Prepend",
        ),
        (
            "/normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": ""}),
            "Precompiled",
        ),
        ("/normalizer", json!("NFD"), "without a type"),
        ("/pre_tokenizer", expression.clone(), "Split"),
        (
            "/pre_tokenizer",
            sequence("pretokenizers", vec![expression]),
            "Split",
        ),
        (
            "/pre_tokenizer",
            json!({"type": "ByteLevel", "add_prefix_space": false,
            "trim_offsets": true, "use_regex": true}),
            "ByteLevel",
        ),
        (
            "/pre_tokenizer",
            json!({"type": "Metaspace", "replacement": "x"}),
            "Metaspace",
        ),
        ("/post_processor", json!({"type": "ByteLevel"}), "ByteLevel"),
        (
            "/model/max_input_chars_per_word",
            json!(1_000_000_000),
            "1000000000",
        ),
        ("/model/max_input_chars_per_word", json!(101), "101"),
        ("/model/max_input_chars_per_word", json!(0), "0"),
        ("/model/max_input_chars_per_word", json!(-1), "-1"),
        ("/model/max_input_chars_per_word", json!("100"), "100"),
        ("/model/type", json!("BPE"), "BPE"),
        (
            "/added_tokens",
            json!(vec![json!({"id": 1, "content": "a"}); 10_001]),
            "10001",
        ),
        (
            "/added_tokens",
            json!([{"id": 1, "content": "a".repeat(1000)}]),
            "aaa",
        ),
    ] {
        let refusal = tokenizer(&folder, &[(part, value)])
            .unwrap_err()
            .to_string();
        assert!(
            refusal.contains(word),
            "{part}: expected `{word}` in: {refusal}"
        );
    }
    for (part, value) in [
        ("/normalizer", Value::Null),
        (
            "/normalizer",
            sequence(
                "normalizers",
                vec![
                    json!({"type": "NFD"}),
                    json!({"type": "Lowercase"}),
                    json!({"type": "StripAccents"}),
                ],
            ),
        ),
        ("/pre_tokenizer", json!({"type": "Whitespace"})),
        // What is not followed is not looked into.
        (
            "/decoder",
            json!({"type": "Replace", "pattern": {"Regex": "("}, "content": ""}),
        ),
    ] {
        tokenizer(&folder, &[(part, value)]).unwrap();
    }
}

#[test]
fn the_time_for_a_text_grows_with_its_length() {
    let folder = Folder::new();
    let tokenizer = tokenizer(&folder, &[]).unwrap();
    let start = Instant::now();
    let word = "zq".repeat(100_000);
    let words = "good ".repeat(40_000);
    let batch = tokenizer.encode(&[(&word, None), (&words, None)]).unwrap();
    assert_eq!(batch.length, 16);
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    let text = format!("sentence\tlabel\n{}\t1\ngood\t0\n", "a".repeat(1 << 21));
    let path = folder.text("long.tsv", &text);
    let intake = Intake::Tokens(Box::new(tokenizer));
    let refused = message(&intake, &path);
    assert!(
        refused.contains("bytes of a text: expected at most 1048576"),
        "{refused}"
    );
    let options = Options {
        skip_unreadable: true,
        ..Options::default()
    };
    let set = all(&intake, &Outputs::new(3, &[]), &path, &options).unwrap();
    assert_eq!(set.dataset.len(), 1);
}

/// A parquet file of one column of bytes, in which every row has the same value, and one of labels.
fn repeated(column: &str, value: &[u8], rows: usize) -> Vec<u8> {
    let schema =
        format!("message schema {{ REQUIRED BYTE_ARRAY {column}; REQUIRED INT64 label; }}");
    let properties = WriterProperties::builder().set_dictionary_page_size_limit(1 << 24);
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(
        &mut bytes,
        Arc::new(parse_message_type(&schema).unwrap()),
        Arc::new(properties.build()),
    )
    .unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut values = group.next_column().unwrap().unwrap();
    let value: ByteArray = value.to_vec().into();
    let all = vec![value; rows];
    values
        .typed::<ByteArrayType>()
        .write_batch(&all, None, None)
        .unwrap();
    values.close().unwrap();
    let mut labels = group.next_column().unwrap().unwrap();
    labels
        .typed::<Int64Type>()
        .write_batch(&vec![0; rows], None, None)
        .unwrap();
    labels.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn values_of_a_dictionary_are_counted_for_every_row_that_has_them() {
    let folder = Folder::new();
    let text: Vec<u8> = (0..500_000_u32)
        .map(|i| b'a' + (i % 1009 * i % 23) as u8)
        .collect();
    let tokens = folder.tokenizer();
    let words = "when they are unpacked";
    let few = folder.bytes("few.parquet", &repeated("sentence", &text, 3));
    assert_eq!(read(&tokens, 3, &few).unwrap().dataset.len(), 3);
    let many = folder.bytes("many.parquet", &repeated("sentence", &text, 2000));
    assert!(std::fs::metadata(&many).unwrap().len() < 1_000_000);
    assert!(message(&tokens, &many).contains(words));
    let mut picture = png(2, 2);
    picture.resize(1 << 18, 0);
    let pictures = Intake::Images(presets::unit());
    let some = folder.bytes("pictures.parquet", &repeated("image", &picture, 400));
    assert!(message(&pictures, &some).contains("examples cannot be read"));
    let label = "x".repeat(1 << 20);
    let labels = repeated("label_text", label.as_bytes(), 1000);
    let path = folder.bytes("labels.parquet", &labels);
    let options = columns("text=label_text,label=label_text");
    let set = reader(&tokens, 3).open(&path, &options);
    assert_eq!(set.unwrap().labels().distinct().len(), 1);
}
