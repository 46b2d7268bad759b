//! IDX files, plain or gzip.
//!
//! The format of MNIST's files: four bytes `0, 0, element type, rank`, then `rank` dimensions as
//! big-endian 32-bit integers, then the elements, row-major and big-endian. [`read`] and [`write()`] take
//! the element type `0x08`, unsigned byte; labelled sets ([`crate::labelled`]) take the others too:
//! signed bytes (`0x09`), 16-bit and 32-bit integers (`0x0b`, `0x0c`), 32-bit and 64-bit floats
//! (`0x0d`, `0x0e`). Whether a file is compressed is read from its first two bytes, not from its name.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder, bufread::MultiGzDecoder};

use crate::DataError;
use crate::array::{Array, Element, Store};
use crate::error::wrong;
use crate::file;

/// The most bytes of data that [`read`] takes from one file: 1 GiB.
pub const MAX_BYTES: usize = 1 << 30;

const UNSIGNED_BYTE: u8 = 0x08;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Opens an array of any element type and rank; a plain file is not read further than its header.
///
/// # Errors
/// Those of [`read`], and [`DataError::Labelled`] for another element type or no dimension.
pub(crate) fn open(path: &Path) -> Result<Array, DataError> {
    let (stored, length) = file::open(path)?;
    let mut stored = BufReader::new(stored);
    let packed = stored
        .fill_buf()
        .map_err(|source| file::io_error(path, source))?
        .starts_with(&GZIP_MAGIC);
    let mut from: Box<dyn Read> = if packed {
        Box::new(MultiGzDecoder::new(stored))
    } else {
        Box::new(stored)
    };
    let magic = read_header(&mut from, path, 4)?;
    expect_byte(path, "first magic byte", 0, magic[0])?;
    expect_byte(path, "second magic byte", 0, magic[1])?;
    let refuse = |what, expected: &str, got: String| wrong(path, what, expected, got);
    let element = element(magic[2]).ok_or_else(|| {
        let got = format!("{:#04x}", magic[2]);
        refuse(
            "element type of an IDX file",
            "0x08, 0x09 or 0x0b to 0x0e",
            got,
        )
    })?;
    if magic[3] == 0 {
        let got = "none".to_owned();
        return Err(refuse("dimensions of an IDX file", "one or more", got));
    }
    let (shape, size) = dimensions(&mut from, path, magic[3], element.size())?;
    expect_packed(path, packed.then_some(length), size)?;
    let store = if packed {
        Store::Memory(exactly(&mut from, path, size)?)
    } else {
        let before = 4 + 4 * shape.len();
        let got = length.saturating_sub(before as u64) as usize;
        expect_data(path, size, got)?;
        Store::File {
            offset: before as u64,
        }
    };
    Ok(Array {
        path: path.to_owned(),
        name: String::new(),
        element,
        big_endian: true,
        shape,
        fortran: false,
        store,
    })
}

fn element(code: u8) -> Option<Element> {
    Some(match code {
        UNSIGNED_BYTE => Element::U8,
        0x09 => Element::I8,
        0x0b => Element::I16,
        0x0c => Element::I32,
        0x0d => Element::F32,
        0x0e => Element::F64,
        _ => return None,
    })
}

/// An array of unsigned bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    /// The dimensions, e.g. `[images, rows, columns]`.
    pub shape: Vec<usize>,
    /// The elements, row-major: as many as the product of `shape`.
    pub values: Vec<u8>,
}

/// Reads an array of `rank` dimensions: 3 for images, 1 for labels.
///
/// Memory grows with the bytes that the file really holds, never with what its header announces, and
/// decompression stops one byte after the announced data.
///
/// # Errors
/// [`DataError::Io`] for files that cannot be read and damaged gzip streams, and the `Idx*` errors for
/// a wrong magic number, element type or rank, and for data that is truncated, too long or too large.
pub fn read(path: &Path, rank: u8) -> Result<Idx, DataError> {
    let (file, length) = file::open(path)?;
    let mut file = BufReader::new(file);
    let compressed = file
        .fill_buf()
        .map_err(|source| file::io_error(path, source))?
        .starts_with(&GZIP_MAGIC);
    if compressed {
        parse(MultiGzDecoder::new(file), path, rank, Some(length))
    } else {
        parse(file, path, rank, None)
    }
}

