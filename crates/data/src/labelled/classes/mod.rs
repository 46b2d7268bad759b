//! One reading of the labels of all sets of a command.
//!
//! A label that a set states is a name or a number. Names are read, in this order, as
//!
//! 1. names of the network's outputs, whatever the case and whether `-`, `_` or a space stands between
//!    words; of `tench, Tinca tinca` each part is a name too;
//! 2. WordNet ids, for 1000 outputs: ILSVRC's classes in their order;
//! 3. names of GLUE's classes in GLUE's order, where the network's outputs have no names;
//! 4. the names themselves, sorted, when all sets together have exactly as many as there are outputs.
//!
//! Numbers are numbers of outputs, with two exceptions. Where a file or a task of GLUE says what its
//! numbers are called, and the network's outputs have those names, numbers are read by name: GLUE's 0 is
//! `entailment`, which is another output in many checkpoints for MNLI. And digits that are names of
//! outputs are such names. Nothing is ever added to a number unless [`Outputs::offset`] says so.
//!
//! All names of all sets are read in one way, and so are all numbers; what cannot be read, or would be
//! read in two ways, is refused.

mod reading;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use self::reading::{Reading, Words};
use super::open::OpenSet;
use super::raw::{Distinct, RawLabel, RawLabels};
use crate::DataError;
use crate::error::SetError;

/// The most outputs of a network with several labels per input: an answer is a number of 64 bits, one of
/// which tells that there is none.
pub const MAX_SEVERAL: usize = 63;

/// What labels are labels for.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'a> {
    /// Number of answers; with several labels per input the number of outputs.
    pub count: usize,
    /// Their names, if they have names.
    pub names: &'a [String],
    /// Whether an input has any number of labels: the answer is then the sum of 2^class.
    pub several: bool,
    /// What is added to every number that is read as the number of an output; 0 unless someone says
    /// otherwise, e.g. -1 for EMNIST's letters, which count from 1.
    pub offset: i64,
}

impl<'a> Outputs<'a> {
    /// Outputs of which one is the answer.
    pub fn new(count: usize, names: &'a [String]) -> Self {
        Self {
            count,
            names,
            several: false,
            offset: 0,
        }
    }

    /// Names that say something: not `LABEL_0`, and one for each output.
    fn real_names(&self) -> &'a [String] {
        let made_up = |name: &String| {
            let number = name.strip_prefix("LABEL_").or(name.strip_prefix("label_"));
            number.is_some_and(|number| number.parse::<usize>().is_ok())
        };
        if self.names.len() != self.count || self.names.iter().all(made_up) {
            return &[];
        }
        self.names
    }
}

/// What a label stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableRow {
    /// The label as sets state it.
    pub label: String,
    /// The class that it stands for.
    pub class: usize,
    /// The name of that class, if it has one.
    pub name: Option<String>,
    /// Examples of all sets that have the label.
    pub examples: usize,
}

/// Which class each label of all sets of a command stands for, and how that was decided.
#[derive(Clone, Debug, Serialize)]
pub struct ClassTable {
    how: String,
    rows: Vec<TableRow>,
    #[serde(skip)]
    classes: HashMap<RawLabel, usize>,
    /// The classes of numbers, however they are written.
    #[serde(skip)]
    numbers: HashMap<u64, usize>,
    #[serde(skip)]
    count: usize,
    several: bool,
}

impl ClassTable {
    /// Reads the labels of all sets of a command.
    ///
    /// # Errors
    /// [`SetError::Classes`] with every label that stands for no answer, [`SetError::Contradiction`] for
    /// one that would stand for two, [`DataError::Count`] for more outputs than an answer of several
    /// labels can have.
    pub fn new(outputs: &Outputs<'_>, sets: &[&OpenSet<'_>]) -> Result<Self, DataError> {
        let labels: Vec<&RawLabels> = sets.iter().map(|set| set.labels()).collect();
        let name = |set: usize, position: usize| sets[set].name(position);
        Self::of_labels(outputs, &labels, &name)
    }

    /// Reads labels; `name` is what the example of a set at a position is called.
    fn of_labels(
        outputs: &Outputs<'_>,
        sets: &[&RawLabels],
        name: &dyn Fn(usize, usize) -> String,
    ) -> Result<Self, DataError> {
        if outputs.several && outputs.count > MAX_SEVERAL {
            return Err(DataError::Count {
                what: "outputs of a network with several labels per input: at most 63 can be told",
                expected: MAX_SEVERAL,
                got: outputs.count,
            });
        }
        let words = Words::of(outputs, sets);
        let reading = Reading::choose(outputs, &words)?;
        let mut table = Self {
            how: reading.how.clone(),
            rows: vec![],
            classes: HashMap::new(),
            numbers: HashMap::new(),
            count: outputs.count,
            several: outputs.several,
        };
        let mut rows = BTreeMap::new();
        let mut refused = vec![];
        for (set, labels) in sets.iter().enumerate() {
            let numbers = labels.number_names();
            let stated = |distinct: &&Distinct| distinct.label != RawLabel::Absent;
            for distinct in labels.distinct().iter().filter(stated) {
                let label = &distinct.label;
                let class = match outputs.several {
                    true => reading.several(label, numbers),
                    false => reading.one(label, numbers),
                };
                match class {
                    Ok(class) => {
                        table.enter(label, class)?;
                        reading.count(label, numbers, distinct.count, &mut rows);
                    }
                    // An empty folder needs no class.
                    Err(_) if distinct.count == 0 => {}
                    Err(why) => {
                        let example = name(set, distinct.first);
                        refused.push(refusal(distinct, &why, &example));
                    }
                }
            }
        }
        if !refused.is_empty() {
            return Err(reading.refusal(refused, &words));
        }
        table.rows = rows.into_values().collect();
        let order = |row: &TableRow| (row.class, row.label.clone());
        table.rows.sort_by_key(order);
        Ok(table)
    }

    fn enter(&mut self, label: &RawLabel, class: usize) -> Result<(), DataError> {
        let before = self.classes.insert(label.clone(), class);
        let written = label
            .number()
            .and_then(|number| self.numbers.insert(number, class));
        let before = before.or(written);
        if before.is_some_and(|before| before != class) {
            return Err(DataError::Set(SetError::Contradiction {
                label: label.to_string(),
                first: format!("class {} in one set", before.unwrap_or_default()),
                second: format!(
                    "class {class} in another: say for both what their numbers are called, with a task or \
                     with names"
                ),
            }));
        }
        Ok(())
    }

    /// The answer that a label stands for; none for an absent one and for one that no set has.
    pub fn answer(&self, label: &RawLabel) -> Option<usize> {
        self.classes.get(label).copied()
    }

    /// Number of answers; every answer is below it.
    pub fn answers(&self) -> usize {
        if self.several {
            1 << self.count
        } else {
            self.count
        }
    }

    /// Whether an answer is a sum of 2^class.
    pub fn several(&self) -> bool {
        self.several
    }

    /// How labels are read, as a sentence.
    pub fn how(&self) -> &str {
        &self.how
    }

    /// Every label of all sets with its class, in the order of classes.
    pub fn rows(&self) -> &[TableRow] {
        &self.rows
    }
}

/// A label that stands for no answer, why, and an example that has it.
fn refusal(distinct: &Distinct, why: &str, example: &str) -> String {
    let label = &distinct.label;
    let comma = if why.is_empty() { "" } else { ", " };
    match distinct.count {
        1 => format!("{label} ({why}{comma}{example})"),
        count => format!("{label} ({why}{comma}{example} and {} more)", count - 1),
    }
}

#[cfg(test)]
mod tests;
