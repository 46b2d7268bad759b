//! Sources become local files with the hub's bytes, once.

mod common;

use std::fs;
use std::time::Duration;

use common::{COMMIT, FILE, Fault, Fixture, MockHub, REPOSITORY, bytes};
use hub::{Checksum, HubError, Progress, Silent, Status, Token};
use proptest::prelude::*;

#[test]
fn registered_file_is_downloaded_into_the_shared_cache_layout() {
    let fixture = Fixture::new();
    let bytes = bytes(200_000);
    fixture.server.serve(REPOSITORY, "main", FILE, &bytes);
    let fetched = fixture.hub().fetch("net", &mut Silent).unwrap();

    let file = &fetched.files[0];
    assert_eq!((file.status, file.size), (Status::Downloaded, 200_000));
    assert_eq!(file.sha256, Checksum::of(&bytes));
    let root = fixture.cache().join("models--owner--net");
    assert_eq!(file.path, root.join("snapshots").join(COMMIT).join(FILE));
    assert_eq!(fs::read(&file.path).unwrap(), bytes);
    assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), COMMIT);
    let blob = root.join("blobs").join(Checksum::of(&bytes).to_string());
    assert_eq!(fs::read(blob).unwrap(), bytes);
    assert_eq!(fetched.path(FILE), Some(file.path.as_path()));
    assert_eq!(fixture.partial(), None);
}

#[test]
fn what_is_there_is_not_asked_for_again() {
    let fixture = Fixture::new();
    fixture.server.serve(REPOSITORY, "main", FILE, &bytes(1000));
    fixture.hub().fetch("net", &mut Silent).unwrap();
    fixture.server.requests();
    let fetched = fixture.hub().fetch("net", &mut Silent).unwrap();
    assert_eq!(fetched.files[0].status, Status::Cached);
    assert_eq!(fixture.server.requests(), []);
}

#[test]
fn file_that_another_client_cached_is_checked_but_not_transferred() {
    let fixture = Fixture::new();
    fixture.server.serve(REPOSITORY, "main", FILE, &bytes(1000));
    fixture.hub().fetch("net", &mut Silent).unwrap();
    fs::remove_file(fixture.folder.path().join("hub.lock")).unwrap();
    fixture.server.requests();
    let fetched = fixture.hub().fetch("net", &mut Silent).unwrap();
    assert_eq!(fetched.files[0].status, Status::Cached);
    assert_eq!(fixture.server.ranges(), []);
    assert!(fixture.lock_file().contains(FILE));
}

#[test]
fn empty_file_is_a_file() {
    let fixture = Fixture::new();
    fixture.server.serve(REPOSITORY, "main", FILE, &[]);
    let fetched = fixture.hub().fetch("net", &mut Silent).unwrap();
    assert_eq!(fetched.files[0].sha256, Checksum::of(&[]));
    assert!(fs::read(&fetched.files[0].path).unwrap().is_empty());
}

#[test]
fn bytes_on_another_host_are_followed_without_the_token() {
    let fixture = Fixture::new();
    let storage = MockHub::start();
    let bytes = bytes(5000);
    fixture.server.serve(REPOSITORY, "main", FILE, &bytes);
    storage.serve_at("/blob?signature=1", &bytes, true);
    let target = format!("{}/blob?signature=1", storage.endpoint);
    fixture.server.all_heads(Fault::Redirect(target.clone()));
    fixture.server.all_bodies(Fault::Redirect(target));
    let mut settings = fixture.settings();
    settings.token = Some(Token::new("hf_secret"));
    let fetched = fixture
        .hub_with(settings)
        .fetch("net", &mut Silent)
        .unwrap();

    assert_eq!(fs::read(&fetched.files[0].path).unwrap(), bytes);
    let seen = fixture.server.requests();
    let expected = Some("Bearer hf_secret".to_owned());
    assert!(seen.iter().all(|request| request.authorization == expected));
    let elsewhere = storage.requests();
    assert_eq!(elsewhere.len(), 1);
    assert_eq!(elsewhere[0].authorization, None);
}

#[test]
fn renamed_repository_is_followed() {
    let fixture = Fixture::new();
    let bytes = bytes(500);
    fixture.server.serve("owner/new-name", "main", FILE, &bytes);
    let target = format!("/owner/new-name/resolve/main/{FILE}");
    fixture.server.heads([Fault::Redirect(target.clone())]);
    fixture.server.bodies([Fault::Redirect(target)]);
    let fetched = fixture.hub().fetch("net", &mut Silent).unwrap();
    assert_eq!(fs::read(&fetched.files[0].path).unwrap(), bytes);
}

#[test]
fn unregistered_repository_brings_its_weights_and_what_describes_them() {
    let fixture = Fixture::new();
    for file in [
        "README.md",
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
    ] {
        fixture
            .server
            .serve_small("owner/other", "v1", file, file.as_bytes());
    }
    let fetched = fixture.hub().fetch("owner/other@v1", &mut Silent).unwrap();
    let names: Vec<_> = fetched
        .files
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    assert_eq!(names, ["model.safetensors", "config.json"]);
    let config = fetched.path("config.json").unwrap();
    assert_eq!(fs::read(config).unwrap(), b"config.json");

    let again = fixture
        .offline()
        .fetch("owner/other@v1", &mut Silent)
        .unwrap();
    let names: Vec<_> = again.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["model.safetensors", "config.json"]);
}

