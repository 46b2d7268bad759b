//! `cargo xtask targets layers`: layer-selection heuristics against brute force.
//!
//! | module | holds |
//! |---|---|
//! | `sets` | networks, repair sets, splits |
//! | `brute` | one repair set at one layer |
//! | `store` | results on disk, so that a study is resumed |

mod brute;
mod sets;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use miette::IntoDiagnostic;
use network::Layer;
use repair::GuardMoments;

use self::brute::{Probes, Trial, trial};
use self::sets::{SetKey, Splits, keys};
use self::store::Store;
use super::measure::Bench;
use super::world::{World, say};

/// The name of the table.
pub(super) const NAME: &str = "layers";

/// Guard examples of images and texts, and of vectors.
const GUARD: [usize; 2] = [300, 2000];

/// What the study is to cover.
pub(super) struct Study {
    /// Networks whose name contains this.
    pub(super) only: String,
    /// Repair sets of each network.
    pub(super) sets: usize,
    /// The folder of its results.
    pub(super) store: PathBuf,
}

/// Repairs what is missing in the store.
pub(super) fn run(world: &World, study: &Study) -> miette::Result<ExitCode> {
    let mut trials: Store<Trial> = Store::open(&study.store.join("trials.jsonl"))?;
    let keys: Vec<_> = keys(study.sets)
        .into_iter()
        .filter(|(key, _)| key.network.contains(&study.only))
        .collect();
    for (key, kind) in &keys {
        let bench = (kind.bench)(world)?;
        let layers: Vec<Layer> = candidates(&bench);
        let open: Vec<&Layer> = layers
            .iter()
            .filter(|layer| !is_done(&trials, key, layer))
            .collect();
        if open.is_empty() {
            continue;
        }
        let splits = Splits::new(&bench)?;
        let probes = Probes::new(&bench.subject.network, &splits)?;
        let moments = moments(world, &bench, &layers)?;
        let points = splits.draw(&bench, key)?;
        for layer in open {
            let found = trial(&bench, &moments, &probes, key, &points, layer)?;
            say(&format!(
                "{key} {}: {:.1} s, repaired {}, {:?}",
                layer.name, found.seconds, found.repaired, found.test
            ));
            trials.push(found)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The layers that can be repaired.
fn candidates(bench: &Bench) -> Vec<Layer> {
    let layers = bench.subject.network.layers().iter();
    layers
        .filter(|layer| repair::supported(layer).is_ok())
        .cloned()
        .collect()
}

fn is_done(trials: &Store<Trial>, key: &SetKey, layer: &Layer) -> bool {
    let mut known = trials.records.iter();
    known.any(|trial| trial.set == *key && trial.layer == layer.index)
}

fn moments(
    world: &World,
    bench: &Bench,
    layers: &[Layer],
) -> miette::Result<std::rc::Rc<GuardMoments>> {
    world.all_moments.get(&bench.name, || {
        say(&format!("guard moments of all layers of {}", bench.name));
        let guard = &bench.guard;
        let count = GUARD[usize::from(guard.shape.len() == 1)].min(guard.len());
        let inputs = &guard.inputs[..count * guard.example_len()];
        GuardMoments::collect(&bench.subject.network, inputs, &guard.shape, layers)
            .into_diagnostic()
    })
}
