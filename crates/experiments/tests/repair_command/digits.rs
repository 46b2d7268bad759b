//! Perceptrons on digits and on points of a plane.

use std::path::Path;

use network::{DeviceChoice, Model, Network, Precision};
use serde_json::Value;

use super::{Folder, expect, repair, root, unframed};

pub(crate) const MNIST: &str = "weights/mnist_3x100.safetensors";
pub(crate) const TEST: &str = "datasets/mnist/t10k-images-idx3-ubyte.gz";
pub(crate) const HELD_OUT: &str = "datasets/mnist/train-50000-59999-images-idx3-ubyte.gz";

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
        said.contains("of 20 points bear 80 % of the price"),
        "{said}"
    );

    let units = "of 100 units hold 80 % of it";
    assert!(
        said.contains("\nlayer 2: changed by ") && said.contains(units),
        "{said}"
    );
    assert!(said.contains("\nclasses of the guard set: "), "{said}");

    // The file's own predictions, on the pixels of the points that the report names.
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!(report["outcome"], "repaired");
    assert_eq!(report["self_check"]["holds"], true);
    let before = Model::open(&root().join(MNIST)).unwrap();
    let after = Model::open(Path::new(&out)).unwrap();
    let device = DeviceChoice::Flex.open().unwrap();
    let network = Network::load(&after, &device, Precision::F64).unwrap();
    let digits = data::mnist::load_test(&root().join("datasets/mnist")).unwrap();
    let attribution = &report["attribution"];
    assert_eq!(attribution["prices"].as_array().unwrap().len(), 20);
    let [layer] = attribution["layers"].as_array().unwrap().as_slice() else {
        panic!("{attribution}")
    };
    let count = |of: &str| layer[of].as_array().unwrap().len();
    assert_eq!((count("units"), count("inputs")), (100, 100));
    let norm = |size: &Value| size["norm"].as_f64().unwrap();
    let units = layer["units"].as_array().unwrap().iter().map(norm);
    let squares: f64 = units.map(|norm| norm * norm).sum();
    assert!((squares.sqrt() / norm(&layer["whole"]) - 1.0).abs() < 1e-9);
    let classes = attribution["answers"]["classes"].as_array().unwrap();
    let total = |of: &str| -> u64 { classes.iter().map(|c| c[of].as_u64().unwrap()).sum() };
    let guard = &report["guard"];
    assert_eq!(total("examples"), guard["inputs"].as_u64().unwrap());
    let wrong = total("examples") - total("right_after");
    assert_eq!(wrong, guard["wrong_after"].as_u64().unwrap());
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
        progress.contains("guard set: 1 inputs are repair points and left out"),
        "{progress}"
    );
    assert!(said.contains("of 49 predictions unchanged"), "{said}");
}

#[test]
fn a_frozen_repair_of_an_inner_layer_is_guarded_with_the_biases_behind_it() {
    let folder = Folder::new();
    let output = repair(&[
        "--network",
        MNIST,
        "--repair",
        TEST,
        "--limit",
        "5",
        "--guard",
        HELD_OUT,
        "--guard-limit",
        "50",
        "--method",
        "frozen",
        "--layer",
        "2",
        "--out",
        &folder.path("out"),
    ]);
    expect(&output, 0);
}

/// A repair on points of a plane with a set for every flag: one clean input is a guard input, one similar
/// input is clean and one is repaired.
fn with_every_set(folder: &Folder, margin: &str) -> (String, String, Value) {
    let network = folder.line();
    let points = folder.batch("points", &[([1.0, 0.0], 0), ([0.0, 1.0], 1)]);
    let guard = folder.batch("guard", &[([5.0, 5.0], 0), ([6.0, 1.0], 1)]);
    let clean = [([5.0, 5.0], 0), ([7.0, 2.0], 1), ([2.0, 7.0], 0)];
    let clean = folder.batch("clean", &clean);
    let similar = [([7.0, 2.0], 1), ([3.0, 1.0], 0), ([1.0, 0.0], 0)];
    let similar = folder.batch("similar", &similar);
    let (out, report) = (folder.path("out"), folder.path("report.json"));
    let arguments = [
        "--network",
        &network,
        "--repair",
        &points,
        "--guard",
        &guard,
        "--clean",
        &clean,
        "--similar",
        &similar,
        "--layer",
        "last",
        "--objective",
        "l2",
        "--margin",
        margin,
        "--out",
        &out,
        "--report",
        &report,
    ];
    let (said, progress) = expect(&repair(&arguments), 0);
    let report = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    (said, progress, report)
}

