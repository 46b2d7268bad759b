//! `experiments analyze`: what kind of a set it is.

use serde_json::Value;

use super::digits::{HELD_OUT, MNIST, TEST};
use super::networks::assets;
use super::{Folder, expect, experiments, unframed};

fn analyze(arguments: &[&str]) -> std::process::Output {
    experiments("analyze", arguments)
}

fn read(report: &str) -> Value {
    serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap()
}

#[test]
fn misclassified_digits_are_described_in_every_space_and_priced_at_a_layer() {
    let folder = Folder::new();
    let report = folder.path("report.json");
    let set = ["--network", MNIST, "--repair", TEST, "--only-wrong"];
    let more = ["--limit", "30", "--guard", HELD_OUT, "--guard-limit", "200"];
    let asked = ["--layer", "last", "--drop", "3", "--report", &report];
    let arguments = [&set[..], &more, &asked].concat();
    let (said, progress) = expect(&analyze(&arguments), 0);
    assert!(
        progress.contains("repair set: 30 of 10000 inputs"),
        "{progress}"
    );
    assert!(said.contains("answers: 30 of 30 wrong"), "{said}");
    assert!(
        said.contains("near-duplicates with different labels: none"),
        "{said}"
    );

    let found = read(&report);
    assert_eq!(found["arguments"]["drop"], 3);
    assert_eq!(found["drop"]["margin"], 0.1);
    let files = found["files"].as_array().unwrap();
    let roles: Vec<&Value> = files.iter().map(|file| &file["role"]).collect();
    assert_eq!(roles, ["network", "repair", "guard"]);
    assert_eq!(found["wrong"], 30);
    let counts = found["classes"]["counts"].as_object().unwrap();
    assert_eq!(
        counts.values().map(|n| n.as_u64().unwrap()).sum::<u64>(),
        30
    );
    assert!(found["margins"]["max"].as_f64().unwrap() < 0.0);
    let points = found["points"].as_array().unwrap();
    for point in points {
        let digits = |part: &str| point[part].as_u64().unwrap();
        assert_ne!(digits("label"), digits("answer"));
        assert!(point["name"].as_str().unwrap().starts_with(TEST));
    }

    // One layer of ten outputs.
    let space = &found["spaces"][0];
    assert_eq!(
        (&space["space"], &space["width"]),
        (&"4".into(), &10.into())
    );
    assert_eq!(
        (&space["points"], &space["affine_dimension"]),
        (&30.into(), &10.into())
    );
    let vertices = space["vertices"]["exactly"].as_u64().unwrap();
    assert!((11..=30).contains(&vertices), "{vertices}");
    assert!(space["coverage"]["covered"].as_f64().is_some());

    let mut cost = found["drop"]["cost"].as_f64().unwrap();
    let drops = found["drop"]["drops"].as_array().unwrap();
    assert_eq!(drops.len(), 3);
    for drop in drops {
        let numbers = ["price", "share", "cost"].map(|part| drop[part].as_f64().unwrap());
        assert!(
            numbers[0] > 0.0 && numbers[1] > 0.0 && numbers[2] < cost,
            "{drop}"
        );
        assert!(said.contains(drop["name"].as_str().unwrap()), "{said}");
        cost = numbers[2];
    }

    let again = expect(&analyze(&arguments), 2).1;
    assert!(
        unframed(&again).contains("writeoveritwith--force"),
        "{again}"
    );
}

#[test]
fn the_input_and_three_layers_are_looked_at_unless_others_are_named() {
    let folder = Folder::new();
    let set = [
        "--network",
        MNIST,
        "--repair",
        TEST,
        "--limit",
        "25",
        "--seed",
        "1",
    ];
    for (layer, expected) in [
        (None, vec!["input", "0", "2", "4"]),
        (Some("last,input"), vec!["4", "input"]),
        (Some("all"), vec!["input", "0", "2", "4"]),
    ] {
        let report = folder.path(layer.unwrap_or("default"));
        let mut arguments = set.to_vec();
        arguments.extend(["--report", &report]);
        arguments.extend(layer.into_iter().flat_map(|layer| ["--layer", layer]));
        let (said, _) = expect(&analyze(&arguments), 0);
        assert!(!said.contains("guard"), "{said}");
        let found = read(&report);
        let spaces = found["spaces"].as_array().unwrap();
        let names: Vec<&str> = spaces
            .iter()
            .map(|s| s["space"].as_str().unwrap())
            .collect();
        assert_eq!(names, expected);
        assert!(found["drop"].is_null() && spaces[0]["coverage"].is_null());
        // 25 images of 784 pixels are affinely independent.
        let input = spaces.iter().find(|s| s["space"] == "input").unwrap();
        assert_eq!(input["affine_dimension"], 24);
        assert_eq!(input["vertices"]["exactly"], 25);
    }
}

