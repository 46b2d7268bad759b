//! NumPy's `.npy` files, versions 1 to 3.
//!
//! `\x93NUMPY`, two bytes of version, the length of the header in 2 bytes (version 1) or 4, the header
//! and the elements. The header is a dictionary in Python's notation with the keys `descr` (the
//! element), `fortran_order` and `shape`. Elements that are pickled objects or records are refused: the
//! first would have to be executed, and the second are no numbers.

use std::path::Path;

use super::{Array, Element, Store};
use crate::DataError;
use crate::error::{shorten, wrong};
use crate::file;

/// What every file begins with.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header that is read: 1 MiB; NumPy writes about a hundred bytes.
const MAX_HEADER: usize = 1 << 20;

/// What a header says, and how many bytes stand before the elements.
#[derive(Debug, PartialEq)]
pub(crate) struct Header {
    element: Element,
    big_endian: bool,
    fortran: bool,
    shape: Vec<usize>,
    pub(crate) before: usize,
}

/// Opens a file, packed with gzip or not.
///
/// # Errors
/// [`DataError::Io`], and [`DataError::Labelled`] for what is no such file, has other elements than
/// numbers or texts, or holds another number of bytes than its header announces.
pub(crate) fn open(path: &Path) -> Result<Array, DataError> {
    let (_, length) = file::open(path)?;
    let start = file::start(path, MAX_HEADER)?;
    let header = header(path, &start)?;
    let packed = !file::start_as_stored(path, MAGIC.len())?.starts_with(MAGIC);
    if packed || header.fortran {
        let all = file::read_unpacked(path, file::MAX_IN_MEMORY)?;
        return in_memory(path, "", header, all);
    }
    let announced = elements(path, &header)?;
    expect_bytes(path, announced, length.saturating_sub(header.before as u64))?;
    let store = Store::File {
        offset: header.before as u64,
    };
    Ok(array(path, "", header, store))
}

/// The array of a file that is in memory, `bytes` with its header.
pub(crate) fn in_memory(
    path: &Path,
    name: &str,
    header: Header,
    mut bytes: Vec<u8>,
) -> Result<Array, DataError> {
    let announced = elements(path, &header)?;
    bytes.drain(..header.before.min(bytes.len()));
    expect_bytes(path, announced, bytes.len() as u64)?;
    Ok(array(path, name, header, Store::Memory(bytes)))
}

/// An array whose elements are in the file from `offset` on, `length` bytes of them.
pub(crate) fn in_file(
    path: &Path,
    name: &str,
    header: Header,
    offset: u64,
    length: u64,
) -> Result<Array, DataError> {
    expect_bytes(path, elements(path, &header)?, length)?;
    Ok(array(path, name, header, Store::File { offset }))
}

impl Header {
    /// Whether the elements have to be in memory to be read row by row.
    pub(crate) fn is_fortran(&self) -> bool {
        self.fortran
    }
}

fn array(path: &Path, name: &str, header: Header, store: Store) -> Array {
    Array {
        path: path.to_owned(),
        name: name.to_owned(),
        element: header.element,
        big_endian: header.big_endian,
        shape: header.shape,
        fortran: header.fortran,
        store,
    }
}

/// Bytes of all elements.
fn elements(path: &Path, header: &Header) -> Result<u64, DataError> {
    let bytes = Array::byte_len(&header.shape, header.element);
    bytes.map(|bytes| bytes as u64).ok_or_else(|| {
        let got = format!("{:?}", header.shape);
        wrong(path, "shape of an array", "one that fits in memory", got)
    })
}

fn expect_bytes(path: &Path, expected: u64, got: u64) -> Result<(), DataError> {
    if expected == got {
        return Ok(());
    }
    let bytes = |count| format!("{count} bytes");
    Err(wrong(
        path,
        "elements of an array",
        bytes(expected),
        bytes(got),
    ))
}

