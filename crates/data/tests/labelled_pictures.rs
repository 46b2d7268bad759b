//! Sets of pictures: class folders, tables, ILSVRC's files, formats told by content, hostile folders.

mod support;

use std::path::{Path, PathBuf};

use data::image::{ImageFolder, presets};
use data::labelled::{ClassTable, Intake, Options, Outputs};
use data::{DataError, SetError, UNLABELLED};
use image::{GrayImage, Luma};
use support::{Folder, all, columns, keep, read, reader, stored};

const SIX: Intake = Intake::Vector { features: 6 };

/// A grey PNG of 2 rows and 3 columns.
fn picture(folder: &Folder, name: &str, level: u8) -> PathBuf {
    let path = folder.path(name);
    let picture = GrayImage::from_pixel(3, 2, Luma([level]));
    picture
        .save_with_format(&path, image::ImageFormat::Png)
        .unwrap();
    path
}

fn message(intake: &Intake, classes: usize, path: &Path, options: &Options) -> String {
    all(intake, &Outputs::new(classes, &[]), path, options)
        .unwrap_err()
        .to_string()
}

fn level(set: &data::LabelledSet, i: usize) -> u8 {
    (set.dataset.example(i)[0] * 255.0) as u8
}

#[test]
fn the_first_folder_is_the_class_and_the_rest_is_counted() {
    let folder = Folder::new();
    picture(&folder, "set/cat/a/b/1.png", 1);
    picture(&folder, "set/cat/0.png", 2);
    picture(&folder, "set/dog/1.PNG", 3);
    picture(&folder, "set/dog/no_ending", 4);
    folder.text("set/dog/notes.txt", "hello");
    folder.text("set/dog/P1.txt", "P1 is text, and BM too");
    folder.text(
        "set/dog/BM.txt",
        "BM is text as well, whatever it says later on",
    );
    picture(&folder, "set/beside.png", 5);
    picture(&folder, "set/.hidden/1.png", 6);
    picture(&folder, "set/dog/.hidden.png", 7);
    folder.text("set/README.md", "about");
    std::fs::create_dir(folder.path("set/elephant")).unwrap();
    let set = read(&SIX, 3, &folder.path("set")).unwrap();
    assert_eq!(set.dataset.labels, [0, 0, 1, 1]);
    let levels: Vec<u8> = (0..4).map(|i| level(&set, i)).collect();
    assert_eq!(levels, [2, 1, 3, 4]);
    let mut counts: Vec<(String, usize)> = set
        .passed_over
        .reasons
        .iter()
        .map(|reason| (reason.reason.clone(), reason.count))
        .collect();
    counts.sort();
    assert_eq!(
        counts,
        [
            ("files that are no pictures".to_owned(), 4),
            ("hidden files and folders".to_owned(), 2),
            ("pictures beside the class folders".to_owned(), 1),
        ]
    );
    let open = reader(&SIX, 3)
        .open(&folder.path("set"), &Options::default())
        .unwrap();
    let notes = open.notes().join("; ");
    assert!(
        notes.contains("1 pictures lie in deeper folders"),
        "{notes}"
    );
    let listed = ImageFolder::open(&folder.path("set"), "set").unwrap();
    assert_eq!((listed.files().len(), listed.passed_over().count()), (4, 7));
}

#[test]
fn formats_are_told_by_content() {
    let folder = Folder::new();
    let files = [
        "lossless.webp",
        "rgb.bmp",
        "animated.gif",
        "lzw.tif",
        "rgb.ppm",
        "misnamed.txt",
    ];
    for (class, name) in files.iter().enumerate() {
        let bytes = std::fs::read(stored(name)).unwrap();
        // Whatever they are called.
        folder.bytes(&format!("set/{class}/x.jpg"), &bytes);
        folder.bytes(&format!("set/{class}/y.data"), &bytes);
    }
    let intake = Intake::Images(presets::unit());
    let set = read(&intake, 6, &folder.path("set")).unwrap();
    assert_eq!(
        (set.dataset.len(), &set.dataset.shape[..]),
        (12, &[3, 21, 21][..])
    );
    // All but the palette of GIF are the same pixels.
    for i in [2, 3, 6, 7, 8, 9, 10, 11] {
        assert_eq!(
            set.dataset.example(i),
            set.dataset.example(0),
            "{}",
            set.names.name(i)
        );
    }
}

