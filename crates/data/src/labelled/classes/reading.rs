//! How names and numbers are read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Outputs, TableRow};
use crate::DataError;
use crate::error::{SHOWN, SetError, shorten};
use crate::glue::Task;
use crate::image::imagenet;
use crate::labelled::raw::{RawLabel, RawLabels};

/// What the numbers of a set are called.
type NumberNames<'a> = Option<&'a [String]>;

/// All names and numbers that sets state.
#[derive(Debug, Default)]
pub(super) struct Words {
    names: BTreeSet<Arc<str>>,
    /// Texts of digits.
    digits: BTreeSet<Arc<str>>,
    numbers: BTreeSet<u64>,
    /// What the numbers of sets that have numbers are called.
    number_names: Vec<Vec<String>>,
    /// What the numbers of any set are called.
    known: Vec<Vec<String>>,
}

impl Words {
    pub(super) fn of(outputs: &Outputs<'_>, sets: &[&RawLabels]) -> Self {
        let mut words = Self::default();
        for labels in sets {
            let mut numbered = false;
            for distinct in labels.distinct() {
                for part in parts(&distinct.label, outputs.several) {
                    numbered |= part.number().is_some();
                    words.add(&part);
                }
            }
            if let Some(names) = labels.number_names() {
                words.known.push(names.to_vec());
                if numbered {
                    words.number_names.push(names.to_vec());
                }
            }
        }
        words
    }

    fn add(&mut self, label: &RawLabel) {
        if let RawLabel::Text(text) = label
            && label.number().is_none()
        {
            self.names.insert(Arc::clone(text));
            return;
        }
        if let RawLabel::Text(text) = label {
            self.digits.insert(Arc::clone(text));
        }
        self.numbers.extend(label.number());
    }
}

/// The single labels that a label is made of. With several labels per input a text is a list, its parts
/// between `;` or `|`.
fn parts(label: &RawLabel, several: bool) -> Vec<RawLabel> {
    match label {
        RawLabel::Several(labels) => labels.clone(),
        RawLabel::Text(text) if several => text
            .split([';', '|'])
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| RawLabel::Text(part.into()))
            .collect(),
        RawLabel::Number(_) | RawLabel::Text(_) => vec![label.clone()],
        RawLabel::Absent | RawLabel::Row { .. } => vec![],
    }
}

/// How the names and numbers of all sets are read.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    outputs: Outputs<'a>,
    /// The outputs that each name means, by what names are compared by.
    by_name: HashMap<String, Vec<usize>>,
    /// The classes of names that the outputs do not have.
    names: BTreeMap<Arc<str>, usize>,
    /// Whether digits are names of outputs.
    digits_are_names: bool,
    pub(super) how: String,
}

impl<'a> Reading<'a> {
    pub(super) fn choose(outputs: &Outputs<'a>, words: &Words) -> Result<Self, DataError> {
        let mut reading = Self {
            outputs: *outputs,
            by_name: names_of(outputs.real_names()),
            names: BTreeMap::new(),
            digits_are_names: false,
            how: String::new(),
        };
        let mut how = vec![];
        if !words.names.is_empty() {
            how.push(reading.read_names(words)?);
        }
        if !words.numbers.is_empty() {
            how.push(reading.read_numbers(words));
        }
        if how.is_empty() {
            how.push("there are no labels to read".to_owned());
        }
        reading.how = how.join("; ");
        Ok(reading)
    }

