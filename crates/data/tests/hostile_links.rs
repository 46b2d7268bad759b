//! Paths that lead out of their folder: links, `..`, absolute names.

#![cfg(unix)]

mod support;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use data::image::{ImageFolder, config, presets};
use data::labelled::{Intake, Options, Outputs};
use data::text::Tokenizer;
use data::{DataError, SetError};
use support::{Folder, all, read};

fn message(intake: &Intake, path: &Path) -> String {
    let refused = all(intake, &Outputs::new(3, &[]), path, &Options::default());
    refused.unwrap_err().to_string()
}

const SIX: Intake = Intake::Vector { features: 6 };

fn picture(folder: &Folder, name: &str) -> PathBuf {
    let path = folder.path(name);
    let picture = image::GrayImage::from_pixel(3, 2, image::Luma([7]));
    picture
        .save_with_format(&path, image::ImageFormat::Png)
        .unwrap();
    path
}

fn is_outside(error: &DataError) -> bool {
    matches!(error, DataError::Set(SetError::LeadsOut(_)))
}

#[test]
fn tables_name_no_file_outside_of_their_folder() {
    let folder = Folder::new();
    let outside = picture(&folder, "outside.png");
    picture(&folder, "set/in.png");
    symlink("../outside.png", folder.path("set/link.png")).unwrap();
    symlink("..", folder.path("set/up")).unwrap();
    for name in [
        outside.to_str().unwrap(),
        "../outside.png",
        "x/../../outside.png",
        "/dev/zero",
        "/etc/passwd",
        "..",
    ] {
        folder.text(
            "set/labels.csv",
            &format!("file,class_index\n{name},0\nin.png,1\n"),
        );
        let refused = message(&SIX, &folder.path("set"));
        assert!(
            refused.contains("a path below its folder"),
            "{name}: {refused}"
        );
        let refused = ImageFolder::open(&folder.path("set"), "set").unwrap_err();
        let refused = refused.to_string();
        assert!(
            refused.contains("a path below its folder") || refused.contains("first file"),
            "{refused}"
        );
    }
    for name in ["link.png", "up/outside.png"] {
        folder.text(
            "set/labels.csv",
            &format!("file,class_index\n{name},0\nin.png,1\n"),
        );
        let refused = message(&SIX, &folder.path("set"));
        assert!(
            refused.contains("outside.png; name that file"),
            "{name}: {refused}"
        );
        let set = ImageFolder::open(&folder.path("set"), "set").unwrap();
        let refused = data::image::ImageSource::encoded(&set, &[0]).unwrap_err();
        assert!(is_outside(&refused), "{refused}");
    }
    // The table itself.
    std::fs::remove_file(folder.path("set/labels.csv")).unwrap();
    folder.text("labels.csv", "file,class_index\nin.png,0\n");
    symlink("../labels.csv", folder.path("set/labels.csv")).unwrap();
    let refused = message(&SIX, &folder.path("set"));
    assert!(refused.contains("labels.csv; name that file"), "{refused}");
    assert!(is_outside(
        &ImageFolder::open(&folder.path("set"), "set").unwrap_err()
    ));
}

#[test]
fn folders_and_links_of_a_root_that_lead_out_are_not_read() {
    let folder = Folder::new();
    picture(&folder, "elsewhere/a.png");
    picture(&folder, "elsewhere/no_ending");
    picture(&folder, "set/0/own.png");
    symlink("own.png", folder.path("set/0/again.png")).unwrap();
    assert_eq!(read(&SIX, 1, &folder.path("set")).unwrap().dataset.len(), 2);
    symlink("../../elsewhere/no_ending", folder.path("set/0/no_ending")).unwrap();
    let set = read(&SIX, 1, &folder.path("set")).unwrap();
    assert_eq!(set.dataset.len(), 2);
    assert!(set.passed_over.lines()[0].contains("links that lead nowhere or out"));
    symlink("../elsewhere", folder.path("set/1")).unwrap();
    let refused = message(&SIX, &folder.path("set"));
    assert!(
        refused.contains("elsewhere/a.png; name that file"),
        "{refused}"
    );
    // The root may be a link: a person named it.
    std::fs::remove_file(folder.path("set/1")).unwrap();
    symlink(folder.path("set"), folder.path("alias")).unwrap();
    read(&SIX, 1, &folder.path("alias")).unwrap();
}

#[test]
fn shards_labels_and_settings_lie_where_they_are_looked_for() {
    let folder = Folder::new();
    let shard = folder.bytes("shard.parquet", b"PAR1");
    std::fs::create_dir(folder.path("shards")).unwrap();
    symlink(&shard, folder.path("shards/a.parquet")).unwrap();
    let pictures = Intake::Images(presets::unit());
    let refused = message(&pictures, &folder.path("shards"));
    assert!(
        refused.contains("shard.parquet; name that file"),
        "{refused}"
    );

    folder.idx("set/y-images-idx3-ubyte", 1, "elsewhere/labels", &[0]);
    symlink(
        "../elsewhere/labels",
        folder.path("set/y-labels-idx1-ubyte"),
    )
    .unwrap();
    let images = folder.path("set/y-images-idx3-ubyte");
    let refused = message(&SIX, &images);
    assert!(
        refused.contains("elsewhere/labels; name that file"),
        "{refused}"
    );
    let named = Options {
        labels: Some(folder.path("set/y-labels-idx1-ubyte")),
        ..Options::default()
    };
    all(&SIX, &Outputs::new(3, &[]), &images, &named).unwrap();

    folder.text("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n");
    folder.text("net/config.json", "{\"max_position_embeddings\": 16}");
    symlink("../vocab.txt", folder.path("net/vocab.txt")).unwrap();
    let refused = Tokenizer::load(&folder.path("net")).unwrap_err();
    assert!(is_outside(&refused), "{refused}");
    let config = folder.text("processor.json", "{}");
    symlink(&config, folder.path("net/preprocessor_config.json")).unwrap();
    let refused = config::read_transformers(&folder.path("net/preprocessor_config.json"));
    assert!(is_outside(&refused.unwrap_err()));
}
