//! Labelled sets of numbers and pictures in arrays.

use std::io::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use data::image::presets;
use data::labelled::{ClassTable, Intake, Options, Outputs, Reader, Unlabelled};
use data::text::{Casing, Tokenizer};

use super::{Folder, zipped};

/// The most bytes of inputs that a set may ask for.
const MAX_BYTES: u64 = 1 << 24;

/// Everything that a network may take.
static INTAKES: LazyLock<[Intake; 3]> = LazyLock::new(|| {
    let folder = Folder::new();
    let words = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nfine\nfilm\ndull\n##s\n";
    let vocabulary = folder.file("vocab.txt", words);
    let tokenizer = Tokenizer::from_vocab(&vocabulary, Casing::default(), 16).unwrap();
    [
        Intake::Vector { features: 4 },
        Intake::Images(presets::unit()),
        Intake::Tokens(Box::new(tokenizer)),
    ]
});

/// Which of the intakes a format is tried with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    Numbers,
    Pictures,
    Texts,
}

/// Whether a set is read for any of the networks.
pub(super) fn read(path: &Path, networks: &[For]) -> bool {
    let options = [
        Options {
            max_bytes: MAX_BYTES,
            ..Options::default()
        },
        Options {
            unlabelled: Unlabelled::Keep,
            skip_unreadable: true,
            max_bytes: MAX_BYTES,
            ..Options::default()
        },
    ];
    let mut any = false;
    for &network in networks {
        let intake = &INTAKES[network as usize];
        for (options, several) in options.iter().zip([false, true]) {
            any |= read_for(intake, path, options, several).unwrap_or(false);
        }
    }
    any
}

fn read_for(
    intake: &Intake,
    path: &Path,
    options: &Options,
    several: bool,
) -> Result<bool, data::DataError> {
    let reader = Reader {
        intake,
        classes: 3,
        class_names: &[],
        limit: None,
    };
    let open = reader.open(path, options)?;
    let names: usize = open.notes().iter().map(String::len).sum();
    assert!(names < 1 << 20, "notes are sentences");
    let outputs = Outputs {
        several,
        ..Outputs::new(3, &[])
    };
    let table = ClassTable::new(&outputs, &[&open])?;
    let positions = open.positions(None);
    let set = open.read(&positions[..positions.len().min(256)], &table)?;
    set.dataset.validate().unwrap();
    assert_eq!(set.names.len(), set.dataset.len());
    Ok(true)
}

/// An IDX file, and labels of four examples beside it.
pub(super) fn idx(bytes: &[u8]) -> bool {
    let folder = Folder::new();
    folder.file(
        "a-labels-idx1-ubyte",
        b"\0\0\x08\x01\0\0\0\x04\0\x01\x02\x01",
    );
    let path = folder.file("a-images-idx3-ubyte", bytes);
    // Its own labels: what is no array of labels is refused.
    folder.file("b-labels-idx1-ubyte", bytes);
    let images = b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x02\0\x01\x02\x03\x04\x05\x06\x07";
    let other = folder.file("b-images-idx3-ubyte", images);
    let as_labels = read(&other, &[For::Numbers]);
    read(&path, &[For::Numbers, For::Pictures]) | as_labels
}

/// An IDX file that is packed: the bytes inside, and the bytes as the packed file.
pub(super) fn idx_gzip(bytes: &[u8]) -> bool {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    let packed = packer.finish().unwrap();
    let folder = Folder::new();
    folder.file(
        "a-labels-idx1-ubyte",
        b"\0\0\x08\x01\0\0\0\x04\0\x01\x02\x01",
    );
    let path = folder.file("a-images-idx3-ubyte.gz", &packed);
    let inside = read(&path, &[For::Numbers]);
    let path = folder.file("a-images-idx3-ubyte.gz", bytes);
    read(&path, &[For::Numbers, For::Pictures]) | inside
}

/// A NumPy array beside labels.
pub(super) fn npy(bytes: &[u8]) -> bool {
    let folder = Folder::new();
    folder.file("labels.npy", &labels());
    let path = folder.file("inputs.npy", bytes);
    let as_labels = {
        folder.file("other/labels.npy", bytes);
        let other = folder.file("other/inputs.npy", &array("<f4", "3, 4", 48));
        read(&other, &[For::Numbers])
    };
    read(&path, &[For::Numbers, For::Pictures, For::Texts]) | as_labels
}

/// An archive of NumPy arrays: the bytes as the archive, and as one of its arrays.
pub(super) fn npz(bytes: &[u8]) -> bool {
    let folder = Folder::new();
    let path = folder.file("whole.npz", bytes);
    let whole = read(&path, &[For::Numbers, For::Pictures]);
    let archive = zipped(&[("x.npy", bytes), ("y.npy", &labels())]);
    let path = folder.file("part.npz", &archive);
    read(&path, &[For::Numbers]) | whole
}

/// A batch in a safetensors file.
pub(super) fn batch(bytes: &[u8]) -> bool {
    let folder = Folder::new();
    let path = folder.file("batch.safetensors", bytes);
    read(&path, &[For::Numbers, For::Pictures, For::Texts])
}

/// Three labels.
fn labels() -> Vec<u8> {
    array("|u1", "3,", 3)
}

fn array(kind: &str, shape: &str, length: usize) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend((0..length).map(|i| i as u8 % 3));
    bytes
}