    /// Decides on the classes of names, and says how.
    fn read_names(&mut self, words: &Words) -> Result<String, DataError> {
        let count = self.outputs.count;
        let wnid = |name: &str| imagenet::class_of(name).filter(|_| count == imagenet::CLASSES);
        let of_output = |name: &&Arc<str>| self.by_name.contains_key(&plain(name));
        let unknown: Vec<&Arc<str>> = words.names.iter().filter(|name| !of_output(name)).collect();
        if unknown.is_empty() {
            return Ok("names are those of the network's outputs".to_owned());
        }
        let wnids: Option<Vec<usize>> = unknown.iter().map(|name| wnid(name)).collect();
        if let Some(classes) = wnids {
            let named = unknown.into_iter().cloned().zip(classes);
            self.names = named.collect();
            return Ok("WordNet ids are ILSVRC's classes in their order".to_owned());
        }
        // Some are names of outputs and others are not: those are mistakes, and refused one by one.
        if unknown.len() < words.names.len() {
            return Ok("names are those of the network's outputs".to_owned());
        }
        if self.outputs.real_names().is_empty()
            && let Some(classes) = of_glue(words, count)?
        {
            let of = |name: &&Arc<str>| {
                let at = classes.iter().position(|class| plain(class) == plain(name));
                at.map(|at| (Arc::clone(name), at))
            };
            self.names = unknown.iter().filter_map(of).collect();
            let classes = classes.join(", ");
            return Ok(format!("names are GLUE's classes in its order: {classes}"));
        }
        let in_order = words.names.len() == count && words.numbers.is_empty();
        if in_order && !self.outputs.several {
            self.names = words.names.iter().cloned().zip(0..).collect();
            let why = match self.outputs.real_names().is_empty() {
                true => "the network's outputs have no names",
                false => "none of them is the name of an output",
            };
            return Ok(format!(
                "names are classes in alphabetical order, because there are as many as outputs and {why}"
            ));
        }
        Ok("names are those of the network's outputs".to_owned())
    }

    /// Decides what digits and numbers are, and says how.
    fn read_numbers(&mut self, words: &Words) -> String {
        let named = |digits: &Arc<str>| self.by_name.contains_key(&plain(digits));
        self.digits_are_names = !words.digits.is_empty() && words.digits.iter().all(named);
        let matched = words.number_names.iter().find_map(|names| {
            let matched = self.match_names(names);
            matched
                .iter()
                .any(Option::is_some)
                .then_some((names, matched))
        });
        let offset = match self.outputs.offset {
            0 => String::new(),
            offset => format!(
                " {} {}",
                if offset < 0 { "less" } else { "plus" },
                offset.abs()
            ),
        };
        if let Some((names, matched)) = matched {
            let moved =
                |(at, class): (usize, &Option<usize>)| class.is_some_and(|class| class != at);
            if matched.iter().enumerate().any(moved) {
                let name = |(at, (name, class)): (usize, (&String, Option<usize>))| {
                    class.map(|class| format!("{at} {name} = output {class}"))
                };
                let moves = names.iter().zip(matched).enumerate().filter_map(name);
                let moves: Vec<String> = moves.take(SHOWN).collect();
                return format!(
                    "numbers are read by name, in another order than outputs: {}",
                    moves.join(", ")
                );
            }
            return format!(
                "numbers are numbers of outputs, and their names agree ({})",
                shown(names)
            );
        }
        if self.digits_are_names {
            return "digits are names of the network's outputs".to_owned();
        }
        match words.number_names.first() {
            Some(names) if !self.outputs.real_names().is_empty() => format!(
                "numbers are numbers of outputs{offset}: the sets call them {}, the network {}",
                shown(names),
                shown(self.outputs.real_names())
            ),
            _ => format!("numbers are numbers of outputs{offset}"),
        }
    }

    /// The output of each name, if it is the name of exactly one.
    fn match_names(&self, names: &[String]) -> Vec<Option<usize>> {
        let output = |name: &String| match self.by_name.get(&plain(name)).map(|found| &found[..]) {
            Some(&[only]) => Some(only),
            _ => None,
        };
        names.iter().map(output).collect()
    }

    /// The class of a label where one label applies, or why it has none.
    pub(super) fn one(&self, label: &RawLabel, numbers: NumberNames<'_>) -> Result<usize, String> {
        match label {
            RawLabel::Text(text) => self.text(text, numbers),
            RawLabel::Number(number) => self.number(*number, numbers),
            RawLabel::Several(labels) => match &labels[..] {
                [only] => self.one(only, numbers),
                labels => Err(format!("{} labels for one input", labels.len())),
            },
            RawLabel::Row { width, ones } => match ones[..] {
                [one] if *width == self.outputs.count => Ok(one),
                [_] => Err(format!("{width} columns")),
                _ => Err(format!("{} ones in a row", ones.len())),
            },
            RawLabel::Absent => Err(String::new()),
        }
    }

