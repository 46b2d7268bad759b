//! Repositories of a hub, and names that are safe in addresses and paths.

use std::fmt;

use hf_hub::{Repo, RepoType};

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Weights and configuration.
    Model,
    /// Data.
    Dataset,
}

/// A repository at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    kind: Kind,
    id: String,
    revision: String,
}

impl Repository {
    /// The repository `owner/name` at a branch, tag or commit.
    ///
    /// # Errors
    ///
    /// What is wrong with the id or the revision.
    pub fn new(kind: Kind, id: &str, revision: &str) -> Result<Self, String> {
        let mut parts = id.split('/');
        let whole = [parts.next(), parts.next()].iter().all(|part| {
            part.is_some_and(|part| {
                is_name(part)
                    && part
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            })
        });
        if !whole || parts.next().is_some() {
            return Err(format!("expected a repository `owner/name`, got `{id}`"));
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
        if !revision.bytes().all(allowed) || !revision.split('/').all(is_name) {
            return Err(format!(
                "expected a branch, tag or commit, got `{revision}`"
            ));
        }
        Ok(Self {
            kind,
            id: id.to_owned(),
            revision: revision.to_owned(),
        })
    }

    /// Reads `owner/name[@revision]`; the revision is `main` unless given.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, String> {
        let (id, revision) = text.split_once('@').unwrap_or((text, "main"));
        Self::new(kind, id, revision)
    }

    /// What the repository holds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// `owner/name`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Branch, tag or commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Whether the revision is a full commit, which no other bytes can take the place of.
    pub(crate) fn is_commit(&self) -> bool {
        is_commit(&self.revision) && self.revision.len() == 40
    }

    pub(crate) fn at(&self, revision: &str) -> Self {
        Self {
            revision: revision.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) fn hf(&self) -> Repo {
        let kind = match self.kind {
            Kind::Model => RepoType::Model,
            Kind::Dataset => RepoType::Dataset,
        };
        Repo::with_revision(self.id.clone(), kind, self.revision.clone())
    }

    /// Path of the repository's page: `owner/name` or `datasets/owner/name`.
    pub(crate) fn page(&self) -> String {
        self.hf().url()
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.page(), self.revision)
    }
}

/// Whether `text` is hexadecimal and long enough to name a commit.
pub(crate) fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether `path` stays below the folder it is joined to, on every system.
pub(crate) fn is_safe_path(path: &str) -> bool {
    let forbidden = |c: char| c.is_control() || matches!(c, '\\' | ':');
    !path.contains(forbidden) && path.split('/').all(is_name)
}

fn is_name(part: &str) -> bool {
    !matches!(part, "" | "." | "..")
}

/// `path` with every byte percent-encoded that a path in an address cannot hold (RFC 3986).
pub(crate) fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(byte as char);
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_with_and_without_revision_are_read() {
        let repository = Repository::parse(Kind::Model, "timm/mobilevit_xxs.cvnets_in1k").unwrap();
        assert_eq!(
            repository.to_string(),
            "timm/mobilevit_xxs.cvnets_in1k@main"
        );
        let repository = Repository::parse(Kind::Dataset, "nyu-mll/glue@refs/pr/1").unwrap();
        assert_eq!(repository.to_string(), "datasets/nyu-mll/glue@refs/pr/1");
    }

    #[test]
    fn ids_that_leave_their_place_are_refused() {
        for text in [
            "gpt2",
            "a/b/c",
            "../b",
            "a/..",
            "a/b@",
            "a/b@../../x",
            "a/b c",
            "a/b?x",
            "/b",
            "a/b@main\n",
        ] {
            assert!(Repository::parse(Kind::Model, text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_that_leave_their_folder_are_unsafe() {
        for path in [
            "", "/etc", "a//b", "../a", "a/../b", "a/.", "c:/a", "a\\b", "a\n",
        ] {
            assert!(!is_safe_path(path), "{path:?}");
        }
        assert!(is_safe_path("cola/train-00000-of-00001.parquet"));
    }

    #[test]
    fn addresses_hold_no_raw_specials() {
        assert_eq!(encoded("a b/ü#?%.x"), "a%20b/%C3%BC%23%3F%25.x");
    }
}
