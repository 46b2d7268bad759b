//! Tables that label the pictures of a folder.
//!
//! | file | holds |
//! |---|---|
//! | `labels.csv`, or any `.csv` or `.tsv` that is named | columns of files and classes, with a header, or two columns without |
//! | `val.txt`, or any `.txt` that is named | `file class` on each line, as Caffe's lists |
//! | `ILSVRC2012_validation_ground_truth.txt` | on line i the class of picture i, in the development kit's own numbers |
//! | any `.txt` of WordNet ids that is named | on line i the class of picture i |
//!
//! Picture i of the last two is the one whose name ends in the number i, e.g.
//! `ILSVRC2012_val_00000001.JPEG`. Files are named below the folder or below one folder in it, and never
//! outside of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use disk::Place;

use super::columns::{position, usual};
use super::raw::{RawLabel, RawLabels};
use super::rows::{Broken, Rows};
use super::{Options, PassedOver};
use crate::error::{shorten, wrong};
use crate::image::{imagenet, listing};
use crate::{DataError, file};

/// The list of labels that ILSVRC's development kit has.
const GROUND_TRUTH: &str = "ILSVRC2012_validation_ground_truth.txt";
/// Tables that are found by their names in a folder whose pictures lie beside each other.
const KNOWN: [&str; 3] = ["val.txt", "labels.txt", GROUND_TRUTH];
/// The table that is found by its name in any folder.
const TABLE: &str = "labels.csv";

/// What columns of files and of classes are called.
const FILES: [&str; 8] = [
    "file",
    "file_name",
    "filename",
    "image",
    "path",
    "image_id",
    "name",
    "ImageId",
];
const CLASSES: [&str; 8] = [
    "class_index",
    "label",
    "labels",
    "class",
    "wnid",
    "synset",
    "target",
    "class_name",
];

/// The pictures that a table names, and their labels.
pub(super) struct Table {
    pub(super) path: PathBuf,
    pub(super) files: Vec<PathBuf>,
    pub(super) labels: RawLabels,
    pub(super) passed_over: PassedOver,
    pub(super) notes: Vec<String>,
}

impl Table {
    /// Reads the table that the options name, or the one in the folder that has a usual name.
    pub(super) fn find(root: &Path, options: &Options) -> Result<Option<Self>, DataError> {
        let known = || -> Vec<PathBuf> {
            let paths = KNOWN.iter().map(|name| root.join(name));
            paths.filter(|path| file::is_there(path)).collect()
        };
        let table = match &options.labels {
            Some(given) => given.clone(),
            None if file::is_there(&root.join(TABLE)) => root.join(TABLE),
            None => match &known()[..] {
                [] => return Ok(None),
                [table] if is_flat(root)? => table.clone(),
                [_] => return Ok(None),
                several => {
                    let names: Vec<String> = several.iter().map(|path| file::name(path)).collect();
                    let expected = "one, or the one to use as FOLDER,LABELS";
                    return Err(wrong(
                        root,
                        "tables of labels",
                        expected,
                        names.join(" and "),
                    ));
                }
            },
        };
        if options.labels.is_none() {
            Place::of_folder(root)?.find(&table)?;
        }
        let mut found = match table.extension().map(|ending| ending.to_ascii_lowercase()) {
            Some(ending) if ending == "csv" => columns(&table, root, b',', options)?,
            Some(ending) if ending == "tsv" => columns(&table, root, b'\t', options)?,
            _ => list(&table, root)?,
        };
        found
            .notes
            .insert(0, format!("labels: {}", table.display()));
        if found.files.is_empty() {
            return Err(DataError::NoImages {
                path: table,
                expected: "rows",
            });
        }
        Ok(Some(found))
    }
}

/// Whether pictures lie beside each other in a folder.
fn is_flat(root: &Path) -> Result<bool, DataError> {
    let found = listing::ClassFolders::find(root)?;
    let in_folders = found
        .classes
        .iter()
        .any(|(_, pictures)| !pictures.is_empty());
    Ok(!found.beside.is_empty() || !in_folders)
}

