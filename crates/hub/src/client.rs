//! Requests to a hub: which address, which redirects, and what a status means.

use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{TlsConfig, TlsProvider};
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, RequestBuilder};

use crate::address::{Origin, is_loopback, resolve, shown, split_login};
use crate::failure::{Cause, Failure};
use crate::listing;
use crate::repository::{encoded, is_commit};
use crate::{Checksum, HubError, Kind, Missing, Repository, Settings};

/// Redirects that are followed for one request.
const MAX_REDIRECTS: usize = 10;
/// The longest listing of a repository that is read, in bytes.
const MAX_LISTING: u64 = 64 << 20;
/// The longest pause that a server can ask for.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// An HTTP client for one hub.
pub(crate) struct Client {
    agent: Agent,
    /// Address of the hub, without a password: fit for messages.
    endpoint: String,
    /// `user:password` of the hub's address.
    login: Option<String>,
    settings: Settings,
}

/// What a hub says about a file before it is transferred.
#[derive(Debug)]
pub(crate) struct Metadata {
    /// Commit that the revision stands for.
    pub(crate) commit: String,
    /// Entity tag: names the bytes, and is fit to be a file name.
    pub(crate) etag: String,
    /// Size in bytes, if the hub says it.
    pub(crate) size: Option<u64>,
    /// Checksum, which is the entity tag of large files.
    pub(crate) sha256: Option<Checksum>,
}

impl Client {
    pub(crate) fn new(settings: &Settings) -> Result<Self, HubError> {
        settings.check()?;
        let (endpoint, login) = split_login(&settings.endpoint);
        let mut config = Agent::config_builder()
            .tls_config(TlsConfig::builder().provider(TlsProvider::Rustls).build())
            .user_agent(concat!("informed-repair/", env!("CARGO_PKG_VERSION")))
            // A range of compressed bytes is not a range of the file.
            .accept_encoding("identity")
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_resolve(Some(settings.connect_timeout))
            .timeout_connect(Some(settings.connect_timeout))
            .timeout_recv_response(Some(settings.read_timeout))
            .timeout_per_read(Some(settings.read_timeout));
        if is_loopback(&endpoint) {
            config = config.proxy(None);
        }
        Ok(Self {
            agent: config.build().into(),
            endpoint,
            login,
            settings: settings.clone(),
        })
    }

    /// Address of a file at a revision.
    pub(crate) fn url(&self, repository: &Repository, file: &str) -> String {
        let revision = repository.hf().url_revision();
        format!(
            "{}/resolve/{revision}/{}",
            self.page(repository),
            encoded(file)
        )
    }

    /// Address of a repository's page.
    pub(crate) fn page(&self, repository: &Repository) -> String {
        format!("{}/{}", self.endpoint, repository.page())
    }

    /// The names of the files of a repository at its revision.
    pub(crate) fn list(&self, repository: &Repository) -> Result<Vec<String>, Failure> {
        let (url, mut response) = self.ask_for_listing(repository)?;
        if !response.status().is_success() {
            return Err(self.refusal(repository, None, &url, &response));
        }
        let body = response.body_mut().with_config().limit(MAX_LISTING);
        let bytes = body.read_to_vec().map_err(Cause::from)?;
        let bad = |error| HubError::protocol(&url, format!("expected a listing: {error}"));
        Ok(listing::names(&bytes).map_err(bad)?)
    }

    fn ask_for_listing(
        &self,
        repository: &Repository,
    ) -> Result<(String, Response<Body>), Failure> {
        let url = format!("{}/api/{}", self.endpoint, repository.hf().api_url());
        self.follow(url, |request| request)
    }

    /// The answer that redirects lead to, and its address. The token goes along where an address is the
    /// hub's own.
    fn follow(
        &self,
        mut url: String,
        prepare: impl Fn(RequestBuilder<WithoutBody>) -> RequestBuilder<WithoutBody>,
    ) -> Result<(String, Response<Body>), Failure> {
        for _ in 0..=MAX_REDIRECTS {
            let request = self.agent.get(self.with_login(&url));
            let request = prepare(self.authorised(request, &url));
            let response = request.call().map_err(Cause::from)?;
            match redirect(&url, &response)? {
                Some(target) => url = target,
                None => return Ok((url, response)),
            }
        }
        Err(too_many_redirects(url))
    }

