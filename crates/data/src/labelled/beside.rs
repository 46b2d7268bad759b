//! Labels in a file of their own.

use std::path::{Path, PathBuf};

use disk::Place;

use super::columns::{LABEL_NAMES, position, usual};
use super::format::Format;
use super::open::Unreadable;
use super::raw::{RawLabel, RawLabels};
use super::rows::Rows;
use super::{Columns, arrays, expect_few};
use crate::DataError;
use crate::array::tensors::Named;
use crate::array::{Array, Element, Value, npy, product};
use crate::error::{shorten, wrong};
use crate::file;
use crate::idx;

/// Rows of labels that are read at a time.
const AT_A_TIME: usize = 1 << 16;
/// Columns of QMNIST's files of labels, the class first (Yadav & Bottou, NeurIPS 2019).
const QMNIST: usize = 8;

/// Words for inputs in the name of a file, and those for their labels.
const WORDS: [(&str, &str); 9] = [
    ("images", "labels"),
    ("image", "label"),
    ("points", "labels"),
    ("inputs", "labels"),
    ("samples", "labels"),
    ("features", "labels"),
    ("data", "labels"),
    ("x", "y"),
    ("X", "y"),
];

/// What the file of labels beside a file of inputs may be called, the likeliest first.
pub(super) fn candidates(inputs: &Path) -> Vec<String> {
    let name = file::name(inputs);
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    let (stem, ending) = match plain.rsplit_once('.') {
        Some((stem, ending)) => (stem, format!(".{ending}")),
        None => (plain, String::new()),
    };
    let mut found = vec![];
    if let Some(renamed) = renamed(stem) {
        for to in ["idx1", "idx2"] {
            let to = if to == "idx2" { "idx2-int" } else { to };
            let from = if to == "idx1" { "idx3" } else { "idx3-ubyte" };
            found.push(format!("{}{ending}", renamed.replace(from, to)));
        }
        found.dedup();
    }
    found.push(format!("{stem}_labels{ending}"));
    found.push(format!("{stem}-labels{ending}"));
    found.push(format!("labels{ending}"));
    found.retain(|candidate| candidate != plain);
    // Packed as the inputs are, or not.
    let (same, other) = if name.len() > plain.len() {
        (".gz", "")
    } else {
        ("", ".gz")
    };
    let both = |name: &String| [format!("{name}{same}"), format!("{name}{other}")];
    found.iter().flat_map(both).collect()
}

/// The first candidate that is there.
///
/// # Errors
/// [`SetError::LeadsOut`](crate::SetError::LeadsOut) for one that is a link to elsewhere.
pub(super) fn find(inputs: &Path) -> Result<Option<PathBuf>, DataError> {
    let mut paths = candidates(inputs)
        .into_iter()
        .map(|name| inputs.with_file_name(name));
    let Some(path) = paths.find(|path| path.is_file()) else {
        return Ok(None);
    };
    Place::beside(inputs)?.find(&path)?;
    Ok(Some(path))
}

/// The file of labels that is read with a file of inputs where none is named, if there is one that is
/// no link to elsewhere.
pub fn labels_beside(inputs: &Path) -> Option<PathBuf> {
    find(inputs).ok().flatten()
}

/// A name with the word for inputs replaced by the one for labels.
fn renamed(stem: &str) -> Option<String> {
    WORDS.iter().find_map(|(word, label)| {
        let whole = |(at, _): &(usize, &str)| {
            let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            let before = stem[..*at].chars().next_back();
            let after = stem[at + word.len()..].chars().next();
            !letter(before) && !letter(after)
        };
        let (at, _) = stem.match_indices(word).find(whole)?;
        Some(format!(
            "{}{label}{}",
            &stem[..at],
            &stem[at + word.len()..]
        ))
    })
}

/// Labels that are found and not read yet.
pub(super) enum Labels {
    /// There are none.
    None,
    Array(Array),
    /// A line each.
    Lines {
        path: PathBuf,
        labels: Vec<RawLabel>,
    },
}

