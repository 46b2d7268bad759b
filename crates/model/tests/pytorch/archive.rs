//! ZIP archives as `torch.save` writes them, and with every lie that one can tell.

use flate2::Crc;

/// One entry of an archive; what its headers say can differ from what it holds.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) local_name: String,
    pub(crate) content: Vec<u8>,
    pub(crate) method: u16,
    pub(crate) flags: u16,
    pub(crate) checksum: u32,
    pub(crate) length: u32,
}

impl Entry {
    /// An honest, stored entry.
    pub(crate) fn new(name: &str, content: &[u8]) -> Self {
        let mut crc = Crc::new();
        crc.update(content);
        Self {
            name: name.to_owned(),
            local_name: name.to_owned(),
            content: content.to_vec(),
            method: 0,
            flags: 0,
            checksum: crc.sum(),
            length: content.len() as u32,
        }
    }

    /// The same content, deflated.
    pub(crate) fn deflated(self) -> Self {
        use std::io::Write;

        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&self.content).unwrap();
        Self {
            content: encoder.finish().unwrap(),
            method: 8,
            ..self
        }
    }
}

/// The bytes of an archive.
pub(crate) fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        let offset = bytes.len() as u32;
        let mut facts = Vec::new();
        facts.extend(20u16.to_le_bytes());
        facts.extend(entry.flags.to_le_bytes());
        facts.extend(entry.method.to_le_bytes());
        facts.extend([0; 4]);
        facts.extend(entry.checksum.to_le_bytes());
        facts.extend((entry.content.len() as u32).to_le_bytes());
        facts.extend(entry.length.to_le_bytes());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&facts);
        bytes.extend((entry.local_name.len() as u16).to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(entry.local_name.as_bytes());
        bytes.extend(&entry.content);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&facts);
        directory.extend((entry.name.len() as u16).to_le_bytes());
        directory.extend([0; 12]);
        directory.extend(offset.to_le_bytes());
        directory.extend(entry.name.as_bytes());
    }
    let start = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    let count = (entries.len() as u16).to_le_bytes();
    bytes.extend([count, count].concat());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

/// What `torch.save` writes of a pickle and its storages.
pub(crate) fn saved(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<Entry> {
    let mut entries = vec![
        Entry::new("a/data.pkl", pickle),
        Entry::new("a/byteorder", b"little"),
    ];
    for (key, content) in storages {
        entries.push(Entry::new(&format!("a/data/{key}"), content));
    }
    entries
}

/// A pickled string.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![b'X'];
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// A pickled integer.
pub(crate) fn int(number: i32) -> Vec<u8> {
    [&b"J"[..], &number.to_le_bytes()].concat()
}

/// The pickled parts of a tensor, of which each can be a lie.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) class: &'static str,
    pub(crate) key: &'static str,
    pub(crate) count: i32,
    pub(crate) offset: i32,
    pub(crate) shape: Vec<i32>,
    pub(crate) strides: Vec<i32>,
}

impl Tensor {
    /// A contiguous tensor that fills its storage.
    pub(crate) fn new(key: &'static str, shape: &[i32]) -> Self {
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        Self {
            class: "FloatStorage",
            key,
            count: shape.iter().product(),
            offset: 0,
            shape: shape.to_vec(),
            strides,
        }
    }

    /// The instructions that build it.
    pub(crate) fn pickled(&self) -> Vec<u8> {
        let tuple = |numbers: &[i32]| {
            let numbers: Vec<u8> = numbers.iter().flat_map(|&number| int(number)).collect();
            [b"(", &numbers[..], b"t"].concat()
        };
        [
            &b"ctorch._utils\n_rebuild_tensor_v2\n(("[..],
            &text("storage"),
            format!("ctorch\n{}\n", self.class).as_bytes(),
            &text(self.key),
            &text("cpu"),
            &int(self.count),
            b"tQ",
            &int(self.offset),
            &tuple(&self.shape),
            &tuple(&self.strides),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
        .concat()
    }
}

/// A pickled dictionary of tensors.
pub(crate) fn state_dict(tensors: &[(&str, Tensor)]) -> Vec<u8> {
    let mut bytes = b"\x80\x02}(".to_vec();
    for (name, tensor) in tensors {
        bytes.extend(text(name));
        bytes.extend(tensor.pickled());
    }
    bytes.extend(b"u.");
    bytes
}
