//! Pictures in parquet files, as dataset hubs store them.
//!
//! A row has a picture, `struct { bytes, path }` or plain bytes, and an integer label. Row groups are
//! read when a picture of theirs is asked for; opening reads the labels alone. Pages are uncompressed
//! or Snappy; another compression is a [`DataError::Parquet`].

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::{Field, Row};
use ::parquet::schema::types::Type;

use super::source::{Encoded, ImageSource, check_indices};
use crate::parquet_guard::undamaged;
use crate::{DataError, file};

/// The columns that hold pictures and labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Pictures. Default `image`.
    pub image: String,
    /// Labels. Default `label`.
    pub label: String,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            image: "image".to_owned(),
            label: "label".to_owned(),
        }
    }
}

/// The labelled pictures of one or more parquet files, in their order.
#[derive(Clone, Debug)]
pub struct ParquetImages {
    name: String,
    columns: Columns,
    files: Vec<PathBuf>,
    groups: Vec<Group>,
    labels: Vec<usize>,
    class_names: Vec<String>,
    classes: usize,
}

/// A row group and the indices of its rows in the collection.
#[derive(Clone, Copy, Debug)]
struct Group {
    file: usize,
    number: usize,
    first: usize,
    rows: usize,
}

impl ParquetImages {
    /// Opens parquet files, the shards of one collection.
    ///
    /// The number of classes is `classes` if given, otherwise that of the class names which a hub
    /// writes into the file, otherwise one more than the greatest label.
    ///
    /// # Errors
    /// [`DataError::Io`] and [`DataError::Parquet`] for files that cannot be read,
    /// [`DataError::ParquetColumn`] for a column that is missing or of another type,
    /// [`DataError::RowLabel`] for a label that is no class, [`DataError::NoImages`] without files.
    pub fn open(
        files: &[PathBuf],
        name: &str,
        columns: Columns,
        classes: Option<usize>,
    ) -> Result<Self, DataError> {
        let mut images = Self {
            name: name.to_owned(),
            columns,
            files: files.to_owned(),
            groups: vec![],
            labels: vec![],
            class_names: vec![],
            classes: 0,
        };
        for (file, path) in files.iter().enumerate() {
            images.add(file, path)?;
        }
        if images.labels.is_empty() {
            return Err(DataError::NoImages {
                path: files.first().cloned().unwrap_or_default(),
                expected: "rows",
            });
        }
        let greatest = images.labels.iter().max().map_or(0, |label| label + 1);
        images.classes = match (classes, images.class_names.len()) {
            (Some(classes), _) => classes,
            (None, 0) => greatest,
            (None, names) => names,
        };
        let classes = images.classes;
        match images.labels.iter().position(|&label| label >= classes) {
            Some(index) => {
                let group = images.group_of(index);
                let row = index - images.first_of_file(group.file);
                let got = images.labels[index].to_string();
                Err(row_label(&images.files[group.file], row, classes, got))
            }
            None => Ok(images),
        }
    }

    /// Names of the classes, if the files have them.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn add(&mut self, file: usize, path: &Path) -> Result<(), DataError> {
        let shard = undamaged(path, || read_shard(path, &self.columns))?;
        if self.class_names.is_empty() {
            self.class_names = shard.class_names;
        }
        for (number, labels) in shard.groups.into_iter().enumerate() {
            self.groups.push(Group {
                file,
                number,
                first: self.labels.len(),
                rows: labels.len(),
            });
            self.labels.extend(labels);
        }
        Ok(())
    }

    /// The row group of a picture, whose index is below the number of pictures.
    fn group_of(&self, index: usize) -> Group {
        let after = self
            .groups
            .partition_point(|group| group.first + group.rows <= index);
        self.groups[after]
    }

    fn first_of_file(&self, file: usize) -> usize {
        let mut groups = self.groups.iter();
        groups
            .find(|group| group.file == file)
            .map_or(0, |group| group.first)
    }

    /// The pictures of `wanted`, ascending `(index, slot)` of one row group, with their slots.
    fn read_group(&self, wanted: &[(usize, usize)]) -> Result<Vec<(usize, Encoded)>, DataError> {
        let Some(&(first, _)) = wanted.first() else {
            return Ok(vec![]);
        };
        let group = self.group_of(first);
        let path = &self.files[group.file];
        let first_row = group.first - self.first_of_file(group.file);
        let wanted: Vec<_> = wanted
            .iter()
            .map(|&(index, slot)| (index - group.first, slot))
            .collect();
        let pictures = undamaged(path, || {
            read_pictures(path, &self.columns.image, group.number, first_row, &wanted)
        })?;
        let whole = |(slot, encoded): Slot| Ok((slot, encoded?));
        pictures.into_iter().map(whole).collect()
    }
}

