//! `experiments repair` on files: what it writes, what it says, how it exits.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use network::{Activation, Checkpoint, DeviceChoice, Dtype, Network, Precision, StoredTensor, mlp};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs `experiments repair` in the repository's root.
fn repair(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_experiments"))
        .arg("repair")
        .args(arguments)
        .current_dir(root())
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn expect(output: &Output, code: i32) -> (String, String) {
    let (out, err) = texts(output);
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    (out, err)
}

/// A text without its layout: diagnostics are wrapped and framed for a terminal.
fn unframed(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && !('\u{2500}'..='\u{257f}').contains(c))
        .collect()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// A network of one linear layer with two inputs and two outputs.
    fn line(&self) -> String {
        let path = self.path("line.safetensors");
        let checkpoint = mlp::random(&[2, 2], Activation::Relu, 1).unwrap();
        checkpoint.write(Path::new(&path)).unwrap();
        path
    }

    /// A batch of points with labels.
    fn batch(&self, name: &str, points: &[([f32; 2], i64)]) -> String {
        let inputs = points
            .iter()
            .flat_map(|(x, _)| *x)
            .flat_map(f32::to_le_bytes);
        let labels = points.iter().flat_map(|(_, y)| y.to_le_bytes());
        let tensor = |name: &str, dtype, shape: Vec<usize>, bytes: Vec<u8>| StoredTensor {
            name: name.to_owned(),
            dtype,
            shape,
            bytes,
        };
        let tensors = [
            tensor("labels", Dtype::I64, vec![points.len()], labels.collect()),
            tensor(
                "inputs",
                Dtype::F32,
                vec![points.len(), 2],
                inputs.collect(),
            ),
        ];
        let path = self.path(name);
        let batch = Checkpoint::from_tensors(&tensors, &Default::default(), name).unwrap();
        batch.write(Path::new(&path)).unwrap();
        path
    }
}

const MNIST: &str = "weights/mnist_3x100.safetensors";
const TEST: &str = "datasets/mnist/t10k-images-idx3-ubyte.gz";
const HELD_OUT: &str = "datasets/mnist/train-50000-59999-images-idx3-ubyte.gz";

/// Three points on a line of which the middle one must differ: no affine function does that.
const CONFLICT: [([f32; 2], i64); 3] = [([0.0, 0.0], 0), ([2.0, 0.0], 0), ([1.0, 0.0], 1)];

#[test]
fn misclassified_digits_are_right_in_the_file_that_is_written() {
    let folder = Folder::new();
    let (out, report) = (folder.path("out.safetensors"), folder.path("report.json"));
    let output = repair(&[
        "--network",
        MNIST,
        "--repair",
        TEST,
        "--only-wrong",
        "--limit",
        "20",
        "--guard",
        HELD_OUT,
        "--guard-limit",
        "500",
        "--layer",
        "2",
        "--out",
        &out,
        "--report",
        &report,
    ]);
    let (said, progress) = expect(&output, 0);
    assert!(
        progress.contains("repair set: 20 of 10000 inputs"),
        "{progress}"
    );
    assert!(progress.contains("20 wrong before"), "{progress}");
    assert!(
        progress.contains("180 specification rows (20 points x 9 other classes), 10100 columns"),
        "{progress}"
    );
    assert!(said.starts_with("repaired: layer 2"), "{said}");
    assert!(said.contains("20 of 20 points right (0 before)"), "{said}");
    assert!(said.contains("of 500 predictions unchanged"), "{said}");
    assert!(
        said.contains("of 20 points cause 80 % of the change"),
        "{said}"
    );

    // The file's own predictions, on the pixels of the points that the report names.
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!(report["outcome"], "repaired");
    let before = Checkpoint::read(&root().join(MNIST)).unwrap();
    let after = Checkpoint::read(Path::new(&out)).unwrap();
    let device = DeviceChoice::Flex.open().unwrap();
    let network = Network::load(&after, &device, Precision::F64).unwrap();
    let digits = data::mnist::load_test(&root().join("datasets/mnist")).unwrap();
    for point in report["points"].as_array().unwrap() {
        let name = point["name"].as_str().unwrap();
        let index = name.strip_prefix(TEST).unwrap().trim_matches(['[', ']']);
        let index: usize = index.parse().unwrap();
        let label = digits.labels[index];
        assert_eq!(point["label"], label);
        assert_ne!(point["before"], label);
        assert_eq!(point["after"], label);
        let x = network.batch(digits.example(index)).unwrap();
        let y = network.forward(x).unwrap().to_vec().unwrap();
        for (class, value) in y.iter().enumerate() {
            assert!(class == label || y[label] - value >= 0.1, "{name}: {y:?}");
        }
    }
    let changed: Vec<&str> = before
        .names()
        .filter(|name| before.raw(name).unwrap() != after.raw(name).unwrap())
        .collect();
    assert_eq!(changed, ["2.bias", "2.weight"]);
    let hashed = report["files"].as_array().unwrap().iter();
    let out_hash = hashed
        .filter(|file| file["role"] == "out")
        .map(|file| &file["sha256"])
        .next();
    let bytes = std::fs::read(&out).unwrap();
    assert_eq!(
        out_hash.unwrap(),
        &Value::from(experiments::manifest::hash(&bytes))
    );
}