    /// The sum of 2^class over the labels of an input, or why there is none.
    pub(super) fn several(
        &self,
        label: &RawLabel,
        numbers: NumberNames<'_>,
    ) -> Result<usize, String> {
        let classes: Vec<usize> = match label {
            RawLabel::Row { width, ones } if *width == self.outputs.count => ones.clone(),
            RawLabel::Row { width, .. } => return Err(format!("{width} columns")),
            RawLabel::Number(_) => {
                return Err(
                    "one number where a list or a row of zeros and ones tells which".to_owned(),
                );
            }
            label => parts(label, true)
                .iter()
                .map(|part| self.one(part, numbers))
                .collect::<Result<_, _>>()?,
        };
        // Every class is below 63.
        Ok(classes.into_iter().fold(0, |sum, class| sum | 1 << class))
    }

    fn text(&self, text: &Arc<str>, numbers: NumberNames<'_>) -> Result<usize, String> {
        let number = RawLabel::Text(Arc::clone(text)).number();
        match number {
            Some(number) if !self.digits_are_names => return self.number(number, numbers),
            _ => {}
        }
        if let Some(&class) = self.names.get(text) {
            return Ok(class);
        }
        match self.by_name.get(&plain(text)).map(|found| &found[..]) {
            Some(&[class]) => Ok(class),
            Some(several) => Err(format!("the name of outputs {several:?}")),
            None => Err(String::new()),
        }
    }

    fn number(&self, number: u64, numbers: NumberNames<'_>) -> Result<usize, String> {
        let own = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(names) = numbers
            && let Some(class) = self.named_number(names, own)?
        {
            return Ok(class);
        }
        let moved = i64::try_from(number).ok();
        let moved = moved.and_then(|number| number.checked_add(self.outputs.offset));
        moved
            .and_then(|number| usize::try_from(number).ok())
            .filter(|&class| class < self.outputs.count)
            .ok_or_else(String::new)
    }

    /// The output that has the name of a number; none when no number has the name of an output.
    fn named_number(&self, names: &[String], number: usize) -> Result<Option<usize>, String> {
        let matched = self.match_names(names);
        if matched.iter().all(Option::is_none) {
            return Ok(None);
        }
        if let Some(&Some(class)) = matched.get(number) {
            return Ok(Some(class));
        }
        // The others have names of outputs. Where those agree with their numbers, so may this one.
        let agree = matched
            .iter()
            .enumerate()
            .all(|(at, class)| class.is_none_or(|class| class == at));
        match names.get(number) {
            _ if agree => Ok(None),
            Some(name) => Err(format!(
                "called {}, which is no output's name",
                shorten(name)
            )),
            None => Err("a number that its set has no name for".to_owned()),
        }
    }

    /// Counts the examples of a label among the rows of the table.
    pub(super) fn count(
        &self,
        label: &RawLabel,
        numbers: NumberNames<'_>,
        examples: usize,
        rows: &mut BTreeMap<String, TableRow>,
    ) {
        let singles: Vec<(String, usize)> = match label {
            RawLabel::Row { ones, .. } => ones
                .iter()
                .map(|&one| (format!("column {one}"), one))
                .collect(),
            label => parts(label, self.outputs.several)
                .iter()
                .filter_map(|part| Some((word(part), self.one(part, numbers).ok()?)))
                .collect(),
        };
        for (label, class) in singles {
            let row = rows.entry(label.clone()).or_insert_with(|| TableRow {
                label,
                class,
                name: self.outputs.names.get(class).cloned(),
                examples: 0,
            });
            row.examples += examples;
        }
    }