    /// What the hub says about a file. Redirects within the hub are followed; one to another host is
    /// where the bytes are, and the answer that holds it describes them.
    pub(crate) fn metadata(
        &self,
        repository: &Repository,
        file: &str,
    ) -> Result<Metadata, Failure> {
        let mut url = self.url(repository, file);
        for _ in 0..=MAX_REDIRECTS {
            let request = self.authorised(self.agent.head(self.with_login(&url)), &url);
            let response = request.call().map_err(Cause::from)?;
            let target = redirect(&url, &response)?;
            match target {
                Some(target) if self.is_hub(&target) => url = target,
                Some(_) => return Ok(metadata(repository, &url, response.headers(), false)?),
                None if response.status().is_success() => {
                    return Ok(metadata(repository, &url, response.headers(), true)?);
                }
                None => return Err(self.refusal(repository, Some(file), &url, &response)),
            }
        }
        Err(too_many_redirects(url))
    }

    /// The answer with the bytes of a file from `start` on: status 200 or 206, or 416 if there are no
    /// bytes from there on.
    pub(crate) fn open(
        &self,
        repository: &Repository,
        file: &str,
        start: u64,
    ) -> Result<Response<Body>, Failure> {
        let (url, response) = self.follow(self.url(repository, file), |request| match start {
            0 => request,
            _ => request.header(header::RANGE, format!("bytes={start}-")),
        })?;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
            StatusCode::RANGE_NOT_SATISFIABLE if start > 0 => Ok(response),
            _ => Err(self.refusal(repository, Some(file), &url, &response)),
        }
    }

    /// The request with the token if it goes to the hub itself: no other origin may see it.
    fn authorised<B>(&self, request: RequestBuilder<B>, url: &str) -> RequestBuilder<B> {
        match &self.settings.token {
            Some(token) if self.is_hub(url) => {
                request.header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()))
            }
            _ => request,
        }
    }

    /// The address to ask, which holds the password if it is the hub's own: the client makes a header of
    /// it, unless there is a token.
    fn with_login(&self, url: &str) -> String {
        match (&self.login, url.split_once("://")) {
            (Some(login), Some((scheme, rest))) if self.is_hub(url) => {
                format!("{scheme}://{login}@{rest}")
            }
            _ => url.to_owned(),
        }
    }

    fn is_hub(&self, url: &str) -> bool {
        let origin = Origin::of(url);
        origin.is_some() && origin == Origin::of(&self.endpoint)
    }

    /// What a status other than success means.
    fn refusal(
        &self,
        repository: &Repository,
        file: Option<&str>,
        url: &str,
        response: &Response<Body>,
    ) -> Failure {
        let status = response.status();
        let code = text(response.headers(), "x-error-code").unwrap_or_default();
        let missing = match code {
            "RepoNotFound" => Some(Missing::Repository),
            "RevisionNotFound" => Some(Missing::Revision(repository.revision().to_owned())),
            "EntryNotFound" => file.map(|file| Missing::File(file.to_owned())),
            _ if status == StatusCode::NOT_FOUND => Some(self.what_is_missing(repository, file)),
            _ => None,
        };
        let url = url.to_owned();
        let number = status.as_u16();
        if let Some(missing) = missing {
            return Failure::Final(HubError::NotFound {
                url,
                status: number,
                missing,
            });
        }
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Final(HubError::Access {
                url,
                status: number,
                advice: self.how_to_get_access(repository),
            }),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Failure::Transient {
                cause: Cause::Server(status),
                pause: asked_pause(response.headers()),
            },
            _ if status.is_server_error() => Failure::Transient {
                cause: Cause::Server(status),
                pause: asked_pause(response.headers()),
            },
            _ => Failure::Final(HubError::Status {
                url,
                status: number,
            }),
        }
    }

    /// Which of the three does not exist, when a mirror does not say it.
    fn what_is_missing(&self, repository: &Repository, file: Option<&str>) -> Missing {
        let exists = |repository: &Repository| {
            let response = self.ask_for_listing(repository);
            response.is_ok_and(|(_, response)| response.status().is_success())
        };
        match file {
            Some(file) if exists(repository) => Missing::File(file.to_owned()),
            _ if exists(&repository.at("main")) => {
                Missing::Revision(repository.revision().to_owned())
            }
            _ => Missing::Repository,
        }
    }

    fn how_to_get_access(&self, repository: &Repository) -> String {
        let page = self.page(repository);
        let what = match repository.kind() {
            Kind::Model => "model",
            Kind::Dataset => "dataset",
        };
        let terms = format!("log in, accept the terms of the {what} at {page}");
        if self.settings.token.is_some() {
            format!("the token has no access; {terms}, and let the token read gated repositories")
        } else {
            let endpoint = &self.endpoint;
            format!("{terms}, and set HF_TOKEN to a token from {endpoint}/settings/tokens")
        }
    }
}