#[test]
fn points_with_two_labels_are_pointed_out_and_have_no_price() {
    let folder = Folder::new();
    let points = [
        ([1.0, 0.0], 0),
        ([1.0, 0.0], 1),
        ([0.0, 3.0], 1),
        ([2.0, 1.0], 0),
    ];
    let (network, set) = (folder.line(), folder.batch("set", &points));
    let guard = folder.batch("guard", &[([5.0, 5.0], 0), ([6.0, 1.0], 1)]);
    let asked = ["--guard", &guard, "--layer", "last"];
    let arguments = [&["--network", &network, "--repair", &set][..], &asked].concat();
    let (said, _) = expect(&analyze(&arguments), 0);
    assert!(said.contains("different labels: 1 pair"), "{said}");
    assert!(said.contains("no prices"), "{said}");
}

#[test]
fn what_cannot_be_analysed_is_refused_with_its_reason() {
    let folder = Folder::new();
    let set = ["--network", MNIST, "--repair", TEST, "--limit", "5"];
    let nowhere = folder.path("nowhere/report.json");
    for (more, code, reason) in [
        (&["--layer", "7"][..], 2, "has no layer \"7\""),
        (&["--drop", "2"], 2, "--drop needs --guard and one --layer"),
        (
            &["--guard", HELD_OUT, "--layer", "0,2", "--drop", "1"],
            2,
            "--drop needs",
        ),
        (&["--margin", "0.2"], 2, "--margin needs --guard and one"),
        (&["--report", &nowhere], 2, "no such folder"),
        (&["--guard", "nowhere.gz"], 1, "nowhere.gz"),
        (&["--margin", "nan"], 2, "expected a finite number >= 0"),
        (
            &["--preprocessing", "unit"],
            2,
            "takes numbers, no pictures",
        ),
    ] {
        let (_, said) = expect(&analyze(&[&set[..], more].concat()), code);
        assert!(unframed(&said).contains(&unframed(reason)), "{said}");
    }
    let many = ["--network", MNIST, "--repair", TEST];
    let (_, said) = expect(&analyze(&many), 2);
    assert!(
        unframed(&said).contains("atmost4096points,got10000:lower--limit"),
        "{said}"
    );
}

#[test]
fn wrong_sentences_are_described_at_the_layers_of_a_text_classifier() {
    let Some(assets) = assets() else { return };
    let folder = Folder::new();
    let report = folder.path("report.json");
    let network = assets.join("distilbert_minilm_sst2").display().to_string();
    let set = assets.join("glue/SST-2/dev.tsv").display().to_string();
    let arguments = ["--network", &network, "--repair", &set, "--limit", "24"];
    let arguments = [&arguments[..], &["--report", &report]].concat();
    let (said, _) = expect(&analyze(&arguments), 0);
    assert!(said.contains("classes: 2 of 2"), "{said}");
    let found = read(&report);
    let spaces = found["spaces"].as_array().unwrap();
    // The ids of words have no distances.
    assert_eq!(spaces.len(), 3);
    assert_eq!(spaces[0]["space"], "distilbert.embeddings.word_embeddings");
    assert_eq!(spaces[2]["space"], "classifier");
    assert_eq!(
        (&spaces[0]["width"], &spaces[2]["width"]),
        (&384.into(), &2.into())
    );
    assert_eq!(spaces[0]["affine_dimension"], 23);
    let (_, said) = expect(
        &analyze(&[&arguments[..4], &["--layer", "input"]].concat()),
        2,
    );
    assert!(
        unframed(&said).contains("tokenidshavenodistances"),
        "{said}"
    );
}
