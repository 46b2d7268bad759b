//! Labelled sets: every format as every kind of network takes it, and what is refused.

mod support;

use std::path::Path;

use data::image::presets;
use data::labelled::{Intake, Limit, Reader};
use data::{DataError, Preprocessing};
use image::{GrayImage, Luma, Rgb, RgbImage};
use safetensors::tensor::Dtype;
use support::{Folder, floats, read, reader, refusal};

const VECTOR: Intake = Intake::Vector { features: 6 };

fn pictures() -> Intake {
    Intake::Images(presets::unit())
}

#[test]
fn idx_pictures_are_read_with_the_labels_beside_them() {
    let folder = Folder::new();
    let path = folder.idx(
        "few-images-idx3-ubyte.gz",
        3,
        "few-labels-idx1-ubyte",
        &[2, 0, 1],
    );
    let set = read(&VECTOR, 3, &path).unwrap();
    assert_eq!((&set.dataset.shape[..], set.dataset.classes), (&[6][..], 3));
    assert_eq!(set.dataset.labels, [2, 0, 1]);
    assert_eq!(set.dataset.example(1)[0], 102.0 / 255.0);
    assert!(
        set.names.name(1).ends_with("few-images-idx3-ubyte.gz[1]"),
        "{}",
        set.names.name(1)
    );

    let set = read(&pictures(), 3, &path).unwrap();
    assert_eq!(set.dataset.shape, [3, 2, 3]);
    let (red, blue) = set.dataset.example(1).split_at(12);
    assert_eq!(&red[..6], blue);

    let two = Reader {
        limit: Some(Limit::First(2)),
        ..reader(&VECTOR, 3)
    };
    let two = two.read(&path, None).unwrap();
    assert_eq!((two.dataset.len(), two.available), (2, 3));

    let other = folder.idx("fog.gz", 3, "labels.gz", &[1, 1, 1]);
    let given = folder.path("labels.gz");
    let set = reader(&VECTOR, 3).read(&other, Some(&given)).unwrap();
    assert_eq!(set.dataset.labels, [1, 1, 1]);
}

#[test]
fn a_spread_limit_reaches_every_part_of_a_set_in_every_format() {
    let folder = Folder::new();
    let every_other = |intake: &Intake, path: &Path, name: &str| {
        let reader = Reader {
            limit: Some(Limit::Spread(2)),
            ..reader(intake, 4)
        };
        let set = reader.read(path, None).unwrap();
        assert_eq!((&set.dataset.labels[..], set.available), (&[0, 2][..], 4));
        assert_eq!(set.dataset.ids[1].index, 2);
        assert!(set.names.name(1).ends_with(name), "{}", set.names.name(1));
        set.dataset.example(1).to_vec()
    };
    for class in 0..4_u8 {
        GrayImage::from_pixel(3, 2, Luma([51 * class]))
            .save(folder.path(&format!("set/{class}/a.png")))
            .unwrap();
    }
    let picture = every_other(&VECTOR, &folder.path("set"), "set/2/a.png");
    assert_eq!(picture, [102.0 / 255.0; 6]);

    let path = folder.idx("s-images.gz", 4, "s-labels.gz", &[0, 1, 2, 3]);
    let pixels = every_other(&VECTOR, &path, "s-images.gz[2]");
    assert_eq!(pixels[0], 204.0 / 255.0);

    let text = "sentence\tlabel\na\t0\nfine\t1\nfilm\t2\ndull\t3\n";
    let path = folder.text("s.tsv", text);
    let tokens = every_other(&folder.tokenizer(), &path, "s.tsv:4");
    assert_eq!(tokens[..3], [2.0, 7.0, 3.0]);

    let rows: Vec<f32> = (0..24).map(|i| (i / 6) as f32).collect();
    let path = folder.tensors(
        "s.safetensors",
        &[
            ("inputs", Dtype::F32, &[4, 6], &floats(&rows)),
            ("labels", Dtype::U8, &[4], &[0, 1, 2, 3]),
        ],
    );
    let numbers = every_other(&VECTOR, &path, "s.safetensors[2]");
    assert_eq!(numbers, [2.0; 6]);
}