impl ImageSource for ParquetImages {
    fn name(&self) -> &str {
        &self.name
    }

    fn labels(&self) -> &[usize] {
        &self.labels
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn encoded(&self, indices: &[usize]) -> Result<Vec<Encoded>, DataError> {
        check_indices(indices, self.labels.len())?;
        let mut wanted: Vec<_> = indices.iter().copied().zip(0..).collect();
        wanted.sort_unstable();
        let mut slots: Vec<Option<Encoded>> = vec![None; indices.len()];
        let same_group = |a: &(usize, usize), b: &(usize, usize)| {
            self.group_of(a.0).first == self.group_of(b.0).first
        };
        for group in wanted.chunk_by(same_group) {
            for (slot, encoded) in self.read_group(group)? {
                slots[slot] = Some(encoded);
            }
        }
        let missing = || DataError::Parquet {
            path: self.files.first().cloned().unwrap_or_default(),
            source: ParquetError::EOF("a row group has fewer rows than its metadata".to_owned()),
        };
        slots
            .into_iter()
            .map(|slot| slot.ok_or_else(missing))
            .collect()
    }
}

/// What is read of a file when it is opened.
struct Shard {
    /// The labels of each row group.
    groups: Vec<Vec<usize>>,
    class_names: Vec<String>,
}

fn read_shard(path: &Path, columns: &Columns) -> Result<Shard, DataError> {
    let reader = open(path)?;
    let projection = project(&reader, path, &columns.label)?;
    project(&reader, path, &columns.image)?;
    let mut groups = vec![];
    let mut number = 0;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(parquet_error(path))?;
        let rows = group
            .get_row_iter(Some(projection.clone()))
            .map_err(parquet_error(path))?;
        let mut labels = vec![];
        for row in rows {
            let row = row.map_err(parquet_error(path))?;
            labels.push(label(path, &columns.label, number, &row)?);
            number += 1;
        }
        groups.push(labels);
    }
    Ok(Shard {
        groups,
        class_names: class_names(&reader, &columns.label),
    })
}

/// A slot and its picture, or why there is none.
pub(crate) type Slot = (usize, Result<Encoded, DataError>);

/// The pictures of `wanted`, ascending `(row of the group, slot)`, with their slots, or why one is
/// none; `first_row` is the row of the file that the group begins with.
pub(crate) fn read_pictures(
    path: &Path,
    column: &str,
    group: usize,
    first_row: usize,
    wanted: &[(usize, usize)],
) -> Result<Vec<Slot>, DataError> {
    let reader = open(path)?;
    let projection = project(&reader, path, column)?;
    let group = reader.get_row_group(group).map_err(parquet_error(path))?;
    let rows = group
        .get_row_iter(Some(projection))
        .map_err(parquet_error(path))?;
    let mut pictures = vec![];
    let length = file::length(path)?;
    let most = file::most_unpacked(length);
    let mut left = most;
    let mut wanted = wanted.iter().peekable();
    for (index, row) in rows.enumerate() {
        if wanted.peek().is_none() {
            break;
        }
        let row = row.map_err(parquet_error(path))?;
        while let Some(&(_, slot)) = wanted.next_if(|&&(next, _)| next == index) {
            let number = first_row + index;
            let encoded = |bytes| Encoded {
                name: format!("{} row {number}", path.display()),
                bytes,
            };
            let bytes = picture(path, column, number, &row);
            // A dictionary holds a picture once, however many rows have it.
            let taken = bytes.as_ref().map_or(0, Vec::len) as u64;
            left = left
                .checked_sub(taken)
                .ok_or_else(|| file::expanded(path, length, most))?;
            pictures.push((slot, bytes.map(encoded)));
        }
    }
    Ok(pictures)
}

pub(crate) fn open(path: &Path) -> Result<SerializedFileReader<File>, DataError> {
    let (file, _) = file::open(path)?;
    SerializedFileReader::new(file).map_err(parquet_error(path))
}

