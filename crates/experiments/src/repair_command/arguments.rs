//! The flags of `experiments repair`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use data::Preprocessing;
use data::image::presets;
use data::labelled::Columns;
use network::{DeviceChoice, Precision};
use repair::{Method, Objective, Options, Protection, TOLERANCE};
use serde::{Serialize, Serializer};

use crate::error::{ExperimentError, Result};
use crate::model_arguments::ModelArguments;
use crate::outputs::{Input, Outputs};

/// A preprocessing under its name.
pub type Preset = (&'static str, fn() -> Preprocessing);

/// The preprocessings that `--preprocessing` names.
pub const PREPROCESSINGS: [Preset; 6] = [
    ("squeezenet", presets::squeezenet),
    ("squeezenet-uncropped", squeezenet_uncropped),
    ("mobilevit-timm", presets::mobilevit_xxs_timm),
    ("mobilevit-transformers", presets::mobilevit_transformers),
    ("mobilevit-fashion", presets::mobilevit_fashion),
    ("unit", presets::unit),
];

/// Pictures that have the network's size already: colours as torchvision's SqueezeNet reads them.
fn squeezenet_uncropped() -> Preprocessing {
    Preprocessing {
        resize: None,
        crop: None,
        ..presets::squeezenet()
    }
}

// Its flags are those of several commands, whose descriptions a doc comment here would replace.
#[allow(missing_docs)]
#[derive(Clone, Debug, Args, Serialize)]
pub struct SourceArguments {
    #[command(flatten)]
    #[serde(flatten)]
    pub model: ModelArguments,
    /// Inputs that the network must classify right afterwards
    #[arg(long, value_name = "PATH")]
    pub repair: PathBuf,
    /// Where the network computes: auto, flex, ndarray or wgpu
    #[arg(long, value_name = "NAME", default_value_t)]
    pub device: DeviceChoice,
    /// Float type in which it computes [default: f64 for multilayer perceptrons on a CPU, f32 elsewhere]
    #[arg(long, value_name = "f32|f64")]
    pub dtype: Option<Precision>,
    /// How pictures become inputs [default: that of the network's files or architecture]
    #[arg(long, value_name = "NAME", value_parser = PREPROCESSINGS.map(|(name, _)| name))]
    pub preprocessing: Option<String>,
    /// The same for pictures of --guard and --clean, which may have been cropped already [default: --preprocessing]
    #[arg(long, value_name = "NAME", value_parser = PREPROCESSINGS.map(|(name, _)| name))]
    pub guard_preprocessing: Option<String>,
    /// Columns, tensors or arrays that hold texts, inputs and labels, e.g. text=review,label=stars
    #[arg(long, value_name = "text=NAME,label=NAME", value_parser = columns)]
    pub columns: Option<Columns>,
    /// Go on without pictures and rows that cannot be read, and report them
    #[arg(long)]
    pub skip_unreadable: bool,
    /// Go on where the labels do not seem to be those that the network means
    #[arg(long)]
    pub trust_labels: bool,
    /// Repair only the inputs that the network gets wrong
    #[arg(long)]
    pub only_wrong: bool,
    /// The most points to repair: the first ones, or with --seed drawn ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Draw the points of --limit with this seed
    #[arg(long, value_name = "N", requires = "limit")]
    pub seed: Option<u64>,
}

/// Repair one layer of a network so that it classifies a set of inputs right.
///
/// A set is a folder of pictures (class folders, or labels.csv), a .tsv file with the columns of GLUE's
/// tasks, an IDX file of images (labels beside it, or IMAGES,LABELS), or a safetensors file with the
/// tensors `inputs` and `labels`.
///
/// Exit codes: 0 repaired and written; 1 an error while running; 2 bad usage; 3 infeasible: no change of
/// this layer under this method repairs all points; 4 unknown: neither was shown.
#[derive(Clone, Debug, Args, Serialize)]
pub struct RepairArguments {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub source: SourceArguments,
    /// Clean inputs whose outputs should stay; only the objective guarded needs them
    #[arg(long, value_name = "PATH")]
    pub guard: Option<PathBuf>,
    /// Layer to edit, by its name or `last`; a sequential repair takes several, with commas between them
    #[arg(long, value_name = "NAME")]
    pub layer: String,
    /// File for the repaired network: ONNX for an ONNX file, else safetensors
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Format of --out, which is that of --network (safetensors for PyTorch and .nnet files), where its name ends
    /// otherwise
    #[arg(long, value_name = "safetensors|onnx", value_parser = ["safetensors", "onnx"])]
    pub format: Option<String>,
    /// Write over files that exist
    #[arg(long)]
    pub force: bool,
    /// By how much the right output must exceed every other one; auto picks it on --similar and --clean
    #[arg(long, value_name = "NUMBER|auto", default_value = "0.1", value_parser = margin)]
    pub margin: Margin,
    /// Labelled inputs like those of the repair set: a margin is picked on them, or with a given one
    /// generalization is measured
    #[arg(long, value_name = "PATH")]
    pub similar: Option<PathBuf>,
    /// Labelled clean inputs: a margin is picked on them, or with a given one drawdown is measured
    #[arg(long, value_name = "PATH")]
    pub clean: Option<PathBuf>,
    /// Accuracy on --clean that a picked margin may cost, in points [default: 0.1]
    #[arg(long, value_name = "POINTS", value_parser = non_negative)]
    pub tolerance: Option<f64>,
    /// What must not change on the guard set: its answers, or its outputs by more than NUMBER
    #[arg(long, value_name = "answers|NUMBER", value_parser = protection, requires = "guard")]
    #[serde(serialize_with = "as_given")]
    pub protect: Option<Protection>,
    /// frozen (activation pattern kept: exact, infeasibility is proved) or sequential
    #[arg(long, value_name = "frozen|sequential", default_value_t)]
    pub method: Method,
    /// What is kept small: guarded, l2, l1, linf, l1+linf or aprnn
    #[arg(long, value_name = "NAME", default_value_t)]
    pub objective: Objective,
    /// The most memory for the inputs of both sets, and again for the repair (rows, values and the
    /// solver's factor or program, whose sizes are known before they are built), e.g. 500MB or 4GiB
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size)]
    pub max_memory: usize,
    /// Weights that are zero stay zero, as in a pruned network (sequential only)
    #[arg(long)]
    pub keep_zeros: bool,
    /// A network that an earlier repair wrote: start from it, and measure the change from --network
    #[arg(long, value_name = "FILE")]
    pub start: Option<PathBuf>,
    /// Time for the whole command; when it is over the outcome is unknown, and sets that are left are not
    /// measured
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    #[serde(serialize_with = "in_seconds")]
    pub time_limit: Option<Duration>,
    /// The most inputs to use of each of --guard, --clean and --similar, spread evenly over the set
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..))]
    pub guard_limit: u32,
    /// File for the result as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write the best attempt when the outcome is unknown
    #[arg(long)]
    pub keep_unfinished: bool,
}