#[test]
fn a_frozen_repair_needs_no_guard_and_draws_its_points_by_seed() {
    let folder = Folder::new();
    let run = |seed: &str, name: &str| {
        let (out, report) = (folder.path(name), folder.path(&format!("{name}.json")));
        let output = repair(&[
            "--network",
            MNIST,
            "--repair",
            TEST,
            "--limit",
            "10",
            "--seed",
            seed,
            "--method",
            "frozen",
            "--objective",
            "l2",
            "--layer",
            "last",
            "--margin",
            "0",
            "--out",
            &out,
            "--report",
            &report,
        ]);
        expect(&output, 0);
        let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        let points = report["points"].as_array().unwrap().clone();
        let names = points.into_iter().map(|point| point["name"].clone());
        names.collect::<Vec<_>>()
    };
    let first = run("1", "a");
    assert_eq!(first.len(), 10);
    assert_eq!(first, run("1", "b"));
    assert_ne!(first, run("2", "c"));
    assert_eq!(
        std::fs::read(folder.path("a")).unwrap(),
        std::fs::read(folder.path("b")).unwrap()
    );
}

#[test]
fn guard_inputs_that_are_repaired_are_left_out() {
    let folder = Folder::new();
    let output = repair(&[
        "--network",
        MNIST,
        "--repair",
        HELD_OUT,
        "--limit",
        "3",
        "--guard",
        HELD_OUT,
        "--guard-limit",
        "50",
        "--layer",
        "last",
        "--out",
        &folder.path("out"),
    ]);
    let (said, progress) = expect(&output, 0);
    assert!(
        progress.contains("guard set: 3 inputs are repair points and left out"),
        "{progress}"
    );
    assert!(said.contains("of 47 predictions unchanged"), "{said}");
}

#[test]
fn an_infeasible_set_exits_with_3_and_names_the_conflict() {
    let folder = Folder::new();
    let (network, points) = (folder.line(), folder.batch("points", &CONFLICT));
    let (out, report) = (folder.path("out"), folder.path("report.json"));
    let arguments = [
        "--network",
        &network,
        "--repair",
        &points,
        "--layer",
        "last",
        "--out",
        &out,
        "--objective",
        "l2",
        "--method",
        "frozen",
        "--report",
        &report,
    ];
    let (said, _) = expect(&repair(&arguments), 3);
    assert!(said.starts_with("infeasible: "), "{said}");
    for point in 0..3 {
        assert!(said.contains(&format!("points[{point}]")), "{said}");
    }
    assert!(!Path::new(&out).exists());
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!(report["outcome"], "infeasible");
    assert_eq!(report["conflict"].as_array().unwrap().len(), 3);
}

