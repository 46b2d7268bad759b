//! A file is used only if its bytes are the promised ones.

mod common;

use std::fs;

use common::{FILE, Fault, Fixture, REPOSITORY, bytes};
use hub::{Checksum, HubError, Promise, Silent, Status};

fn other_bytes() -> Vec<u8> {
    bytes(1000).into_iter().map(|byte| byte ^ 1).collect()
}

/// The checksums and the promise of a checksum error.
fn mismatch(error: HubError) -> (Checksum, Checksum, Promise) {
    match error {
        HubError::Checksum(mismatch) => (mismatch.expected, mismatch.got, mismatch.promise),
        other => panic!("{other}"),
    }
}

#[test]
fn bytes_other_than_the_hub_promises_are_refused() {
    let fixture = Fixture::new();
    fixture.server.serve(REPOSITORY, "main", FILE, &bytes(1000));
    fixture.server.all_bodies(Fault::OtherBytes);
    let error = fixture.hub().fetch("net", &mut Silent).unwrap_err();
    let (expected, got, promise) = mismatch(error);
    assert_eq!(expected, Checksum::of(&bytes(1000)));
    assert_ne!(got, expected);
    assert_eq!(promise, Promise::Hub);
    assert_eq!(fixture.finished(), [""; 0]);
    assert_eq!(fixture.partial(), None);
    assert_eq!(fixture.lock_file(), "");
}

#[test]
fn bytes_other_than_registered_are_refused() {
    for large in [true, false] {
        let fixture = Fixture::with_checksum(Checksum::of(&bytes(1000)));
        let path = format!("/{REPOSITORY}/resolve/main/{FILE}");
        fixture.server.serve_at(&path, &other_bytes(), large);
        let (expected, got, promise) =
            mismatch(fixture.hub().fetch("net", &mut Silent).unwrap_err());
        assert_eq!(expected, Checksum::of(&bytes(1000)));
        assert_eq!(got, Checksum::of(&other_bytes()));
        assert_eq!(
            promise,
            Promise::Registry(fixture.folder.path().join("registry.toml"))
        );
        // The entity tag of a large file tells before any byte is sent.
        assert_eq!(fixture.server.ranges().is_empty(), large);
        assert_eq!(fixture.finished(), [""; 0]);
        assert_eq!(fixture.partial(), None);
    }
}

#[test]
fn registered_bytes_are_not_pinned() {
    let fixture = Fixture::with_checksum(Checksum::of(&bytes(1000)));
    fixture.server.serve(REPOSITORY, "main", FILE, &bytes(1000));
    fixture.hub().fetch("net", &mut Silent).unwrap();
    assert_eq!(fixture.lock_file(), "");
}

#[test]
fn first_use_is_pinned_and_a_later_change_is_an_error() {
    let fixture = Fixture::new();
    fixture
        .server
        .serve_small(REPOSITORY, "main", FILE, &bytes(1000));
    let mut hub = fixture.hub();
    hub.fetch("net", &mut Silent).unwrap();
    let pin = &hub.lock().pins()[0];
    assert_eq!((pin.sha256, pin.size), (Checksum::of(&bytes(1000)), 1000));
    assert_eq!((pin.path.as_str(), pin.revision.as_str()), (FILE, "main"));

    fs::remove_dir_all(fixture.cache()).unwrap();
    let lock_file = fixture.lock_file();
    fixture
        .server
        .serve_small(REPOSITORY, "main", FILE, &other_bytes());
    let error = fixture.hub().fetch("net", &mut Silent).unwrap_err();
    assert!(error.to_string().contains("remove that entry"), "{error}");
    let (expected, got, promise) = mismatch(error);
    assert_eq!(
        (expected, got),
        (Checksum::of(&bytes(1000)), Checksum::of(&other_bytes()))
    );
    assert_eq!(
        promise,
        Promise::Lock(fixture.folder.path().join("hub.lock"))
    );
    assert_eq!(fixture.lock_file(), lock_file);
    assert_eq!(fixture.finished(), [""; 0]);

    fs::remove_file(fixture.folder.path().join("hub.lock")).unwrap();
    let fetched = fixture.hub().fetch("net", &mut Silent).unwrap();
    assert_eq!(fetched.files[0].sha256, Checksum::of(&other_bytes()));
}

