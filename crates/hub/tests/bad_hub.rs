//! A hub that is down, refuses, cuts off or sends something else: a clear error, and nothing
//! half-written.

mod common;

use std::net::TcpListener;
use std::time::Duration;

use common::{FILE, Fault, Fixture, REPOSITORY, bytes, git_tag};
use hub::{HubError, Missing, Silent, Token};

const URL_END: &str = "/owner/net/resolve/main/model.safetensors";

/// A fixture whose hub serves the registered file.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture
        .server
        .serve(REPOSITORY, "main", FILE, &bytes(10_000));
    fixture
}

/// The error of fetching `net`; nothing whole may be in the cache, and nothing pinned.
fn error(fixture: &Fixture) -> HubError {
    let error = fixture.hub().fetch("net", &mut Silent).unwrap_err();
    assert_eq!(fixture.finished(), [""; 0], "after {error}");
    assert_eq!(fixture.lock_file(), "", "after {error}");
    error
}

/// That a hub that behaves again makes the same call succeed.
fn recovers(fixture: &Fixture) {
    fixture.server.behave();
    let fetched = fixture.hub().fetch("net", &mut Silent).unwrap();
    assert_eq!(
        std::fs::read(&fetched.files[0].path).unwrap(),
        bytes(10_000)
    );
    assert_eq!(fixture.partial(), None);
}

#[test]
fn hub_that_is_down_is_named_with_the_attempts() {
    let fixture = fixture();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut settings = fixture.settings();
    settings.endpoint = format!("http://{closed}");
    let error = fixture
        .hub_with(settings)
        .fetch("net", &mut Silent)
        .unwrap_err();
    let HubError::Connection { url, attempts, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*attempts, 3);
    assert!(
        url.contains(&closed.to_string()) && url.ends_with(URL_END),
        "{url}"
    );
    assert!(error.to_string().contains("HF_ENDPOINT"), "{error}");
}

#[test]
fn connections_that_end_without_an_answer_are_tried_again() {
    let fixture = fixture();
    fixture.server.all_heads(Fault::HangUp);
    assert!(matches!(
        error(&fixture),
        HubError::Connection { attempts: 3, .. }
    ));
    assert_eq!(fixture.server.requests().len(), 3);
    fixture.server.behave();
    fixture.server.heads([Fault::HangUp]);
    fixture.server.bodies([Fault::HangUp, Fault::HangUp]);
    assert!(fixture.hub().fetch("net", &mut Silent).is_ok());
}

#[test]
fn silence_ends_in_a_timeout_and_is_tried_again() {
    let fixture = fixture();
    let mut settings = fixture.settings();
    settings.read_timeout = Duration::from_millis(50);
    fixture.server.all_heads(Fault::Stall(0));
    let silent = fixture.hub_with(settings.clone()).fetch("net", &mut Silent);
    assert!(
        matches!(silent, Err(HubError::Timeout { attempts: 3, .. })),
        "{silent:?}"
    );
    fixture.server.behave();

    settings.read_timeout = Duration::from_secs(2);
    settings.retries = 0;
    fixture.server.all_bodies(Fault::Stall(4000));
    let silent = fixture.hub_with(settings).fetch("net", &mut Silent);
    assert!(
        matches!(silent, Err(HubError::Timeout { attempts: 1, .. })),
        "{silent:?}"
    );
    assert_eq!(fixture.finished(), [""; 0]);
    assert_eq!(fixture.partial().as_deref(), Some(&bytes(10_000)[..4000]));
    recovers(&fixture);
}

#[test]
fn refused_access_says_where_to_ask_for_it() {
    for status in [401, 403] {
        let fixture = fixture();
        fixture
            .server
            .all_heads(Fault::Status(status, &[("X-Error-Code", "GatedRepo")]));
        let error = error(&fixture);
        assert!(matches!(error, HubError::Access { status: got, .. } if got == status));
        let page = format!("{}/owner/net", fixture.server.endpoint);
        let message = error.to_string();
        assert!(
            message.contains(&page) && message.contains("set HF_TOKEN"),
            "{message}"
        );
        assert_eq!(
            fixture.server.requests().len(),
            1,
            "a refusal is not tried again"
        );

        let mut settings = fixture.settings();
        settings.token = Some(Token::new("hf_secret"));
        let error = fixture
            .hub_with(settings)
            .fetch("net", &mut Silent)
            .unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("token has no access") && message.contains(&page),
            "{message}"
        );
        assert!(!message.contains("hf_secret"), "{message}");
    }
}