impl SourceArguments {
    /// The files that are read, whatever else is.
    pub(crate) fn inputs(&self) -> [Input<'_>; 2] {
        [
            Input::Network("--network", &self.model.network),
            Input::Set("--repair", &self.repair),
        ]
    }
}

impl RepairArguments {
    /// Finds what cannot work before anything is read.
    ///
    /// # Errors
    /// [`ExperimentError::Usage`].
    pub fn check(&self) -> Result<()> {
        let usage = |problem: String| Err(ExperimentError::Usage { problem });
        if self.needs_guard() && self.guard.is_none() {
            return usage(format!(
                "objective {} needs --guard; l2 does not",
                self.objective
            ));
        }
        if self.layer.contains(',') && self.method == Method::Frozen {
            let got = &self.layer;
            return usage(format!("--method frozen: expected one layer, got {got:?}"));
        }
        self.check_margin()?;
        if self.method == Method::Sequential && !self.objective.is_quadratic() {
            let problem = "--method sequential: expected --objective guarded or l2, got";
            return usage(format!("{problem} {}", self.objective));
        }
        let sets = [
            ("--guard", &self.guard),
            ("--clean", &self.clean),
            ("--similar", &self.similar),
        ];
        let sets = sets.into_iter();
        let sets = sets.filter_map(|(flag, set)| Some(Input::Set(flag, set.as_deref()?)));
        let start = self.start.as_deref();
        let start = start.map(|start| Input::Network("--start", start));
        let inputs = self.source.inputs().into_iter();
        self.outputs().check(inputs.chain(sets).chain(start))
    }

