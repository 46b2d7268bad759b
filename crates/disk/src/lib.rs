//! Files that others made: opened when they are plain, read up to a bound, and looked for where they may
//! lie and nowhere else.
//!
//! A path that a person names is followed wherever it leads ([`open`], [`read`]). A path that a file or a
//! folder names is not ([`Place`]): an archive from elsewhere may hold links, and its tables may hold
//! `..`, that lead to files which its author has no business with.
//!
//! ```
//! use disk::{DiskError, Place};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("labels.csv"), "file,label\n")?;
//! let place = Place::of_folder(folder.path())?;
//! assert_eq!(place.read(&folder.path().join("labels.csv"), 100)?, b"file,label\n");
//!
//! let outside = place.read(&folder.path().join("../secret"), 100);
//! assert!(outside.is_err());
//! assert!(matches!(disk::read(folder.path(), 100), Err(DiskError::NotAFile { .. })));
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod error;
mod place;

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Component, Path};

pub use error::DiskError;
pub use place::Place;

/// The most bytes of a file of settings or of a list of names, such as `config.json`: 2 MiB. Parsed JSON
/// takes up to a hundred times as much.
pub const MOST_SETTINGS: u64 = 1 << 21;

/// Opens a plain file and says how many bytes it has. A link is followed; a pipe, a socket or a device is
/// refused, because reading one may never end.
///
/// # Errors
/// [`DiskError::Io`] and [`DiskError::NotAFile`].
pub fn open(path: &Path) -> Result<(File, u64), DiskError> {
    let io = |source| DiskError::Io {
        path: path.to_owned(),
        source,
    };
    // Asked before it is opened, because opening a device may do something; and after, because it may
    // have become another file meanwhile.
    expect_plain(path, &std::fs::metadata(path).map_err(io)?)?;
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Opening a pipe waits for its other end; plain files do not know the flag.
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    let file = options.open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    expect_plain(path, &metadata)?;
    Ok((file, metadata.len()))
}

fn expect_plain(path: &Path, metadata: &std::fs::Metadata) -> Result<(), DiskError> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(DiskError::NotAFile {
        path: path.to_owned(),
        got: match metadata.is_dir() {
            true => "a folder",
            false => "a pipe, a socket or a device",
        },
    })
}

/// The whole of a plain file of at most `limit` bytes.
///
/// # Errors
/// Those of [`open`], and [`DiskError::TooLarge`].
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, DiskError> {
    let too_large = |got| DiskError::TooLarge {
        path: path.to_owned(),
        limit,
        got,
    };
    let (file, length) = open(path)?;
    if length > limit {
        return Err(too_large(length));
    }
    let mut bytes = Vec::new();
    let io = |source| DiskError::Io {
        path: path.to_owned(),
        source,
    };
    bytes
        .try_reserve_exact(length as usize)
        .map_err(|error| io(std::io::Error::new(std::io::ErrorKind::OutOfMemory, error)))?;
    // The file may grow between the two calls.
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    match read.map_err(io)? as u64 {
        got if got > limit => Err(too_large(got)),
        _ => Ok(bytes),
    }
}

/// Like [`read`], as text.
///
/// # Errors
/// Those of [`read`]; [`DiskError::Io`] for bytes that are no UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String, DiskError> {
    String::from_utf8(read(path, limit)?).map_err(|error| DiskError::Io {
        path: path.to_owned(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, error.utf8_error()),
    })
}

/// Whether `relative` names something below the folder that it is joined to: no root and no `..`, and not
/// the folder itself.
pub fn stays_inside(relative: &Path) -> bool {
    let mut named = false;
    relative.components().all(|part| match part {
        Component::Normal(_) => {
            named = true;
            true
        }
        Component::CurDir => true,
        _ => false,
    }) && named
}

/// Whether a name is that of a file beside the one that states it: no folder, no root, no `..`.
pub fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let only = matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(_)), None)
    );
    // `a/` and `a/.` have one component too.
    only && !name.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_told_from_those_that_do_not() {
        for name in ["a", "a/b", "./a", "a/./b", "a..b", "..a"] {
            assert!(stays_inside(Path::new(name)), "{name}");
        }
        for name in ["", ".", "..", "../a", "a/../b", "/a", "a/.."] {
            assert!(!stays_inside(Path::new(name)), "{name}");
        }
        for name in ["a", "a.b", "..a"] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "./a", "/a", "a/", "a/.", "a\0"] {
            assert!(!is_plain_name(name), "{name:?}");
        }
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert_eq!(read_text(&path, 4).unwrap(), "four");
        let refusal = read(&path, 3).unwrap_err().to_string();
        assert!(
            refusal.contains("at most 3 bytes, got 4 or more"),
            "{refusal}"
        );
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(read_text(&path, 4), Err(DiskError::Io { .. })));
        let missing = folder.path().join("b");
        assert!(matches!(read(&missing, 4), Err(DiskError::Io { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_plain_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let to_device = folder.path().join("device");
        std::os::unix::fs::symlink("/dev/zero", &to_device).unwrap();
        let mut cases = vec![
            ("/dev/zero".into(), "a device"),
            (to_device, "a device"),
            (socket, "a socket"),
            (folder.path().to_owned(), "a folder"),
        ];
        if made.is_ok_and(|status| status.success()) {
            cases.push((pipe, "a pipe"));
        }
        for (path, what) in cases {
            let refusal = read(&path, 100).unwrap_err().to_string();
            assert!(refusal.contains("expected a plain file"), "{refusal}");
            assert!(refusal.contains(what), "{refusal}");
        }
    }
}
