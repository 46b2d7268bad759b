//! `cargo xtask targets layers`: layer-selection heuristics against brute force.
//!
//! | module | holds |
//! |---|---|
//! | `sets` | networks, repair sets, splits |
//! | `brute` | one repair set at one layer |
//! | `scores` | what the heuristics say of a repair set |
//! | `choice` | what the search within a budget comes to on it |
//! | `outcome`, `report` | regret, hits and correlations |
//! | `store` | results on disk, so that a study is resumed |

mod brute;
mod choice;
#[cfg(test)]
mod fixture;
mod outcome;
mod report;
mod scores;
mod sets;
mod store;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use data::Dataset;
use experiments::terminal;
use miette::{IntoDiagnostic, miette};
use network::Layer;
use repair::GuardMoments;

use self::brute::{Probes, ROUNDS, TIME_BOX, Trial, trial};
use self::choice::{Chooser, Chosen};
use self::outcome::Oracle;
use self::scores::{Scores, score};
use self::sets::{Kind, SELECTION, SetKey, Splits, TEST, keys};
use self::store::{Settings, Store, build, lock};
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

/// The share of the time of all repairs that the search gets. It may take longer: until a repair
/// succeeds each has the time of one, and what is begun is ended.
const BUDGET_SHARE: f64 = 0.1;

/// What is known so far.
struct Known {
    trials: Store<Trial>,
    scores: Store<Scores>,
    choices: Store<Chosen>,
}

/// Measures what is missing in the store, and judges what is there.
pub(super) fn run(world: &World, study: &Study) -> miette::Result<ExitCode> {
    let keys = keys(study.sets, &study.only)?;
    let settings = Settings {
        time_box_seconds: TIME_BOX.as_secs_f64(),
        rounds: ROUNDS,
        clean: [SELECTION, TEST],
        guard: GUARD,
        budget_share: BUDGET_SHARE,
    };
    let _lock = lock(&study.store)?;
    settings.keep(&study.store)?;
    let mut known = Known {
        trials: Store::open(&study.store.join("trials.jsonl"))?,
        scores: Store::open(&study.store.join("scores.jsonl"))?,
        choices: Store::open(&study.store.join("choices.jsonl"))?,
    };
    let build = build()?;
    for (key, kind) in &keys {
        known.exhaust(world, key, kind, &build)?;
    }
    // The prior of a network is fitted on all others.
    for (key, kind) in &keys {
        known.choose(world, key, kind, &build)?;
    }
    let (oracles, unrepaired) = known.oracles();
    if oracles.is_empty() {
        return Err(miette!(
            "no repair set in {} is complete and repaired at some layer",
            study.store.display()
        ));
    }
    let judged = report::print(&oracles, &unrepaired)?;
    verdict(judged, &study.store)
}

/// The exit code of the targets that are met and missed.
fn verdict([met, missed]: [usize; 2], store: &Path) -> miette::Result<ExitCode> {
    terminal::print(format_args!("{met} met, {missed} missed"));
    match (met, missed) {
        (0, 0) => Err(miette!(
            "nothing was judged: the search has chosen for no repair set in {}, which needs complete sets of another network there",
            store.display()
        )),
        (_, 0) => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::FAILURE),
    }
}

impl Known {
    fn oracles(&self) -> (Vec<Oracle<'_>>, Vec<&SetKey>) {
        Oracle::all(
            &self.trials.records,
            &self.scores.records,
            &self.choices.records,
        )
    }

