//! What a hub says a repository holds.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// The most files of a repository that are listed.
pub(crate) const MAX_LISTED: usize = 10_000;

#[derive(Deserialize)]
struct Listing {
    #[serde(deserialize_with = "bounded")]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// The names in the hub's answer about a repository, at most [`MAX_LISTED`].
pub(crate) fn names(text: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    let listing: Listing = serde_json::from_slice(text)?;
    let names = listing.siblings.into_iter();
    Ok(names.map(|sibling| sibling.rfilename).collect())
}

fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Sibling>, D::Error> {
    struct Bounded;
    impl<'de> Visitor<'de> for Bounded {
        type Value = Vec<Sibling>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX_LISTED} files")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut found = Vec::new();
            while let Some(sibling) = list.next_element()? {
                if found.len() == MAX_LISTED {
                    return Err(A::Error::custom(format!(
                        "more than {MAX_LISTED} files (name those that are needed in the registry)"
                    )));
                }
                found.push(sibling);
            }
            Ok(found)
        }
    }
    deserializer.deserialize_seq(Bounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(files: usize) -> String {
        let files: Vec<String> = (0..files)
            .map(|i| format!("{{\"rfilename\": \"{i}.bin\", \"size\": 1}}"))
            .collect();
        format!("{{\"sha\": \"0\", \"siblings\": [{}]}}", files.join(","))
    }

    #[test]
    fn listings_are_read_up_to_their_bound() {
        assert_eq!(names(listing(2).as_bytes()).unwrap(), ["0.bin", "1.bin"]);
        let most = names(listing(MAX_LISTED).as_bytes()).unwrap();
        assert_eq!(most.len(), MAX_LISTED);
        let error = names(listing(MAX_LISTED + 1).as_bytes()).unwrap_err();
        assert!(
            error.to_string().contains("more than 10000 files"),
            "{error}"
        );
        assert!(names(b"{}").is_err() && names(b"[]").is_err());
    }
}
