//! Parquet files as dataset hubs store them: pictures or texts in rows, with labels.
//!
//! Opening reads the column of labels alone; a row group's other columns are read when one of its rows
//! is asked for.

use std::collections::HashSet;
use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ::parquet::basic::Type as Physical;
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::{Field, Row};
use ::parquet::schema::types::Type;

use super::columns::{LABEL_NAMES, position, usual};
use super::names::Naming;
use super::open::{Inputs, Most, Opened, Source, Unreadable};
use super::pictures::{decoded, input_len};
use super::raw::{RawLabel, RawLabels};
use super::shards::Shards;
use super::texts::{self, Roles, Text, tokenized};
use super::{Columns, Intake, Options, beside, expect_few};
use crate::error::shorten;
use crate::image::parquet as image_file;
use crate::image::source::Encoded;
use crate::parquet_guard::undamaged;
use crate::{DataError, file};

/// Opens the files of one split.
pub(super) fn open(
    intake: &Intake,
    path: &Path,
    shards: Shards,
    options: &Options,
) -> Result<Opened, DataError> {
    let first = shards.files.first().cloned().unwrap_or_default();
    let find = AssertUnwindSafe(|| Layout::find(intake, &first, options));
    let layout = undamaged(&first, find)?;
    let mut unreadable = Unreadable::default();
    let mut found = Found::default();
    // Labels in a file of their own replace those of the column.
    let column = layout.label.filter(|_| options.labels.is_none());
    for file in &shards.files {
        found.add(path, file, column.as_deref(), &mut unreadable)?;
    }
    let Found {
        mut labels,
        groups,
        starts,
    } = found;
    let mut notes = layout.notes;
    match &options.labels {
        Some(file) => {
            labels = beside::given(file, path, labels.len(), &mut notes, &mut unreadable)?;
        }
        None if layout.class_names.is_empty() => {}
        None => labels.name_numbers(layout.class_names),
    }
    let source = Rows {
        path: path.to_owned(),
        groups,
        files: shards.files,
        content: layout.content,
        last: Mutex::new(None),
    };
    Ok(Opened {
        format: "parquet file",
        naming: Naming::Shards(starts),
        labels,
        passed_over: shards.passed_over,
        notes,
        unreadable,
        task: layout.task,
        source: Box::new(source),
    })
}

/// The labels of several files, their row groups, and the row that each file begins with.
#[derive(Default)]
struct Found {
    labels: RawLabels,
    groups: Vec<Group>,
    starts: Vec<(u32, PathBuf)>,
}

impl Found {
    fn add(
        &mut self,
        path: &Path,
        file: &Path,
        column: Option<&str>,
        unreadable: &mut Unreadable,
    ) -> Result<(), DataError> {
        let number = self.starts.len();
        let start = self.labels.len();
        self.starts.push((start as u32, file.to_owned()));
        let groups = undamaged(file, || label_groups(file, column))?;
        let rows = groups.iter().map(Column::rows).sum::<usize>();
        expect_few(path, start.saturating_add(rows))?;
        for (group, column) in groups.into_iter().enumerate() {
            let first = self.labels.len();
            match column {
                Column::None(rows) => (0..rows).for_each(|_| self.labels.push(RawLabel::Absent)),
                Column::Labels(column) => {
                    for label in column {
                        let label = unreadable.label(self.labels.len(), label);
                        self.labels.push(label);
                    }
                }
            }
            self.groups.push(Group {
                file: number,
                number: group,
                first,
                rows: self.labels.len() - first,
            });
        }
        Ok(())
    }
}

/// Which columns hold what.
struct Layout {
    content: Content,
    label: Option<String>,
    /// What the file says that its numbers are called.
    class_names: Vec<String>,
    notes: Vec<String>,
    task: Option<crate::glue::Task>,
}

#[derive(Clone, Debug)]
enum Content {
    Pictures(String),
    Texts(String, Option<String>),
}