#[test]
fn unreadable_pictures_are_listed_all_at_once_or_skipped() {
    let folder = Folder::new();
    for i in 0..30 {
        let path = picture(&folder, &format!("set/0/{i:02}.png"), i);
        match i % 3 {
            0 => std::fs::write(path, b"no picture").unwrap(),
            1 if i < 10 => {
                let bytes = std::fs::read(&path).unwrap();
                std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            }
            _ => {}
        }
    }
    let larger = GrayImage::from_pixel(4, 2, Luma([1]));
    larger.save(folder.path("set/0/29.png")).unwrap();
    let error = read(&SIX, 1, &folder.path("set")).unwrap_err();
    assert!(
        matches!(&error, DataError::Set(SetError::Unreadable { count: 14, examples: 30, causes, .. }) if causes.len() == 10),
        "{error}"
    );
    let skip = Options {
        skip_unreadable: true,
        ..Options::default()
    };
    let set = all(&SIX, &Outputs::new(1, &[]), &folder.path("set"), &skip).unwrap();
    assert_eq!((set.dataset.len(), set.passed_over.count()), (16, 14));
    assert_eq!((level(&set, 0), set.dataset.ids[0].index), (2, 2));
    assert!(set.names.name(0).ends_with("set/0/02.png"));
    let listed = set.passed_over.lines().join("\n");
    assert!(
        listed.starts_with("14 unreadable examples: ") && listed.contains("00.png"),
        "{listed}"
    );
}

#[test]
fn pictures_that_are_not_asked_for_are_not_read() {
    let folder = Folder::new();
    for i in 0..20 {
        let path = picture(&folder, &format!("set/0/{i:02}.png"), i);
        if i >= 10 {
            std::fs::write(path, b"no picture").unwrap();
        }
    }
    let open = reader(&SIX, 1)
        .open(&folder.path("set"), &Options::default())
        .unwrap();
    assert_eq!(open.len(), 20);
    let table = ClassTable::new(&Outputs::new(1, &[]), &[&open]).unwrap();
    let positions = open.positions(None);
    let mut blocks = open.blocks(&positions, 5, &table);
    for first in [0, 5] {
        let block = blocks.next().unwrap().unwrap();
        assert_eq!((block.dataset.len(), level(&block, 0)), (5, first));
    }
    assert!(blocks.next().unwrap().is_err());
    assert!(matches!(
        open.read(&[20], &table),
        Err(DataError::Index { index: 20, len: 20 })
    ));
}

#[test]
fn sizes_are_compared_before_pictures_are_decoded() {
    let folder = Folder::new();
    // A PNG whose header says 8192 x 8192 and which holds nothing else that is right.
    let mut png = std::fs::read(picture(&folder, "set/0/a.png", 1)).unwrap();
    png[16..24].copy_from_slice(&[0, 0, 0x20, 0, 0, 0, 0x20, 0]);
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    folder.bytes("set/0/a.png", &png);
    let error = message(&SIX, 1, &folder.path("set"), &Options::default());
    assert!(
        error.contains(
            "a.png: picture: expected 6 pixels, or a third of them in colour, got 8192 x 8192"
        ),
        "{error}"
    );
    let unit = Intake::Images(presets::unit());
    let little = Options {
        max_bytes: 1 << 28,
        ..Options::default()
    };
    let error = message(&unit, 1, &folder.path("set"), &little);
    assert!(
        error.contains("1 examples of 805306368 bytes: expected at most 268435456"),
        "{error}"
    );
}

/// The checksum of PNG chunks (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| match sum & 1 {
            1 => 0xedb8_8320 ^ (sum >> 1),
            _ => sum >> 1,
        })
    })
}