/// Reads a header from the first bytes of a file.
///
/// # Errors
/// [`DataError::Labelled`].
pub(crate) fn header(path: &Path, start: &[u8]) -> Result<Header, DataError> {
    let (text, before) = header_text(path, start)?;
    let shown = || shorten(text.trim());
    let bad = |expected: &str| wrong(path, "NumPy header", expected, shown());
    let dictionary = dictionary(text).ok_or_else(|| bad("a dictionary in Python's notation"))?;
    let value = |key: &str| {
        let found = dictionary.iter().find(|(known, _)| known == key);
        let value = found.map(|(_, value)| value);
        value.ok_or_else(|| bad("keys descr, fortran_order and shape"))
    };
    let (element, big_endian) = element_of(path, value("descr")?)?;
    let Literal::Bool(fortran) = value("fortran_order")? else {
        return Err(bad("fortran_order True or False"));
    };
    let Literal::Tuple(shape) = value("shape")? else {
        return Err(bad("a tuple as shape"));
    };
    Ok(Header {
        element,
        big_endian,
        fortran: *fortran && shape.len() > 1,
        shape: shape.clone(),
        before,
    })
}

/// The text of a header, and how many bytes stand before the elements.
fn header_text<'a>(path: &Path, start: &'a [u8]) -> Result<(&'a str, usize), DataError> {
    let bad = |expected: &str, got: String| wrong(path, "NumPy header", expected, got);
    let cut = || bad("a whole one", "the end of the file".to_owned());
    let rest = start
        .strip_prefix(MAGIC)
        .ok_or_else(|| bad("\\x93NUMPY", "other bytes".to_owned()))?;
    let (length, size) = match *rest {
        [1, _, low, high, ..] => (u32::from(u16::from_le_bytes([low, high])), 2),
        [2 | 3, _, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]), 4),
        [version, ..] if version > 3 || version == 0 => {
            return Err(bad("version 1, 2 or 3", version.to_string()));
        }
        _ => return Err(cut()),
    };
    let from = MAGIC.len() + 2 + size;
    let length = length as usize;
    if length > MAX_HEADER - from {
        let got = format!("{length} bytes");
        return Err(bad("one of less than a megabyte", got));
    }
    let text = start.get(from..from + length).ok_or_else(cut)?;
    match std::str::from_utf8(text) {
        Ok(text) => Ok((text, from + length)),
        Err(_) => Err(bad("text", "bytes that are no UTF-8".to_owned())),
    }
}

/// The element that the value of `descr` says.
fn element_of(path: &Path, descr: &Literal) -> Result<(Element, bool), DataError> {
    let refuse = |expected: &str, got: String| wrong(path, "elements of an array", expected, got);
    let Literal::Text(descr) = descr else {
        return Err(refuse("one kind for the whole array", "records".to_owned()));
    };
    element(descr).ok_or_else(|| {
        let got = match descr.as_str() {
            "|O" | "O" => "pickled objects, which are never executed".to_owned(),
            other => shorten(other),
        };
        refuse("integers, booleans, floats of 16 to 64 bits, or text", got)
    })
}

/// The element that a type string names, e.g. `<f4`, and whether it is big-endian.
fn element(descr: &str) -> Option<(Element, bool)> {
    let (order, kind) = match descr.chars().next()? {
        order @ ('<' | '>' | '|' | '=') => (order, &descr[1..]),
        _ => ('=', descr),
    };
    let element = match kind {
        "b1" | "?" => Element::Bool,
        "u1" => Element::U8,
        "i1" => Element::I8,
        "u2" => Element::U16,
        "i2" => Element::I16,
        "u4" => Element::U32,
        "i4" => Element::I32,
        "u8" => Element::U64,
        "i8" => Element::I64,
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        _ => {
            let wide = kind.starts_with('U');
            let characters = kind.strip_prefix(['U', 'S'])?.parse().ok()?;
            // A longer one is no name of a class.
            if characters > 1 << 12 {
                return None;
            }
            Element::Text { characters, wide }
        }
    };
    Some((element, order == '>'))
}

/// A value in Python's notation.
#[derive(Debug, PartialEq)]
enum Literal {
    Text(String),
    Bool(bool),
    Tuple(Vec<usize>),
    Other,
}

