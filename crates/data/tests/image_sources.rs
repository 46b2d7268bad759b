//! Collections of pictures on disk, and files that are not what they should be.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data::image::parquet::Columns;
use data::image::source::Stage;
use data::image::{ImageFolder, ImageSource, ParquetImages, batches, decode, load, presets};
use data::{DataError, Dataset};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use tempfile::TempDir;

fn stored(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/images");
    fs::read(folder.join(name)).unwrap()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn inputs(source: &dyn ImageSource, indices: &[usize]) -> Result<Dataset, DataError> {
    load(
        source,
        indices,
        &presets::squeezenet(),
        Stage::Inputs,
        &mut |_| (),
    )
}

#[test]
fn a_cut_off_picture_is_an_error_at_every_length() {
    for name in ["420.jpg", "progressive.jpg", "rotated.jpg", "rgb.png"] {
        let whole = stored(name);
        for length in (0..whole.len() - 2).step_by(7).chain([whole.len() - 2]) {
            let result = decode::decode(&whole[..length], "cut");
            let named = |error: &DataError| error.to_string().starts_with("cut: ");
            // A PNG is complete without the checksum of its end chunk.
            let complete = name.ends_with(".png") && length + 12 >= whole.len();
            match result {
                Err(error) => assert!(named(&error), "{error}"),
                Ok(_) => assert!(
                    complete,
                    "{name} decodes from {length} of {} bytes",
                    whole.len()
                ),
            }
        }
    }
}

#[test]
fn what_follows_the_end_of_a_jpeg_is_ignored() {
    let mut padded = stored("420.jpg");
    padded.extend([0; 100]);
    assert_eq!(
        decode::decode(&padded, "padded").unwrap(),
        decode::decode(&stored("420.jpg"), "plain").unwrap()
    );
}

#[test]
fn damaged_pictures_name_their_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("n01440764/tench.jpg");
    let mut damaged = stored("420.jpg");
    damaged[2..40].fill(0x11);
    for bytes in [damaged, b"not a picture".to_vec(), vec![], vec![0xff, 0xd8]] {
        write(&path, &bytes);
        let images = ImageFolder::open(folder.path(), "broken").unwrap();
        let error = inputs(&images, &[0]).unwrap_err();
        assert!(error.to_string().contains("tench.jpg"), "{error}");
    }
}

#[test]
fn a_picture_that_claims_a_huge_size_is_refused_before_it_is_decoded() {
    let mut png = stored("rgb.png");
    png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    // The checksum of the header chunk, over its name and its 13 bytes.
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    assert!(matches!(
        decode::decode(&png, "huge"),
        Err(DataError::ImageSize {
            height: 65_536,
            width: 65_536,
            ..
        })
    ));
}

/// The checksum of PNG chunks (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            if sum & 1 == 1 {
                0xedb8_8320 ^ (sum >> 1)
            } else {
                sum >> 1
            }
        })
    })
}

#[test]
fn pictures_of_one_channel_and_of_one_pixel_become_inputs() {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("a/grey.jpg"), &stored("grey.jpg"));
    write(&folder.path().join("a/pixel.png"), &stored("pixel.png"));
    let images = ImageFolder::open(folder.path(), "odd").unwrap();
    let squeezenet = presets::squeezenet();
    let pixels = load(&images, &[0, 1], &squeezenet, Stage::Pixels, &mut |_| ()).unwrap();
    assert_eq!(pixels.shape, [3, 224, 224]);
    let plane = 224 * 224;
    let grey = pixels.example(0);
    assert!(grey[..plane] == grey[plane..2 * plane] && grey[..plane] == grey[2 * plane..]);
    let pixel = pixels.example(1);
    assert!(pixel[..plane].iter().all(|&value| value == pixel[0]));
}

/// Two class folders with files that are and are not pictures.
fn class_folders(first: &str, second: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    write(
        &folder.path().join(second).join("2.JPEG"),
        &stored("420.jpg"),
    );
    write(
        &folder.path().join(second).join("1.png"),
        &stored("rgb.png"),
    );
    write(
        &folder.path().join(first).join("1.jpg"),
        &stored("grey.jpg"),
    );
    write(&folder.path().join(first).join("notes.txt"), b"no picture");
    write(&folder.path().join(".cache/1.jpg"), b"hidden");
    write(&folder.path().join("README.md"), b"no class");
    folder
}

#[test]
fn class_folders_are_numbered_by_name() {
    let folder = class_folders("cat", "dog");
    let images = ImageFolder::open(folder.path(), "pets").unwrap();
    assert_eq!(images.class_names(), ["cat", "dog"]);
    assert_eq!(
        (images.labels(), images.classes()),
        ([0, 1, 1].as_slice(), 2)
    );
    let loaded = inputs(&images, &[2, 0]).unwrap();
    assert_eq!(loaded.labels, [1, 0]);
    assert_eq!(loaded.ids[0].to_string(), "pets[2] clean");
    assert!(matches!(
        inputs(&images, &[3]),
        Err(DataError::Index { index: 3, len: 3 })
    ));
    let error = images.with_imagenet_labels().unwrap_err().to_string();
    assert_eq!(
        error,
        "pets: expected the WordNet id of an ILSVRC class, got \"cat\""
    );
}