impl Labels {
    /// Opens a file of labels: an array of any format, a column of a table, or a label on each line.
    pub(super) fn open(path: &Path, columns: Option<&Columns>) -> Result<Self, DataError> {
        let chosen = columns.and_then(|columns| columns.label.first());
        let named = |file: Named| match chosen {
            Some(name) => file.array(name),
            None => match &file.names[..] {
                [only] => file.array(only),
                names => match usual(names, &LABEL_NAMES) {
                    Some(at) => file.array(&names[at]),
                    None => file.array("labels"),
                },
            },
        };
        match Format::of(path) {
            Ok(Format::Idx) => idx::open(path).map(Self::Array),
            Ok(Format::Npy) => npy::open(path).map(Self::Array),
            Ok(Format::Npz) => Named::npz(path).and_then(named).map(Self::Array),
            Ok(Format::Safetensors) => Named::safetensors(path).and_then(named).map(Self::Array),
            Ok(Format::Folder | Format::Parquet | Format::JsonLines) => {
                let expected =
                    "an IDX, .npy, .npz, safetensors, .csv or .tsv file, or lines of text";
                Err(wrong(path, "file of labels", expected, "another format"))
            }
            Err(refusal @ DataError::Io { .. }) => Err(refusal),
            Ok(Format::Table(separator)) => column(path, separator, chosen),
            Err(_) if path.extension().is_none_or(|ending| ending == "txt") => lines(path),
            Err(refusal) => Err(refusal),
        }
    }

