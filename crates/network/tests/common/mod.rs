//! What the tests of this crate share.

// Each test target compiles this module and uses a part of it.
#![allow(dead_code)]

use std::path::PathBuf;

use network::{Checkpoint, Device, DeviceChoice, Network, Precision, Value, parity};

/// The folder of real weights, or a message and `None` when it lacks `part`.
pub(crate) fn assets(part: &str) -> Option<PathBuf> {
    let given = std::env::var_os("INFORMED_REPAIR_ASSETS").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets")
    });
    if folder.join(part).exists() {
        return Some(folder);
    }
    eprintln!(
        "skipped: no `{part}` in {}; set INFORMED_REPAIR_ASSETS",
        folder.display()
    );
    None
}

pub(crate) fn flex() -> Device {
    DeviceChoice::Flex.open().unwrap()
}

/// The network of a parity case, and the inputs of its reference.
pub(crate) fn case(name: &str, device: &Device, precision: Precision) -> Option<(Network, Value)> {
    let case = parity::CASES.iter().find(|case| case.name == name).unwrap();
    let assets = assets(case.checkpoint)?;
    let network = Network::open(&assets.join(case.checkpoint), device, precision).unwrap();
    let reference = Checkpoint::read(&assets.join(case.reference)).unwrap();
    let x = parity::input(&reference, &network).unwrap();
    Some((network, x))
}

/// Numbers between -1 and 1 without a pattern.
pub(crate) fn direction(count: usize) -> Vec<f64> {
    (0..count)
        .map(|i| (i as f64 * 0.754_877_666).fract() * 2.0 - 1.0)
        .collect()
}

/// `value + step · direction`.
pub(crate) fn moved(value: &Value, direction: &[f64], step: f64, network: &Network) -> Value {
    let numbers = value.to_vec().unwrap();
    let moved: Vec<f64> = numbers
        .iter()
        .zip(direction)
        .map(|(z, d)| z + step * d)
        .collect();
    Value::from_f64(
        &moved,
        &value.shape(),
        network.device(),
        network.precision(),
    )
    .unwrap()
}

/// Whether two lists agree up to a share of the second one's largest entry.
pub(crate) fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    let scale = b.iter().fold(0.0f64, |scale, b| scale.max(b.abs()));
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| (a - b).abs() <= tolerance * scale)
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
