//! Addresses: where a redirect leads, who is behind an address, and what of it may be shown.

use std::net::Ipv4Addr;

use ureq::http::Uri;

/// The schemes that a hub is reached by, with their ports.
const SCHEMES: [(&str, u16); 2] = [("https", 443), ("http", 80)];

/// Scheme, host and port: who is behind an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: &'static str,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of an address by http or https; `None` for any other text.
    pub(crate) fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let (scheme, port) = SCHEMES
            .into_iter()
            .find(|(scheme, _)| uri.scheme_str() == Some(scheme))?;
        let host = uri.host().filter(|host| !host.is_empty())?.to_lowercase();
        // A port that is written and is no number is not the usual one.
        let rest = uri.authority()?.as_str().rsplit('@').next()?;
        let port = match rest.get(host.len()..)?.strip_prefix(':') {
            Some(written) => written.parse().ok()?,
            None => port,
        };
        Some(Self { scheme, host, port })
    }

    /// Whether what is sent there can be read on the way.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.scheme == "https"
    }
}

/// An address or a path, as seen from `base` (RFC 3986, section 5, without paths that climb). `None` for
/// one that is not of http or https, or that names a user.
pub(crate) fn resolve(base: &str, location: &str) -> Option<String> {
    if location.is_empty() {
        return None;
    }
    let target = if has_scheme(location) {
        location.to_owned()
    } else {
        let (scheme, rest) = base.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        if let Some(rest) = location.strip_prefix("//") {
            format!("{scheme}://{rest}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{location}")
        } else {
            let path = base.split(['?', '#']).next().unwrap_or(base);
            format!("{}/{location}", path.rsplit_once('/')?.0)
        }
    };
    let names_a_user = split_login(&target).1.is_some();
    (Origin::of(&target).is_some() && !names_a_user).then_some(target)
}

/// Whether a reference begins with a scheme (RFC 3986, section 3.1) and is no path.
fn has_scheme(location: &str) -> bool {
    let Some((scheme, _)) = location.split_once(':') else {
        return false;
    };
    let later = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(later)
}

/// An address without its `user:password@`, and that.
pub(crate) fn split_login(url: &str) -> (String, Option<String>) {
    let Some((scheme, rest)) = url.split_once("://") else {
        return (url.to_owned(), None);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((login, host)) => (format!("{scheme}://{host}{path}"), Some(login.to_owned())),
        None => (url.to_owned(), None),
    }
}

/// A text that should be an address, without anything that may be a password.
pub(crate) fn shown(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}(not shown)@{rest}"),
        None => text.to_owned(),
    }
}

/// A hub on this machine is reached without a proxy.
pub(crate) fn is_loopback(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let is_v4 = || host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback());
    host == "localhost" || host == "[::1]" || is_v4()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_resolved_against_the_address_that_sent_them() {
        let base = "https://hub.test/a/b?x=/y";
        for (location, expected) in [
            ("https://cdn.test/f?sig=1", "https://cdn.test/f?sig=1"),
            ("HTTPS://cdn.test/f", "HTTPS://cdn.test/f"),
            ("//cdn.test/f", "https://cdn.test/f"),
            ("/c/d:e", "https://hub.test/c/d:e"),
            ("d", "https://hub.test/a/d"),
        ] {
            assert_eq!(resolve(base, location).as_deref(), Some(expected));
        }
    }

    #[test]
    fn locations_of_other_schemes_or_with_users_are_none() {
        for location in [
            "",
            "http://",
            "https:///f",
            "file:///etc/passwd",
            "FILE:///etc/passwd",
            "javascript:1",
            "data:text/plain,x",
            "ftp://cdn.test/f",
            "a:b",
            "https://user:word@cdn.test/f",
            "//user@cdn.test/f",
            "http://cdn.test:port/f",
        ] {
            assert_eq!(resolve("https://hub.test/a", location), None, "{location}");
        }
    }

    #[test]
    fn origins_are_told_apart_by_scheme_host_and_port() {
        let own = Origin::of("https://hub.test/a");
        assert!(own.is_some());
        for same in [
            "https://HUB.test",
            "https://hub.test:443/b?c",
            "HTTPS://hub.test",
        ] {
            assert_eq!(Origin::of(same), own, "{same}");
        }
        for other in [
            "http://hub.test",
            "https://hub.test:444",
            "https://hub.test.evil",
            "https://hub.test@evil",
            "https://nub.test",
        ] {
            assert_ne!(Origin::of(other), own, "{other}");
        }
    }

    #[test]
    fn passwords_are_taken_out_of_addresses() {
        for (url, clean, login) in [
            ("http://h:1/a@b", "http://h:1/a@b", None),
            ("http://u:p@h:1/a", "http://h:1/a", Some("u:p")),
            ("https://u:p@q@h?x", "https://h?x", Some("u:p@q")),
        ] {
            let expected = (clean.to_owned(), login.map(str::to_owned));
            assert_eq!(split_login(url), expected);
        }
        for text in [
            "http://u:pass@h/a",
            "u:pass@h",
            "https://u:pa@ss@h",
            "http://u:pa/ss@h",
        ] {
            let text = shown(text);
            assert!(!text.contains("pa") && !text.contains("ss@"), "{text}");
        }
        assert_eq!(shown("https://hub.test/a"), "https://hub.test/a");
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for url in [
            "http://127.0.0.1:80",
            "http://localhost:1/a",
            "http://[::1]:1",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        assert!(!is_loopback("https://huggingface.co"));
        assert!(!is_loopback("http://127.0.0.1.test"));
    }
}