/// `packed` are the bytes of a packed file.
fn parse(
    mut from: impl Read,
    path: &Path,
    rank: u8,
    packed: Option<u64>,
) -> Result<Idx, DataError> {
    let magic = read_header(&mut from, path, 4)?;
    expect_byte(path, "first magic byte", 0, magic[0])?;
    expect_byte(path, "second magic byte", 0, magic[1])?;
    expect_byte(path, "element type", UNSIGNED_BYTE, magic[2])?;
    expect_byte(path, "number of dimensions", rank, magic[3])?;
    let (shape, size) = dimensions(&mut from, path, rank, 1)?;
    expect_packed(path, packed, size)?;
    let values = exactly(&mut from, path, size)?;
    Ok(Idx { shape, values })
}

/// Refuses `size` bytes that so few packed ones cannot be.
fn expect_packed(path: &Path, packed: Option<u64>, size: usize) -> Result<(), DataError> {
    match packed {
        Some(length) if size as u64 > file::most_unpacked(length) => {
            Err(file::expanded(path, length, file::most_unpacked(length)))
        }
        _ => Ok(()),
    }
}

fn expect_byte(path: &Path, what: &'static str, expected: u8, got: u8) -> Result<(), DataError> {
    if got == expected {
        return Ok(());
    }
    Err(DataError::IdxHeader {
        path: path.to_owned(),
        what,
        expected,
        got,
    })
}

/// The dimensions, and how many bytes their elements take.
fn dimensions(
    from: &mut impl Read,
    path: &Path,
    rank: u8,
    element: usize,
) -> Result<(Vec<usize>, usize), DataError> {
    let dims = read_header(from, path, 4 * usize::from(rank))?;
    let shape: Vec<usize> = dims
        .chunks_exact(4)
        .map(|d| u32::from_be_bytes([d[0], d[1], d[2], d[3]]) as usize)
        .collect();
    let size = element_count(&shape).and_then(|count| count.checked_mul(element));
    match size.filter(|&size| size <= MAX_BYTES) {
        Some(size) => Ok((shape, size)),
        None => Err(DataError::IdxTooLarge {
            path: path.to_owned(),
            shape,
            limit: MAX_BYTES,
        }),
    }
}

/// All data of a file, which is `expected` bytes long.
fn exactly(from: &mut impl Read, path: &Path, expected: usize) -> Result<Vec<u8>, DataError> {
    // One byte more than announced: enough to see trailing bytes, and to make gzip check its sum.
    let values = read_at_most(from, path, expected + 1)?;
    expect_data(path, expected, values.len())?;
    Ok(values)
}

fn expect_data(path: &Path, expected: usize, got: usize) -> Result<(), DataError> {
    match got {
        got if got < expected => Err(DataError::IdxTruncated {
            path: path.to_owned(),
            what: "data",
            expected,
            got,
        }),
        got if got > expected => Err(DataError::IdxTrailing {
            path: path.to_owned(),
            expected,
        }),
        _ => Ok(()),
    }
}

fn read_header(from: &mut impl Read, path: &Path, expected: usize) -> Result<Vec<u8>, DataError> {
    let bytes = read_at_most(from, path, expected)?;
    if bytes.len() < expected {
        let (path, got) = (path.to_owned(), bytes.len());
        return Err(DataError::IdxTruncated {
            path,
            what: "header",
            expected,
            got,
        });
    }
    Ok(bytes)
}

fn read_at_most(from: &mut impl Read, path: &Path, limit: usize) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    from.take(limit as u64)
        .read_to_end(&mut bytes)
        .map_err(|source| DataError::Io {
            path: path.to_owned(),
            source,
        })?;
    Ok(bytes)
}

fn element_count(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1_usize, |count, &dim| count.checked_mul(dim))
}

