//! The rows of a text file, found once and split when they are asked for.
//!
//! In tab-separated files a line is a row and a tab ends a cell, whatever stands between: quotes are
//! letters. In others quotes protect separators, line ends and doubled quotes (RFC 4180). A byte order
//! mark is skipped, lines may end in CR LF, and empty lines are counted and left out.

use std::path::Path;

use csv::{ByteRecord, ReaderBuilder, Terminator};

use super::{MAX_EXAMPLES, expect_few};
use crate::{DataError, file};

/// Rows of the largest set and its header; of more rows one more is looked for.
const MOST_ROWS: usize = MAX_EXAMPLES + 1;

/// A text file in memory, and where its rows are.
#[derive(Debug)]
pub(super) struct Rows {
    bytes: Vec<u8>,
    separator: Option<u8>,
    rows: Vec<Row>,
    /// The lines that are empty, from 1.
    pub(super) empty: Vec<u32>,
}

/// A row: its bytes without the line end, its line, from 1, and whether its quotes are closed.
#[derive(Clone, Copy, Debug)]
struct Row {
    start: usize,
    end: usize,
    line: u32,
    closed: bool,
}

/// What is wrong with a row: the column, what was expected and what was found.
#[derive(Debug, PartialEq)]
pub(super) struct Broken {
    pub(super) column: usize,
    pub(super) expected: &'static str,
    pub(super) got: String,
}

impl Rows {
    /// The rows of a file, packed or not, with this byte between their cells.
    ///
    /// # Errors
    /// Those of the file; [`SetError::TooMany`](crate::SetError::TooMany).
    pub(super) fn read_table(path: &Path, separator: u8) -> Result<Self, DataError> {
        let bytes = file::read_unpacked(path, file::MAX_IN_MEMORY)?;
        Self::of_table(bytes, separator).few(path)
    }

    /// The lines of a file, packed or not.
    ///
    /// # Errors
    /// Those of [`Rows::read_table`].
    pub(super) fn read_lines(path: &Path) -> Result<Self, DataError> {
        let bytes = file::read_unpacked(path, file::MAX_IN_MEMORY)?;
        Self::of_lines(bytes, None).few(path)
    }

    /// Refuses more rows than a set may have examples, with a header.
    fn few(self, path: &Path) -> Result<Self, DataError> {
        expect_few(path, self.len().saturating_sub(1))?;
        Ok(self)
    }

    /// The rows of a table with this byte between its cells.
    pub(super) fn of_table(bytes: Vec<u8>, separator: u8) -> Self {
        if separator == b'\t' {
            return Self::of_lines(bytes, Some(separator));
        }
        let (mut rows, mut empty) = (vec![], vec![]);
        let mut at = byte_order_mark(&bytes);
        let mut line = 1;
        while at < bytes.len() && rows.len() <= MOST_ROWS {
            let (length, closed) = record(&bytes[at..], separator);
            let whole = &bytes[at..at + length];
            let end = at + length - line_end(whole);
            if end == at {
                empty.push(line);
            } else {
                rows.push(Row {
                    start: at,
                    end,
                    line,
                    closed,
                });
            }
            // A file of two gigabytes has fewer lines than 32 bits count.
            line += whole.iter().filter(|&&byte| byte == b'\n').count() as u32;
            at += length;
        }
        Self {
            bytes,
            separator: Some(separator),
            rows,
            empty,
        }
    }

    /// The lines of a file; with a separator their cells.
    pub(super) fn of_lines(bytes: Vec<u8>, separator: Option<u8>) -> Self {
        let (mut rows, mut empty) = (vec![], vec![]);
        let mut start = byte_order_mark(&bytes);
        let mut line = 1;
        while start < bytes.len() && rows.len() <= MOST_ROWS {
            let length = bytes[start..].iter().position(|&byte| byte == b'\n');
            let next = length.map_or(bytes.len(), |length| start + length + 1);
            let end = next - line_end(&bytes[start..next]);
            if end == start {
                empty.push(line);
            } else {
                rows.push(Row {
                    start,
                    end,
                    line,
                    closed: true,
                });
            }
            (start, line) = (next, line + 1);
        }
        Self {
            bytes,
            separator,
            rows,
            empty,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The line of a row, from 1.
    pub(super) fn line(&self, row: usize) -> usize {
        self.rows[row].line as usize
    }

    /// The lines of the rows from `first` on.
    pub(super) fn lines(&self, first: usize) -> Vec<u32> {
        self.rows.iter().skip(first).map(|row| row.line).collect()
    }

    pub(super) fn bytes(&self, row: usize) -> &[u8] {
        let Row { start, end, .. } = self.rows[row];
        &self.bytes[start..end]
    }

    /// The cells of a row.
    pub(super) fn cells(&self, row: usize) -> Result<Vec<String>, Broken> {
        let bytes = self.bytes(row);
        let mut record = ByteRecord::new();
        let cells: Vec<&[u8]> = match self.separator {
            Some(separator) if separator != b'\t' => {
                // What follows a quote that is never closed is no cell.
                if !self.rows[row].closed {
                    return Err(Broken {
                        column: 0,
                        expected: "a quote that is closed",
                        got: "the end of the file".to_owned(),
                    });
                }
                let mut reader = quoted(separator).from_reader(bytes);
                let _ = reader.read_byte_record(&mut record);
                record.iter().collect()
            }
            Some(separator) => bytes.split(|&byte| byte == separator).collect(),
            None => vec![bytes],
        };
        let text = |(column, cell): (usize, &[u8])| {
            let text = std::str::from_utf8(cell).map_err(|error| Broken {
                column,
                expected: "text in UTF-8",
                got: format!("byte {:#04x}", cell[error.valid_up_to()]),
            })?;
            Ok(text.to_owned())
        };
        cells.into_iter().enumerate().map(text).collect()
    }
}

/// Bytes of the first row with its line end, and whether its quotes are closed. A quote opens where a
/// cell begins, and closes where no other one follows it.
fn record(bytes: &[u8], separator: u8) -> (usize, bool) {
    let (mut begins, mut inside, mut at) = (true, false, 0);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if inside {
            if byte == b'"' && bytes.get(at) == Some(&b'"') {
                at += 1;
            } else if byte == b'"' {
                inside = false;
            }
            continue;
        }
        match byte {
            b'\n' => return (at, true),
            b'"' if begins => inside = true,
            _ => {}
        }
        begins = byte == separator;
    }
    (at, !inside)
}

fn quoted(separator: u8) -> ReaderBuilder {
    let mut builder = ReaderBuilder::new();
    builder
        .has_headers(false)
        .flexible(true)
        .terminator(Terminator::Any(b'\n'))
        .delimiter(separator);
    builder
}

fn byte_order_mark(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        3
    } else {
        0
    }
}