    /// The dimensions of the labels, without those of length 1 at their end; the first one counts.
    pub(super) fn dimensions(&self) -> &[usize] {
        match self {
            Self::Array(array) => {
                let kept = array.shape.iter().rposition(|&dim| dim != 1).unwrap_or(0);
                array.shape.get(..=kept).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// The labels of `count` examples of `inputs`.
    pub(super) fn read(
        self,
        inputs: &Path,
        count: usize,
        notes: &mut Vec<String>,
        unreadable: &mut Unreadable,
    ) -> Result<RawLabels, DataError> {
        match self {
            Self::None => Ok(arrays::no_labels(count)),
            Self::Lines { path, labels } => {
                expect_count(inputs, &path, count, labels.len())?;
                Ok(labels.into_iter().collect())
            }
            Self::Array(array) => from_array(&array, inputs, count, notes, unreadable),
        }
    }
}

fn expect_count(
    inputs: &Path,
    labels: &Path,
    expected: usize,
    got: usize,
) -> Result<(), DataError> {
    if expected == got {
        return Ok(());
    }
    Err(DataError::LabelCount {
        images: inputs.to_owned(),
        labels: labels.to_owned(),
        expected,
        got,
    })
}

fn from_array(
    array: &Array,
    inputs: &Path,
    count: usize,
    notes: &mut Vec<String>,
    unreadable: &mut Unreadable,
) -> Result<RawLabels, DataError> {
    let kind = Kind::of(array, inputs, count)?;
    if kind == Kind::Qmnist {
        notes.push("labels: the first of QMNIST's eight columns".to_owned());
    }
    let width = array.row_len().max(1);
    let mut labels = RawLabels::default();
    let some = (AT_A_TIME / width).max(1);
    for first in (0..array.rows()).step_by(some) {
        let rows: Vec<usize> = (first..array.rows().min(first + some)).collect();
        let values = array.values(&array.bytes(&rows)?);
        for row in values.chunks(if kind == Kind::Single { 1 } else { width }) {
            let label = match row {
                [value] => single_label(value),
                [class, ..] if kind == Kind::Qmnist => single_label(class),
                row => matrix_row(row),
            };
            let position = labels.len();
            let label = label.map_err(|(expected, got)| {
                let got = format!("{got} in row {position}");
                wrong(&array.path, "values of the labels", expected, got)
            });
            labels.push(unreadable.label(position, label));
        }
    }
    Ok(labels)
}

/// What the rows of an array of labels hold.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// One label each, in as many dimensions as the examples have.
    Single,
    /// A class and seven other numbers.
    Qmnist,
    /// Zeros and ones.
    Matrix,
}

impl Kind {
    fn of(array: &Array, inputs: &Path, count: usize) -> Result<Self, DataError> {
        let shape = &array.shape;
        let found: usize = shape.first().map_or(0, |_| product(shape));
        let idx = array.big_endian && array.element == Element::I32;
        let qmnist = idx && shape.get(1..) == Some(&[QMNIST]);
        if found == count && !(qmnist && count == QMNIST) {
            return Ok(Self::Single);
        }
        let rows = if array.row_len() == 0 {
            0
        } else {
            array.rows()
        };
        if rows != count && array.path == *inputs {
            let (expected, got) = (format!("[{count}]"), format!("{shape:?}"));
            return Err(wrong(inputs, "shape of the labels", expected, got));
        }
        expect_count(inputs, &array.path, count, rows)?;
        Ok(if qmnist { Self::Qmnist } else { Self::Matrix })
    }
}

/// The labels of `count` examples of `inputs` in the file that was named for them.
pub(super) fn given(
    file: &Path,
    inputs: &Path,
    count: usize,
    notes: &mut Vec<String>,
    unreadable: &mut Unreadable,
) -> Result<RawLabels, DataError> {
    notes.push(format!("labels: {}", file.display()));
    Labels::open(file, None)?.read(inputs, count, notes, unreadable)
}

/// A label, or what was expected and found.
type Label = Result<RawLabel, (&'static str, String)>;

fn single_label(value: &Value) -> Label {
    let (label, got) = match value {
        Value::Integer(number) => (RawLabel::of_integer(*number), number.to_string()),
        Value::Large(number) => (Some(RawLabel::Number(*number)), number.to_string()),
        Value::Float(number) => (RawLabel::of_float(*number), number.to_string()),
        Value::Text(text) => (Some(RawLabel::of_text(text)), String::new()),
    };
    label.ok_or(("numbers of classes", got))
}

fn matrix_row(row: &[Value]) -> Label {
    let mut ones = vec![];
    for (column, value) in row.iter().enumerate() {
        match value {
            Value::Integer(0) | Value::Float(0.0) => {}
            Value::Integer(1) | Value::Float(1.0) => ones.push(column),
            other => return Err(("zeros and ones in a matrix", format!("{other:?}"))),
        }
    }
    let width = row.len();
    Ok(RawLabel::Row { width, ones })
}

/// A label on each line; an empty line has none.
fn lines(path: &Path) -> Result<Labels, DataError> {
    let bytes = file::read_unpacked(path, file::MAX_IN_MEMORY)?;
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let label = |line: &[u8]| RawLabel::of_text(&String::from_utf8_lossy(line));
    expect_few(path, text.iter().filter(|&&byte| byte == b'\n').count())?;
    let labels = match text {
        [] => vec![],
        text => text.split(|&byte| byte == b'\n').map(label).collect(),
    };
    Ok(Labels::Lines {
        path: path.to_owned(),
        labels,
    })
}

/// The labels of a column: the chosen one, one with a usual name, or the only one.
fn column(path: &Path, separator: u8, chosen: Option<&String>) -> Result<Labels, DataError> {
    let table = Rows::read_table(path, separator)?;
    let cells = |row| table.cells(row).unwrap_or_default();
    let header = if table.is_empty() { vec![] } else { cells(0) };
    let named = match chosen {
        Some(name) => position(&header, name),
        None => usual(&header, &LABEL_NAMES),
    };
    let at = named.or_else(|| (chosen.is_none() && header.len() == 1).then_some(0));
    let at = at.ok_or_else(|| DataError::TableColumns {
        path: path.to_owned(),
        expected: chosen
            .cloned()
            .unwrap_or_else(|| "one, or one called label".to_owned()),
        got: shorten(&header.join(", ")),
    })?;
    // `#2` names a column of a table without a header, and so does nothing.
    let has_header = named.is_some() && chosen.is_none_or(|name| !name.starts_with('#'));
    let label = |row| {
        let cells = cells(row);
        if cells.len() != header.len() {
            return Err(DataError::TableWidth {
                path: path.to_owned(),
                line: table.line(row),
                expected: header.len(),
                got: cells.len(),
            });
        }
        Ok(RawLabel::of_text(&cells[at]))
    };
    Ok(Labels::Lines {
        path: path.to_owned(),
        labels: (usize::from(has_header)..table.len())
            .map(label)
            .collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_labels_are_called_like_their_inputs() {
        let first = |name: &str| candidates(Path::new(name))[0].clone();
        assert_eq!(
            first("t10k-images-idx3-ubyte.gz"),
            "t10k-labels-idx1-ubyte.gz"
        );
        assert_eq!(first("test_images.npy"), "test_labels.npy");
        assert_eq!(first("eval_3_prdnn_points.npy"), "eval_3_prdnn_labels.npy");
        assert_eq!(first("x_test.npy"), "y_test.npy");
        assert_eq!(first("X.npy"), "y.npy");
        assert_eq!(first("fog.npy"), "fog_labels.npy");
        assert_eq!(first("max.npy"), "max_labels.npy");
        let qmnist = candidates(Path::new("qmnist-test-images-idx3-ubyte.gz"));
        assert!(
            qmnist.contains(&"qmnist-test-labels-idx2-int.gz".to_owned()),
            "{qmnist:?}"
        );
        let shared = candidates(Path::new("fog.npy"));
        assert!(shared.contains(&"labels.npy".to_owned()), "{shared:?}");
        let own = candidates(Path::new("labels.npy"));
        assert!(!own.contains(&"labels.npy".to_owned()), "{own:?}");
    }
}