#[test]
fn folders_of_imagenet_a_get_the_labels_of_a_network_of_1000_classes() {
    // Stingray and acorn: folders 0 and 1 here, 0 and 199 of ImageNet-A, classes 6 and 988.
    let folder = class_folders("n01498041", "n12267677");
    let images = ImageFolder::open(folder.path(), "imagenet-a")
        .unwrap()
        .with_imagenet_labels();
    let images = images.unwrap();
    assert_eq!(
        (images.labels(), images.classes()),
        ([6, 988, 988].as_slice(), 1000)
    );
}

#[test]
fn a_table_labels_pictures_beside_it_or_below_it() {
    for below in ["", "images"] {
        let folder = TempDir::new().unwrap();
        let root = folder.path();
        write(&root.join(below).join("x.png"), &stored("rgb.png"));
        write(&root.join(below).join("y.jpg"), &stored("420.jpg"));
        write(
            &root.join("labels.csv"),
            b"file,extra,class_index\nx.png,?,4\ny.jpg,?,2\n",
        );
        let images = ImageFolder::open(root, "table").unwrap();
        assert_eq!((images.labels(), images.classes()), ([4, 2].as_slice(), 5));
        assert_eq!(inputs(&images, &[1, 0]).unwrap().labels, [2, 4]);

        let table = root.join("labels.csv");
        assert!(matches!(
            ImageFolder::open_table(&table, root, "table", 4),
            Err(DataError::RowLabel {
                row: 0,
                classes: 4,
                ..
            })
        ));
    }
}

#[test]
fn unusable_folders_and_tables_are_refused() {
    let folder = TempDir::new().unwrap();
    let open = || ImageFolder::open(folder.path(), "bad");
    assert!(matches!(open(), Err(DataError::NoImages { .. })));
    assert!(matches!(
        ImageFolder::open(&folder.path().join("absent"), "bad"),
        Err(DataError::Io { .. })
    ));
    let table = folder.path().join("labels.csv");
    write(&table, b"file,label\nx.png,0\n");
    assert!(matches!(open(), Err(DataError::Csv { .. })));
    write(&table, b"file,class_index\n");
    assert!(matches!(open(), Err(DataError::NoImages { .. })));
    write(&table, b"file,class_index\nmissing.png,0\n");
    assert!(matches!(open(), Err(DataError::NoImages { .. })));
    write(&folder.path().join("x.png"), &stored("rgb.png"));
    write(&table, b"file,class_index\nx.png,-1\n");
    let error = open().unwrap_err().to_string();
    assert!(
        error.ends_with("row 0: expected a class below 0, got -1"),
        "{error}"
    );
}

#[test]
fn batches_come_one_by_one_and_stop_at_the_picture_that_fails() {
    let folder = class_folders("cat", "dog");
    write(&folder.path().join("dog/3.jpg"), b"broken");
    let images = ImageFolder::open(folder.path(), "pets").unwrap();
    let preprocessing = presets::squeezenet();
    let mut read = batches(&images, &[0, 1, 2, 3], &preprocessing, Stage::Pixels, 2);
    assert_eq!(read.next().unwrap().unwrap().len(), 2);
    assert!(matches!(read.next(), Some(Err(DataError::Image { .. }))));
    assert!(read.next().is_none());

    // Without a crop the pictures keep their own sizes.
    let unit = presets::unit();
    write(&folder.path().join("cat/1.jpg"), &stored("large.png"));
    let result = load(&images, &[0, 1], &unit, Stage::Pixels, &mut |_| ());
    assert!(matches!(result, Err(DataError::Shape { part: 1, .. })));
}

