//! Tab-separated sentences and sentence pairs.
//!
//! The first line names the columns as one of GLUE's tasks does, e.g. `sentence` and `label`, or
//! `sentence1`, `sentence2` and `label`. A tab ends a cell, whatever stands between: quotes are letters.

use std::path::Path;

use super::{Intake, LabelledSet, Reader, identities, io_error, rows, wrong};
use crate::DataError;
use crate::error::shorten;
use crate::glue::Task;
use crate::glue::tsv::{UTF_8, decoded};
use crate::text::{Target, TextDataset, TextExample};

/// Lines after the header, as tokens.
pub(super) fn read(reader: &Reader<'_>, path: &Path) -> Result<LabelledSet, DataError> {
    let Intake::Tokens(tokenizer) = reader.intake else {
        let expected = "pictures in a folder or an IDX file, or numbers in a safetensors file";
        return Err(wrong(
            path,
            "examples for a network of numbers",
            expected,
            "a table of text",
        ));
    };
    let bytes = std::fs::read(path).map_err(|source| io_error(path, source))?;
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    let mut lines = text
        .strip_suffix(b"\n")
        .unwrap_or(text)
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .zip(1..);
    let header = lines.next().map_or(&[][..], |(line, _)| line);
    let header = String::from_utf8_lossy(header);
    let table = Table::new(reader, path, header.split('\t').collect())?;

    let lines: Vec<(&[u8], usize)> = lines.collect();
    let chosen = reader.chosen(lines.len());
    let example = |(&(line, number), id)| table.example(line, number, id);
    let examples = rows(&lines, 1, &chosen)
        .zip(identities(path, &chosen)?)
        .map(example);
    let texts = TextDataset::new(
        examples.collect::<Result<_, _>>()?,
        (0..reader.classes).map(|class| class.to_string()).collect(),
    )?;
    Ok(LabelledSet {
        dataset: texts.encode(tokenizer)?,
        names: rows(&lines, 1, &chosen)
            .map(|(_, number)| format!("{}:{number}", path.display()))
            .collect(),
        available: lines.len(),
    })
}

/// Where the columns are.
struct Table<'a> {
    reader: &'a Reader<'a>,
    path: &'a Path,
    columns: Vec<&'a str>,
    first: usize,
    second: Option<usize>,
    label: usize,
}

impl<'a> Table<'a> {
    /// The columns of the first task whose names the header has. Tasks on pairs come first: a pair's
    /// table may have the column of a single sentence too.
    fn new(
        reader: &'a Reader<'a>,
        path: &'a Path,
        columns: Vec<&'a str>,
    ) -> Result<Self, DataError> {
        let find = |names: &[&str]| columns.iter().position(|column| names.contains(column));
        let classified = || {
            Task::ALL
                .map(Task::info)
                .into_iter()
                .filter(|task| !task.classes.is_empty())
        };
        let pairs = classified().find_map(|task| {
            let second = find(task.second?.tsv)?;
            Some((find(task.first.tsv)?, Some(second), find(task.target.tsv)?))
        });
        let singles = || {
            classified()
                .filter(|task| task.second.is_none())
                .find_map(|task| Some((find(task.first.tsv)?, None, find(task.target.tsv)?)))
        };
        let Some((first, second, label)) = pairs.or_else(singles) else {
            return Err(DataError::TableColumns {
                path: path.to_owned(),
                expected: "sentence and label, or those of another task of GLUE".to_owned(),
                got: shorten(&columns.join(", ")),
            });
        };
        Ok(Self {
            reader,
            path,
            columns,
            first,
            second,
            label,
        })
    }

    fn example(
        &self,
        line: &[u8],
        number: usize,
        id: crate::ExampleId,
    ) -> Result<TextExample, DataError> {
        let line = decoded(line)
            .map_err(|(column, got)| self.wrong(number, column, UTF_8.to_owned(), got))?;
        let cells: Vec<&str> = line.split('\t').collect();
        if cells.len() != self.columns.len() {
            return Err(DataError::TableWidth {
                path: self.path.to_owned(),
                line: number,
                expected: self.columns.len(),
                got: cells.len(),
            });
        }
        let class = self.reader.class(cells[self.label]).ok_or_else(|| {
            let expected = self.reader.expected_class();
            self.wrong(number, self.label, expected, shorten(cells[self.label]))
        })?;
        Ok(TextExample {
            first: cells[self.first].to_owned(),
            second: self.second.map(|column| cells[column].to_owned()),
            target: Target::Class(class),
            id,
        })
    }

    fn wrong(&self, number: usize, column: usize, expected: String, got: String) -> DataError {
        let name = self.columns.get(column);
        DataError::TableCell {
            path: self.path.to_owned(),
            unit: "line",
            number,
            column: name.map_or_else(|| (column + 1).to_string(), |&name| name.to_owned()),
            expected,
            got,
        }
    }
}