#[test]
fn cached_file_that_was_changed_is_transferred_again() {
    for large in [true, false] {
        let fixture = Fixture::new();
        let path = format!("/{REPOSITORY}/resolve/main/{FILE}");
        fixture.server.serve_at(&path, &bytes(1000), large);
        let fetched = fixture.hub().fetch("net", &mut Silent).unwrap();
        let path = &fetched.files[0].path;
        fs::write(path, other_bytes()).unwrap();

        let error = fixture.offline().fetch("net", &mut Silent).unwrap_err();
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
        let (expected, got, _) = mismatch(error);
        assert_eq!(
            (expected, got),
            (Checksum::of(&bytes(1000)), Checksum::of(&other_bytes()))
        );

        let fetched = fixture.hub().fetch("net", &mut Silent).unwrap();
        assert_eq!(fetched.files[0].status, Status::Downloaded);
        assert_eq!(fs::read(path).unwrap(), bytes(1000));
    }
}

#[test]
fn left_over_bytes_that_spoil_the_file_are_given_up() {
    let fixture = Fixture::new();
    fixture.server.serve(REPOSITORY, "main", FILE, &bytes(1000));
    fixture.server.all_bodies(Fault::Cut(0));
    fixture.hub().fetch("net", &mut Silent).unwrap_err();
    fixture.server.behave();
    let etag = Checksum::of(&bytes(1000)).to_string();
    let blobs = fixture.cache().join("models--owner--net/blobs");
    fs::write(blobs.join(format!("{etag}.part")), [0; 300]).unwrap();
    fixture.server.requests();

    let fetched = fixture.hub().fetch("net", &mut Silent).unwrap();
    assert_eq!(fetched.files[0].sha256, Checksum::of(&bytes(1000)));
    assert_eq!(fixture.server.ranges(), [Some(300), None]);
}

#[test]
fn left_over_bytes_longer_than_the_file_are_given_up() {
    let fixture = Fixture::new();
    fixture.server.serve(REPOSITORY, "main", FILE, &bytes(1000));
    fixture.server.all_bodies(Fault::Cut(0));
    fixture.hub().fetch("net", &mut Silent).unwrap_err();
    fixture.server.behave();
    let etag = Checksum::of(&bytes(1000)).to_string();
    let blobs = fixture.cache().join("models--owner--net/blobs");
    for (left, ranges) in [(vec![0; 2000], vec![None]), (bytes(1000), vec![])] {
        let _ = fs::remove_dir_all(fixture.cache().join("models--owner--net/snapshots"));
        let _ = fs::remove_file(blobs.join(&etag));
        let _ = fs::remove_file(fixture.folder.path().join("hub.lock"));
        fs::write(blobs.join(format!("{etag}.part")), left).unwrap();
        fixture.server.requests();
        let fetched = fixture.hub().fetch("net", &mut Silent).unwrap();
        assert_eq!(fetched.files[0].sha256, Checksum::of(&bytes(1000)));
        assert_eq!(fixture.server.ranges(), ranges);
    }
}

#[test]
fn bad_lock_and_bad_registry_stop_before_any_request() {
    let fixture = Fixture::new();
    let folder = fixture.folder.path();
    fs::write(folder.join("hub.lock"), "[[file]]\npath = 3\n").unwrap();
    let open = || hub::Hub::open(folder, hub::Kind::Model, fixture.settings());
    let message = open().err().unwrap().to_string();
    assert!(message.contains("hub.lock:2:8: bad lock"), "{message}");
    fs::write(
        folder.join("registry.toml"),
        "[[weights]]\nname = \"x\"\nfoo = 1\n",
    )
    .unwrap();
    let message = open().err().unwrap().to_string();
    assert!(
        message.contains("registry.toml:3:1: bad registry: unknown field `foo`"),
        "{message}"
    );
    fs::remove_file(folder.join("registry.toml")).unwrap();
    let error = open().err().unwrap();
    assert!(
        matches!(&error, HubError::Io { action: "read", .. }),
        "{error}"
    );
    assert_eq!(fixture.server.requests(), []);
}
