//! Parquet files of the hub's `nyu-mll/glue`: flat columns of text and numbers.

use std::path::Path;

use ::parquet::basic::Type;
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{ByteArray, DataType};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use ::parquet::schema::types::SchemaDescriptor;

use super::{Row, Rows, Task};
use crate::DataError;
use crate::error::shorten;
use crate::parquet_guard::undamaged;
use crate::text::Target;

/// Values that are decoded at a time, which bounds what a wrong row count can allocate.
const CHUNK: usize = 4096;

/// The rows of a file; the outer error concerns the whole file.
pub(super) fn read(path: &Path, task: Task) -> Result<Rows, DataError> {
    undamaged(path, || read_groups(path, task))
}

fn read_groups(path: &Path, task: Task) -> Result<Rows, DataError> {
    let (file, _) = crate::file::open(path)?;
    let damaged = |source: ParquetError| DataError::Parquet {
        path: path.to_owned(),
        source,
    };
    let reader = SerializedFileReader::new(file).map_err(damaged)?;
    let columns = Columns::find(path, task, reader.metadata().file_metadata().schema_descr())?;
    let mut rows = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(damaged)?;
        for cells in columns.read(&*group, task).map_err(damaged)? {
            let number = rows.len() + 1;
            rows.push(cells.map_err(|wrong| DataError::TableCell {
                path: path.to_owned(),
                unit: "row",
                number,
                column: wrong.column.to_owned(),
                expected: wrong.expected,
                got: wrong.got,
            }));
        }
    }
    Ok(rows)
}

