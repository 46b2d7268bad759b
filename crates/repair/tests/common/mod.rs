//! A small random network with inputs, and an evaluation of it in plain arithmetic.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use data::Dataset;
use network::{Activation, DeviceChoice, Dtype, Model, Network, Precision, StoredTensor, mlp};
use repair::{
    GuardMoments, Method, Objective, Options, Outcome, Problem, RepairError, RepairSet, repair,
};

pub(crate) struct Fixture {
    pub(crate) checkpoint: Model,
    pub(crate) network: Network,
    pub(crate) guard: Vec<f32>,
    width: usize,
    classes: usize,
    seed: u64,
}

impl Fixture {
    pub(crate) fn random(sizes: &[usize], activation: Activation, seed: u64) -> Self {
        let checkpoint = mlp::random(sizes, activation, seed).unwrap();
        let network = Network::load(
            &checkpoint,
            &DeviceChoice::Flex.open().unwrap(),
            Precision::F64,
        )
        .unwrap();
        Self {
            guard: numbers(40 * sizes[0], seed + 7),
            width: sizes[0],
            classes: sizes[sizes.len() - 1],
            checkpoint,
            network,
            seed,
        }
    }

    /// The same network in the file format of 16 bits.
    pub(crate) fn in_bf16(mut self) -> Self {
        let tensors: Vec<StoredTensor> = self
            .checkpoint
            .names()
            .map(|name| StoredTensor {
                name: name.to_owned(),
                dtype: Dtype::BF16,
                shape: self.checkpoint.shape(name).unwrap().to_vec(),
                // The upper half of an f32.
                bytes: self
                    .checkpoint
                    .tensor_f32(name)
                    .unwrap()
                    .iter()
                    .flat_map(|x| x.to_le_bytes()[2..].to_vec())
                    .collect(),
            })
            .collect();
        let metadata = self.checkpoint.metadata();
        self.checkpoint = Model::from_tensors(&tensors, metadata, "bf16").unwrap();
        let device = DeviceChoice::Flex.open().unwrap();
        self.network = Network::load(&self.checkpoint, &device, Precision::F64).unwrap();
        self
    }

    pub(crate) fn moments(&self) -> GuardMoments {
        collect(&self.network, &self.guard)
    }

    /// Inputs with labels drawn at random.
    pub(crate) fn random_labels(&self, points: usize, margin: f64, seed: u64) -> RepairSet {
        let labels: Vec<usize> = numbers(points, seed + 13)
            .iter()
            .map(|x| ((x + 1.0) * 0.5 * self.classes as f32) as usize % self.classes)
            .collect();
        self.labelled(&labels, margin)
    }

    /// The first inputs with the given labels.
    pub(crate) fn labelled(&self, labels: &[usize], margin: f64) -> RepairSet {
        let dataset = Dataset {
            shape: vec![self.width],
            inputs: numbers(labels.len() * self.width, self.seed),
            labels: labels.to_vec(),
            classes: self.classes,
            ids: Vec::new(),
        };
        RepairSet::argmax(&dataset, margin).unwrap()
    }

    /// What the network itself answers at the first inputs.
    pub(crate) fn labels_of_network(&self, points: usize) -> Vec<usize> {
        let inputs = numbers(points * self.width, self.seed);
        let best = |x: &[f32]| {
            let y = forward(&self.checkpoint, x);
            (0..y.len()).fold(0, |best, c| if y[c] > y[best] { c } else { best })
        };
        inputs.chunks(self.width).map(best).collect()
    }

    pub(crate) fn repair(
        &self,
        layer: usize,
        set: &RepairSet,
        options: &Options,
    ) -> Result<Outcome, RepairError> {
        let moments = self.moments();
        repair(
            &Problem {
                network: &self.network,
                checkpoint: &self.checkpoint,
                layers: &self.network.layers()[layer..=layer],
                set,
                guard: Some(&moments),
                start: None,
            },
            options,
        )
    }
}

/// The guard moments of all layers.
pub(crate) fn collect(network: &Network, guard: &[f32]) -> GuardMoments {
    let shape = network.graph().input_shape();
    GuardMoments::collect(network, guard, shape, network.layers()).unwrap()
}

pub(crate) fn frozen(objective: Objective) -> Options {
    Options {
        method: Method::Frozen,
        objective,
        ..Options::default()
    }
}

pub(crate) fn sequential(objective: Objective) -> Options {
    Options {
        method: Method::Sequential,
        objective,
        ..Options::default()
    }
}

/// A fixed quasi-random sequence in [-1, 1): reproducible without a generator.
pub(crate) fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let value = |i: usize| {
        ((i as f64 + 1.0) * 0.754_877_666_246_693 + seed as f64 * 0.569_840_290_998_053).fract()
    };
    (0..count).map(|i| (value(i) * 2.0 - 1.0) as f32).collect()
}

/// Outputs of a ReLU or LeakyReLU perceptron, written independently of every crate's forward pass.
pub(crate) fn forward(checkpoint: &Model, input: &[f32]) -> Vec<f64> {
    let slope = match checkpoint.metadata()["activation"].as_str() {
        "relu" => 0.0,
        "leaky_relu" => 0.1,
        other => panic!("{other} is not evaluated here"),
    };
    let mut value: Vec<f64> = input.iter().map(|&x| f64::from(x)).collect();
    let mut position = 0;
    while let Ok(weight) = checkpoint.tensor(&format!("{position}.weight")) {
        if position > 0 {
            value
                .iter_mut()
                .for_each(|z| *z = if *z > 0.0 { *z } else { slope * *z });
        }
        let bias = checkpoint.tensor(&format!("{position}.bias")).unwrap();
        let mut next = bias.clone();
        for (o, z) in next.iter_mut().enumerate() {
            for (i, x) in value.iter().enumerate() {
                *z += weight[o * value.len() + i] * x;
            }
        }
        value = next;
        position += 2;
    }
    value
}

/// The folder of real weights, or a message and `None` when there is none.
pub(crate) fn assets() -> Option<PathBuf> {
    let given = std::env::var_os("INFORMED_REPAIR_ASSETS").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets")
    });
    if folder.join("random_refs").exists() {
        return Some(folder);
    }
    eprintln!(
        "skipped: no `random_refs` in {}; set INFORMED_REPAIR_ASSETS",
        folder.display()
    );
    None
}

/// A SqueezeNet 1.1 with few channels.
pub(crate) fn small_squeezenet() -> Model {
    let mut tensors = Vec::new();
    let mut count = 0;
    let mut layer = |name: &str, outputs: usize, inputs: usize, kernel: usize| {
        let shape = vec![outputs, inputs, kernel, kernel];
        let reads = inputs * kernel * kernel;
        let scale = (3.0 / reads as f32).sqrt();
        let weight = numbers(count + outputs * reads, 0).split_off(count);
        count += outputs * reads;
        let weight = weight.iter().map(|w| w * scale).collect();
        tensors.push((format!("{name}.weight"), shape, weight));
        tensors.push((format!("{name}.bias"), vec![outputs], vec![0.05; outputs]));
    };
    layer("features.0", 6, 3, 3);
    let mut channels = 6;
    for fire in [3, 4, 6, 7, 9, 10, 11, 12] {
        let part = |part| format!("features.{fire}.{part}");
        layer(&part("squeeze"), 3, channels, 1);
        layer(&part("expand1x1"), 4, 3, 1);
        layer(&part("expand3x3"), 5, 3, 3);
        channels = 9;
    }
    layer("classifier.1", 4, channels, 1);
    Model::from_f32(&tensors, &BTreeMap::new(), "small squeezenet").unwrap()
}