impl Layout {
    fn find(intake: &Intake, path: &Path, options: &Options) -> Result<Self, DataError> {
        let reader = image_file::open(path)?;
        let root = reader.metadata().file_metadata().schema();
        let columns: Vec<String> = root
            .get_fields()
            .iter()
            .map(|field| field.name().to_owned())
            .collect();
        let refuse = |expected: String| DataError::TableColumns {
            path: path.to_owned(),
            expected,
            got: shorten(&columns.join(", ")),
        };
        let chosen = options.columns.clone().unwrap_or_default();
        if chosen.label.len() > 1 {
            return Err(refuse("one column of labels".to_owned()));
        }
        let (content, notes, label) = match intake {
            Intake::Tokens(_) => {
                let roles = Roles::find(&columns, &chosen).map_err(refuse)?;
                let name = |at: usize| columns[at].clone();
                let content = Content::Texts(name(roles.first), roles.second.map(name));
                let label = roles.labels.first().map(|&at| columns[at].clone());
                (content, roles.notes(&columns), label)
            }
            _ => {
                let picture = Self::picture(root, &columns, &chosen).map_err(refuse)?;
                let label = match chosen.label.first() {
                    Some(name) => Some(
                        position(&columns, name)
                            .ok_or_else(|| refuse(format!("one called {name}")))?,
                    ),
                    None => usual(&columns, &LABEL_NAMES),
                };
                let label = label.map(|at| columns[at].clone());
                let mut notes = vec![format!("pictures: column {picture}")];
                notes.extend(label.iter().map(|label| format!("labels: column {label}")));
                (Content::Pictures(picture), notes, label)
            }
        };
        let class_names = match &label {
            Some(label) => image_file::class_names(&reader, label),
            None => vec![],
        };
        Ok(Self {
            content,
            class_names,
            notes,
            task: texts::task(path, &columns),
            label,
        })
    }

    /// The chosen column, or the only one that holds pictures: a struct with bytes, or bytes called
    /// `image` or `img`.
    fn picture(root: &Type, columns: &[String], chosen: &Columns) -> Result<String, String> {
        if let Some(name) = &chosen.input {
            let at = position(columns, name).ok_or_else(|| format!("one called {name}"))?;
            return Ok(columns[at].clone());
        }
        let holds_pictures = |field: &&Arc<Type>| {
            if field.is_group() {
                return field.get_fields().iter().any(|part| part.name() == "bytes");
            }
            let bytes = field.get_physical_type() == Physical::BYTE_ARRAY;
            bytes && matches!(field.name(), "image" | "img")
        };
        let found: Vec<&str> = root
            .get_fields()
            .iter()
            .filter(holds_pictures)
            .map(|field| field.name())
            .collect();
        match found[..] {
            [only] => Ok(only.to_owned()),
            [] => Err("one of pictures, or a choice such as input=image".to_owned()),
            [first, ..] => Err(format!(
                "one of pictures, or a choice such as input={first}"
            )),
        }
    }
}

/// A label, or why it cannot be read.
type Label = Result<RawLabel, DataError>;

/// The labels of a row group; without a column its number of rows, which nothing but the metadata says.
enum Column {
    None(usize),
    Labels(Vec<Label>),
}

impl Column {
    fn rows(&self) -> usize {
        match self {
            Self::None(rows) => *rows,
            Self::Labels(labels) => labels.len(),
        }
    }
}

/// The labels of each row group.
fn label_groups(path: &Path, column: Option<&str>) -> Result<Vec<Column>, DataError> {
    let reader = image_file::open(path)?;
    let damaged = image_file::parquet_error(path);
    let mut groups = vec![];
    let (mut number, mut all) = (0, 0_usize);
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(damaged)?;
        let stated = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        all = all.saturating_add(stated);
        expect_few(path, all)?;
        let Some(column) = column else {
            groups.push(Column::None(stated));
            continue;
        };
        let projection = project(&reader, path, &[column])?;
        let rows = group.get_row_iter(Some(projection)).map_err(damaged)?;
        let mut labels = vec![];
        let mut known = HashSet::new();
        for row in rows {
            let row = row.map_err(damaged)?;
            let field = row.get_column_iter().next().map(|(_, field)| field);
            let label = field
                .and_then(label_of)
                .map(|label| shared(&mut known, label));
            labels.push(label.ok_or_else(|| DataError::TableCell {
                path: path.to_owned(),
                unit: "row",
                number: number + 1,
                column: column.to_owned(),
                expected: "a class by number or name, or a list of them".to_owned(),
                got: field.map_or("nothing".to_owned(), |field| shorten(&field.to_string())),
            }));
            number += 1;
        }
        groups.push(Column::Labels(labels));
    }
    Ok(groups)
}

/// The same label, with the text of an earlier one: a dictionary holds it once, however many rows have it.
fn shared(known: &mut HashSet<RawLabel>, label: RawLabel) -> RawLabel {
    if let Some(same) = known.get(&label) {
        return same.clone();
    }
    if matches!(label, RawLabel::Text(_)) {
        known.insert(label.clone());
    }
    label
}

