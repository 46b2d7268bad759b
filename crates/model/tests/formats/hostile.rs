//! Damaged files of every format: an error that names the file, and never a panic.

use model::Checkpoint;
use proptest::prelude::*;

use crate::{assert_refused, assert_same_tensors, read, reference};

const FILES: [&str; 5] = [
    "expected.safetensors",
    "zip.pt",
    "legacy.pth",
    "module.pt",
    "squeezenet_narrow.onnx",
];

#[test]
fn files_of_no_format_are_refused() {
    for bytes in [
        &b""[..],
        b"\x08",
        b"PK\x03\x04",
        b"\x80\x02",
        b"hello",
        &[0; 600],
        &[0xff; 600],
    ] {
        assert!(read(bytes).is_err(), "{bytes:?}");
    }
    assert_refused(
        read(b"hello, world"),
        &["nor does it start like PyTorch, ONNX or .nnet"],
    );
    assert_refused(read(b"<!DOCTYPE html><html>"), &["an HTML page"]);
    assert_refused(read(b""), &["it is empty"]);
    let absent = reference("absent.pt");
    assert_refused(Checkpoint::read(&absent), &["cannot read", "absent.pt"]);
}

#[test]
fn pickles_that_exhaust_the_parser_are_refused() {
    let mut nested = b"\x80\x02]".to_vec();
    nested.extend([0x85; 100_000]);
    nested.push(b'.');
    let mut doubled = b"\x80\x02K\x01".to_vec();
    doubled.extend(b"2\x86".repeat(60));
    doubled.push(b'.');
    let long = b"\x80\x02X\xff\xff\xff\x7fa.".to_vec();
    for pickle in [nested, doubled, long] {
        assert_refused(read(&pickle), &["PyTorch"]);
    }
}

#[test]
fn onnx_lengths_beyond_the_file_are_refused() {
    // A graph of 2 GiB, and one nested in itself.
    assert_refused(read(b"\x08\x03\x3a\xff\xff\xff\xff\x07"), &["ONNX"]);
    let mut nested = Vec::new();
    for _ in 0..100 {
        // A node with an attribute with a graph.
        for key in [0x32, 0x2a, 0x0a] {
            let mut outer = vec![key];
            let mut length = nested.len();
            while length >= 0x80 {
                outer.push(length as u8 | 0x80);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.extend(nested);
            nested = outer;
        }
    }
    let mut model = b"\x08\x03\x3a".to_vec();
    model.extend([nested.len() as u8 | 0x80, (nested.len() >> 7) as u8]);
    model.extend(nested);
    assert!(read(&model).is_err());
}

proptest! {
    #[test]
    fn a_file_cut_short_is_refused_or_lacks_nothing(file in 0..FILES.len(), cut in any::<prop::sample::Index>()) {
        let bytes = std::fs::read(reference(FILES[file])).unwrap();
        let whole = Checkpoint::read(&reference(FILES[file])).unwrap();
        if let Ok(got) = read(&bytes[..cut.index(bytes.len())]) {
            assert_same_tensors(&got, &whole);
        }
    }

    #[test]
    fn flipped_bits_never_panic_and_pass_no_checksum(
        file in 0..FILES.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..4),
    ) {
        let mut bytes = std::fs::read(reference(FILES[file])).unwrap();
        for (position, bit) in flips {
            let position = position.index(bytes.len());
            bytes[position] ^= 1 << bit;
        }
        let got = read(&bytes);
        // Of the containers only ZIP has checksums.
        if let (true, Ok(got)) = (bytes.starts_with(b"PK"), got) {
            assert_same_tensors(&got, &Checkpoint::read(&reference(FILES[file])).unwrap());
        }
    }

    #[test]
    fn noise_behind_a_known_start_never_panics(start in 0..4usize, noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let start = [&b"\x80\x02"[..], b"PK\x03\x04", b"\x08\x03\x3a", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."][start];
        let _ = read(&[start, &noise].concat());
    }
}