    /// What is written.
    pub(super) fn outputs(&self) -> Outputs<'_> {
        Outputs {
            out: Some(&self.out),
            report: self.report.as_deref(),
            force: self.force,
        }
    }

    /// What a margin that is picked needs and excludes, and what it alone reads.
    fn check_margin(&self) -> Result<()> {
        let problem = match self.margin {
            Margin::Auto if self.clean.is_none() => {
                "--margin auto needs --clean, and --similar where there is one"
            }
            Margin::Auto if self.protect.is_some() => "--margin auto does not go with --protect",
            Margin::Fixed(_) if self.tolerance.is_some() => "--tolerance needs --margin auto",
            _ => return Ok(()),
        };
        Err(ExperimentError::Usage {
            problem: problem.to_owned(),
        })
    }

    /// Accuracy on --clean that a picked margin may cost, in points.
    pub(super) fn tolerance(&self) -> f64 {
        self.tolerance.unwrap_or(TOLERANCE)
    }

    /// The options of the library.
    pub fn options(&self) -> Options {
        Options {
            method: self.method,
            objective: self.objective,
            time_limit: self.time_limit,
            max_memory: self.max_memory,
            keep_zeros: self.keep_zeros,
            ..Options::default()
        }
    }

    /// Whether the objective is computed from guard inputs.
    pub fn needs_guard(&self) -> bool {
        self.objective == Objective::Guarded
    }
}

/// The margin asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Margin {
    /// This one.
    Fixed(f64),
    /// The best of a ladder on a selection split.
    Auto,
}

fn margin(text: &str) -> Result<Margin, String> {
    if text == "auto" {
        return Ok(Margin::Auto);
    }
    let found = non_negative(text).map(Margin::Fixed);
    found.map_err(|problem| problem + " or auto")
}

fn columns(text: &str) -> Result<Columns, String> {
    text.parse()
        .map_err(|error: data::DataError| error.to_string())
}

/// A margin, or a number of points.
pub(crate) fn non_negative(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let number = number.filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "expected a finite number >= 0".to_owned())
}

fn protection(text: &str) -> Result<Protection, String> {
    if text == "answers" {
        return Ok(Protection::Answer);
    }
    let number = text.parse().ok();
    let number = number.filter(|tau: &f64| tau.is_finite() && *tau > 0.0);
    let found = number.map(Protection::Within);
    found.ok_or_else(|| "expected answers or a finite number > 0".to_owned())
}

fn as_given<S: Serializer>(protection: &Option<Protection>, to: S) -> Result<S::Ok, S::Error> {
    match protection {
        None => to.serialize_none(),
        Some(Protection::Answer) => to.serialize_str("answers"),
        Some(Protection::Within(tau)) => to.serialize_f64(*tau),
    }
}

/// A time in a report.
pub(crate) fn in_seconds<T, S>(time: &T, to: S) -> Result<S::Ok, S::Error>
where
    T: Copy + Into<Option<Duration>>,
    S: Serializer,
{
    let time: Option<Duration> = (*time).into();
    time.map(|time| time.as_secs_f64()).serialize(to)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().ok().filter(|seconds: &f64| *seconds > 0.0);
    number
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a number of seconds > 0".to_owned())
}

const UNITS: [(&str, f64); 7] = [
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("B", 1.0),
];

/// Bytes of a size such as `4GiB`, `500 MB` or `1024`.
fn size(text: &str) -> Result<usize, String> {
    let unit = UNITS
        .iter()
        .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, unit) = unit.unwrap_or((text, 1.0));
    let bytes = number.trim().parse().ok().map(|number: f64| number * unit);
    bytes
        .filter(|bytes| (1.0..=usize::MAX as f64).contains(bytes))
        .map(|bytes| bytes as usize)
        .ok_or_else(|| "expected a size above 0 such as 500MB or 4GiB".to_owned())
}

/// A number of bytes for people, such as `1.5 GiB`.
pub(super) fn bytes(count: usize) -> String {
    let unit = UNITS[..3]
        .iter()
        .rev()
        .find(|(_, unit)| count as f64 >= *unit);
    match unit {
        Some((name, unit)) => format!("{:.1} {name}", count as f64 / unit),
        None => format!("{count} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in [
            ("4GiB", 4 << 30),
            ("1.5 MiB", 3 << 19),
            ("500MB", 500_000_000),
            ("2kB", 2000),
            ("77 B", 77),
            ("1024", 1024),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "4gb", "-1", "0", "nan", "inf", "1e300GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(bytes(3 << 29), "1.5 GiB");
        assert_eq!(bytes(1000), "1000 B");
    }

    #[test]
    fn margins_and_times_are_refused_outside_their_ranges() {
        assert_eq!(margin("0"), Ok(Margin::Fixed(0.0)));
        assert_eq!(margin("auto"), Ok(Margin::Auto));
        assert_eq!(protection("answers"), Ok(Protection::Answer));
        assert_eq!(protection("0.5"), Ok(Protection::Within(0.5)));
        assert!(protection("0").is_err() && protection("all").is_err());
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["-1", "nan", "inf", "x"] {
            assert!(margin(text).is_err() && seconds(text).is_err(), "{text}");
            assert!(non_negative(text).is_err(), "{text}");
        }
        assert!(seconds("0").is_err());
    }
}