/// Writes an array, compressed when the path ends in `.gz`.
///
/// The same array gives the same bytes: the gzip header holds no name and no time. The file appears
/// whole or not at all, because it is written beside its place and then renamed.
///
/// # Errors
/// [`DataError::IdxShape`] when `shape` does not fit the format or `values`, [`DataError::Io`] when
/// the file cannot be written.
pub fn write(path: &Path, array: &Idx) -> Result<(), DataError> {
    let header = header_bytes(path, array)?;
    write_atomically(path, |file| {
        if path.extension().is_some_and(|extension| extension == "gz") {
            let mut gzip = GzBuilder::new().mtime(0).write(file, Compression::best());
            gzip.write_all(&header)?;
            gzip.write_all(&array.values)?;
            gzip.finish().map(|_| ())
        } else {
            file.write_all(&header)?;
            file.write_all(&array.values)
        }
    })
    .map_err(|source| DataError::Io {
        path: path.to_owned(),
        source,
    })
}

fn header_bytes(path: &Path, array: &Idx) -> Result<Vec<u8>, DataError> {
    let shape_error = |expected: String| DataError::IdxShape {
        path: path.to_owned(),
        expected,
        got: array.shape.clone(),
    };
    let rank = u8::try_from(array.shape.len())
        .map_err(|_| shape_error("at most 255 dimensions".to_owned()))?;
    if element_count(&array.shape) != Some(array.values.len()) {
        return Err(shape_error(format!("{} elements", array.values.len())));
    }
    let mut header = vec![0, 0, UNSIGNED_BYTE, rank];
    for &dim in &array.shape {
        let dim = u32::try_from(dim).map_err(|_| shape_error("32-bit dimensions".to_owned()))?;
        header.extend_from_slice(&dim.to_be_bytes());
    }
    Ok(header)
}

fn write_atomically(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        // Temporary files are private by default; this one becomes an ordinary file.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o644));
    }
    let mut temporary = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
    fill(temporary.as_file_mut())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn images() -> Idx {
        Idx {
            shape: vec![2, 3, 2],
            values: (0..12).collect(),
        }
    }

    #[test]
    fn plain_and_gzip_files_read_back() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["images", "images.gz"] {
            let path = folder.path().join(name);
            write(&path, &images()).unwrap();
            assert_eq!(read(&path, 3).unwrap(), images(), "{name}");
        }
    }

    #[test]
    fn compression_is_seen_in_the_bytes_and_not_in_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let (named, misnamed) = (folder.path().join("a.gz"), folder.path().join("a.idx"));
        write(&named, &images()).unwrap();
        assert!(std::fs::read(&named).unwrap().starts_with(&GZIP_MAGIC));
        std::fs::rename(&named, &misnamed).unwrap();
        assert_eq!(read(&misnamed, 3).unwrap(), images());
    }

    #[test]
    fn writing_twice_gives_the_same_bytes_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a.gz"), folder.path().join("b.gz"));
        write(&first, &images()).unwrap();
        write(&second, &images()).unwrap();
        assert_eq!(
            std::fs::read(first).unwrap(),
            std::fs::read(second).unwrap()
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn writing_refuses_a_shape_that_does_not_fill() {
        let path = Path::new("never-written");
        let array = Idx {
            shape: vec![2, 2],
            values: vec![0; 5],
        };
        assert!(matches!(
            write(path, &array),
            Err(DataError::IdxShape { .. })
        ));
        assert!(!path.exists());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(bytes.as_slice(), Path::new("arbitrary"), 3, None);
            let _ = parse(MultiGzDecoder::new(bytes.as_slice()), Path::new("arbitrary"), 1, Some(9));
        }

        #[test]
        fn every_cut_of_a_file_is_truncated(cut in 0_usize..28) {
            let mut bytes = header_bytes(Path::new("cut"), &images()).unwrap();
            bytes.extend(images().values);
            let result = parse(&bytes[..cut], Path::new("cut"), 3, None);
            let truncated = matches!(result, Err(DataError::IdxTruncated { .. }));
            prop_assert!(truncated);
        }
    }
}
