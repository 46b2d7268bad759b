//! Sentences and sentence pairs in tables and in lines of JSON.
//!
//! | file | a row |
//! |---|---|
//! | `.tsv` | a line; a tab ends a cell and quotes are letters, as in GLUE's files |
//! | `.csv` | cells between commas, quoted where they hold one (RFC 4180) |
//! | `.jsonl` | an object on a line |
//!
//! The columns are the chosen ones; else those of a pair, else of a single sentence, by the names that
//! GLUE's files and the hub's have. CoLA's files have four columns and no header.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::columns::{LABEL_NAMES, position, usual};
use super::names::Naming;
use super::numbers::{cell, several};
use super::open::{Inputs, Most, Opened, Source, Unreadable};
use super::raw::{RawLabel, RawLabels};
use super::rows::{Broken, Rows};
use super::{Columns, Intake, Options, PassedOver, beside, no_numbers};
use crate::DataError;
use crate::error::{shorten, wrong};
use crate::glue::Task;
use crate::text::Tokenizer;

/// Texts that are tokenized at a time.
const AT_A_TIME: usize = 4096;

/// The most bytes of a sentence or a pair: a network takes a few hundred words.
const MAX_TEXT: usize = 1 << 20;

/// Keys of objects in JSON that are told apart.
const MAX_KEYS: usize = 1000;

/// Columns of a CoLA file without a header, by position (Warstadt et al. 2019).
const COLA: [&str; 4] = ["source", "label", "mark", "sentence"];

/// Columns of pairs besides those of GLUE's tasks.
const PAIRS: [(&str, &str); 5] = [
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("text", "text_pair"),
    ("text1", "text2"),
    ("question1", "question2"),
];
/// Columns of single sentences besides those of GLUE's tasks.
const SINGLES: [&str; 3] = ["sentence", "text", "content"];

/// What a table of texts has to have, for errors.
const EXPECTED: &str = "sentence or text, or a pair such as sentence1 and sentence2 or premise and hypothesis, or a choice \
     of columns";

/// Opens a table with this byte between its cells.
pub(super) fn table(path: &Path, separator: u8, options: &Options) -> Result<Opened, DataError> {
    let rows = Rows::read_table(path, separator)?;
    let header = match rows.is_empty() {
        true => vec![],
        false => rows
            .cells(0)
            .map_err(|broken| cell(path, rows.line(0), &(broken.column + 1).to_string(), broken))?,
    };
    let chosen = options.columns.clone().unwrap_or_default();
    let numbered = [&chosen.text, &chosen.text_pair]
        .into_iter()
        .flatten()
        .chain(&chosen.label)
        .any(|name| name.starts_with('#') && !header.contains(name));
    let cola = is_cola(separator, &header) && chosen == Columns::default();
    let columns: Vec<String> = if cola {
        COLA.map(str::to_owned).to_vec()
    } else if numbered {
        (1..=header.len())
            .map(|number| format!("#{number}"))
            .collect()
    } else {
        header
    };
    let roles = Roles::find(&columns, &chosen).map_err(|expected| DataError::TableColumns {
        path: path.to_owned(),
        expected,
        got: shorten(&columns.join(", ")),
    })?;
    let mut notes = roles.notes(&columns);
    let task = match cola {
        true => {
            notes.push("four columns without a header: those of CoLA".to_owned());
            Some(Task::Cola)
        }
        false => task(path, &columns),
    };
    let table = Texts {
        path: path.to_owned(),
        first: usize::from(!cola && !numbered),
        kind: Kind::Cells,
        rows,
        columns,
        roles,
    };
    table.opened("table of texts", notes, options, task)
}

/// Opens lines of JSON; the keys of all objects are the columns.
pub(super) fn json_lines(path: &Path, options: &Options) -> Result<Opened, DataError> {
    let rows = Rows::read_lines(path)?;
    let mut columns: Vec<String> = vec![];
    // A label may stand in a later line only.
    for object in (0..rows.len()).filter_map(|row| object(rows.bytes(row)).ok()) {
        for key in object.keys() {
            if columns.len() < MAX_KEYS && !columns.contains(key) {
                columns.push(key.clone());
            }
        }
    }
    let chosen = options.columns.clone().unwrap_or_default();
    let roles = Roles::find(&columns, &chosen).map_err(|expected| DataError::TableColumns {
        path: path.to_owned(),
        expected,
        got: shorten(&columns.join(", ")),
    })?;
    let notes = roles.notes(&columns);
    let task = task(path, &columns);
    let table = Texts {
        path: path.to_owned(),
        first: 0,
        kind: Kind::Objects,
        rows,
        columns,
        roles,
    };
    table.opened("lines of JSON", notes, options, task)
}