fn label_of(field: &Field) -> Option<RawLabel> {
    match field {
        Field::Null => Some(RawLabel::Absent),
        Field::Bool(value) => Some(RawLabel::Number(u64::from(*value))),
        Field::Byte(value) => RawLabel::of_integer((*value).into()),
        Field::Short(value) => RawLabel::of_integer((*value).into()),
        Field::Int(value) => RawLabel::of_integer((*value).into()),
        Field::Long(value) => RawLabel::of_integer(*value),
        Field::UByte(value) => Some(RawLabel::Number((*value).into())),
        Field::UShort(value) => Some(RawLabel::Number((*value).into())),
        Field::UInt(value) => Some(RawLabel::Number((*value).into())),
        Field::ULong(value) => Some(RawLabel::Number(*value)),
        Field::Float(value) => RawLabel::of_float((*value).into()),
        Field::Double(value) => RawLabel::of_float(*value),
        Field::Str(text) => Some(RawLabel::of_text(text)),
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data())
            .ok()
            .map(RawLabel::of_text),
        Field::ListInternal(list) => {
            let one = |field: &Field| match label_of(field)? {
                label @ (RawLabel::Number(_) | RawLabel::Text(_)) => Some(label),
                _ => None,
            };
            let mut labels = list
                .elements()
                .iter()
                .map(one)
                .collect::<Option<Vec<_>>>()?;
            labels.sort_unstable();
            labels.dedup();
            Some(RawLabel::Several(labels))
        }
        _ => None,
    }
}

/// The schema with some of its columns.
fn project(
    reader: &SerializedFileReader<File>,
    path: &Path,
    columns: &[&str],
) -> Result<Type, DataError> {
    let root = reader.metadata().file_metadata().schema();
    let known = |name: &str| root.get_fields().iter().find(|field| field.name() == name);
    // In the order of the file, in which the cells of a row come.
    for name in columns {
        if known(name).is_none() {
            let names: Vec<&str> = root.get_fields().iter().map(|field| field.name()).collect();
            return Err(DataError::TableColumns {
                path: path.to_owned(),
                expected: (*name).to_owned(),
                got: shorten(&names.join(", ")),
            });
        }
    }
    let kept = root.get_fields().iter();
    let kept = kept.filter(|field| columns.contains(&field.name()));
    Type::group_type_builder(root.name())
        .with_fields(kept.cloned().collect())
        .build()
        .map_err(image_file::parquet_error(path))
}

/// A row group and the rows that it begins with.
#[derive(Clone, Copy, Debug)]
struct Group {
    file: usize,
    number: usize,
    first: usize,
    rows: usize,
}

/// The texts of a row group, or what stands there instead.
type Texts = Arc<Vec<Result<Text, String>>>;

/// The rows of the files of one split.
#[derive(Debug)]
struct Rows {
    path: PathBuf,
    files: Vec<PathBuf>,
    groups: Vec<Group>,
    content: Content,
    /// The texts of the row group that was read last: blocks ask for neighbours.
    last: Mutex<Option<(usize, Texts)>>,
}

impl Rows {
    /// The group of a row, and where it is among the groups.
    fn group_of(&self, row: usize) -> Option<(usize, Group)> {
        let after = self
            .groups
            .partition_point(|group| group.first + group.rows <= row);
        Some((after, *self.groups.get(after)?))
    }

    fn first_of_file(&self, file: usize) -> usize {
        let mut groups = self.groups.iter();
        groups
            .find(|group| group.file == file)
            .map_or(0, |group| group.first)
    }

    fn fewer(&self) -> DataError {
        DataError::Parquet {
            path: self.path.clone(),
            source: ParquetError::EOF("a row group has fewer rows than its metadata".to_owned()),
        }
    }

    /// The pictures of some rows, in their order.
    fn pictures(
        &self,
        column: &str,
        rows: &[usize],
    ) -> Result<Vec<Result<Encoded, DataError>>, DataError> {
        let mut wanted: Vec<(usize, usize)> = rows.iter().copied().zip(0..).collect();
        wanted.sort_unstable();
        let mut slots: Vec<Option<Result<Encoded, DataError>>> =
            rows.iter().map(|_| None).collect();
        let group = |row: &(usize, usize)| self.group_of(row.0).map(|(at, _)| at);
        for some in wanted.chunk_by(|a, b| group(a) == group(b)) {
            let Some((_, group)) = some.first().and_then(|row| self.group_of(row.0)) else {
                return Err(self.fewer());
            };
            let file = &self.files[group.file];
            let before = group.first - self.first_of_file(group.file);
            let inside: Vec<_> = some
                .iter()
                .map(|&(row, slot)| (row - group.first, slot))
                .collect();
            let read = undamaged(file, || {
                image_file::read_pictures(file, column, group.number, before, &inside)
            })?;
            for (slot, encoded) in read {
                slots[slot] = Some(encoded);
            }
        }
        slots
            .into_iter()
            .map(|slot| slot.ok_or_else(|| self.fewer()))
            .collect()
    }

