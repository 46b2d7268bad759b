//! Folders of pictures, in two layouts.
//!
//! ```text
//! root/<class>/../<picture>       classes are the first sub-folders, in the order of their names
//! root/labels.csv, root/<folder>/<picture>    columns `file`, `class_index` and, if any, `wnid`
//! ```
//!
//! Links and the paths in a table stay below the folder.

use std::path::{Path, PathBuf};

use disk::Place;
use serde::Deserialize;

use super::listing::{ClassFolders, sorted_entries};
use super::source::{Encoded, ImageSource, check_indices};
use super::{decode, imagenet};
use crate::labelled::{MAX_EXAMPLES, PassedOver, expect_few};
use crate::{DataError, file};

/// The table of a labelled folder.
const TABLE: &str = "labels.csv";

/// A folder of labelled pictures.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    name: String,
    /// Names of the classes; empty when a table gives numbers alone.
    class_names: Vec<String>,
    classes: usize,
    files: Vec<PathBuf>,
    /// Where the files may be.
    place: Place,
    labels: Vec<usize>,
    passed_over: PassedOver,
}

/// A row of `labels.csv`; it may have other columns.
#[derive(Deserialize)]
struct Row {
    file: PathBuf,
    class_index: String,
    wnid: Option<String>,
}

impl ImageFolder {
    /// Opens a folder of either layout: the one with a table when there is a `labels.csv`. The files of
    /// a table lie beside it, or in the one sub-folder that has the first of them.
    ///
    /// A table has 1000 classes when it has a column `wnid` that agrees with ILSVRC's numbering,
    /// otherwise one more than its greatest class.
    ///
    /// # Errors
    /// Those of [`ImageFolder::open_classes`] and [`ImageFolder::open_table`].
    pub fn open(root: &Path, name: &str) -> Result<Self, DataError> {
        let table = root.join(TABLE);
        if !file::is_there(&table) {
            return Self::open_classes(root, name);
        }
        Place::of_folder(root)?.find(&table)?;
        let rows = read_table(&table)?;
        let ilsvrc = |row: &Row| {
            let class = row.wnid.as_deref().and_then(imagenet::class_of);
            class.is_some_and(|class| row.class_index == class.to_string())
        };
        let greatest = || {
            rows.iter()
                .filter_map(|row| row.class_index.parse().ok())
                .max()
        };
        let classes = if rows.iter().all(ilsvrc) {
            imagenet::CLASSES
        } else {
            greatest().map_or(0, |class: usize| class.saturating_add(1))
        };
        let images = images_of(root, &rows)?;
        Self::from_rows(&table, &images, name, classes, rows)
    }

    /// Opens a folder with a sub-folder per class, classes numbered in the order of their names; a
    /// picture in a deeper folder has the class of the first one. Files that are no pictures are passed
    /// over, and so are pictures beside the class folders.
    ///
    /// # Errors
    /// [`DataError::Io`], and [`DataError::NoImages`] when no sub-folder holds a picture.
    pub fn open_classes(root: &Path, name: &str) -> Result<Self, DataError> {
        let found = ClassFolders::find(root)?;
        let mut folder = Self {
            name: name.to_owned(),
            class_names: vec![],
            classes: found.classes.len(),
            files: vec![],
            place: Place::of_folder(root)?,
            labels: vec![],
            passed_over: found.passed_over,
        };
        for (class, (name, files)) in found.classes.into_iter().enumerate() {
            folder.files.extend(files);
            folder.labels.resize(folder.files.len(), class);
            folder.class_names.push(name);
        }
        if folder.files.is_empty() {
            return Err(DataError::NoImages {
                path: root.to_owned(),
                expected: "labels.csv, or class folders with pictures",
            });
        }
        Ok(folder)
    }

    /// Opens pictures in `images` that `table`, a CSV file with the columns `file` and `class_index`,
    /// labels with numbers below `classes`.
    ///
    /// # Errors
    /// [`DataError::Csv`] for a table that cannot be read or lacks a column, [`DataError::NoImages`] for
    /// one without rows, [`DataError::RowLabel`] for a class that is no number below `classes`. A
    /// picture that is missing is an error when it is read.
    pub fn open_table(
        table: &Path,
        images: &Path,
        name: &str,
        classes: usize,
    ) -> Result<Self, DataError> {
        Self::from_rows(table, images, name, classes, read_table(table)?)
    }