#[test]
fn one_input_with_two_labels_is_a_warning_and_a_conflict() {
    let folder = Folder::new();
    let points = [
        ([0.0, 1.0], 0),
        ([4.0, 0.0], 0),
        ([0.0, 1.0], 1),
        ([4.0, 1e-6], 1),
    ];
    let (network, points) = (folder.line(), folder.batch("points", &points));
    let output = repair(&[
        "--network",
        &network,
        "--repair",
        &points,
        "--layer",
        "last",
        "--objective",
        "l2",
        "--out",
        &folder.path("out"),
    ]);
    let (said, progress) = expect(&output, 3);
    assert!(said.contains("one input has the labels 0 and 1"), "{said}");
    assert!(
        said.contains("points[0]") && said.contains("points[2]"),
        "{said}"
    );
    let warnings: Vec<&str> = progress
        .lines()
        .filter(|line| line.starts_with("warning"))
        .collect();
    assert_eq!(warnings.len(), 2, "{progress}");
    assert!(
        warnings[0].ends_with("are the same input"),
        "{}",
        warnings[0]
    );
    assert!(
        warnings[1].contains("points[1]") && warnings[1].contains("apart"),
        "{}",
        warnings[1]
    );
}

#[test]
fn an_unknown_outcome_exits_with_4_and_keeps_its_attempt_on_request_only() {
    let folder = Folder::new();
    let (network, points) = (folder.line(), folder.batch("points", &CONFLICT));
    let out = folder.path("out");
    let mut arguments = vec![
        "--network",
        &network,
        "--repair",
        &points,
        "--layer",
        "last",
        "--out",
        &out,
        "--objective",
        "l2",
    ];
    let (said, _) = expect(&repair(&arguments), 4);
    assert!(said.starts_with("unknown: stalled"), "{said}");
    assert!(said.contains("--keep-unfinished writes it"), "{said}");
    assert!(!Path::new(&out).exists());
    arguments.push("--keep-unfinished");
    let (said, _) = expect(&repair(&arguments), 4);
    assert!(said.contains("self-check: "), "{said}");
    Checkpoint::read(Path::new(&out)).unwrap();
}

#[test]
fn bad_usage_exits_with_2_and_says_what_is_expected() {
    let folder = Folder::new();
    let existing = folder.path("existing");
    std::fs::write(&existing, "x").unwrap();
    let out = folder.path("out");
    let elsewhere = folder.path("nowhere/out");
    let base = |more: &[&'static str]| -> Vec<String> {
        let given = ["--network", MNIST, "--repair", TEST, "--layer", "last"];
        given
            .iter()
            .chain(more)
            .map(|&text| text.to_owned())
            .collect()
    };
    let l2 = ["--objective", "l2"];
    let with_out = |out: &str, more: &[&'static str]| {
        let mut arguments = base(more);
        arguments.extend(["--out".to_owned(), out.to_owned()]);
        arguments
    };
    let cases = [
        (base(&[]), "--out <FILE>"),
        (with_out(&out, &[]), "objective guarded needs --guard"),
        (with_out(&existing, &l2), "write over it with --force"),
        (with_out(&elsewhere, &l2), "no such folder"),
        (with_out(&out, &["--margin", "x"]), "a finite number >= 0"),
        (
            with_out(&out, &["--max-memory", "4gigs"]),
            "such as 500MB or 4GiB",
        ),
        (with_out(&out, &["--seed", "1"]), "--limit"),
        (with_out(&out, &["--objective", "l3"]), "guarded, l2"),
        (
            with_out(&out, &["--objective", "l1"]),
            "expected --objective guarded or l2",
        ),
        (with_out(&out, &["--preprocessing", "x"]), "squeezenet"),
        (
            with_out(&out, &["--objective", "l2", "--preprocessing", "unit"]),
            "a network of kind mlp takes no pictures",
        ),
        (
            with_out(
                &out,
                &["--objective", "l2", "--limit", "9", "--max-memory", "1kB"],
            ),
            "more than --max-memory",
        ),
    ];
    for (arguments, text) in cases {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (said, problem) = expect(&repair(&arguments), 2);
        assert!(
            unframed(&problem).contains(&unframed(text)),
            "{arguments:?}: {problem}"
        );
        assert!(said.is_empty());
        assert!(!Path::new(&out).exists());
    }
    let output = repair(&[
        "--network",
        MNIST,
        "--repair",
        TEST,
        "--layer",
        "3",
        "--objective",
        "l2",
        "--out",
        &out,
    ]);
    let (_, problem) = expect(&output, 2);
    assert!(problem.contains("has no layer \"3\""), "{problem}");
    assert_eq!(std::fs::read(&existing).unwrap(), b"x");
}

