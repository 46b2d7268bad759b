//! Requests to a hub: which address, which redirects, and what a status means.

use std::time::Duration;

use hf_hub::api::RepoInfo;
use hf_hub::api::sync::{Api, ApiBuilder};
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{TlsConfig, TlsProvider};
use ureq::{Agent, Body};

use crate::address::{is_loopback, origin, resolve};
use crate::failure::{Cause, Failure};
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
    api: Api,
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
        let api = ApiBuilder::from_cache(hf_hub::Cache::new(settings.cache.clone()))
            .with_endpoint(settings.endpoint.clone())
            .with_token(
                settings
                    .token
                    .as_ref()
                    .map(|token| token.reveal().to_owned()),
            )
            .with_progress(false)
            .build()
            .map_err(|error| HubError::Client(Box::new(error)))?;
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
        if is_loopback(&settings.endpoint) {
            config = config.proxy(None);
        }
        Ok(Self {
            agent: config.build().into(),
            api,
            settings: settings.clone(),
        })
    }

    /// Address of a file at a revision.
    pub(crate) fn url(&self, repository: &Repository, file: &str) -> String {
        self.api.repo(repository.hf()).url(&encoded(file))
    }

    /// The files of a repository at its revision.
    pub(crate) fn list(&self, repository: &Repository) -> Result<RepoInfo, Failure> {
        let url = format!(
            "{}/api/{}",
            self.settings.endpoint,
            repository.hf().api_url()
        );
        let mut response = self.ask_for_listing(repository)?;
        if !response.status().is_success() {
            return Err(self.refusal(repository, None, &url, &response));
        }
        let body = response.body_mut().with_config().limit(MAX_LISTING);
        let bytes = body.read_to_vec().map_err(Cause::from)?;
        let bad = |error| HubError::protocol(&url, format!("expected a listing: {error}"));
        Ok(serde_json::from_slice(&bytes).map_err(bad)?)
    }

    fn ask_for_listing(&self, repository: &Repository) -> Result<Response<Body>, Failure> {
        let settings = &self.settings;
        let mut config = self
            .api
            .repo(repository.hf())
            .info_request()
            .config()
            .http_status_as_error(false)
            .timeout_connect(Some(settings.connect_timeout))
            .timeout_recv_response(Some(settings.read_timeout))
            .timeout_per_read(Some(settings.read_timeout));
        if is_loopback(&settings.endpoint) {
            config = config.proxy(None);
        }
        Ok(config.build().call().map_err(Cause::from)?)
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
            let request = self.authorised(self.agent.head(&url), &url);
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
        let mut url = self.url(repository, file);
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.authorised(self.agent.get(&url), &url);
            if start > 0 {
                request = request.header(header::RANGE, format!("bytes={start}-"));
            }
            let response = request.call().map_err(Cause::from)?;
            if let Some(target) = redirect(&url, &response)? {
                url = target;
                continue;
            }
            return match response.status() {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
                StatusCode::RANGE_NOT_SATISFIABLE if start > 0 => Ok(response),
                _ => Err(self.refusal(repository, Some(file), &url, &response)),
            };
        }
        Err(too_many_redirects(url))
    }

    /// The request with the token if it goes to the hub itself: no other host may see it.
    fn authorised<B>(
        &self,
        request: ureq::RequestBuilder<B>,
        url: &str,
    ) -> ureq::RequestBuilder<B> {
        match &self.settings.token {
            Some(token) if self.is_hub(url) => {
                request.header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()))
            }
            _ => request,
        }
    }

    fn is_hub(&self, url: &str) -> bool {
        origin(url).is_some() && origin(url) == origin(&self.settings.endpoint)
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
            response.is_ok_and(|response| response.status().is_success())
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
        let endpoint = &self.settings.endpoint;
        let page = format!("{endpoint}/{}", repository.page());
        let what = match repository.kind() {
            Kind::Model => "model",
            Kind::Dataset => "dataset",
        };
        let terms = format!("log in, accept the terms of the {what} at {page}");
        if self.settings.token.is_some() {
            format!("the token has no access; {terms}, and let the token read gated repositories")
        } else {
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
    let location = text(response.headers(), "location");
    let target = location.and_then(|location| resolve(url, location));
    let Some(target) = target else {
        let problem = format!(
            "redirect to an unusable address, `{}`",
            location.unwrap_or("")
        );
        return Err(HubError::protocol(url, problem));
    };
    if url.starts_with("https:") && !target.starts_with("https:") {
        let problem = format!("redirect to {target}, which is not encrypted");
        return Err(HubError::protocol(url, problem));
    }
    Ok(Some(target))
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
    }
}
