//! Networks: checkpoints in every format, shards, and the configuration beside them.

use std::path::Path;

use model::{Model, Op, OpenOptions};
use serde_json::{Map, Value, json};

use super::choices::Choices;
use super::{Folder, beside_onnx, checkpoints, zipped};

/// Layers and nodes of a graph that are looked at.
const FEW: usize = 64;

/// The largest number of an operator that no tensor carries.
const MOST: usize = 4096;

/// The longest sequence of a text that a graph leaves open.
const TOKENS: usize = 12;

/// A file whose format is told from its bytes.
pub(super) fn network(bytes: &[u8]) -> bool {
    let folder = Folder::new();
    opened(&folder.file("network", bytes), &folder)
}

/// An ONNX file that comes with a file of external data, from memory.
pub(super) fn onnx(bytes: &[u8]) -> bool {
    let read = Model::from_onnx(bytes.to_owned(), vec![beside_onnx()], "network", &options());
    let Ok(model) = read else { return false };
    look_at(&model);
    let written = model.onnx_bytes().unwrap().unwrap();
    assert!(
        written.model == bytes,
        "a file without edits is written as it was"
    );
    model.parsed_again().unwrap();
    true
}

/// The pickle of a PyTorch file, with four storages beside it.
pub(super) fn pickle(bytes: &[u8]) -> bool {
    let storage: Vec<u8> = (0..16).flat_map(|_| 1.0_f32.to_le_bytes()).collect();
    let archive = zipped(&[
        ("archive/data.pkl", bytes),
        ("archive/byteorder", b"little"),
        ("archive/data/0", &storage),
        ("archive/data/1", &storage),
        ("archive/data/2", &storage),
        ("archive/data/3", &storage),
        ("archive/version", b"3\n"),
    ]);
    network(&archive)
}

/// An index beside two shards.
pub(super) fn shard_index(bytes: &[u8]) -> bool {
    let folder = Folder::new();
    let mut layers = checkpoints::all()[0].1.clone();
    let second = layers.split_off(layers.len() / 2);
    for (name, tensors) in [("a.safetensors", &layers), ("b.safetensors", &second)] {
        let metadata = Map::from_iter([("activation".to_owned(), json!("relu"))]);
        let mut file = Header::default();
        for (name, shape) in tensors {
            file.add(name, "F32", shape, &floats(&checkpoints::numbers(shape)));
        }
        folder.file(name, &file.bytes(metadata));
    }
    folder.file("model.safetensors.index.json", bytes);
    opened(folder.path(), &folder)
}

/// A checkpoint of an architecture of which tensors are renamed, misshapen, of other types or left out.
pub(super) fn tensors(bytes: &[u8]) -> bool {
    let mut choices = Choices::new(bytes);
    let all = checkpoints::all();
    let (_, shaped, config) = &all[choices.below(all.len())];
    let metadata = metadata(&mut choices);
    let mut file = Header::default();
    for (name, shape) in shaped {
        let change = choices.byte();
        if change == 255 {
            continue;
        }
        let (mut name, mut shape) = (name.clone(), shape.clone());
        if change & 0x90 == 0x90 {
            name = other_name(&mut choices, &name);
        }
        if change & 0x48 == 0x48 {
            let at = choices.below(shape.len());
            shape[at] = choices.integer() as usize;
        }
        if change & 0x24 == 0x24 {
            shape.push(choices.integer() as usize);
        }
        let kind = if change & 0x12 == 0x12 {
            choices.byte()
        } else {
            0
        };
        add(&mut file, &name, &shape, kind);
    }
    let folder = Folder::new();
    folder.file("config.json", config.to_string().as_bytes());
    opened(
        &folder.file("model.safetensors", &file.bytes(metadata)),
        &folder,
    )
}

/// What is in the metadata of a perceptron.
fn metadata(choices: &mut Choices<'_>) -> Map<String, Value> {
    const KEYS: [&str; 6] = [
        "activation",
        "layers",
        "alpha",
        "negative_slope",
        "output",
        "answer",
    ];
    const VALUES: [&str; 12] = [
        "relu",
        "leaky_relu",
        "elu",
        "softmax",
        "none",
        "NaN",
        "-1e400",
        "0",
        r#"[{"linear": "0"}, "relu", {"linear": "2"}]"#,
        r#"[{"linear": "0"}, {"linear": "0"}, {"linear": "2"}]"#,
        r#"["relu"]"#,
        "smallest",
    ];
    let pairs = 0..choices.below(4);
    let pairs = pairs.map(|_| {
        (
            choices.one_of(&KEYS).to_owned(),
            json!(choices.one_of(&VALUES)),
        )
    });
    pairs.collect()
}

