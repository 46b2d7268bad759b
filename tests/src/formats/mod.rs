//! What reads each format of a file that is not trusted, as one function of bytes.
//!
//! The fuzz targets of `tests/fuzz` and the tests of the stored corpus call the same functions. Each of them
//! writes the bytes where a user would have them, opens them through the libraries' public functions, looks
//! at everything that was read, and says whether anything was. None may panic, whatever the bytes are.
//!
//! The functions of [`structured`](Target::structured) targets take their bytes as choices of a generator
//! that builds a file: what is in such a file is well-formed on the surface and odd below.

mod checkpoints;
mod choices;
mod configurations;
mod networks;
mod onnx_graph;
mod pictures;
mod sets;
mod texts;

use std::path::{Path, PathBuf};

/// A function that reads one format.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of the fuzz target and of the folder of its corpus.
    pub name: &'static str,
    /// Whether the bytes are the choices of a generator and not the file itself.
    pub structured: bool,
    /// Reads a file of these bytes; whether it was read and not refused.
    pub read: fn(&[u8]) -> bool,
}

const fn raw(name: &'static str, read: fn(&[u8]) -> bool) -> Target {
    Target {
        name,
        structured: false,
        read,
    }
}

const fn structured(name: &'static str, read: fn(&[u8]) -> bool) -> Target {
    Target {
        name,
        structured: true,
        read,
    }
}

/// Every target, in the order of their names.
pub const TARGETS: [Target; 25] = [
    structured("config", configurations::config),
    raw("csv", texts::csv),
    raw("idx", sets::idx),
    raw("idx_gzip", sets::idx_gzip),
    raw("jpeg", pictures::picture),
    raw("jsonl", texts::jsonl),
    raw("labels_csv", pictures::labels_csv),
    raw("nnet", networks::network),
    raw("npy", sets::npy),
    raw("npz", sets::npz),
    raw("onnx", networks::onnx),
    structured("onnx_graph", onnx_graph::graph),
    raw("parquet", texts::parquet),
    raw("pickle", networks::pickle),
    raw("picture", pictures::picture),
    raw("png", pictures::picture),
    raw("preprocessing", configurations::preprocessing),
    structured("preprocessing_fields", configurations::preprocessing_fields),
    raw("pytorch", networks::network),
    raw("safetensors", networks::network),
    raw("safetensors_batch", sets::batch),
    raw("shard_index", networks::shard_index),
    structured("tensors", networks::tensors),
    raw("tokenizer_json", texts::tokenizer_json),
    raw("vocab_txt", texts::vocab_txt),
];

/// Reads bytes with a target; whether they were read.
///
/// # Panics
/// When there is no such target, and where the code that reads does.
pub fn read(name: &str, bytes: &[u8]) -> bool {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("there is no target `{name}`"));
    (target.read)(bytes)
}

/// The ONNX file that the target `onnx_graph` makes of its bytes.
pub fn onnx_file(choices: &[u8]) -> Vec<u8> {
    onnx_graph::file(choices)
}

/// The file of external data beside every ONNX file.
pub fn beside_onnx() -> (String, Vec<u8>) {
    ("side.bin".to_owned(), [0, 0, 0, 0x3f].repeat(64))
}

/// A folder that vanishes when it is dropped.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file of the folder, in folders of it where the name says so.
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// The bytes of a ZIP archive whose entries are stored and have the right checksums.
fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in entries {
        let mut checksum = flate2::Crc::new();
        checksum.update(content);
        let size = (content.len() as u32).to_le_bytes();
        let mut header = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        header.extend(checksum.sum().to_le_bytes());
        header.extend(size);
        header.extend(size);
        header.extend((name.len() as u16).to_le_bytes());
        header.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&header);
        directory.extend([0; 10]);
        directory.extend((archive.len() as u32).to_le_bytes());
        directory.extend(name.bytes());
        archive.extend(b"PK\x03\x04");
        archive.extend(&header);
        archive.extend(name.bytes());
        archive.extend(*content);
    }
    let count = (entries.len() as u16).to_le_bytes();
    let (start, length) = (archive.len() as u32, directory.len() as u32);
    archive.extend(directory);
    archive.extend(b"PK\x05\x06\x00\x00\x00\x00");
    archive.extend(count);
    archive.extend(count);
    archive.extend(length.to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0, 0]);
    archive
}
