//! Logits and gradients against PyTorch's stored outputs and finite differences.

use std::path::PathBuf;

use network::{Checkpoint, DeviceChoice, Network, Precision, Value};

/// The folder of real weights, or a message and `None`.
fn assets() -> Option<PathBuf> {
    let given = std::env::var_os("INFORMED_REPAIR_ASSETS").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets")
    });
    if folder.join("mlp/mnist").is_dir() {
        return Some(folder);
    }
    eprintln!(
        "skipped: no `mlp/mnist` in {}; set INFORMED_REPAIR_ASSETS",
        folder.display()
    );
    None
}

const NETWORKS: [&str; 3] = ["mnist_relu_3x100", "mnist_relu_9x100", "mnist_relu_9x200"];

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max)
}

fn check_logits(device: DeviceChoice, precision: Precision, reference: &str, tolerance: f64) {
    let Some(assets) = assets() else { return };
    let device = match device.open() {
        Ok(device) => device,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    for name in NETWORKS {
        let stored =
            Checkpoint::read(&assets.join(format!("mlp/mnist/{name}.ref.safetensors"))).unwrap();
        let path = assets.join(format!("mlp/mnist/{name}.safetensors"));
        let network = Network::open(&path, &device, precision).unwrap();
        let input: Vec<f32> = stored
            .tensor("input")
            .unwrap()
            .iter()
            .map(|&x| x as f32)
            .collect();
        let logits = network
            .forward(network.batch(&input).unwrap())
            .unwrap()
            .to_vec()
            .unwrap();
        let expected = stored.tensor(reference).unwrap();
        let scale = expected.iter().fold(0.0f64, |scale, x| scale.max(x.abs()));
        let difference = largest_difference(&logits, &expected);
        assert!(
            difference <= tolerance * scale,
            "{name}: {difference:e} of {scale}"
        );
    }
}

#[test]
fn logits_in_f64_equal_pytorch_to_rounding() {
    // Both sum at most 784 products per unit in f64: 9 layers of 784 · 2⁻⁵³ stay below 1e-12.
    check_logits(DeviceChoice::Flex, Precision::F64, "logits_f64", 1e-12);
}

#[test]
fn logits_in_f32_equal_pytorch_to_rounding() {
    // Two orders of summation of 784 f32 products differ by about √784 · 2⁻²⁴ a layer.
    check_logits(DeviceChoice::Flex, Precision::F32, "logits", 1e-5);
}

#[test]
#[cfg(feature = "ndarray")]
fn logits_on_ndarray_equal_pytorch() {
    check_logits(DeviceChoice::NdArray, Precision::F64, "logits_f64", 1e-12);
}

#[test]
#[cfg(feature = "wgpu")]
fn logits_on_wgpu_equal_pytorch() {
    check_logits(DeviceChoice::Wgpu, Precision::F32, "logits", 1e-4);
}

#[test]
fn sensitivities_of_all_layers_equal_finite_differences() {
    let Some(assets) = assets() else { return };
    let device = DeviceChoice::Flex.open().unwrap();
    for name in NETWORKS {
        let stored =
            Checkpoint::read(&assets.join(format!("mlp/mnist/{name}.ref.safetensors"))).unwrap();
        let checkpoint =
            Checkpoint::read(&assets.join(format!("mlp/mnist/{name}.safetensors"))).unwrap();
        let network = Network::load(&checkpoint, &device, Precision::F64).unwrap();
        let input: Vec<f32> = stored.tensor("input").unwrap()[..2 * 784]
            .iter()
            .map(|&x| x as f32)
            .collect();
        let x = network.batch(&input).unwrap();
        // Logit 3 of the first example, logit 7 of the second.
        let mut selector = vec![0.0; 20];
        selector[3] = 1.0;
        selector[17] = 1.0;
        let selector = Value::from_f64(&selector, &[2, 10], &device, Precision::F64).unwrap();
        let deltas = network.sensitivities(x.clone(), selector).unwrap();
        for (layer, delta) in network.layers().iter().zip(&deltas) {
            let delta = delta.to_vec().unwrap();
            // A bias moves the layer's output of every example alike: 1e-6 stays on one piece.
            let unit = layer.outputs / 2;
            let step = 1e-6;
            let mut bias = checkpoint.tensor(&layer.bias).unwrap();
            bias[unit] += step;
            let moved = network
                .with_tensors(&[(layer.bias.clone(), bias)].into())
                .unwrap();
            let before = network.forward(x.clone()).unwrap().to_vec().unwrap();
            let after = moved.forward(x.clone()).unwrap().to_vec().unwrap();
            for (example, logit) in [(0, 3), (1, 7)] {
                let difference =
                    (after[example * 10 + logit] - before[example * 10 + logit]) / step;
                let analytic = delta[example * layer.outputs + unit];
                // The quotient loses 2⁻⁵² · |logit| / step to cancellation.
                assert!(
                    (difference - analytic).abs() < 1e-7,
                    "{name} {}: {difference} {analytic}",
                    layer.name
                );
            }
        }
    }
}
