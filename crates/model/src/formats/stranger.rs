//! Files that are no weights, or in a format that is not read: what they are is told, with what to do.

/// What a file is that no reader here takes, in a sentence's end; `None` for bytes without a known start.
pub(super) fn name(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some("is empty".to_owned());
    }
    if let Some((_, what)) = STARTS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Some((*what).to_owned());
    }
    let text = beginning(bytes)?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    if let Some(version) = line.strip_prefix("version https://git-lfs.github.com/spec/") {
        let size = text.lines().find_map(|line| line.strip_prefix("size "));
        let size = size.map_or(String::new(), |size| format!(" of {} bytes", size.trim()));
        return Some(format!(
            "is a Git LFS pointer (spec {}) to a file{size} that was not transferred; `git lfs pull` brings it",
            version.trim()
        ));
    }
    let lower = line.to_ascii_lowercase();
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        return Some("is an HTML page, not weights: the address answered with a page".to_owned());
    }
    if lower.starts_with("<?xml") {
        return Some("is XML, not weights".to_owned());
    }
    if is_eran(&text) {
        return Some(
            "is a network in ERAN's text form (layers named `ReLU` or `Affine`, weights as lists), \
             which is not read; export it to ONNX or save it with `torch.save`"
                .to_owned(),
        );
    }
    if line.starts_with('{') {
        return Some(match text.contains("\"weight_map\"") {
            true => "lists the shards of a checkpoint; give its folder instead".to_owned(),
            false => "is JSON, not weights".to_owned(),
        });
    }
    None
}

/// First bytes of formats that are not read.
const STARTS: [(&[u8], &str); 12] = [
    (
        b"\x1f\x8b",
        "is compressed by gzip; decompress it first (`gunzip`)",
    ),
    (
        b"BZh",
        "is compressed by bzip2; decompress it first (`bunzip2`)",
    ),
    (
        b"\xfd7zXZ\0",
        "is compressed by xz; decompress it first (`unxz`)",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "is compressed by zstd; decompress it first (`unzstd`)",
    ),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive; unpack it first"),
    (b"Rar!", "is a RAR archive; unpack it first"),
    (
        b"\x93NUMPY",
        "is one NumPy array, which says nothing about the network it belongs to",
    ),
    (
        b"\x89HDF\r\n\x1a\n",
        "is HDF5 (Keras or TensorFlow), which is not read; export the network to ONNX (tf2onnx)",
    ),
    (b"GGUF", "is GGUF (llama.cpp), which is not read"),
    (b"%PDF", "is a PDF document, not weights"),
    (b"\x89PNG", "is a PNG picture, not weights"),
    (b"\xff\xd8\xff", "is a JPEG picture, not weights"),
];

/// Bytes in which a text shows what it is.
const BEGINNING: usize = 4096;

/// The beginning of a text; `None` for other bytes.
fn beginning(bytes: &[u8]) -> Option<String> {
    let start = &bytes[..bytes.len().min(BEGINNING)];
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let is_text = |byte: &u8| !byte.is_ascii_control() || byte.is_ascii_whitespace();
    start
        .iter()
        .all(is_text)
        .then(|| String::from_utf8_lossy(start).into_owned())
}

/// Words that start a line of ERAN's `.tf` and `.pyt` files.
const ERAN_LAYERS: [&str; 12] = [
    "Affine",
    "Conv2D",
    "GELU",
    "LeakyReLU",
    "MaxPooling2D",
    "Normalize",
    "ParSumComplete",
    "ReLU",
    "SkipNet1",
    "Sigmoid",
    "Sign",
    "Tanh",
];

/// A line with the name of a layer, and a line with a list.
fn is_eran(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let layer = lines.next().is_some_and(|line| {
        let word = line.split([' ', ',']).next().unwrap_or_default();
        ERAN_LAYERS.contains(&word)
    });
    layer
        && lines.take(2).any(|line| {
            line.starts_with('[') || ERAN_LAYERS.iter().any(|word| line.starts_with(word))
        })
}

/// What an archive is that holds no weights of PyTorch, from the names of its entries.
pub(super) fn archive<'a>(
    mut names: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'static str> {
    let has = |end: &str| names.clone().any(|name| name.ends_with(end));
    if has("model.weights.h5") {
        return Some("a Keras archive, which is not read; export the network to ONNX (tf2onnx)");
    }
    if has(".npy") && names.all(|name| name.ends_with(".npy")) {
        return Some("a NumPy archive, whose arrays say nothing about the network they belong to");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_weights_are_named() {
        let pointer = "version https://git-lfs.github.com/spec/v1\n\
                       oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n\
                       size 44420\n";
        let cases: [(&[u8], &str); 14] = [
            (b"", "is empty"),
            (
                pointer.as_bytes(),
                "Git LFS pointer (spec v1) to a file of 44420 bytes",
            ),
            (b"version https://git-lfs.github.com/spec/v2\r\n", "spec v2"),
            (b"<!DOCTYPE html><html>", "HTML"),
            (b"\xef\xbb\xbf\n <HTML lang=en>", "HTML"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"\x93NUMPY\x01\0", "NumPy"),
            (b"\x89HDF\r\n\x1a\n\0", "HDF5"),
            (b"ReLU\n[[0.1, 0.2]]\n[0.3]\n", "ERAN"),
            (b"Normalize mean=[0.1307] std=[0.3081]\nReLU\n[[1]]", "ERAN"),
            (b"Conv2D\nReLU, filters=16, kernel_size=[4, 4]\n[[", "ERAN"),
            (b"{\"weight_map\": {}}", "its folder"),
            (b"{\"a\": 1}", "JSON"),
            (b"<?xml version=\"1.0\"?>", "XML"),
        ];
        for (bytes, words) in cases {
            let said = name(bytes).unwrap_or_default();
            assert!(said.contains(words), "expected `{words}` in: {said}");
        }
    }

    #[test]
    fn other_bytes_have_no_name() {
        for bytes in [
            &b"hello, world"[..],
            &[0; 600],
            b"ReLU is a function",
            b"\x08\x03\x12\x05mxnet",
        ] {
            assert_eq!(name(bytes), None);
        }
    }
}