/// A table with a column of files and one of classes.
fn columns(
    table: &Path,
    root: &Path,
    separator: u8,
    options: &Options,
) -> Result<Table, DataError> {
    let rows = Rows::read_table(table, separator)?;
    let cells = |row: usize| {
        rows.cells(row).map_err(|broken| {
            let column = (broken.column + 1).to_string();
            super::numbers::cell(table, rows.line(row), &column, broken)
        })
    };
    let header = if rows.is_empty() { vec![] } else { cells(0)? };
    let (first, of_file, of_class) =
        roles(&header, root, options).ok_or_else(|| DataError::TableColumns {
            path: table.to_owned(),
            expected: "file and class_index, label or wnid, or a choice of columns".to_owned(),
            got: shorten(&header.join(", ")),
        })?;
    let mut found = Found::default();
    for row in first..rows.len() {
        let cells = cells(row)?;
        if cells.len() != header.len() {
            return Err(DataError::TableWidth {
                path: table.to_owned(),
                line: rows.line(row),
                expected: header.len(),
                got: cells.len(),
            });
        }
        let label = RawLabel::of_text(&cells[of_class]);
        found.add(table, rows.line(row), &cells[of_file], label)?;
    }
    let name = |at: usize| match first {
        0 => format!("#{}", at + 1),
        _ => header[at].clone(),
    };
    let note = format!("columns: {} and {}", name(of_file), name(of_class));
    found.into_table(table, root, &rows, vec![note])
}

/// The first row, 1 after a header, and the columns of files and of classes.
fn roles(header: &[String], root: &Path, options: &Options) -> Option<(usize, usize, usize)> {
    let chosen = options.columns.clone().unwrap_or_default();
    let find = |chosen: Option<&String>, known: &[&str]| match chosen {
        Some(name) => position(header, name),
        None => usual(header, known),
    };
    let of_file = find(chosen.input.as_ref(), &FILES);
    let of_class = find(chosen.label.first(), &CLASSES);
    let is_file = |name: &String| disk::stays_inside(Path::new(name)) && root.join(name).is_file();
    match (of_file, of_class) {
        (Some(of_file), Some(of_class)) => Some((1, of_file, of_class)),
        // Two columns without a header.
        (None, None) if header.len() == 2 && is_file(&header[0]) => Some((0, 0, 1)),
        _ => None,
    }
}

/// A list: `file class` on each line, or a class alone.
fn list(table: &Path, root: &Path) -> Result<Table, DataError> {
    let rows = Rows::read_lines(table)?;
    let text = |row: usize| {
        let cells = rows
            .cells(row)
            .map_err(|broken| super::numbers::cell(table, rows.line(row), "1", broken))?;
        Ok::<_, DataError>(cells.concat().trim().to_owned())
    };
    let first = if rows.is_empty() {
        String::new()
    } else {
        text(0)?
    };
    if !first.contains(char::is_whitespace) {
        return numbered(table, root, &rows, &text);
    }
    let mut found = Found::default();
    for row in 0..rows.len() {
        let line = text(row)?;
        let (name, class) = line.rsplit_once(char::is_whitespace).ok_or_else(|| {
            let broken = Broken {
                column: 0,
                expected: "a file and its class",
                got: shorten(&line),
            };
            super::numbers::cell(table, rows.line(row), "1", broken)
        })?;
        found.add(
            table,
            rows.line(row),
            name.trim_end(),
            RawLabel::of_text(class),
        )?;
    }
    found.into_table(table, root, &rows, vec![])
}

