//! Tables of numbers: the features of an example on each line, and its label.

use std::path::{Path, PathBuf};

use super::columns::{LABEL_NAMES, position, usual};
use super::names::Naming;
use super::open::{Inputs, Most, Opened, Source, Unreadable};
use super::raw::RawLabel;
use super::rows::{Broken, Rows};
use super::{Intake, Options, PassedOver, Unlabelled, beside, no_texts};
use crate::DataError;
use crate::error::{shorten, wrong};

/// Opens a table whose lines have `features` numbers and, if any, a label.
///
/// The first line is a header when most of its cells are no numbers, or when one is a chosen or a usual
/// name of labels. Labels are in a chosen column, in one with a usual name, or in the only one that is no
/// number.
pub(super) fn open(
    intake: &Intake,
    path: &Path,
    separator: u8,
    options: &Options,
) -> Result<Opened, DataError> {
    let features = match intake {
        Intake::Vector { features } => *features,
        Intake::Images(_) => {
            let expected =
                "a folder of pictures, or FOLDER,TABLE where the table names their labels";
            return Err(wrong(path, "pictures", expected, "a table"));
        }
        Intake::Tokens(_) => return Err(no_texts(path, "a table of numbers")),
    };
    let rows = Rows::read_table(path, separator)?;
    let table = Table::new(path, rows, features, options)?;
    let mut unreadable = Unreadable::default();
    let mut notes = table.notes();
    let labels = match &options.labels {
        Some(file) => beside::given(file, path, table.len(), &mut notes, &mut unreadable)?,
        None => (0..table.len())
            .map(|row| unreadable.label(row, table.label(row)))
            .collect(),
    };
    let mut passed_over = PassedOver::default();
    for line in &table.rows.empty {
        passed_over.add("empty lines", || format!("{}:{line}", path.display()));
    }
    Ok(Opened {
        format: "table of numbers",
        naming: Naming::lines(path, table.rows.lines(table.first)),
        labels,
        passed_over,
        notes,
        unreadable,
        task: None,
        source: Box::new(table),
    })
}

/// What a table lacks that has one column too many.
const UNSAID: &str = "a column called label, or a choice such as label=#1: nothing says which of them is \
                      no feature";

/// Whether a first line is a header, and which of its cells are no numbers.
fn header(cells: &[String], chosen: &[String]) -> (bool, Vec<usize>) {
    let filled = |&at: &usize| !cells[at].trim().is_empty();
    let filled: Vec<usize> = (0..cells.len()).filter(filled).collect();
    let word = |at: &usize| cells[*at].trim().parse::<f64>().is_err();
    let words: Vec<usize> = filled.iter().copied().filter(word).collect();
    let named = chosen.iter().any(|name| cells.contains(name));
    let mostly_words = 2 * words.len() > filled.len();
    let header = named || mostly_words || usual(cells, &LABEL_NAMES).is_some();
    (header, words)
}

/// The lines of a table, and where labels and features are.
#[derive(Debug)]
struct Table {
    path: PathBuf,
    rows: Rows,
    /// 1 when there is a header.
    first: usize,
    /// The header, or numbers of columns.
    columns: Vec<String>,
    /// The columns of labels; several hold zeros and ones.
    labels: Vec<usize>,
    features: usize,
}

impl Table {
    fn new(path: &Path, rows: Rows, features: usize, options: &Options) -> Result<Self, DataError> {
        let cells = match rows.is_empty() {
            true => vec![],
            false => rows
                .cells(0)
                .map_err(|broken| cell(path, rows.line(0), "1", broken))?,
        };
        let chosen = match &options.columns {
            Some(columns) => &columns.label[..],
            None => &[],
        };
        let (header, words) = header(&cells, chosen);
        let columns: Vec<String> = match header {
            true => cells.iter().map(|cell| cell.trim().to_owned()).collect(),
            false => (1..=cells.len())
                .map(|number| format!("#{number}"))
                .collect(),
        };
        let refuse = |expected: String| DataError::TableColumns {
            path: path.to_owned(),
            expected,
            got: format!("{}: {}", columns.len(), shorten(&columns.join(", "))),
        };
        let labels: Vec<usize> = match (&options.labels, usual(&columns, &LABEL_NAMES)) {
            (Some(_), _) => vec![],
            (None, _) if !chosen.is_empty() => {
                let named = |name: &String| format!("one called {name}");
                let find =
                    |name: &String| position(&columns, name).ok_or_else(|| refuse(named(name)));
                chosen.iter().map(find).collect::<Result<_, _>>()?
            }
            (None, Some(at)) => vec![at],
            (None, None) if !header && words.len() == 1 => words,
            (None, None) => vec![],
        };
        let unlabelled = labels.is_empty() && options.labels.is_none();
        if unlabelled && columns.len() == features + 1 {
            return Err(refuse(UNSAID.to_owned()));
        }
        let fits = columns.len() == features + labels.len() || rows.is_empty();
        if !fits || (unlabelled && options.unlabelled != Unlabelled::Keep) {
            return Err(refuse(format!("{features} of numbers and one of labels")));
        }
        Ok(Self {
            path: path.to_owned(),
            first: usize::from(header),
            rows,
            columns,
            labels,
            features,
        })
    }

