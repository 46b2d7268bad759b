//! Time and rows of the lazily generated repair against the same problem written out in full.
//!
//! `cargo bench -p repair` repairs fog-corrupted digits that the shipped 3x100 network gets wrong, frozen
//! pattern, least L2 change. Both sides solve the same problem on one thread in one run: ours generates rows
//! and solves in kernel form; Clarabel gets all rows as one sparse program. Sensitivities count as solving.

use std::path::PathBuf;
use std::time::Instant;

use data::{Corruption, Dataset, mnist};
use network::{DeviceChoice, Model, Network, Precision};
use repair::{
    FullOutcome, FullProgram, Method, Objective, Options, Outcome, Problem, RepairSet, Safety,
    Suffix, repair,
};

/// The safety that repairs use in f64.
const SAFETY: Safety = Safety {
    specification: 1e-4,
    sign: 1e-5,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo bench` passes `--bench`; under `cargo test` there is nothing to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let checkpoint = Model::open(&root.join("weights/mnist_3x100.safetensors"))?;
    let network = Network::load(&checkpoint, &DeviceChoice::Flex.open()?, Precision::F64)?;
    let test = mnist::load_test(&root.join("datasets/mnist"))?;
    let fog = Corruption::Fog.corrupt(&test.subset(&(0..2000).collect::<Vec<_>>())?, None, 0)?;
    let wrong = misclassified(&network, &fog)?;

    println!(
        "layer points rows_used rows_total ours_s full_rows full_nonzeros full_s ratio objective_gap"
    );
    for points in [10, 50, 100] {
        let set = RepairSet::argmax(&fog.subset(&wrong[..points])?, 0.05)?;
        for layer in &network.layers()[1..] {
            measure(&network, &checkpoint, layer, &set)?;
        }
    }
    Ok(())
}

fn measure(
    network: &Network,
    checkpoint: &Model,
    layer: &network::Layer,
    set: &RepairSet,
) -> Result<(), Box<dyn std::error::Error>> {
    let problem = Problem {
        network,
        checkpoint,
        layers: std::slice::from_ref(layer),
        set,
        guard: None,
        start: None,
    };
    let options = Options {
        method: Method::Frozen,
        objective: Objective::L2,
        ..Options::default()
    };
    let mut ours = f64::INFINITY;
    let mut report = None;
    for _ in 0..5 {
        match repair(&problem, &options)? {
            Outcome::Repaired(repair) => {
                ours = ours.min(repair.report.solve_seconds);
                report = Some(repair.report);
            }
            other => return Err(format!("layer {}: {other:?}", layer.name).into()),
        }
    }
    let report = report.ok_or("no repetition ran")?;

    let suffix = Suffix::new(network, std::slice::from_ref(layer), set, true)?;
    let program = FullProgram::new(&suffix, set, Objective::L2, SAFETY, None, None)?;
    let program = program.ok_or("no deadline passes")?;
    let (rows, _, nonzeros) = program.size();
    let start = Instant::now();
    let FullOutcome::Optimal(_, value, _) = program.solve(None)? else {
        return Err(format!("layer {}: the full problem was not solved", layer.name).into());
    };
    let full = start.elapsed().as_secs_f64();
    println!(
        "{:5} {:6} {:9} {:10} {ours:6.3} {rows:9} {nonzeros:13} {full:6.2} {:5.0} {:13.1e}",
        layer.name,
        set.len(),
        report.rows,
        report.rows_total,
        full / ours,
        (report.objective - value).abs() / value,
    );
    Ok(())
}

fn misclassified(
    network: &Network,
    set: &Dataset,
) -> Result<Vec<usize>, Box<dyn std::error::Error>> {
    let outputs = network.forward(network.batch(&set.inputs)?)?.to_vec()?;
    let best =
        |row: &[f64]| (1..row.len()).fold(0, |best, c| if row[c] > row[best] { c } else { best });
    let answers = outputs
        .chunks_exact(set.classes)
        .map(best)
        .zip(&set.labels)
        .enumerate();
    Ok(answers
        .filter(|(_, (answer, label))| answer != *label)
        .map(|(i, _)| i)
        .collect())
}