    /// Scores a repair set and repairs it at every layer.
    fn exhaust(
        &mut self,
        world: &World,
        key: &SetKey,
        kind: &Kind,
        build: &str,
    ) -> miette::Result<()> {
        let bench = (kind.bench)(world)?;
        let network = &bench.subject.network;
        let layers = repair::repairable(network);
        let done: Vec<usize> = self
            .trials
            .records
            .iter()
            .filter(|trial| trial.set == *key)
            .map(|trial| trial.layer)
            .collect();
        let is_scored = self.scores.records.iter().any(|scores| scores.set == *key);
        if done.len() == layers.len() && is_scored {
            return Ok(());
        }
        let splits = Splits::new(&bench)?;
        let guard = guard(&bench)?;
        let Moments { moments, seconds } = &*moments(world, &bench, &guard, &layers)?;
        let points = splits.draw(&bench, key)?;
        if !is_scored {
            let found = score(&bench, moments, *seconds, &guard, key, &points, build)?;
            say(&format!(
                "{key}: scored in {:.1} s and moments in {seconds:.1} s; {:?}",
                found.total_seconds - seconds,
                found.phases
            ));
            self.scores.push(found)?;
        }
        let mut probes = Probes::new(network, &splits).into_diagnostic()?;
        for layer in layers.iter().filter(|layer| !done.contains(&layer.index)) {
            probes.advance(network, layer).into_diagnostic()?;
            let found = trial(&bench, moments, &probes, key, &points, layer, build)?;
            say(&format!(
                "{key} {}: {:.1} s, repaired {}, {:?}",
                layer.name, found.seconds, found.repaired, found.elsewhere.test
            ));
            self.trials.push(found)?;
        }
        Ok(())
    }

    /// Lets the search choose for a repair set, in a share of the time that brute force took.
    fn choose(
        &mut self,
        world: &World,
        key: &SetKey,
        kind: &Kind,
        build: &str,
    ) -> miette::Result<()> {
        let (oracles, _) = self.oracles();
        let Some(oracle) = oracles.iter().find(|oracle| oracle.key == key) else {
            return Ok(());
        };
        if oracles.iter().all(|other| other.key.network == key.network) {
            say(&format!(
                "{key}: no choice, its prior is fitted on other networks and none is complete"
            ));
            return Ok(());
        }
        // A former choice knows more of brute force's time, and must not change the budget.
        let budget = Duration::from_secs_f64(BUDGET_SHARE * oracle.repairs_seconds());
        let prior = report::fit(&oracles, |network| network != key.network)?;
        // A choice by another prior is made again: that of before knew fewer repair sets.
        if oracle.chosen.is_some_and(|chosen| chosen.is_by(&prior)) {
            return Ok(());
        }
        let bench = (kind.bench)(world)?;
        let network = &bench.subject.network;
        let splits = Splits::new(&bench)?;
        let chooser = Chooser {
            bench: &bench,
            guard: &guard(&bench)?,
            selection: &splits.selection,
            probes: &Probes::new(network, &splits).into_diagnostic()?,
            prior: &prior,
            build,
        };
        let chosen = chooser.choose(key, &splits.draw(&bench, key)?, budget)?;
        say(&format!("{key}: {chosen:?}"));
        self.choices.push(chosen)
    }
}

fn moments(
    world: &World,
    bench: &Bench,
    guard: &Dataset,
    layers: &[Layer],
) -> miette::Result<Rc<Moments>> {
    let name = format!("{} all layers", bench.name);
    world.moments.get(&name, || {
        say(&format!("guard moments of all layers of {}", bench.name));
        let start = Instant::now();
        let Dataset { inputs, shape, .. } = guard;
        let moments = GuardMoments::collect(&bench.subject.network, inputs, shape, layers);
        Ok(Moments {
            moments: moments.into_diagnostic()?,
            seconds: start.elapsed().as_secs_f64(),
        })
    })
}

/// The guard examples that are used.
fn guard(bench: &Bench) -> miette::Result<Dataset> {
    let count = GUARD[usize::from(bench.guard.shape.len() == 1)].min(bench.guard.len());
    let positions: Vec<usize> = (0..count).collect();
    bench.guard.subset(&positions).into_diagnostic()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_that_judges_nothing_is_an_error_that_names_its_folder() {
        let error = verdict([0, 0], Path::new("study")).unwrap_err().to_string();
        assert!(error.contains("in study"), "{error}");
        assert!(verdict([0, 1], Path::new("study")).is_ok());
    }
}
