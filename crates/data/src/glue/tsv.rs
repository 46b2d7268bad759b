//! Tab-separated files of the original distribution.
//!
//! A line is a row and a tab ends a cell, whatever stands between: quotes are letters. The first line
//! names the columns, except in CoLA's training and development files, whose four columns are source,
//! label, the author's mark and sentence. Lines may end in CR LF, and the file may begin with a byte
//! order mark. A test file lacks the column of the target, which is not published.

use std::path::Path;

use super::{Column, Row, Rows, Split, Task};
use crate::error::shorten;
use crate::text::Target;
use crate::{DataError, file};

/// Columns of a CoLA file without a header, by position.
const COLA: [&str; 4] = ["source", "label", "mark", "sentence"];

/// The rows of a file; the outer error concerns the whole file.
pub(super) fn read(path: &Path, task: Task, split: Split) -> Result<Rows, DataError> {
    let bytes = file::read(path, file::MAX_IN_MEMORY)?;
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    let mut lines = text
        .strip_suffix(b"\n")
        .unwrap_or(text)
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .zip(1..)
        .peekable();

    let first_line = lines.peek().map_or(&[][..], |(line, _)| line);
    let header = String::from_utf8_lossy(first_line);
    let mut columns: Vec<&str> = header.split('\t').collect();
    if task == Task::Cola && !columns.contains(&task.info().first.hub) {
        columns = COLA.to_vec();
    } else {
        lines.next();
    }
    let table = Table::new(path, task, split, &columns)?;
    Ok(lines
        .map(|(line, number)| table.row(line, number))
        .collect())
}

/// Where the columns of a task are.
struct Table<'a> {
    path: &'a Path,
    task: Task,
    columns: &'a [&'a str],
    first: usize,
    second: Option<usize>,
    target: Option<usize>,
}

impl<'a> Table<'a> {
    fn new(
        path: &'a Path,
        task: Task,
        split: Split,
        columns: &'a [&'a str],
    ) -> Result<Self, DataError> {
        let info = task.info();
        let published = !matches!(split, Split::Test | Split::TestMismatched);
        let find = |column: Column| columns.iter().position(|name| column.tsv.contains(name));
        let required = |column: Column| {
            find(column).ok_or_else(|| DataError::TableColumns {
                path: path.to_owned(),
                expected: column.tsv.join(" or "),
                got: shorten(&columns.join(", ")),
            })
        };
        Ok(Self {
            path,
            task,
            columns,
            first: required(info.first)?,
            second: info.second.map(required).transpose()?,
            target: if published {
                Some(required(info.target)?)
            } else {
                find(info.target)
            },
        })
    }

    fn row(&self, line: &[u8], number: usize) -> Result<Row, DataError> {
        let line = decoded(line)
            .map_err(|(column, got)| self.wrong(number, column, (UTF_8.to_owned(), got)))?;
        let cells: Vec<&str> = line.split('\t').collect();
        if cells.len() != self.columns.len() {
            return Err(DataError::TableWidth {
                path: self.path.to_owned(),
                line: number,
                expected: self.columns.len(),
                got: cells.len(),
            });
        }
        let target = |column: usize| {
            self.task
                .parse_target(cells[column])
                .map_err(|mismatch| self.wrong(number, column, mismatch))
        };
        Ok(Row {
            first: cells[self.first].to_owned(),
            second: self.second.map(|column| cells[column].to_owned()),
            target: self.target.map_or(Ok(Target::Unknown), target)?,
        })
    }

    fn wrong(&self, line: usize, column: usize, (expected, got): (String, String)) -> DataError {
        DataError::TableCell {
            path: self.path.to_owned(),
            unit: "line",
            number: line,
            column: self
                .columns
                .get(column)
                .map_or_else(|| (column + 1).to_string(), |&name| name.to_owned()),
            expected,
            got,
        }
    }
}

/// What a line of a table must be.
pub(crate) const UTF_8: &str = "text in UTF-8";

/// A line of a tab-separated table as text; else the column of its first wrong byte, and the byte.
pub(crate) fn decoded(line: &[u8]) -> Result<&str, (usize, String)> {
    std::str::from_utf8(line).map_err(|error| {
        let (before, rest) = line.split_at(error.valid_up_to());
        let column = before.iter().filter(|&&byte| byte == b'\t').count();
        let byte = rest.first().copied().unwrap_or_default();
        (column, format!("byte {byte:#04x}"))
    })
}
