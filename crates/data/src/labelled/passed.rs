//! What a reader passes over, counted by reason.

use std::collections::HashMap;

use serde::Serialize;

use crate::error::SHOWN;

/// Files, rows and parts of a set that are not read, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// The reasons, in the order in which they occurred first.
    pub reasons: Vec<Reason>,
}

/// Why something is passed over, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What the things are, e.g. `files that are no pictures`.
    pub reason: String,
    /// How many there are.
    pub count: usize,
    /// Names of the first ten.
    pub first: Vec<String>,
}

impl PassedOver {
    /// Counts one thing; its name is asked for when it is one of the first ten.
    pub(crate) fn add(&mut self, reason: &str, name: impl FnOnce() -> String) {
        let known = self.reasons.iter_mut().find(|known| known.reason == reason);
        match known {
            Some(known) => {
                known.count += 1;
                if known.first.len() < SHOWN {
                    known.first.push(name());
                }
            }
            None => self.reasons.push(Reason {
                reason: reason.to_owned(),
                count: 1,
                first: vec![name()],
            }),
        }
    }

    /// Adds what another reader of the same set passed over.
    pub fn merge(&mut self, other: Self) {
        let mut known: HashMap<String, usize> = self
            .reasons
            .iter()
            .enumerate()
            .map(|(at, reason)| (reason.reason.clone(), at))
            .collect();
        for reason in other.reasons {
            match known.get(&reason.reason) {
                Some(&at) => {
                    let known = &mut self.reasons[at];
                    known.count += reason.count;
                    let room = SHOWN - known.first.len().min(SHOWN);
                    known.first.extend(reason.first.into_iter().take(room));
                }
                None => {
                    known.insert(reason.reason.clone(), self.reasons.len());
                    self.reasons.push(reason);
                }
            }
        }
    }

    /// Whether nothing is passed over.
    pub fn is_empty(&self) -> bool {
        self.reasons.is_empty()
    }

    /// How many things are passed over.
    pub fn count(&self) -> usize {
        self.reasons.iter().map(|reason| reason.count).sum()
    }

    /// One line for each reason, e.g. `2 files that are no pictures: a.txt, b.txt`.
    pub fn lines(&self) -> Vec<String> {
        let line = |reason: &Reason| {
            let more = match reason.count - reason.first.len().min(reason.count) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!(
                "{} {}: {}{more}",
                reason.count,
                reason.reason,
                reason.first.join(", ")
            )
        };
        self.reasons.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_counted_by_reason_and_the_first_ten_are_named() {
        let mut passed = PassedOver::default();
        assert!(passed.is_empty());
        (0..12).for_each(|i| passed.add("hidden files", || format!(".{i}")));
        passed.add("empty lines", || "t.tsv:4".to_owned());
        let mut other = PassedOver::default();
        other.add("empty lines", || "t.tsv:9".to_owned());
        other.add("shards", || "b.parquet".to_owned());
        passed.merge(other);
        assert_eq!(passed.count(), 15);
        assert_eq!(
            passed.lines(),
            [
                "12 hidden files: .0, .1, .2, .3, .4, .5, .6, .7, .8, .9 and 2 more",
                "2 empty lines: t.tsv:4, t.tsv:9",
                "1 shards: b.parquet",
            ]
        );
    }
}
