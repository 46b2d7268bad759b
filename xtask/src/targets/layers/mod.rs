//! `cargo xtask targets layers`: layer-selection heuristics against brute force.
//!
//! | module | holds |
//! |---|---|
//! | `sets` | networks, repair sets, splits |
//! | `brute` | one repair set at one layer |
//! | `pilots` | a few points of a repair set at every layer |
//! | `outcome`, `report` | regret, hits and correlations |
//! | `scores` | what the heuristics say of a repair set |
//! | `store` | results on disk, so that a study is resumed |

mod brute;
mod outcome;
mod pilots;
mod report;
mod scores;
mod sets;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use heuristics::Probe;
use miette::{IntoDiagnostic, miette};
use network::Layer;
use repair::GuardMoments;

use self::brute::{Probes, Trial, trial};
use self::outcome::Oracle;
use self::pilots::{Piloted, pilot};
use self::scores::{Scores, score};
use self::sets::{SetKey, Splits, keys};
use self::store::Store;
use super::measure::{Bench, Moments};
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
    let mut scored: Store<Scores> = Store::open(&study.store.join("scores.jsonl"))?;
    let mut piloted: Store<Piloted> = Store::open(&study.store.join("pilots.jsonl"))?;
    let keys: Vec<_> = keys(study.sets)
        .into_iter()
        .filter(|(key, _)| key.network.contains(&study.only))
        .collect();
    for (key, kind) in &keys {
        let bench = (kind.bench)(world)?;
        let layers = repair::repairable(&bench.subject.network);
        let is_scored = scored.records.iter().any(|scores| scores.set == *key);
        let open = |known: &[(&SetKey, usize)]| -> Vec<&Layer> {
            let is_open = |layer: &&Layer| !known.contains(&(key, layer.index));
            layers.iter().filter(is_open).collect()
        };
        let known: Vec<_> = trials.records.iter().map(|t| (&t.set, t.layer)).collect();
        let to_repair = open(&known);
        let known: Vec<_> = piloted.records.iter().map(|p| (&p.set, p.layer)).collect();
        let to_pilot = open(&known);
        if to_repair.is_empty() && to_pilot.is_empty() && is_scored {
            continue;
        }
        let splits = Splits::new(&bench)?;
        let probes = Probes::new(&bench.subject.network, &splits)?;
        let Moments { moments, seconds } = &*moments(world, &bench, &layers)?;
        let points = splits.draw(&bench, key)?;
        if !is_scored {
            let found = score(&bench, moments, *seconds, guard_size(&bench), key, &points)?;
            say(&format!(
                "{key}: scored in {:.1} s and moments in {seconds:.1} s; {:?}",
                found.total_seconds - seconds,
                found.phases
            ));
            scored.push(found)?;
        }
        let selection = Probe::new(&bench.subject.network, &splits.selection).into_diagnostic()?;
        for layer in to_pilot {
            let found = pilot(&bench, moments, &selection, key, &points, layer)?;
            piloted.push(found)?;
        }
        for layer in to_repair {
            let found = trial(&bench, moments, &probes, key, &points, layer)?;
            say(&format!(
                "{key} {}: {:.1} s, repaired {}, {:?}",
                layer.name, found.seconds, found.repaired, found.test
            ));
            trials.push(found)?;
        }
    }
    let oracles = Oracle::all(&trials.records, &scored.records, &piloted.records);
    if oracles.is_empty() {
        return Err(miette!(
            "no repair set is complete in {}",
            study.store.display()
        ));
    }
    let [met, missed] = report::print(&oracles)?;
    println!("{met} met, {missed} missed");
    Ok(match missed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn moments(world: &World, bench: &Bench, layers: &[Layer]) -> miette::Result<Rc<Moments>> {
    world
        .moments
        .get(&format!("{} all layers", bench.name), || {
            say(&format!("guard moments of all layers of {}", bench.name));
            let start = Instant::now();
            let guard = &bench.guard;
            let inputs = &guard.inputs[..guard_size(bench) * guard.example_len()];
            let moments =
                GuardMoments::collect(&bench.subject.network, inputs, &guard.shape, layers);
            Ok(Moments {
                moments: moments.into_diagnostic()?,
                seconds: start.elapsed().as_secs_f64(),
            })
        })
}

/// Guard examples that are used.
fn guard_size(bench: &Bench) -> usize {
    let guard = &bench.guard;
    GUARD[usize::from(guard.shape.len() == 1)].min(guard.len())
}