fn other_name(choices: &mut Choices<'_>, name: &str) -> String {
    match choices.below(6) {
        0 => format!("module.{name}"),
        1 => name.replace("weight", "bias"),
        2 => name.replace('0', "18446744073709551615"),
        3 => name.replace('1', "2"),
        4 => "input_means".to_owned(),
        _ => "\u{1b}[2J.weight".to_owned(),
    }
}

fn add(file: &mut Header, name: &str, shape: &[usize], kind: u8) {
    const KINDS: [(&str, usize, f64); 7] = [
        ("F32", 4, 1.0),
        ("F16", 2, 1.0),
        ("BF16", 2, 1.0),
        ("F64", 8, 1.0),
        ("I64", 8, 1.0),
        ("F32", 4, f64::NAN),
        ("F8_E4M3", 1, 1.0),
    ];
    let (kind, size, number) = KINDS[usize::from(kind) % KINDS.len()];
    let count = shape
        .iter()
        .try_fold(1_usize, |count, &extent| count.checked_mul(extent));
    // A header may promise more than the file holds.
    let count = count.unwrap_or(0).min(1 << 12);
    let element = match size {
        8 => number.to_le_bytes().to_vec(),
        4 => (number as f32).to_le_bytes().to_vec(),
        _ => vec![0x3c; size],
    };
    file.add(name, kind, shape, &element.repeat(count));
}

/// A safetensors file in the making.
#[derive(Default)]
pub(super) struct Header {
    entries: Map<String, Value>,
    data: Vec<u8>,
}

impl Header {
    pub(super) fn add(&mut self, name: &str, kind: &str, shape: &[usize], data: &[u8]) {
        let start = self.data.len();
        self.data.extend(data);
        let entry =
            json!({"dtype": kind, "shape": shape, "data_offsets": [start, self.data.len()]});
        self.entries.insert(name.to_owned(), entry);
    }

    pub(super) fn bytes(mut self, metadata: Map<String, Value>) -> Vec<u8> {
        let metadata = Value::Object(metadata);
        self.entries.insert("__metadata__".to_owned(), metadata);
        let header = Value::Object(self.entries).to_string();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.extend(self.data);
        bytes
    }
}

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn options() -> OpenOptions {
    OpenOptions {
        tokens: Some(TOKENS),
        ..OpenOptions::default()
    }
}

/// Whether a file or folder is read as a network; what is read is written and read again.
pub(super) fn opened(path: &Path, folder: &Folder) -> bool {
    let Ok(model) = Model::open_with(path, &options()) else {
        return false;
    };
    look_at(&model);
    let copy = folder.path().join("copy");
    model.write(&copy).unwrap();
    let again = model.reopened(&copy).unwrap();
    assert_eq!(again.architecture(), model.architecture());
    assert!(
        again.names().eq(model.names()),
        "the copy has the same tensors"
    );
    true
}

/// Looks at everything that a model says.
fn look_at(model: &Model) {
    for name in model.names() {
        let shape = model.shape(name).unwrap();
        let bits: usize = shape.iter().product::<usize>() * model.dtype(name).unwrap().bitsize();
        assert_eq!(
            bits,
            8 * model.raw(name).unwrap().len(),
            "{name}: {shape:?}"
        );
        let _ = (model.tensor(name), model.integers(name));
    }
    let notes = model.notes().iter().map(ToString::to_string);
    assert!(notes.map(|note| note.len()).sum::<usize>() > 0);
    let graph = model.graph();
    for layer in graph.layers().iter().take(FEW) {
        let _ = (graph.editing(layer), graph.is_channelwise_behind(layer));
    }
    assert_eq!(graph.last_readers().len(), graph.nodes().len());
    for (id, node) in graph.nodes().iter().enumerate().take(FEW) {
        assert!(
            node.sources.iter().all(|&source| source < id),
            "{}",
            node.name
        );
        assert!(graph.frontier(id).iter().all(|&source| source < id));
        let free = match &node.op {
            Op::Unfold { patch } | Op::Fold { patch } => *patch,
            Op::SplitHeads { heads } | Op::MergeHeads { heads, .. } => *heads,
            _ => 1,
        };
        assert!((1..=MOST).contains(&free), "{}: {:?}", node.name, node.op);
    }
}