/// Whether a first line is one of CoLA's files: source, label, the author's mark, sentence.
fn is_cola(separator: u8, header: &[String]) -> bool {
    let [_, label, mark, _] = header else {
        return false;
    };
    separator == b'\t' && matches!(&label[..], "0" | "1") && matches!(&mark[..], "" | "*")
}

/// The task of GLUE whose folder a file lies in, if it has the task's columns.
pub(super) fn task(path: &Path, columns: &[String]) -> Option<Task> {
    let folders = path.parent()?;
    Task::ALL.into_iter().find(|task| {
        let info = task.info();
        let named = folders.iter().rev().take(2).any(|folder| {
            let folder = folder.to_string_lossy();
            [info.name, info.folder]
                .iter()
                .any(|name| folder.eq_ignore_ascii_case(name))
        });
        let has = |column: &crate::glue::Column| {
            let known = |name: &String| name == column.hub || column.tsv.contains(&&name[..]);
            columns.iter().any(known)
        };
        named && has(&info.first) && info.second.as_ref().is_none_or(has)
    })
}

/// Which columns hold what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Roles {
    pub(super) first: usize,
    pub(super) second: Option<usize>,
    pub(super) labels: Vec<usize>,
}

impl Roles {
    /// The chosen columns, and those with usual names; else what was expected.
    pub(super) fn find(columns: &[String], chosen: &Columns) -> Result<Self, String> {
        let named =
            |name: &String| position(columns, name).ok_or_else(|| format!("one called {name}"));
        let (first, second) = match (&chosen.text, &chosen.text_pair) {
            (Some(text), pair) => (named(text)?, pair.as_ref().map(named).transpose()?),
            (None, Some(_)) => return Err("text with text_pair in a choice of columns".to_owned()),
            (None, None) => Self::usual(columns).ok_or_else(|| EXPECTED.to_owned())?,
        };
        let labels: Vec<usize> = match &chosen.label[..] {
            [] => usual(columns, &LABEL_NAMES).into_iter().collect(),
            names => names.iter().map(named).collect::<Result<_, _>>()?,
        };
        Ok(Self {
            first,
            second,
            labels,
        })
    }

    /// Pairs come first: the table of a pair may have the column of a single sentence too.
    fn usual(columns: &[String]) -> Option<(usize, Option<usize>)> {
        let find = |names: &[&str]| usual(columns, names);
        let both = |column: &crate::glue::Column| find(column.tsv).or_else(|| find(&[column.hub]));
        let of_tasks = Task::ALL.map(Task::info).into_iter().find_map(|info| {
            let second = both(info.second.as_ref()?)?;
            Some((both(&info.first)?, Some(second)))
        });
        let of_pairs = || {
            PAIRS.iter().find_map(|(first, second)| {
                let second = find(&[second])?;
                Some((find(&[first])?, Some(second)))
            })
        };
        let of_singles = || find(&SINGLES).map(|first| (first, None));
        of_tasks.or_else(of_pairs).or_else(of_singles)
    }

    pub(super) fn notes(&self, columns: &[String]) -> Vec<String> {
        let name = |&at: &usize| columns[at].clone();
        let texts: Vec<String> = [self.first].iter().chain(&self.second).map(name).collect();
        let mut notes = vec![format!("texts: column {}", texts.join(" with "))];
        if !self.labels.is_empty() {
            let labels: Vec<String> = self.labels.iter().map(name).collect();
            notes.push(format!("labels: column {}", labels.join(", ")));
        }
        notes
    }
}

/// The rows of a file of texts.
#[derive(Debug)]
struct Texts {
    path: PathBuf,
    rows: Rows,
    /// 1 when there is a header.
    first: usize,
    kind: Kind,
    columns: Vec<String>,
    roles: Roles,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Cells,
    Objects,
}

/// A sentence or a pair.
pub(super) type Text = (String, Option<String>);