    /// The texts of some rows, in their order.
    fn texts(&self, rows: &[usize]) -> Result<Vec<Result<Text, DataError>>, DataError> {
        let text = |&row: &usize| {
            let (at, group) = self.group_of(row).ok_or_else(|| self.fewer())?;
            let texts = self.group_texts(at, group)?;
            let text = texts.get(row - group.first).ok_or_else(|| self.fewer())?;
            Ok(text.clone().map_err(|got| DataError::TableCell {
                path: self.files[group.file].clone(),
                unit: "row",
                number: row - self.first_of_file(group.file) + 1,
                column: match &self.content {
                    Content::Texts(first, _) => first.clone(),
                    Content::Pictures(column) => column.clone(),
                },
                expected: "texts".to_owned(),
                got,
            }))
        };
        rows.iter().map(text).collect()
    }

    fn group_texts(&self, at: usize, group: Group) -> Result<Texts, DataError> {
        let Content::Texts(first, second) = &self.content else {
            return Err(self.fewer());
        };
        // A thread that panicked while it held the lock left a whole value behind.
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((known, texts)) = &*last
            && *known == at
        {
            return Ok(Arc::clone(texts));
        }
        let file = &self.files[group.file];
        let texts = undamaged(file, || {
            read_texts(file, group.number, first, second.as_deref())
        })?;
        let texts = Arc::new(texts);
        *last = Some((at, Arc::clone(&texts)));
        Ok(texts)
    }
}

/// The texts of a row group, or what stands there instead.
fn read_texts(
    path: &Path,
    group: usize,
    first: &str,
    second: Option<&str>,
) -> Result<Vec<Result<Text, String>>, DataError> {
    let reader = image_file::open(path)?;
    let damaged = image_file::parquet_error(path);
    let columns: Vec<&str> = [first].into_iter().chain(second).collect();
    let projection = project(&reader, path, &columns)?;
    let group = reader.get_row_group(group).map_err(damaged)?;
    let rows = group.get_row_iter(Some(projection)).map_err(damaged)?;
    let mut found = vec![];
    let length = file::length(path)?;
    let most = file::most_unpacked(length);
    let mut left = most;
    for row in rows {
        let row = row.map_err(damaged)?;
        let pair = text(&row, first).and_then(|first| {
            let second = second.map(|second| text(&row, second)).transpose()?;
            Ok((first, second))
        });
        // A dictionary holds a text once, however many rows have it.
        let bytes = pair.as_ref().map_or(0, texts::length) as u64;
        left = left
            .checked_sub(bytes)
            .ok_or_else(|| file::expanded(path, length, most))?;
        found.push(pair);
    }
    Ok(found)
}

fn text(row: &Row, column: &str) -> Result<String, String> {
    let field = row.get_column_iter().find(|(name, _)| *name == column);
    match field.map(|(_, field)| field) {
        Some(Field::Str(text)) => Ok(text.clone()),
        Some(Field::Bytes(bytes)) => String::from_utf8(bytes.data().to_vec())
            .map_err(|_| format!("bytes that are no UTF-8 in {column}")),
        Some(Field::Null) => Err(format!("null in {column}")),
        Some(other) => Err(format!("{} in {column}", shorten(&other.to_string()))),
        None => Err(format!("no {column}")),
    }
}

impl Source for Rows {
    fn read(&self, positions: &[usize], intake: &Intake, most: Most) -> Result<Inputs, DataError> {
        match &self.content {
            Content::Pictures(column) => {
                let encoded = |rows: &[usize]| self.pictures(column, rows);
                decoded(&self.path, positions, intake, most, encoded)
            }
            Content::Texts(..) => {
                let texts = |rows: &[usize]| self.texts(rows);
                tokenized(&self.path, positions, intake, most, texts)
            }
        }
    }

    fn input_len(&self, intake: &Intake) -> Option<usize> {
        input_len(intake)
    }
}