/// The entries of a dictionary with texts as keys; `None` for anything else.
fn dictionary(text: &str) -> Option<Vec<(String, Literal)>> {
    let mut rest = text.trim().strip_prefix('{')?.trim_start();
    let mut entries = vec![];
    while !rest.starts_with('}') {
        let (key, after) = quoted(rest)?;
        let after = after.trim_start().strip_prefix(':')?.trim_start();
        let (value, after) = literal(after)?;
        entries.push((key.to_owned(), value));
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.starts_with('}') => after,
            None => return None,
        };
    }
    (rest[1..].trim().is_empty()).then_some(entries)
}

fn literal(text: &str) -> Option<(Literal, &str)> {
    if let Some(rest) = text.strip_prefix("True") {
        return Some((Literal::Bool(true), rest));
    }
    if let Some(rest) = text.strip_prefix("False") {
        return Some((Literal::Bool(false), rest));
    }
    match text.chars().next()? {
        '\'' | '"' => quoted(text).map(|(value, rest)| (Literal::Text(value.to_owned()), rest)),
        '(' => {
            let (inside, rest) = text[1..].split_once(')')?;
            let dims: Option<Vec<usize>> = inside
                .split(',')
                .map(str::trim)
                .filter(|dim| !dim.is_empty())
                // Python 2 marks long integers.
                .map(|dim| dim.strip_suffix('L').unwrap_or(dim).parse().ok())
                .collect();
            Some((Literal::Tuple(dims?), rest))
        }
        // A list of the fields of a record; the brackets nest no deeper than two.
        '[' => {
            let end = text.rfind(']')?;
            Some((Literal::Other, &text[end + 1..]))
        }
        _ => None,
    }
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(version: u8, header: &str) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        if version == 1 {
            bytes.extend((header.len() as u16).to_le_bytes());
        } else {
            bytes.extend((header.len() as u32).to_le_bytes());
        }
        bytes.extend(header.bytes());
        bytes
    }

    fn message(bytes: &[u8]) -> String {
        header(Path::new("a.npy"), bytes).unwrap_err().to_string()
    }

    #[test]
    fn headers_of_three_versions_say_type_order_and_shape() {
        let text = "{'descr': '>f4', 'fortran_order': True, 'shape': (3L, 4), }   \n";
        for version in 1..=3 {
            let header = header(Path::new("a.npy"), &file(version, text)).unwrap();
            assert_eq!(header.element, Element::F32);
            assert!(header.big_endian && header.fortran);
            assert_eq!(header.shape, [3, 4]);
            assert_eq!(header.before, file(version, text).len());
        }
        let text = "{\"shape\": (5,), 'descr': '|b1', 'fortran_order': True}";
        let one = header(Path::new("a.npy"), &file(1, text)).unwrap();
        assert_eq!((one.element, one.fortran), (Element::Bool, false));
    }

    #[test]
    fn headers_that_say_something_else_are_refused() {
        let cases = [
            (
                "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
                "pickled objects",
            ),
            (
                "{'descr': '<c8', 'fortran_order': False, 'shape': (3,), }",
                "\"<c8\"",
            ),
            (
                "{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (3,), }",
                "got records",
            ),
            (
                "{'descr': '<f4', 'fortran_order': 0, 'shape': (3,), }",
                "a dictionary",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }",
                "a dictionary",
            ),
            ("{'descr': '<f4', 'fortran_order': False}", "keys descr"),
            ("import os", "a dictionary"),
            ("{'descr': '<f4' 'shape': (3,)}", "a dictionary"),
        ];
        for (text, expected) in cases {
            let message = message(&file(1, text));
            assert!(message.contains(expected), "{message}");
        }
        assert!(message(&file(4, "{}")).contains("version 1, 2 or 3, got 4"));
        assert!(message(&file(2, "{}")[..12]).contains("the end of the file"));
        assert!(message(b"\x93NUMPX").contains("other bytes"));
        let mut huge = file(2, "{}");
        huge[8..12].fill(0xff);
        assert!(message(&huge).contains("4294967295 bytes"));
    }

    proptest! {
        #[test]
        fn arbitrary_headers_never_panic(text in ".{0,80}", version in 0_u8..5) {
            let _ = header(Path::new("a.npy"), &file(version.max(1), &text));
            let _ = header(Path::new("a.npy"), text.as_bytes());
        }
    }
}