#[test]
fn idx_files_that_do_not_fit_are_refused() {
    let folder = Folder::new();
    let alone = folder.idx("alone.gz", 1, "other.gz", &[0]);
    assert_eq!(
        refusal(&folder, read(&VECTOR, 3, &alone)),
        "alone.gz: labels: expected alone_labels.gz or alone-labels.gz or labels.gz beside it, or the \
         file of its labels as INPUTS,LABELS, got none"
    );
    let missing = folder.idx("x-images.gz", 1, "other.gz", &[0]);
    let message = refusal(&folder, read(&VECTOR, 3, &missing));
    assert!(
        message.contains("expected x-labels.gz or x-images_labels.gz"),
        "{message}"
    );
    let path = folder.idx("y-images.gz", 2, "y-labels.gz", &[0]);
    assert_eq!(
        refusal(&folder, read(&VECTOR, 3, &path)),
        "y-labels.gz: 1 labels, but y-images.gz has 2 images"
    );
    let path = folder.idx("z-images.gz", 2, "z-labels.gz", &[0, 3]);
    assert_eq!(
        refusal(&folder, read(&VECTOR, 3, &path)),
        "labels: expected a class below 3, got 3 (z-images.gz[1])"
    );
    assert_eq!(
        refusal(&folder, read(&Intake::Vector { features: 7 }, 4, &path)),
        "z-images.gz: pictures: expected 7 numbers, got [2, 3]"
    );
    let message = refusal(&folder, read(&folder.tokenizer(), 4, &path));
    assert!(
        message.contains("expected sentences in a .tsv, .csv, .jsonl or parquet file"),
        "{message}"
    );
    let empty = folder.idx("e-images.gz", 0, "e-labels.gz", &[]);
    assert_eq!(
        refusal(&folder, read(&VECTOR, 3, &empty)),
        "e-images.gz: examples: expected at least one, got none"
    );
}

#[test]
fn class_folders_count_by_name_number_wordnet_id_or_order() {
    let picture = |folder: &Folder, name: &str, rgb: [u8; 3]| {
        RgbImage::from_pixel(3, 2, Rgb(rgb))
            .save(folder.path(name))
            .unwrap();
    };
    let labels = |names: [&str; 2], class_names: &[String], classes: usize| {
        let folder = Folder::new();
        picture(&folder, &format!("set/{}/a.png", names[0]), [255, 0, 0]);
        picture(&folder, &format!("set/{}/b.png", names[1]), [0, 0, 255]);
        let intake = pictures();
        let reader = Reader {
            class_names,
            ..reader(&intake, classes)
        };
        let set = reader.read(&folder.path("set"), None);
        set.map(|set| (set.dataset.labels, set.dataset.classes))
            .map_err(|error| error.to_string())
    };
    let named = ["NOT_CAT".to_owned(), "CAT".to_owned()];
    assert_eq!(labels(["cat", "not-cat"], &named, 2), Ok((vec![1, 0], 2)));
    assert_eq!(labels(["10", "9"], &[], 11), Ok((vec![10, 9], 11)));
    assert_eq!(
        labels(["n01440764", "n01443537"], &[], 1000),
        Ok((vec![0, 1], 1000))
    );
    assert_eq!(labels(["red", "tan"], &[], 2), Ok((vec![0, 1], 2)));
    let message = labels(["red", "tan"], &[], 3).unwrap_err();
    assert!(
        message.starts_with("labels: expected a class below 3, got \"red\" (/")
            && message.ends_with("; all sets together have 2 names"),
        "{message}"
    );
}

#[test]
fn a_table_labels_pictures_and_networks_of_vectors_read_them_in_grey() {
    let folder = Folder::new();
    for (name, level) in [("a.png", 51), ("b.png", 204)] {
        GrayImage::from_pixel(3, 2, Luma([level]))
            .save(folder.path(&format!("set/in/{name}")))
            .unwrap();
    }
    folder.text("set/labels.csv", "file,class_index\na.png,4\nb.png,0\n");
    let set = read(&VECTOR, 5, &folder.path("set")).unwrap();
    assert_eq!(set.dataset.labels, [4, 0]);
    assert_eq!(set.dataset.example(0), [0.2; 6]);
    assert!(
        set.names.name(1).ends_with("set/in/b.png"),
        "{}",
        set.names.name(1)
    );
    let message = refusal(&folder, read(&VECTOR, 4, &folder.path("set")));
    assert!(
        message.contains("expected a class below 4, got \"4\" (set/in/a.png)"),
        "{message}"
    );
    let colour = Rgb([255, 0, 0]);
    RgbImage::from_pixel(3, 2, colour)
        .save(folder.path("set/in/a.png"))
        .unwrap();
    let set = read(&VECTOR, 5, &folder.path("set")).unwrap();
    assert_eq!(set.dataset.example(0)[0], 76.0 / 255.0);
}

