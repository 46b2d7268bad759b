//! Verdicts do not depend on units: features, units of a layer, guard inputs and whole layers are
//! scaled by up to twelve decades, which changes how numbers are written and nothing that is true of
//! them.

mod common;

use std::collections::BTreeMap;

use common::{collect, forward, frozen, sequential};
use data::Dataset;
use network::{DeviceChoice, Dtype, Model, Network, Precision, StoredTensor};
use proptest::prelude::*;
use repair::{Inequality, Objective, Options, Outcome, Problem, RepairSet, StopReason, repair};

/// Uniform numbers in [-1, 1) without structure (SplitMix64).
fn noise(count: usize, seed: u64) -> Vec<f64> {
    let number = |i: usize| {
        let mut z = (seed << 32 | i as u64)
            .wrapping_add(1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..count).map(number).collect()
}

/// A perceptron in f64 with what is asked of it.
#[derive(Clone)]
struct Case {
    sizes: Vec<usize>,
    /// Weight and bias of every layer.
    layers: Vec<[Vec<f64>; 2]>,
    /// Points x features.
    inputs: Vec<f64>,
    guard: Vec<f64>,
}

impl Case {
    fn random(sizes: &[usize], points: usize, seed: u64) -> Self {
        let layers = sizes.windows(2).enumerate().map(|(l, pair)| {
            let scale = (2.0 / pair[0] as f64).sqrt();
            let weight = noise(pair[0] * pair[1], seed * 10 + l as u64);
            let bias = noise(pair[1], seed * 10 + 5 + l as u64);
            [
                weight.iter().map(|w| scale * w).collect(),
                bias.iter().map(|b| 0.1 * b).collect(),
            ]
        });
        Self {
            layers: layers.collect(),
            inputs: noise(points * sizes[0], seed * 10 + 8),
            guard: noise(12 * sizes[0], seed * 10 + 9),
            sizes: sizes.to_vec(),
        }
    }

    /// Feature j in units of 10^-k_j.
    fn with_features(mut self, decades: &[i32]) -> Self {
        let width = self.sizes[0];
        let scale = |j: usize| 10f64.powi(decades[j % decades.len()]);
        for values in [&mut self.inputs, &mut self.guard] {
            values
                .iter_mut()
                .enumerate()
                .for_each(|(i, x)| *x *= scale(i % width));
        }
        let weight = self.layers[0][0].iter_mut().enumerate();
        weight.for_each(|(i, w)| *w /= scale(i % width));
        self
    }

    /// Unit u behind a layer in units of 10^-k_u.
    fn with_units(mut self, layer: usize, decades: &[i32]) -> Self {
        let (width, outputs) = (self.sizes[layer], self.sizes[layer + 1]);
        let scale = |u: usize| 10f64.powi(decades[u % decades.len()]);
        let [weight, bias] = &mut self.layers[layer];
        let weight = weight.iter_mut().enumerate();
        weight.for_each(|(i, w)| *w *= scale(i / width));
        bias.iter_mut()
            .enumerate()
            .for_each(|(u, b)| *b *= scale(u));
        let next = self.layers[layer + 1][0].iter_mut().enumerate();
        next.for_each(|(i, w)| *w /= scale(i % outputs));
        self
    }

    fn checkpoint(&self) -> Model {
        let tensor = |name: String, shape: Vec<usize>, values: &[f64]| StoredTensor {
            name,
            dtype: Dtype::F64,
            shape,
            bytes: values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        let layers = self.layers.iter().zip(self.sizes.windows(2)).enumerate();
        let tensors: Vec<StoredTensor> = layers
            .flat_map(|(l, ([weight, bias], pair))| {
                let position = 2 * l;
                [
                    tensor(format!("{position}.weight"), vec![pair[1], pair[0]], weight),
                    tensor(format!("{position}.bias"), vec![pair[1]], bias),
                ]
            })
            .collect();
        let metadata = BTreeMap::from([("activation".to_owned(), "relu".to_owned())]);
        Model::from_tensors(&tensors, &metadata, "scaled perceptron").unwrap()
    }

    /// The inputs as files store them.
    fn stored(&self) -> Vec<f32> {
        self.inputs.iter().map(|&x| x as f32).collect()
    }

    /// What the network with another layer in place of its own answers, a repair that exists.
    fn planted(&self, layer: usize, seed: u64) -> Vec<usize> {
        let mut other = self.clone();
        let [weight, bias] = &mut other.layers[layer];
        let change = noise(weight.len() + bias.len(), seed + 77);
        // Relative to each column, which keeps its units.
        let width = self.sizes[layer];
        for j in 0..width {
            let column = || (0..weight.len() / width).map(|o| o * width + j);
            let size = column().map(|i| weight[i].abs()).fold(0.0, f64::max);
            let moved: Vec<(usize, f64)> = column().map(|i| (i, size * change[i])).collect();
            moved.into_iter().for_each(|(i, d)| weight[i] += d);
        }
        let checkpoint = other.checkpoint();
        let inputs = self.stored();
        let best = |x: &[f32]| {
            let y = forward(&checkpoint, x);
            (0..y.len()).fold(0, |best, c| if y[c] > y[best] { c } else { best })
        };
        inputs.chunks(self.sizes[0]).map(best).collect()
    }

    fn labelled(&self, labels: &[usize]) -> RepairSet {
        let dataset = Dataset {
            shape: vec![self.sizes[0]],
            inputs: self.stored(),
            labels: labels.to_vec(),
            classes: self.sizes[self.sizes.len() - 1],
            ids: Vec::new(),
        };
        RepairSet::argmax(&dataset, 1e-3).unwrap()
    }

    fn repair(&self, layer: usize, set: &RepairSet, options: &Options) -> Outcome {
        let checkpoint = self.checkpoint();
        let device = DeviceChoice::Flex.open().unwrap();
        let network = Network::load(&checkpoint, &device, Precision::F64).unwrap();
        let guard: Vec<f32> = self.guard.iter().map(|&x| x as f32).collect();
        let moments = collect(&network, &guard);
        let problem = Problem {
            network: &network,
            checkpoint: &checkpoint,
            layers: &network.layers()[layer..=layer],
            set,
            guard: Some(&moments),
            start: None,
        };
        let outcome = repair(&problem, options).unwrap();
        if let Outcome::Repaired(repair) = &outcome {
            self.assert_holds(&repair.checkpoint, set);
        }
        outcome
    }

    /// Every inequality holds on the saved file in plain arithmetic.
    fn assert_holds(&self, saved: &Model, set: &RepairSet) {
        let points = self.stored();
        for (x, inequalities) in points.chunks(self.sizes[0]).zip(&set.points) {
            let outputs = forward(saved, x);
            let size = outputs.iter().fold(1.0, |m: f64, y| m.max(y.abs()));
            for inequality in inequalities {
                assert!(inequality.slack(&outputs) >= -1e-12 * size, "{outputs:?}");
            }
        }
    }
}

/// Every way to repair a last layer.
fn every_way() -> Vec<Options> {
    let mut ways: Vec<Options> = Objective::ALL.map(frozen).into();
    ways.extend([sequential(Objective::L2), sequential(Objective::Guarded)]);
    ways
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Repaired(repair) => format!("repaired, norm {:.3e}", repair.change.norm_l2()),
        Outcome::Infeasible(conflict) => format!("infeasible: {conflict:?}"),
        Outcome::Unknown(unfinished) => format!("unknown: {}", unfinished.reason),
    }
}

/// Decades for a few features or units; most are ordinary.
fn decades(largest: i32) -> impl Strategy<Value = Vec<i32>> {
    let one = prop_oneof![3 => Just(0), 1 => -largest..=largest];
    prop::collection::vec(one, 7)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_linear_layer_with_a_planted_repair_is_repaired_whatever_the_units_of_its_features(
        seed in 0u64..10_000, decades in decades(12),
    ) {
        let case = Case::random(&[7, 3], 4, seed).with_features(&decades);
        let set = case.labelled(&case.planted(0, seed));
        for options in every_way() {
            let outcome = case.repair(0, &set, &options);
            prop_assert!(matches!(outcome, Outcome::Repaired(_)), "{:?} {}, {:?}: {}",
                options.method, options.objective, decades, describe(&outcome));
        }
    }

    #[test]
    fn a_repair_that_exists_is_never_denied_whatever_the_units_of_a_hidden_layer(
        seed in 0u64..10_000, decades in decades(12), layer in 0usize..3, moved in 0usize..2,
    ) {
        let plain = Case::random(&[6, 7, 7, 3], 4, seed);
        let set = plain.labelled(&plain.planted(2, seed));
        let scaled = plain.clone().with_units(moved, &decades);
        for options in [frozen(Objective::L2), frozen(Objective::Guarded), sequential(Objective::L2)] {
            let Outcome::Repaired(_) = plain.repair(layer, &set, &options) else {
                continue;
            };
            // The planted repair is the plain one with its units changed.
            let outcome = scaled.repair(layer, &set, &options);
            prop_assert!(!matches!(outcome, Outcome::Infeasible(_)), "{:?} {}, {:?}: {}",
                options.method, options.objective, decades, describe(&outcome));
        }
    }

    #[test]
    fn feasibility_does_not_depend_on_the_guard_set(
        seed in 0u64..10_000, decade in -12i32..=12, layer in 0usize..2,
    ) {
        let plain = Case::random(&[6, 8, 3], 4, seed);
        let set = plain.labelled(&plain.planted(1, seed));
        let mut scaled = plain.clone();
        scaled.guard.iter_mut().for_each(|x| *x *= 10f64.powi(decade));
        let [before, after] = [&plain, &scaled].map(|case| case.repair(layer, &set, &frozen(Objective::Guarded)));
        let is_infeasible = |outcome: &Outcome| matches!(outcome, Outcome::Infeasible(_));
        prop_assert_eq!(is_infeasible(&before), is_infeasible(&after), "10^{}: {} and {}",
            decade, describe(&before), describe(&after));
    }

    #[test]
    fn a_planted_contradiction_is_never_repaired_and_all_objectives_agree(
        seed in 0u64..10_000, decades in decades(12),
    ) {
        // Under an affine layer the middle of two points cannot be the odd one out.
        let mut case = Case::random(&[7, 3], 3, seed).with_features(&decades);
        let stored = case.stored();
        for j in 0..7 {
            let half = 0.5 * (f64::from(stored[j]) + f64::from(stored[7 + j]));
            // Exact in f32: the ends are the middle plus and minus one number.
            let reach = f64::from((half - f64::from(stored[j])) as f32);
            let middle = f64::from(half as f32);
            case.inputs[14 + j] = middle;
            case.inputs[j] = f64::from((middle - reach) as f32);
            case.inputs[7 + j] = 2.0 * middle - case.inputs[j];
        }
        let wins = |winner: usize, other: usize| {
            vec![Inequality { terms: vec![(winner, 1.0), (other, -1.0)], bound: 1.0 }]
        };
        let points = vec![wins(0, 1), wins(0, 1), wins(1, 0)];
        let set = RepairSet::linear(case.stored(), &[7], points);
        let exact = case.stored().iter().zip(&case.inputs).all(|(&a, &b)| f64::from(a) == b);
        for options in every_way() {
            let outcome = case.repair(0, &set, &options);
            prop_assert!(!matches!(outcome, Outcome::Repaired(_)) || !exact);
            if exact {
                prop_assert!(matches!(outcome, Outcome::Infeasible(_)), "{:?} {}, {:?}: {}",
                    options.method, options.objective, decades, describe(&outcome));
            }
        }
    }
}

#[test]
fn a_large_feature_leaves_the_change_that_an_ordinary_one_has() {
    let plain = Case::random(&[6, 3], 4, 3);
    let labels = plain.planted(0, 3);
    let norm = |case: &Case, options: &Options| {
        let Outcome::Repaired(repair) = case.repair(0, &case.labelled(&labels), options) else {
            panic!("not repaired");
        };
        repair.change.norm_l2()
    };
    let constant = |size: f64| {
        let mut case = plain.clone();
        case.inputs.chunks_mut(6).for_each(|x| x[0] = size);
        case.layers[0][0].chunks_mut(6).for_each(|w| w[0] /= size);
        case
    };
    // Free of charge from 1e4 on: the minimum over the others.
    let least = norm(&constant(1e4), &frozen(Objective::L2));
    for size in [1e5, 1e6, 1e7, 1e9, 1e12] {
        for options in [frozen(Objective::L2), sequential(Objective::L2)] {
            let found = norm(&constant(size), &options);
            assert!(found < 1.05 * least, "{size:e}: {found} and {least}");
        }
    }
}

#[test]
fn a_contradiction_that_rounding_hides_is_undecided() {
    // Inputs that differ in the eighth digit, with two labels: no ordinary change tells them apart.
    let mut case = Case::random(&[5, 3], 2, 1);
    for j in 0..5 {
        case.inputs[5 + j] = case.inputs[j] * (1.0 + 2e-7);
    }
    let wins = |winner: usize, other: usize| {
        vec![Inequality {
            terms: vec![(winner, 1.0), (other, -1.0)],
            bound: 1e3,
        }]
    };
    let set = RepairSet::linear(case.stored(), &[5], vec![wins(0, 1), wins(1, 0)]);
    for options in every_way() {
        match case.repair(0, &set, &options) {
            Outcome::Repaired(repair) => assert!(repair.change.norm_l2() > 1e6),
            Outcome::Unknown(unfinished) => {
                assert!(!matches!(unfinished.reason, StopReason::Time(_)));
            }
            Outcome::Infeasible(conflict) => panic!("{conflict:?}"),
        }
    }
}
