//! The other architectures with real weights, on real pictures and sentences.

use std::path::{Path, PathBuf};

use super::{Folder, repair, texts, unframed};

/// The folder of real weights and data, if it is there.
pub(crate) fn assets() -> Option<PathBuf> {
    let folder = std::env::var_os("INFORMED_REPAIR_ASSETS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: INFORMED_REPAIR_ASSETS names no folder of real weights");
    }
    folder
}

/// What the command says while it repairs the first inputs of a set, and how it exits.
fn described(network: &Path, set: &Path, limit: usize, more: &[&str]) -> (String, Option<i32>) {
    let folder = Folder::new();
    let (network, set) = (network.display().to_string(), set.display().to_string());
    let (limit, out) = (limit.to_string(), folder.path("out"));
    let mut arguments = vec![
        "--network",
        &network,
        "--repair",
        &set,
        "--limit",
        &limit,
        "--layer",
        "last",
        "--objective",
        "l2",
        "--out",
        &out,
    ];
    arguments.extend(more);
    let output = repair(&arguments);
    let (said, progress) = texts(&output);
    (said + &progress, output.status.code())
}

/// Every point is right in the file that was written.
#[track_caller]
fn repaired((said, code): (String, Option<i32>), points: usize) -> String {
    assert_eq!(code, Some(0), "{said}");
    let all = format!("{points} of {points} points right");
    assert!(said.contains(&all), "{said}");
    said
}

/// The cells of a CSV column, from the first row on.
fn column(path: PathBuf, name: &str, count: usize) -> Vec<String> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let position = reader
        .headers()
        .unwrap()
        .iter()
        .position(|header| header == name)
        .unwrap();
    let records = reader.records().take(count);
    records
        .map(|record| record.unwrap()[position].to_owned())
        .collect()
}

#[test]
fn squeezenet_is_repaired_on_a_folder_of_pictures_with_a_table() {
    let Some(assets) = assets() else { return };
    let set = assets.join("imagenet_sample");
    let network = assets.join("squeezenet/squeezenet1_1.safetensors");
    let said = repaired(described(&network, &set, 16, &[]), 16);
    let predicted = column(set.join("predictions.csv"), "squeezenet1_1_top1", 16);
    let labels = column(set.join("labels.csv"), "class_index", 16);
    let wrong = predicted
        .iter()
        .zip(&labels)
        .filter(|(a, b)| a != b)
        .count();
    assert!(said.contains("repair set: 16 of 1000 inputs"), "{said}");
    assert!(
        said.contains(&format!("shape [3, 224, 224], {wrong} wrong before")),
        "{said}"
    );
}

#[test]
fn mobilevit_is_repaired_on_grey_pictures_once_their_preprocessing_is_named() {
    let Some(assets) = assets() else { return };
    let folder = std::env::var_os("FASHION_MNIST").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| "/usr/share/datasets/fashion-mnist".into());
    let set = folder.join("t10k-images-idx3-ubyte.gz");
    if !set.is_file() {
        return eprintln!("skipped: no Fashion-MNIST in {}", folder.display());
    }
    let network = assets.join("mobilevit_fashion/model.safetensors");
    let (said, _) = described(&network, &set, 64, &[]);
    assert!(
        unframed(&said).contains("nameitwith--preprocessing"),
        "{said}"
    );
    let named = ["--preprocessing", "mobilevit-fashion"];
    let said = repaired(described(&network, &set, 64, &named), 64);
    let predicted = std::fs::read_to_string(assets.join("mobilevit_fashion/test_predictions.csv"));
    let labels = data::mnist::load_test(&folder).unwrap().labels;
    let wrong = predicted
        .unwrap()
        .lines()
        .zip(labels)
        .take(64)
        .filter(|(a, b)| *a != b.to_string())
        .count();
    assert!(
        said.contains(&format!("shape [3, 64, 64], {wrong} wrong before")),
        "{said}"
    );
}

#[test]
fn distilbert_is_repaired_on_sentences_with_the_tokenizer_beside_its_weights() {
    let Some(assets) = assets() else { return };
    let network = assets.join("distilbert_minilm_sst2");
    let set = Folder::new();
    // The columns of the task's original distribution, in which the labels follow the sentences.
    let dev = std::fs::read_to_string(assets.join("glue/SST-2/dev.tsv")).unwrap();
    let swapped: String = dev
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(label, text)| {
            format!(
                "{}\t{label}\n",
                if text == "content" { "sentence" } else { text }
            )
        })
        .collect();
    let path = set.path("dev.tsv");
    std::fs::write(&path, swapped).unwrap();
    let correct = column(network.join("sst2_dev_predictions.csv"), "correct", 64);
    let wrong = correct.iter().filter(|cell| *cell == "0").count();
    for set in [Path::new(&path), &assets.join("glue/SST-2/dev.tsv")] {
        let said = repaired(described(&network, set, 64, &[]), 64);
        assert!(said.contains("repair set: 64 of 872 inputs"), "{said}");
        assert!(said.contains(&format!("{wrong} wrong before")), "{said}");
    }
}
