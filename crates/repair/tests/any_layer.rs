//! Layers of every kind: their affine form, their guard moments and their repair.

mod common;

use common::{assets, numbers, small_squeezenet};
use data::{Dataset, ExampleId};
use network::{DeviceChoice, Layer, LayerKind, Model, Network, Precision, Target, Value};
use repair::{
    Behind, Change, GuardMoments, Method, Objective, Options, Outcome, PointTarget, Problem,
    Protection, Repair, RepairError, RepairSet, Selection, Suffix, choose_margin, classify, repair,
    supported, verify,
};

fn load(checkpoint: &Model) -> Network {
    let device = DeviceChoice::Flex.open().unwrap();
    Network::load(checkpoint, &device, Precision::F64).unwrap()
}

/// A network with inputs for it.
struct Subject {
    checkpoint: Model,
    network: Network,
    inputs: Dataset,
}

impl Subject {
    fn new(checkpoint: Model, shape: &[usize], inputs: Vec<f32>) -> Self {
        let network = load(&checkpoint);
        let labels = classify(&network, &inputs, shape).unwrap();
        let count = labels.len();
        let ids = (0..count as u32).map(|i| ExampleId::clean("drawn", i));
        let inputs = Dataset::new(
            shape.to_vec(),
            inputs,
            labels,
            network.classes(),
            ids.collect(),
        );
        Self {
            inputs: inputs.unwrap(),
            checkpoint,
            network,
        }
    }

    fn squeezenet() -> Self {
        Self::new(small_squeezenet(), &[3, 64, 64], pictures(12, 64))
    }

    fn mobilevit() -> Option<Self> {
        let file = assets()?.join("mobilevit_fashion/model.safetensors");
        let checkpoint = Model::open(&file).unwrap();
        Some(Self::new(checkpoint, &[3, 32, 32], pictures(6, 32)))
    }

    fn distilbert() -> Option<Self> {
        let file = assets()?.join("random_refs/hf_distilbert_small.random.safetensors");
        let sentences: Vec<Vec<f32>> = (0..6)
            .map(|s| {
                let words = (0..5).map(|t| {
                    if t == 0 {
                        101.0
                    } else {
                        (7 * s + 11 * t) as f32
                    }
                });
                // The last sentences are shorter: their last token is padding.
                let mask = (0..5).map(|t| f32::from(u8::from(t < 4 || s < 4)));
                words.chain(mask).collect()
            })
            .collect();
        let checkpoint = Model::open(&file).unwrap();
        Some(Self::new(checkpoint, &[2, 5], sentences.concat()))
    }

    fn all() -> Vec<Self> {
        let optional = [Self::mobilevit(), Self::distilbert()];
        [Self::squeezenet()]
            .into_iter()
            .chain(optional.into_iter().flatten())
            .collect()
    }

    /// The first inputs, each to be answered by the class that comes second.
    fn wrong(&self, count: usize) -> Dataset {
        let mut points = self.inputs.subset(&(0..count).collect::<Vec<_>>()).unwrap();
        let x = self
            .network
            .batch_of(&points.inputs, &points.shape)
            .unwrap();
        let outputs = self.network.forward(x).unwrap().to_vec().unwrap();
        for (label, y) in points.labels.iter_mut().zip(outputs.chunks(points.classes)) {
            let rivals = (0..y.len()).filter(|c| c != label);
            *label = rivals.max_by(|&a, &b| y[a].total_cmp(&y[b])).unwrap();
        }
        points
    }

    fn moments(&self, layers: &[Layer]) -> GuardMoments {
        let Dataset { inputs, shape, .. } = &self.inputs;
        GuardMoments::collect(&self.network, inputs, shape, layers).unwrap()
    }

    fn repair(&self, layers: &[Layer], set: &RepairSet, options: &Options) -> Outcome {
        self.repair_from(layers, set, options, None)
    }

    fn repair_from(
        &self,
        layers: &[Layer],
        set: &RepairSet,
        options: &Options,
        start: Option<&Change>,
    ) -> Outcome {
        self.try_from(layers, set, options, start).unwrap()
    }

    fn try_from(
        &self,
        layers: &[Layer],
        set: &RepairSet,
        options: &Options,
        start: Option<&Change>,
    ) -> Result<Outcome, RepairError> {
        let moments = self.moments(layers);
        let problem = Problem {
            network: &self.network,
            checkpoint: &self.checkpoint,
            layers,
            set,
            guard: Some(&moments),
            start,
        };
        repair(&problem, options)
    }
}

