//! Gradient descent on the cross-entropy of the repair set.
//!
//! ```text
//! minimise_W   Σ_i -log softmax(y(x_i; W))[label_i]
//! ```
//!
//! in batches drawn without replacement, until every specification holds on the network with the
//! weights as saved (early stopping at 100 % efficacy, checked after each pass over the repair
//! set). Guard examples may be mixed into every batch. Batch normalisation keeps its stored
//! moments. Nothing is promised: a descent may run out of epochs or diverge.

use std::collections::BTreeMap;
use std::time::Instant;

use data::split::sample;
use network::ModelError;

use super::{
    Baseline, BaselineOutcome, BaselineRepair, BaselineStop, BaselineTask, Measured, Predictor,
};
use crate::{RepairError, StopReason};

/// Which weights are tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuned {
    /// Every weight and bias that training changes.
    AllLayers,
    /// Weight and bias of the start layer.
    StartLayer,
}

/// How a gradient becomes a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Adam with decays 0.9 and 0.999 (Kingma & Ba, ICLR 2015).
    Adam {
        /// Step size.
        rate: f64,
    },
    /// Gradient descent with heavy-ball momentum: `v ← momentum v + g, W ← W - rate v`.
    Sgd {
        /// Step size.
        rate: f64,
        /// Share of the last step that is kept.
        momentum: f64,
    },
}

/// Fine-tuning with early stopping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FineTuning {
    /// Which weights. Default all layers.
    pub tuned: Tuned,
    /// Default Adam with rate 0.001.
    pub optimizer: Optimizer,
    /// Repair points per step. Default 16.
    pub batch: usize,
    /// Guard examples that join each step's repair points. Default none.
    pub guard_batch: usize,
    /// Passes over the repair set. Default 500.
    pub max_epochs: usize,
}

impl Default for FineTuning {
    fn default() -> Self {
        Self {
            tuned: Tuned::AllLayers,
            optimizer: Optimizer::Adam { rate: 1e-3 },
            batch: 16,
            guard_batch: 0,
            max_epochs: 500,
        }
    }
}

impl Baseline for FineTuning {
    fn name(&self) -> &'static str {
        match self.tuned {
            Tuned::AllLayers => "fine-tuning",
            Tuned::StartLayer => "fine-tuning-layer",
        }
    }

    fn run(&self, task: &BaselineTask<'_>) -> Result<BaselineOutcome, RepairError> {
        let start = Instant::now();
        let mut descent = Descent::new(self, task)?;
        let mut best: Option<Box<BaselineRepair>> = None;
        let mut epoch = 0;
        loop {
            let stopped = |reason, best| BaselineOutcome::Stopped {
                reason,
                best,
                seconds: start.elapsed().as_secs_f64(),
            };
            let Some(measured) = descent.measure()? else {
                return Ok(stopped(BaselineStop::Diverged { epochs: epoch }, best));
            };
            let repair = |measured: Measured| {
                Box::new(BaselineRepair {
                    rounds: epoch,
                    objective: descent.loss,
                    ..measured.repair(start)
                })
            };
            if measured.holds() {
                return Ok(BaselineOutcome::Repaired(repair(measured)));
            }
            if best
                .as_ref()
                .is_none_or(|best| measured.efficacy >= best.efficacy)
            {
                best = Some(repair(measured));
            }
            if epoch == self.max_epochs {
                return Ok(stopped(BaselineStop::Epochs(epoch), best));
            }
            if !descent.epoch(epoch, start)? {
                let reason = StopReason::Time(task.time_limit.unwrap_or_default());
                return Ok(stopped(BaselineStop::Repair(reason), best));
            }
            epoch += 1;
        }
    }
}

/// Weights on their way down.
struct Descent<'a> {
    settings: &'a FineTuning,
    task: &'a BaselineTask<'a>,
    labels: &'a [usize],
    weights: BTreeMap<String, Vec<f64>>,
    /// First and second moments of the gradients, one pair per weight.
    moments: BTreeMap<String, Vec<[f64; 2]>>,
    steps: i32,
    /// Mean cross-entropy over the examples of the last epoch.
    loss: f64,
}

impl<'a> Descent<'a> {
    fn new(settings: &'a FineTuning, task: &'a BaselineTask<'a>) -> Result<Self, RepairError> {
        task.set.validate(task.network, task.network.classes())?;
        settings.check(task)?;
        let labels = task.set.labels.as_deref();
        let labels = labels.ok_or_else(|| wrong("repair set", "points with labels", "none"))?;
        let specs = task.network.graph().parameters();
        let chosen = |name: &str| match settings.tuned {
            Tuned::AllLayers => true,
            Tuned::StartLayer => {
                name == task.layer.weight || task.layer.bias.as_deref() == Some(name)
            }
        };
        let weights = specs
            .into_iter()
            .filter(|spec| spec.trained && chosen(&spec.name))
            .map(|spec| Ok((spec.name.clone(), task.checkpoint.tensor(&spec.name)?)))
            .collect::<Result<BTreeMap<_, _>, RepairError>>()?;
        let zeros = |(name, w): (&String, &Vec<f64>)| (name.clone(), vec![[0.0; 2]; w.len()]);
        Ok(Self {
            moments: weights.iter().map(zeros).collect(),
            settings,
            task,
            labels,
            weights,
            steps: 0,
            loss: f64::NAN,
        })
    }