#[test]
fn repository_without_weights_is_refused_with_what_it_has() {
    let fixture = Fixture::new();
    fixture
        .server
        .serve_small("owner/docs", "main", "README.md", b"");
    let error = fixture.hub().fetch("owner/docs", &mut Silent).unwrap_err();
    assert!(matches!(&error, HubError::NothingToUse { found, .. } if found == &["README.md"]));
}

#[test]
fn listed_file_outside_of_the_repository_is_refused() {
    let fixture = Fixture::new();
    let registry = fixture.folder.path();
    let mut hub = hub::Hub::open(registry, hub::Kind::Dataset, fixture.settings()).unwrap();
    fixture
        .server
        .serve_small("datasets/owner/evil", "main", "../../../x.parquet", b"evil");
    let error = hub.fetch("owner/evil", &mut Silent).unwrap_err();
    assert!(error.to_string().contains("outside of itself"), "{error}");
    assert!(fixture.finished().is_empty());
}

#[test]
fn local_folder_and_file_are_taken_as_they_are() {
    let fixture = Fixture::new();
    let folder = fixture.folder.path().join("mine");
    fs::create_dir_all(folder.join("deeper")).unwrap();
    for file in ["b.txt", "a.bin"] {
        fs::write(folder.join(file), file).unwrap();
    }
    let fetched = fixture
        .hub()
        .fetch(folder.to_str().unwrap(), &mut Silent)
        .unwrap();
    let names: Vec<_> = fetched
        .files
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    assert_eq!(names, ["a.bin", "b.txt"]);
    assert!(
        fetched
            .files
            .iter()
            .all(|file| file.status == Status::Local)
    );
    let file = folder.join("a.bin");
    let fetched = fixture
        .hub()
        .fetch(file.to_str().unwrap(), &mut Silent)
        .unwrap();
    assert_eq!(fetched.files[0].sha256, Checksum::of(b"a.bin"));
    assert_eq!(fixture.server.requests(), []);
}

#[test]
fn offline_work_uses_the_cache_and_opens_no_connection() {
    let fixture = Fixture::new();
    fixture.server.serve(REPOSITORY, "main", FILE, &bytes(100));
    let error = fixture.offline().fetch("net", &mut Silent).unwrap_err();
    assert!(
        matches!(&error, HubError::NotCached { file, .. } if file == FILE),
        "{error}"
    );
    let error = fixture
        .offline()
        .fetch("owner/other", &mut Silent)
        .unwrap_err();
    assert!(matches!(error, HubError::NotCached { .. }), "{error}");
    assert_eq!(fixture.server.requests(), []);

    fixture.hub().fetch("net", &mut Silent).unwrap();
    fixture.server.requests();
    let fetched = fixture.offline().fetch("net", &mut Silent).unwrap();
    assert_eq!(fetched.files[0].status, Status::Cached);
    assert_eq!(fixture.server.requests(), []);
}

#[test]
fn progress_is_reported_in_bytes_of_the_file() {
    #[derive(Default)]
    struct Seen {
        begins: Vec<(String, Option<u64>, u64)>,
        at: Vec<u64>,
        retries: usize,
        ends: usize,
    }
    impl Progress for Seen {
        fn begin(&mut self, file: &str, size: Option<u64>, have: u64) {
            self.begins.push((file.to_owned(), size, have));
        }
        fn at(&mut self, bytes: u64) {
            self.at.push(bytes);
        }
        fn retry(&mut self, _: &str, _: u32, _: Duration) {
            self.retries += 1;
        }
        fn end(&mut self) {
            self.ends += 1;
        }
    }
    let fixture = Fixture::new();
    fixture.server.serve(REPOSITORY, "main", FILE, &bytes(1000));
    fixture.server.bodies([Fault::Cut(400)]);
    let mut seen = Seen::default();
    fixture.hub().fetch("net", &mut seen).unwrap();
    assert_eq!(seen.begins, [(FILE.to_owned(), Some(1000), 0)]);
    assert!(
        seen.at.is_sorted() && seen.at.last() == Some(&1000),
        "{:?}",
        seen.at
    );
    assert_eq!((seen.retries, seen.ends), (1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// However often and wherever a transfer is cut, in one call or over several, the file is the
    /// hub's, and no byte that arrived is asked for again.
    #[test]
    fn interrupted_download_resumes_to_the_same_bytes(
        size in 1_usize..300_000,
        cuts in prop::collection::vec(0.0..1.0_f64, 0..5),
        calls_end in any::<bool>(),
    ) {
        let fixture = Fixture::new();
        let bytes = bytes(size);
        fixture.server.serve(REPOSITORY, "main", FILE, &bytes);
        let mut settings = fixture.settings();
        settings.retries = if calls_end { 0 } else { 5 };
        let mut left = size;
        let mut expected = Vec::new();
        let ask = |left: usize| (left < size).then_some((size - left) as u64);
        for cut in cuts {
            let sent = ((cut * left as f64) as usize).min(left - 1);
            fixture.server.bodies([Fault::Cut(sent)]);
            expected.push(ask(left));
            left -= sent;
        }
        expected.push(ask(left));

        let mut outcome = fixture.hub_with(settings.clone()).fetch("net", &mut Silent);
        for _ in 0..5 {
            if outcome.is_err() {
                outcome = fixture.hub_with(settings.clone()).fetch("net", &mut Silent);
            }
        }
        let fetched = outcome.unwrap();
        prop_assert_eq!(fs::read(&fetched.files[0].path).unwrap(), bytes);
        prop_assert_eq!(fixture.server.ranges(), expected);
        prop_assert_eq!(fixture.partial(), None);
    }
}