/// Pictures `[3, side, side]` of stripes, no two alike in colour, direction or width.
fn pictures(count: usize, side: usize) -> Vec<f32> {
    let knobs = numbers(count * 12, 5);
    let pixel = |i: usize, channel: usize, y: usize, x: usize| {
        let knob = |k: usize| knobs[12 * i + k];
        let phase = 0.6 * (knob(0) * x as f32 + knob(1) * y as f32) + knob(2 + channel);
        1.5 * knob(5 + channel) + 2.0 * knob(8 + channel) * phase.sin()
    };
    let all = (0..count).flat_map(|i| (0..3).map(move |c| (i, c)));
    let rows = all.flat_map(|(i, c)| (0..side).map(move |y| (i, c, y)));
    rows.flat_map(|(i, c, y)| (0..side).map(move |x| (i, c, y, x)))
        .map(|(i, c, y, x)| pixel(i, c, y, x))
        .collect()
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Repaired(_) => "repaired".into(),
        Outcome::Infeasible(conflict) => format!("conflict of {:?}", conflict.points),
        Outcome::Unknown(unfinished) => unfinished.reason.to_string(),
    }
}

#[track_caller]
fn repaired(outcome: Outcome) -> Repair {
    match outcome {
        Outcome::Repaired(repair) => *repair,
        other => panic!("not repaired: {}", describe(&other)),
    }
}

/// Every point right with the margin, evaluated by code that knows nothing of the solver, and
/// no tensor touched but those of the layers.
#[track_caller]
fn check(subject: &Subject, layers: &[Layer], set: &RepairSet, repair: &Repair) {
    let verification = verify(&repair.checkpoint, set).unwrap();
    assert!(verification.least_slack() >= 0.0);
    assert_eq!(verification.efficacy(set), 100.0);
    for name in subject.checkpoint.names() {
        let own = layers
            .iter()
            .any(|layer| layer.weight == name || layer.bias.as_deref() == Some(name));
        let same = repair.checkpoint.raw(name).unwrap() == subject.checkpoint.raw(name).unwrap();
        assert!(own || same, "{name} changed");
    }
}

/// One layer of each kind and shape: convolutions of each size, grouped ones, norms, linear.
fn kinds(network: &Network) -> Vec<Layer> {
    let mut seen = Vec::new();
    let mut chosen = Vec::new();
    // The last of each kind: a random network is all but dead in front of its last layers.
    for layer in network.layers().iter().rev() {
        let kind = (layer.kind, layer.inputs.min(10), layer.bias.is_some());
        if supported(layer).is_ok() && !seen.contains(&kind) {
            seen.push(kind);
            chosen.push(layer.clone());
        }
    }
    chosen
}

#[test]
fn inputs_that_have_run_up_to_a_layer_are_answered_as_from_the_front() {
    for subject in Subject::all() {
        let network = &subject.network;
        let Dataset { inputs, shape, .. } = &subject.inputs;
        let whole = repair::outputs(network, inputs, shape).unwrap();
        // All of it in memory, and none.
        for memory in [usize::MAX, 0] {
            let mut behind = Behind::new(network, inputs, shape).unwrap();
            for layer in repair::repairable(network) {
                behind.advance(network, &layer, memory).unwrap();
                assert_eq!(behind.outputs(network).unwrap(), whole, "{}", layer.name);
            }
        }
        let mut behind = Behind::new(network, inputs, shape).unwrap();
        let last = &network.layers()[network.layers().len() - 1];
        let left = behind.advance(network, last, 1 << 20).unwrap();
        assert!(left > 0 && left < 1 << 20, "{left}");
    }
}

#[test]
fn inputs_that_do_not_all_fit_are_answered_from_both_places() {
    let subject = Subject::squeezenet();
    let network = &subject.network;
    // Pictures of a quarter of the memory that a batch may take: parts of four.
    let shape = [3, 600, 600];
    let inputs = pictures(9, 600);
    let whole = repair::outputs(network, &inputs, &shape).unwrap();
    let [early, late] = ["features.3.squeeze", "features.12.squeeze"];
    let [early, late] = [early, late].map(|name| network.layer(name).unwrap());
    let mut behind = Behind::new(network, &inputs, &shape).unwrap();
    let room = behind.advance(network, early, usize::MAX).unwrap();
    let taken = usize::MAX - room;
    // Half of it fits, then all of it, at a layer with fewer values.
    assert_eq!(behind.advance(network, early, taken / 2).unwrap(), 0);
    assert_eq!(behind.outputs(network).unwrap(), whole);
    assert!(behind.advance(network, late, taken).unwrap() > 0);
    assert_eq!(behind.outputs(network).unwrap(), whole);
}