/// The schema with one column.
fn project(
    reader: &SerializedFileReader<File>,
    path: &Path,
    column: &str,
) -> Result<Type, DataError> {
    let root = reader.metadata().file_metadata().schema();
    let fields = root.get_fields();
    let Some(field) = fields.iter().find(|field| field.name() == column) else {
        let names: Vec<_> = fields.iter().map(|field| field.name()).collect();
        return Err(DataError::ParquetColumn {
            path: path.to_owned(),
            column: column.to_owned(),
            expected: "a column of this name",
            got: format!("the columns {}", names.join(", ")),
        });
    };
    Type::group_type_builder(root.name())
        .with_fields(vec![Arc::clone(field)])
        .build()
        .map_err(parquet_error(path))
}

/// The class names that a hub writes into the file's metadata as JSON.
pub(crate) fn class_names(reader: &SerializedFileReader<File>, label: &str) -> Vec<String> {
    let pairs = reader.metadata().file_metadata().key_value_metadata();
    let pair = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == "huggingface"));
    let text = pair
        .and_then(|pair| pair.value.as_deref())
        .unwrap_or("null");
    let json: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let names = json["info"]["features"][label]["names"].as_array();
    let name = |name: &serde_json::Value| name.as_str().map(str::to_owned);
    // One that is no text makes the list unusable.
    names
        .and_then(|names| names.iter().map(name).collect())
        .unwrap_or_default()
}

fn label(path: &Path, column: &str, number: usize, row: &Row) -> Result<usize, DataError> {
    let field = row.get_column_iter().next().map(|(_, field)| field);
    let value = match field {
        Some(Field::Long(value)) => Some(*value),
        Some(Field::Int(value)) => Some((*value).into()),
        Some(Field::Short(value)) => Some((*value).into()),
        Some(Field::Byte(value)) => Some((*value).into()),
        Some(Field::ULong(value)) => Some(i64::try_from(*value).unwrap_or(i64::MAX)),
        Some(Field::UInt(value)) => Some((*value).into()),
        Some(Field::UShort(value)) => Some((*value).into()),
        Some(Field::UByte(value)) => Some((*value).into()),
        _ => None,
    };
    let Some(value) = value else {
        return Err(wrong_field(path, column, "integers", number, field));
    };
    // Hubs mark the rows of a test set, whose labels are secret, with -1.
    usize::try_from(value).map_err(|_| DataError::ParquetColumn {
        path: path.to_owned(),
        column: column.to_owned(),
        expected: "labels of 0 or more",
        got: format!("{value} in row {number}"),
    })
}

fn picture(path: &Path, column: &str, number: usize, row: &Row) -> Result<Vec<u8>, DataError> {
    let field = row.get_column_iter().next().map(|(_, field)| field);
    let bytes = match field {
        Some(Field::Group(parts)) => {
            let mut parts = parts.get_column_iter();
            parts
                .find(|(name, _)| *name == "bytes")
                .map(|(_, field)| field)
        }
        other => other,
    };
    match bytes {
        Some(Field::Bytes(bytes)) => Ok(bytes.data().to_vec()),
        _ => Err(wrong_field(
            path,
            column,
            "bytes, or a struct with bytes",
            number,
            field,
        )),
    }
}

fn wrong_field(
    path: &Path,
    column: &str,
    expected: &'static str,
    number: usize,
    field: Option<&Field>,
) -> DataError {
    let kind = match field {
        None => "nothing",
        Some(Field::Null) => "null",
        Some(Field::Str(_)) => "text",
        Some(Field::Group(_)) => "a struct without bytes",
        Some(Field::ListInternal(_)) => "a list",
        Some(Field::Bytes(_)) => "bytes",
        Some(_) => "another type",
    };
    DataError::ParquetColumn {
        path: path.to_owned(),
        column: column.to_owned(),
        expected,
        got: format!("{kind} in row {number}"),
    }
}

fn row_label(path: &Path, row: usize, classes: usize, got: String) -> DataError {
    DataError::RowLabel {
        path: path.to_owned(),
        row,
        classes,
        got,
    }
}

pub(crate) fn parquet_error(path: &Path) -> impl Fn(ParquetError) -> DataError + Copy + '_ {
    |source| DataError::Parquet {
        path: path.to_owned(),
        source,
    }
}
