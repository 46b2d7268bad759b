//! Labels as a set states them, before they are understood as answers of a network.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The label of one example as its file or folder states it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RawLabel {
    /// There is none: no column, tensor or file of labels, an empty cell, or -1.
    Absent,
    /// An integer, 0 or more.
    Number(u64),
    /// The text of a cell, or the name of a folder.
    Text(Arc<str>),
    /// A list of labels that all apply.
    Several(Vec<RawLabel>),
    /// A row of a matrix of zeros and ones.
    Row {
        /// Columns of the matrix.
        width: usize,
        /// The columns that hold a one, ascending.
        ones: Vec<usize>,
    },
}

impl RawLabel {
    /// An integer as files state it: -1 is none, and other negative ones are no labels.
    pub(crate) fn of_integer(value: i64) -> Option<Self> {
        match u64::try_from(value) {
            Ok(value) => Some(Self::Number(value)),
            Err(_) => (value == -1).then_some(Self::Absent),
        }
    }

    /// A number as files of floats state it: a whole one is an integer, NaN is none, as pandas writes a
    /// missing integer; others are no labels.
    pub(crate) fn of_float(value: f64) -> Option<Self> {
        if value.is_nan() {
            return Some(Self::Absent);
        }
        // Whole numbers up to 2^53 are exact.
        (value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0)
            .then(|| Self::of_integer(value as i64))
            .flatten()
    }

    /// A cell of a table: an empty one and -1 are none.
    pub(crate) fn of_text(cell: &str) -> Self {
        match cell.trim() {
            "" | "-1" => Self::Absent,
            cell => Self::Text(cell.into()),
        }
    }

    /// The number that this label is or spells.
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => spelt(text),
            _ => None,
        }
    }
}

/// The number that a text of digits spells; `3.0` is one too, as pandas writes integers beside missing
/// ones.
fn spelt(text: &str) -> Option<u64> {
    let whole = text.strip_suffix(".0").unwrap_or(text);
    let digits = !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| whole.parse().ok()).flatten()
}

impl fmt::Display for RawLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("none"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(&crate::error::shorten(text)),
            Self::Several(labels) => {
                let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", labels.join(", "))
            }
            Self::Row { width, ones } => write!(f, "ones in columns {ones:?} of {width}"),
        }
    }
}

/// Numbers below this are found without hashing.
const SMALL: u64 = 4096;

/// The labels of a set: each distinct one is stored once, and four bytes for each example.
#[derive(Clone, Debug, Default)]
pub struct RawLabels {
    distinct: Vec<Distinct>,
    codes: Vec<u32>,
    index: HashMap<RawLabel, u32>,
    /// One more than the code of each small number; 0 for one that is not known.
    small: Vec<u32>,
    number_names: Option<Arc<[String]>>,
}

/// A label that a set knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distinct {
    /// The label.
    pub label: RawLabel,
    /// Examples that have it; none has the name of an empty folder.
    pub count: usize,
    /// Position of the first of them.
    pub first: usize,
}

impl RawLabels {
    /// No label for each of `count` examples.
    pub(crate) fn absent(count: usize) -> Self {
        let mut labels = Self::default();
        if count > 0 {
            labels.push(RawLabel::Absent);
            labels.codes.resize(count, 0);
            labels.distinct[0].count = count;
        }
        labels
    }

    pub(crate) fn push(&mut self, label: RawLabel) {
        let position = self.codes.len();
        let small = match label {
            RawLabel::Number(number) if number < SMALL => Some(number as usize),
            _ => None,
        };
        let known = small.and_then(|at| self.small.get(at)?.checked_sub(1));
        let code = known.unwrap_or_else(|| self.declare(label));
        if let Some(at) = small {
            self.small.resize(self.small.len().max(at + 1), 0);
            self.small[at] = code + 1;
        }
        let distinct = &mut self.distinct[code as usize];
        if distinct.count == 0 {
            distinct.first = position;
        }
        distinct.count += 1;
        self.codes.push(code);
    }

    /// A label that the set knows, whether an example has it or not: the name of an empty folder.
    pub(crate) fn declare(&mut self, label: RawLabel) -> u32 {
        if let Some(&code) = self.index.get(&label) {
            return code;
        }
        // There are hardly more distinct labels than examples, and those are counted in 32 bits.
        let code = self.distinct.len() as u32;
        self.index.insert(label.clone(), code);
        self.distinct.push(Distinct {
            label,
            count: 0,
            first: 0,
        });
        code
    }