#[test]
fn tables_label_pictures_by_every_usual_column() {
    let folder = Folder::new();
    picture(&folder, "set/in/a.png", 1);
    picture(&folder, "set/in/b.png", 2);
    picture(&folder, "set/in/c.png", 3);
    let labels = |table: &str, options: &Options| {
        folder.text("set/labels.csv", table);
        all(&SIX, &Outputs::new(3, &[]), &folder.path("set"), options)
            .map(|set| {
                (
                    set.dataset.labels.clone(),
                    set.passed_over.lines().join("; "),
                )
            })
            .map_err(|error| error.to_string())
    };
    let plain = Options::default();
    for table in [
        "file,class_index\nb.png,2\na.png,0\n",
        "class,file_name,x\n2,b.png,7\n0,a.png,8\n",
        "image,label\r\n\"b.png\",2\r\na.png,0\r\n",
    ] {
        let (labels, passed_over) = labels(table, &plain).unwrap();
        assert_eq!(labels, [2, 0], "{table}");
        assert!(
            passed_over.contains("the table of labels does not name: ")
                && passed_over.ends_with("in/c.png")
        );
    }
    let table = "where,what\nb.png,2\na.png,0\n";
    assert!(
        labels(table, &plain)
            .unwrap_err()
            .contains("expected file and class_index")
    );
    assert_eq!(
        labels(table, &columns("input=where,label=what")).unwrap().0,
        [2, 0]
    );
    for (table, expected) in [
        (
            "file,label\n/etc/passwd,0\n",
            "a path below its folder, got \"/etc/passwd\"",
        ),
        (
            "file,label\na.png,0\n../in/b.png,1\n",
            "line 3, column file: expected a path below",
        ),
        ("file,label\nin/../../x.png,0\n", "a path below its folder"),
        (
            "file,label\na.png,0\na.png,1\n",
            "one label for a file, got \"1\" and, in line 2, \"0\"",
        ),
        (
            "file,label\nmissing.png,0\n",
            "the first one here or in a folder, got no missing.png",
        ),
        (
            "file,label\na.png,0\nmissing.png,1\n",
            "cannot read or write",
        ),
        ("file,label\na.png\n", "line 2: expected 2 columns, got 1"),
        ("file,label\n", "expected rows, got none"),
        ("file,label\na.png,3\n", "got \"3\" ("),
        (
            "file,label\na.png,\n",
            "expected one for every example, got none for 1 of 1",
        ),
    ] {
        let error = labels(table, &plain).unwrap_err();
        assert!(error.contains(expected), "{error}\n{expected}");
    }
    let set = labels("file,label\na.png,\nb.png,-1\nc.png,1\n", &keep()).unwrap();
    assert_eq!(set.0, [UNLABELLED, UNLABELLED, 1]);
    for table in [
        "file,class_index\n/etc/passwd,0\n",
        "file,class_index\n../set/in/a.png,0\n",
    ] {
        folder.text("set/labels.csv", table);
        assert!(
            ImageFolder::open(&folder.path("set"), "set").is_err(),
            "{table}"
        );
        let opened = ImageFolder::open_table(
            &folder.path("set/labels.csv"),
            &folder.path("set"),
            "set",
            1,
        );
        assert!(
            matches!(opened, Err(DataError::TableCell { .. })),
            "{table}"
        );
    }
}

#[test]
fn ilsvrcs_flat_folder_has_its_labels_in_three_files() {
    let folder = Folder::new();
    // The first pictures of the validation set: sea snake, alp, Shetland sheepdog.
    for i in 1..=3 {
        picture(&folder, &format!("set/ILSVRC2012_val_0000000{i}.JPEG"), i);
    }
    let path = folder.path("set");
    let labels = |intake| {
        all(intake, &Outputs::new(1000, &[]), &path, &Options::default())
            .map(|set| set.dataset.labels)
            .map_err(|error| error.to_string())
    };
    let kit = folder.text(
        "set/ILSVRC2012_validation_ground_truth.txt",
        "490\n361\n171\n822\n",
    );
    assert_eq!(labels(&SIX), Ok(vec![65, 970, 230]));
    let error = message(&SIX, 10, &path, &Options::default());
    assert!(error.contains("got \"n01751748\""), "{error}");
    folder.text(
        "set/ILSVRC2012_validation_ground_truth.txt",
        "490\n1361\n171\n",
    );
    let error = labels(&SIX).unwrap_err();
    assert!(
        error.contains("line 2, column 1: expected a number of the development kit"),
        "{error}"
    );
    folder.text("set/ILSVRC2012_validation_ground_truth.txt", "490\n361\n");
    let error = labels(&SIX).unwrap_err();
    assert!(
        error.contains("ILSVRC2012_val_00000003.JPEG of 2 lines"),
        "{error}"
    );
    // Caffe's list counts as checkpoints do; two tables need a choice.
    let list = folder.text(
        "set/val.txt",
        "ILSVRC2012_val_00000002.JPEG 970\nILSVRC2012_val_00000001.JPEG 65\n",
    );
    let error = labels(&SIX).unwrap_err();
    assert!(
        error.contains("got val.txt and ILSVRC2012_validation_ground_truth.txt"),
        "{error}"
    );
    std::fs::remove_file(kit).unwrap();
    assert_eq!(labels(&SIX), Ok(vec![970, 65]));
    std::fs::remove_file(list).unwrap();
    // TensorFlow's list of WordNet ids, by its name.
    let ids = folder.text("ids.txt", "n01751748\nn09193705\nn02105855\n");
    let options = Options {
        labels: Some(ids),
        ..Options::default()
    };
    let set = all(&SIX, &Outputs::new(1000, &[]), &path, &options).unwrap();
    assert_eq!(set.dataset.labels, [65, 970, 230]);
    // Without a table there are no labels.
    let error = labels(&SIX).unwrap_err();
    assert!(
        error.contains("ILSVRC2012_validation_ground_truth.txt"),
        "{error}"
    );
    let set = all(&SIX, &Outputs::new(1000, &[]), &path, &keep()).unwrap();
    assert_eq!(set.dataset.labels, [UNLABELLED; 3]);
}