#[test]
fn gradients_of_every_layer_are_those_of_automatic_differentiation() {
    for subject in Subject::all() {
        let (network, classes) = (&subject.network, subject.network.classes());
        let point = subject.wrong(1);
        let set = RepairSet::argmax(&point, 0.0).unwrap();
        let weights: Vec<(usize, f64)> = (0..classes).map(|c| (c, c as f64 - 0.7)).collect();
        let selector: Vec<f64> = weights.iter().map(|&(_, a)| a).collect();
        let x = network.batch_of(&point.inputs, &point.shape).unwrap();
        let (device, precision) = (network.device(), network.precision());
        let selector = Value::from_f64(&selector, &[1, classes], device, precision).unwrap();
        for layer in network
            .layers()
            .iter()
            .filter(|layer| supported(layer).is_ok())
        {
            let names: Vec<&str> = [Some(layer.weight.as_str()), layer.bias.as_deref()]
                .into_iter()
                .flatten()
                .collect();
            let expected = network
                .weight_gradients(x.clone(), selector.clone(), &names)
                .unwrap();
            let layers = std::slice::from_ref(layer);
            let suffix = Suffix::new(network, layers, &set, false).unwrap();
            let state = suffix.at(None).unwrap();
            let target = PointTarget {
                point: 0,
                target: Target {
                    node: network.graph().output(),
                    selector: weights.clone(),
                },
            };
            let deltas = suffix.sensitivities(&state, &[target], None).unwrap();
            let features = suffix.features(&state, 0).unwrap();
            let affine = &suffix.layers()[0];
            let gradient = affine.change(&affine.gradient(&deltas[0][0], &features[0]));
            for (name, expected) in expected {
                let found = gradient.get(&name).unwrap();
                let scale = expected.iter().fold(1e-9, |s: f64, x| s.max(x.abs()));
                for (a, b) in found.iter().zip(&expected) {
                    assert!((a - b).abs() <= 1e-9 * scale, "{name}: {a}, expected {b}");
                }
            }
        }
    }
}

#[test]
fn layers_of_every_kind_are_repaired_in_the_guard_metric() {
    for subject in Subject::all() {
        let points = subject.wrong(3);
        let set = RepairSet::argmax(&points, 0.05).unwrap();
        for layer in kinds(&subject.network) {
            if ["features.0", "features.3.squeeze"].contains(&layer.name.as_str()) {
                continue;
            }
            // Gains and a few channels have little to serve several points with.
            let norm = matches!(layer.kind, LayerKind::BatchNorm | LayerKind::LayerNorm);
            let tiny = norm || layer.outputs < 8;
            let set = match tiny {
                true => RepairSet::argmax(&subject.wrong(1), 0.05).unwrap(),
                false => set.clone(),
            };
            let layers = std::slice::from_ref(&layer);
            match subject.repair(layers, &set, &Options::default()) {
                Outcome::Repaired(found) => check(&subject, layers, &set, &found),
                other => panic!("{} ({:?}): {}", layer.name, layer.kind, describe(&other)),
            }
        }
    }
}

#[test]
fn moments_of_a_channelwise_head_are_those_of_each_outputs_gradient() {
    let subject = Subject::squeezenet();
    let network = &subject.network;
    let layer = network.layer("classifier.1").unwrap();
    let moments = subject.moments(std::slice::from_ref(layer));
    let group = &moments.layer(layer).unwrap().groups[0];
    let (classes, count) = (network.classes(), subject.inputs.len());
    let mut expected = vec![0.0; classes];
    for i in 0..count {
        let input = subject.inputs.example(i);
        let x = network.batch_of(input, &subject.inputs.shape).unwrap();
        for (class, expected) in expected.iter_mut().enumerate() {
            let mut selector = vec![0.0; classes];
            selector[class] = 1.0;
            let (device, precision) = (network.device(), network.precision());
            let selector = Value::from_f64(&selector, &[1, classes], device, precision).unwrap();
            let names = [layer.weight.as_str(), layer.bias.as_deref().unwrap()];
            let gradients = network
                .weight_gradients(x.clone(), selector, &names)
                .unwrap();
            *expected += gradients.values().flatten().map(|d| d * d).sum::<f64>() / count as f64;
        }
    }
    for (c, &expected) in expected.iter().enumerate() {
        assert!((group.outputs[(c, c)] - expected).abs() <= 1e-10 * expected.max(1e-3));
        assert!((0..classes).all(|d| d == c || group.outputs[(c, d)] == 0.0));
    }
    let trace: f64 = (0..group.inputs.nrows())
        .map(|i| group.inputs[(i, i)])
        .sum();
    assert!((trace - 1.0).abs() < 1e-10, "{trace}");
}

