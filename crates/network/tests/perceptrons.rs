//! Perceptrons that PyTorch saved whole: their outputs against PyTorch's.

use std::path::PathBuf;

use network::{Checkpoint, DeviceChoice, Network, Precision, Value};

fn saved(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../model/tests/reference/networks")
        .join(name)
}

#[test]
fn modules_compute_what_pytorch_computes() {
    let expected = Checkpoint::read(&saved("expected.safetensors")).unwrap();
    let device = DeviceChoice::Flex.open().unwrap();
    let x = expected.tensor("x").unwrap();
    let mut networks = 0;
    for name in expected.names().filter(|name| *name != "x") {
        let path = saved(&format!("{name}.pt"));
        let network = Network::open(&path, &device, Precision::F64).unwrap();
        let shape = expected.shape("x").unwrap();
        let x = Value::from_f64(&x, shape, &device, Precision::F64).unwrap();
        let outputs = network.forward(x).unwrap().to_vec().unwrap();
        let stored = expected.tensor(name).unwrap();
        assert_eq!(outputs.len(), stored.len(), "{name}");
        for (got, stored) in outputs.iter().zip(&stored) {
            assert!((got - stored).abs() <= 1e-12, "{name}: {got} {stored}");
        }
        networks += 1;
    }
    assert_eq!(networks, 9);
}
