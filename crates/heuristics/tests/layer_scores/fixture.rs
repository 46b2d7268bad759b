//! Small networks with a repair set and a guard set.

use std::collections::BTreeMap;

use data::{Dataset, ExampleId};
use heuristics::{HeuristicError, MEASURED, Phase, Statistics, Subject, by_name};
use network::{DeviceChoice, Model, Network, Precision};
use repair::{DAMPING, GuardMoments, RepairSet};

pub(crate) struct Fixture {
    pub(crate) checkpoint: Model,
    pub(crate) network: Network,
    pub(crate) set: RepairSet,
    pub(crate) guard: Vec<f32>,
    pub(crate) guard_labels: Vec<usize>,
    pub(crate) clean: Option<Vec<f32>>,
}

impl Fixture {
    /// A repair set of margin 1, and 40 guard inputs in [-1, 1).
    pub(crate) fn new(checkpoint: Model, inputs: &[f32], labels: &[usize]) -> Self {
        let network = Network::load(
            &checkpoint,
            &DeviceChoice::Flex.open().unwrap(),
            Precision::F64,
        )
        .unwrap();
        let set = argmax(&network, inputs, labels, 1.0);
        Self {
            guard: numbers(40 * set.example(), 7),
            guard_labels: (0..40).map(|i| i % network.classes()).collect(),
            set,
            checkpoint,
            network,
            clean: None,
        }
    }

    pub(crate) fn moments(&self) -> GuardMoments {
        GuardMoments::collect(
            &self.network,
            &self.guard,
            self.network.graph().input_shape(),
            self.network.layers(),
        )
        .unwrap()
    }

    pub(crate) fn collect(&self) -> Result<Statistics, HeuristicError> {
        self.collect_phases(&Phase::ALL)
    }

    pub(crate) fn collect_phases(&self, phases: &[Phase]) -> Result<Statistics, HeuristicError> {
        let subject = Subject {
            network: &self.network,
            set: &self.set,
            guard: (&self.guard, &self.guard_labels),
            guard_shape: &self.set.shape,
            moments: &self.moments(),
            damping: DAMPING,
            clean: self.clean.as_deref(),
            phases,
            measured: MEASURED,
        };
        Statistics::collect(&subject, 0)
    }

    pub(crate) fn statistics(&self) -> Statistics {
        self.collect().unwrap()
    }

    /// The scores of one heuristic.
    pub(crate) fn scores(&self, heuristic: &str) -> Vec<Option<f64>> {
        scores(&self.statistics(), heuristic)
    }
}

pub(crate) fn scores(statistics: &Statistics, heuristic: &str) -> Vec<Option<f64>> {
    by_name(heuristic).unwrap().scores(statistics)
}

/// Scores that are all there.
pub(crate) fn known(scores: Vec<Option<f64>>) -> Vec<f64> {
    scores
        .into_iter()
        .map(|score| score.expect("a score"))
        .collect()
}

pub(crate) fn argmax(
    network: &Network,
    inputs: &[f32],
    labels: &[usize],
    margin: f64,
) -> RepairSet {
    let dataset = Dataset {
        shape: network.graph().input_shape().to_vec(),
        inputs: inputs.to_vec(),
        labels: labels.to_vec(),
        classes: network.classes(),
        ids: Vec::new(),
    };
    RepairSet::argmax(&dataset, margin).unwrap()
}

/// A ReLU perceptron without biases, from the rows of its weights.
pub(crate) fn relu(weights: &[&[&[f32]]]) -> Model {
    let mut tensors = Vec::new();
    for (i, rows) in weights.iter().enumerate() {
        tensors.push((
            format!("{}.weight", 2 * i),
            vec![rows.len(), rows[0].len()],
            rows.concat(),
        ));
        tensors.push((
            format!("{}.bias", 2 * i),
            vec![rows.len()],
            vec![0.0; rows.len()],
        ));
    }
    let metadata = BTreeMap::from([("activation".to_owned(), "relu".to_owned())]);
    Model::from_f32(&tensors, &metadata, "test").unwrap()
}

/// A copy in which one tensor is scaled.
pub(crate) fn scaled(checkpoint: &Model, tensor: &str, factor: f64) -> Model {
    let numbers = checkpoint
        .tensor(tensor)
        .unwrap()
        .iter()
        .map(|x| x * factor)
        .collect();
    checkpoint
        .with_tensors(&BTreeMap::from([(tensor.to_owned(), numbers)]))
        .unwrap()
}

/// A fixed quasi-random sequence in [-1, 1).
pub(crate) fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let value = |i: usize| {
        ((i as f64 + 1.0) * 0.754_877_666_246_693 + seed as f64 * 0.569_840_290_998_053).fract()
    };
    (0..count).map(|i| (value(i) * 2.0 - 1.0) as f32).collect()
}

#[track_caller]
pub(crate) fn assert_close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{got:?} {expected:?}");
    for (a, b) in got.iter().zip(expected) {
        assert!(
            (a - b).abs() <= tolerance * b.abs().max(1.0),
            "{got:?}, expected {expected:?}"
        );
    }
}

/// Drawn examples of three classes.
pub(crate) fn dataset(inputs: Vec<f32>, labels: Vec<usize>) -> Dataset {
    let ids = (0..labels.len() as u32).map(|i| ExampleId::clean("drawn", i));
    Dataset {
        shape: vec![inputs.len() / labels.len()],
        ids: ids.collect(),
        inputs,
        labels,
        classes: 3,
    }
}
