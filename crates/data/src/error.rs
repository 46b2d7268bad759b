//! What can be wrong with data.

use std::path::PathBuf;

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
    /// Corruptions are defined on 28 x 28 images.
    #[error("corruption {corruption}: expected images of {expected} values, got {got}")]
    NotAnImage {
        /// The corruption.
        corruption: &'static str,
        /// Values of a 28 x 28 image.
        expected: usize,
        /// Values of an example.
        got: usize,
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