    fn len(&self) -> usize {
        self.rows.len().saturating_sub(self.first)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec!["numbers are taken as the network takes them".to_owned()];
        notes.push(match self.first {
            0 => "the first line is an example: there is no header".to_owned(),
            _ => "the first line names the columns".to_owned(),
        });
        if !self.labels.is_empty() {
            let names: Vec<&str> = self
                .labels
                .iter()
                .map(|&at| &self.columns[at][..])
                .collect();
            notes.push(format!("labels: column {}", names.join(", ")));
        }
        notes
    }

    /// The cells of an example, as many as there are columns.
    fn cells(&self, row: usize) -> Result<Vec<String>, DataError> {
        let row = row + self.first;
        let line = self.rows.line(row);
        let cells = self.rows.cells(row).map_err(|broken| {
            let name = self.columns.get(broken.column).map_or("?", |name| name);
            cell(&self.path, line, name, broken)
        })?;
        if cells.len() != self.columns.len() {
            return Err(DataError::TableWidth {
                path: self.path.clone(),
                line,
                expected: self.columns.len(),
                got: cells.len(),
            });
        }
        Ok(cells)
    }

    fn label(&self, row: usize) -> Result<RawLabel, DataError> {
        let cells = self.cells(row)?;
        match self.labels[..] {
            [] => Ok(RawLabel::Absent),
            [at] => Ok(RawLabel::of_text(&cells[at])),
            _ => {
                let of = |&at: &usize| (&self.columns[at][..], &cells[at][..]);
                several(self.labels.iter().map(of)).map_err(|(column, got)| {
                    let broken = Broken {
                        column: 0,
                        expected: "0 or 1",
                        got,
                    };
                    cell(
                        &self.path,
                        self.rows.line(row + self.first),
                        &column,
                        broken,
                    )
                })
            }
        }
    }

    fn numbers(&self, row: usize, values: &mut Vec<f32>) -> Result<(), DataError> {
        let cells = self.cells(row)?;
        for (at, text) in cells.iter().enumerate() {
            if self.labels.contains(&at) {
                continue;
            }
            let value = text
                .trim()
                .parse()
                .ok()
                .filter(|value: &f32| value.is_finite());
            values.push(value.ok_or_else(|| {
                let broken = Broken {
                    column: at,
                    expected: "a number",
                    got: shorten(text),
                };
                cell(
                    &self.path,
                    self.rows.line(row + self.first),
                    &self.columns[at],
                    broken,
                )
            })?);
        }
        Ok(())
    }
}

impl Source for Table {
    fn read(&self, positions: &[usize], _: &Intake, _: Most) -> Result<Inputs, DataError> {
        let mut inputs = Inputs {
            shape: vec![self.features],
            values: Vec::with_capacity(positions.len() * self.features),
            unreadable: vec![],
        };
        for (at, &row) in positions.iter().enumerate() {
            let before = inputs.values.len();
            if let Err(cause) = self.numbers(row, &mut inputs.values) {
                inputs.values.truncate(before);
                inputs.unreadable.push((at, cause));
            }
        }
        Ok(inputs)
    }

    fn input_len(&self, _: &Intake) -> Option<usize> {
        Some(self.features)
    }
}

/// The label of columns of zeros and ones: the names of those that hold a one; else the column with
/// something else, and that. A row whose cells are all empty or all -1 has no label.
pub(super) fn several<'a>(
    cells: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Result<RawLabel, (String, String)> {
    let absent = |(_, cell): (&str, &str)| matches!(RawLabel::of_text(cell), RawLabel::Absent);
    if cells.clone().all(absent) {
        return Ok(RawLabel::Absent);
    }
    let mut labels = vec![];
    for (column, cell) in cells {
        match cell.trim() {
            "0" | "0.0" | "false" | "False" => {}
            "1" | "1.0" | "true" | "True" => labels.push(RawLabel::Text(column.into())),
            other => return Err((column.to_owned(), shorten(other))),
        }
    }
    labels.sort_unstable();
    Ok(RawLabel::Several(labels))
}

/// A cell of a table that does not hold what it should.
pub(super) fn cell(path: &Path, line: usize, column: &str, broken: Broken) -> DataError {
    DataError::TableCell {
        path: path.to_owned(),
        unit: "line",
        number: line,
        column: column.to_owned(),
        expected: broken.expected.to_owned(),
        got: broken.got,
    }
}
