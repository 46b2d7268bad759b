//! The plan as it is typed in: every field with its default, every checked value with its place in the text.

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use network::{DeviceChoice, Precision};

use super::{Choice, Keep, Order, Weights};

/// A plan file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// Name of the plan and of its run directories: letters, digits, `-`, `_` and `.`.
    pub name: Spanned<String>,
    /// Seeds; each draws its own repair sets. Default `[0, 1, 2]`, or `[0]` where nothing is drawn: several
    /// need order `"random"` in split repair.
    pub seeds: Option<Spanned<Vec<Spanned<u64>>>>,
    /// Sizes of the repair sets, each at most that of split repair. Default `[10, 50, 100]`.
    pub points: Option<Spanned<Vec<Spanned<usize>>>>,
    /// Layers to repair: `"all"` or a list of names. Default `"all"`.
    pub layers: Option<Spanned<Choice>>,
    /// Repairs that run at once. Default 1, which leaves timings undisturbed.
    pub jobs: Option<Spanned<usize>>,
    /// `flex`, `ndarray` or `wgpu`. Default `flex`.
    #[serde(default)]
    pub device: DeviceChoice,
    /// `f32` or `f64`. Default `f32` on wgpu, else `f64`.
    pub dtype: Option<Precision>,
    /// Networks to repair.
    pub networks: Spanned<Vec<NetworkFile>>,
    /// Sets of examples.
    pub splits: SplitsFile,
    /// Methods to repair with.
    pub methods: Spanned<Vec<Spanned<MethodFile>>>,
    /// Heuristics to score. Default: all of them, against the first method.
    #[serde(default)]
    pub heuristics: HeuristicsFile,
}

/// An entry of `[[networks]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// Name in trials and tables.
    pub name: Spanned<String>,
    /// Model, a safetensors file.
    pub file: Spanned<String>,
}

/// The table `[splits]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitsFile {
    /// The pool from which repair sets are drawn.
    pub repair: SplitFile,
    /// Clean examples whose behaviour the objective keeps.
    pub guard: SplitFile,
    /// Unseen examples similar to the repair set.
    pub generalization: SplitFile,
    /// Held-out clean examples.
    pub drawdown: SplitFile,
    /// Clean examples on which brute force selects.
    pub selection_clean: SplitFile,
    /// Corrupted examples on which brute force selects.
    pub selection_corrupted: SplitFile,
}

/// A table `[splits.<name>]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitFile {
    /// Images, an IDX file.
    pub images: Spanned<String>,
    /// Labels, an IDX file.
    pub labels: Spanned<String>,
    /// Name of the dataset in results.
    pub source: Spanned<String>,
    /// Corruption applied to every image. Default `"clean"`.
    pub corruption: Option<Spanned<String>>,
    /// First and one past the last index in the file.
    pub range: Spanned<Vec<usize>>,
    /// `"wrong"` or `"right"` (by the network before the repair) or `"all"`. Default `"all"`.
    #[serde(default)]
    pub keep: Keep,
    /// `"first"` (as in the file) or, in split repair, `"random"` (drawn by the seed). Default `"first"`.
    pub order: Option<Spanned<Order>>,
    /// At most this many examples. Default: no limit.
    pub limit: Option<Spanned<usize>>,
}

/// An entry of `[[methods]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodFile {
    /// Name in trials and tables, unique. Default: method and objective joined by `-`.
    pub name: Option<Spanned<String>>,
    /// Repair method.
    pub method: Spanned<String>,
    /// What the repair minimises: by method `sequential` `"guarded"` or `"l2"`. Default `"guarded"`.
    pub objective: Option<Spanned<String>>,
    /// Margin by which every repaired point must be right, in units of the outputs. Default 0.05.
    pub margin: Option<Spanned<f64>>,
    /// Time box of one repair, in seconds. Default: none.
    pub time_limit: Option<Spanned<f64>>,
}

/// The table `[heuristics]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeuristicsFile {
    /// The method whose repairs are the oracle's table: its name, `method/objective`, or its index in
    /// `[[methods]]`, counted from 0. Default 0.
    pub reference: Option<Spanned<Reference>>,
    /// `"all"` or a list of names. Default `"all"`.
    pub names: Option<Spanned<Choice>>,
    /// The heuristic whose pick opens the report. Default: none, the report shows every pick alike.
    pub default: Option<Spanned<String>>,
    /// How brute force weighs its two measures. Default: 1 each.
    pub weights: Option<Spanned<Weights>>,
}

/// How a plan names one of its methods.
#[derive(Debug)]
pub enum Reference {
    /// By position, counted from 0.
    Index(usize),
    /// By name, or as `method/objective`.
    Name(String),
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ReferenceVisitor;
        impl Visitor<'_> for ReferenceVisitor {
            type Value = Reference;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("the index of a method or its name")
            }
            fn visit_i64<E: serde::de::Error>(self, index: i64) -> Result<Reference, E> {
                usize::try_from(index)
                    .map(Reference::Index)
                    .map_err(|_| E::custom(format!("expected an index from 0, got {index}")))
            }
            fn visit_u64<E: serde::de::Error>(self, index: u64) -> Result<Reference, E> {
                usize::try_from(index)
                    .map(Reference::Index)
                    .map_err(|_| E::custom(format!("expected an index, got {index}")))
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Reference, E> {
                Ok(Reference::Name(name.to_owned()))
            }
        }
        deserializer.deserialize_any(ReferenceVisitor)
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ChoiceVisitor;
        impl<'de> Visitor<'de> for ChoiceVisitor {
            type Value = Choice;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("\"all\" or a list of names")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Choice, E> {
                match text {
                    "all" => Ok(Choice::All),
                    other => Err(E::custom(format!(
                        "expected \"all\" or a list of names, got {other:?}"
                    ))),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Choice, A::Error> {
                let mut names: Vec<String> = Vec::new();
                while let Some(name) = sequence.next_element::<String>()? {
                    if names.contains(&name) {
                        return Err(A::Error::custom(format!("{name:?} is listed twice")));
                    }
                    names.push(name);
                }
                if names.is_empty() {
                    return Err(A::Error::custom("expected at least one name, got none"));
                }
                Ok(Choice::Named(names))
            }
        }
        deserializer.deserialize_any(ChoiceVisitor)
    }
}