    /// What the numbers of this set are called, the first name for 0: from the file that holds them, or
    /// from a task of GLUE.
    pub fn number_names(&self) -> Option<&[String]> {
        self.number_names.as_deref()
    }

    pub(crate) fn name_numbers(&mut self, names: impl Into<Arc<[String]>>) {
        self.number_names = Some(names.into());
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// The label of example `i`; none beyond the last one.
    pub fn get(&self, i: usize) -> &RawLabel {
        let code = self.codes.get(i).map(|&code| code as usize);
        code.and_then(|code| self.distinct.get(code))
            .map_or(&RawLabel::Absent, |distinct| &distinct.label)
    }

    /// Every label that the set knows.
    pub fn distinct(&self) -> &[Distinct] {
        &self.distinct
    }

    /// Examples without a label, and the position of the first.
    pub(crate) fn unlabelled(&self) -> Option<(usize, usize)> {
        let code = *self.index.get(&RawLabel::Absent)?;
        let distinct = self.distinct.get(code as usize)?;
        (distinct.count > 0).then_some((distinct.count, distinct.first))
    }

    /// The labels at `positions`, which are below the number of examples.
    pub(crate) fn subset(&self, positions: impl Iterator<Item = usize>) -> Self {
        let mut subset = Self {
            number_names: self.number_names.clone(),
            ..Self::default()
        };
        for distinct in self.distinct.iter().filter(|distinct| distinct.count == 0) {
            subset.declare(distinct.label.clone());
        }
        positions.for_each(|i| subset.push(self.get(i).clone()));
        subset
    }
}

impl FromIterator<RawLabel> for RawLabels {
    fn from_iter<T: IntoIterator<Item = RawLabel>>(labels: T) -> Self {
        let mut all = Self::default();
        labels.into_iter().for_each(|label| all.push(label));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_floats_and_texts_say_when_there_is_no_label() {
        assert_eq!(RawLabel::of_integer(3), Some(RawLabel::Number(3)));
        assert_eq!(RawLabel::of_integer(-1), Some(RawLabel::Absent));
        assert_eq!(RawLabel::of_integer(-2), None);
        assert_eq!(RawLabel::of_float(2.0), Some(RawLabel::Number(2)));
        assert_eq!(RawLabel::of_float(f64::NAN), Some(RawLabel::Absent));
        for bad in [0.5, f64::INFINITY, -3.0, 1e30] {
            assert_eq!(RawLabel::of_float(bad), None, "{bad}");
        }
        for none in ["", "  ", "-1"] {
            assert_eq!(RawLabel::of_text(none), RawLabel::Absent, "{none:?}");
        }
        assert_eq!(RawLabel::of_text(" cat "), RawLabel::Text("cat".into()));
    }

    #[test]
    fn texts_of_digits_spell_numbers() {
        for (text, number) in [("7", Some(7)), ("07", Some(7)), ("7.0", Some(7))] {
            assert_eq!(RawLabel::Text(text.into()).number(), number, "{text}");
        }
        for text in ["", "7.5", "-7", "+7", ".0", "7a", "99999999999999999999"] {
            assert_eq!(RawLabel::Text(text.into()).number(), None, "{text}");
        }
    }

    #[test]
    fn each_distinct_label_is_stored_once_with_its_first_example() {
        let text = |text: &str| RawLabel::Text(text.into());
        let labels: RawLabels = [text("b"), RawLabel::Absent, text("a"), text("b")]
            .into_iter()
            .collect();
        let counts: Vec<_> = labels
            .distinct()
            .iter()
            .map(|distinct| (distinct.count, distinct.first))
            .collect();
        assert_eq!(counts, [(2, 0), (1, 1), (1, 2)]);
        assert_eq!(labels.get(3), &text("b"));
        assert_eq!(labels.unlabelled(), Some((1, 1)));
        let subset = labels.subset([3, 2].into_iter());
        assert_eq!((subset.len(), subset.unlabelled()), (2, None));
        assert_eq!(RawLabels::absent(5).unlabelled(), Some((5, 0)));
        assert_eq!(RawLabels::absent(0).unlabelled(), None);
    }
}