impl Texts {
    fn opened(
        self,
        format: &'static str,
        mut notes: Vec<String>,
        options: &Options,
        task: Option<Task>,
    ) -> Result<Opened, DataError> {
        let count = self.rows.len().saturating_sub(self.first);
        let mut unreadable = Unreadable::default();
        let label = |row| unreadable.label(row, self.row(row).map(|(_, label)| label));
        let mut labels: RawLabels = (0..count).map(label).collect();
        if let Some(file) = &options.labels {
            let mut bad = Unreadable::default();
            labels = beside::given(file, &self.path, count, &mut notes, &mut bad)?;
            unreadable.merge(bad);
        }
        let mut passed_over = PassedOver::default();
        for line in &self.rows.empty {
            passed_over.add("empty lines", || format!("{}:{line}", self.path.display()));
        }
        Ok(Opened {
            format,
            naming: Naming::lines(&self.path, self.rows.lines(self.first)),
            labels,
            passed_over,
            notes,
            unreadable,
            task,
            source: Box::new(self),
        })
    }

    fn row(&self, row: usize) -> Result<(Text, RawLabel), DataError> {
        match self.kind {
            Kind::Cells => self.cells(row + self.first),
            Kind::Objects => self.object(row),
        }
    }

    fn cells(&self, row: usize) -> Result<(Text, RawLabel), DataError> {
        let line = self.rows.line(row);
        let name = |at: usize| match self.columns.get(at) {
            Some(name) => name.clone(),
            None => (at + 1).to_string(),
        };
        let broken = |broken: Broken| cell(&self.path, line, &name(broken.column), broken);
        let mut cells = self.rows.cells(row).map_err(broken)?;
        if cells.len() != self.columns.len() {
            return Err(DataError::TableWidth {
                path: self.path.clone(),
                line,
                expected: self.columns.len(),
                got: cells.len(),
            });
        }
        let label = match self.roles.labels[..] {
            [] => RawLabel::Absent,
            // Annotators did not agree, as SNLI and MultiNLI write it.
            [at] if self.columns[at] == "gold_label" && cells[at] == "-" => RawLabel::Absent,
            [at] => RawLabel::of_text(&cells[at]),
            _ => {
                let of = |&at: &usize| (&self.columns[at][..], &cells[at][..]);
                several(self.roles.labels.iter().map(of)).map_err(|(column, got)| {
                    let broken = Broken {
                        column: 0,
                        expected: "0 or 1",
                        got,
                    };
                    cell(&self.path, line, &column, broken)
                })?
            }
        };
        let second = self.roles.second.map(|at| std::mem::take(&mut cells[at]));
        let first = std::mem::take(&mut cells[self.roles.first]);
        Ok(((first, second), label))
    }

    fn object(&self, row: usize) -> Result<(Text, RawLabel), DataError> {
        let line = self.rows.line(row);
        let broken = |column: &str, expected: &'static str, got: String| {
            let broken = Broken {
                column: 0,
                expected,
                got,
            };
            cell(&self.path, line, column, broken)
        };
        let mut object =
            object(self.rows.bytes(row)).map_err(|got| broken("1", "an object in JSON", got))?;
        let label = match self.roles.labels[..] {
            [] => RawLabel::Absent,
            [at] => {
                let value = object.get(&self.columns[at]).unwrap_or(&Value::Null);
                label_of(value).map_err(|expected| {
                    broken(&self.columns[at], expected, shorten(&value.to_string()))
                })?
            }
            _ => {
                let cells: Vec<(&str, String)> = self
                    .roles
                    .labels
                    .iter()
                    .map(|&at| (&self.columns[at][..], plain(object.get(&self.columns[at]))))
                    .collect();
                several(cells.iter().map(|(column, cell)| (*column, &cell[..])))
                    .map_err(|(column, got)| broken(&column, "0 or 1", got))?
            }
        };
        let mut text = |at: usize| match object.remove(&self.columns[at]) {
            Some(Value::String(text)) => Ok(text),
            other => {
                let got = other.map_or("nothing".to_owned(), |value| shorten(&value.to_string()));
                Err(broken(&self.columns[at], "a text", got))
            }
        };
        let first = text(self.roles.first)?;
        let second = self.roles.second.map(text).transpose()?;
        Ok(((first, second), label))
    }
}

fn object(line: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(shorten(&other.to_string())),
        Err(error) => Err(error.to_string()),
    }
}

