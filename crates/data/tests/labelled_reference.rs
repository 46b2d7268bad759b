//! Small sets as NumPy, pandas, pyarrow and Pillow write them; `reference/make_sets.py` makes them.

mod support;

use data::idx;
use data::image::{decode, presets};
use data::labelled::{Intake, Options, Outputs, Unlabelled};
use data::{DataError, SetError, UNLABELLED};
use support::{Folder, all, columns, keep, read, reader, stored};

const FOUR: Intake = Intake::Vector { features: 4 };
const INPUTS: [f32; 12] = [0.5, -1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.25, 0.0, 0.0, 0.0, 1.0];

fn labelled(path: &str, labels: &str) -> Options {
    assert!(stored(path).exists() && stored(labels).exists());
    Options {
        labels: Some(stored(labels)),
        ..Options::default()
    }
}

#[test]
fn numpys_arrays_of_every_type_order_and_version_are_the_same_numbers() {
    let outputs = Outputs::new(3, &[]);
    for name in [
        "f2.npy",
        "f4.npy",
        "f8.npy",
        "f4_big.npy",
        "f8_big.npy",
        "fortran.npy",
        "version_2.npy",
        "version_3.npy",
    ] {
        let set = all(&FOUR, &outputs, &stored(name), &Options::default()).unwrap();
        assert_eq!(set.dataset.inputs, INPUTS, "{name}");
        assert_eq!(set.dataset.labels, [2, 0, 1], "{name}");
    }
    let counted: Vec<f32> = (0..12).map(|i| i as f32).collect();
    for name in ["i1", "i2", "i4", "i8", "u2", "u4", "u8"] {
        let set = read(&FOUR, 3, &stored(&format!("{name}.npy"))).unwrap();
        assert_eq!(set.dataset.inputs, counted, "{name}");
    }
    let names = ["zero", "one", "two"].map(str::to_owned);
    let options = labelled("f4.npy", "named_labels.npy");
    let set = all(&FOUR, &Outputs::new(3, &names), &stored("f4.npy"), &options).unwrap();
    assert_eq!(set.dataset.labels, [2, 0, 1]);
    for (name, expected) in [
        ("objects.npy", "pickled objects"),
        ("records.npy", "got records"),
    ] {
        let error = read(&FOUR, 3, &stored(name)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn mnist_c_is_read_as_its_authors_publish_it() {
    let set = read(&FOUR, 3, &stored("fog/test_images.npy")).unwrap();
    assert_eq!(set.dataset.labels, [2, 0, 1]);
    assert_eq!(set.dataset.example(2)[0], 8.0 / 255.0);
}

#[test]
fn numpys_archives_hold_pairs_of_arrays() {
    for name in ["stored.npz", "packed.npz", "one_hot.npz"] {
        let set = read(&FOUR, 3, &stored(name)).unwrap();
        assert_eq!(set.dataset.inputs, INPUTS, "{name}");
        assert_eq!(set.dataset.labels, [2, 0, 1], "{name}");
        let others = usize::from(name == "packed.npz");
        assert_eq!(set.passed_over.count(), others, "{name}");
    }
    let path = stored("two_parts.npz");
    let error = read(&FOUR, 3, &path).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "expected one array of inputs, or a choice such as input=x_test,label=y_test, got x_test and \
             x_train"
        ),
        "{error}"
    );
    for chosen in ["input=x_train", "input=x_test,label=y_train"] {
        let set = all(&FOUR, &Outputs::new(3, &[]), &path, &columns(chosen)).unwrap();
        assert_eq!(set.dataset.labels, [2, 0, 1], "{chosen}");
        assert_eq!(set.passed_over.count(), 2, "{chosen}");
    }
    let error = all(&FOUR, &Outputs::new(3, &[]), &path, &columns("input=z")).unwrap_err();
    assert!(error.to_string().contains("one called `"), "{error}");
}

#[test]
fn tables_of_pandas_and_pyarrow_hold_the_same_texts() {
    let folder = Folder::new();
    let tokens = folder.tokenizer();
    let names = ["NEGATIVE", "POSITIVE"].map(str::to_owned);
    let outputs = Outputs::new(2, &names);
    let mut inputs = vec![];
    for name in [
        "reviews.csv",
        "reviews.csv.gz",
        "reviews.jsonl",
        "reviews.parquet",
    ] {
        let set = all(&tokens, &outputs, &stored(name), &Options::default()).unwrap();
        assert_eq!(set.dataset.labels, [1, 0, 1, 0], "{name}");
        inputs.push(set.dataset.inputs);
    }
    assert!(inputs.iter().all(|others| *others == inputs[0]));
    for name in ["missing.csv", "missing.jsonl", "missing.parquet"] {
        let error = all(&tokens, &outputs, &stored(name), &Options::default()).unwrap_err();
        let missing = matches!(
            error,
            DataError::Set(SetError::Unlabelled {
                count: 1,
                examples: 4,
                ..
            })
        );
        assert!(missing, "{name}: {error}");
        let set = all(&tokens, &outputs, &stored(name), &keep()).unwrap();
        assert_eq!(set.dataset.labels, [1, 0, UNLABELLED, 0], "{name}");
        let options = Options {
            unlabelled: Unlabelled::PassOver,
            ..Options::default()
        };
        let set = all(&tokens, &outputs, &stored(name), &options).unwrap();
        assert_eq!(
            (set.dataset.len(), set.passed_over.count()),
            (3, 1),
            "{name}"
        );
    }
}

#[test]
fn lists_of_labels_are_sums_of_powers_of_two() {
    let folder = Folder::new();
    let tokens = folder.tokenizer();
    let names = ["dull", "fine", "long"].map(str::to_owned);
    let outputs = Outputs {
        several: true,
        ..Outputs::new(3, &names)
    };
    for name in ["several.jsonl", "several.parquet"] {
        let set = all(&tokens, &outputs, &stored(name), &Options::default()).unwrap();
        assert_eq!(set.dataset.labels, [6, 0, 1, 2], "{name}");
    }
    let one = all(
        &tokens,
        &Outputs::new(3, &names),
        &stored("several.jsonl"),
        &Options::default(),
    );
    let error = one.unwrap_err().to_string();
    assert!(error.contains("2 labels for one input"), "{error}");
}

#[test]
fn tables_of_numbers_tell_features_from_labels() {
    let outputs = Outputs::new(3, &[]);
    let set = all(&FOUR, &outputs, &stored("numbers.csv"), &Options::default()).unwrap();
    assert_eq!(
        (&set.dataset.inputs[..], &set.dataset.labels[..]),
        (&INPUTS[..], &[2, 0, 1][..])
    );
    let two = Outputs::new(2, &[]);
    // The column `species` has no usual name.
    let error = all(&FOUR, &two, &stored("species.csv"), &Options::default()).unwrap_err();
    assert!(error.to_string().contains("nothing says which"), "{error}");
    let set = all(
        &FOUR,
        &two,
        &stored("species.csv"),
        &columns("label=species"),
    )
    .unwrap();
    assert_eq!(set.dataset.labels, [0, 1, 0]);
    let set = all(&FOUR, &two, &stored("headless.csv"), &Options::default()).unwrap();
    assert_eq!(
        (set.dataset.len(), &set.dataset.labels[..]),
        (3, &[0, 1, 0][..])
    );
    let error = all(&FOUR, &outputs, &stored("indexed.csv"), &Options::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("expected 4 of numbers and one of labels, got 6"),
        "{error}"
    );
}

#[test]
fn the_hubs_numbers_are_read_by_the_names_that_the_file_gives_them() {
    let folder = Folder::new();
    let tokens = folder.tokenizer();
    let names = ["contradiction", "entailment", "neutral"].map(str::to_owned);
    let path = stored("mnli.parquet");
    let set = all(&tokens, &Outputs::new(3, &names), &path, &keep()).unwrap();
    assert_eq!(set.dataset.labels, [1, 0, UNLABELLED]);
    let unnamed = ["LABEL_0", "LABEL_1", "LABEL_2"].map(str::to_owned);
    let set = all(&tokens, &Outputs::new(3, &unnamed), &path, &keep()).unwrap();
    assert_eq!(set.dataset.labels, [0, 2, UNLABELLED]);
}

#[test]
fn pictures_in_shards_are_one_set() {
    let intake = Intake::Images(presets::unit());
    let set = read(&intake, 2, &stored("shards")).unwrap();
    assert_eq!(set.dataset.labels, [0, 1, 0, 0, 1, 0]);
    assert_eq!(set.dataset.shape, [3, 6, 6]);
    // Red begins with the shift that each picture has.
    let red: Vec<f32> = (0..6).map(|i| set.dataset.example(i)[0] * 255.0).collect();
    assert_eq!(red, [0.0, 10.0, 20.0, 50.0, 60.0, 70.0]);
    assert!(
        set.names
            .name(4)
            .ends_with("test-00001-of-00002.parquet row 1")
    );
    let one = read(&intake, 2, &stored("shards/test-00001-of-00002.parquet")).unwrap();
    assert_eq!((one.dataset.len(), one.passed_over.count()), (3, 1));
    let grey = Intake::Vector { features: 36 };
    assert_eq!(read(&grey, 2, &stored("shards")).unwrap().dataset.len(), 6);
    // Rows in any order, some of them twice.
    let open = reader(&intake, 2)
        .open(&stored("shards"), &Options::default())
        .unwrap();
    let table = data::ClassTable::new(&Outputs::new(2, &[]), &[&open]).unwrap();
    let some = open.read(&[5, 1, 1, 3], &table).unwrap();
    assert_eq!(some.dataset.labels, [0, 1, 1, 0]);
    assert_eq!(some.dataset.example(0)[0] * 255.0, 70.0);
}

#[test]
fn pictures_of_other_formats_decode_to_pillows_bytes() {
    let mut checked = 0;
    for entry in std::fs::read_dir(stored("")).unwrap() {
        let expected = entry.unwrap().path();
        let name = expected.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(picture) = name.strip_suffix(".idx.gz") else {
            continue;
        };
        let pixels = idx::read(&expected, 3).unwrap();
        let decoded = decode::read(&stored(picture)).unwrap();
        assert_eq!(
            pixels.shape,
            [decoded.height(), decoded.width(), 3],
            "{name}"
        );
        let differences = pixels
            .values
            .iter()
            .zip(decoded.rgb())
            .map(|(a, b)| a.abs_diff(*b));
        let most = differences.max().unwrap();
        assert_eq!(most, 0, "{name}");
        checked += 1;
    }
    assert_eq!(checked, 27);
    // As 16-bit colour is: the high byte.
    let deep = decode::read(&stored("deep.pgm")).unwrap();
    let levels: Vec<u8> = deep.rgb().iter().step_by(3).copied().collect();
    let high: Vec<u8> = (0..12_u32).map(|i| ((i * 5000) >> 8) as u8).collect();
    assert_eq!(levels, high);
    // Nothing says which float is white.
    assert!(matches!(
        decode::read(&stored("float.tif")),
        Err(DataError::Image { .. })
    ));
}
