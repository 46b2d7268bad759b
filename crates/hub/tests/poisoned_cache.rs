//! A cache that others can write to: what lies there is verified, and nothing is written through a link.

#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use common::{COMMIT, FILE, Fixture, REPOSITORY, bytes, git_tag};
use hub::{Checksum, HubError, Silent, Status};

/// A hub with one file, and the folder of blobs in an empty cache.
fn fixture(large: bool) -> (Fixture, PathBuf, String) {
    let fixture = Fixture::new();
    let path = format!("/{REPOSITORY}/resolve/main/{FILE}");
    fixture.server.serve_at(&path, &bytes(1000), large);
    let blobs = fixture.cache().join("models--owner--net/blobs");
    fs::create_dir_all(&blobs).unwrap();
    let tag = match large {
        true => Checksum::of(&bytes(1000)).to_string(),
        false => git_tag(&bytes(1000)),
    };
    (fixture, blobs, tag)
}

fn victim(fixture: &Fixture) -> PathBuf {
    let path = fixture.folder.path().join("victim");
    fs::write(&path, "precious").unwrap();
    path
}

#[track_caller]
fn is_fetched_whole(fixture: &Fixture, expected: Status) {
    let fetched = fixture.hub().fetch("net", &mut Silent).unwrap();
    assert_eq!(fetched.files[0].status, expected);
    assert_eq!(fs::read(&fetched.files[0].path).unwrap(), bytes(1000));
}

#[test]
fn a_blob_counts_once_its_bytes_are_those_of_its_tag() {
    let others: Vec<u8> = bytes(1000).iter().map(|byte| byte ^ 1).collect();
    for large in [true, false] {
        for (content, expected) in [
            (bytes(1000), Status::Cached),
            (others.clone(), Status::Downloaded),
            (bytes(999), Status::Downloaded),
            (vec![], Status::Downloaded),
        ] {
            let (fixture, blobs, tag) = fixture(large);
            fs::write(blobs.join(tag), content).unwrap();
            is_fetched_whole(&fixture, expected);
        }
    }
}

#[test]
fn a_blob_under_a_tag_that_names_no_bytes_is_transferred_again() {
    let (fixture, blobs, _) = fixture(false);
    let tag = "0123456789abcdef";
    fixture.server.alter("ETag", tag);
    for content in [bytes(1000), vec![7; 1000]] {
        fs::write(blobs.join(tag), content).unwrap();
        let _ = fs::remove_file(fixture.folder.path().join("hub.lock"));
        is_fetched_whole(&fixture, Status::Downloaded);
    }
}

#[test]
fn offline_an_unpinned_file_counts_if_its_blob_is_named_after_its_bytes() {
    for large in [true, false] {
        let (fixture, blobs, tag) = fixture(large);
        is_fetched_whole(&fixture, Status::Downloaded);
        let unpin = || fs::remove_file(fixture.folder.path().join("hub.lock"));
        unpin().unwrap();
        let mut hub = fixture.offline();
        hub.fetch("net", &mut Silent).unwrap();
        unpin().unwrap();
        fs::write(blobs.join(tag), vec![7; 1000]).unwrap();
        let error = fixture.offline().fetch("net", &mut Silent).unwrap_err();
        assert!(matches!(error, HubError::Unverified { .. }), "{error}");
        assert_eq!(fixture.lock_file(), "");
    }
    // Nothing names the bytes of a file that is no link.
    let (fixture, ..) = fixture(true);
    let root = fixture.cache().join("models--owner--net");
    fs::create_dir_all(root.join("snapshots").join(COMMIT)).unwrap();
    fs::create_dir_all(root.join("refs")).unwrap();
    fs::write(root.join("refs/main"), COMMIT).unwrap();
    fs::write(root.join("snapshots").join(COMMIT).join(FILE), "x").unwrap();
    let error = fixture.offline().fetch("net", &mut Silent).unwrap_err();
    assert!(matches!(error, HubError::Unverified { .. }), "{error}");
}

/// Puts a symbolic or a second hard link at `path` to the victim.
fn link(kind: &str, victim: &Path, path: &Path) {
    match kind {
        "symbolic" => symlink(victim, path).unwrap(),
        "dangling" => symlink(victim.with_file_name("none"), path).unwrap(),
        _ => fs::hard_link(victim, path).unwrap(),
    }
}

#[test]
fn nothing_is_written_through_a_link_in_place_of_a_part_or_a_blob() {
    for large in [true, false] {
        for kind in ["symbolic", "dangling", "hard"] {
            for ending in ["", ".part"] {
                let (fixture, blobs, tag) = fixture(large);
                let victim = victim(&fixture);
                let path = blobs.join(format!("{tag}{ending}"));
                link(kind, &victim, &path);
                is_fetched_whole(&fixture, Status::Downloaded);
                assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
                assert!(!victim.with_file_name("none").exists());
                let blob = fs::symlink_metadata(blobs.join(&tag)).unwrap();
                assert!(blob.is_file() && blob.nlink() == 1, "{kind} {ending}");
            }
        }
    }
}

#[test]
fn a_link_in_place_of_a_lock_is_refused_and_its_target_left_alone() {
    for kind in ["symbolic", "dangling", "hard"] {
        let (fixture, blobs, tag) = fixture(true);
        let victim = victim(&fixture);
        link(kind, &victim, &blobs.join(format!("{tag}.lock")));
        let error = fixture.hub().fetch("net", &mut Silent).unwrap_err();
        assert!(matches!(error, HubError::Io { .. }), "{error}");
        assert!(error.to_string().contains(".lock"), "{error}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(!victim.with_file_name("none").exists());
    }
}

#[test]
fn a_link_in_place_of_a_reference_or_of_a_published_file_is_replaced() {
    for place in ["refs/main".to_owned(), format!("snapshots/{COMMIT}/{FILE}")] {
        let (fixture, blobs, _) = fixture(true);
        let victim = victim(&fixture);
        let path = blobs.parent().unwrap().join(&place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(&victim, &path).unwrap();
        is_fetched_whole(&fixture, Status::Downloaded);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious", "{place}");
        assert_ne!(fs::read_link(&path).ok(), Some(victim), "{place}");
    }
}

#[test]
fn blobs_and_pins_can_be_written_by_their_owner_alone_and_keep_their_permissions() {
    let (fixture, blobs, tag) = fixture(true);
    is_fetched_whole(&fixture, Status::Downloaded);
    let lock = fixture.folder.path().join("hub.lock");
    let root = blobs.parent().unwrap();
    for path in [&blobs.join(tag), &lock, &root.join("refs/main")] {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7133, 0, "{}: {mode:o}", path.display());
    }
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o600)).unwrap();
    fixture
        .server
        .serve("owner/two", "main", "model.bin", &bytes(10));
    fixture.hub().fetch("owner/two", &mut Silent).unwrap();
    let mode = fs::metadata(&lock).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(fixture.lock_file().contains("owner/two"));
}