/// Bytes of the line end that `line` closes with.
fn line_end(line: &[u8]) -> usize {
    match line {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n' | b'\r'] => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(rows: &Rows) -> Vec<(usize, Vec<String>)> {
        let row = |row| (rows.line(row), rows.cells(row).unwrap());
        (0..rows.len()).map(row).collect()
    }

    fn row(line: usize, cells: &[&str]) -> (usize, Vec<String>) {
        (line, cells.iter().map(|&cell| cell.to_owned()).collect())
    }

    #[test]
    fn commas_and_line_ends_inside_quotes_are_text() {
        let text = "\u{feff}a,b\r\n\r\n\"x, y\",\"line\nend \"\"q\"\"\"\r\nlast,1";
        let rows = Rows::of_table(text.into(), b',');
        assert_eq!(
            all(&rows),
            [
                row(1, &["a", "b"]),
                row(3, &["x, y", "line\nend \"q\""]),
                row(5, &["last", "1"]),
            ]
        );
        assert_eq!(rows.empty, [2]);
    }

    #[test]
    fn tabs_end_cells_and_quotes_are_letters() {
        let rows = Rows::of_table("\"a\tb\"\n\n\n,\tc\n".into(), b'\t');
        assert_eq!(all(&rows), [row(1, &["\"a", "b\""]), row(4, &[",", "c"])]);
        assert_eq!(rows.empty, [2, 3]);
        assert_eq!(rows.bytes(1), b",\tc");
        assert_eq!(rows.lines(1), [4]);
    }

    #[test]
    fn rows_that_are_no_text_say_where() {
        let broken = |text: &[u8], separator| Rows::of_table(text.to_vec(), separator);
        let rows = broken(b"a,b\nc,\xff\n", b',');
        let error = rows.cells(1).unwrap_err();
        assert_eq!((error.column, &error.got[..]), (1, "byte 0xff"));
        let rows = broken(b"a\tb\n\xfe\td\n", b'\t');
        assert_eq!(rows.cells(1).unwrap_err().column, 0);
        // A quote that swallows the rest of the file.
        let rows = broken(b"a,b\nc,\"d\ne,f\ng,h\n", b',');
        assert_eq!(rows.len(), 2);
        assert_eq!(
            rows.cells(1).unwrap_err().expected,
            "a quote that is closed"
        );
    }

    #[test]
    fn a_file_without_rows_has_none() {
        for text in ["", "\n", "\u{feff}", "\r\n\n"] {
            for separator in [b',', b'\t'] {
                assert!(
                    Rows::of_table(text.into(), separator).is_empty(),
                    "{text:?}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            for separator in [b',', b'\t'] {
                let rows = Rows::of_table(bytes.clone(), separator);
                for row in 0..rows.len() {
                    let _ = rows.cells(row);
                }
            }
        }

        #[test]
        fn quoted_cells_come_back(cells in proptest::collection::vec("[a\",\r\n b]{0,6}", 1..4)) {
            let mut writer = csv::Writer::from_writer(vec![]);
            writer.write_record(&cells).unwrap();
            writer.write_record(&cells).unwrap();
            let rows = Rows::of_table(writer.into_inner().unwrap(), b',');
            // A row of one empty cell is written as two quotes, and read back.
            prop_assert_eq!(rows.len(), 2);
            prop_assert_eq!(rows.cells(0).unwrap(), cells.clone());
            prop_assert_eq!(rows.cells(1).unwrap(), cells);
        }
    }
}