/// Where the columns of a task are, and what they are called.
struct Columns {
    first: (usize, &'static str),
    second: Option<(usize, &'static str)>,
    target: (usize, &'static str),
}

/// A cell that does not hold what its column is for.
struct Wrong {
    column: &'static str,
    expected: String,
    got: String,
}

impl Columns {
    fn find(path: &Path, task: Task, schema: &SchemaDescriptor) -> Result<Self, DataError> {
        let info = task.info();
        let find =
            |name, types: &[Type]| Ok::<_, DataError>((column(path, schema, name, types)?, name));
        let targets = if info.classes.is_empty() {
            [Type::FLOAT, Type::DOUBLE]
        } else {
            [Type::INT64, Type::INT32]
        };
        Ok(Self {
            first: find(info.first.hub, &[Type::BYTE_ARRAY])?,
            second: info
                .second
                .map(|second| find(second.hub, &[Type::BYTE_ARRAY]))
                .transpose()?,
            target: find(info.target.hub, &targets)?,
        })
    }

    /// The rows of a row group.
    fn read(
        &self,
        group: &dyn RowGroupReader,
        task: Task,
    ) -> Result<Vec<Result<Row, Wrong>>, ParquetError> {
        let first = texts(group, self.first.0)?;
        let target = targets(group, self.target.0, task)?;
        let second = match self.second {
            Some((column, _)) => texts(group, column)?.into_iter().map(Some).collect(),
            None => vec![None; first.len()],
        };
        let stated = group.metadata().num_rows();
        for (name, got) in [
            (self.first.1, first.len()),
            (
                self.second.map_or(self.first.1, |column| column.1),
                second.len(),
            ),
            (self.target.1, target.len()),
        ] {
            if i64::try_from(got) != Ok(stated) {
                return Err(ParquetError::General(format!(
                    "rows of column {name}: expected {stated}, got {got}"
                )));
            }
        }
        let row = |((first, second), target): ((Cell<_>, Option<Cell<_>>), Cell<_>)| {
            let second_name = self.second.map_or("", |column| column.1);
            Ok(Row {
                first: named(first, self.first.1)?,
                second: second.map(|cell| named(cell, second_name)).transpose()?,
                target: named(target, self.target.1)?,
            })
        };
        Ok(first.into_iter().zip(second).zip(target).map(row).collect())
    }
}

fn named<T>(cell: Cell<T>, column: &'static str) -> Result<T, Wrong> {
    cell.map_err(|(expected, got)| Wrong {
        column,
        expected,
        got,
    })
}

/// What a cell holds, or what was expected and found there.
type Cell<T> = Result<T, (String, String)>;

/// The position of a flat column of one of these types.
fn column(
    path: &Path,
    schema: &SchemaDescriptor,
    name: &str,
    types: &[Type],
) -> Result<usize, DataError> {
    let columns = schema.columns();
    let found = columns.iter().position(|column| {
        column.path().string() == name
            && column.max_rep_level() == 0
            && column.max_def_level() <= 1
            && types.contains(&column.physical_type())
    });
    found.ok_or_else(|| {
        let types: Vec<String> = types.iter().map(Type::to_string).collect();
        let names: Vec<String> = columns
            .iter()
            .map(|column| format!("{} {}", column.path().string(), column.physical_type()))
            .collect();
        DataError::TableColumns {
            path: path.to_owned(),
            expected: format!("{name} {}", types.join(" or ")),
            got: shorten(&names.join(", ")),
        }
    })
}

fn texts(group: &dyn RowGroupReader, column: usize) -> Result<Vec<Cell<String>>, ParquetError> {
    let text = |bytes: ByteArray| {
        String::from_utf8(bytes.data().to_vec()).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let got = format!("byte {:#04x} at {at}", error.as_bytes()[at]);
            ("text in UTF-8".to_owned(), got)
        })
    };
    let cells = match group.get_column_reader(column)? {
        ColumnReader::ByteArrayColumnReader(reader) => values(reader)?,
        _ => return Err(other_type()),
    };
    Ok(cells
        .into_iter()
        .map(|cell| cell.ok_or_else(|| null("text")).and_then(text))
        .collect())
}

fn targets(
    group: &dyn RowGroupReader,
    column: usize,
    task: Task,
) -> Result<Vec<Cell<Target>>, ParquetError> {
    let class = |cell: Option<i64>| {
        cell.ok_or_else(|| null("a class"))
            .and_then(|number| task.class_target(number))
    };
    let score = |cell: Option<f32>| {
        cell.ok_or_else(|| null("a score"))
            .and_then(|score| task.score_target(score))
    };
    Ok(match group.get_column_reader(column)? {
        ColumnReader::Int64ColumnReader(reader) => values(reader)?.into_iter().map(class).collect(),
        ColumnReader::Int32ColumnReader(reader) => {
            let cells = values(reader)?.into_iter();
            cells.map(|cell| class(cell.map(i64::from))).collect()
        }
        ColumnReader::FloatColumnReader(reader) => values(reader)?.into_iter().map(score).collect(),
        ColumnReader::DoubleColumnReader(reader) => {
            let cells = values(reader)?.into_iter();
            cells
                .map(|cell| score(cell.map(|score| score as f32)))
                .collect()
        }
        _ => return Err(other_type()),
    })
}

/// The cells of a flat column, `None` for nulls.
fn values<T: DataType>(mut reader: ColumnReaderImpl<T>) -> Result<Vec<Option<T::T>>, ParquetError> {
    let mut cells = Vec::new();
    loop {
        let (mut present, mut levels) = (Vec::new(), Vec::new());
        let (read, _, _) = reader.read_records(CHUNK, Some(&mut levels), None, &mut present)?;
        if read == 0 {
            return Ok(cells);
        }
        if levels.is_empty() {
            cells.extend(present.into_iter().map(Some));
        } else {
            let mut present = present.into_iter();
            cells.extend(levels.iter().map(
                |&level| {
                    if level == 0 { None } else { present.next() }
                },
            ));
        }
    }
}

fn null(expected: &str) -> (String, String) {
    (expected.to_owned(), "null".to_owned())
}

fn other_type() -> ParquetError {
    ParquetError::General("a column differs from its schema".to_owned())
}