#[test]
fn no_two_sets_share_an_input_whether_the_margin_is_given_or_picked() {
    for margin in ["0.1", "auto"] {
        let (_, progress, report) = with_every_set(&Folder::new(), margin);
        for left_out in [
            "clean inputs: 1 inputs are in other sets and left out",
            "similar inputs: 2 inputs are in other sets and left out",
        ] {
            assert!(progress.contains(left_out), "{progress}");
        }
        let files = report["files"].as_array().unwrap();
        let roles: Vec<&str> = files.iter().map(|f| f["role"].as_str().unwrap()).collect();
        assert_eq!(
            roles,
            ["network", "repair", "guard", "clean", "similar", "out"]
        );
    }
}

#[test]
fn a_repair_with_a_given_margin_is_measured_on_the_held_out_sets() {
    let (said, _, report) = with_every_set(&Folder::new(), "0.1");
    assert!(said.contains("\nclean inputs: "), "{said}");
    assert!(said.contains("; generalization "), "{said}");
    for (set, inputs, measure, sign) in [
        ("clean", 2.0, "drawdown", 1.0),
        ("similar", 1.0, "generalization", -1.0),
    ] {
        let set = &report[set];
        assert_eq!(set["inputs"], inputs as u64);
        let wrong = |when: &str| set[when].as_f64().unwrap();
        let lost = 100.0 * (wrong("wrong_after") - wrong("wrong_before")) / inputs;
        assert_eq!(report[measure].as_f64().unwrap(), sign * lost + 0.0);
    }
    assert_eq!(report["margin_trials"].as_array().unwrap().len(), 0);
}

#[test]
fn a_picked_margin_is_reported_with_those_that_were_tried_and_no_evidence() {
    let (said, _, report) = with_every_set(&Folder::new(), "auto");
    assert!(!said.contains("\nclean inputs: "), "{said}");
    assert!(report["clean"].is_null() && report["drawdown"].is_null());
    assert_eq!(report["tolerance"], 0.1);
    let trials = report["margin_trials"].as_array().unwrap();
    assert!(trials.iter().any(|t| t["margin"] == report["margin"]));
}

#[test]
fn a_report_holds_every_flag_and_where_the_network_computed() {
    let (_, _, report) = with_every_set(&Folder::new(), "0.25");
    let arguments = &report["arguments"];
    for (flag, value) in [
        ("method", Value::from("sequential")),
        ("objective", "l2".into()),
        ("margin", serde_json::json!({"fixed": 0.25})),
        ("keep_zeros", false.into()),
        ("guard_limit", 5000.into()),
        ("device", "flex".into()),
        ("dtype", Value::Null),
        ("protect", Value::Null),
        ("time_limit", Value::Null),
        ("start", Value::Null),
        ("only_wrong", false.into()),
    ] {
        assert_eq!(arguments.get(flag), Some(&value), "{flag}");
    }
    assert_eq!(
        (&report["device"], &report["dtype"]),
        (&"flex".into(), &"f64".into())
    );
    // It is the reference device.
    assert_eq!(report.get("device_check"), Some(&Value::Null));
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
}

#[cfg(unix)]
#[test]
fn what_is_written_is_as_readable_as_any_other_file() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    with_every_set(&folder, "0.1");
    std::fs::write(folder.path("plain"), "").unwrap();
    let readers = |name: &str| {
        let file = std::fs::metadata(folder.path(name)).unwrap();
        file.permissions().mode() & 0o444
    };
    for name in ["out", "report.json"] {
        assert_eq!(readers(name), readers("plain"), "{name}");
    }
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
        // Without it a last layer is one program, which proves the conflict.
        "--keep-zeros",
    ];
    let (said, _) = expect(&repair(&arguments), 4);
    assert!(said.starts_with("unknown: "), "{said}");
    assert!(said.contains("--keep-unfinished writes it"), "{said}");
    assert!(!Path::new(&out).exists());
    arguments.push("--keep-unfinished");
    let (said, _) = expect(&repair(&arguments), 4);
    assert!(said.contains("self-check: "), "{said}");
    Model::open(Path::new(&out)).unwrap();
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
        (
            with_out(&out, &["--tolerance", "nan"]),
            "a finite number >= 0",
        ),
        (with_out(&out, &["--tolerance=-1"]), "a finite number >= 0"),
        (
            with_out(&out, &["--objective", "l2", "--tolerance", "1"]),
            "--tolerance needs --margin auto",
        ),
        (with_out(&out, &["--objective", "l3"]), "guarded, l2"),
        (
            with_out(&out, &["--objective", "l1"]),
            "expected --objective guarded or l2",
        ),
        (with_out(&out, &["--preprocessing", "x"]), "squeezenet"),
        (
            with_out(&out, &["--objective", "l2", "--preprocessing", "unit"]),
            "the network takes numbers, no pictures",
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
        unframed(&problem).contains("gets its only input right".replace(' ', "").as_str()),
        "{problem}"
    );
    let label = folder.batch("label", &[([1.0, 1.0], 2)]);
    let (_, problem) = expect(&run(&label), 2);
    assert!(
        unframed(&problem).contains("expectedaclassbelow2,got2"),
        "{problem}"
    );
}
