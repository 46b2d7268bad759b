//! Sets in arrays and tables of numbers: what each element type, order and shape means, and what is
//! refused.

mod support;

use data::image::presets;
use data::labelled::{Intake, OpenSet, Options, Outputs, inputs_and_labels};
use data::{DataError, SetError, UNLABELLED};
use half::{bf16, f16};
use safetensors::tensor::Dtype;
use support::{Folder, all, columns, floats, keep, npy, read, reader};

const FOUR: Intake = Intake::Vector { features: 4 };

fn doubles(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn integers(numbers: &[i64]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn open<'a>(intake: &'a Intake, path: &std::path::Path, options: &Options) -> OpenSet<'a> {
    reader(intake, 3).open(path, options).unwrap()
}

/// The message of a refusal to open or to read.
fn message(intake: &Intake, path: &std::path::Path, options: &Options) -> String {
    all(intake, &Outputs::new(3, &[]), path, options)
        .unwrap_err()
        .to_string()
}

#[test]
fn pictures_with_the_channel_last_are_grey_pictures() {
    let folder = Folder::new();
    let pixels: Vec<u8> = (0..12).collect();
    let path = folder.bytes(
        "fog/test_images.npy",
        &npy("|u1", false, &[3, 2, 2, 1], &pixels),
    );
    let labels = npy("<i8", false, &[3], &integers(&[2, 0, 1]));
    folder.bytes("fog/test_labels.npy", &labels);
    let set = read(&FOUR, 3, &path).unwrap();
    assert_eq!(set.dataset.labels, [2, 0, 1]);
    assert_eq!(set.dataset.example(1)[3], 7.0 / 255.0);
    let pictures = Intake::Images(presets::unit());
    let set = read(&pictures, 3, &path).unwrap();
    assert_eq!(set.dataset.shape, [3, 2, 2]);
    assert_eq!(set.dataset.example(0)[4..8], set.dataset.example(0)[..4]);
}

#[test]
fn colours_are_planes_or_lie_next_to_each_other() {
    let folder = Folder::new();
    // Red 0, 1, .. 19, green 100.., blue 200..: a picture of 4 rows and 5 columns.
    let colour = |c: usize, i: usize| (100 * c + i) as u8;
    let planes: Vec<u8> = (0..3)
        .flat_map(|c| (0..20).map(move |i| colour(c, i)))
        .collect();
    let pixels: Vec<u8> = (0..20)
        .flat_map(|i| (0..3).map(move |c| colour(c, i)))
        .collect();
    let pictures = Intake::Images(presets::unit());
    let mut sets = vec![];
    for (name, shape, bytes) in [("p", [1, 3, 4, 5], &planes), ("q", [1, 4, 5, 3], &pixels)] {
        let path = folder.bytes(&format!("{name}.npy"), &npy("|u1", false, &shape, bytes));
        folder.bytes(
            &format!("{name}_labels.npy"),
            &npy("|u1", false, &[1], &[0]),
        );
        sets.push(read(&pictures, 3, &path).unwrap().dataset);
    }
    assert_eq!(sets[0].inputs, sets[1].inputs);
    assert_eq!(sets[0].inputs[20], 100.0 / 255.0);
    // Either end could be the channels.
    let path = folder.bytes("r.npy", &npy("|u1", false, &[1, 3, 4, 3], &[0; 36]));
    folder.bytes("r_labels.npy", &npy("|u1", false, &[1], &[0]));
    let message = message(&pictures, &path, &Options::default());
    assert!(
        message.contains("r.npy: pictures: expected [rows, columns]"),
        "{message}"
    );
}

