//! Outputs against those that another implementation stored.
//!
//! A reference is a safetensors file with the inputs (`input`, or `input_ids` and
//! `attention_mask`) and the outputs (`logits` in f32, `logits_f64` computed in f64).

use std::path::Path;

use burn::tensor::Device;

use crate::{Checkpoint, Network, NetworkError, Precision, Value};
use model::ops::embedding::TOKEN_PLANES;

/// A network with stored reference outputs, below a folder of weights.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// The checkpoint.
    pub checkpoint: &'static str,
    /// The reference.
    pub reference: &'static str,
}

/// Every network that has stored outputs.
pub const CASES: [Case; 12] = {
    const fn case(name: &'static str, checkpoint: &'static str, reference: &'static str) -> Case {
        Case {
            name,
            checkpoint,
            reference,
        }
    }
    [
        case(
            "mlp 3x100",
            "mlp/mnist/mnist_relu_3x100.safetensors",
            "mlp/mnist/mnist_relu_3x100.ref.safetensors",
        ),
        case(
            "mlp 9x100",
            "mlp/mnist/mnist_relu_9x100.safetensors",
            "mlp/mnist/mnist_relu_9x100.ref.safetensors",
        ),
        case(
            "mlp 9x200",
            "mlp/mnist/mnist_relu_9x200.safetensors",
            "mlp/mnist/mnist_relu_9x200.ref.safetensors",
        ),
        case(
            "squeezenet 1.1",
            "squeezenet/squeezenet1_1.safetensors",
            "squeezenet/squeezenet1_1.ref.safetensors",
        ),
        case(
            "squeezenet 1.0",
            "squeezenet/squeezenet1_0.deepcompression.safetensors",
            "squeezenet/squeezenet1_0.deepcompression.ref.safetensors",
        ),
        case(
            "squeezenet 1.1, random",
            "random_refs/torchvision_squeezenet1_1.random10.safetensors",
            "random_refs/torchvision_squeezenet1_1.random10.ref.safetensors",
        ),
        case(
            "squeezenet 1.0, random",
            "random_refs/torchvision_squeezenet1_0.random10.safetensors",
            "random_refs/torchvision_squeezenet1_0.random10.ref.safetensors",
        ),
        case(
            "mobilevit-xxs, fashion",
            "mobilevit_fashion/model.safetensors",
            "mobilevit_fashion/ref.safetensors",
        ),
        case(
            "mobilevit-xxs, timm",
            "random_refs/timm_mobilevit_xxs.random.safetensors",
            "random_refs/mobilevit_xxs.random.ref.safetensors",
        ),
        case(
            "mobilevit-xxs, transformers",
            "random_refs/hf_mobilevit_xx_small.random.safetensors",
            "random_refs/mobilevit_xxs.random.ref.safetensors",
        ),
        case(
            "distilbert, sst-2",
            "distilbert_minilm_sst2/model.safetensors",
            "distilbert_minilm_sst2/ref.safetensors",
        ),
        case(
            "distilbert, random",
            "random_refs/hf_distilbert_small.random.safetensors",
            "random_refs/hf_distilbert_small.random.ref.safetensors",
        ),
    ]
};

/// How far outputs are from a reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Largest absolute difference.
    pub largest: f64,
    /// Largest absolute reference output.
    pub scale: f64,
    /// Precision in which the reference was computed.
    pub reference: Precision,
}

impl Difference {
    /// The largest difference as a share of the scale.
    pub fn relative(&self) -> f64 {
        self.largest / self.scale
    }

    /// The largest relative difference that rounding explains, for outputs computed in
    /// `precision`: sums of some hundred products in two orders, over some ten layers. The
    /// coarser of the two sides counts.
    pub fn tolerance(&self, precision: Precision) -> f64 {
        match (precision, self.reference) {
            (Precision::F64, Precision::F64) => 1e-11,
            _ => 1e-4,
        }
    }
}

/// Compares a network's outputs with those of the reference; in f64 with the ones computed in f64
/// where the reference has them.
///
/// # Errors
/// [`NetworkError`] when a file cannot be read, does not fit, or cannot be run.
pub fn compare(
    case: &Case,
    folder: &Path,
    device: &Device,
    precision: Precision,
) -> Result<Difference, NetworkError> {
    let network = Network::open(&folder.join(case.checkpoint), device, precision)?;
    let reference = Checkpoint::read(&folder.join(case.reference))?;
    let outputs = network.forward(input(&reference, &network)?)?.to_vec()?;
    let (stored, computed) = match precision {
        Precision::F64 if reference.shape("logits_f64").is_ok() => ("logits_f64", Precision::F64),
        _ => ("logits", Precision::F32),
    };
    let expected = reference.tensor(stored)?;
    if outputs.len() != expected.len() {
        return Err(NetworkError::shape(
            case.reference,
            format!("{} numbers in `{stored}`", outputs.len()),
            &[expected.len()],
        ));
    }
    let pairs = outputs.iter().zip(&expected);
    Ok(Difference {
        largest: pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max),
        scale: expected.iter().fold(0.0, |scale, x| scale.max(x.abs())),
        reference: computed,
    })
}

/// The inputs of a reference on the network's device.
///
/// # Errors
/// [`NetworkError::Unknown`] when it holds none.
pub fn input(reference: &Checkpoint, network: &Network) -> Result<Value, NetworkError> {
    if reference.shape("input_ids").is_err() {
        let shape = reference.shape("input")?.to_vec();
        let numbers = reference.tensor("input")?;
        return Value::from_f64(&numbers, &shape, network.device(), network.precision());
    }
    let shape = reference.shape("input_ids")?.to_vec();
    let length = shape.last().copied().unwrap_or_default().max(1);
    let words = reference.integers("input_ids")?;
    let mask = reference.integers("attention_mask")?;
    let planes: Vec<f64> = words
        .chunks(length)
        .zip(mask.chunks(length))
        .flat_map(|(words, mask)| words.iter().chain(mask).map(|&number| number as f64))
        .collect();
    let shape = [shape[0], TOKEN_PLANES, length];
    Value::from_f64(&planes, &shape, network.device(), network.precision())
}