#[test]
fn pictures_are_prepared_as_the_network_wants_them() {
    let folder = Folder::new();
    let path = folder.idx("g-images.gz", 1, "g-labels.gz", &[0]);
    let big = Preprocessing {
        ..presets::mobilevit_fashion()
    };
    let set = read(&Intake::Images(big), 10, &path).unwrap();
    assert_eq!(set.dataset.shape, [3, 64, 64]);
    GrayImage::from_pixel(40, 30, Luma([9]))
        .save(folder.path("set/7/a.png"))
        .unwrap();
    let set = read(
        &Intake::Images(presets::squeezenet()),
        1000,
        &folder.path("set"),
    )
    .unwrap();
    assert_eq!(
        (&set.dataset.shape[..], set.dataset.labels[0]),
        (&[3, 224, 224][..], 7)
    );
}

#[test]
fn sentences_and_pairs_become_tokens_padded_to_the_longest() {
    let folder = Folder::new();
    let tokens = folder.tokenizer();
    let path = folder.text("a.tsv", "sentence\tlabel\na fine film\t1\r\n\"dull\"\t0\n");
    let set = read(&tokens, 2, &path).unwrap();
    assert_eq!(set.dataset.labels, [1, 0]);
    assert_eq!(set.dataset.shape, [2, 5]);
    assert_eq!(
        set.dataset.example(0),
        [2.0, 5.0, 6.0, 7.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    );
    assert!(
        set.names.name(1).ends_with("a.tsv:3"),
        "{}",
        set.names.name(1)
    );

    let path = folder.text(
        "b.tsv",
        "index\tsentence1\tsentence2\tlabel\n0\tfine\tdull\tno\n",
    );
    let names = ["YES".to_owned(), "NO".to_owned()];
    let reader = Reader {
        class_names: &names,
        ..reader(&tokens, 2)
    };
    let set = reader.read(&path, None).unwrap();
    assert_eq!(set.dataset.labels, [1]);
    assert_eq!(set.dataset.example(0)[..5], [2.0, 6.0, 3.0, 8.0, 3.0]);

    // A question is a pair's first sentence although its table has the column of single sentences.
    let path = folder.text("c.tsv", "question\tsentence\tlabel\nfine\tdull\t0\n");
    let set = read(&tokens, 2, &path).unwrap();
    assert_eq!(set.dataset.example(0)[..5], [2.0, 6.0, 3.0, 8.0, 3.0]);
}

#[test]
fn tables_that_cannot_be_read_name_line_and_column() {
    let folder = Folder::new();
    let tokens = folder.tokenizer();
    let cases = [
        (
            "words\tlabel\nx\t0\n",
            "columns: expected sentence or text, or a pair such as sentence1 and sentence2 or premise and \
             hypothesis, or a choice of columns, got \"words, label\"",
        ),
        (
            "",
            "columns: expected sentence or text, or a pair such as sentence1 and sentence2 or premise and \
             hypothesis, or a choice of columns, got \"\"",
        ),
        (
            "sentence\tlabel\nfine\t0\nfine\n",
            "line 3: expected 2 columns, got 1",
        ),
        (
            "sentence\tlabel\n",
            "examples: expected at least one, got none",
        ),
    ];
    for (text, message) in cases {
        let path = folder.text("t.tsv", text);
        assert_eq!(
            refusal(&folder, read(&tokens, 2, &path)),
            format!("t.tsv: {message}")
        );
    }
    let path = folder.text("t.tsv", "sentence\tlabel\nfine\t2\n");
    assert_eq!(
        refusal(&folder, read(&tokens, 2, &path)),
        "labels: expected a class below 2, got \"2\" (t.tsv:2)"
    );
    let path = folder.path("t.tsv");
    std::fs::write(&path, b"sentence\tlabel\nfi\xffne\t0\n").unwrap();
    assert_eq!(
        refusal(&folder, read(&tokens, 2, &path)),
        "t.tsv: line 2, column sentence: expected text in UTF-8, got byte 0xff"
    );
    let path = folder.text("t.tsv", "sentence\tlabel\nfine\t0\n");
    let message = refusal(&folder, read(&VECTOR, 2, &path));
    assert!(
        message.contains("columns: expected 6 of numbers and one of labels"),
        "{message}"
    );
}

#[test]
fn batches_hold_what_the_network_takes_or_pictures_in_bytes() {
    let folder = Folder::new();
    let numbers = floats(&[0.5, 1.0, -2.0, 3.0, 4.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0]);
    let labels: Vec<u8> = [2_i64, 0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let path = folder.tensors(
        "f.safetensors",
        &[
            ("inputs", Dtype::F32, &[2, 2, 3], &numbers),
            ("labels", Dtype::I64, &[2], &labels),
        ],
    );
    let set = read(&VECTOR, 3, &path).unwrap();
    assert_eq!(
        (&set.dataset.shape[..], &set.dataset.labels[..]),
        (&[6][..], &[2, 0][..])
    );
    assert_eq!(set.dataset.example(0)[2], -2.0);
    let tokens = read(&folder.tokenizer(), 3, &path).unwrap();
    assert_eq!(tokens.dataset.shape, [2, 3]);
    let message = refusal(&folder, read(&pictures(), 3, &path));
    assert_eq!(
        message,
        "f.safetensors: shape of the inputs: expected [n, 3, rows, columns], got inputs float32 [2, 2, 3]"
    );

    let path = folder.tensors(
        "u.safetensors",
        &[
            ("inputs", Dtype::U8, &[1, 2, 3], &[51; 6]),
            ("labels", Dtype::U8, &[1], &[1]),
        ],
    );
    assert_eq!(
        read(&VECTOR, 2, &path).unwrap().dataset.example(0),
        [0.2; 6]
    );
    assert_eq!(
        read(&pictures(), 2, &path).unwrap().dataset.shape,
        [3, 2, 3]
    );
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    let folder = Folder::new();
    let two = floats(&[0.0; 12]);
    let bad = floats(&[f32::NAN; 12]);
    let half = floats(&[0.5, 1.0]);
    let inputs = ("inputs", Dtype::F32, &[2_usize, 6][..], &two[..]);
    type Tensor<'a> = (&'a str, Dtype, &'a [usize], &'a [u8]);
    let cases: [(&[Tensor<'_>], &str); 7] = [
        (
            &[inputs],
            "tensors: expected one called `labels`, got inputs",
        ),
        (
            &[inputs, ("labels", Dtype::U8, &[1], &[0])],
            "shape of the labels: expected [2], got [1]",
        ),
        (
            &[inputs, ("labels", Dtype::F32, &[2], &half)],
            "values of the labels: expected numbers of classes, got 0.5 in row 0",
        ),
        (
            &[inputs, ("labels", Dtype::I8, &[2], &[0, 0xfe])],
            "values of the labels: expected numbers of classes, got -2 in row 1",
        ),
        (
            &[
                ("inputs", Dtype::F8_E4M3, &[2, 6], &two[..12]),
                ("labels", Dtype::U8, &[2], &[0, 0]),
            ],
            "type of a tensor: expected floats of 16 to 64 bits, integers or booleans, got F8_E4M3",
        ),
        (
            &[
                ("inputs", Dtype::F32, &[2, 5], &two[..40]),
                ("labels", Dtype::U8, &[2], &[0, 0]),
            ],
            "shape of the inputs: expected [n, 6], got inputs float32 [2, 5]",
        ),
        (
            &[
                ("inputs", Dtype::F32, &[2, 6], &bad),
                ("labels", Dtype::U8, &[2], &[0, 0]),
            ],
            "NaN",
        ),
    ];
    for (tensors, expected) in cases {
        let path = folder.tensors("b.safetensors", tensors);
        let message = refusal(&folder, read(&VECTOR, 2, &path));
        assert!(message.contains(expected), "{message}\n{expected}");
    }
    let whole = std::fs::read(folder.path("b.safetensors")).unwrap();
    let cut = folder.path("cut.safetensors");
    std::fs::write(&cut, &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(
        read(&VECTOR, 2, &cut),
        Err(DataError::Batch { .. })
    ));
}

#[test]
fn paths_of_no_format_are_refused() {
    let folder = Folder::new();
    let path = folder.text("notes.txt", "hello");
    assert_eq!(
        refusal(&folder, read(&VECTOR, 2, &path)),
        "notes.txt: format: expected a folder of pictures or of parquet shards; an IDX, .npy, .npz, \
         safetensors or parquet file; or a table that ends in .tsv, .csv or .jsonl, got a .txt file"
    );
    let missing = folder.path("missing");
    assert!(matches!(
        read(&VECTOR, 2, &missing),
        Err(DataError::Io { .. })
    ));
    let table = folder.text("t.tsv", "sentence\tlabel\nfine\t0\n");
    let message = refusal(
        &folder,
        reader(&folder.tokenizer(), 2).read(&table, Some(&path)),
    );
    assert_eq!(
        message,
        "labels: expected a class below 2, got \"hello\" (t.tsv:2)"
    );
}