#[test]
fn the_first_dimensions_are_examples_where_the_labels_say_so() {
    let folder = Folder::new();
    let points: Vec<f64> = (0..24).map(f64::from).collect();
    let labels = npy("<i8", false, &[2, 3, 1], &integers(&[0, 1, 2, 2, 1, 0]));
    folder.bytes("buggy_labels.npy", &labels);
    let path = folder.bytes(
        "buggy_points.npy",
        &npy("<f8", false, &[2, 3, 4], &doubles(&points)),
    );
    let set = read(&FOUR, 3, &path).unwrap();
    assert_eq!(set.dataset.labels, [0, 1, 2, 2, 1, 0]);
    assert_eq!(set.dataset.example(4), [16.0, 17.0, 18.0, 19.0]);
    // In Fortran order the same bytes are other numbers.
    folder.bytes(
        "buggy_points.npy",
        &npy("<f8", true, &[2, 3, 4], &doubles(&points)),
    );
    let set = read(&FOUR, 3, &path).unwrap();
    assert_eq!(set.dataset.example(1), [2.0, 8.0, 14.0, 20.0]);
    // Another number of them is refused.
    folder.bytes(
        "buggy_labels.npy",
        &npy("<i8", false, &[2, 2], &integers(&[0; 4])),
    );
    let message = message(&FOUR, &path, &Options::default());
    assert!(
        message.contains("shape of the inputs: expected [n, 4]"),
        "{message}"
    );
}

#[test]
fn labels_are_found_beside_their_inputs_or_named() {
    let folder = Folder::new();
    let inputs = npy("<f4", false, &[2, 4], &floats(&[0.5; 8]));
    let labels = |numbers: &[i64]| npy("<i8", false, &[numbers.len()], &integers(numbers));
    let path = folder.bytes("fog.npy", &inputs);
    let of = |options: &Options| open(&FOUR, &path, options).notes().join("; ");
    folder.bytes("labels.npy", &labels(&[0, 1]));
    assert!(of(&Options::default()).contains("/labels.npy"));
    // The file's own labels come first.
    folder.bytes("fog_labels.npy", &labels(&[1, 1]));
    assert!(of(&Options::default()).contains("/fog_labels.npy"));
    // Named ones of any format.
    let idx = folder.idx("x-images.gz", 2, "other.gz", &[2, 0]);
    let text = folder.text("labels.txt", "2\n0\n");
    let table = folder.text("labels.csv", "id,label\na,2\nb,0\n");
    let alone = folder.text("alone.csv", "2\n0\n");
    let tensors = folder.tensors("l.safetensors", &[("labels", Dtype::U8, &[2], &[2, 0])]);
    for labels in [idx.with_file_name("other.gz"), text, table, alone, tensors] {
        let given = format!("{},{}", path.display(), labels.display());
        let (inputs, labels) = inputs_and_labels(given.as_ref());
        let set = reader(&FOUR, 3).read(&inputs, labels.as_deref()).unwrap();
        assert_eq!(set.dataset.labels, [2, 0], "{given}");
    }
    let given = folder.bytes("three.npy", &labels(&[0, 1, 2]));
    let options = Options {
        labels: Some(given),
        ..Options::default()
    };
    let message = message(&FOUR, &path, &options);
    assert!(message.ends_with("fog.npy has 2 images"), "{message}");
}

#[test]
fn tensors_of_every_float_are_inputs() {
    let folder = Folder::new();
    let half = f16::from_f32(1.5).to_le_bytes().repeat(4);
    let brain = bf16::from_f32(1.5).to_le_bytes().repeat(4);
    for (dtype, bytes) in [
        (Dtype::F16, half),
        (Dtype::BF16, brain),
        (Dtype::F32, floats(&[1.5; 4])),
        (Dtype::F64, doubles(&[1.5; 4])),
    ] {
        let path = folder.tensors(
            "b.safetensors",
            &[
                ("inputs", dtype, &[1, 4], &bytes),
                ("labels", Dtype::U8, &[1], &[2]),
                ("more", Dtype::U8, &[1], &[2]),
            ],
        );
        let set = read(&FOUR, 3, &path).unwrap();
        assert_eq!(set.dataset.inputs, [1.5; 4], "{dtype:?}");
        assert_eq!(
            set.passed_over.lines(),
            ["1 other arrays of the file: more"]
        );
    }
}

