//! What kind of file a path names, told from its first bytes; tables of text from the end of its name.

use std::path::Path;

use crate::DataError;
use crate::array::npy;
use crate::error::wrong;
use crate::file;
use crate::image::decode;

/// How a set is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Pictures, or the shards of a parquet collection.
    Folder,
    Idx,
    Npy,
    Npz,
    Safetensors,
    Parquet,
    /// Cells between this byte.
    Table(u8),
    JsonLines,
}

/// What a set can be, for errors.
const KNOWN: &str = "a folder of pictures or of parquet shards; an IDX, .npy, .npz, safetensors or \
                     parquet file; or a table that ends in .tsv, .csv or .jsonl";

impl Format {
    /// The format of a path.
    ///
    /// # Errors
    /// [`DataError::Io`], and [`DataError::Labelled`] for a file of no format that is read; well-known
    /// ones are named.
    pub(super) fn of(path: &Path) -> Result<Self, DataError> {
        if path.is_dir() {
            return Ok(Self::Folder);
        }
        let start = file::start(path, 1024)?;
        let ending = ending(path);
        match &start[..] {
            // The header's length, which the format limits to 10^8, and its first character.
            [_, _, _, _, 0, 0, 0, 0, b'{', ..] => Ok(Self::Safetensors),
            [0, 0, 0x08..=0x0e, _, ..] => Ok(Self::Idx),
            _ if start.starts_with(npy::MAGIC) => Ok(Self::Npy),
            [b'P', b'K', 3 | 5, 4 | 6, ..] => Ok(Self::Npz),
            [b'P', b'A', b'R', b'1', ..] => Ok(Self::Parquet),
            _ => match foreign(&start) {
                Some(got) => Err(wrong(path, "format", KNOWN, got)),
                None => table(&ending).ok_or_else(|| {
                    let got = match &ending[..] {
                        "" => "a file without an ending".to_owned(),
                        "json" => {
                            "a .json file: name it .jsonl if each line is an object".to_owned()
                        }
                        ending => format!("a .{ending} file"),
                    };
                    wrong(path, "format", KNOWN, got)
                }),
            },
        }
    }
}

/// The end of a file's name in small letters, `.gz` left out.
fn ending(path: &Path) -> String {
    let name = file::name(path).to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.') {
        Some((_, ending)) => ending.to_owned(),
        None => String::new(),
    }
}

fn table(ending: &str) -> Option<Format> {
    match ending {
        "tsv" | "tab" => Some(Format::Table(b'\t')),
        "csv" => Some(Format::Table(b',')),
        "jsonl" | "ndjson" => Some(Format::JsonLines),
        _ => None,
    }
}

/// A well-known format that holds no set that is read.
fn foreign(start: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 10] = [
        (
            b"version https://git-lfs",
            "a Git LFS pointer: the file itself was not fetched",
        ),
        (b"\x89HDF", "an HDF5 file: save its arrays with numpy.savez"),
        (
            b"\x80\x02",
            "a pickle, which is never executed: save its arrays with numpy.savez",
        ),
        (
            b"\x80\x03",
            "a pickle, which is never executed: save its arrays with numpy.savez",
        ),
        (
            b"\x80\x04",
            "a pickle, which is never executed: save its arrays with numpy.savez",
        ),
        (
            b"\x80\x05",
            "a pickle, which is never executed: save its arrays with numpy.savez",
        ),
        (b"ARROW1", "an Arrow file: save it as parquet"),
        (b"MATLAB", "a MATLAB file: save its arrays with numpy.savez"),
        (b"<!DOCTYPE", "a web page"),
        (b"SQLite format", "a database"),
    ];
    let known = KNOWN.iter().find(|(magic, _)| start.starts_with(magic));
    if let Some((_, name)) = known {
        return Some(name);
    }
    if start.get(257..262) == Some(b"ustar") {
        return Some("a tar archive: unpack it and name the folder");
    }
    decode::is_picture(start).then_some("one picture: name the folder that it lies in")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_from_first_bytes_and_tables_from_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            Format::of(&path).map_err(|error| error.to_string())
        };
        assert_eq!(of("a", &[0, 0, 0x0d, 2]), Ok(Format::Idx));
        assert_eq!(of("a.csv", b"\x93NUMPY\x01\0"), Ok(Format::Npy));
        assert_eq!(of("a", b"PK\x03\x04"), Ok(Format::Npz));
        assert_eq!(of("a", b"PAR1"), Ok(Format::Parquet));
        assert_eq!(of("a", b"\x10\0\0\0\0\0\0\0{\"a"), Ok(Format::Safetensors));
        assert_eq!(of("a.CSV", b"x,y\n"), Ok(Format::Table(b',')));
        assert_eq!(of("a.tsv", b""), Ok(Format::Table(b'\t')));
        assert_eq!(of("a.jsonl", b"{}"), Ok(Format::JsonLines));
        assert_eq!(Format::of(folder.path()).unwrap(), Format::Folder);
    }

    #[test]
    fn files_of_other_formats_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let cases: [(&str, &[u8], &str); 6] = [
            ("a.txt", b"hello", "got a .txt file"),
            (
                "a.csv",
                b"version https://git-lfs.github.com/spec/v1\n",
                "Git LFS pointer",
            ),
            (
                "a.npz",
                b"\x80\x04\x95",
                "a pickle, which is never executed",
            ),
            ("a", b"\x89HDF\r\n", "an HDF5 file"),
            ("a.json", b"[{}]", "each line is an object"),
            (
                "a.csv",
                b"\x89PNG\r\n\x1a\n",
                "one picture: name the folder",
            ),
        ];
        for (name, bytes, expected) in cases {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let message = Format::of(&path).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