    fn from_rows(
        table: &Path,
        images: &Path,
        name: &str,
        classes: usize,
        rows: Vec<Row>,
    ) -> Result<Self, DataError> {
        let label = |(row, entry): (usize, &Row)| {
            let class = entry
                .class_index
                .parse()
                .ok()
                .filter(|&class: &usize| class < classes);
            class.ok_or_else(|| DataError::RowLabel {
                path: table.to_owned(),
                row,
                classes,
                got: entry.class_index.clone(),
            })
        };
        if let Some(row) = rows.iter().position(|row| !disk::stays_inside(&row.file)) {
            return Err(DataError::TableCell {
                path: table.to_owned(),
                unit: "row",
                number: row + 1,
                column: "file".to_owned(),
                expected: "a path below its folder".to_owned(),
                got: rows[row].file.display().to_string(),
            });
        }
        Ok(Self {
            name: name.to_owned(),
            class_names: vec![],
            classes,
            passed_over: PassedOver::default(),
            place: Place::of_folder(images)?,
            labels: rows
                .iter()
                .enumerate()
                .map(label)
                .collect::<Result<_, _>>()?,
            files: rows.into_iter().map(|row| images.join(row.file)).collect(),
        })
    }

    /// The same pictures labelled with ILSVRC's 1000 classes, by the WordNet ids that the class folders
    /// are named with. This is how ImageNet-A's 200 folders are labelled for a network of 1000 outputs.
    ///
    /// # Errors
    /// [`DataError::UnknownWnid`] for a class folder with another name. A folder with a table is
    /// returned as it is when it has 1000 classes, and is such an error otherwise.
    pub fn with_imagenet_labels(self) -> Result<Self, DataError> {
        let unknown = |got: &str| DataError::UnknownWnid {
            collection: self.name.clone(),
            got: got.to_owned(),
        };
        if self.class_names.is_empty() {
            return match self.classes {
                imagenet::CLASSES => Ok(self),
                classes => Err(unknown(&format!("{classes} numbered classes"))),
            };
        }
        let class = |wnid: &String| imagenet::class_of(wnid).ok_or_else(|| unknown(wnid));
        let classes: Vec<usize> = self
            .class_names
            .iter()
            .map(class)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            labels: self.labels.iter().map(|&label| classes[label]).collect(),
            class_names: imagenet::wnids()
                .iter()
                .map(|&wnid| wnid.to_owned())
                .collect(),
            classes: imagenet::CLASSES,
            ..self
        })
    }

    /// Names of the classes; empty when a table gives numbers alone.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// What opening passed over, by reason.
    pub fn passed_over(&self) -> &PassedOver {
        &self.passed_over
    }

    /// The picture files, in the order of their indices.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl ImageSource for ImageFolder {
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
        check_indices(indices, self.files.len())?;
        let read = |&index: &usize| {
            let path = &self.files[index];
            Ok(Encoded {
                name: path.display().to_string(),
                bytes: self.place.read(path, decode::MAX_ENCODED)?,
            })
        };
        indices.iter().map(read).collect()
    }
}

fn read_table(table: &Path) -> Result<Vec<Row>, DataError> {
    let csv_error = |source| DataError::Csv {
        path: table.to_owned(),
        source,
    };
    let text = file::read(table, file::MAX_IN_MEMORY)?;
    let mut reader = csv::Reader::from_reader(&text[..]);
    let rows: Vec<Row> = reader
        .deserialize()
        .take(MAX_EXAMPLES + 1)
        .collect::<Result<_, _>>()
        .map_err(csv_error)?;
    expect_few(table, rows.len())?;
    if rows.is_empty() {
        return Err(DataError::NoImages {
            path: table.to_owned(),
            expected: "rows",
        });
    }
    Ok(rows)
}

/// The folder that the files of a table are in.
fn images_of(root: &Path, rows: &[Row]) -> Result<PathBuf, DataError> {
    let has_first = |folder: &PathBuf| {
        let first = rows.first().filter(|row| disk::stays_inside(&row.file));
        first.is_some_and(|row| folder.join(&row.file).exists())
    };
    let beside = root.to_owned();
    if has_first(&beside) {
        return Ok(beside);
    }
    let found = sorted_entries(root)?.into_iter().find(has_first);
    found.ok_or_else(|| DataError::NoImages {
        path: beside,
        expected: "the first file of labels.csv, here or in a sub-folder",
    })
}
