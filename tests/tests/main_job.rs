//! A run's claims, checked from outside: its files are read back and every figure is computed again with
//! plain arithmetic on the saved networks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use data::{Corruption, Dataset, mnist};
use network::Model;
use safetensors::SafeTensors;
use serde_json::Value;
use workspace_tests::{Row, complaint, experiments, number, repository, rows, small_plan};

/// Two f64 evaluations of 884 terms each in another order differ by far less.
const ROUNDING: f64 = 1e-9;

/// A finished run of the small plan.
struct Run {
    _place: tempfile::TempDir,
    folder: PathBuf,
    trials: Vec<Row>,
    splits: Vec<Split>,
}

/// An entry of `splits.json`.
struct Split {
    name: String,
    /// Size and seed, of a repair set.
    set: Option<(u64, u64)>,
    source: String,
    corruption: String,
    ids: Vec<usize>,
}

impl Run {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("run");
        let mut command = experiments();
        command
            .args(["--keep-networks", "--jobs", "2", "--plan"])
            .arg(small_plan());
        let output = command.arg("--out").arg(&folder).output().unwrap();
        assert!(output.status.success(), "{}", complaint(&output));
        let splits = std::fs::read(folder.join("splits.json")).unwrap();
        let splits: Vec<Value> = serde_json::from_slice(&splits).unwrap();
        Self {
            trials: rows(&folder.join("results.csv")),
            splits: splits.iter().map(Split::new).collect(),
            folder,
            _place: place,
        }
    }

    fn repaired(&self) -> impl Iterator<Item = &Row> {
        self.trials
            .iter()
            .filter(|trial| trial["outcome"] == "Repaired")
    }

    /// The bytes of a repaired network.
    fn network(&self, trial: &Row) -> Vec<u8> {
        let path = self
            .folder
            .join("networks")
            .join(format!("{}.safetensors", trial["trial"]));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn split(&self, name: &str) -> &Split {
        self.splits.iter().find(|split| split.name == name).unwrap()
    }

    fn repair_set(&self, trial: &Row) -> &Split {
        let set = (
            trial["points"].parse().unwrap(),
            trial["seed"].parse().unwrap(),
        );
        self.splits
            .iter()
            .find(|split| split.set == Some(set))
            .unwrap()
    }
}

impl Split {
    fn new(entry: &Value) -> Self {
        let text = |key: &str| entry[key].as_str().unwrap().to_owned();
        let ids = entry["ids"].as_array().unwrap();
        Self {
            name: text("split"),
            set: entry["points"].as_u64().zip(entry["seed"].as_u64()),
            source: text("source"),
            corruption: text("corruption"),
            ids: ids.iter().map(|id| id.as_u64().unwrap() as usize).collect(),
        }
    }

    /// Its images, made from the shipped dataset and the identities alone.
    fn load(&self) -> Dataset {
        assert_eq!(self.source, "mnist-test", "{}", self.name);
        let whole = mnist::load_test(&repository().join("datasets/mnist")).unwrap();
        let clean = whole.subset(&self.ids).unwrap();
        match self.corruption.as_str() {
            "clean" => clean,
            name => name
                .parse::<Corruption>()
                .unwrap()
                .corrupt(&clean, None, 0)
                .unwrap(),
        }
    }
}

/// The perceptron 784-100-100-10 of a checkpoint, with weights in f64.
struct Perceptron(Vec<(Vec<f64>, Vec<f64>)>);

impl Perceptron {
    fn new(bytes: &[u8]) -> Self {
        let checkpoint = Model::from_bytes(bytes.to_vec(), "kept network").unwrap();
        let tensor =
            |layer: &str, part: &str| checkpoint.tensor(&format!("{layer}.{part}")).unwrap();
        Self(
            ["0", "2", "4"]
                .map(|layer| (tensor(layer, "weight"), tensor(layer, "bias")))
                .to_vec(),
        )
    }

    fn outputs(&self, input: &[f32]) -> Vec<f64> {
        let mut value: Vec<f64> = input.iter().map(|&x| f64::from(x)).collect();
        for (position, (weight, bias)) in self.0.iter().enumerate() {
            if position > 0 {
                value.iter_mut().for_each(|z| *z = z.max(0.0));
            }
            let rows = weight.chunks_exact(value.len()).zip(bias);
            value = rows
                .map(|(row, b)| b + row.iter().zip(&value).map(|(w, x)| w * x).sum::<f64>())
                .collect();
        }
        value
    }

