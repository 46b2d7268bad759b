//! Who gets the token and the password, which redirects are followed, and how much of a listing is read.

mod common;

use common::{FILE, Fault, Fixture, MockHub, REPOSITORY, bytes};
use hub::{Hub, HubError, Kind, Missing, Settings, Silent, Token};

const LISTING: &str = "/api/models/owner/other/revision/main";

fn with_token(fixture: &Fixture) -> Settings {
    let mut settings = fixture.settings();
    settings.token = Some(Token::new("hf_secret"));
    settings
}

/// The error of fetching `source`.
fn error(fixture: &Fixture, settings: Settings, source: &str) -> HubError {
    let outcome = fixture.hub_with(settings).fetch(source, &mut Silent);
    outcome.unwrap_err()
}

/// Every message of an error: its own and its causes'.
fn messages(error: &HubError) -> String {
    let mut text = format!("{error}\n{error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text += &format!("\n{next}\n{next:?}");
        cause = next.source();
    }
    text
}

#[test]
fn a_listing_on_another_port_is_asked_for_without_the_token() {
    let fixture = Fixture::new();
    let mirror = MockHub::start();
    for server in [&fixture.server, &mirror] {
        server.serve_small("owner/other", "main", "model.bin", &bytes(10));
    }
    let target = format!("{}{LISTING}", mirror.endpoint);
    fixture.server.all_listings(Fault::Redirect(target));
    let mut hub = fixture.hub_with(with_token(&fixture));
    hub.fetch("owner/other", &mut Silent).unwrap();
    let seen = mirror.requests();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].path.as_str(), &seen[0].authorization),
        (LISTING, &None)
    );
    let own = fixture.server.requests();
    let expected = Some("Bearer hf_secret".to_owned());
    assert!(own.iter().all(|request| request.authorization == expected));
}

#[test]
fn what_is_missing_is_asked_on_another_port_without_the_token() {
    let fixture = Fixture::new();
    let mirror = MockHub::start();
    let target = format!("{}/api/models/{REPOSITORY}/revision/main", mirror.endpoint);
    fixture.server.all_listings(Fault::Redirect(target));
    let error = error(&fixture, with_token(&fixture), "net");
    let HubError::NotFound { missing, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*missing, Missing::Repository);
    let seen = mirror.requests();
    assert!(!seen.is_empty());
    assert!(seen.iter().all(|request| request.authorization.is_none()));
}

#[test]
fn file_requests_on_another_port_go_without_the_token() {
    for heads in [true, false] {
        let fixture = Fixture::new();
        let mirror = MockHub::start();
        let path = format!("/{REPOSITORY}/resolve/main/{FILE}");
        for server in [&fixture.server, &mirror] {
            server.serve_at(&path, &bytes(100), true);
        }
        let target = Fault::Redirect(format!("{}{path}", mirror.endpoint));
        match heads {
            true => fixture.server.all_heads(target),
            false => fixture.server.all_bodies(target),
        }
        let mut hub = fixture.hub_with(with_token(&fixture));
        hub.fetch("net", &mut Silent).unwrap();
        let seen = mirror.requests();
        assert!(seen.iter().all(|request| request.authorization.is_none()));
    }
}

#[test]
fn the_password_of_the_endpoint_goes_to_the_hub_and_into_no_message() {
    let fixture = Fixture::new();
    fixture.server.serve(REPOSITORY, "main", FILE, &bytes(100));
    let mut settings = fixture.settings();
    settings.endpoint = settings
        .endpoint
        .replace("http://", "http://user:PASSW0RD@");
    let mut hub = fixture.hub_with(settings.clone());
    hub.fetch("net", &mut Silent).unwrap();
    // `printf user:PASSW0RD | base64`.
    let expected = Some("Basic dXNlcjpQQVNTVzBSRA==".to_owned());
    let seen = fixture.server.requests();
    assert!(seen.len() >= 2);
    assert!(seen.iter().all(|request| request.authorization == expected));
    assert!(!fixture.lock_file().contains("PASSW0RD"));
    assert!(!format!("{settings:?}").contains("PASSW0RD"));

    let mirror = MockHub::start();
    let target = format!("{}{LISTING}", mirror.endpoint);
    mirror.serve_small("owner/other", "main", "README.md", b"");
    fixture.server.all_listings(Fault::Redirect(target));
    assert!(!messages(&error(&fixture, settings.clone(), "owner/other")).contains("PASSW0RD"));
    let seen = mirror.requests();
    assert!(seen.iter().all(|request| request.authorization.is_none()));
}

