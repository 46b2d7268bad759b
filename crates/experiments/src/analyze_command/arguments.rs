//! The flags of `experiments analyze`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::error::{ExperimentError, Result};
use crate::outputs::{Input, Outputs};
use crate::repair_command::SourceArguments;
use crate::repair_command::arguments::non_negative;

/// Points that are left out where --drop does not say how many.
const DROPS: u32 = 5;
/// The margin of the repair that they would cost, where --margin does not say it.
const MARGIN: f64 = 0.1;

/// Say what kind of a repair set it is: its classes and margins, how its points lie in the input space and
/// at layers of the network, and which of them cost a repair most.
///
/// Sets are given as to `experiments repair`. At each layer a point is the mean of the layer's outputs over
/// pixels or tokens.
///
/// Exit codes: 0 analysed; 1 an error while running; 2 bad usage.
#[derive(Clone, Debug, Args, Serialize)]
pub struct AnalyzeArguments {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub source: SourceArguments,
    /// Clean inputs that a repair should leave alone: says how the points cover them
    #[arg(long, value_name = "PATH")]
    pub guard: Option<PathBuf>,
    /// The most inputs of the guard set to use, spread evenly over it
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub guard_limit: u32,
    /// Where the points are looked at: layers by name, `last` or `input`, with commas between them, or `all`
    /// [default: the input, the first, the middle and the last layer]
    #[arg(long, value_name = "NAME")]
    pub layer: Option<String>,
    /// The most points to leave out at the layer, in turn: those that cost a repair of it most; needs --guard and
    /// a single --layer [default: 5 with both]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub drop: Option<u32>,
    /// By how much a repair would make the right output exceed every other one, where points are left out
    /// [default: 0.1]
    #[arg(long, value_name = "NUMBER", value_parser = non_negative)]
    pub margin: Option<f64>,
    /// File for the result as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write over a report that exists
    #[arg(long)]
    pub force: bool,
}

impl AnalyzeArguments {
    /// Finds what cannot work before anything is read.
    ///
    /// # Errors
    /// [`ExperimentError::Usage`].
    pub fn check(&self) -> Result<()> {
        let given = [
            ("--drop", self.drop.is_some()),
            ("--margin", self.margin.is_some()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) if self.drops().is_none() => Err(ExperimentError::Usage {
                problem: format!("{flag} needs --guard and one --layer"),
            }),
            _ => {
                let guard = self.guard.as_deref();
                let guard = guard.map(|guard| Input::Set("--guard", guard));
                let inputs = self.source.inputs().into_iter().chain(guard);
                self.outputs().check(inputs)
            }
        }
    }

    /// What is written.
    pub(super) fn outputs(&self) -> Outputs<'_> {
        Outputs {
            out: None,
            report: self.report.as_deref(),
            force: self.force,
        }
    }

    /// What is left out at a layer, where that can be asked.
    pub(super) fn drops(&self) -> Option<Drops<'_>> {
        let layer = self.layer.as_deref().filter(|_| self.guard.is_some())?;
        let single = !layer.contains(',') && !["all", "input"].contains(&layer);
        single.then(|| Drops {
            layer,
            count: self.drop.unwrap_or(DROPS) as usize,
            margin: self.margin.unwrap_or(MARGIN),
        })
    }
}

/// Points to leave out, in turn.
pub(super) struct Drops<'a> {
    /// Where a repair would be made.
    pub(super) layer: &'a str,
    /// The most points.
    pub(super) count: usize,
    /// That of the repair.
    pub(super) margin: f64,
}