    pub(super) fn refusal(&self, mut refused: Vec<String>, words: &Words) -> DataError {
        let count = self.outputs.count;
        let named = match self.outputs.names {
            [] => String::new(),
            names => format!("one of {}, or ", shown(names)),
        };
        let kind = match self.outputs.several {
            true => "lists of classes or rows of zeros and ones, each ",
            false => "",
        };
        let mut hints = vec![];
        if let (Some(&least), Some(&most)) = (words.numbers.first(), words.numbers.last()) {
            let shift = most.saturating_sub(count as u64 - 1);
            let several = least < most;
            if several && most >= count as u64 && least >= shift && self.outputs.offset == 0 {
                hints.push(format!(
                    "the numbers run from {least} to {most}: {shift} less would fit, and is not assumed"
                ));
            }
        }
        if words.names.len() > 1 && words.names.len() != count && words.numbers.is_empty() {
            hints.push(format!(
                "all sets together have {} names",
                words.names.len()
            ));
        }
        if !words.names.is_empty() && !words.numbers.is_empty() && self.by_name.is_empty() {
            hints.push("some sets name classes and others number them".to_owned());
        }
        let others = refused.len().saturating_sub(SHOWN);
        refused.truncate(SHOWN);
        DataError::Set(SetError::Classes {
            expected: format!("{kind}{named}a class below {count}"),
            got: refused,
            others,
            hint: hints.join("; "),
        })
    }
}

/// GLUE's classes that hold all names; refused when tasks with so many classes have them in different
/// orders.
fn of_glue(words: &Words, count: usize) -> Result<Option<&'static [&'static str]>, DataError> {
    let has =
        |classes: &[&str], name: &str| classes.iter().any(|class| plain(class) == plain(name));
    let given = words.known.iter().find_map(|names| {
        Task::ALL.into_iter().find(|task| {
            let classes = task.info().classes;
            names.len() == classes.len() && names.iter().zip(classes).all(|(a, b)| a == b)
        })
    });
    let fits = |task: &Task| {
        let classes = task.info().classes;
        classes.len() == count && words.names.iter().all(|name| has(classes, name))
    };
    let of_given =
        |task: &Task| given.is_none_or(|given| given.info().classes == task.info().classes);
    let mut tasks = Task::ALL.into_iter().filter(of_given).filter(fits);
    let Some(first) = tasks.next() else {
        return Ok(None);
    };
    let classes = first.info().classes;
    match tasks.find(|task| task.info().classes != classes) {
        None => Ok(Some(classes)),
        Some(other) => Err(DataError::Set(SetError::Contradiction {
            label: shorten(classes[0]),
            first: format!("class 0 in GLUE's {first}"),
            second: format!("another one in {other}: say which task this is"),
        })),
    }
}

/// The outputs of each name, and of each part of a name with commas.
fn names_of(names: &[String]) -> HashMap<String, Vec<usize>> {
    let mut whole: HashMap<String, Vec<usize>> = HashMap::new();
    for (class, name) in names.iter().enumerate() {
        whole.entry(plain(name)).or_default().push(class);
    }
    let mut parts: HashMap<String, Vec<usize>> = HashMap::new();
    for (class, name) in names
        .iter()
        .enumerate()
        .filter(|(_, name)| name.contains(','))
    {
        for part in name.split(',').map(plain) {
            let outputs = parts.entry(part).or_default();
            if outputs.last() != Some(&class) {
                outputs.push(class);
            }
        }
    }
    // A whole name wins over a part of another one.
    for (part, outputs) in parts {
        whole.entry(part).or_insert(outputs);
    }
    whole
}

/// What names are compared by: their letters without case, and one space between words.
fn plain(name: &str) -> String {
    let spaced = name.to_lowercase().replace(['-', '_'], " ");
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A label as it stands in the table, without quotes.
fn word(label: &RawLabel) -> String {
    match label {
        RawLabel::Text(text) => text.to_string(),
        other => other.to_string(),
    }
}

/// The first names of a list.
fn shown(names: &[String]) -> String {
    match names.len() {
        0..=SHOWN => names.join(", "),
        count => format!("{} and {} more", names[..SHOWN].join(", "), count - SHOWN),
    }
}
