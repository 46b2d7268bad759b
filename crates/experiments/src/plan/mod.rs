//! What a run does: networks, splits, methods, seeds.
//!
//! A plan is typed in as TOML ([`file`]), checked once, and becomes a [`ResolvedPlan`] in which every
//! default is written out. The resolved plan is itself a valid plan: the copy in a run directory can be
//! read back or run again.
//!
//! ```toml
//! name = "fog"
//! seeds = [0, 1, 2]                   # default if order is "random", else [0]
//! points = [10, 50, 100]              # default
//! layers = "all"                      # default, or a list of layer names
//!
//! [[networks]]
//! name = "mnist-3x100"
//! file = "weights/mnist_3x100.safetensors"
//!
//! [splits.repair]                     # likewise guard, generalization, drawdown,
//! images = "datasets/..."             # selection_clean, selection_corrupted
//! labels = "datasets/..."
//! source = "mnist-test"
//! corruption = "fog"                  # default "clean"
//! range = [0, 2000]
//! keep = "wrong"                      # default "all"
//! order = "random"                    # default "first"
//!
//! [[methods]]
//! method = "sequential"
//! objective = "guarded"
//! margin = 1.0
//!
//! [heuristics]
//! reference = "sequential-guarded"
//! ```

pub mod file;
mod resolve;

use std::path::{Path, PathBuf};

use network::{DeviceChoice, Precision};
use serde::{Deserialize, Serialize};

pub use resolve::{Files, Vocabulary};

use crate::error::{ExperimentError, Result};

/// The environment variable that may open a path of a plan.
pub const ASSETS_VARIABLE: &str = "INFORMED_REPAIR_ASSETS";

/// Text of the plan that runs when none is named.
pub const DEFAULT_PLAN: &str = include_str!("../../plans/default.toml");

/// Which layers are repaired.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Choice {
    /// All there are.
    #[default]
    All,
    /// Those with these names.
    Named(Vec<String>),
}

impl Serialize for Choice {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Named(names) => names.serialize(serializer),
        }
    }
}

/// Which examples of a range a split keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Those that the network gets wrong.
    Wrong,
    /// Those that the network gets right.
    Right,
    /// Every one.
    #[default]
    All,
}

/// In which order a split's examples are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// As they lie in the file.
    #[default]
    First,
    /// Drawn by the seed of a repair set.
    Random,
}

/// A file of a plan: as it is written there, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanPath {
    /// As written in the plan: relative to the repository root, absolute, or opened by
    /// `$INFORMED_REPAIR_ASSETS`.
    pub written: String,
    /// Where it lies on this machine.
    pub path: PathBuf,
}

impl Serialize for PlanPath {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written)
    }
}

/// A network to repair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkPlan {
    /// Its name in trials and tables.
    pub name: String,
    /// Its checkpoint.
    pub file: PlanPath,
}

/// Where the examples of one split come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitPlan {
    /// Images, an IDX file.
    pub images: PlanPath,
    /// Labels, an IDX file.
    pub labels: PlanPath,
    /// Name of the dataset in results.
    pub source: String,
    /// Corruption applied to every image; `clean` for none.
    pub corruption: String,
    /// First and one past the last index in the file.
    pub range: [usize; 2],
    /// Which examples of the range are kept.
    pub keep: Keep,
    /// In which order they are taken.
    pub order: Order,
    /// At most this many examples are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl SplitPlan {
    /// The corruption, or the source where there is none: the short name in a trial's identifier.
    pub fn variant(&self) -> &str {
        if self.corruption == CLEAN {
            &self.source
        } else {
            &self.corruption
        }
    }

    /// Source and corruption, as in the `dataset` column.
    pub fn dataset(&self) -> String {
        if self.corruption == CLEAN {
            self.source.clone()
        } else {
            format!("{}-{}", self.source, self.corruption)
        }
    }

    /// The number of examples that the split has at most.
    pub fn capacity(&self) -> usize {
        let length = self.range[1].saturating_sub(self.range[0]);
        self.limit.map_or(length, |limit| limit.min(length))
    }
}

/// The corruption that leaves an image as it is.
pub const CLEAN: &str = "clean";

/// The sets of a run.
///
/// Examples of different splits never share an image of one file; resolving a plan checks it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitsPlan {
    /// The pool from which repair sets are drawn.
    pub repair: SplitPlan,
    /// Clean examples whose behaviour the objective keeps.
    pub guard: SplitPlan,
    /// Unseen examples similar to the repair set.
    pub generalization: SplitPlan,
    /// Held-out clean examples.
    pub drawdown: SplitPlan,
    /// Clean examples on which brute force selects.
    pub selection_clean: SplitPlan,
    /// Corrupted examples on which brute force selects.
    pub selection_corrupted: SplitPlan,
}