#[test]
fn all_sets_of_a_command_share_one_reading_of_folder_names() {
    let folder = Folder::new();
    for (set, class) in [
        ("one", "bee"),
        ("one", "ant"),
        ("two", "cat"),
        ("two", "bee"),
    ] {
        picture(&folder, &format!("{set}/{class}/1.png"), 1);
    }
    let open = |name: &str| {
        reader(&SIX, 3)
            .open(&folder.path(name), &Options::default())
            .unwrap()
    };
    let (one, two) = (open("one"), open("two"));
    let outputs = Outputs::new(3, &[]);
    let table = ClassTable::new(&outputs, &[&one, &two]).unwrap();
    let labels = |set: &data::OpenSet<'_>| set.read(&[0, 1], &table).unwrap().dataset.labels;
    assert_eq!((labels(&one), labels(&two)), (vec![0, 1], vec![1, 2]));
    // Alone, two folders for two outputs would be 0 and 1 in both.
    assert!(ClassTable::new(&outputs, &[&one]).is_err());
    let table = ClassTable::new(&Outputs::new(2, &[]), &[&one]).unwrap();
    let error = two.read(&[0, 1], &table).unwrap_err().to_string();
    assert!(
        error.contains("one that the table of classes has, got \"cat\""),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn links_are_followed_to_plain_files_of_the_folder_and_pipes_are_refused() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    let real = picture(&folder, "set/.kept/a.png", 9);
    picture(&folder, "set/0/z.png", 1);
    symlink(&real, folder.path("set/0/a.png")).unwrap();
    // Back to where it lies: never entered.
    symlink(folder.path("set"), folder.path("set/0/loop")).unwrap();
    let set = read(&SIX, 1, &folder.path("set")).unwrap();
    assert_eq!((set.dataset.len(), level(&set, 0)), (2, 9));
    let lines = set.passed_over.lines();
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("1 links to folders inside class folders"))
    );
    // A device that never ends, and one that never begins.
    symlink("/dev/zero", folder.path("set/0/b.png")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(folder.path("set/0/c.png"))
        .status();
    assert!(made.unwrap().success());
    let error = message(&SIX, 1, &folder.path("set"), &Options::default());
    assert!(error.contains("2 of 4 examples"), "{error}");
    assert!(
        error.contains("expected a plain file, got a pipe"),
        "{error}"
    );
    assert!(error.contains("leads to /dev/zero"), "{error}");
    let fifo = folder.path("set/0/c.png");
    let error = message(&SIX, 1, &fifo, &Options::default());
    assert!(error.contains("expected a plain file"), "{error}");
}

#[test]
fn folders_without_pictures_say_what_they_should_hold() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("set")).unwrap();
    let path = folder.path("set");
    let error = message(&SIX, 1, &path, &keep());
    assert!(
        error.contains("expected class folders with pictures, or pictures and their labels"),
        "{error}"
    );
    folder.text("set/0/a.txt", "no picture");
    assert!(message(&SIX, 1, &path, &Options::default()).contains("class folders with pictures"));
    let error = message(&folder.tokenizer(), 1, &path, &Options::default());
    assert!(error.contains("got pictures"), "{error}");
    // Parquet files of two splits, a missing shard, and other files beside whole ones.
    let shard = std::fs::read(stored("shards/test-00001-of-00002.parquet")).unwrap();
    folder.bytes("set/data/test-00001-of-00002.parquet", &shard);
    let error = message(&SIX, 1, &path, &Options::default());
    assert!(
        error.contains("expected 2 shards of test, got the numbers 1"),
        "{error}"
    );
    folder.bytes("set/data/train.parquet", &shard);
    let error = message(&SIX, 1, &path, &Options::default());
    assert!(error.contains("the shards of one split"), "{error}");
    std::fs::remove_file(folder.path("set/data/train.parquet")).unwrap();
    let other = std::fs::read(stored("shards/test-00000-of-00002.parquet")).unwrap();
    folder.bytes("set/data/test-00000-of-00002.parquet", &other);
    folder.text("set/README.md", "about");
    let grey = Intake::Vector { features: 36 };
    let set = read(&grey, 2, &path).unwrap();
    assert_eq!(set.dataset.len(), 6);
    // The class folder `0` of before and the text.
    assert!(
        set.passed_over.lines()[0].starts_with("2 files beside the shards"),
        "{:?}",
        set.passed_over
    );
}