    fn classes(&self, set: &Dataset) -> Vec<usize> {
        let class = |i: usize| {
            let outputs = self.outputs(set.example(i));
            (0..outputs.len())
                .max_by(|&a, &b| outputs[a].total_cmp(&outputs[b]))
                .unwrap()
        };
        (0..set.len()).map(class).collect()
    }

    /// Per example, the label's output minus the largest other one.
    fn margins(&self, set: &Dataset) -> Vec<f64> {
        let margin = |i: usize| {
            let (outputs, label) = (self.outputs(set.example(i)), set.labels[i]);
            let others = outputs
                .iter()
                .enumerate()
                .filter(|(class, _)| *class != label);
            outputs[label] - others.map(|(_, y)| *y).fold(f64::NEG_INFINITY, f64::max)
        };
        (0..set.len()).map(margin).collect()
    }
}

/// Share of equal entries, in percent.
fn share(a: &[usize], b: &[usize]) -> f64 {
    100.0 * a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}

fn shipped() -> Vec<u8> {
    std::fs::read(repository().join("weights/mnist_3x100.safetensors")).unwrap()
}

#[track_caller]
fn assert_cell(trial: &Row, column: &str, expected: f64) {
    let got = number(trial, column);
    assert!(
        (got - expected).abs() <= ROUNDING,
        "{} {column}: {got}, not {expected}",
        trial["trial"]
    );
}

/// Every repair point is right on the saved weights, with the margin asked for and the one claimed.
fn assert_repaired(run: &Run) {
    let before = Perceptron::new(&shipped());
    let mut sets: BTreeMap<(String, String), Dataset> = BTreeMap::new();
    for trial in run.repaired() {
        let key = (trial["points"].clone(), trial["seed"].clone());
        let set = sets
            .entry(key)
            .or_insert_with(|| run.repair_set(trial).load());
        assert_eq!(set.len().to_string(), trial["points"]);
        assert_eq!(
            share(&before.classes(set), &set.labels),
            0.0,
            "points are wrong before"
        );
        let margins = Perceptron::new(&run.network(trial)).margins(set);
        let least = margins.into_iter().fold(f64::INFINITY, f64::min);
        let asked = number(trial, "margin");
        assert!(
            least >= asked - ROUNDING,
            "{}: {least} below {asked}",
            trial["trial"]
        );
        assert_cell(trial, "least_margin", least);
        assert_cell(trial, "efficacy", 100.0);
    }
}

/// The accuracies of the table are those of the saved weights on the identities in `splits.json`.
fn assert_measured(run: &Run) {
    let before = Perceptron::new(&shipped());
    let [similar, clean] = ["generalization", "drawdown"].map(|name| run.split(name).load());
    let (similar_before, clean_before) = (before.classes(&similar), before.classes(&clean));
    for trial in run.repaired() {
        let after = Perceptron::new(&run.network(trial));
        let (similar_after, clean_after) = (after.classes(&similar), after.classes(&clean));
        let gained =
            share(&similar_after, &similar.labels) - share(&similar_before, &similar.labels);
        assert_cell(trial, "generalization", gained);
        let lost = share(&clean_before, &clean.labels) - share(&clean_after, &clean.labels);
        assert_cell(trial, "drawdown", lost);
        assert_cell(trial, "agreement", share(&clean_after, &clean_before));
    }
}

/// A repair edits its layer's tensors and, with a frozen pattern, later biases; nothing else differs.
fn assert_untouched(run: &Run) {
    let original = shipped();
    let before = SafeTensors::deserialize(&original).unwrap();
    let header = |bytes: &[u8]| {
        bytes[..8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize].to_vec()
    };
    for trial in run.repaired() {
        let (name, bytes) = (&trial["trial"], run.network(trial));
        assert_eq!(bytes.len(), original.len(), "{name}");
        assert_eq!(header(&bytes), header(&original), "{name}");
        let after = SafeTensors::deserialize(&bytes).unwrap();
        let layer: usize = trial["layer_name"].parse().unwrap();
        for (tensor, view) in before.tensors() {
            let (of, part) = tensor.split_once('.').unwrap();
            let of: usize = of.parse().unwrap();
            let may_change =
                of == layer || (of > layer && part == "bias" && trial["method"] == "frozen");
            let same = after.tensor(&tensor).unwrap().data() == view.data();
            assert!(same || may_change, "{name} changes {tensor}");
            if of == layer && part == "weight" {
                assert!(!same, "{name} leaves {tensor} as it was");
            }
        }
    }
}

