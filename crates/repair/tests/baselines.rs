//! The baselines on MNIST perceptrons and small random networks, against independent arithmetic.

mod common;

use std::path::{Path, PathBuf};

use common::{Fixture, forward};
use data::{Corruption, Dataset, mnist};
use network::{Activation, DeviceChoice, Layer, Model, Network, Precision};
use optim::lp::{LinearProgram, LpOutcome, LpSolver, Microlp};
use repair::baselines::{
    Aprnn, Baseline, BaselineOutcome, BaselineRepair, BaselineStop, BaselineTask, Decoupled,
    DecoupledNetwork, FineTuning, LastLayer, Optimizer, Predictor, Tuned, baselines, by_name,
};
use repair::{Inequality, Objective, RepairSet, verify};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The shipped 3x100 network with fog images that it gets wrong, and clean images.
struct Mnist {
    checkpoint: Model,
    network: Network,
    wrong: Dataset,
    clean: Dataset,
}

impl Mnist {
    fn open(points: usize) -> Self {
        let checkpoint = Model::open(&root().join("weights/mnist_3x100.safetensors")).unwrap();
        let device = DeviceChoice::Flex.open().unwrap();
        let network = Network::load(&checkpoint, &device, Precision::F64).unwrap();
        let test = mnist::load_test(&root().join("datasets/mnist")).unwrap();
        let first = test.subset(&(0..1000).collect::<Vec<_>>()).unwrap();
        let fog = Corruption::Fog.corrupt(&first, None, 0).unwrap();
        let predicted = plain(&checkpoint, &network)
            .classify(&fog.inputs, &fog.shape)
            .unwrap();
        let wrong: Vec<usize> = (0..fog.len())
            .filter(|&i| predicted[i] != fog.labels[i])
            .take(points)
            .collect();
        assert_eq!(wrong.len(), points);
        Self {
            wrong: fog.subset(&wrong).unwrap(),
            clean: test.subset(&(1000..4000).collect::<Vec<_>>()).unwrap(),
            checkpoint,
            network,
        }
    }

    fn task<'a>(&'a self, layer: usize, set: &'a RepairSet) -> BaselineTask<'a> {
        task(
            &self.checkpoint,
            &self.network,
            &self.network.layers()[layer],
            set,
        )
    }

    fn accuracy(&self, predictor: &Predictor) -> f64 {
        let predicted = predictor
            .classify(&self.clean.inputs, &self.clean.shape)
            .unwrap();
        let right = predicted.iter().zip(&self.clean.labels);
        100.0 * right.filter(|(y, label)| y == label).count() as f64 / self.clean.len() as f64
    }

    /// Prints what a repair costs on clean images.
    fn report(&self, name: &str, repair: &BaselineRepair) {
        let before = self.accuracy(&plain(&self.checkpoint, &self.network));
        println!(
            "{name}: efficacy {:.0} %, drawdown {:.2} points, {} rounds, rows {:?}, {:.2} s",
            repair.efficacy,
            before - self.accuracy(&repair.predictor),
            repair.rounds,
            repair.rows,
            repair.seconds,
        );
    }
}

fn task<'a>(
    checkpoint: &'a Model,
    network: &'a Network,
    layer: &'a Layer,
    set: &'a RepairSet,
) -> BaselineTask<'a> {
    BaselineTask {
        network,
        checkpoint,
        layer,
        set,
        guard: None,
        time_limit: None,
        seed: 1,
    }
}

fn plain(checkpoint: &Model, network: &Network) -> Predictor {
    Predictor::Plain {
        checkpoint: checkpoint.clone(),
        network: network.clone(),
    }
}

fn repaired(outcome: BaselineOutcome) -> BaselineRepair {
    match outcome {
        BaselineOutcome::Repaired(repair) => *repair,
        other => panic!("not repaired: {other:?}"),
    }
}

fn file(predictor: &Predictor) -> &Model {
    match predictor {
        Predictor::Plain { checkpoint, .. } => checkpoint,
        Predictor::Decoupled(network) => network.checkpoint(),
    }
}

fn changed_tensors(before: &Model, after: &Model) -> Vec<String> {
    let differs = |name: &&str| before.raw(name).unwrap() != after.raw(name).unwrap();
    before.names().filter(differs).map(str::to_owned).collect()
}