#[test]
fn no_error_shows_the_password_of_the_endpoint() {
    let login = "http://user:PASSW0RD@";
    for status in [401, 403, 404, 418, 500] {
        let fixture = Fixture::new();
        fixture.server.all_heads(Fault::Status(status, &[]));
        fixture.server.all_listings(Fault::Status(status, &[]));
        let mut settings = fixture.settings();
        settings.endpoint = settings.endpoint.replace("http://", login);
        for source in ["net", "owner/other"] {
            let text = messages(&error(&fixture, settings.clone(), source));
            assert!(!text.contains("PASSW0RD"), "{text}");
            assert!(text.contains(&fixture.server.endpoint), "{text}");
        }
    }
    let fixture = Fixture::new();
    let mut settings = fixture.settings();
    for (endpoint, opens) in [
        ("http://user:PASSW0RD@127.0.0.1:1", true),
        ("user:PASSW0RD@127.0.0.1:1", false),
        ("http://user:PASSW0RD@host:port", false),
        ("http://user:PASSW0RD/@host", false),
    ] {
        settings.endpoint = endpoint.to_owned();
        let opened = Hub::open(fixture.folder.path(), Kind::Model, settings.clone());
        assert_eq!(opened.is_ok(), opens, "{endpoint}");
        let error = match opened {
            Ok(mut hub) => hub.fetch("net", &mut Silent).unwrap_err(),
            Err(error) => error,
        };
        let text = messages(&error);
        assert!(!text.contains("PASSW0RD"), "{text}");
    }
}

#[test]
fn redirects_to_anything_but_a_web_address_are_refused_at_once() {
    for location in [
        "file:///etc/passwd",
        "javascript:1",
        "data:text/plain,x",
        "ftp://hub.test/f",
        "http://user:word@hub.test/f",
        "",
    ] {
        for part in 0..3 {
            let fixture = Fixture::new();
            fixture.server.serve(REPOSITORY, "main", FILE, &bytes(10));
            let fault = Fault::Redirect(location.to_owned());
            match part {
                0 => fixture.server.all_heads(fault),
                1 => fixture.server.all_bodies(fault),
                _ => fixture.server.all_listings(fault),
            }
            let source = if part == 2 { "owner/other" } else { "net" };
            let error = error(&fixture, with_token(&fixture), source);
            assert!(matches!(error, HubError::Protocol { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains("unusable address"), "{text}");
            assert!(!text.contains("word"), "{text}");
            // One for the metadata, one for the bytes.
            let asked = fixture.server.requests().len();
            assert_eq!(asked, if part == 1 { 2 } else { 1 }, "{location}");
        }
    }
}

#[test]
fn a_repository_of_more_files_than_anybody_wants_is_refused_before_any_is_fetched() {
    for (files, expected) in [
        (1001, "holds 1001 files of use"),
        (10_001, "more than 10000 files"),
    ] {
        let fixture = Fixture::new();
        for i in 0..files {
            let name = format!("{i}.safetensors");
            fixture
                .server
                .serve_small("owner/other", "main", &name, b"");
        }
        let error = error(&fixture, fixture.settings(), "owner/other");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().contains("in the registry"), "{error}");
        let asked = fixture.server.requests();
        assert_eq!(asked.len(), 1, "the listing alone");
    }
}