/// A value as the text of a cell.
fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The label that a value in JSON states, or what was expected.
fn label_of(value: &Value) -> Result<RawLabel, &'static str> {
    const EXPECTED: &str = "a class by number or name, or a list of them";
    match value {
        Value::Null => Ok(RawLabel::Absent),
        Value::Bool(value) => Ok(RawLabel::Number(u64::from(*value))),
        Value::String(text) => Ok(RawLabel::of_text(text)),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => RawLabel::of_integer(number).ok_or(EXPECTED),
            (None, Some(number)) => RawLabel::of_float(number).ok_or(EXPECTED),
            (None, None) => Err(EXPECTED),
        },
        Value::Array(values) => {
            let one = |value: &Value| match label_of(value)? {
                label @ (RawLabel::Number(_) | RawLabel::Text(_)) => Ok(label),
                _ => Err(EXPECTED),
            };
            let mut labels = values.iter().map(one).collect::<Result<Vec<_>, _>>()?;
            labels.sort_unstable();
            labels.dedup();
            Ok(RawLabel::Several(labels))
        }
        Value::Object(_) => Err(EXPECTED),
    }
}

impl Source for Texts {
    fn read(&self, positions: &[usize], intake: &Intake, most: Most) -> Result<Inputs, DataError> {
        let texts = |rows: &[usize]| -> Vec<Result<Text, DataError>> {
            rows.iter()
                .map(|&row| self.row(row).map(|(text, _)| text))
                .collect()
        };
        tokenized(&self.path, positions, intake, most, |rows| Ok(texts(rows)))
    }

    fn input_len(&self, _: &Intake) -> Option<usize> {
        None
    }
}

/// Texts as token ids and masks `[2, tokens]`, padded to the longest; `texts` gives those of some rows.
pub(super) fn tokenized(
    path: &Path,
    positions: &[usize],
    intake: &Intake,
    most: Most,
    texts: impl Fn(&[usize]) -> Result<Vec<Result<Text, DataError>>, DataError>,
) -> Result<Inputs, DataError> {
    let Intake::Tokens(tokenizer) = intake else {
        return Err(no_numbers(path, "texts"));
    };
    let mut unreadable = vec![];
    let mut tokens: Vec<Vec<u32>> = vec![];
    let mut longest = 0;
    for (block, rows) in positions.chunks(AT_A_TIME).enumerate() {
        let mut good = vec![];
        for (at, text) in texts(rows)?.into_iter().enumerate() {
            match text {
                Ok(text) if length(&text) > MAX_TEXT => {
                    let row = rows[at] + 1;
                    let got = format!("{} in example {row}", length(&text));
                    let expected = format!("at most {MAX_TEXT}");
                    let cause = wrong(path, "bytes of a text", expected, got);
                    unreadable.push((block * AT_A_TIME + at, cause));
                }
                Ok(text) => good.push(text),
                Err(cause) => unreadable.push((block * AT_A_TIME + at, cause)),
            }
        }
        let before = tokens.len();
        ids(tokenizer, &good, &mut tokens)?;
        longest = tokens[before..]
            .iter()
            .map(Vec::len)
            .fold(longest, usize::max);
        most.check(path, 2 * longest)?;
    }
    let length = tokenizer.padded_length(longest);
    let mut values = Vec::with_capacity(2 * length * tokens.len());
    for ids in &tokens {
        let missing = length - ids.len();
        values.extend(ids.iter().map(|&id| id as f32));
        values.extend(std::iter::repeat_n(tokenizer.pad_id() as f32, missing));
        values.extend(std::iter::repeat_n(1.0, ids.len()));
        values.extend(std::iter::repeat_n(0.0, missing));
    }
    Ok(Inputs {
        shape: vec![2, length],
        values,
        unreadable,
    })
}

pub(super) fn length((first, second): &Text) -> usize {
    first.len() + second.as_ref().map_or(0, String::len)
}

/// Appends the ids of each text.
fn ids(tokenizer: &Tokenizer, texts: &[Text], tokens: &mut Vec<Vec<u32>>) -> Result<(), DataError> {
    let texts: Vec<(&str, Option<&str>)> = texts
        .iter()
        .map(|(first, second)| (&first[..], second.as_deref()))
        .collect();
    let batch = tokenizer.encode(&texts)?;
    for row in 0..batch.batch {
        let all = row * batch.length..(row + 1) * batch.length;
        let length = batch.mask[all.clone()]
            .iter()
            .filter(|&&mask| mask == 1)
            .count();
        tokens.push(batch.ids[all][..length].to_vec());
    }
    Ok(())
}
