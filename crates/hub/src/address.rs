//! Addresses: where a redirect leads, and who is behind an address.

use std::net::Ipv4Addr;

use ureq::http::Uri;

/// An address or a path, as seen from `base` (RFC 3986, section 5, without paths that climb).
pub(crate) fn resolve(base: &str, location: &str) -> Option<String> {
    let (scheme, authority) = origin(base)?;
    let target = if location.starts_with("https://") || location.starts_with("http://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let path = base.split(['?', '#']).next().unwrap_or(base);
        format!("{}/{location}", path.rsplit_once('/')?.0)
    };
    origin(&target).map(|_| target)
}

/// Scheme and authority of an address.
pub(crate) fn origin(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?.as_str().to_lowercase();
    Some((uri.scheme_str()?.to_owned(), authority))
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
            ("//cdn.test/f", "https://cdn.test/f"),
            ("/c/d", "https://hub.test/c/d"),
            ("d", "https://hub.test/a/d"),
        ] {
            assert_eq!(resolve(base, location).as_deref(), Some(expected));
        }
        assert_eq!(resolve(base, "http://"), None);
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