impl SplitsPlan {
    /// Every split under its name in the plan.
    pub fn named(&self) -> [(&'static str, &SplitPlan); 6] {
        [
            ("repair", &self.repair),
            ("guard", &self.guard),
            ("generalization", &self.generalization),
            ("drawdown", &self.drawdown),
            ("selection_clean", &self.selection_clean),
            ("selection_corrupted", &self.selection_corrupted),
        ]
    }
}

/// How a repair is computed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MethodPlan {
    /// Its name in trials and tables, unique in the plan.
    pub name: String,
    /// Repair method.
    pub method: String,
    /// What the repair minimises.
    pub objective: String,
    /// Margin by which every repaired point must be right, in units of the outputs.
    pub margin: f64,
    /// Time box of one repair, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<f64>,
}

/// How brute force weighs the two measures of the selection splits, both in percentage points:
/// it keeps the layer with the largest `generalization·G - drawdown·D`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Weight of the accuracy gained on corrupted examples.
    pub generalization: f64,
    /// Weight of the accuracy lost on clean examples.
    pub drawdown: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            generalization: 1.0,
            drawdown: 1.0,
        }
    }
}

/// Which layer heuristics are scored, and against which table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeuristicsPlan {
    /// Name of the method whose repairs at every layer are the oracle's table.
    pub reference: String,
    /// The heuristics, by name.
    pub names: Vec<String>,
    /// The heuristic whose pick opens the report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// How brute force weighs its two measures.
    pub weights: Weights,
}

/// A plan with every default written out and every name checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResolvedPlan {
    /// Name of the plan.
    pub name: String,
    /// Seeds; each draws its own repair sets.
    pub seeds: Vec<u64>,
    /// Sizes of the repair sets.
    pub points: Vec<usize>,
    /// Layers to repair.
    pub layers: Choice,
    /// Repairs that run at once.
    pub jobs: usize,
    /// Where networks compute.
    pub device: DeviceChoice,
    /// In which float type they compute.
    pub dtype: Precision,
    /// Networks to repair.
    pub networks: Vec<NetworkPlan>,
    /// Methods to repair them with.
    pub methods: Vec<MethodPlan>,
    /// Heuristics to score.
    pub heuristics: HeuristicsPlan,
    /// Sets of examples.
    pub splits: SplitsPlan,
}

impl ResolvedPlan {
    /// Parses and checks a plan's text; `name` is how diagnostics call the file.
    ///
    /// Relative paths start at `root`. [`Files::Required`] makes a missing file an error.
    ///
    /// # Errors
    /// [`ExperimentError::Plan`], which points at the bytes at fault.
    pub fn parse(
        name: &str,
        text: &str,
        vocabulary: &Vocabulary<'_>,
        root: &Path,
        files: Files,
    ) -> Result<Self> {
        resolve::resolve(name, text, vocabulary, root, files)
    }

    /// The plan as TOML, which [`ResolvedPlan::parse`] reads back to an equal plan.
    ///
    /// # Errors
    /// [`ExperimentError::Encode`] if a number has no TOML form.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|source| ExperimentError::Encode {
            what: format!("plan {}", self.name),
            source: Box::new(source),
        })
    }

    /// The method whose repairs are the oracle's table.
    pub fn reference(&self) -> Option<&MethodPlan> {
        self.methods
            .iter()
            .find(|method| method.name == self.heuristics.reference)
    }

    /// Adds `offset` to every seed.
    ///
    /// # Errors
    /// [`ExperimentError::Usage`] if a seed leaves the range of TOML's integers.
    pub fn offset_seeds(&mut self, offset: u64) -> Result<()> {
        for seed in &mut self.seeds {
            *seed = seed
                .checked_add(offset)
                .filter(|sum| i64::try_from(*sum).is_ok())
                .ok_or_else(|| ExperimentError::Usage {
                    problem: format!("seed {seed} plus {offset} exceeds {}", i64::MAX),
                })?;
        }
        Ok(())
    }

    /// The plan without what leaves the results as they are: the number of jobs.
    pub(crate) fn without_jobs(&self) -> Self {
        Self {
            jobs: 1,
            ..self.clone()
        }
    }

    /// Every file of the plan with its role, each file once.
    pub fn files(&self) -> Vec<(String, &PlanPath)> {
        let networks = self
            .networks
            .iter()
            .map(|network| (format!("network {}", network.name), &network.file));
        let splits = self.splits.named().into_iter().flat_map(|(name, split)| {
            [
                (format!("split {name}, images"), &split.images),
                (format!("split {name}, labels"), &split.labels),
            ]
        });
        let mut files: Vec<(String, &PlanPath)> = Vec::new();
        for (role, path) in networks.chain(splits) {
            if !files.iter().any(|(_, known)| known.written == path.written) {
                files.push((role, path));
            }
        }
        files
    }
}

/// The repository root: the nearest folder at or above `start` that has `weights/` and `datasets/`,
/// otherwise the one that this crate was built in.
pub fn repository_root(start: &Path) -> PathBuf {
    start
        .ancestors()
        .find(|folder| folder.join("weights").is_dir() && folder.join("datasets").is_dir())
        .map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
            Path::to_path_buf,
        )
}
