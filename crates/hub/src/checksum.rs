//! SHA-256 of files.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Bytes that are read, hashed or written at once.
pub(crate) const BLOCK: usize = 1 << 16;

/// A SHA-256 checksum (FIPS 180-4), printed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checksum([u8; 32]);

impl Checksum {
    /// The checksum of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The checksum of a file and its size in bytes.
    ///
    /// # Errors
    ///
    /// What the system reports when the file cannot be read.
    pub fn of_file(path: &Path) -> io::Result<(Self, u64)> {
        let mut running = Running::default();
        running.read(&mut File::open(path)?)?;
        Ok((running.finish(), running.size))
    }
}

/// Whether the bytes of a file are those that an entity tag names: of large files by their sha256, of
/// small ones by git's name of a blob. A tag of any other form names no bytes.
pub(crate) fn is_named(
    tag: &str,
    path: &Path,
    (sha256, size): (Checksum, u64),
) -> io::Result<bool> {
    let tag = tag.to_lowercase();
    match tag.len() {
        64 => Ok(tag == sha256.to_string()),
        40 => Ok(tag == git_name(path, size)?),
        _ => Ok(false),
    }
}

/// Git's name of a file as a blob: the SHA-1 of its length and its bytes.
fn git_name(path: &Path, size: u64) -> io::Result<String> {
    let mut state = Sha1::new();
    state.update(format!("blob {size}\0"));
    each_block(&mut File::open(path)?, |block| state.update(block))?;
    Ok(state
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn each_block(from: &mut impl Read, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        match from.read(&mut block)? {
            0 => return Ok(()),
            n => take(&block[..n]),
        }
    }
}

/// A checksum of what has been seen so far.
#[derive(Default)]
pub(crate) struct Running {
    state: Sha256,
    size: u64,
}

impl Running {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.size += bytes.len() as u64;
    }

    pub(crate) fn read(&mut self, from: &mut impl Read) -> io::Result<()> {
        each_block(from, |block| self.add(block))
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn finish(&self) -> Checksum {
        Checksum(self.state.clone().finalize().into())
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

impl FromStr for Checksum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("expected 64 hexadecimal digits of a sha256, got `{text}`");
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(fault());
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| fault())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| fault())?;
        }
        Ok(Self(bytes))
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's example `abc`.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn published_vector_is_met_and_reads_back() {
        assert_eq!(Checksum::of(b"abc").to_string(), ABC);
        assert_eq!(ABC.parse(), Ok(Checksum::of(b"abc")));
        assert_eq!(ABC.to_uppercase().parse(), Ok(Checksum::of(b"abc")));
    }

    #[test]
    fn file_is_hashed_across_blocks() {
        let bytes: Vec<u8> = (0..3 * BLOCK + 7).map(|i| i as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let expected = (Checksum::of(&bytes), bytes.len() as u64);
        assert_eq!(Checksum::of_file(file.path()).unwrap(), expected);
    }

    #[test]
    fn a_tag_names_the_bytes_by_sha256_or_as_git_does() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        let measured = Checksum::of_file(file.path()).unwrap();
        // `printf abc | git hash-object --stdin`.
        let git = "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f";
        for (tag, expected) in [
            (ABC, true),
            (git, true),
            (&git.to_uppercase(), true),
            (&ABC.replace('b', "c"), false),
            (&git.replace('f', "e"), false),
            ("900150983cd24fb0d6963f7d28e17f72", false),
            ("", false),
        ] {
            let found = is_named(tag, file.path(), measured).unwrap();
            assert_eq!(found, expected, "{tag}");
        }
    }

    #[test]
    fn other_texts_are_no_checksums() {
        let signed = format!("+{}", &ABC[1..]);
        for text in ["", "ba78", &ABC[1..], &signed, &ABC.replace('b', "g")] {
            assert!(text.parse::<Checksum>().is_err(), "{text}");
        }
    }
}
