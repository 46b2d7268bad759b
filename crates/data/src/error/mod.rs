//! What can be wrong with data.

mod set;

use std::path::{Path, PathBuf};

pub(crate) use self::set::SHOWN;
pub use self::set::SetError;
use crate::dataset::ExampleId;

/// Errors of this crate: each says where, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file could not be read or written; for gzip, the stream is damaged or ends early.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system or the decompressor reported.
        source: std::io::Error,
    },

    /// The first bytes are not those of the expected IDX file.
    #[error("{}: {what}: expected {expected:#04x}, got {got:#04x}", path.display())]
    IdxHeader {
        /// The file.
        path: PathBuf,
        /// Which byte: magic, element type or rank.
        what: &'static str,
        /// The byte that was expected.
        expected: u8,
        /// The byte that was found.
        got: u8,
    },
    /// An IDX file ends before its header or its data does.
    #[error("{}: truncated {what}: expected {expected} bytes, got {got}", path.display())]
    IdxTruncated {
        /// The file.
        path: PathBuf,
        /// Header or data.
        what: &'static str,
        /// Bytes that part has.
        expected: usize,
        /// Bytes that are there.
        got: usize,
    },
    /// Bytes follow the data that an IDX header announces.
    #[error("{}: trailing bytes after the {expected} bytes of data", path.display())]
    IdxTrailing {
        /// The file.
        path: PathBuf,
        /// Bytes the header announces.
        expected: usize,
    },
    /// The dimensions in an IDX header announce more than the reader takes.
    #[error("{}: dimensions {shape:?} exceed {limit} bytes", path.display())]
    IdxTooLarge {
        /// The file.
        path: PathBuf,
        /// The dimensions in the header.
        shape: Vec<usize>,
        /// The most bytes the reader takes.
        limit: usize,
    },
    /// An IDX array has other dimensions than the file's role asks for, or than its values fill.
    #[error("{}: dimensions: expected {expected}, got {got:?}", path.display())]
    IdxShape {
        /// The file.
        path: PathBuf,
        /// The dimensions that were expected.
        expected: String,
        /// The dimensions that were found.
        got: Vec<usize>,
    },
    /// An image file and a label file hold different numbers of examples.
    #[error("{}: {got} labels, but {} has {expected} images", labels.display(), images.display())]
    LabelCount {
        /// The image file.
        images: PathBuf,
        /// The label file.
        labels: PathBuf,
        /// Number of images.
        expected: usize,
        /// Number of labels.
        got: usize,
    },
    /// A file has more images than identities can count.
    #[error("{}: {count} images from index {first_index}: an index exceeds 32 bits", path.display())]
    IndexOverflow {
        /// The image file.
        path: PathBuf,
        /// Index of the file's first image in its collection.
        first_index: u32,
        /// Number of images in the file.
        count: usize,
    },

    /// A part of a dataset has the wrong number of elements.
    #[error("number of {what}: expected {expected}, got {got}")]
    Count {
        /// The part.
        what: &'static str,
        /// The number the labels and the shape ask for.
        expected: usize,
        /// The number there is.
        got: usize,
    },
    /// The number of values of a shape does not fit in memory.
    #[error("shape {shape:?} has more values than memory can address")]
    SizeOverflow {
        /// The shape of one example.
        shape: Vec<usize>,
    },
    /// An input value is NaN or infinite.
    #[error("input {example}, position {position}: expected a finite value, got {value}")]
    NotFinite {
        /// The example.
        example: ExampleId,
        /// Position in the example's values.
        position: usize,
        /// The value.
        value: f32,
    },
    /// A label is not one of the classes.
    #[error("label of {example}: expected a class below {classes}, got {label}")]
    Label {
        /// The example.
        example: ExampleId,
        /// Its label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// An example has no label where one is needed.
    #[error("label of {example}: expected a class, got none")]
    Unlabelled {
        /// The example.
        example: ExampleId,
    },
    /// An index is not below the number of examples.
    #[error("example index {index}: expected one below {len}")]
    Index {
        /// The index asked for.
        index: usize,
        /// Number of examples.
        len: usize,
    },
    /// A concatenation of no datasets has no shape.
    #[error("concatenation of no datasets")]
    NoParts,
    /// Datasets of different example shapes cannot be concatenated.
    #[error("part {part}: expected examples of shape {expected:?}, got {got:?}")]
    Shape {
        /// Position of the dataset among the parts.
        part: usize,
        /// Shape of the first part's examples.
        expected: Vec<usize>,
        /// Shape of this part's examples.
        got: Vec<usize>,
    },
    /// Datasets of different numbers of classes cannot be concatenated.
    #[error("part {part}: expected {expected} classes, got {got}")]
    Classes {
        /// Position of the dataset among the parts.
        part: usize,
        /// Classes of the first part.
        expected: usize,
        /// Classes of this part.
        got: usize,
    },

    /// A picture cannot be decoded.
    #[error("{name}: not a picture of a known format, or a damaged one")]
    Image {
        /// The file, or the row of a table.
        name: String,
        /// What the decoder reported.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A JPEG ends before its picture does.
    #[error("{name}: truncated JPEG: expected an end-of-image marker")]
    ImageTruncated {
        /// The file, or the row of a table.
        name: String,
    },
    /// A picture has no pixel, or too many.
    #[error("{name}: expected 1 to {limit} pixels, got {height} x {width}")]
    ImageSize {
        /// The file, or what the picture is.
        name: String,
        /// Rows.
        height: u64,
        /// Columns.
        width: u64,
        /// The most pixels.
        limit: u64,
    },
    /// A part of a preprocessing has no meaning, or is not supported.
    #[error("{origin}: {field}: expected {expected}, got {got}")]
    Preprocessing {
        /// The configuration file, or `preprocessing`.
        origin: String,
        /// The part.
        field: &'static str,
        /// What would do.
        expected: &'static str,
        /// What there is.
        got: String,
    },
    /// A file is not the JSON that was expected.
    #[error("cannot parse {}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and cause.
        source: serde_json::Error,
    },
    /// A table of labels cannot be parsed.
    #[error("cannot parse {}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// Line and cause.
        source: csv::Error,
    },
    /// A collection of pictures holds none.
    #[error("{}: expected {expected}, got none", path.display())]
    NoImages {
        /// The folder or file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// A row of a table names a class that there is not.
    #[error("{} row {row}: expected a class below {classes}, got {got}", path.display())]
    RowLabel {
        /// The file.
        path: PathBuf,
        /// The row, from 0, without the header.
        row: usize,
        /// Number of classes.
        classes: usize,
        /// The class in the table.
        got: String,
    },
    /// A class of a collection is not one of the ILSVRC classes.
    #[error("{collection}: expected the WordNet id of an ILSVRC class, got {got:?}")]
    UnknownWnid {
        /// The collection.
        collection: String,
        /// The name of the class.
        got: String,
    },
    /// A parquet file cannot be read.
    #[error("cannot read {}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader reported.
        source: parquet::errors::ParquetError,
    },
    /// A parquet file lacks a column, or has another type in it.
    #[error("{}: column {column}: expected {expected}, got {got}", path.display())]
    ParquetColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The type or value that was expected.
        expected: &'static str,
        /// What there is.
        got: String,
    },

    /// No corruption has this name.
    #[error("unknown corruption {got:?}: expected one of {known}")]
    UnknownCorruption {
        /// The name asked for.
        got: String,
        /// The names there are.
        known: String,
    },
    /// A severity is not one of the five.
    #[error("severity: expected 1 to 5, got {got}")]
    Severity {
        /// The severity asked for.
        got: u8,
    },
    /// Examples have no shape of an image.
    #[error(
        "{what}: expected images of shape [784], [rows, columns] or [channels, rows, columns], \
         got {got:?}"
    )]
    NotAnImage {
        /// What takes images: a corruption, or `preprocessing`.
        what: &'static str,
        /// Shape of the examples.
        got: Vec<usize>,
    },
    /// Corruptions are defined on pixels in [0, 1].
    #[error("corruption of {example}, pixel {position}: expected a value in [0, 1], got {value}")]
    PixelRange {
        /// The example.
        example: ExampleId,
        /// Position of the pixel.
        position: usize,
        /// The value.
        value: f32,
    },
    /// Only inputs that nothing was done to are corrupted.
    #[error("corruption of {example}: expected a clean image")]
    NotClean {
        /// The example.
        example: ExampleId,
    },

    /// A file of a tokenizer is not what it has to be, or contradicts another one.
    #[error("{}: {what}: expected {expected}, got {got}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// Which part of it.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A file of a tokenizer cannot be parsed.
    #[error("{}: not a tokenizer file that can be read", path.display())]
    TokenizerFile {
        /// The file.
        path: PathBuf,
        /// What the parser reported.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The tokenizer failed on a text.
    #[error("text {position} of the batch cannot be tokenized")]
    Tokenize {
        /// Position in the batch.
        position: usize,
        /// What the tokenizer reported.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// No GLUE task or split has this name.
    #[error("unknown GLUE {what} {got:?}: expected one of {known}")]
    UnknownGlue {
        /// Task or split.
        what: &'static str,
        /// The name asked for.
        got: String,
        /// The names there are.
        known: String,
    },
    /// A folder holds no file of a GLUE split, or not all of them.
    #[error("{}: files of {split}: expected {expected}, got none", path.display())]
    GlueFiles {
        /// The folder.
        path: PathBuf,
        /// Task and split.
        split: String,
        /// The files looked for.
        expected: String,
    },
    /// A table lacks a column.
    #[error("{}: columns: expected {expected}, got {got}", path.display())]
    TableColumns {
        /// The file.
        path: PathBuf,
        /// The column that was expected.
        expected: String,
        /// The columns there are.
        got: String,
    },
    /// A line of a table has more or fewer columns than the table.
    #[error("{}: line {line}: expected {expected} columns, got {got}", path.display())]
    TableWidth {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Columns of the table.
        expected: usize,
        /// Columns of the line.
        got: usize,
    },
    /// A cell of a table does not hold what its column is for.
    #[error("{}: {unit} {number}, column {column}: expected {expected}, got {got}", path.display())]
    TableCell {
        /// The file.
        path: PathBuf,
        /// What is counted: lines of a text file, rows of a parquet file.
        unit: &'static str,
        /// The line or row, from 1.
        number: usize,
        /// The column.
        column: String,
        /// What was expected.
        expected: String,
        /// What was found.
        got: String,
    },

    /// A labelled set is not what its reader or the network takes.
    #[error("{}: {what}: expected {expected}, got {got}", path.display())]
    Labelled {
        /// The file or folder.
        path: PathBuf,
        /// Which part of it.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A labelled set cannot be read, or its labels not be understood.
    #[error(transparent)]
    Set(SetError),
    /// A safetensors file cannot be parsed.
    #[error("{}: not a safetensors file that can be read", path.display())]
    Batch {
        /// The file.
        path: PathBuf,
        /// What the parser reported.
        source: safetensors::SafeTensorError,
    },

    /// A text has no target, or one of another kind.
    #[error("target of {example}: expected {expected}, got {got}")]
    Target {
        /// The example.
        example: ExampleId,
        /// What was expected.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A class is not one of those a network or a dataset names.
    #[error("class {class:?}: expected one of {known}")]
    UnknownClass {
        /// The class.
        class: String,
        /// The classes there are.
        known: String,
    },
    /// A number that summarises predictions is not defined on them.
    #[error("{metric}: undefined, because {why}")]
    Metric {
        /// The metric.
        metric: &'static str,
        /// Why.
        why: &'static str,
    },
    /// Predictions are of another kind than a task's metrics ask for.
    #[error("predictions for {task}: expected {expected}, got {got}")]
    Predictions {
        /// The task.
        task: &'static str,
        /// Classes or scores.
        expected: &'static str,
        /// The other one.
        got: &'static str,
    },
    /// A word substitution needs the gradients of a network.
    #[error("corruption {corruption}: expected a network to guide it, got none")]
    NoGuide {
        /// The corruption.
        corruption: &'static str,
    },
    /// The gradients of a text's embeddings could not be computed.
    #[error("embedding gradient of {example}")]
    Gradient {
        /// The example.
        example: ExampleId,
        /// What the network reported.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A parameter of an attack is out of its range.
    #[error("attack parameter {parameter}: expected {expected}, got {got}")]
    AttackParameter {
        /// The parameter.
        parameter: &'static str,
        /// Its range.
        expected: &'static str,
        /// The value given.
        got: String,
    },
    /// The model of an attack cannot give its gradient.
    #[error("gradient of the loss at the inputs")]
    LossGradient(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A gradient is NaN or infinite.
    #[error("gradient at {example}, position {position}: expected a finite value, got {value}")]
    GradientNotFinite {
        /// The example.
        example: ExampleId,
        /// Position in the example's values.
        position: usize,
        /// The value.
        value: f32,
    },

    /// No split has this name.
    #[error("unknown split {got:?}: expected one of {known}")]
    UnknownSplit {
        /// The name asked for.
        got: String,
        /// The names there are.
        known: String,
    },
    /// A split is given twice.
    #[error("split {name} is given twice")]
    RepeatedSplit {
        /// The split.
        name: String,
    },
    /// Two splits share an input, or one split holds it twice.
    #[error("splits {first} and {second} share the input {example}")]
    SharedInput {
        /// The split whose name comes first in alphabetical order.
        first: String,
        /// The other split; the same one when it holds the input twice.
        second: String,
        /// The first shared input, in the other split's order.
        example: ExampleId,
    },
    /// A sample is larger than its pool.
    #[error("sample of {wanted} from a pool of {available}")]
    PoolTooSmall {
        /// Size of the sample.
        wanted: usize,
        /// Size of the pool.
        available: usize,
    },
}

/// At most 60 characters of a value that came from a file, quoted as Rust quotes strings.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A part of a labelled set that is not what its reader or the network takes.
pub(crate) fn wrong(
    path: &Path,
    what: &'static str,
    expected: impl Into<String>,
    got: impl Into<String>,
) -> DataError {
    DataError::Labelled {
        path: path.to_owned(),
        what,
        expected: expected.into(),
        got: got.into(),
    }
}