fn metadata(
    repository: &Repository,
    url: &str,
    headers: &HeaderMap,
    is_file: bool,
) -> Result<Metadata, HubError> {
    let commit = match text(headers, "x-repo-commit") {
        Some(commit) => commit,
        None if repository.is_commit() => repository.revision(),
        None => {
            return Err(HubError::protocol(
                url,
                "no X-Repo-Commit header: not a hub?",
            ));
        }
    };
    if !is_commit(commit) {
        let problem = format!("X-Repo-Commit: expected hexadecimal digits, got `{commit}`");
        return Err(HubError::protocol(url, problem));
    }
    let etag = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"));
    let etag = etag.ok_or_else(|| HubError::protocol(url, "no ETag header: not a hub?"))?;
    let etag = etag.trim_start_matches("W/").trim_matches('"');
    // It becomes a file name.
    let is_name = (1..=128).contains(&etag.len())
        && etag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_name {
        let problem = format!("ETag: expected letters, digits and hyphens, got `{etag}`");
        return Err(HubError::protocol(url, problem));
    }
    // The length of an answer that only redirects is not the file's.
    let length = is_file.then(|| number(headers, "content-length")).flatten();
    Ok(Metadata {
        commit: commit.to_owned(),
        etag: etag.to_owned(),
        size: number(headers, "x-linked-size").or(length),
        sha256: etag.parse().ok(),
    })
}

/// A header's value as text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// A header's value as a number.
pub(crate) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    let seconds = number(headers, "retry-after")?;
    Some(Duration::from_secs(seconds).min(MAX_PAUSE))
}

fn too_many_redirects(url: String) -> Failure {
    Failure::Final(HubError::Redirects {
        url,
        limit: MAX_REDIRECTS,
    })
}

/// Where an answer redirects to, if it does.
fn redirect(url: &str, response: &Response<Body>) -> Result<Option<String>, HubError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = text(response.headers(), "location").unwrap_or_default();
    target(url, location).map(Some)
}

/// The address that `location` means in an answer from `url`.
fn target(url: &str, location: &str) -> Result<String, HubError> {
    let target = resolve(url, location).ok_or_else(|| {
        let problem = format!("redirect to an unusable address, `{}`", shown(location));
        HubError::protocol(url, problem)
    })?;
    let is_encrypted = |url: &str| Origin::of(url).is_some_and(|origin| origin.is_encrypted());
    if is_encrypted(url) && !is_encrypted(&target) {
        let problem = format!("redirect to {target}, which is not encrypted");
        return Err(HubError::protocol(url, problem));
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_stays_with_the_hub() {
        let mut settings = Settings::with_cache("cache");
        settings.endpoint = "https://hub.test".to_owned();
        let client = Client::new(&settings).unwrap();
        assert!(client.is_hub("https://HUB.test/a"));
        for other in [
            "http://hub.test/a",
            "https://hub.test:444/a",
            "https://hub.test.evil/a",
            "https://cdn.test/a",
        ] {
            assert!(!client.is_hub(other), "{other}");
        }
        assert!(client.is_hub("https://hub.test:443/a"));
    }

    #[test]
    fn a_redirect_never_gives_up_encryption() {
        let from = |url: &str, location| target(url, location);
        let error = from("https://hub.test/a", "http://hub.test/a").unwrap_err();
        assert!(error.to_string().contains("not encrypted"), "{error}");
        for url in ["HTTPS://hub.test/a", "https://hub.test/a"] {
            assert!(from(url, "HTTP://cdn.test/a").is_err(), "{url}");
            assert!(from(url, "//cdn.test/a").is_ok(), "{url}");
        }
        assert!(from("http://hub.test/a", "http://cdn.test/a").is_ok());
    }
}