#[test]
fn every_baseline_has_a_name_and_unknown_names_are_refused() {
    let names = [
        "fine-tuning",
        "fine-tuning-layer",
        "last-layer",
        "decoupled",
        "aprnn",
    ];
    assert_eq!(baselines().map(|baseline| baseline.name()), names);
    for name in names {
        assert_eq!(by_name(name).unwrap().name(), name);
    }
    let error = by_name("magic").err().unwrap().to_string();
    assert!(
        error.contains("last-layer, decoupled, aprnn, got magic"),
        "{error}"
    );
}

#[test]
fn fine_tuning_stops_as_soon_as_every_margin_holds_on_the_saved_weights() {
    let mnist = Mnist::open(20);
    let set = RepairSet::argmax(&mnist.wrong, 0.5).unwrap();
    let sgd = Optimizer::Sgd {
        rate: 0.01,
        momentum: 0.9,
    };
    for (name, tuning) in [
        ("Adam, all layers", FineTuning::default()),
        (
            "SGD, all layers",
            FineTuning {
                optimizer: sgd,
                ..FineTuning::default()
            },
        ),
        (
            "Adam, layer 1",
            FineTuning {
                tuned: Tuned::StartLayer,
                ..FineTuning::default()
            },
        ),
    ] {
        let repair = repaired(tuning.run(&mnist.task(1, &set)).unwrap());
        mnist.report(name, &repair);
        let checked = verify(file(&repair.predictor), &set).unwrap();
        assert!(checked.least_slack() >= 0.0 && repair.efficacy == 100.0);
        assert!((checked.least_slack() - repair.least_slack).abs() < 1e-9);

        // One epoch less is one epoch too few.
        let shorter = FineTuning {
            max_epochs: repair.rounds - 1,
            ..tuning
        };
        match shorter.run(&mnist.task(1, &set)).unwrap() {
            BaselineOutcome::Stopped {
                reason: BaselineStop::Epochs(epochs),
                best: Some(best),
                ..
            } => assert!(epochs == repair.rounds - 1 && best.least_slack < 0.0),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn tuning_one_layer_leaves_every_other_tensor_alone() {
    let mnist = Mnist::open(10);
    let set = RepairSet::argmax(&mnist.wrong, 0.0).unwrap();
    let tuning = FineTuning {
        tuned: Tuned::StartLayer,
        ..FineTuning::default()
    };
    let repair = repaired(tuning.run(&mnist.task(1, &set)).unwrap());
    let changed = changed_tensors(&mnist.checkpoint, file(&repair.predictor));
    assert_eq!(changed, ["2.bias", "2.weight"]);
    assert_eq!(tuning.name(), "fine-tuning-layer");
}

#[test]
fn fine_tuning_repeats_itself_for_one_seed_and_guard_examples_change_it() {
    let mnist = Mnist::open(10);
    let set = RepairSet::argmax(&mnist.wrong, 0.0).unwrap();
    let guard = mnist.clean.subset(&(0..500).collect::<Vec<_>>()).unwrap();
    let run = |seed, guard_batch| {
        let tuning = FineTuning {
            batch: 4,
            guard_batch,
            ..FineTuning::default()
        };
        let task = BaselineTask {
            seed,
            guard: Some(&guard),
            ..mnist.task(0, &set)
        };
        let repair = repaired(tuning.run(&task).unwrap());
        mnist.report(&format!("{guard_batch} guard examples per step"), &repair);
        file(&repair.predictor).bytes().to_vec()
    };
    let first = run(1, 0);
    assert!(first == run(1, 0));
    assert!(first != run(2, 0));
    assert!(first != run(1, 16));
}

#[test]
fn a_descent_that_overflows_says_so() {
    let fixture = Fixture::random(&[3, 5, 2], Activation::Relu, 3);
    let right = fixture.labels_of_network(4);
    let wrong: Vec<usize> = right.iter().map(|&label| 1 - label).collect();
    let set = fixture.labelled(&wrong, 0.1);
    let tuning = FineTuning {
        optimizer: Optimizer::Sgd {
            rate: 1e40,
            momentum: 0.0,
        },
        ..FineTuning::default()
    };
    let layer = &fixture.network.layers()[0];
    let outcome = tuning.run(&task(&fixture.checkpoint, &fixture.network, layer, &set));
    match outcome.unwrap() {
        BaselineOutcome::Stopped {
            reason: BaselineStop::Diverged { epochs },
            ..
        } => assert!(epochs >= 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_and_sets_that_fit_no_descent_are_refused() {
    let fixture = Fixture::random(&[3, 5, 2], Activation::Relu, 3);
    let layer = &fixture.network.layers()[0];
    let refusal = |tuning: FineTuning, set: &RepairSet| {
        let task = task(&fixture.checkpoint, &fixture.network, layer, set);
        tuning.run(&task).unwrap_err().to_string()
    };
    let set = fixture.labelled(&[0, 1], 0.0);
    let default = FineTuning::default();
    let guarded = FineTuning {
        guard_batch: 4,
        ..default
    };
    let error = refusal(guarded, &set);
    assert_eq!(
        error,
        "option `guard_batch`: expected 0 for a task without guard examples, got 4"
    );
    let empty = FineTuning {
        batch: 0,
        ..default
    };
    assert!(refusal(empty, &set).contains("`batch`: expected at least 1"));
    let optimizer = Optimizer::Adam { rate: f64::NAN };
    let nan = FineTuning {
        optimizer,
        ..default
    };
    assert!(refusal(nan, &set).contains("`rate`: expected a finite number > 0, got NaN"));
    let unlabelled = RepairSet {
        labels: None,
        ..set.clone()
    };
    assert!(refusal(default, &unlabelled).contains("expected points with labels"));
}

/// The least norm of a change of the last layer, from the problem written out in full; features
/// and outputs come from plain arithmetic; `None` when there is no such change.
fn reference(fixture: &Fixture, set: &RepairSet, objective: Objective, safety: f64) -> Option<f64> {
    let weight = fixture.checkpoint.tensor("0.weight").unwrap();
    let bias = fixture.checkpoint.tensor("0.bias").unwrap();
    let classes = fixture.network.classes();
    let width = bias.len() + 1;
    let entries = classes * width;
    let mut program = LinearProgram::new();
    let infinity = f64::INFINITY;
    let (share, peak) = match objective {
        Objective::L1 => (1.0, 0.0),
        Objective::LInf => (0.0, 1.0),
        _ => (1.0 / entries as f64, 1.0),
    };
    for _ in 0..entries {
        program.variable(0.0, -infinity, infinity);
    }
    let largest = program.variable(peak, 0.0, infinity);
    for j in 0..entries {
        let magnitude = program.variable(share, 0.0, infinity);
        for sign in [-1.0, 1.0] {
            program.at_least([(magnitude, 1.0), (j, sign)], 0.0);
            program.at_least([(largest, 1.0), (j, sign)], 0.0);
        }
    }
    for (x, inequalities) in set.inputs.chunks(set.example()).zip(&set.points) {
        let hidden = bias
            .iter()
            .zip(weight.chunks(set.example()))
            .map(|(b, row)| {
                let z: f64 = row.iter().zip(x).map(|(w, x)| w * f64::from(*x)).sum();
                (z + b).max(0.0)
            });
        let features: Vec<f64> = hidden.chain([1.0]).collect();
        let outputs = forward(&fixture.checkpoint, x);
        for inequality in inequalities {
            let terms = inequality.terms.iter().flat_map(|&(c, a)| {
                let features = features.iter().enumerate();
                features.map(move |(j, h)| (c * width + j, a * h))
            });
            program.at_least(terms, safety - inequality.slack(&outputs));
        }
    }
    match Microlp.solve(&program, None).unwrap() {
        LpOutcome::Optimal(solution) => Some(solution.objective),
        LpOutcome::Infeasible => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_last_layer_program_has_the_optimum_of_the_problem_written_out_in_full() {
    let (mut optima, mut unreachable) = (0, 0);
    for seed in 1..=4 {
        let fixture = Fixture::random(&[4, 9, 5], Activation::Relu, seed);
        let set = fixture.random_labels(if seed < 3 { 6 } else { 3 }, 0.2, seed);
        let layer = &fixture.network.layers()[0];
        let task = task(&fixture.checkpoint, &fixture.network, layer, &set);
        for objective in [Objective::L1, Objective::LInf, Objective::L1PlusLInf] {
            let baseline = LastLayer {
                objective,
                competitors: 1,
            };
            let outcome = baseline.run(&task).unwrap();
            if !matches!(outcome, BaselineOutcome::Repaired(_)) {
                // Points that lie on a line but for the rounding of their numbers: no change, or one
                // of millions, and nothing else is given up.
                let full = reference(&fixture, &set, objective, 0.0);
                assert!(full.is_none_or(|norm| norm > 1e4), "{outcome:?}");
                unreachable += 1;
                continue;
            }
            let repair = repaired(outcome);
            optima += 1;
            // Specifications are pushed 1e-4 beyond their bounds.
            let full = reference(&fixture, &set, objective, 1e-4).unwrap();
            assert!(
                (repair.objective - full).abs() < 1e-5 * (1.0 + full),
                "{objective}, seed {seed}: {} lazily, {full} in full",
                repair.objective
            );
            assert!(repair.rows[0] <= repair.rows[1] && repair.rows[1] == set.inequalities());
            let checked = verify(file(&repair.predictor), &set).unwrap();
            assert!(checked.least_slack() >= 0.0);
            let changed = changed_tensors(&fixture.checkpoint, file(&repair.predictor));
            assert!(changed.iter().all(|name| name.starts_with("2.")));
        }
    }
    assert!(
        optima >= 6 && unreachable >= 3,
        "{optima} optima, {unreachable} out of reach"
    );
}

#[test]
fn a_contradiction_is_infeasible_and_named() {
    let fixture = Fixture::random(&[3, 5, 2], Activation::Relu, 3);
    let wins = |a, b| Inequality {
        terms: vec![(a, 1.0), (b, -1.0)],
        bound: 1.0,
    };
    let inputs = vec![0.3, -0.2, 0.9, 0.5, 0.1, -0.7];
    let points = vec![vec![wins(0, 1)], vec![wins(0, 1), wins(1, 0)]];
    let set = RepairSet::linear(inputs, &[3], points);
    let layer = &fixture.network.layers()[1];
    let task = task(&fixture.checkpoint, &fixture.network, layer, &set);
    for baseline in [
        &LastLayer::default() as &dyn Baseline,
        &Decoupled::default(),
        &Aprnn,
    ] {
        match baseline.run(&task).unwrap() {
            BaselineOutcome::Infeasible { points, .. } => {
                assert_eq!(points, [1], "{}", baseline.name());
            }
            other => panic!("{}: {other:?}", baseline.name()),
        }
    }
}

/// Outputs of a decoupled perceptron by plain loops: `pieces` chooses the ReLUs, `values` computes.
fn decoupled(pieces: &Model, values: &Model, input: &[f32]) -> Vec<f64> {
    let affine = |checkpoint: &Model, position: usize, x: &[f64]| -> Vec<f64> {
        let weight = checkpoint.tensor(&format!("{position}.weight")).unwrap();
        let bias = checkpoint.tensor(&format!("{position}.bias")).unwrap();
        let row = |(row, b): (&[f64], &f64)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + b;
        weight.chunks(x.len()).zip(&bias).map(row).collect()
    };
    let mut activation: Vec<f64> = input.iter().map(|&x| f64::from(x)).collect();
    let mut value = activation.clone();
    let mut position = 0;
    loop {
        activation = affine(pieces, position, &activation);
        value = affine(values, position, &value);
        position += 2;
        if pieces.tensor(&format!("{position}.weight")).is_err() {
            return value;
        }
        for (z, v) in activation.iter_mut().zip(&mut value) {
            if *z <= 0.0 {
                (*z, *v) = (0.0, 0.0);
            }
        }
    }
}

#[test]
fn a_decoupled_repair_satisfies_every_specification_at_every_layer() {
    let mnist = Mnist::open(20);
    let set = RepairSet::argmax(&mnist.wrong, 0.1).unwrap();
    for layer in mnist.network.layers() {
        // A linear program over the 78,500 entries of the first layer takes most of a minute.
        let objectives = [Objective::L2, Objective::LInf];
        for &objective in &objectives[..1 + usize::from(layer.index > 0)] {
            let baseline = Decoupled {
                objective,
                ..Decoupled::default()
            };
            let repair = repaired(baseline.run(&mnist.task(layer.index, &set)).unwrap());
            mnist.report(&format!("decoupled, {objective}, {}", layer.name), &repair);
            let edited = file(&repair.predictor);
            let changed = changed_tensors(&mnist.checkpoint, edited);
            assert_eq!(changed, [layer.bias.clone().unwrap(), layer.weight.clone()]);
            let x = mnist.network.batch(&set.inputs).unwrap();
            let answers = repair.predictor.outputs(x).unwrap().to_vec().unwrap();
            for (i, input) in set.inputs.chunks(set.example()).enumerate() {
                let outputs = decoupled(&mnist.checkpoint, edited, input);
                for (y, answer) in outputs.iter().zip(&answers[i * 10..]) {
                    assert!((y - answer).abs() < 1e-9 * (1.0 + y.abs()));
                }
                for inequality in &set.points[i] {
                    assert!(inequality.slack(&outputs) >= 0.0, "point {i}");
                }
            }
        }
    }
}

#[test]
fn a_decoupled_network_without_a_change_is_the_original() {
    let mnist = Mnist::open(1);
    for layer in mnist.network.layers() {
        let same = mnist.checkpoint.clone();
        let network = DecoupledNetwork::new(&mnist.network, &mnist.network, layer, same).unwrap();
        let x = mnist
            .network
            .batch(&mnist.clean.inputs[..200 * 784])
            .unwrap();
        let original = mnist.network.forward(x.clone()).unwrap().to_vec().unwrap();
        let outputs = network.outputs(x).unwrap().to_vec().unwrap();
        for (y, original) in outputs.iter().zip(&original) {
            assert!((y - original).abs() < 1e-10 * (1.0 + original.abs()));
        }
    }
}

#[test]
fn a_decoupled_network_without_linear_pieces_stops() {
    let fixture = Fixture::random(&[3, 5, 2], Activation::Tanh, 3);
    let set = fixture.labelled(&[0, 1], 0.0);
    let run = |layer: usize| {
        let layer = &fixture.network.layers()[layer];
        let task = task(&fixture.checkpoint, &fixture.network, layer, &set);
        Decoupled::default().run(&task).unwrap()
    };
    match run(0) {
        BaselineOutcome::Stopped {
            reason: BaselineStop::Repair(reason),
            ..
        } => assert_eq!(reason.word(), "no linear piece"),
        other => panic!("{other:?}"),
    }
    repaired(run(1));
}

#[test]
fn aprnn_keeps_its_box_and_its_objective() {
    let options = Aprnn::options();
    assert_eq!(options.objective, Objective::Aprnn);
    let fixture = Fixture::random(&[3, 6, 3], Activation::Relu, 5);
    let labels = fixture.labels_of_network(3);
    let set = fixture.labelled(&labels, 0.6);
    let layer = &fixture.network.layers()[1];
    let task = task(&fixture.checkpoint, &fixture.network, layer, &set);
    let repair = repaired(Aprnn.run(&task).unwrap());
    let edited = file(&repair.predictor);
    assert!(verify(edited, &set).unwrap().least_slack() >= 0.0);
    for name in changed_tensors(&fixture.checkpoint, edited) {
        let before = fixture.checkpoint.tensor(&name).unwrap();
        let after = edited.tensor(&name).unwrap();
        let moved = before.iter().zip(&after).map(|(a, b)| (a - b).abs());
        assert!(moved.fold(0.0, f64::max) <= options.box_bound.unwrap() + 1e-6);
    }
}

/// SqueezeNet's last convolution writes 10 classes at each pixel; a ReLU and a mean follow.
#[test]
fn a_decoupled_squeezenet_is_repaired_at_its_last_convolution() {
    let part = "random_refs/torchvision_squeezenet1_1.random10.safetensors";
    let Some(assets) = std::env::var_os("INFORMED_REPAIR_ASSETS").map(PathBuf::from) else {
        println!("skipped: set INFORMED_REPAIR_ASSETS to the folder that holds `{part}`");
        return;
    };
    let checkpoint = Model::open(&assets.join(part)).unwrap();
    let device = DeviceChoice::Flex.open().unwrap();
    let network = Network::load(&checkpoint, &device, Precision::F32).unwrap();
    let example: usize = network.graph().input_shape().iter().product();
    let inputs: Vec<f32> = (0..2 * example)
        .map(|i| ((i as f64 * 0.754_877_666).fract() * 4.0 - 2.0 + (i / example) as f64) as f32)
        .collect();
    let outputs = network.forward(network.batch(&inputs).unwrap());
    let outputs = outputs.unwrap().to_vec().unwrap();
    // The runner-up must win.
    let labels = outputs.chunks(10).map(|y| {
        let mut order: Vec<usize> = (0..10).collect();
        order.sort_by(|&a, &b| y[b].total_cmp(&y[a]));
        order[1]
    });
    let set = Dataset {
        shape: network.graph().input_shape().to_vec(),
        labels: labels.collect(),
        classes: 10,
        ids: Vec::new(),
        inputs,
    };
    let set = RepairSet::argmax(&set, 0.01).unwrap();
    let layer = network.layers().last().unwrap();
    let task = task(&checkpoint, &network, layer, &set);
    let baseline = Decoupled {
        objective: Objective::L2,
        ..Decoupled::default()
    };
    let repair = repaired(baseline.run(&task).unwrap());
    assert!(repair.least_slack >= 0.0);
    let changed = changed_tensors(&checkpoint, file(&repair.predictor));
    assert_eq!(changed, [layer.bias.clone().unwrap(), layer.weight.clone()]);
    let refusal = LastLayer::default().run(&task).unwrap_err().to_string();
    assert!(refusal.contains("relu behind the last layer"), "{refusal}");
}
