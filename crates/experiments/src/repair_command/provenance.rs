//! What reproduces a result: the build, where it computed, every flag, and what was read and written.

use std::path::Path;

use network::{DeviceCheck, DeviceChoice, Model, Output, Precision};
use serde::Serialize;

use super::open_sets::Reading;
use super::sets::PointSet;
use super::subject::Subject;
use crate::error::Result;
use crate::manifest::hash;
use crate::store::write_json_to;

/// A network or a set: of a network the hash of its bytes in safetensors, of a set that of its inputs and
/// labels as the network takes them.
#[derive(Serialize)]
pub(crate) struct FileRecord {
    role: &'static str,
    path: String,
    sha256: String,
}

impl FileRecord {
    pub(crate) fn network(role: &'static str, path: &Path, network: &Model) -> Self {
        Self {
            role,
            path: path.display().to_string(),
            sha256: hash(network.bytes()),
        }
    }

    pub(crate) fn set(role: &'static str, set: &PointSet) -> Self {
        let dataset = &set.set.dataset;
        let inputs = dataset.inputs.iter().flat_map(|x| x.to_le_bytes());
        let labels = dataset.labels.iter();
        let labels = labels.flat_map(|&label| (label as u64).to_le_bytes());
        Self {
            role,
            path: set.path.display().to_string(),
            sha256: hash(&inputs.chain(labels).collect::<Vec<u8>>()),
        }
    }
}

/// A result with its provenance.
#[derive(Serialize)]
struct Report<'a, R, A> {
    #[serde(flatten)]
    result: &'a R,
    version: &'static str,
    /// Those that computed, whatever was asked for.
    device: DeviceChoice,
    dtype: Precision,
    /// How far the device is from the reference device; null for that one.
    device_check: Option<&'a DeviceCheck>,
    /// What was read and assumed of the network.
    network_reading: Vec<String>,
    /// How labels and sets were understood.
    reading: &'a Reading,
    arguments: &'a A,
    files: Vec<FileRecord>,
}

/// Writes a result as JSON, with what reproduces it; `files` are those beside the subject's network.
pub(crate) fn write_report(
    to: &Output<'_>,
    result: &impl Serialize,
    subject: &Subject,
    reading: &Reading,
    arguments: &impl Serialize,
    files: impl IntoIterator<Item = FileRecord>,
) -> Result<()> {
    let network = FileRecord::network("network", &subject.path, &subject.checkpoint);
    let report = Report {
        result,
        version: env!("CARGO_PKG_VERSION"),
        device: subject.device,
        dtype: subject.network.precision(),
        device_check: subject.device_check(),
        network_reading: subject.reading(),
        reading,
        arguments,
        files: [network].into_iter().chain(files).collect(),
    };
    write_json_to(to, &report)
}
