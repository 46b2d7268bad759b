//! Devices against the reference device, operator shape by operator shape, for the architectures.
//!
//! The tables go to standard error, and as JSON into the folder that `OUT` names, if it names one.

#![cfg(any(feature = "ndarray", feature = "wgpu"))]

mod common;

use std::path::PathBuf;

use common::assets;
use network::{DeviceCheck, DeviceChoice, Model, Precision, parity};

/// A network of each architecture, the examples of a batch and their shape.
const NETWORKS: [(&str, usize, &[usize]); 4] = [
    ("mlp 9x200", 512, &[784]),
    ("squeezenet 1.1", 4, &[3, 224, 224]),
    ("mobilevit-xxs, timm", 4, &[3, 256, 256]),
    ("distilbert, sst-2", 8, &[2, 64]),
];

fn check(choice: DeviceChoice, precision: Precision) {
    let Some(assets) = assets("mlp/mnist") else {
        return;
    };
    let device = match choice.open() {
        Ok(device) => device,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    eprintln!("{device:?}; auto is {}", DeviceChoice::Auto.resolve());
    for (name, batch, shape) in NETWORKS {
        let mut cases = parity::CASES.iter();
        let case = cases.find(|case| case.name == name).unwrap();
        let model = Model::open(&assets.join(case.checkpoint)).unwrap();
        let check = DeviceCheck::of(&model, choice, &device, precision, batch, shape);
        let check = check.unwrap().unwrap();
        eprintln!("{name} in {precision}: {check}");
        for row in &check.operators {
            let backward = row.backward.map(|share| format!("{share:.1e}"));
            eprintln!(
                "  {:.1e} {:>7} {:6.2} s  {} ({} nodes)",
                row.forward,
                backward.unwrap_or_default(),
                row.seconds,
                row.operator,
                row.nodes.len()
            );
        }
        if let Some(folder) = std::env::var_os("OUT").map(PathBuf::from) {
            std::fs::create_dir_all(&folder).unwrap();
            let file = format!("device_check {choice} {precision} {name}.json");
            let file = folder.join(file.replace([' ', ','], "_"));
            std::fs::write(file, serde_json::to_vec_pretty(&check).unwrap()).unwrap();
        }
        // Sums in another order, not other numbers.
        let rounding = match precision {
            Precision::F32 => 1e-4,
            Precision::F64 => 1e-6,
        };
        let [forward, backward] = check.worst();
        assert!(forward <= rounding && backward <= rounding, "{check}");
    }
}

#[test]
#[cfg(feature = "ndarray")]
fn operators_on_ndarray_are_those_of_flex_in_f32() {
    check(DeviceChoice::NdArray, Precision::F32);
}

#[test]
#[cfg(feature = "ndarray")]
fn operators_on_ndarray_are_those_of_flex_in_f64() {
    check(DeviceChoice::NdArray, Precision::F64);
}

#[test]
#[cfg(feature = "wgpu")]
fn operators_on_wgpu_are_those_of_flex() {
    check(DeviceChoice::Wgpu, Precision::F32);
}