    /// The network with the weights rounded as they are saved, on the repair set; `None` when a
    /// weight overflows its dtype.
    fn measure(&self) -> Result<Option<Measured>, RepairError> {
        let checkpoint = match self.task.checkpoint.with_tensors(&self.weights) {
            Ok(checkpoint) => checkpoint,
            Err(ModelError::NotFinite { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let network = self.task.loaded(&checkpoint)?;
        let x = network.batch_of(&self.task.set.inputs, &self.task.set.shape)?;
        let predictor = Predictor::Plain {
            checkpoint,
            network,
        };
        Ok(Some(Measured::new(predictor, x, self.task.set)?))
    }

    /// One pass over the repair set; `false` when the time is over before its end.
    fn epoch(&mut self, epoch: usize, start: Instant) -> Result<bool, RepairError> {
        let points = self.task.set.len();
        let seed = self.task.seed.wrapping_mul(1_000_003) ^ epoch as u64;
        let (mut loss, mut examples) = (0.0, 0);
        for (batch, chosen) in draw(points, points, seed)?
            .chunks(self.settings.batch)
            .enumerate()
        {
            if self.task.expired(start) {
                return Ok(false);
            }
            let (inputs, labels) = self.examples(chosen, seed ^ ((batch as u64) << 32))?;
            let network = self.task.network.with_tensors(&self.weights)?;
            let names: Vec<&str> = self.weights.keys().map(String::as_str).collect();
            let x = network.batch_of(&inputs, &self.task.set.shape)?;
            let found = network.loss_weight_gradients(x, &labels, &names)?;
            self.step(&found.gradients, 1.0 / labels.len() as f64);
            loss += found.loss;
            examples += labels.len();
        }
        self.loss = loss / examples as f64;
        Ok(true)
    }

    /// Inputs and labels of the chosen repair points, and of guard examples drawn with `seed`.
    fn examples(&self, chosen: &[usize], seed: u64) -> Result<(Vec<f32>, Vec<usize>), RepairError> {
        let set = self.task.set;
        let (mut inputs, mut labels) = (Vec::new(), Vec::new());
        for &i in chosen {
            inputs.extend_from_slice(&set.inputs[i * set.example()..(i + 1) * set.example()]);
            labels.push(self.labels[i]);
        }
        if let Some(guard) = self.task.guard.filter(|_| self.settings.guard_batch > 0) {
            let count = self.settings.guard_batch.min(guard.len());
            for i in draw(guard.len(), count, seed)? {
                inputs.extend_from_slice(guard.example(i));
                labels.push(guard.labels[i]);
            }
        }
        Ok((inputs, labels))
    }

    /// Moves every weight along `scale` times its gradient.
    fn step(&mut self, gradients: &BTreeMap<String, Vec<f64>>, scale: f64) {
        self.steps += 1;
        for (name, gradient) in gradients {
            let (Some(weights), Some(moments)) =
                (self.weights.get_mut(name), self.moments.get_mut(name))
            else {
                continue;
            };
            for ((w, moment), g) in weights.iter_mut().zip(moments).zip(gradient) {
                *w -= self.settings.optimizer.step(moment, scale * g, self.steps);
            }
        }
    }
}

impl Optimizer {
    /// What is subtracted from a weight with gradient `g`; `steps` counts from 1.
    fn step(self, [first, second]: &mut [f64; 2], g: f64, steps: i32) -> f64 {
        match self {
            Self::Adam { rate } => {
                let [a, b] = [0.9, 0.999_f64];
                *first = a * *first + (1.0 - a) * g;
                *second = b * *second + (1.0 - b) * g * g;
                let mean = *first / (1.0 - a.powi(steps));
                let square = *second / (1.0 - b.powi(steps));
                rate * mean / (square.sqrt() + 1e-8)
            }
            Self::Sgd { rate, momentum } => {
                *first = momentum * *first + g;
                rate * *first
            }
        }
    }

    /// Step size and momentum.
    fn parameters(self) -> (f64, f64) {
        match self {
            Self::Adam { rate } => (rate, 0.0),
            Self::Sgd { rate, momentum } => (rate, momentum),
        }
    }
}

impl FineTuning {
    fn check(&self, task: &BaselineTask<'_>) -> Result<(), RepairError> {
        let (rate, momentum) = self.optimizer.parameters();
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(wrong("rate", "a finite number > 0", rate));
        }
        if !(0.0..1.0).contains(&momentum) {
            return Err(wrong("momentum", "a number from 0 to below 1", momentum));
        }
        if self.batch == 0 {
            return Err(wrong("batch", "at least 1", 0));
        }
        if self.guard_batch > 0 && task.guard.is_none_or(|guard| guard.is_empty()) {
            let expected = "0 for a task without guard examples";
            return Err(wrong("guard_batch", expected, self.guard_batch));
        }
        Ok(())
    }
}

/// `size` different positions below `pool`, in random order.
fn draw(pool: usize, size: usize, seed: u64) -> Result<Vec<usize>, RepairError> {
    sample(pool, size, seed).map_err(|_| RepairError::Shape {
        what: "examples to draw from",
        expected: size,
        got: pool,
    })
}

fn wrong(option: &'static str, expected: &str, got: impl ToString) -> RepairError {
    RepairError::Option {
        option,
        expected: expected.to_owned(),
        got: got.to_string(),
    }
}