/// Line i holds the class of the picture whose name ends in the number i.
fn numbered(
    table: &Path,
    root: &Path,
    rows: &Rows,
    text: &impl Fn(usize) -> Result<String, DataError>,
) -> Result<Table, DataError> {
    let kit = file::name(table) == GROUND_TRUTH;
    let (pictures, _) = listing::all(root, table)?;
    let (mut files, mut labels) = (vec![], RawLabels::default());
    let mut passed_over = PassedOver::default();
    for picture in pictures {
        let Some(row) = number(&picture).and_then(|number| number.checked_sub(1)) else {
            let reason = "pictures without a number";
            passed_over.add(reason, || picture.display().to_string());
            continue;
        };
        if row >= rows.len() {
            let got = format!("{} of {} lines", picture.display(), rows.len());
            return Err(wrong(table, "lines", "one for every picture's number", got));
        }
        let class = text(row)?;
        let wnid = match kit {
            true => class.parse().ok().and_then(imagenet::devkit_wnid),
            false => imagenet::class_of(&class).map(|_| &class[..]),
        };
        let wnid = wnid.ok_or_else(|| {
            let expected = match kit {
                true => "a number of the development kit, 1 to 1000",
                false => "a file and its class, or a WordNet id",
            };
            let broken = Broken {
                column: 0,
                expected,
                got: shorten(&class),
            };
            super::numbers::cell(table, rows.line(row), "1", broken)
        })?;
        labels.push(RawLabel::Text(wnid.into()));
        files.push(picture);
    }
    let mut notes = vec!["line i is the class of the picture whose name ends in i".to_owned()];
    if kit {
        notes.push("numbers are those of ILSVRC's development kit, not of outputs".to_owned());
    }
    Ok(Table {
        path: table.to_owned(),
        files,
        labels,
        passed_over,
        notes,
    })
}

/// The number that a file's name ends in.
fn number(picture: &Path) -> Option<usize> {
    let stem = picture.file_stem()?.to_str()?;
    let digits = stem.len() - stem.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    stem[stem.len() - digits..].parse().ok()
}

/// Files that a table names, and their labels.
#[derive(Default)]
struct Found {
    names: Vec<PathBuf>,
    labels: RawLabels,
    /// The line that names a file first, and its label there.
    lines: HashMap<PathBuf, (usize, RawLabel)>,
}

impl Found {
    fn add(
        &mut self,
        table: &Path,
        line: usize,
        name: &str,
        label: RawLabel,
    ) -> Result<(), DataError> {
        let refuse = |expected, got| {
            let broken = Broken {
                column: 0,
                expected,
                got,
            };
            Err(super::numbers::cell(table, line, "file", broken))
        };
        let path = PathBuf::from(name);
        if !disk::stays_inside(&path) {
            return refuse("a path below its folder", shorten(name));
        }
        let known = self.lines.entry(path.clone());
        let (before, same) = known.or_insert_with(|| (line, label.clone()));
        if *same != label {
            let got = format!(
                "{label} and, in line {before}, {same} for {}",
                shorten(name)
            );
            return refuse("one label for a file", got);
        }
        self.names.push(path);
        self.labels.push(label);
        Ok(())
    }

    /// Finds the folder that the files are in: the root, or the one folder in it that has the first.
    fn into_table(
        self,
        table: &Path,
        root: &Path,
        rows: &Rows,
        notes: Vec<String>,
    ) -> Result<Table, DataError> {
        let mut passed_over = PassedOver::default();
        for line in &rows.empty {
            passed_over.add("empty lines", || format!("{}:{line}", table.display()));
        }
        let images = match self.names.first() {
            None => root.to_owned(),
            Some(first) if root.join(first).exists() => root.to_owned(),
            Some(first) => {
                let folders = listing::sorted_entries(root)?;
                let has_first = |folder: &PathBuf| folder.join(first).exists();
                folders.into_iter().find(has_first).ok_or_else(|| {
                    let got = format!("no {}", first.display());
                    wrong(
                        root,
                        "pictures of the table",
                        "the first one here or in a folder",
                        got,
                    )
                })?
            }
        };
        Ok(Table {
            path: table.to_owned(),
            files: self.names.iter().map(|name| images.join(name)).collect(),
            labels: self.labels,
            passed_over,
            notes,
        })
    }
}
