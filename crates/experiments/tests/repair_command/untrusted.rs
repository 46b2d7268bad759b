//! Text from files is shown, and no terminal obeys it; flags are refused for what they say.

use std::fs;
use std::path::Path;
use std::process::Output;

use network::{Checkpoint, Dtype, StoredTensor};

use super::{Folder, expect, experiments, texts, unframed};

/// Sets a window's title, clears the screen, colours, writes over the line, and turns what follows.
const OWNED: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r\u{7f}\u{202e}";

/// That a command says something of [`OWNED`] and that no terminal obeys any of it.
#[track_caller]
fn is_harmless(output: &Output) -> String {
    let (out, err) = texts(output);
    let said = out + &err;
    assert!(said.contains("owned"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let commands = |c: char| {
        (c.is_control() && c != '\n' && c != '\t') || ('\u{202a}'..='\u{202e}').contains(&c)
    };
    let found: String = said.chars().filter(|&c| commands(c)).collect();
    assert_eq!(found, "", "{said:?}");
    said
}

/// Tensors of f32 zeros in a file, with metadata.
fn tensors(path: &str, shapes: &[(&str, &[usize])], metadata: &[(&str, &str)]) {
    let tensors: Vec<StoredTensor> = shapes
        .iter()
        .map(|(name, shape)| StoredTensor {
            name: (*name).to_owned(),
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            bytes: vec![0; 4 * shape.iter().product::<usize>()],
        })
        .collect();
    let metadata = metadata.iter();
    let metadata = metadata.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let made = Checkpoint::from_tensors(&tensors, &metadata.collect(), "made").unwrap();
    made.write(Path::new(path)).unwrap();
}

#[test]
fn names_in_networks_are_shown() {
    let folder = Folder::new();
    let path = folder.path("net.safetensors");
    let inspect = || experiments("inspect", &["--network", &path]);
    let odd = format!("{OWNED}.weight");
    tensors(&path, &[(&odd, &[2, 2])], &[]);
    is_harmless(&inspect());
    tensors(
        &path,
        &[("0.weight", &[2, 2]), ("0.bias", &[2]), (&odd, &[2])],
        &[],
    );
    is_harmless(&inspect());
    let shapes: [(&str, &[usize]); 4] = [
        ("0.weight", &[2, 2]),
        ("0.bias", &[2]),
        ("2.weight", &[2, 2]),
        ("2.bias", &[2]),
    ];
    tensors(&path, &shapes, &[("activation", OWNED)]);
    is_harmless(&inspect());
    let config = folder.path("config.json");
    let value = serde_json::json!({ "activation": OWNED, "model_type": OWNED });
    fs::write(&config, value.to_string()).unwrap();
    tensors(&path, &shapes, &[]);
    let (out, err) = texts(&inspect());
    assert!(!(out + &err).contains('\u{1b}'));
}

/// A network with hostile names of its classes.
fn named_classes(folder: &Folder) -> String {
    let network = folder.line();
    let labels = serde_json::json!({ "id2label": { "0": OWNED, "1": "plain" } });
    fs::write(folder.path("config.json"), labels.to_string()).unwrap();
    network
}

#[test]
fn names_of_classes_are_shown_in_results_too() {
    let folder = Folder::new();
    let network = named_classes(&folder);
    let set = folder.batch("set.safetensors", &[([1.0, 0.0], 0), ([0.0, 1.0], 1)]);
    let out = folder.path("out.safetensors");
    let sets = ["--network", &network, "--repair", &set];
    let output = experiments("analyze", &sets);
    expect(&output, 0);
    is_harmless(&output);
    let more = ["--layer", "last", "--objective", "l2", "--out", &out];
    is_harmless(&experiments("repair", &[&sets[..], &more].concat()));
}

#[test]
fn json_is_harmless_and_means_what_it_meant() {
    let folder = Folder::new();
    let network = named_classes(&folder);
    let output = experiments("inspect", &["--json", "--network", &network]);
    is_harmless(&output);
    let (out, _) = expect(&output, 0);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["class_names"][0], OWNED);
}

#[test]
fn names_in_sets_and_of_files_are_shown() {
    let folder = Folder::new();
    let network = folder.line();
    let set = folder.path("set.safetensors");
    tensors(&set, &[(OWNED, &[2, 2]), ("labels", &[2])], &[]);
    is_harmless(&experiments(
        "analyze",
        &["--network", &network, "--repair", &set],
    ));

    // A slash cannot be in a name.
    let name = format!("{OWNED}.png");
    let pictures = folder.path("pictures");
    fs::create_dir_all(folder.path("pictures/0")).unwrap();
    fs::write(Path::new(&pictures).join("0").join(&name), "no picture").unwrap();
    is_harmless(&experiments(
        "analyze",
        &["--network", &network, "--repair", &pictures],
    ));

    let missing = folder.path(&name);
    is_harmless(&experiments(
        "analyze",
        &["--network", &missing, "--repair", &set],
    ));
    is_harmless(&experiments("analyze", &[&name]));
    is_harmless(&experiments(
        "inspect",
        &["--network", &network, "--answer", OWNED],
    ));
}

#[test]
fn what_a_run_folder_and_a_plan_say_is_shown() {
    let folder = Folder::new();
    let plan = folder.path("plan.toml");
    fs::write(
        &plan,
        format!("name = \"x\"\n{} = 1\n# {OWNED}\n", "\"owned\\u001b[2J\""),
    )
    .unwrap();
    is_harmless(&experiments("run", &["--plan", &plan]));
    fs::write(&plan, format!("name = \"{OWNED}\"\n")).unwrap();
    is_harmless(&experiments("run", &["--plan", &plan]));
    let run = folder.path(OWNED.trim_start_matches('\u{1b}'));
    is_harmless(&experiments("report", &[&run]));
}

#[cfg(unix)]
#[test]
fn a_pipe_in_a_run_folder_is_refused_and_not_waited_for() {
    let folder = Folder::new();
    let run = folder.path("run");
    fs::create_dir_all(&run).unwrap();
    let pipe = Path::new(&run).join("plan.toml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let output = experiments("report", &[&run]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(unframed(&said).contains("expectedaplainfile"), "{said}");
}

#[test]
fn numbers_out_of_range_are_refused_for_what_they_are() {
    let folder = Folder::new();
    let (network, set) = (
        folder.line(),
        folder.batch("set.safetensors", &[([1.0, 0.0], 0)]),
    );
    let flags = ["--network", &network, "--repair", &set];
    let more = [
        "--layer",
        "last",
        "--objective",
        "l2",
        "--out",
        "none.safetensors",
    ];
    for (flag, number, expected) in [
        ("--margin", "-0.5", "expected a finite number >= 0"),
        ("--margin", "-1e-3", "expected a finite number >= 0"),
        ("--tolerance", "-1", "expected a finite number >= 0"),
        ("--protect", "-1", "expected answers or a finite number > 0"),
        ("--max-memory", "-4GiB", "expected a size above 0"),
        ("--time-limit", "-5", "expected a number of seconds > 0"),
        ("--limit", "-5", "-5 is not in 1.."),
        ("--seed", "-5", "invalid digit"),
    ] {
        let all = [&flags[..], &more, &[flag, number]].concat();
        let (_, err) = expect(&experiments("repair", &all), 2);
        let given = format!("invalid value '{number}' for '{flag}");
        assert!(err.contains(&given) && err.contains(expected), "{err}");
    }
}

#[test]
fn a_tiny_margin_is_echoed_as_it_was_typed_and_one_thing_is_no_plural() {
    let folder = Folder::new();
    let (network, set) = (
        folder.line(),
        folder.batch("set.safetensors", &[([1.0, 0.0], 0)]),
    );
    let out = folder.path("out.safetensors");
    let flags = ["--network", &network, "--repair", &set, "--layer", "last"];
    let more = ["--objective", "l2", "--margin", "1e-300", "--out", &out];
    let (said, err) = expect(&experiments("repair", &[&flags[..], &more].concat()), 0);
    assert!(said.contains("(asked 1e-300)"), "{said}");
    assert!(
        err.contains("1 specification row (1 point x 1 other class)"),
        "{err}"
    );
}

#[test]
fn a_network_with_one_output_has_nothing_to_decide() {
    let folder = Folder::new();
    let network = folder.path("one.safetensors");
    tensors(&network, &[("0.weight", &[1, 2]), ("0.bias", &[1])], &[]);
    let set = folder.batch("set.safetensors", &[([1.0, 0.0], 0), ([0.0, 1.0], 0)]);
    let out = folder.path("out.safetensors");
    let flags = ["--network", &network, "--repair", &set, "--layer", "last"];
    for rule in [&[][..], &["--answer", "largest"], &["--answer", "smallest"]] {
        let more = ["--objective", "l2", "--out", &out];
        let (said, err) = expect(
            &experiments("repair", &[&flags[..], &more, rule].concat()),
            2,
        );
        assert!(unframed(&err).contains("oneoutput"), "{said}{err}");
        assert!(!Path::new(&out).exists());
    }
}
