//! A repaired network as it was written, read back and evaluated.

use std::path::{Path, PathBuf};

use network::{Format, Model, ModelError, Network, Output};
use repair::{RepairSet, Verification};
use serde::Serialize;

use crate::error::{ExperimentError, Result, prepare};
use crate::table::as_typed;

/// A network read back from its file.
pub(crate) struct Written {
    path: PathBuf,
    pub(crate) checkpoint: Model,
    pub(crate) network: Network,
    pub(crate) check: SelfCheck,
}

/// What the network that was read does on what was asked of it.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct SelfCheck {
    points: usize,
    /// Points that are right.
    right: usize,
    /// The margin asked for.
    margin: f64,
    pub(crate) least_margin: f64,
    protected: usize,
    /// Protected inputs at which nothing changed that must not.
    kept: usize,
    /// Whether every specification holds, with the margin.
    holds: bool,
}

impl SelfCheck {
    fn new(verified: &Verification, set: &RepairSet, margin: f64) -> Self {
        let repaired = set.repaired();
        let points = verified.slacks.iter().take(repaired);
        let protected = verified.slacks.iter().skip(repaired);
        let least_slack = points.clone().copied().fold(f64::INFINITY, f64::min);
        Self {
            points: repaired,
            right: points.filter(|&slack| slack + margin > 0.0).count(),
            margin,
            least_margin: least_slack + margin,
            protected: set.protected,
            kept: protected.filter(|&&slack| slack >= 0.0).count(),
            holds: verified.least_slack() >= 0.0 && verified.efficacy(set) == 100.0,
        }
    }

    /// What there is to say beside the points that are right.
    fn rest(&self) -> String {
        let margins = format!(
            "least margin {:.4} (asked {})",
            self.least_margin,
            as_typed(self.margin)
        );
        match self.protected {
            0 => margins,
            count => format!("{margins}, {} of {count} protected inputs kept", self.kept),
        }
    }
}

/// Refuses a name whose ending says another format than the file will have.
///
/// # Errors
/// [`ExperimentError::Usage`].
pub(crate) fn check_name(out: &Path, model: &Model, asked: Option<&str>) -> Result<()> {
    let usage = |problem: String| Err(ExperimentError::Usage { problem });
    let (format, other) = match model.format() {
        Format::Onnx => ("onnx", "safetensors"),
        Format::Safetensors => ("safetensors", "onnx"),
    };
    if let Some(asked) = asked.filter(|asked| *asked != format) {
        let origin = model.origin();
        return usage(format!(
            "--format {asked}: a repair of `{origin}` is written as {format}"
        ));
    }
    match out.extension().and_then(|ending| ending.to_str()) {
        Some(ending) if ending.eq_ignore_ascii_case(other) => usage(format!(
            "--out {}: the repaired network is a {format} file, which is not to be called .{other}",
            out.display()
        )),
        Some(ending) if !ending.eq_ignore_ascii_case(format) && asked.is_none() => usage(format!(
            "--out {}: expected a name that ends in .{format}, or --format {format}",
            out.display()
        )),
        _ => Ok(()),
    }
}

impl Written {
    /// Writes `repaired`, reads the file and evaluates `set`, whose points ask for `margin`, on the
    /// network that it holds; `original` names device and precision. Nobody may read the file who may not
    /// read that of the network.
    pub(crate) fn new(
        output: Output<'_>,
        repaired: &Model,
        original: &Network,
        set: &RepairSet,
        margin: f64,
    ) -> Result<Self> {
        let path = output.path();
        let what = || format!("repaired network {}", path.display());
        let origin = Path::new(repaired.origin());
        let written = repaired.write_to(&output.like(origin));
        written.map_err(|error| match error {
            ModelError::Io { path, source, .. } => ExperimentError::output(&path)(source),
            error => prepare(what)(error),
        })?;
        let checkpoint = repaired.reopened(path).map_err(prepare(what))?;
        let (device, precision) = (original.device(), original.precision());
        let network = Network::load(&checkpoint, device, precision).map_err(prepare(what))?;
        let verified = repair::verify(&checkpoint, set).map_err(prepare(what))?;
        Ok(Self {
            path: path.to_owned(),
            check: SelfCheck::new(&verified, set, margin),
            checkpoint,
            network,
        })
    }

    /// Refuses a file in which some specification fails.
    ///
    /// # Errors
    /// [`ExperimentError::Prepare`](crate::error::ExperimentError::Prepare) with what it does instead.
    pub(crate) fn confirm(&self) -> Result<()> {
        let SelfCheck {
            points,
            right,
            holds,
            ..
        } = self.check;
        if holds {
            return Ok(());
        }
        let problem = format!(
            "expected every specification to hold, got {right} of {points} points right, {}",
            self.check.rest()
        );
        let what = || format!("repaired network {}", self.path.display());
        Err(prepare(what)(problem))
    }

    /// The line to print, given how many points were right before.
    pub(crate) fn line(&self, right_before: usize) -> String {
        let SelfCheck { points, right, .. } = self.check;
        format!(
            "self-check: {} read back: {right} of {points} points right ({right_before} before), {}",
            self.path.display(),
            self.check.rest()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use data::{Dataset, ExampleId};
    use network::{Activation, DeviceChoice, Precision, mlp};
    use repair::Protection;

    use super::*;

    #[test]
    fn a_file_that_breaks_a_specification_is_no_repair() {
        let checkpoint = mlp::random(&[2, 3, 2], Activation::Relu, 1).unwrap();
        let device = DeviceChoice::Flex.open().unwrap();
        let network = Network::load(&checkpoint, &device, Precision::F64).unwrap();
        let answer = repair::classify(&network, &[1.0, 0.5], &[2]).unwrap()[0];
        let points = |label| {
            let ids = vec![ExampleId::clean("drawn", 0)];
            let set = Dataset::new(vec![2], vec![1.0, 0.5], vec![label], 2, ids).unwrap();
            RepairSet::argmax(&set, 0.0).unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("written");
        let write = |repaired: &Model, set: &RepairSet| {
            Written::new(Output::replacing(&path), repaired, &network, set, 0.0).unwrap()
        };
        write(&checkpoint, &points(answer)).confirm().unwrap();
        let wrong = write(&checkpoint, &points(1 - answer));
        assert!(wrong.line(0).contains("0 of 1 points right (0 before)"));
        wrong.confirm().unwrap_err();

        // Both outputs move alike: the answers stay, the outputs of a protected input do not.
        let bias = checkpoint.tensor("2.bias").unwrap();
        let bias: Vec<f64> = bias.iter().map(|b| b + 1.0).collect();
        let bias = BTreeMap::from([("2.bias".to_owned(), bias)]);
        let moved = checkpoint.with_tensors(&bias).unwrap();
        write(&moved, &points(answer)).confirm().unwrap();
        let guarded = points(answer)
            .protect(&network, &[0.0, 1.0], Protection::Within(0.5))
            .unwrap();
        write(&checkpoint, &guarded).confirm().unwrap();
        let broken = write(&moved, &guarded);
        assert!(broken.line(1).contains("1 of 1 points right (1 before)"));
        assert!(broken.line(1).contains("0 of 1 protected inputs kept"));
        broken.confirm().unwrap_err();
    }
}
