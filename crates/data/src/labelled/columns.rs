//! Which columns of a table, tensors of a batch or arrays of an archive hold what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::error::SetError;

/// A choice of columns, where the usual names do not tell: `text=review,label=stars`.
///
/// A column of a table without a header is named by its position, from 1: `text=#4,label=#2`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Columns {
    /// The sentence; of a pair the first one.
    pub text: Option<String>,
    /// The second sentence of a pair.
    pub text_pair: Option<String>,
    /// Inputs that are no text: the pictures of a parquet file, a tensor, an array.
    pub input: Option<String>,
    /// The labels. Several columns hold zeros and ones, and are written with `+`: `label=toxic+rude`.
    pub label: Vec<String>,
}

const EXPECTED: &str =
    "text=NAME, text_pair=NAME, input=NAME and label=NAME or label=NAME+NAME, with commas between";

impl FromStr for Columns {
    type Err = DataError;

    fn from_str(given: &str) -> Result<Self, DataError> {
        let wrong = || {
            DataError::Set(SetError::Columns {
                given: given.to_owned(),
                expected: EXPECTED,
            })
        };
        let mut columns = Self::default();
        for part in given.split(',') {
            let (key, name) = part.split_once('=').ok_or_else(wrong)?;
            let names: Vec<String> = name.split('+').map(|name| name.trim().to_owned()).collect();
            if names.iter().any(String::is_empty) {
                return Err(wrong());
            }
            let one = match key.trim() {
                "label" if columns.label.is_empty() => {
                    columns.label = names;
                    continue;
                }
                "text" => &mut columns.text,
                "text_pair" => &mut columns.text_pair,
                "input" => &mut columns.input,
                _ => return Err(wrong()),
            };
            if one.is_some() {
                return Err(wrong());
            }
            *one = Some(name.trim().to_owned());
        }
        Ok(columns)
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one =
            |key: &str, name: &Option<String>| name.as_ref().map(|name| format!("{key}={name}"));
        let label = (!self.label.is_empty()).then(|| format!("label={}", self.label.join("+")));
        let parts: Vec<String> = [
            one("text", &self.text),
            one("text_pair", &self.text_pair),
            one("input", &self.input),
            label,
        ]
        .into_iter()
        .flatten()
        .collect();
        f.write_str(&parts.join(","))
    }
}

/// The position of a column that was named, or numbered from 1 with `#`.
pub(super) fn position<S: AsRef<str>>(columns: &[S], name: &str) -> Option<usize> {
    let named = columns.iter().position(|column| column.as_ref() == name);
    named.or_else(|| {
        let number: usize = name.strip_prefix('#')?.parse().ok()?;
        number.checked_sub(1).filter(|&at| at < columns.len())
    })
}

/// The position of the first column that has one of these names, whatever the case.
pub(super) fn usual<S: AsRef<str>>(columns: &[S], names: &[&str]) -> Option<usize> {
    let named = |name: &&str| {
        let exact = columns.iter().position(|column| column.as_ref() == *name);
        exact.or_else(|| {
            let same = |column: &S| column.as_ref().trim().eq_ignore_ascii_case(name);
            columns.iter().position(same)
        })
    };
    names.iter().find_map(named)
}

/// What columns of labels are usually called.
pub(super) const LABEL_NAMES: [&str; 9] = [
    "label",
    "labels",
    "gold_label",
    "class",
    "target",
    "class_index",
    "is_duplicate",
    "Quality",
    "y",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_reads_back_as_it_is_written() {
        for given in [
            "text=review,label=stars",
            "text=a,text_pair=b",
            "input=x_test,label=y_test",
            "text=#4,label=toxic+rude+#7",
        ] {
            assert_eq!(given.parse::<Columns>().unwrap().to_string(), given);
        }
        let spaced = " text = a , label = b + c ".parse::<Columns>().unwrap();
        assert_eq!(spaced.to_string(), "text=a,label=b+c");
    }

    #[test]
    fn choices_that_cannot_be_understood_are_refused() {
        for given in [
            "",
            "text",
            "words=a",
            "text=a,text=b",
            "label=",
            "label=a+",
            "label=a,label=b",
        ] {
            let message = given.parse::<Columns>().unwrap_err().to_string();
            assert!(message.contains("expected text=NAME"), "{message}");
        }
    }

    #[test]
    fn columns_are_found_by_name_or_number() {
        let columns = ["id", "Label", "#1"];
        assert_eq!(position(&columns, "Label"), Some(1));
        assert_eq!(position(&columns, "label"), None);
        assert_eq!(position(&columns, "#1"), Some(2));
        assert_eq!(position(&columns, "#2"), Some(1));
        assert_eq!(position(&columns, "#0"), None);
        assert_eq!(position(&columns, "#4"), None);
        assert_eq!(usual(&columns, &LABEL_NAMES), Some(1));
    }
}
