//! Files of the cache that are opened under their own name and no other: through no link, so that
//! whoever can put a link into the cache cannot choose what is written.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a file to read it and to write at its end; one that does not exist is made, which others may read
/// as far as the process's mask allows.
///
/// # Errors
///
/// What the system reports, and [`io::ErrorKind::InvalidInput`] for a link, for a file with a second name,
/// and for what is no file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if let Ok(there) = path.symlink_metadata() {
        check(&there)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o644);
        // A link that came since is not followed, and a pipe is not waited for.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits() as i32);
    }
    let file = options.open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// Whether a path is a file under its own and only name, or nothing.
pub(crate) fn is_own(path: &Path) -> bool {
    path.symlink_metadata()
        .map_or(true, |there| check(&there).is_ok())
}

/// Whether a path is a file and no link to one.
pub(crate) fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|there| there.is_file())
}

fn check(there: &Metadata) -> io::Result<()> {
    if there.is_file() && !has_another_name(there) {
        return Ok(());
    }
    let problem = "expected a file under this name alone, got a link or something else";
    Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
}

#[cfg(unix)]
fn has_another_name(there: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    there.nlink() > 1
}

#[cfg(not(unix))]
fn has_another_name(_there: &Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_made_and_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        for text in ["one ", "two"] {
            assert!(is_own(&path));
            open(&path).unwrap().write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one two");
        assert!(is_file(&path));
    }

    #[cfg(unix)]
    #[test]
    fn links_folders_and_pipes_are_refused_and_their_targets_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("victim"), "text").unwrap();
        fs::hard_link(at("victim"), at("second name")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        std::os::unix::fs::symlink(at("victim"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("nothing"), at("dangling")).unwrap();
        let pipe = std::process::Command::new("mkfifo")
            .arg(at("pipe"))
            .status();
        for name in ["second name", "folder", "link", "dangling", "pipe"] {
            if name == "pipe" && !pipe.as_ref().is_ok_and(|status| status.success()) {
                continue;
            }
            assert!(!is_own(&at(name)), "{name}");
            let error = open(&at(name)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
        assert_eq!(fs::read_to_string(at("victim")).unwrap(), "text");
        assert!(!at("nothing").exists());
        assert!(!is_file(&at("link")) && !is_file(&at("folder")));
    }
}