#[test]
fn idx_files_of_any_element_type_are_read() {
    let folder = Folder::new();
    let idx = |name: &str, code: u8, shape: &[u32], elements: Vec<u8>| {
        let mut bytes = vec![0, 0, code, shape.len() as u8];
        bytes.extend(shape.iter().flat_map(|dim| dim.to_be_bytes()));
        bytes.extend(elements);
        folder.bytes(name, &bytes)
    };
    idx("a-labels-idx1-ubyte", 8, &[2], vec![1, 0]);
    let four = [0.5, 1.0, -2.0, 4.0];
    let twice = |bytes: Vec<u8>| bytes.repeat(2);
    let cases = [
        (
            0x0d,
            twice(
                four.iter()
                    .flat_map(|x| (*x as f32).to_be_bytes())
                    .collect(),
            ),
            four,
        ),
        (
            0x0e,
            twice(four.iter().flat_map(|x: &f64| x.to_be_bytes()).collect()),
            four,
        ),
        (
            0x09,
            twice(vec![1, 0xff, 3, 0x80]),
            [1.0, -1.0, 3.0, -128.0],
        ),
        (
            0x0b,
            twice(vec![0, 1, 1, 0, 0xff, 0xff, 0, 0]),
            [1.0, 256.0, -1.0, 0.0],
        ),
        (
            0x0c,
            twice(
                [7_i32, -7, 0, 1]
                    .iter()
                    .flat_map(|x| x.to_be_bytes())
                    .collect(),
            ),
            [7.0, -7.0, 0.0, 1.0],
        ),
    ];
    for (code, elements, expected) in cases {
        let path = idx("a-images-idx3-ubyte", code, &[2, 2, 2], elements);
        let set = read(&FOUR, 3, &path).unwrap();
        assert_eq!(
            set.dataset.example(1),
            expected.map(|x| x as f32),
            "{code:#04x}"
        );
    }
    let path = idx("a-images-idx3-ubyte", 0x0a, &[2, 2, 2], vec![0; 8]);
    let error = message(&FOUR, &path, &Options::default());
    assert!(error.contains("element type of an IDX file"), "{error}");
    for (elements, expected) in [(31, "truncated data"), (33, "trailing bytes")] {
        let path = idx("a-images-idx3-ubyte", 0x0d, &[2, 2, 2], vec![0; elements]);
        let error = message(&FOUR, &path, &Options::default());
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn qmnists_labels_are_the_first_of_eight_columns_and_emnists_are_not_moved() {
    let folder = Folder::new();
    let path = folder.idx("qmnist-test-images-idx3-ubyte", 2, "unused", &[]);
    let mut bytes = vec![0, 0, 0x0c, 2, 0, 0, 0, 2, 0, 0, 0, 8];
    for row in [[2_i32, 9, 9, 9, 9, 9, 9, 9], [1, 9, 9, 9, 9, 9, 9, 9]] {
        bytes.extend(row.iter().flat_map(|x| x.to_be_bytes()));
    }
    folder.bytes("qmnist-test-labels-idx2-int", &bytes);
    let six = Intake::Vector { features: 6 };
    assert_eq!(read(&six, 3, &path).unwrap().dataset.labels, [2, 1]);

    let path = folder.idx(
        "emnist-letters-images-idx3-ubyte",
        3,
        "emnist-letters-labels-idx1-ubyte",
        &[1, 2, 3],
    );
    let error = message(&six, &path, &Options::default());
    assert!(
        error.ends_with("the numbers run from 1 to 3: 1 less would fit, and is not assumed"),
        "{error}"
    );
    let moved = Outputs {
        offset: -1,
        ..Outputs::new(3, &[])
    };
    let set = all(&six, &moved, &path, &Options::default()).unwrap();
    assert_eq!(set.dataset.labels, [0, 1, 2]);
}

#[test]
fn arrays_that_do_not_fit_are_refused() {
    let folder = Folder::new();
    folder.bytes("labels.npy", &npy("<i8", false, &[2], &integers(&[0, 1])));
    let two = floats(&[0.0; 8]);
    let cases: [(&str, &[usize], &[u8], &str); 7] = [
        (
            "|O",
            &[2, 4],
            &two,
            "pickled objects, which are never executed",
        ),
        (
            "<c8",
            &[2, 2],
            &two,
            "elements of an array: expected integers",
        ),
        (
            "<f4",
            &[2, 4],
            &two[..31],
            "expected 32 bytes, got 31 bytes",
        ),
        ("<f4", &[2, 3], &two, "expected 24 bytes, got 32 bytes"),
        ("<f4", &[2, 2, 2, 1], &two, "ok"),
        ("<f4", &[2, 0], &[], "expected [n, ..], none of them 0"),
        ("<f4", &[usize::MAX, 4], &two, "one that fits in memory"),
    ];
    for (descr, shape, elements, expected) in cases {
        let path = folder.bytes("a.npy", &npy(descr, false, shape, elements));
        let result = read(&FOUR, 3, &path).map_err(|error| error.to_string());
        match result {
            Ok(set) => assert_eq!((expected, set.dataset.len()), ("ok", 2)),
            Err(error) => assert!(error.contains(expected), "{error}\n{expected}"),
        }
    }
    let path = folder.bytes("a.npy", &npy("<f4", false, &[8], &two));
    let error = message(&FOUR, &path, &Options::default());
    assert!(
        error.contains("expected [n, 4], got float32 [8]"),
        "{error}"
    );
}

#[test]
fn rows_that_are_no_numbers_are_listed_all_at_once_or_skipped() {
    let folder = Folder::new();
    let mut values = [0.5; 48];
    for row in [1, 3, 10] {
        values[4 * row + row % 4] = f32::NAN;
    }
    let path = folder.bytes("a.npy", &npy("<f4", false, &[12, 4], &floats(&values)));
    folder.bytes("labels.npy", &npy("<i8", false, &[12], &integers(&[0; 12])));
    let error = read(&FOUR, 3, &path).unwrap_err();
    let DataError::Set(SetError::Unreadable {
        count: 3,
        examples: 12,
        causes,
        ..
    }) = &error
    else {
        panic!("{error}");
    };
    assert!(
        causes[2]
            .to_string()
            .contains("a.npy[10] clean, position 2"),
        "{error}"
    );
    assert_eq!(error.to_string().lines().count(), 4, "{error}");
    let skip = Options {
        skip_unreadable: true,
        ..Options::default()
    };
    let set = all(&FOUR, &Outputs::new(3, &[]), &path, &skip).unwrap();
    assert_eq!((set.dataset.len(), set.passed_over.count()), (9, 3));
    assert_eq!((set.dataset.ids[1].index, set.available), (2, 12));
    assert!(set.names.name(1).ends_with("a.npy[2]"), "{}", set.names);
}

#[test]
fn labels_may_be_missing_where_that_is_allowed() {
    let folder = Folder::new();
    let path = folder.bytes("a.npy", &npy("<f4", false, &[3, 4], &floats(&[0.5; 12])));
    let error = message(&FOUR, &path, &Options::default());
    assert!(
        error.contains("a.npy: labels: expected a_labels.npy"),
        "{error}"
    );
    let outputs = Outputs::new(3, &[]);
    let set = all(&FOUR, &outputs, &path, &keep()).unwrap();
    assert_eq!(set.dataset.labels, [UNLABELLED; 3]);
    assert!(!set.dataset.is_labelled(0));
    // Some are -1.
    folder.bytes(
        "a_labels.npy",
        &npy("<i8", false, &[3], &integers(&[1, -1, 2])),
    );
    let error = message(&FOUR, &path, &Options::default());
    assert!(
        error.contains("expected one for every example, got none for 1 of 3, the first of them")
            && error.ends_with("a.npy[1]"),
        "{error}"
    );
    let set = all(&FOUR, &outputs, &path, &keep()).unwrap();
    assert_eq!(set.dataset.labels, [1, UNLABELLED, 2]);
    let pass_over = Options {
        unlabelled: data::labelled::Unlabelled::PassOver,
        ..Options::default()
    };
    let set = all(&FOUR, &outputs, &path, &pass_over).unwrap();
    assert_eq!(
        (&set.dataset.labels[..], set.dataset.ids[1].index),
        (&[1, 2][..], 2)
    );
    assert!(set.passed_over.lines()[0].starts_with("1 unlabelled examples: "));
    // Other negative numbers are no labels at all.
    folder.bytes(
        "a_labels.npy",
        &npy("<i8", false, &[3], &integers(&[1, -7, 2])),
    );
    let error = message(&FOUR, &path, &keep());
    assert!(
        error.contains("numbers of classes, got -7 in row 1"),
        "{error}"
    );
}

#[test]
fn a_matrix_of_zeros_and_ones_tells_several_labels_or_one() {
    let folder = Folder::new();
    let path = folder.bytes("a.npy", &npy("<f4", false, &[3, 4], &floats(&[0.5; 12])));
    let several = Outputs {
        several: true,
        ..Outputs::new(3, &[])
    };
    let matrix = |rows: &[u8]| npy("|u1", false, &[3, 3], rows);
    folder.bytes("a_labels.npy", &matrix(&[1, 0, 1, 0, 0, 0, 0, 1, 0]));
    let set = all(&FOUR, &several, &path, &Options::default()).unwrap();
    assert_eq!(
        (&set.dataset.labels[..], set.dataset.classes),
        (&[5, 0, 2][..], 8)
    );
    // For one label it has to have one 1 in each row.
    let error = message(&FOUR, &path, &Options::default());
    assert!(error.contains("2 ones in a row"), "{error}");
    folder.bytes("a_labels.npy", &matrix(&[0, 0, 1, 1, 0, 0, 0, 1, 0]));
    let set = read(&FOUR, 3, &path).unwrap();
    assert_eq!(set.dataset.labels, [2, 0, 1]);
    folder.bytes("a_labels.npy", &matrix(&[0, 0, 2, 1, 0, 0, 0, 1, 0]));
    let error = message(&FOUR, &path, &Options::default());
    assert!(error.contains("zeros and ones in a matrix"), "{error}");
    folder.bytes(
        "a_labels.npy",
        &npy("|u1", false, &[3, 2], &[1, 0, 0, 1, 1, 0]),
    );
    let error = message(&FOUR, &path, &Options::default());
    assert!(error.contains("2 columns"), "{error}");
    // A number alone does not tell which labels apply.
    folder.bytes("a_labels.npy", &npy("|u1", false, &[3], &[1, 2, 3]));
    let error = all(&FOUR, &several, &path, &Options::default()).unwrap_err();
    assert!(
        error.to_string().contains("one number where a list"),
        "{error}"
    );
}

#[test]
fn a_table_has_a_line_of_numbers_for_each_example() {
    let folder = Folder::new();
    let labels = |name: &str, text: &str, options: &Options| {
        let path = folder.text(name, text);
        all(&FOUR, &Outputs::new(3, &[]), &path, options)
            .map(|set| (set.dataset.inputs, set.dataset.labels))
            .map_err(|error| error.to_string())
    };
    let plain = Options::default();
    let expected = Ok((vec![1.0, 2.0, 3.0, 4.5, 5.0, 6.0, 7.0, -8e3], vec![2, 0]));
    let header = "label,a,b,c,d\n2,1,2,3,4.5\n0,5,6,7,-8e3\n";
    assert_eq!(labels("a.csv", header, &plain), expected);
    let last = "a\tb\tc\td\ttarget\r\n1\t2\t3\t4.5\t2\r\n5\t6\t7\t-8e3\t0\r\n";
    assert_eq!(labels("a.tsv", last, &plain), expected);
    let quoted = "\u{feff}\"2\",1,2,3,4.5\n\n0,5,6,7,-8e3";
    assert_eq!(labels("a.csv", quoted, &columns("label=#1")), expected);
    // Nothing says which column is no feature.
    let error = labels("a.csv", quoted, &plain).unwrap_err();
    assert!(
        error.contains("nothing says which of them is no feature"),
        "{error}"
    );
    let names = "1,2,3,4.5,x\n5,6,7,-8e3,y\n1,2,3,4,z\n";
    assert_eq!(labels("a.csv", names, &plain).unwrap().1, [0, 1, 2]);
    let alone = "1,2,3,4.5\n5,6,7,-8e3\n";
    assert!(
        labels("a.csv", alone, &plain)
            .unwrap_err()
            .contains("got 4")
    );
    assert_eq!(labels("a.csv", alone, &keep()).unwrap().1, [UNLABELLED; 2]);
    let error = labels("a.csv", "x,label\n1,2\n", &plain).unwrap_err();
    assert!(
        error.contains("expected 4 of numbers and one of labels"),
        "{error}"
    );
}

#[test]
fn lines_that_are_no_numbers_are_listed_all_at_once() {
    let folder = Folder::new();
    let text = "label,a,b,c,d\n2,1,2,3,x\n0,5,6,7\n1,1,2,3,4\n1,1,2,inf,4\n0,1,2,3,4,5\n";
    let path = folder.text("a.csv", text);
    // What is wrong with labels and widths shows on opening, the rest on reading.
    let error = message(&FOUR, &path, &Options::default());
    assert!(error.contains("2 of 5 examples cannot be read"), "{error}");
    assert!(
        error.contains("line 3: expected 5 columns, got 4"),
        "{error}"
    );
    assert!(
        error.contains("line 6: expected 5 columns, got 6"),
        "{error}"
    );
    let skip = Options {
        skip_unreadable: true,
        ..Options::default()
    };
    let set = all(&FOUR, &Outputs::new(3, &[]), &path, &skip).unwrap();
    assert_eq!(
        (&set.dataset.labels[..], set.dataset.ids[0].index),
        (&[1][..], 2)
    );
    assert_eq!(set.names.name(0), format!("{}:4", path.display()));
    assert_eq!((set.passed_over.reasons[0].count, set.available), (4, 5));
    let listed = set.passed_over.lines().join("\n");
    assert!(
        listed.contains("column d: expected a number, got \"x\""),
        "{listed}"
    );
    assert!(
        listed.contains("line 5, column c: expected a number, got \"inf\""),
        "{listed}"
    );
}

#[test]
fn more_than_may_be_held_is_refused_before_it_is_read() {
    let folder = Folder::new();
    let path = folder.idx("a-images.gz", 100, "a-labels.gz", &[0; 100]);
    let six = Intake::Vector { features: 6 };
    let little = Options {
        max_bytes: 1000,
        ..Options::default()
    };
    let error = message(&six, &path, &little);
    assert!(
        error.contains("100 examples of 24 bytes: expected at most 1000 bytes at a time"),
        "{error}"
    );
    let set = open(&six, &path, &little);
    let table = data::ClassTable::new(&Outputs::new(3, &[]), &[&set]).unwrap();
    let positions = set.positions(None);
    let blocks: Vec<usize> = set
        .blocks(&positions, 41, &table)
        .map(|block| block.unwrap().dataset.len())
        .collect();
    assert_eq!(blocks, [41, 41, 18]);
    // Prepared pictures are larger than stored ones.
    let large = Intake::Images(presets::squeezenet());
    let options = Options {
        max_bytes: 1 << 20,
        ..Options::default()
    };
    let error = message(&large, &path, &options);
    assert!(error.contains("100 examples of 602112 bytes"), "{error}");
}

#[test]
fn millions_of_tiny_examples_are_opened_and_read_in_blocks() {
    let folder = Folder::new();
    let count = 3_000_000;
    let images = data::idx::Idx {
        shape: vec![count, 1, 1],
        values: vec![51; count],
    };
    let labels = data::idx::Idx {
        shape: vec![count],
        values: vec![1; count],
    };
    let path = folder.path("a-images");
    data::idx::write(&path, &images).unwrap();
    data::idx::write(&folder.path("a-labels"), &labels).unwrap();
    let one = Intake::Vector { features: 1 };
    let set = open(&one, &path, &Options::default());
    let table = data::ClassTable::new(&Outputs::new(3, &[]), &[&set]).unwrap();
    let last = set.read(&[count - 1, 0], &table).unwrap();
    assert_eq!(last.dataset.inputs, [0.2, 0.2]);
    assert!(last.names.name(0).ends_with("a-images[2999999]"));
    assert_eq!(table.rows()[0].examples, count);
}