#[test]
fn gated_dataset_names_its_page() {
    let fixture = fixture();
    fixture.server.all_listings(Fault::Status(403, &[]));
    let folder = fixture.folder.path();
    let mut hub = hub::Hub::open(folder, hub::Kind::Dataset, fixture.settings()).unwrap();
    let error = hub
        .fetch("ILSVRC/imagenet-1k", &mut Silent)
        .unwrap_err()
        .to_string();
    let page = format!(
        "the dataset at {}/datasets/ILSVRC/imagenet-1k",
        fixture.server.endpoint
    );
    assert!(error.contains(&page), "{error}");
}

#[test]
fn what_is_missing_is_said_by_the_hubs_error_code() {
    let cases: [(u16, &'static [_], Missing); 4] = [
        (
            404,
            &[("X-Error-Code", "RepoNotFound")],
            Missing::Repository,
        ),
        // The hub hides private repositories from strangers.
        (
            401,
            &[("X-Error-Code", "RepoNotFound")],
            Missing::Repository,
        ),
        (
            404,
            &[("X-Error-Code", "RevisionNotFound")],
            Missing::Revision("main".into()),
        ),
        (
            404,
            &[("X-Error-Code", "EntryNotFound")],
            Missing::File(FILE.into()),
        ),
    ];
    for (status, headers, expected) in cases {
        let fixture = fixture();
        fixture.server.all_heads(Fault::Status(status, headers));
        let error = error(&fixture);
        assert!(
            matches!(&error, HubError::NotFound { missing, .. } if *missing == expected),
            "{error}"
        );
    }
}

#[test]
fn what_is_missing_is_found_out_where_no_code_says_it() {
    let cases = [
        ("main", "other.bin", Missing::File(FILE.into())),
        ("other", FILE, Missing::Repository),
    ];
    for (revision, file, expected) in cases {
        let fixture = Fixture::new();
        fixture.server.serve(REPOSITORY, revision, file, b"");
        let error = error(&fixture);
        assert!(
            matches!(&error, HubError::NotFound { missing, status: 404, .. } if *missing == expected),
            "{error}"
        );
    }
    let fixture = fixture();
    let error = fixture
        .hub()
        .fetch("owner/net@v9", &mut Silent)
        .unwrap_err();
    let expected = Missing::Revision("v9".into());
    assert!(
        matches!(&error, HubError::NotFound { missing, .. } if *missing == expected),
        "{error}"
    );
}

#[test]
fn server_errors_are_tried_again_and_then_reported() {
    for status in [429, 500, 503] {
        let fixture = fixture();
        fixture.server.all_bodies(Fault::Status(status, &[]));
        let error = error(&fixture);
        assert!(
            matches!(&error, HubError::Server { status: got, attempts: 3, url }
                if *got == status && url.ends_with(URL_END)),
            "{error}"
        );
        assert_eq!(fixture.server.ranges().len(), 3);
        fixture.server.behave();
        fixture
            .server
            .heads([Fault::Status(status, &[("Retry-After", "0")])]);
        fixture
            .server
            .bodies([Fault::Status(status, &[]), Fault::Status(status, &[])]);
        assert!(fixture.hub().fetch("net", &mut Silent).is_ok());
    }
}

#[test]
fn status_of_no_known_meaning_is_reported_at_once() {
    let fixture = fixture();
    fixture.server.all_bodies(Fault::Status(418, &[]));
    assert!(matches!(
        error(&fixture),
        HubError::Status { status: 418, .. }
    ));
    assert_eq!(fixture.server.ranges().len(), 1);
}

#[test]
fn body_that_always_ends_early_is_reported_with_its_length() {
    let fixture = fixture();
    fixture.server.bodies([Fault::Cut(4000)]);
    fixture.server.all_bodies(Fault::Cut(0));
    let error = error(&fixture);
    assert!(
        matches!(
            error,
            HubError::Truncated {
                expected: 10_000,
                got: 4000,
                attempts: 3,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(fixture.partial().as_deref(), Some(&bytes(10_000)[..4000]));
    fixture.server.requests();
    recovers(&fixture);
    assert_eq!(fixture.server.ranges(), [Some(4000)]);
}

#[test]
fn partial_bytes_that_nothing_can_check_later_are_not_kept() {
    let fixture = Fixture::new();
    fixture
        .server
        .serve_small(REPOSITORY, "main", FILE, &bytes(10_000));
    fixture.server.all_bodies(Fault::Cut(4000));
    let mut settings = fixture.settings();
    settings.retries = 0;
    let error = fixture
        .hub_with(settings)
        .fetch("net", &mut Silent)
        .unwrap_err();
    assert!(
        matches!(error, HubError::Truncated { got: 4000, .. }),
        "{error}"
    );
    assert_eq!(fixture.partial(), None);

    // As a process leaves them that is killed.
    let etag = git_tag(&bytes(10_000));
    let part = format!("models--owner--net/blobs/{etag}.part");
    std::fs::write(fixture.cache().join(part), [0; 4000]).unwrap();
    fixture.server.requests();
    recovers(&fixture);
    assert_eq!(fixture.server.ranges(), [None]);
}

#[test]
fn body_that_is_too_long_is_refused() {
    let fixture = fixture();
    fixture.server.all_bodies(Fault::Longer(1));
    let error = error(&fixture);
    assert!(
        matches!(
            error,
            HubError::TooLong {
                expected: 10_000,
                got: 10_001,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(fixture.partial(), None);
    recovers(&fixture);
}

#[test]
fn server_that_knows_no_ranges_sends_the_file_again() {
    let fixture = fixture();
    fixture.server.bodies([Fault::Cut(4000), Fault::NoRanges]);
    fixture.hub().fetch("net", &mut Silent).unwrap();
    assert_eq!(fixture.server.ranges(), [None, Some(4000)]);
    recovers(&fixture);
}

#[test]
fn server_that_continues_elsewhere_is_asked_from_the_beginning() {
    let fixture = fixture();
    fixture.server.bodies([Fault::Cut(4000), Fault::WrongRange]);
    fixture.hub().fetch("net", &mut Silent).unwrap();
    assert_eq!(fixture.server.ranges(), [None, Some(4000), None]);
    recovers(&fixture);
}

#[test]
fn bytes_that_claim_to_be_compressed_are_refused() {
    let fixture = fixture();
    fixture.server.all_bodies(Fault::Compressed);
    let error = error(&fixture);
    assert!(matches!(error, HubError::Protocol { .. }), "{error}");
    assert!(error.to_string().contains("encoded as gzip"), "{error}");
}

#[test]
fn redirects_without_end_are_given_up() {
    let fixture = fixture();
    fixture
        .server
        .all_heads(Fault::Redirect(URL_END.to_owned()));
    assert!(matches!(
        error(&fixture),
        HubError::Redirects { limit: 10, .. }
    ));
    fixture.server.behave();
    fixture
        .server
        .all_bodies(Fault::Redirect(URL_END.to_owned()));
    assert!(matches!(
        error(&fixture),
        HubError::Redirects { limit: 10, .. }
    ));
    fixture.server.behave();
    fixture
        .server
        .all_bodies(Fault::Redirect("ftp://hub.test/f".to_owned()));
    assert!(matches!(error(&fixture), HubError::Protocol { .. }));
}

#[test]
fn answers_that_are_no_hubs_are_refused() {
    let cases = [
        ("X-Repo-Commit", "", "no X-Repo-Commit"),
        ("X-Repo-Commit", "../../x", "hexadecimal"),
        ("X-Linked-Etag", "../../x", "ETag: expected"),
        ("X-Linked-Etag", "\"\"", "ETag: expected"),
        ("X-Linked-Etag", "", "no ETag"),
    ];
    for (header, value, expected) in cases {
        let fixture = fixture();
        fixture.server.alter(header, value);
        let error = error(&fixture);
        assert!(matches!(error, HubError::Protocol { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn file_that_does_not_fit_is_not_begun() {
    let fixture = fixture();
    let size = 1_u64 << 60;
    fixture.server.alter("X-Linked-Size", &size.to_string());
    let error = error(&fixture);
    assert!(
        matches!(error, HubError::DiskFull { needed, free, .. } if needed == size && free < size),
        "{error}"
    );
    assert_eq!(fixture.server.ranges(), []);
}

#[test]
fn listing_that_is_none_is_refused() {
    let fixture = fixture();
    fixture.server.serve_at("/unused", b"", false);
    fixture.server.all_listings(Fault::Status(200, &[]));
    let error = fixture.hub().fetch("owner/other", &mut Silent).unwrap_err();
    assert!(error.to_string().contains("expected a listing"), "{error}");
    fixture.server.all_listings(Fault::Status(500, &[]));
    let error = fixture.hub().fetch("owner/other", &mut Silent).unwrap_err();
    assert!(
        matches!(error, HubError::Server { attempts: 3, .. }),
        "{error}"
    );
}

#[test]
fn unusable_settings_are_refused_before_any_request() {
    let fixture = fixture();
    let mut settings = fixture.settings();
    settings.endpoint = "huggingface.co".to_owned();
    settings.backoff = Duration::ZERO;
    let opened = hub::Hub::open(fixture.folder.path(), hub::Kind::Model, settings);
    assert!(matches!(
        opened,
        Err(HubError::Setting {
            variable: "HF_ENDPOINT",
            ..
        })
    ));
}
