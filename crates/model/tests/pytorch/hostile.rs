//! Damaged files of every container: an error that names the file, and never a panic.

use model::Checkpoint;
use proptest::prelude::*;

use crate::{assert_same_tensors, network, read};

const FILES: [&str; 8] = [
    "tar.pt",
    "pickle_2.pkl",
    "pickle_0.pkl",
    "legacy_protocol_1.pth",
    "deflated.pt",
    "sequential.pt",
    "complete.pt",
    "beside.pt",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_file_cut_short_is_refused_or_lacks_nothing(file in 0..FILES.len(), cut in any::<prop::sample::Index>()) {
        let bytes = std::fs::read(network(FILES[file])).unwrap();
        let whole = Checkpoint::read(&network(FILES[file])).unwrap();
        if let Ok(got) = read(&bytes[..cut.index(bytes.len())]) {
            assert_same_tensors(&got, &whole);
        }
    }

    #[test]
    fn flipped_bits_never_panic_and_pass_no_checksum(
        file in 0..FILES.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..4),
    ) {
        let mut bytes = std::fs::read(network(FILES[file])).unwrap();
        for (position, bit) in flips {
            let position = position.index(bytes.len());
            bytes[position] ^= 1 << bit;
        }
        let got = read(&bytes);
        if let (true, Ok(got)) = (bytes.starts_with(b"PK"), got) {
            assert_same_tensors(&got, &Checkpoint::read(&network(FILES[file])).unwrap());
        }
    }

    #[test]
    fn numbers_at_their_limits_never_panic(
        file in 0..FILES.len(),
        position in any::<prop::sample::Index>(),
        number in prop::sample::select(vec![0u32, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX]),
    ) {
        let mut bytes = std::fs::read(network(FILES[file])).unwrap();
        let position = position.index(bytes.len() - 4);
        bytes[position..position + 4].copy_from_slice(&number.to_le_bytes());
        let _ = read(&bytes);
    }
}