#[test]
fn an_error_while_running_exits_with_1_and_names_the_file() {
    let folder = Folder::new();
    let network = folder.line();
    let right = {
        let device = DeviceChoice::Flex.open().unwrap();
        let network = Network::open(Path::new(&network), &device, Precision::F64).unwrap();
        let outputs = network
            .forward(network.batch(&[1.0, 1.0]).unwrap())
            .unwrap();
        let outputs = outputs.to_vec().unwrap();
        i64::from(outputs[1] > outputs[0])
    };
    let points = folder.batch("points", &[([1.0, 1.0], right)]);
    let out = folder.path("out");
    let run = |set: &str| {
        repair(&[
            "--network",
            &network,
            "--repair",
            set,
            "--layer",
            "last",
            "--objective",
            "l2",
            "--only-wrong",
            "--out",
            &out,
        ])
    };
    let (_, problem) = expect(&run(&folder.path("missing")), 1);
    assert!(problem.contains("missing"), "{problem}");
    let (_, problem) = expect(&run(&points), 1);
    assert!(
        unframed(&problem).contains("gets all 1 inputs right".replace(' ', "").as_str()),
        "{problem}"
    );
    let label = folder.batch("label", &[([1.0, 1.0], 2)]);
    let (_, problem) = expect(&run(&label), 1);
    assert!(
        unframed(&problem).contains("expectedaclassbelow2,got2"),
        "{problem}"
    );
}

/// The folder of real weights and data, if it is there.
fn assets() -> Option<PathBuf> {
    let folder = std::env::var_os("INFORMED_REPAIR_ASSETS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: INFORMED_REPAIR_ASSETS names no folder of real weights");
    }
    folder
}

/// What the command says of the first inputs of a set, whatever the repair comes to.
fn described(network: &Path, set: &Path, limit: usize, more: &[&str]) -> String {
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
        "--time-limit",
        "0.001",
        "--out",
        &out,
    ];
    arguments.extend(more);
    let (_, progress) = texts(&repair(&arguments));
    progress
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
fn squeezenet_reads_a_folder_of_pictures_with_a_table() {
    let Some(assets) = assets() else { return };
    let set = assets.join("imagenet_sample");
    let network = assets.join("squeezenet/squeezenet1_1.safetensors");
    let said = described(&network, &set, 16, &[]);
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
fn mobilevit_reads_grey_pictures_once_their_preprocessing_is_named() {
    let Some(assets) = assets() else { return };
    let folder = std::env::var_os("FASHION_MNIST").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| "/usr/share/datasets/fashion-mnist".into());
    let set = folder.join("t10k-images-idx3-ubyte.gz");
    if !set.is_file() {
        return eprintln!("skipped: no Fashion-MNIST in {}", folder.display());
    }
    let network = assets.join("mobilevit_fashion/model.safetensors");
    let said = described(&network, &set, 64, &[]);
    assert!(
        unframed(&said).contains("nameitwith--preprocessing"),
        "{said}"
    );
    let said = described(
        &network,
        &set,
        64,
        &["--preprocessing", "mobilevit-fashion"],
    );
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
fn distilbert_reads_sentences_with_the_tokenizer_beside_its_weights() {
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
        let said = described(&network, set, 64, &[]);
        assert!(said.contains("repair set: 64 of 872 inputs"), "{said}");
        assert!(said.contains(&format!("{wrong} wrong before")), "{said}");
    }
}
