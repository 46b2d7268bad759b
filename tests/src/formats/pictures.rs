//! Pictures, and folders of them with a table of labels.

use data::image::decode;

use super::Folder;
use super::sets::{self, For};

/// Pixels of pictures that take long to decode, though they are allowed.
const LARGE: u64 = 1 << 20;

/// A picture of any format.
pub(super) fn picture(bytes: &[u8]) -> bool {
    if stated_pixels(bytes).is_some_and(|pixels| pixels > LARGE) {
        return false;
    }
    let Ok(picture) = decode::decode(bytes, "picture") else {
        return false;
    };
    let pixels = picture.height() * picture.width();
    assert!(pixels > 0 && picture.rgb().len() == 3 * pixels);
    true
}

/// Pixels that the header of a JPEG or PNG states.
fn stated_pixels(bytes: &[u8]) -> Option<u64> {
    let number = |at: usize, size: usize| {
        let digits = bytes.get(at..at + size)?.iter();
        Some(digits.fold(0_u64, |number, &digit| number << 8 | u64::from(digit)))
    };
    if bytes.starts_with(b"\x89PNG") {
        return Some(number(16, 4)?.saturating_mul(number(20, 4)?));
    }
    let frame =
        |pair: &[u8]| pair[0] == 0xff && (0xc0..=0xcf).contains(&pair[1]) && pair[1] != 0xc4;
    let frames = bytes.windows(2).enumerate().filter(|(_, pair)| frame(pair));
    frames
        .filter_map(|(at, _)| Some(number(at + 5, 2)? * number(at + 7, 2)?))
        .max()
}

/// A table of labels in a folder of three pictures.
pub(super) fn labels_csv(bytes: &[u8]) -> bool {
    let folder = Folder::new();
    for (name, grey) in [("0/a.pgm", b"0"), ("0/b.pgm", b"1"), ("1/c.pgm", b"2")] {
        let mut picture = b"P2\n1 1\n3\n".to_vec();
        picture.extend(grey);
        folder.file(&format!("set/{name}"), &picture);
    }
    folder.file("set/labels.csv", bytes);
    let path = folder.path().join("set");
    let as_folder = data::ImageFolder::open(&path, "set").is_ok();
    sets::read(&path, &[For::Numbers, For::Pictures]) | as_folder
}