#[test]
fn frozen_patterns_reach_through_every_max_pool() {
    let subject = Subject::squeezenet();
    let set = RepairSet::argmax(&subject.wrong(2), 0.01).unwrap();
    let options = Options {
        method: Method::Frozen,
        objective: Objective::L2,
        ..Options::default()
    };
    let mut solved = 0;
    for name in [
        "features.3.squeeze",
        "features.6.expand3x3",
        "features.12.squeeze",
        "classifier.1",
    ] {
        let layers = std::slice::from_ref(subject.network.layer(name).unwrap());
        match subject.repair(layers, &set, &options) {
            Outcome::Repaired(found) => {
                check(
                    &subject,
                    &subject.network.layers()[layers[0].index..],
                    &set,
                    &found,
                );
                assert!(found.report.rows < found.report.rows_total);
                assert!(found.report.lower_bound.unwrap() <= found.report.objective * (1.0 + 1e-9));
                solved += 1;
            }
            // Another pattern may be the only one: then there is a proof.
            Outcome::Infeasible(conflict) => assert!(conflict.radius > 1e3),
            Outcome::Unknown(unfinished) => panic!("{name}: {}", unfinished.reason),
        }
    }
    assert!(solved > 0);
}

#[test]
fn a_frozen_repair_in_little_memory_is_the_same() {
    let subject = Subject::squeezenet();
    let set = RepairSet::argmax(&subject.wrong(3), 0.01).unwrap();
    let layers = std::slice::from_ref(subject.network.layer("classifier.1").unwrap());
    let options = |max_memory| Options {
        method: Method::Frozen,
        objective: Objective::L2,
        max_memory,
        ..Options::default()
    };
    let ample = repaired(subject.repair(layers, &set, &options(1 << 30)));
    let scarce = repaired(subject.repair(layers, &set, &options(1 << 20)));
    assert_eq!(ample.change, scarce.change);
}

#[test]
fn several_layers_change_together() {
    let subject = Subject::squeezenet();
    let set = RepairSet::argmax(&subject.wrong(4), 0.1).unwrap();
    let both: Vec<Layer> = ["features.11.expand3x3", "classifier.1"]
        .iter()
        .map(|name| subject.network.layer(name).unwrap().clone())
        .collect();
    let together = repaired(subject.repair(&both, &set, &Options::default()));
    check(&subject, &both, &set, &together);
    let changed: Vec<&str> = together.change.tensors().map(|(name, _)| name).collect();
    assert_eq!(changed.len(), 4, "{changed:?}");
    // Whatever one layer can do, both can do at no higher cost.
    let alone = repaired(subject.repair(&both[1..], &set, &Options::default()));
    assert!(together.report.objective <= alone.report.objective * 1.05);
}

#[test]
fn a_repair_goes_on_from_an_earlier_one() {
    let subject = Subject::squeezenet();
    let layers = std::slice::from_ref(subject.network.layer("features.12.squeeze").unwrap());
    let first = RepairSet::argmax(&subject.wrong(2), 0.1).unwrap();
    let all = RepairSet::argmax(&subject.wrong(4), 0.1).unwrap();
    let earlier = repaired(subject.repair(layers, &first, &Options::default()));
    let start = Change::between(&subject.checkpoint, &earlier.checkpoint).unwrap();
    let options = Options::default();
    let later = repaired(subject.repair_from(layers, &all, &options, Some(&start)));
    check(&subject, layers, &all, &later);
    // Nothing is left to do for the old points alone.
    let again = repaired(subject.repair_from(layers, &first, &options, Some(&start)));
    assert!(again.report.rounds <= earlier.report.rounds);
    check(&subject, layers, &first, &again);
}

#[test]
fn a_start_that_changed_other_layers_or_is_meant_for_a_frozen_repair_is_refused() {
    let subject = Subject::squeezenet();
    let layers = std::slice::from_ref(subject.network.layer("features.12.squeeze").unwrap());
    let set = RepairSet::argmax(&subject.wrong(1), 0.1).unwrap();
    let refusal = |start: &Change, options: &Options| {
        let refused = subject.try_from(layers, &set, options, Some(start));
        refused.unwrap_err().to_string()
    };
    // In front of the layer, where values are computed once, without it.
    let mut foreign = Change::default();
    foreign.set("features.0.bias", vec![0.1; 6]);
    let said = refusal(&foreign, &Options::default());
    assert!(said.contains("one of tensor `features.0.bias`"), "{said}");
    let mut short = Change::default();
    short.set(&layers[0].weight, vec![0.1]);
    let said = refusal(&short, &Options::default());
    assert!(said.contains("expected 27 numbers"), "{said}");
    let frozen = Options {
        method: Method::Frozen,
        ..Options::default()
    };
    let said = refusal(&Change::default(), &frozen);
    assert!(said.contains("none for a frozen repair"), "{said}");
}