/// A parquet file as hubs write them: `struct { bytes, path }` and a label, two rows per group.
fn hub_parquet(path: &Path, pictures: &[&[u8]], labels: &[i64], names: Option<&str>) {
    let schema = "message schema { optional group image { optional binary bytes; \
                  optional binary path (UTF8); } optional int64 label; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let metadata = names.map(|names| {
        let json = format!(
            r#"{{"info": {{"features": {{"label": {{"names": {names}, "_type": "ClassLabel"}}}}}}}}"#
        );
        vec![KeyValue::new("huggingface".to_owned(), json)]
    });
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(metadata)
        .build();
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    for (pictures, labels) in pictures.chunks(2).zip(labels.chunks(2)) {
        let mut group = writer.next_row_group().unwrap();
        let bytes: Vec<_> = pictures
            .iter()
            .map(|&picture| ByteArray::from(picture.to_vec()))
            .collect();
        let mut column = group.next_column().unwrap().unwrap();
        let present = vec![2; bytes.len()];
        column
            .typed::<ByteArrayType>()
            .write_batch(&bytes, Some(&present), None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let absent = vec![1; bytes.len()];
        column
            .typed::<ByteArrayType>()
            .write_batch(&[], Some(&absent), None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let present = vec![1; labels.len()];
        column
            .typed::<Int64Type>()
            .write_batch(labels, Some(&present), None)
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

fn open_parquet(files: &[PathBuf], classes: Option<usize>) -> Result<ParquetImages, DataError> {
    ParquetImages::open(files, "hub", Columns::default(), classes)
}

#[test]
fn parquet_shards_are_one_collection_read_by_index() {
    let folder = TempDir::new().unwrap();
    let files = [
        folder.path().join("0.parquet"),
        folder.path().join("1.parquet"),
    ];
    let names = ["rgb.png", "420.jpg", "grey.jpg", "alpha.png"].map(stored);
    let pictures: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    hub_parquet(
        &files[0],
        &pictures[..3],
        &[2, 0, 1],
        Some(r#"["a", "b", "c", "d"]"#),
    );
    hub_parquet(&files[1], &pictures[3..], &[1], None);
    let images = open_parquet(&files, None).unwrap();
    assert_eq!(
        (images.labels(), images.classes()),
        ([2, 0, 1, 1].as_slice(), 4)
    );
    assert_eq!(images.class_names(), ["a", "b", "c", "d"]);

    let order = [3, 1, 0, 1, 2];
    let encoded = images.encoded(&order).unwrap();
    for (encoded, index) in encoded.iter().zip(order) {
        assert_eq!(encoded.bytes, pictures[index], "{index}");
    }
    assert!(
        encoded[0].name.ends_with("1.parquet row 0"),
        "{}",
        encoded[0].name
    );
    let loaded = inputs(&images, &order).unwrap();
    assert_eq!(loaded.labels, [1, 0, 2, 0, 1]);
    assert_eq!(loaded.ids[0].to_string(), "hub[3] clean");
}

#[test]
fn unusable_parquet_files_are_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("0.parquet");
    let picture = stored("rgb.png");
    hub_parquet(&file, &[&picture, b"broken"], &[0, 5], None);
    let open = |columns| ParquetImages::open(std::slice::from_ref(&file), "hub", columns, None);
    let message = |result: Result<ParquetImages, DataError>| result.unwrap_err().to_string();
    let columns = |image: &str, label: &str| Columns {
        image: image.to_owned(),
        label: label.to_owned(),
    };
    let error = message(open(columns("img", "label")));
    assert!(
        error.ends_with("column img: expected a column of this name, got the columns image, label")
    );
    let error = message(open(columns("image", "image")));
    assert!(
        error.contains("column image: expected integers, got a struct"),
        "{error}"
    );
    let swapped = open(columns("label", "label")).unwrap();
    assert!(matches!(
        swapped.encoded(&[0]),
        Err(DataError::ParquetColumn { .. })
    ));
    let error = message(open_parquet(std::slice::from_ref(&file), Some(5)));
    assert!(
        error.ends_with("row 1: expected a class below 5, got 5"),
        "{error}"
    );

    let images = open(Columns::default()).unwrap();
    let error = inputs(&images, &[1]).unwrap_err().to_string();
    assert!(
        error.contains("0.parquet row 1: not a picture of a known format"),
        "{error}"
    );

    hub_parquet(&file, &[&picture], &[-1], None);
    let error = message(open(Columns::default()));
    assert!(
        error.contains("expected labels of 0 or more, got -1 in row 0"),
        "{error}"
    );
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(
        open(Columns::default()),
        Err(DataError::Parquet { .. })
    ));
    assert!(matches!(
        open_parquet(&[], None),
        Err(DataError::NoImages { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn damaged_parquet_files_are_errors_or_other_rows_but_no_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("0.parquet");
        hub_parquet(&file, &[b"abc", b"defg", b"hi"], &[0, 1, 2], None);
        let mut bytes = fs::read(&file).unwrap();
        for (position, value) in changes {
            let position = position.index(bytes.len());
            bytes[position] = value;
        }
        fs::write(&file, bytes).unwrap();
        if let Ok(images) = open_parquet(&[file], None)
            && let Ok(encoded) = images.encoded(&[0])
        {
            prop_assert_eq!(encoded.len(), 1);
        }
    }

    #[test]
    fn changed_bytes_never_panic(
        name in prop::sample::select(vec!["420.jpg", "progressive.jpg", "cmyk.jpg", "palette.png"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = stored(name);
        for (position, value) in changes {
            let position = position.index(bytes.len());
            bytes[position] = value;
        }
        if let Ok(bitmap) = decode::decode(&bytes, "changed") {
            prop_assert_eq!(bitmap.rgb().len(), 3 * bitmap.height() * bitmap.width());
        }
    }
}
