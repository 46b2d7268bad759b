//! Where files come from and go to, and how patiently.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::HubError;
use crate::address::{Origin, shown, split_login};

/// The public hub.
const ENDPOINT: &str = "https://huggingface.co";

/// An access token. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token as the hub's settings page shows it.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What the environment and the command line say about a hub.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Address of the hub or of a mirror, without a slash at the end: `HF_ENDPOINT`. Its `user:password@`
    /// is never printed.
    pub endpoint: String,
    /// Folder of the cached repositories: `HF_HUB_CACHE`, else `hub` in `HF_HOME`.
    pub cache: PathBuf,
    /// Token for private and gated repositories: `HF_TOKEN`, else the file `token` in `HF_HOME`.
    pub token: Option<Token>,
    /// Use what is cached and open no connection: `HF_HUB_OFFLINE`.
    pub offline: bool,
    /// Attempts after the first that brought no new byte.
    pub retries: u32,
    /// Pause before the first retry; each later pause is twice the one before, up to 30 s.
    pub backoff: Duration,
    /// Longest time to wait for a connection.
    pub connect_timeout: Duration,
    /// Longest time to wait for an answer, and between two parts of a body.
    pub read_timeout: Duration,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("endpoint", &shown(&self.endpoint))
            .field("cache", &self.cache)
            .field("token", &self.token)
            .field("offline", &self.offline)
            .field("retries", &self.retries)
            .field("backoff", &self.backoff)
            .field("connect_timeout", &self.connect_timeout)
            .field("read_timeout", &self.read_timeout)
            .finish()
    }
}

impl Settings {
    /// The public hub, a cache folder, no token.
    pub fn with_cache(cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: ENDPOINT.to_owned(),
            cache: cache.into(),
            token: None,
            offline: false,
            retries: 5,
            backoff: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
        }
    }

    /// What the process's environment says.
    ///
    /// # Errors
    ///
    /// [`HubError::Setting`] for an unusable value, [`HubError::NoCache`] if neither a variable nor a
    /// home folder says where the cache is.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_variables(|name| std::env::var(name).ok(), std::env::home_dir())
    }

    /// What `variable` says of each environment variable; `home` is the user's folder.
    ///
    /// # Errors
    ///
    /// As [`Settings::from_env`].
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
        home: Option<PathBuf>,
    ) -> Result<Self, HubError> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let hub_home = set("HF_HOME").map(PathBuf::from).or_else(|| {
            let caches = set("XDG_CACHE_HOME").map(PathBuf::from);
            let caches = caches.or_else(|| home.map(|home| home.join(".cache")));
            caches.map(|caches| caches.join("huggingface"))
        });
        let cache = set("HF_HUB_CACHE").map(PathBuf::from);
        let cache = cache.or_else(|| hub_home.as_ref().map(|home| home.join("hub")));
        // hf-hub looks for the token next to the folder it takes for the cache.
        let token_file = || hf_hub::Cache::new(hub_home.as_ref()?.join("hub")).token();
        let token = set("HF_TOKEN").map(|token| token.trim().to_owned());

        let mut settings = Self::with_cache(cache.ok_or(HubError::NoCache)?);
        settings.token = token.or_else(token_file).map(Token);
        if let Some(endpoint) = set("HF_ENDPOINT") {
            settings.endpoint = endpoint.trim().trim_end_matches('/').to_owned();
        }
        settings.offline = set("HF_HUB_OFFLINE").is_some_and(|value| {
            ["1", "on", "yes", "true"].contains(&value.trim().to_lowercase().as_str())
        });
        settings.check()?;
        Ok(settings)
    }

    /// Refuses what cannot be put into a request.
    pub(crate) fn check(&self) -> Result<(), HubError> {
        let (endpoint, _) = split_login(&self.endpoint);
        // A password with a slash in it would end up in the path.
        let is_address = Origin::of(&endpoint).is_some()
            && !endpoint.contains('@')
            && self.endpoint.bytes().all(|b| b.is_ascii_graphic());
        if !is_address {
            return Err(HubError::Setting {
                variable: "HF_ENDPOINT",
                expected: "an address that begins with https:// or http://",
                got: shown(&self.endpoint),
            });
        }
        if let Some(Token(token)) = &self.token
            && !token.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(HubError::Setting {
                variable: "HF_TOKEN",
                expected: "printable ASCII without spaces",
                got: "(not shown)".to_owned(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, HubError> {
        let find = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::from_variables(find, Some("/somebody".into()))
    }

    #[test]
    fn defaults_are_those_of_the_hubs_other_clients() {
        let expected = Settings::with_cache("/somebody/.cache/huggingface/hub");
        assert_eq!(settings(&[("HF_TOKEN", " ")]).unwrap(), expected);
    }

    #[test]
    fn every_variable_is_honoured() {
        let variables = [
            ("HF_ENDPOINT", "http://localhost:1/"),
            ("HF_HOME", "/elsewhere"),
            ("HF_TOKEN", "secret\n"),
            ("HF_HUB_OFFLINE", "ON"),
        ];
        let all = settings(&variables).unwrap();
        assert_eq!(all.endpoint, "http://localhost:1");
        assert_eq!(all.cache, PathBuf::from("/elsewhere/hub"));
        assert_eq!(all.token, Some(Token::new("secret")));
        assert!(all.offline);
        let cache = settings(&[("HF_HOME", "/elsewhere"), ("HF_HUB_CACHE", "/cache")]).unwrap();
        assert_eq!(cache.cache, PathBuf::from("/cache"));
    }

    #[test]
    fn token_file_stands_in_for_the_variable() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "from a file\n").unwrap();
        let path = home.path().to_str().unwrap();
        let error = settings(&[("HF_HOME", path)]).unwrap_err();
        assert!(error.to_string().starts_with("HF_TOKEN"), "{error}");
        std::fs::write(home.path().join("token"), "hf_file\n").unwrap();
        let found = settings(&[("HF_HOME", path)]).unwrap().token;
        assert_eq!(found, Some(Token::new("hf_file")));
        let found = settings(&[("HF_HOME", path), ("HF_TOKEN", "hf_variable")]).unwrap();
        assert_eq!(found.token, Some(Token::new("hf_variable")));
    }

    #[test]
    fn unusable_values_are_refused_and_tokens_never_shown() {
        let error = settings(&[("HF_ENDPOINT", "huggingface.co")]).unwrap_err();
        assert!(error.to_string().contains("huggingface.co"), "{error}");
        let error = settings(&[("HF_TOKEN", "two words")]).unwrap_err();
        assert!(!error.to_string().contains("words"), "{error}");
        let variables = [("HF_TOKEN", "secret"), ("HF_ENDPOINT", "http://u:secret@h")];
        let found = settings(&variables).unwrap();
        assert_eq!(found.endpoint, "http://u:secret@h");
        let shown = format!("{found:?}");
        assert!(!shown.contains("secret"), "{shown}");
        for endpoint in [
            "u:secret@h",
            "ftp://u:secret@h",
            "http://u:secret/@h",
            "http://u:secret@",
        ] {
            let error = settings(&[("HF_ENDPOINT", endpoint)]).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        assert!(Settings::from_variables(|_| None, None).is_err());
    }
}