#[test]
fn zeros_stay_zeros_if_asked() {
    let mut subject = Subject::squeezenet();
    let layer = subject
        .network
        .layer("features.12.expand3x3")
        .unwrap()
        .clone();
    let mut weight = subject.checkpoint.tensor(&layer.weight).unwrap();
    weight.iter_mut().step_by(2).for_each(|w| *w = 0.0);
    let pruned = [(layer.weight.clone(), weight)].into_iter().collect();
    subject.checkpoint = subject.checkpoint.with_tensors(&pruned).unwrap();
    subject.network = load(&subject.checkpoint);
    let set = RepairSet::argmax(&subject.wrong(2), 0.05).unwrap();
    let options = Options {
        keep_zeros: true,
        ..Options::default()
    };
    let layers = std::slice::from_ref(&layer);
    let found = repaired(subject.repair(layers, &set, &options));
    check(&subject, layers, &set, &found);
    let weight = found.checkpoint.tensor(&layer.weight).unwrap();
    assert!(weight.iter().step_by(2).all(|&w| w == 0.0));
    let free = repaired(subject.repair(layers, &set, &Options::default()));
    let weight = free.checkpoint.tensor(&layer.weight).unwrap();
    assert!(weight.iter().step_by(2).any(|&w| w != 0.0));
    // What moved them is no place to start from.
    let refused = subject.try_from(layers, &set, &options, Some(&free.change));
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("keeps weights that are zero"), "{said}");
    let again = subject.repair_from(layers, &set, &options, Some(&found.change));
    check(&subject, layers, &set, &repaired(again));
}

#[test]
fn protected_inputs_keep_their_answers_or_their_outputs() {
    let subject = Subject::squeezenet();
    let layers = std::slice::from_ref(subject.network.layer("classifier.1").unwrap());
    let points = subject.wrong(3);
    let others = subject.inputs.subset(&(3..12).collect::<Vec<_>>()).unwrap();
    let answers =
        |checkpoint: &Model| classify(&load(checkpoint), &others.inputs, &others.shape).unwrap();
    let plain = RepairSet::argmax(&points, 0.2).unwrap();
    let options = Options {
        objective: Objective::L2,
        ..Options::default()
    };
    let free = repaired(subject.repair(layers, &plain, &options));
    assert_ne!(
        answers(&free.checkpoint),
        others.labels,
        "nothing to protect"
    );
    let set = plain
        .protect(&subject.network, &others.inputs, Protection::Answer)
        .unwrap();
    match subject.repair(layers, &set, &options) {
        Outcome::Repaired(found) => {
            check(&subject, layers, &set, &found);
            assert_eq!(answers(&found.checkpoint), others.labels);
        }
        Outcome::Unknown(unfinished) => {
            let reason = unfinished.reason.to_string();
            assert!(reason.contains("stalled"), "{reason}");
        }
        Outcome::Infeasible(conflict) => panic!("conflict of {:?}", conflict.points),
    }
}

#[test]
fn the_smallest_margin_of_least_drawdown_is_kept_where_nothing_else_is_measured() {
    let subject = Subject::squeezenet();
    let layers = std::slice::from_ref(subject.network.layer("classifier.1").unwrap());
    let points = subject.wrong(3);
    let clean = subject.inputs.subset(&(3..12).collect::<Vec<_>>()).unwrap();
    let set = RepairSet::argmax(&points, 0.0).unwrap();
    let moments = subject.moments(layers);
    let problem = Problem {
        network: &subject.network,
        checkpoint: &subject.checkpoint,
        layers,
        set: &set,
        guard: Some(&moments),
        start: None,
    };
    let selection = Selection {
        similar: None,
        clean: &clean,
        tolerance: 100.0,
    };
    let choice = choose_margin(&problem, &points, &Options::default(), selection).unwrap();
    let least = choice.trials.iter().map(|trial| trial.drawdown);
    let least = least.fold(f64::INFINITY, f64::min);
    let first = choice.trials.iter().find(|trial| trial.drawdown == least);
    assert_eq!(choice.margin, first.unwrap().margin);
    assert!(choice.trials.len() > 1);
    let set = RepairSet::argmax(&points, choice.margin).unwrap();
    check(&subject, layers, &set, &repaired(choice.outcome));
}