/// No image is in two splits, whatever its corruption, and no repair set holds one twice.
fn assert_disjoint(run: &Run) {
    let mut images: BTreeMap<&str, BTreeSet<(&str, usize)>> = BTreeMap::new();
    for split in &run.splits {
        let ids: BTreeSet<(&str, usize)> = split
            .ids
            .iter()
            .map(|&id| (split.source.as_str(), id))
            .collect();
        assert_eq!(
            ids.len(),
            split.ids.len(),
            "{} repeats an image",
            split.name
        );
        images.entry(&split.name).or_default().extend(ids);
    }
    let names: Vec<&str> = images.keys().copied().collect();
    let expected = [
        "drawdown",
        "generalization",
        "guard",
        "repair",
        "selection_clean",
        "selection_corrupted",
    ];
    assert_eq!(names, expected);
    for (i, first) in names.iter().enumerate() {
        for second in &names[i + 1..] {
            assert!(
                images[first].is_disjoint(&images[second]),
                "{first} and {second} share images"
            );
        }
    }
}

/// A pick's regret is its distance, in the table of the reference method, to the best layer.
fn assert_regrets(run: &Run) {
    let picks = rows(&run.folder.join("heuristics.csv"));
    let heuristics: BTreeSet<&String> = picks.iter().map(|pick| &pick["heuristic"]).collect();
    assert!(
        heuristics.len() > 10 && picks.len() == 4 * heuristics.len(),
        "{} picks",
        picks.len()
    );
    for pick in &picks {
        let of_set = |trial: &&Row| {
            ["points", "seed"]
                .iter()
                .all(|key| trial[*key] == pick[*key])
        };
        let table: Vec<&Row> = run
            .repaired()
            .filter(of_set)
            .filter(|trial| trial["method"] == "sequential")
            .collect();
        let picked = table.iter().find(|trial| trial["layer"] == pick["layer"]);
        let Some(picked) = picked else { continue };
        let column =
            |name: &str| -> Vec<f64> { table.iter().map(|trial| number(trial, name)).collect() };
        let least = column("drawdown").into_iter().fold(f64::INFINITY, f64::min);
        let most = column("generalization")
            .into_iter()
            .fold(f64::NEG_INFINITY, f64::max);
        let expected = [
            ("regret_drawdown", number(picked, "drawdown") - least),
            (
                "regret_generalization",
                most - number(picked, "generalization"),
            ),
        ];
        for (name, expected) in expected {
            let got = number(pick, name);
            assert!(
                (got - expected).abs() <= ROUNDING,
                "{} {name}: {got}, not {expected}",
                pick["heuristic"]
            );
        }
    }
}

/// The report is one file that runs nothing and fetches nothing.
fn assert_self_contained(report: &Path) {
    let html = std::fs::read_to_string(report).unwrap().to_lowercase();
    for element in ["<script", "<link", "<iframe", "<object", "<embed", "<base"] {
        assert!(!html.contains(element), "{element}");
    }
    for reference in [
        "http:",
        "https:",
        "javascript:",
        "@import",
        "url(",
        "srcset",
        "\"//",
    ] {
        assert!(!html.contains(reference), "{reference}");
    }
    for (attribute, start) in [("src=\"", "data:image/png;base64,"), ("href=\"", "#")] {
        for value in html.split(attribute).skip(1) {
            assert!(value.starts_with(start), "{attribute}{:.60}", value);
        }
    }
    assert!(
        html.contains("<svg") && html.contains("src=\"data:image/png"),
        "no figures, no pictures"
    );
}

#[test]
fn a_run_holds_up_when_its_networks_are_evaluated_from_outside() {
    let run = Run::new();
    // 2 sizes, 2 seeds, 2 methods, 3 layers.
    assert_eq!(run.trials.len(), 24);
    assert!(
        run.repaired().count() >= 12,
        "{} trials are repaired",
        run.repaired().count()
    );
    assert_disjoint(&run);
    assert_repaired(&run);
    assert_measured(&run);
    assert_untouched(&run);
    assert_regrets(&run);
    assert_self_contained(&run.folder.join("report.html"));
}
